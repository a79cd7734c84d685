//! New tasks, and the references that keep a `task_struct`. Mirrors sched_fork(), wake_up_new_task() and what copy_process() does between.

use sextant_abi::CpuId;
use sextant_abi::ObjKind;
use sextant_abi::types::{CType, Pid, SignalStruct, TaskStruct};

use super::flags::*;
use crate::event::Event;
use crate::sched::Sched;
use crate::task::{TaskAttr, TaskId};

impl Sched {
    /// `sched_fork`, `sched_cgroup_fork` and `sched_post_fork`: a task in state TASK_NEW on the executing CPU, to be woken by
    /// `wake_up_new_task`. Fails with the errno (negative) of ops.init_task; then nothing remains of it. The pid is `next_pid`.
    pub fn sched_fork(&mut self, attr: &TaskAttr) -> Result<TaskId, i32> {
        let pid = self.next_pid;
        self.next_pid += 1;
        let p = self.alloc_task(pid, attr);
        self.tasks[p].cpu = self.this_cpu;
        let class = self.setscheduler_class(attr.policy);
        self.set_class(p, class);
        self.init_scx_entity(p);
        if let Err(errno) = self.scx_fork(p) {
            self.scx_cancel_fork(p);
            self.cgroup_leave(p);
            self.unhash_thread(p);
            self.tasks[p].dead = true;
            self.tasks.drop_pid(pid);
            self.put_task_struct(p);
            return Err(errno);
        }
        self.task_fork_fair(p);
        self.scx_post_fork(p);
        Ok(p)
    }

    /// `wake_up_new_task`
    pub fn wake_up_new_task(&mut self, p: TaskId) {
        let mut wake_flags = WF_FORK;
        self.tasks[p].ts.__state().set(&*self.mem, TASK_RUNNING);
        let cpu = self.select_task_rq(p, &mut wake_flags);
        self.tasks[p].cpu = cpu; // no migration: it never was anywhere
        self.emit(Event::Fork { p, cpu });
        self.update_rq_clock(cpu);
        self.activate_task(cpu, p, ENQUEUE_NOCLOCK | ENQUEUE_INITIAL);
        self.wakeup_preempt(cpu, p, wake_flags);
        self.task_woken(cpu, p);
    }

    /// Takes a reference on the `task_struct`; false if the task's memory is already given back.
    pub fn get_task_struct(&mut self, p: TaskId) -> bool {
        let t = &mut self.tasks[p];
        if t.refs == 0 {
            return false;
        }
        t.refs += 1;
        true
    }

    /// Drops a reference. The memory of a dead task goes back once none is left and the current RCU section has ended.
    pub fn put_task_struct(&mut self, p: TaskId) {
        let t = &mut self.tasks[p];
        t.refs = t.refs.checked_sub(1).expect("a reference is dropped once");
        if t.refs == 0 {
            self.rcu_pending.push(p);
        }
    }

    /// The RCU sections of this entry have ended: frees what waited for that. The machine calls it after each entry.
    #[inline]
    pub fn rcu_flush(&mut self) {
        if !self.rcu_pending.is_empty() {
            self.free_tasks();
        }
        if !self.cgroups.rcu_pending.is_empty() {
            self.free_cgroups();
        }
    }

    fn free_tasks(&mut self) {
        for p in std::mem::take(&mut self.rcu_pending) {
            let ts = self.tasks[p].ts;
            self.scx_task_freed(p);
            self.free_objects(ts);
            self.tasks.drop_addr(ts.addr());
            self.cgroup_put(self.tasks[p].cgroup);
            use sextant_abi::Mem;
            self.mem.free(ObjKind::Task, ts.addr(), <TaskStruct as CType>::SIZE);
        }
    }

    fn free_objects(&mut self, ts: TaskStruct) {
        use sextant_abi::Mem;
        let mem = &*self.mem;
        mem.free(ObjKind::Kernel, ts.thread_pid().get(mem), <Pid as CType>::SIZE);
        // The threads of a process share it.
        let signal = ts.signal().get(mem);
        let users = self.signals.entry(signal).or_default();
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.signals.remove(&signal);
            mem.free(ObjKind::Kernel, signal, <SignalStruct as CType>::SIZE);
        }
    }

    /// The CPU a task is on (`task_cpu`).
    pub fn task_cpu(&self, p: TaskId) -> CpuId {
        self.tasks[p].cpu
    }
}
