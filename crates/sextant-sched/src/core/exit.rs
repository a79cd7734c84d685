//! The end of a task. Mirrors do_exit() as far as the scheduler sees it, and finish_task_switch().

use sextant_abi::CpuId;

use super::flags::*;
use super::list::list_del_rcu;
use crate::event::Event;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `do_exit` by the running task of `cpu`, up to and including its last switch.
    ///
    /// With CONFIG_SCHED_AUTOGROUP the exiting task is first moved to the default group, which is a property change of a
    /// running task (semantics §9.1.2); the reschedule it asks for is served by the final `schedule()`.
    pub fn exit_current(&mut self, cpu: CpuId) {
        let p = self.rqs[cpu.idx()].curr;
        let ts = self.tasks[p].ts;
        let flags = ts.flags();
        flags.set(&*self.mem, flags.get(&*self.mem) | PF_EXITING);
        self.sched_move_task(p, None);
        ts.exit_state().set(&*self.mem, EXIT_DEAD);
        ts.__state().set(&*self.mem, TASK_DEAD);
        self.schedule(cpu);
    }

    /// `__unhash_process`: the process has a thread less.
    pub(super) fn unhash_thread(&mut self, p: TaskId) {
        let mem = &*self.mem;
        let ts = self.tasks[p].ts;
        let nr = ts.signal().deref(mem).nr_threads();
        nr.set(mem, nr.get(mem) - 1);
        list_del_rcu(mem, ts.thread_node());
    }

    /// `finish_task_switch` of a task in TASK_DEAD: the classes let go of it, its pid is free, the first reference drops.
    pub(super) fn finish_dead_task(&mut self, p: TaskId) {
        self.sched_ext_dead(p);
        self.cgroup_leave(p);
        self.unhash_thread(p);
        self.emit(Event::Exit { p });
        let pid = self.tasks[p].ts.pid().get(&*self.mem);
        self.tasks[p].dead = true;
        self.tasks.drop_pid(pid);
        self.put_task_struct(p);
    }
}
