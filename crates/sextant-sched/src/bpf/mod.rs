//! Binding: a struct_ops scheduler in the vm as an [`Ops`](crate::ops::Ops) of the class.
//!
//! An op becomes a run of its program with the context the kernel gives it (one word per argument, tasks as addresses); a
//! kfunc call comes back as a method of [`Sched`]. Instructions are charged as virtual time before anything the program
//! does can be seen outside it. A trap ends the scheduler, never the process: kind ERROR, message `sextant: …`.
//!
//! Leaves out: the run-time effect of `bpf_rcu_read_lock` and of preemption control (an entry is atomic anyway).

mod args;
mod call;
mod cmask;
mod host;
mod kfunc;
mod lockup;
mod ops;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::tables::{KFUNCS, KfuncId, Op, TracePoint};
use sextant_abi::types::{BpfCpumask, TaskStruct};
use sextant_abi::{CpuId, CpuMaskBits, Mem, Ns, ObjKind, ProgPlace};
use sextant_vm::{Engine, Mark, ProgId, Vm, VmConfig};

use crate::ops::OpsParams;
use crate::sched::{Request, Sched, TimerId};
use args::Args;
use kfunc::Handler;

/// Whether Sextant has a kfunc of that name; what our BTF lists follows from it.
pub fn has_kfunc(name: &str) -> bool {
    KfuncId::from_name(name).is_some_and(|id| kfunc::handler(id).is_some() || sextant_vm::is_core_kfunc(id))
}

/// What a step of a setup does: an error refuses the attach, or ends the scheduler after it.
pub type SetupAct = Rc<dyn Fn(&BpfOps, &mut Sched) -> Result<(), String>>;

/// What a scheduler's own program would do around the attach.
#[derive(Clone)]
pub struct SetupStep {
    /// That long after the attach; none: before it.
    pub at: Option<Ns>,
    /// The CPU on which it is done; none: the one that attaches.
    pub on: Option<CpuId>,
    /// It.
    pub act: SetupAct,
}

/// A vm for a machine of so many CPUs, with the kernel objects that are ours and the fields of them that a scheduler may write.
pub fn vm_config(nr_cpus: u32, engine: Engine, sanitize: bool) -> VmConfig {
    let scx = TaskStruct::at(0).scx();
    let writable = [(scx.slice().addr(), 8), (scx.dsq_vtime().addr(), 8), (scx.disallow().addr(), 1)];
    VmConfig {
        nr_cpus,
        engine,
        sanitize,
        task_size: TaskStruct::SIZE,
        task_writable: writable.map(|(offset, len)| (offset as u32, len)).to_vec(),
        memory: 0,
    }
}

/// Sees every call of a kernel function, and has the last word on its result.
pub trait KfuncWatch {
    /// `kfunc` is about to be called with these registers.
    fn before(&self, s: &mut Sched, kfunc: KfuncId, args: [u64; 5]);
    /// It has returned `ret`: what the program gets instead, or the same.
    fn after(&self, s: &mut Sched, kfunc: KfuncId, args: [u64; 5], ret: u64) -> u64;
}

/// A loaded scheduler: its programs in a vm.
pub struct BpfOps {
    vm: Rc<Vm>,
    params: OpsParams,
    progs: [Option<ProgId>; Op::COUNT],
    /// Programs on functions and tracepoints of the kernel's, with where.
    trace_progs: Vec<(TracePoint, ProgId)>,
    /// What is done around the attach.
    setup: Vec<SetupStep>,
    handlers: Vec<Option<Handler>>,
    stats: [Cell<(u64, u64)>; Op::COUNT],
    /// Instructions executed in all programs.
    insns: Cell<u64>,
    /// When the outermost program was entered, and instructions executed before.
    entered: Cell<(Ns, u64)>,
    /// Instead of the kernel's times of its watchdogs.
    lockup: Option<Ns>,
    /// Where the program is that is being ended by force.
    trapped: RefCell<Option<ProgPlace>>,
    /// Kernel objects whose addresses ops get as arguments.
    args: Args,
    /// Masks that programs own: address to references.
    cpumasks: RefCell<BTreeMap<u64, u32>>,
    /// References that programs hold on tasks and cgroups: address to how many. A program gives back no other ones.
    refs: RefCell<BTreeMap<u64, u32>>,
    /// Those without a reference, until the RCU section ends.
    dead_cpumasks: RefCell<Vec<u64>>,
    /// Where `bpf_cpumask_any_distribute` goes on.
    distribute_next: Cell<u32>,
    /// Picoseconds of instructions not yet charged as whole nanoseconds.
    ps_left: Cell<u64>,
    /// In its arena, in the cid form.
    cmasks: Cell<Option<cmask::Cmasks>>,
    /// Its maps and programs: those that came to the vm between two moments.
    objects: Option<(Mark, Mark)>,
    watch: Option<Rc<dyn KfuncWatch>>,
}

impl BpfOps {
    /// A scheduler whose ops are the given programs of `vm`.
    pub fn new(vm: Rc<Vm>, params: OpsParams, progs: &[(Op, ProgId)]) -> Self {
        let mut table = [None; Op::COUNT];
        for &(op, prog) in progs {
            table[op.index()] = Some(prog);
        }
        let handlers =
            (0..KFUNCS.len() as u32).map(|i| KfuncId::from_index(i).and_then(kfunc::handler)).collect();
        Self {
            args: Args::new(&*vm.region()),
            vm,
            params,
            progs: table,
            trace_progs: Vec::new(),
            setup: Vec::new(),
            handlers,
            stats: std::array::from_fn(|_| Cell::new((0, 0))),
            insns: Cell::new(0),
            trapped: RefCell::default(),
            entered: Cell::default(),
            lockup: None,
            cpumasks: RefCell::default(),
            refs: RefCell::default(),
            dead_cpumasks: RefCell::default(),
            distribute_next: Cell::new(0),
            ps_left: Cell::new(0),
            cmasks: Cell::new(None),
            objects: None,
            watch: None,
        }
    }

    /// Adds programs on functions and tracepoints of the kernel's. They run while the scheduler is loaded; those on `bpf_scx_reg` at the
    /// attach before anything else.
    pub fn with_trace_progs(mut self, progs: Vec<(TracePoint, ProgId)>) -> Self {
        self.trace_progs = progs;
        self
    }

    /// Has these steps done at each attach, in this order.
    pub fn with_setup(mut self, steps: Vec<SetupStep>) -> Self {
        self.setup = steps;
        self
    }

    /// Says what came to the vm with it, to be freed when it is released.
    pub fn with_objects(mut self, objects: (Mark, Mark)) -> Self {
        self.objects = Some(objects);
        self
    }

    /// Has its calls of kernel functions watched.
    pub fn with_watch(mut self, watch: Rc<dyn KfuncWatch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Charges executed instructions to the CPU that ran them.
    fn charge_insns(&self, s: &mut Sched, insns: u64) {
        let ps = self.ps_left.get() + insns * s.cfg.costs.insn_ps;
        self.ps_left.set(ps % 1000);
        s.charge(ps / 1000);
    }

    /// A program was given a reference on the task or cgroup at `addr`; 0 is none.
    fn note_acquired(&self, addr: u64) {
        if addr != 0 {
            *self.refs.borrow_mut().entry(addr).or_default() += 1;
        }
    }

    /// A program gives back a reference on the task or cgroup at `addr`: false if it holds none, which only a program that no
    /// verifier has seen can do.
    fn note_released(&self, addr: u64) -> bool {
        let mut refs = self.refs.borrow_mut();
        let Some(held) = refs.get_mut(&addr) else { return false };
        *held -= 1;
        if *held == 0 {
            refs.remove(&addr);
        }
        true
    }

    /// Gives back one reference on a program's mask; the last one frees it at the end of the RCU section. False if there was none.
    fn put_cpumask(&self, addr: u64) -> bool {
        let mut masks = self.cpumasks.borrow_mut();
        let Some(refs) = masks.get_mut(&addr).filter(|refs| **refs > 0) else { return false };
        *refs -= 1;
        if *refs == 0 {
            self.dead_cpumasks.borrow_mut().push(addr);
        }
        true
    }

    /// No program runs any more: frees the masks that nobody owns (`bpf_mem_cache_free_rcu()`).
    fn free_dead_cpumasks(&self, s: &Sched) {
        if self.vm.is_running() || self.dead_cpumasks.borrow().is_empty() {
            return;
        }
        for addr in std::mem::take(&mut *self.dead_cpumasks.borrow_mut()) {
            self.cpumasks.borrow_mut().remove(&addr);
            s.mem.free(ObjKind::Kernel, addr, BpfCpumask::SIZE);
        }
    }

    /// Gives back all that is in memory for it: maps, programs, what they own, timers, arguments.
    fn free_all(&self, s: &mut Sched) {
        let Some((from, to)) = self.objects else { return };
        s.requests.extend((1..=self.setup.len() as u64).map(|step| Request::TimerCancel(TimerId(step))));
        self.vm.free_between(from, to);
        let dead = self.vm.take_dead_timers();
        s.requests.extend(dead.into_iter().map(|timer| Request::TimerCancel(TimerId(timer))));
        self.release_dropped(s);
        self.dead_cpumasks.borrow_mut().clear();
        for addr in std::mem::take(&mut *self.cpumasks.borrow_mut()).into_keys() {
            s.mem.free(ObjKind::Kernel, addr, BpfCpumask::SIZE);
        }
        for (addr, held) in std::mem::take(&mut *self.refs.borrow_mut()) {
            (0..held).for_each(|_| put_object(s, addr));
        }
        self.args.free(&*s.mem);
    }

    /// The CPU of the set after the one given out last, or `nr_cpus` for an empty set.
    fn distribute(&self, mask: &CpuMaskBits, nr_cpus: u32) -> u32 {
        let from = self.distribute_next.get();
        let Some(cpu) = mask.next_from(from).or_else(|| mask.first()) else { return nr_cpus };
        self.distribute_next.set(cpu.0 + 1);
        cpu.0
    }
}

/// Drops a reference on the task or cgroup at `addr`.
fn put_object(s: &mut Sched, addr: u64) {
    if let Some(p) = s.tasks.from_addr(addr) {
        s.put_task_struct(p);
    } else if let Some(cgrp) = s.cgroups.from_addr(addr) {
        s.cgroup_put(cgrp);
    }
}
