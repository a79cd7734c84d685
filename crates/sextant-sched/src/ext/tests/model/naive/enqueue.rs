//! Into the class and out of it: semantics §4.3, 4.4, 4.20.

use sextant_abi::tables::Op;
use sextant_abi::types::*;

use super::{Naive, Name, Rank, Subject, Verdict, Who};

/// A verdict that says nothing but where.
fn plain(flags: u64) -> Verdict {
    Verdict { dsq: 0, slice: 0, vtime: None, flags }
}

impl Naive {
    /// The task waits on this runqueue from now on.
    pub(super) fn begin_wait(&mut self, cpu: u32, p: usize) {
        if std::mem::take(&mut self.tasks[p].new_wait) {
            self.tasks[p].waits_since = self.jiffies();
        }
        self.cpu(cpu).waiting.push(p);
    }

    fn end_wait(&mut self, p: usize) {
        self.cpus.iter_mut().for_each(|cpu| cpu.waiting.retain(|&q| q != p));
    }

    /// §4.3, enqueue_task. `migrating`: the core moves it between runqueues, which the scheduler is not told.
    pub(super) fn enqueue(&mut self, cpu: u32, p: usize, mut flags: u64, migrating: bool) {
        let mut sticky = self.tasks[p].sticky.take();
        // task_woken follows a wakeup, not the transfer of a task whose verdict was made in one.
        self.cpu(cpu).in_wakeup = flags & SCX_ENQ_WAKEUP != 0 && !migrating;
        if flags & super::core::RESTORE != 0 && self.cpu(cpu).curr == Who::Task(p) {
            sticky = Some(cpu);
            flags |= SCX_ENQ_IGNORE_CAPS;
        }
        assert!(!self.tasks[p].queued);
        self.begin_wait(cpu, p);
        self.tasks[p].queued = true;
        if !migrating {
            self.tell(Op::Runnable, Some(p), [flags, 0]);
        }
        self.place(cpu, p, flags, sticky);
        self.cpu(cpu).in_wakeup = false;
    }

    /// §4.3, do_enqueue: the first that applies.
    pub(super) fn place(&mut self, cpu: u32, p: usize, flags: u64, sticky: Option<u32>) {
        if sticky == Some(cpu) {
            return self.insert_task(cpu, Name::Local(cpu), p, plain(flags), false);
        }
        self.tasks[p].immed = false;
        let (ours, t) = (self.setup.flags, &self.tasks[p]);
        let exiting = t.exiting && ours & SCX_OPS_ENQ_EXITING == 0;
        let pinned = t.pinned > 0 && ours & SCX_OPS_ENQ_MIGRATION_DISABLED == 0;
        if self.cpu(cpu).bypass {
            self.refilled(cpu, Name::Bypass(cpu), p, flags);
        } else if self.tasks[p].verdict.is_some() {
            self.carry_out(cpu, p, flags);
        } else if exiting || pinned {
            self.refilled(cpu, Name::Local(cpu), p, flags);
        } else if !self.setup.enqueue {
            self.refilled(cpu, Name::Global, p, flags);
        } else {
            self.ask_where(cpu, p, flags);
        }
    }

    fn refilled(&mut self, cpu: u32, name: Name, p: usize, flags: u64) {
        self.tasks[p].slice = self.default_slice();
        self.tasks[p].verdict = None;
        self.insert_task(cpu, name, p, plain(flags), false);
    }

    /// ops.enqueue decides, or keeps the task.
    fn ask_where(&mut self, cpu: u32, p: usize, flags: u64) {
        self.tasks[p].generation += 1;
        let outer = std::mem::replace(&mut self.cpus[self.this as usize].subject, Subject::Task(p));
        self.op(Op::Enqueue, Some(p), [flags, 0], Some(cpu), |policy, k| ((), policy.enqueue(k, p, flags)));
        self.cpus[self.this as usize].subject = outer;
        if self.tasks[p].verdict.is_some() {
            return self.carry_out(cpu, p, flags);
        }
        self.tasks[p].custody = true;
        self.tasks[p].held = Some(self.tasks[p].generation);
    }

    /// A direct dispatch: now, or later when it is to another CPU's local DSQ.
    fn carry_out(&mut self, cpu: u32, p: usize, flags: u64) {
        let mut v = self.tasks[p].verdict.expect("there is one");
        v.flags |= flags;
        let name = self.resolve(v.dsq, cpu);
        self.tasks[p].held = None;
        if matches!(name, Name::Local(on) if on != cpu) {
            self.tasks[p].verdict = Some(v);
            self.cpu(cpu).deferred.push(p);
            return self.defer(cpu);
        }
        self.tasks[p].verdict = None;
        self.insert_task(cpu, name, p, v, true);
    }

    /// Deferred work waits for task_woken, for the callback after the dispatch, else for an irq_work.
    pub(super) fn defer(&mut self, cpu: u32) {
        let c = self.cpu(cpu);
        if c.in_wakeup || c.deferred_to_callback {
        } else if c.in_dispatch {
            c.deferred_to_callback = true;
        } else {
            c.irq_work = true;
        }
    }

    /// ops.dequeue, once for each time the scheduler had it; not while the class itself moves it.
    pub(super) fn end_custody(&mut self, cpu: u32, p: usize, flags: u64) {
        if self.tasks[p].custody && self.tasks[p].sticky.is_none() {
            self.tasks[p].custody = false;
            self.op(Op::Dequeue, Some(p), [flags, 0], Some(cpu), |policy, k| ((), policy.dequeue(k, p)));
        }
    }

    /// §4.4 step 5: on a local DSQ.
    pub(super) fn arrived_on_local(&mut self, cpu: u32, p: usize, flags: u64) {
        self.tasks[p].immed |= flags & SCX_ENQ_IMMED != 0;
        if self.tasks[p].immed && (self.tasks_on(Name::Local(cpu)).len() > 1 || !self.open(cpu, flags)) {
            self.ask_reenq(Name::Local(cpu), 0, Some(cpu));
        }
        self.end_custody(cpu, p, 0);
        if self.cpu(cpu).next == Rank::Idle {
            self.preempt_for(cpu, Rank::Ext);
        }
        let c = self.cpu(cpu);
        if !c.in_dispatch
            && flags & SCX_ENQ_PREEMPT != 0
            && let Who::Task(curr) = c.curr
            && curr != p
        {
            self.write_slice(curr, 0);
            self.ask_resched(cpu);
        }
    }

    pub(super) fn write_slice(&mut self, p: usize, slice: u64) {
        self.tasks[p].slice = slice;
        self.tasks[p].wanted_slice = None;
    }

    /// Whether what is put on this local DSQ runs at once.
    fn open(&self, cpu: u32, flags: u64) -> bool {
        let c = &self.cpus[cpu as usize];
        match c.next {
            Rank::Stop => false,
            Rank::Idle => true,
            Rank::Ext => c.in_dispatch || flags & SCX_ENQ_PREEMPT != 0,
        }
    }

    /// §4.4, dequeue_task.
    pub(super) fn dequeue(&mut self, cpu: u32, p: usize, mut flags: u64, migrating: bool) {
        assert!(self.tasks[p].queued);
        if flags & SCX_DEQ_SLEEP == 0 {
            flags |= SCX_DEQ_SCHED_CHANGE;
        }
        self.end_wait(p);
        self.tasks[p].held = None;
        self.end_custody(cpu, p, flags);
        if self.cpu(cpu).curr == Who::Task(p) {
            self.charge(cpu);
            self.stopping(cpu, p, false);
        }
        if !migrating {
            self.tell(Op::Quiescent, Some(p), [flags, 0]);
        }
        self.tasks[p].queued = false;
        self.leave_place(cpu, p);
        self.tasks[p].verdict = None;
    }

    /// Off its DSQ, or no longer on its way to one.
    pub(super) fn leave_place(&mut self, cpu: u32, p: usize) {
        if self.queue_of(p).is_some() {
            self.remove(p);
        } else {
            self.cpu(cpu).deferred.retain(|&q| q != p);
        }
    }

    pub(super) fn stopping(&mut self, cpu: u32, p: usize, runnable: bool) {
        let args = [u64::from(runnable), 0];
        self.op(Op::Stopping, Some(p), args, Some(cpu), |policy, k| ((), policy.on_cpu(k, p)));
    }

    /// set_next_task: it runs.
    pub(super) fn start(&mut self, cpu: u32, p: usize) {
        if self.tasks[p].queued {
            self.end_wait(p);
            self.tasks[p].held = None;
            self.end_custody(cpu, p, SCX_DEQ_CORE_SCHED_EXEC);
            self.leave_place(cpu, p);
        }
        self.tasks[p].charged_until = self.now;
        if self.tasks[p].queued {
            self.op(Op::Running, Some(p), [0; 2], Some(cpu), |policy, k| ((), policy.on_cpu(k, p)));
        }
        self.end_wait(p);
        self.tasks[p].new_wait = true;
        self.apply_wanted(p);
    }

    fn apply_wanted(&mut self, p: usize) {
        if let Some(slice) = self.tasks[p].wanted_slice.take() {
            self.tasks[p].slice = slice;
        }
    }

    /// Time since the last charge comes off the slice of what runs here.
    pub(super) fn charge(&mut self, cpu: u32) {
        let Who::Task(p) = self.cpu(cpu).curr else { return };
        self.apply_wanted(p);
        let now = self.now;
        let task = &mut self.tasks[p];
        let delta = now - std::mem::replace(&mut task.charged_until, now);
        task.ran_ns += delta;
        if task.slice != SCX_SLICE_INF {
            task.slice -= task.slice.min(delta);
        }
    }

    /// §4.20: a reenqueue is asked for; ignored in bypass.
    pub(super) fn ask_reenq(&mut self, name: Name, flags: u64, locked: Option<u32>) {
        if self.bypass {
            return;
        }
        let cpu = match name {
            Name::Local(cpu) => {
                let wanted = self.cpu(cpu).reenq_local.unwrap_or(0) | flags;
                self.cpu(cpu).reenq_local = Some(wanted);
                cpu
            }
            Name::User(id) => {
                let this = self.this;
                let pending = &mut self.cpu(this).reenq_user;
                match pending.iter_mut().find(|(dsq, _)| *dsq == id) {
                    Some(found) => found.1 |= flags,
                    None => pending.push((id, flags)),
                }
                this
            }
            Name::Global | Name::Bypass(_) => {
                return self.fail(format!("DSQ {:#x} not allowed for reenq", name.id()));
            }
        };
        if locked == Some(cpu) { self.defer(cpu) } else { self.ask_irq_work(cpu) }
    }

    /// Transfers to other CPUs, then reenqueues.
    pub(super) fn run_deferred(&mut self, cpu: u32) {
        while !self.cpu(cpu).deferred.is_empty() {
            let p = self.cpu(cpu).deferred.remove(0);
            let v = self.tasks[p].verdict.take().expect("it is on its way");
            let name = self.resolve(v.dsq, cpu);
            self.dispatch_to(cpu, name, p, v);
        }
        while let Some(flags) = self.cpu(cpu).reenq_local.take() {
            self.reenq_local(cpu, flags);
        }
        while !self.cpu(cpu).reenq_user.is_empty() {
            let (id, _) = self.cpu(cpu).reenq_user.remove(0);
            let entries = self.queues.iter().find(|q| q.name == Name::User(id)).map(|q| q.entries.clone());
            for e in entries.unwrap_or_default() {
                let now = self.queue(Name::User(id)).entries.iter().find(|x| x.p == e.p).map(|x| x.seq);
                if now == Some(e.seq) && !self.bypass {
                    self.remove(e.p);
                    self.place(self.tasks[e.p].cpu, e.p, SCX_ENQ_REENQ, None);
                }
            }
        }
    }

    /// All that go leave first, then each is asked about.
    pub(super) fn reenq_local(&mut self, cpu: u32, flags: u64) {
        let open = self.open(cpu, 0);
        let stay = self.cpus[cpu as usize].to_migrate.clone();
        let here: Vec<usize> =
            self.tasks_on(Name::Local(cpu)).into_iter().filter(|p| !stay.contains(p)).collect();
        let go: Vec<usize> = here
            .iter()
            .enumerate()
            .filter(|&(i, &p)| {
                let keeps_its_promise = i == 0 && open;
                (self.tasks[p].immed && !keeps_its_promise) || flags & SCX_REENQ_ANY != 0
            })
            .map(|(_, &p)| p)
            .collect();
        go.iter().for_each(|&p| self.remove(p));
        go.iter().for_each(|&p| self.place(cpu, p, SCX_ENQ_REENQ, None));
    }
}
