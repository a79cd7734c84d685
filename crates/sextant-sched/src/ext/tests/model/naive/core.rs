//! What the scheduler core does around the class: semantics §4.1, 4.2, 4.10, 4.11, 4.13, 4.15 and the sequences of §4.24.

use sextant_abi::tables::Op;
use sextant_abi::types::*;

use super::{Cpu, Naive, Name, Rank, Seen, Subject, Task, Who};

/// Flags of the core, as ops see them.
pub const SLEEP: u64 = 0x1;
pub const WAKEUP: u64 = 0x1;
pub const SAVE: u64 = 0x2;
pub const RESTORE: u64 = 0x2;
pub const MOVE: u64 = 0x4;
pub const NOCLOCK: u64 = 0x8;
pub const SPECIAL: u64 = 0x10000;
pub const MIGRATED: u64 = 0x40000;
pub const INITIAL: u64 = 0x80000;
/// Wake flags.
const TTWU: u64 = 0x8;
const FORK: u64 = 0x4;

/// Weights of the nice values used.
fn weight(nice: i32) -> u64 {
    match nice {
        -5 => 305,
        0 => 100,
        5 => 33,
        10 => 11,
        _ => panic!("nice {nice} is not used"),
    }
}

impl Naive {
    /// The CPUs that count.
    pub fn may_use(&self, p: usize) -> u64 {
        let t = &self.tasks[p];
        if t.narrowed { 1 << t.cpu } else { t.allowed }
    }

    fn first_allowed(&self, p: usize) -> u32 {
        self.may_use(p).trailing_zeros()
    }

    pub(super) fn set_cpu(&mut self, p: usize, cpu: u32) {
        self.tasks[p].cpu = cpu;
        self.seen.push(Seen::Migrate { p, to: cpu });
    }

    /// §4.2: the CPU, and whether ops.select_cpu was asked.
    fn select(&mut self, p: usize, wake_flags: u64) -> (u32, bool) {
        let prev = self.tasks[p].cpu;
        if self.tasks[p].allowed.count_ones() == 1 || self.tasks[p].pinned > 0 {
            return (self.first_allowed(p), false);
        }
        let mut cpu = prev as i32;
        if !self.cpu(prev).bypass {
            let this = self.this as usize;
            let outer = std::mem::replace(&mut self.cpus[this].subject, Subject::Task(p));
            let args = [u64::from(prev), wake_flags];
            cpu = self.op(Op::SelectCpu, Some(p), args, None, |policy, k| policy.select_cpu(k, p, prev));
            self.cpus[this].subject = outer;
        }
        self.tasks[p].selected = cpu;
        let valid = if (cpu as u32) < self.setup.nr_cpus { cpu as u32 } else { prev };
        if valid as i32 != cpu {
            self.fail(format!("invalid CPU {cpu} from ops.select_cpu()"));
        }
        let allowed = self.tasks[p].allowed >> valid & 1 != 0;
        (if allowed { valid } else { self.first_allowed(p) }, true)
    }

    /// A task of that class is on this runqueue now: it takes the CPU from what is below.
    pub(super) fn preempt_for(&mut self, cpu: u32, rank: Rank) {
        if rank == Rank::Stop
            && self.cpu(cpu).next == Rank::Ext
            && self.tasks_on(Name::Local(cpu)).iter().any(|&p| self.tasks[p].immed)
        {
            self.ask_reenq(Name::Local(cpu), 0, Some(cpu));
        }
        if rank < self.cpu(cpu).next {
            self.ask_resched(cpu);
            self.cpu(cpu).next = rank;
        }
    }

    /// Wakes a sleeping task.
    pub fn wake(&mut self, p: usize) {
        assert!(self.tasks[p].asleep);
        self.tasks[p].asleep = false;
        let (cpu, selected) = self.select(p, TTWU);
        let mut flags = WAKEUP | NOCLOCK;
        if selected {
            flags |= SCX_ENQ_CPU_SELECTED;
        }
        if cpu != self.tasks[p].cpu {
            flags |= MIGRATED;
            self.set_cpu(p, cpu);
        }
        self.enqueue(cpu, p, flags, false);
        self.preempt_for(cpu, Rank::Ext);
        self.run_deferred(cpu);
    }

    /// A new task, woken.
    pub fn fork(&mut self, allowed: u64) {
        let p = self.tasks.len();
        self.tasks.push(Task {
            alive: true,
            exiting: false,
            asleep: false,
            queued: false,
            cpu: self.this,
            allowed,
            pinned: 0,
            narrowed: false,
            nice: 0,
            slice: SCX_SLICE_DFL,
            wanted_slice: None,
            vtime: 0,
            custody: false,
            held: None,
            generation: 0,
            verdict: None,
            sticky: None,
            selected: 0,
            immed: false,
            waits_since: self.jiffies(),
            new_wait: true,
            charged_until: 0,
            ran_ns: 0,
        });
        self.tell(Op::InitTask, Some(p), [1, 0]);
        self.tell(Op::Enable, Some(p), [0; 2]);
        self.tell(Op::SetWeight, Some(p), [weight(0), 0]);
        let (cpu, _) = self.select(p, FORK);
        self.tasks[p].cpu = cpu;
        self.enqueue(cpu, p, NOCLOCK | INITIAL, false);
        self.preempt_for(cpu, Rank::Ext);
        self.run_deferred(cpu);
    }

    fn running(&self, cpu: u32) -> usize {
        match self.cpus[cpu as usize].curr {
            Who::Task(p) => p,
            other => panic!("{other:?} runs on CPU {cpu}"),
        }
    }

    /// The running task sleeps.
    pub fn block(&mut self, cpu: u32) {
        let p = self.running(cpu);
        self.narrow(cpu);
        self.tasks[p].asleep = true;
        self.dequeue(cpu, p, SLEEP | NOCLOCK, false);
        self.switch(cpu);
    }

    /// The running task exits: with autogroups it is moved to the default group first (§9.1.2).
    pub fn exit(&mut self, cpu: u32) {
        let p = self.running(cpu);
        self.tasks[p].exiting = true;
        self.change(p, SAVE | MOVE, |_| ());
        self.ask_resched(cpu);
        self.callbacks(cpu);
        self.dequeue(cpu, p, SLEEP | NOCLOCK | SPECIAL, false);
        self.switch(cpu);
    }

    pub fn yield_(&mut self, cpu: u32) {
        let p = self.running(cpu);
        self.write_slice(p, 0);
        self.switch(cpu);
    }

    pub fn tick(&mut self, cpu: u32) {
        let p = self.running(cpu);
        self.charge(cpu);
        if self.cpu(cpu).bypass {
            self.write_slice(p, 0);
        } else {
            self.op(Op::Tick, Some(p), [0; 2], Some(cpu), |policy, k| ((), policy.on_cpu(k, p)));
        }
        if self.tasks[p].slice == 0 {
            self.ask_resched(cpu);
        }
    }

    /// A pick, and the switch if it is another.
    pub fn switch(&mut self, cpu: u32) {
        self.narrow(cpu);
        let prev = self.cpu(cpu).curr;
        let next = if self.cpu(cpu).stopper_queued {
            Who::Stopper
        } else {
            self.pick(cpu).map_or(Who::Idle, Who::Task)
        };
        if next == Who::Idle {
            self.idle_state(cpu, true, false);
        }
        if next != prev {
            self.stop_prev(cpu, prev, next);
            match next {
                Who::Task(p) => self.start(cpu, p),
                Who::Idle => self.idle_state(cpu, true, true),
                Who::Stopper => {}
            }
        }
        let c = self.cpu(cpu);
        c.next = next.rank();
        c.need_resched = false;
        if next != prev {
            c.curr = next;
            self.seen.push(Seen::Switch { cpu, next });
            if let Who::Task(p) = prev
                && self.tasks[p].exiting
                && !self.tasks[p].queued
            {
                self.tell(Op::Disable, Some(p), [0; 2]);
                self.tell(Op::ExitTask, Some(p), [0; 2]);
                self.tasks[p].alive = false;
                self.seen.push(Seen::Exit { p });
            }
        }
        self.callbacks(cpu);
    }

    /// put_prev_task, §4.5.
    fn stop_prev(&mut self, cpu: u32, prev: Who, next: Who) {
        match prev {
            Who::Idle => self.idle_state(cpu, false, true),
            Who::Stopper => {}
            Who::Task(p) => {
                self.charge(cpu);
                if self.tasks[p].queued {
                    self.stopping(cpu, p, true);
                    self.back_in_line(cpu, p, next);
                }
                if next == Who::Stopper && self.setup.release && !self.cpu(cpu).released {
                    self.cpu(cpu).released = true;
                    let reason = u64::from(SCX_CPU_PREEMPT_STOP);
                    self.tell(Op::CpuRelease, None, [u64::from(cpu), reason]);
                }
            }
        }
    }

    fn back_in_line(&mut self, cpu: u32, p: usize, next: Who) {
        self.begin_wait(cpu, p);
        if self.tasks[p].slice > 0 && !self.cpu(cpu).bypass {
            if self.tasks[p].immed {
                return self.place(cpu, p, SCX_ENQ_REENQ, None);
            }
            let first = super::Verdict { dsq: 0, slice: 0, vtime: None, flags: SCX_ENQ_HEAD };
            return self.insert_task(cpu, Name::Local(cpu), p, first, false);
        }
        self.place(cpu, p, if next == Who::Idle { SCX_ENQ_LAST } else { 0 }, None);
        if next == Who::Idle && self.queue_of(p) == Some(Name::Local(cpu)) {
            let c = self.cpu(cpu);
            (c.resched_after, c.callback) = (true, true);
        }
    }

    /// The balance callbacks after a pick or a change.
    fn callbacks(&mut self, cpu: u32) {
        while std::mem::take(&mut self.cpu(cpu).callback) {
            let c = self.cpu(cpu);
            (c.wait_kick, c.deferred_to_callback) = (false, false);
            let again = std::mem::take(&mut c.resched_after);
            self.run_deferred(cpu);
            if again {
                self.ask_resched(cpu);
            }
        }
    }

    /// §4.12: the mask always, the op on real changes and where bypass owes one.
    fn idle_state(&mut self, cpu: u32, idle: bool, notify: bool) {
        let c = self.cpu(cpu);
        let bypass = c.bypass;
        c.idle = idle;
        if notify || (idle && c.idle_owed) {
            c.idle_owed = false;
            if !bypass {
                self.tell(Op::UpdateIdle, None, [u64::from(cpu), u64::from(idle)]);
            }
        }
    }

    /// A property changes: out of the class and in again (§4.24).
    pub(super) fn change(&mut self, p: usize, flags: u64, f: impl FnOnce(&mut Self)) {
        let flags = flags | NOCLOCK;
        let cpu = self.tasks[p].cpu;
        let queued = self.tasks[p].queued;
        let running = self.cpu(cpu).curr == Who::Task(p);
        if queued {
            self.dequeue(cpu, p, flags, false);
        }
        if running {
            self.charge(cpu);
        }
        f(self);
        if queued {
            self.enqueue(cpu, p, flags, false);
        }
        if running {
            self.start(cpu, p);
        }
    }

    pub fn set_nice(&mut self, p: usize, nice: i32) {
        if self.tasks[p].nice == nice {
            return;
        }
        self.change(p, SAVE, |s| {
            s.tasks[p].nice = nice;
            s.tell(Op::SetWeight, Some(p), [weight(nice), 0]);
        });
    }

    pub fn set_allowed(&mut self, p: usize, allowed: u64) {
        if self.tasks[p].allowed == allowed {
            return;
        }
        self.change(p, SAVE, |s| {
            s.tasks[p].allowed = allowed;
            s.tell(Op::SetCpumask, Some(p), [0; 2]);
        });
        self.move_if_it_must(p);
    }

    /// A task on a CPU that it may no longer use is moved, unless it must stay for now.
    fn move_if_it_must(&mut self, p: usize) {
        let cpu = self.tasks[p].cpu;
        if self.tasks[p].allowed >> cpu & 1 != 0 || self.tasks[p].pinned > 0 {
            return;
        }
        if self.cpu(cpu).curr == Who::Task(p) {
            let c = self.cpu(cpu);
            c.to_migrate.push(p);
            if !c.stopper_queued {
                c.stopper_queued = true;
                self.preempt_for(cpu, Rank::Stop);
            }
        } else if self.tasks[p].queued {
            self.push_away(p);
        }
    }

    /// migrate_disable by the running task.
    pub fn pin(&mut self, cpu: u32) {
        let p = self.running(cpu);
        self.tasks[p].pinned += 1;
    }

    /// migrate_enable by the running task.
    pub fn unpin(&mut self, cpu: u32) {
        let p = self.running(cpu);
        let back = self.tasks[p].pinned == 1 && self.tasks[p].narrowed;
        if back {
            self.change(p, SAVE, |s| {
                s.tasks[p].narrowed = false;
                s.tell(Op::SetCpumask, Some(p), [0; 2]);
            });
        }
        self.tasks[p].pinned -= 1;
        if back {
            self.move_if_it_must(p);
        }
    }

    /// The running task may leave the CPU: while it must not migrate, that is the only CPU it may use.
    fn narrow(&mut self, cpu: u32) {
        let Who::Task(p) = self.cpu(cpu).curr else { return };
        if self.tasks[p].pinned > 0 && !self.tasks[p].narrowed {
            self.change(p, SAVE, |s| {
                s.tasks[p].narrowed = true;
                s.tell(Op::SetCpumask, Some(p), [0; 2]);
            });
        }
    }

    /// A waiting task goes to a CPU it may use.
    fn push_away(&mut self, p: usize) {
        let (from, to) = (self.tasks[p].cpu, self.first_allowed(p));
        self.dequeue(from, p, NOCLOCK, true);
        self.set_cpu(p, to);
        self.enqueue(to, p, NOCLOCK | MIGRATED, true);
        self.preempt_for(to, Rank::Ext);
    }

    /// migration/N has the CPU.
    pub fn stopper(&mut self, cpu: u32) {
        for p in std::mem::take(&mut self.cpu(cpu).to_migrate) {
            let t = &self.tasks[p];
            if t.cpu == cpu && t.pinned == 0 && t.allowed >> cpu & 1 == 0 && t.queued {
                self.push_away(p);
            }
        }
        self.cpu(cpu).stopper_queued = false;
        self.switch(cpu);
    }

    /// §4.11: kicks, then deferred work.
    pub fn irq_work(&mut self, cpu: u32) {
        self.cpu(cpu).irq_work = false;
        let kicks = std::mem::take(&mut self.cpu(cpu).kicks);
        let mut wait = false;
        for &to in &kicks.kick {
            let curr = self.cpu(to).curr;
            if curr == Who::Stopper {
                continue;
            }
            if let Who::Task(p) = curr {
                if kicks.preempt.contains(&to) {
                    self.write_slice(p, 0);
                }
                wait |= kicks.wait.contains(&to);
            }
            self.ask_resched(to);
        }
        for &to in kicks.idle.difference(&kicks.kick) {
            if self.interests_an_idle_kick(to) {
                self.ask_resched(to);
            }
        }
        if wait {
            self.cpu(cpu).wait_kick = true;
            self.ask_resched(cpu);
        }
        self.run_deferred(cpu);
    }

    pub(super) fn interests_an_idle_kick(&self, cpu: u32) -> bool {
        let c: &Cpu = &self.cpus[cpu as usize];
        c.curr == Who::Idle || c.in_dispatch
    }

    /// §4.15
    pub fn set_bypass(&mut self, on: bool) {
        self.bypass = on;
        for cpu in 0..self.setup.nr_cpus {
            let c = self.cpu(cpu);
            c.idle_owed |= !on;
            c.bypass = on;
            for p in c.waiting.clone().into_iter().rev() {
                self.change(p, SAVE | MOVE, |_| ());
            }
            self.ask_resched(cpu);
        }
    }

    /// A program that a user runs on this CPU.
    pub fn syscall(&mut self) {
        let mut policy = self.policy.take().expect("no op runs");
        let acts = policy.syscall(self);
        self.policy = Some(policy);
        self.perform(acts);
    }
}
