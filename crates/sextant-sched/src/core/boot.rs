//! The state at boot: runqueues, swapper/N, the objects every task points to. Mirrors sched_init() and init_task.

use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::types::{Cgroup, Cpumask, Cred, CssSet, KernfsNode, Rq as RqStruct, TaskStruct};
use sextant_abi::types::{PIDTYPE_MAX, PROC_PID_INIT_INO, Pid, PidNamespace, SCX_DSQ_LOCAL, SignalStruct};
use sextant_abi::{CpuId, CpuMaskBits, Mem, Ns, ObjKind};

use super::flags::*;
use super::list::{list_add_tail, list_init};
use super::trace::TRACE_CGROUP_PATH_LEN;
use crate::cgroup::{CgroupId, CgroupTable};
use crate::deadline::DlRq;
use crate::ext::Ext;
use crate::ext::entity::ExtEntity;
use crate::ext::rq::ExtRq;
use crate::fair::{FairEntity, FairRq};
use crate::rq::Rq;
use crate::rt::{RtEntity, RtRq};
use crate::sched::{Config, KMem, Sched};
use crate::task::{Class, OnRq, Task, TaskAttr, TaskId, TaskTable};
use crate::topology::Topology;

/// Objects that every task shares.
#[derive(Clone, Copy, Debug)]
pub struct RootCgroup {
    /// The root `struct cgroup`.
    pub cgrp: Cgroup,
    /// The `struct css_set` of every task.
    pub css_set: CssSet,
    /// root's `struct cred`.
    pub cred: u64,
    /// What `mm` of a user task points to.
    pub mm: u64,
    /// The initial pid namespace.
    pub pid_ns: PidNamespace,
    /// The text that cgroup tracepoints give their programs.
    pub trace_path: u64,
    /// `stop_sched_class` to `idle_sched_class`, in the order of [`Class`].
    pub classes: [u64; 5],
}

impl RootCgroup {
    fn new(mem: &KMem) -> Self {
        let cgrp = Cgroup::at(mem.alloc(ObjKind::Kernel, Cgroup::size_at_level(0)));
        let kn = KernfsNode::at(mem.alloc(ObjKind::Kernel, <KernfsNode as sextant_abi::types::CType>::SIZE));
        let css_set = CssSet::at(mem.alloc(ObjKind::Kernel, <CssSet as sextant_abi::types::CType>::SIZE));
        let name = mem.alloc(ObjKind::Kernel, 8);
        kn.id().set(mem, 1);
        kn.name().set(mem, name);
        cgrp.kn().set(mem, kn.addr());
        cgrp.self_().cgroup().set(mem, cgrp.addr());
        cgrp.self_().id().set(mem, 1);
        cgrp.dom_cgrp().set(mem, cgrp.addr());
        cgrp.max_depth().set(mem, i32::MAX);
        cgrp.ancestors().at(0).set(mem, cgrp.addr());
        crate::cgroup::new_css(mem, cgrp, None);
        css_set.dfl_cgrp().set(mem, cgrp.addr());
        let cred = mem.alloc(ObjKind::Kernel, <Cred as sextant_abi::types::CType>::SIZE);
        let mm = mem.alloc(ObjKind::Kernel, 8);
        let pid_ns = PidNamespace::at(mem.alloc(ObjKind::Kernel, PidNamespace::SIZE));
        pid_ns.ns().inum().set(mem, PROC_PID_INIT_INO);
        let trace_path = mem.alloc(ObjKind::Kernel, TRACE_CGROUP_PATH_LEN);
        let classes = std::array::from_fn(|_| mem.alloc(ObjKind::Kernel, 8));
        Self { cgrp, css_set, cred, mm, pid_ns, trace_path, classes }
    }
}

impl Sched {
    /// The kernel `cfg.uptime` after boot: swapper/N runs on every CPU and has only now begun to; nothing else exists.
    pub fn new(cfg: Config, mem: Rc<KMem>) -> Sched {
        let (nr_cpus, uptime) = (cfg.nr_cpus, cfg.uptime);
        let root = RootCgroup::new(&mem);
        let mut s = Sched {
            mem,
            cfg,
            tasks: TaskTable::default(),
            rqs: Vec::with_capacity(nr_cpus as usize),
            ext: Ext::new(nr_cpus),
            this_cpu: CpuId(0),
            now: uptime,
            as_kthread: None,
            rng: 0,
            noise: 0,
            idle_cpus: CpuMaskBits::first_n(nr_cpus),
            fair_nr_waiting: 0,
            next_pid: 1000,
            topology: Topology::flat(nr_cpus),
            cgroups: CgroupTable::new(&root),
            root,
            signals: BTreeMap::new(),
            rcu_pending: Vec::new(),
            requests: Vec::new(),
            events: Vec::new(),
            probes: None,
            replay_pause: None,
        };
        s.init_cpuset();
        for cpu in (0..nr_cpus).map(CpuId) {
            s.init_rq(cpu);
        }
        s
    }

    fn init_rq(&mut self, cpu: CpuId) {
        let attr = TaskAttr {
            comm: format!("swapper/{cpu}"),
            flags: PF_KTHREAD | PF_IDLE | PF_NO_SETAFFINITY,
            cpus: Some(vec![cpu]),
            ..TaskAttr::default()
        };
        let idle = self.alloc_task(0, &attr);
        let t = &mut self.tasks[idle];
        (t.cpu, t.exec_start) = (cpu, self.now);
        self.set_class(idle, Class::Idle);
        let ts = self.tasks[idle].ts;
        ts.__state().set(&*self.mem, TASK_RUNNING);
        ts.on_cpu().set(&*self.mem, 1);
        let addr = self.mem.alloc(ObjKind::Kernel, <RqStruct as sextant_abi::types::CType>::SIZE);
        let rq = RqStruct::at(addr);
        rq.cpu().set(&*self.mem, cpu.0 as i32);
        rq.online().set(&*self.mem, 1);
        rq.idle().set(&*self.mem, ts.addr());
        rq.running().curr().set(&*self.mem, ts.addr());
        rq.scx().local_dsq().id().set(&*self.mem, SCX_DSQ_LOCAL);
        self.rqs.push(Rq {
            cpu,
            addr,
            curr: idle,
            idle,
            stop: None,
            stop_queued: false,
            stop_works: Vec::new(),
            next_class: Class::Idle,
            need_resched: false,
            clock: self.now,
            nr_running: 0,
            nr_switches: 0,
            exec_ns: 0,
            idle_ns: 0,
            balance_pending: false,
            online: true,
            active: true,
            cpu_online: true,
            dl: DlRq::default(),
            rt: RtRq::default(),
            cpumask_of: None,
            fair: FairRq::default(),
            ext: ExtRq::default(),
        });
    }

    /// Makes a sleeping kernel or system task with a given pid, as it is after boot (no fork hooks: call it before any
    /// scheduler is attached). `stop` makes it migration/N of its CPU.
    pub fn boot_task(&mut self, pid: i32, attr: &TaskAttr, cpu: CpuId, stop: bool) -> TaskId {
        let p = self.alloc_task(pid, attr);
        self.init_scx_entity(p);
        self.tasks[p].cpu = cpu;
        let ts = self.tasks[p].ts;
        ts.__state().set(&*self.mem, TASK_INTERRUPTIBLE);
        if stop {
            self.set_class(p, Class::Stop);
            ts.policy().set(&*self.mem, SCHED_FIFO);
            ts.rt_priority().set(&*self.mem, 99);
            self.rqs[cpu.idx()].stop = Some(p);
            RqStruct::at(self.rqs[cpu.idx()].addr).stop().set(&*self.mem, ts.addr());
        }
        p
    }

    /// A zeroed `task_struct` filled from `attr`: state TASK_NEW, class fair, not on any runqueue.
    pub(super) fn alloc_task(&mut self, pid: i32, attr: &TaskAttr) -> TaskId {
        let mem = self.mem.clone();
        let mem = &*mem;
        let ts = TaskStruct::at(mem.alloc(ObjKind::Task, <TaskStruct as sextant_abi::types::CType>::SIZE));
        let tgid = if attr.tgid == 0 { pid } else { attr.tgid };
        ts.__state().set(mem, TASK_NEW);
        ts.flags().set(mem, attr.flags);
        ts.policy().set(mem, attr.policy);
        let static_prio = nice_to_prio(attr.nice.clamp(-20, 19));
        let prio = if rt_policy(attr.policy) { rt_to_prio(attr.rt_priority) } else { static_prio };
        ts.prio().set(mem, prio);
        ts.static_prio().set(mem, static_prio);
        ts.normal_prio().set(mem, prio);
        ts.rt_priority().set(mem, attr.rt_priority);
        ts.pid().set(mem, pid);
        ts.tgid().set(mem, tgid);
        ts.comm().set_str(mem, &attr.comm);
        ts.start_time().set(mem, self.now.0);
        ts.start_boottime().set(mem, self.now.0);
        ts.numa_preferred_nid().set(mem, -1);
        self.set_mask(ts, attr.cpus.as_deref());
        self.link_objects(ts, pid, tgid, attr.flags & PF_KTHREAD != 0);
        let weight = self.load_weight(ts);
        let p = self.tasks.add(pid, |id| Task {
            id,
            ts,
            class: Class::Fair,
            on_rq: OnRq::No,
            cpu: CpuId(0),
            exec_start: Ns::ZERO,
            rt: RtEntity::default(),
            fair: FairEntity::new(weight),
            ext: ExtEntity::default(),
            cgroup: CgroupId::ROOT,
            migration_disabled: 0,
            refs: 1,
            dead: false,
        });
        if tgid != pid {
            self.tasks.add_thread(tgid, p);
        }
        self.set_class(p, Class::Fair);
        self.cgroup_fork(p, attr.cgroup.unwrap_or(CgroupId::ROOT));
        p
    }

    fn set_mask(&mut self, ts: TaskStruct, cpus: Option<&[CpuId]>) {
        let all = CpuMaskBits::first_n(self.cfg.nr_cpus);
        let set = match cpus {
            Some(list) => list.iter().copied().collect::<CpuMaskBits>().and(&all),
            None => all,
        };
        let mask = Cpumask::at(ts.cpus_mask().addr());
        mask.store(&*self.mem, &set);
        ts.cpus_ptr().set(&*self.mem, mask.addr());
        ts.nr_cpus_allowed().set(&*self.mem, set.weight() as i32);
    }

    /// The objects behind the pointers of a `task_struct`.
    fn link_objects(&mut self, ts: TaskStruct, pid: i32, tgid: i32, kthread: bool) {
        let mem = &*self.mem;
        let leader = self.tasks.from_pid(tgid).map_or(ts, |l| self.tasks[l].ts);
        ts.group_leader().set(mem, leader.addr());
        if leader == ts {
            let signal = SignalStruct::at(
                mem.alloc(ObjKind::Kernel, <SignalStruct as sextant_abi::types::CType>::SIZE),
            );
            signal.nr_threads().set(mem, 1);
            list_init(mem, signal.thread_head());
            ts.signal().set(mem, signal.addr());
        } else {
            let signal = leader.signal().get(mem);
            let nr = SignalStruct::at(signal).nr_threads();
            nr.set(mem, nr.get(mem) + 1);
            ts.signal().set(mem, signal);
        }
        *self.signals.entry(ts.signal().get(mem)).or_default() += 1;
        list_add_tail(mem, ts.thread_node(), SignalStruct::at(ts.signal().get(mem)).thread_head());
        let pid_obj = Pid::at(mem.alloc(ObjKind::Kernel, <Pid as sextant_abi::types::CType>::SIZE));
        pid_obj.numbers().at(0).nr().set(mem, pid);
        pid_obj.numbers().at(0).ns().set(mem, self.root.pid_ns.addr());
        ts.thread_pid().set(mem, pid_obj.addr());
        if leader == ts {
            let pids = ts.signal().deref(mem).pids();
            (0..PIDTYPE_MAX).for_each(|kind| pids.at(kind).set(mem, pid_obj.addr()));
        }
        // kthreadd is the parent of kernel threads, init of the rest.
        let parent = self.tasks.from_pid(if kthread { 2 } else { 1 }).map_or(ts, |p| self.tasks[p].ts);
        ts.real_parent().set(mem, parent.addr());
        ts.parent().set(mem, parent.addr());
        ts.cred().set(mem, self.root.cred);
        ts.real_cred().set(mem, self.root.cred);
        ts.mm().set(mem, if kthread { 0 } else { self.root.mm });
    }

    /// The task changes its class.
    pub(crate) fn set_class(&mut self, p: TaskId, class: Class) {
        let t = &mut self.tasks[p];
        self.ext.had_tasks |= class == Class::Ext;
        t.class = class;
        t.ts.sched_class().set(&*self.mem, self.root.classes[class as usize]);
    }

    /// `p->se.load.weight`, scaled down: from `static_prio` and policy.
    pub(crate) fn load_weight(&self, ts: TaskStruct) -> u32 {
        if ts.policy().get(&*self.mem) == SCHED_IDLE {
            return WEIGHT_IDLEPRIO;
        }
        NICE_TO_LOAD_WEIGHT[(ts.static_prio().get(&*self.mem) - 100).clamp(0, 39) as usize]
    }

    /// The handle of a task's `task_struct`.
    pub fn t(&self, p: TaskId) -> TaskStruct {
        self.tasks[p].ts
    }
}
