//! What tasks do while they have the CPU: the actions of their programs, as system calls.

use sextant_abi::{CpuId, CpuMaskBits, Ns};
use sextant_sched::core::flags::PF_FORKNOEXEC;
use sextant_sched::{CgroupId, TaskAttr, TaskId};

use crate::interp::{Doing, Program, Step};
use crate::machine::{Simulation, UPTIME, What};
use crate::workload::{Action, SpecId, TaskSpec, TimerRef};

/// So many steps in a row without computing are a loop.
const MAX_STEPS: u32 = 1_000_000;

/// System calls in a row that take longer than this, a tick, let the other CPUs have their turn before they go on.
const LONGEST_ENTRY: Ns = Ns::from_ms(4);

/// Most tasks of a workload that live at one time: a further fork fails with EAGAIN, as where kernel/fork.c copy_process() meets
/// `max_threads` (7.3), which a machine of 8 GiB sets to about as many.
pub const MAX_TASKS: usize = 1 << 16;

impl Simulation {
    /// Lets whoever runs on `cpu` go on until it computes, or nobody is left to run.
    pub(crate) fn run_user(&mut self, cpu: CpuId) {
        let until = self.sched.now + LONGEST_ENTRY;
        for _ in 0..MAX_STEPS {
            let rq = &self.sched.rqs[cpu.idx()];
            let curr = rq.curr;
            if curr == rq.idle {
                return;
            }
            match self.programs.get(curr.0 as usize) {
                Some(Some(prog)) if matches!(prog.doing, Doing::Run(_) | Doing::Until(_)) => return,
                Some(Some(_)) => self.step(cpu, curr),
                _ if self.runs_stopper(cpu) => self.sched.stopper_thread(cpu),
                // A kernel thread that was woken has nothing to do.
                _ => self.sched.block_current(cpu),
            }
            self.settle(cpu);
            if self.sched.now >= until {
                self.go_on_later(cpu);
                return;
            }
        }
        self.stuck = true;
    }

    fn program(&mut self, p: TaskId) -> &mut Program {
        self.programs[p.0 as usize].as_deref_mut().expect("only workload tasks take steps")
    }

    fn step(&mut self, cpu: CpuId, p: TaskId) {
        let workload = self.workload.clone();
        let prog = self.program(p);
        let spec = &workload.tasks[prog.spec.0 as usize];
        let action = match prog.next(spec) {
            Step::Do(action) => action,
            Step::EnterPhase(i) => return self.enter_phase(p, spec, i),
            Step::Exit => return self.exit(cpu),
        };
        match action {
            Action::Run(d) if d > Ns::ZERO => prog.doing = Doing::Run(d),
            Action::RunTime(d) if d > Ns::ZERO => self.program(p).doing = Doing::Until(self.sched.now + d),
            Action::Run(_) | Action::RunTime(_) => {}
            Action::Sleep(d) => {
                self.sched.charge(self.costs.syscall_ns);
                self.sleep_until(cpu, p, self.sched.now + d);
            }
            Action::Timer { timer, period, absolute } => self.wait_timer(cpu, p, timer, period, absolute),
            Action::Suspend(cond) => {
                self.sched.charge(self.costs.syscall_ns);
                self.waiters[cond.0 as usize].push(p);
                self.suspend(cpu, p);
            }
            Action::Resume(cond) => self.resume(cond.0 as usize),
            Action::SemWait(sem) => {
                self.sched.charge(self.costs.syscall_ns);
                let sem = &mut self.sems[sem.0 as usize];
                if sem.count > 0 {
                    sem.count -= 1;
                } else {
                    sem.waiters.push_back(p);
                    self.suspend(cpu, p);
                }
            }
            Action::SemPost(sem) => self.sem_post(sem.0 as usize),
            Action::Fork(spec) => {
                self.next_pid += 1;
                self.fork_task(spec, 0, self.next_pid - 1);
            }
            Action::MigrateDisable => self.sched.migrate_disable(p),
            Action::MigrateEnable => self.sched.migrate_enable(p),
            Action::Yield => {
                self.sched.charge(self.costs.syscall_ns);
                self.sched.yield_current(cpu);
            }
        }
    }

    fn sleep_until(&mut self, cpu: CpuId, p: TaskId, at: Ns) {
        let slot = self.program(p).slot;
        self.queue.arm(slot, at);
        self.sched.block_current(cpu);
    }

    fn wait_timer(&mut self, cpu: CpuId, p: TaskId, timer: TimerRef, period: Ns, absolute: bool) {
        self.sched.charge(self.costs.syscall_ns);
        let now = self.sched.now;
        let next = self.timer_instant(p, timer) + period;
        // A relative timer that is late starts anew from now.
        let base = if next <= now && !absolute { now } else { next };
        self.set_timer_instant(p, timer, base);
        if next > now {
            self.sleep_until(cpu, p, next);
        }
    }

    /// The instant the timer was last set to; the task's start at first.
    fn timer_instant(&mut self, p: TaskId, timer: TimerRef) -> Ns {
        let unique = self.workload.timers[timer.0 as usize].unique;
        let shared = self.shared_timers[timer.0 as usize];
        let prog = self.program(p);
        let own = prog.timers.iter().find(|t| t.0 == timer).map(|t| t.1);
        (if unique { own } else { shared }).unwrap_or(prog.started)
    }

    fn set_timer_instant(&mut self, p: TaskId, timer: TimerRef, at: Ns) {
        if !self.workload.timers[timer.0 as usize].unique {
            self.shared_timers[timer.0 as usize] = Some(at);
            return;
        }
        let timers = &mut self.program(p).timers;
        match timers.iter_mut().find(|t| t.0 == timer) {
            Some(t) => t.1 = at,
            None => timers.push((timer, at)),
        }
    }

    fn suspend(&mut self, cpu: CpuId, p: TaskId) {
        self.program(p).doing = Doing::Suspended;
        self.suspended += 1;
        self.sched.block_current(cpu);
    }

    fn wake_suspended(&mut self, p: TaskId) {
        self.program(p).doing = Doing::Next;
        self.suspended -= 1;
        self.sched.charge(self.costs.wakeup_ns);
        self.sched.try_to_wake_up(p, 0);
    }

    pub(crate) fn resume(&mut self, cond: usize) {
        self.sched.charge(self.costs.syscall_ns);
        let mut woken = std::mem::take(&mut self.waiters[cond]);
        for p in woken.drain(..) {
            self.wake_suspended(p);
        }
        self.waiters[cond] = woken;
    }

    fn sem_post(&mut self, sem: usize) {
        self.sched.charge(self.costs.syscall_ns);
        match self.sems[sem].waiters.pop_front() {
            Some(p) => self.wake_suspended(p),
            None => self.sems[sem].count += 1,
        }
    }

    /// Where a new task of `spec` lives: what it says, else where the forking task is.
    fn birth_cgroup(&self, spec: &TaskSpec) -> CgroupId {
        let named = spec.cgroup.as_deref().and_then(|path| self.sched.cgroups.from_path(path));
        named.unwrap_or_else(|| self.sched.tasks[self.sched.current()].cgroup)
    }

    fn enter_phase(&mut self, p: TaskId, spec: &TaskSpec, phase: usize) {
        self.sched.charge(self.costs.syscall_ns);
        let phase = &spec.phases[phase];
        if let Some(path) = &phase.cgroup {
            self.move_to_cgroup(&[p], path);
        }
        if let Some((policy, value)) = phase.policy {
            // -EACCES, when a scheduler has disallowed the task: it keeps what it has.
            let _ = self.sched.sched_setscheduler(p, policy.number(), value);
        }
        if let Some(nice) = phase.nice {
            self.sched.set_user_nice(p, nice);
        }
        if let Some(cpus) = &phase.cpus {
            let mask: CpuMaskBits = cpus.iter().copied().collect();
            // -EINVAL where none of its CPUs is online any more, -EBUSY where it has pinned itself elsewhere: it keeps what it has.
            let pinned = self.sched.is_migration_disabled(p) && !mask.test(self.sched.task_cpu(p));
            let set = if pinned { Err(-16) } else { self.sched.set_cpus_allowed(p, &mask) };
            if let Err(errno) = set {
                let comm = self.sched.t(p).comm().get_str(&*self.sched.mem);
                let why = format!("task \"{comm}\": affinity refused (errno {})", -errno);
                self.failed_events.push((self.sched.now.since(UPTIME), why));
            }
        }
    }

    fn exit(&mut self, cpu: CpuId) {
        self.sched.charge(self.costs.fork_ns);
        self.live -= 1;
        let p = self.sched.rqs[cpu.idx()].curr;
        // The kernel code that keeps it on its CPU comes to its end first.
        while self.sched.is_migration_disabled(p) {
            self.sched.migrate_enable(p);
        }
        self.sched.exit_current(cpu);
        if let Some(prog) = self.programs[p.0 as usize].take() {
            self.queue.give_back(prog.slot);
        }
    }

    /// SIGKILL: what the task waits or computes for is over. It wakes if it sleeps, leaves user mode if it runs, and exits when it next
    /// has the CPU; until then it stays where it is, in a queue or in the scheduler's hands.
    pub(crate) fn kill(&mut self, p: TaskId) {
        let prog = self.program(p);
        if std::mem::replace(&mut prog.killed, true) {
            return;
        }
        let slot = prog.slot;
        let was = std::mem::replace(&mut prog.doing, Doing::Next);
        self.queue.cancel(slot);
        if was == Doing::Suspended {
            self.suspended -= 1;
            self.waiters.iter_mut().for_each(|waiters| waiters.retain(|&w| w != p));
            self.sems.iter_mut().for_each(|sem| sem.waiters.retain(|&w| w != p));
        }
        self.sched.charge(self.costs.wakeup_ns);
        if !self.sched.try_to_wake_up(p, 0) && self.sched.task_current(p) {
            let cpu = self.sched.task_cpu(p);
            self.send_ipi(cpu); // kick_process()
        }
    }

    /// The executing CPU makes a task of `spec`.
    pub(crate) fn fork_task(&mut self, id: SpecId, instance: u32, pid: i32) {
        self.sched.charge(self.costs.fork_ns);
        if self.live as usize >= MAX_TASKS {
            self.forks_at_limit += 1;
            return;
        }
        let workload = self.workload.clone();
        let spec = &workload.tasks[id.0 as usize];
        let attr = TaskAttr {
            comm: comm(spec, instance),
            nice: spec.nice,
            rt_priority: spec.rt_priority,
            policy: spec.policy.number(),
            cpus: spec.cpus.clone(),
            flags: PF_FORKNOEXEC,
            tgid: 0,
            cgroup: Some(self.birth_cgroup(spec)),
        };
        self.sched.next_pid = pid;
        let p = match self.sched.sched_fork(&attr) {
            Ok(p) => p,
            Err(errno) => return *self.refused_forks.entry((id, errno)).or_default() += 1,
        };
        let slot = self.queue.add(What::Sleep(p));
        let mut prog = Box::new(Program::new(id, slot, self.sched.now));
        prog.delay = spec.delay;
        self.programs.resize_with((p.0 as usize + 1).max(self.programs.len()), || None);
        self.programs[p.0 as usize] = Some(prog);
        self.stats.set_spec(p, id);
        self.live += 1;
        self.sched.wake_up_new_task(p);
    }
}

/// The name, with `-I` when there are several instances; 15 bytes at most, the number is never cut.
fn comm(spec: &TaskSpec, instance: u32) -> String {
    let suffix = if spec.instances > 1 { format!("-{instance}") } else { String::new() };
    let mut end = spec.name.len().min(15 - suffix.len().min(15));
    while !spec.name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &spec.name[..end])
}
