//! Changes of a task's scheduling properties. Mirrors sched_change_begin()/end(), set_user_nice(),
//! __sched_setscheduler(), sched_move_task().

use super::flags::*;
use crate::cgroup::CgroupId;
use crate::event::Event;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// What `sched_change_begin` found, for `sched_change_end`.
#[derive(Clone, Copy, Debug)]
#[must_use = "a change that was begun must be ended"]
pub struct ChangeCtx {
    p: TaskId,
    class: Class,
    prio: i32,
    flags: u64,
    /// It was on a runqueue.
    pub queued: bool,
    /// It was running.
    pub running: bool,
}

impl ChangeCtx {
    /// More flags for the enqueue at the end.
    pub fn add_flags(&mut self, flags: u64) {
        self.flags |= flags;
    }
}

impl Sched {
    /// Takes `p` off its runqueue (and off its CPU's `curr`) so that a property may change. `flags` is for both the dequeue and the enqueue:
    /// `DEQUEUE_SAVE`, `MOVE`, `CLASS`, `NOCLOCK`.
    pub fn sched_change_begin(&mut self, p: TaskId, mut flags: u64) -> ChangeCtx {
        let cpu = self.tasks[p].cpu;
        if flags & DEQUEUE_NOCLOCK == 0 {
            self.update_rq_clock(cpu);
            flags |= DEQUEUE_NOCLOCK;
        }
        let (class, prio) = (self.tasks[p].class, self.tasks[p].ts.prio().get(&*self.mem));
        let queued = self.task_on_rq_queued(p);
        let running = self.task_current(p);
        if queued {
            self.dequeue_task(cpu, p, flags);
        }
        if running {
            self.put_prev_task(cpu, p, None);
        }
        if flags & DEQUEUE_CLASS != 0 {
            match class {
                Class::Ext => self.switched_from_scx(p),
                Class::Rt => self.switched_from_rt(cpu, p),
                _ => {}
            }
        }
        ChangeCtx { p, class, prio, flags, queued, running }
    }

    /// Puts the task back as it was, in its class of now.
    pub fn sched_change_end(&mut self, ctx: ChangeCtx) {
        let p = ctx.p;
        let cpu = self.tasks[p].cpu;
        let class = self.tasks[p].class;
        debug_assert!(class == ctx.class || ctx.flags & DEQUEUE_CLASS != 0, "class changed without CLASS");
        if ctx.flags & ENQUEUE_CLASS != 0 && class == Class::Ext {
            self.switching_to_scx(p);
        }
        if class != ctx.class {
            self.emit(Event::ClassChange { p, from: ctx.class, to: class });
        }
        if ctx.queued {
            self.enqueue_task(cpu, p, ctx.flags);
        }
        if ctx.running {
            self.set_next_task(cpu, p, false);
        }
        if ctx.flags & ENQUEUE_CLASS == 0 {
            return self.prio_changed(p, ctx);
        }
        if class == Class::Rt {
            self.switched_to_rt(cpu, p);
        }
        if ctx.queued {
            self.wakeup_preempt(cpu, p, 0);
        }
        if ctx.running && ctx.class < class {
            self.resched_curr(cpu);
        }
    }

    /// `prio_changed` of the class: fair and rt look anew who should run, ext does nothing.
    fn prio_changed(&mut self, p: TaskId, ctx: ChangeCtx) {
        match self.tasks[p].class {
            Class::Fair if ctx.queued => self.prio_changed_fair(p, ctx.running),
            Class::Rt => self.prio_changed_rt(self.tasks[p].cpu, p, ctx.prio),
            _ => {}
        }
    }

    /// `set_user_nice`: `nice` outside -20..=19 is ignored.
    pub fn set_user_nice(&mut self, p: TaskId, nice: i32) {
        let ts = self.tasks[p].ts;
        if !(-20..=19).contains(&nice)
            || ts.static_prio().get(&*self.mem) == nice_to_prio(nice)
            || self.tasks[p].dead
        {
            return;
        }
        if rt_policy(ts.policy().get(&*self.mem)) {
            // Kept for when it is no longer real-time.
            return ts.static_prio().set(&*self.mem, nice_to_prio(nice));
        }
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE);
        self.set_prio(p, nice_to_prio(nice));
        self.reweight(p);
        self.sched_change_end(ctx);
    }

    /// `sched_setscheduler`: policy 0 NORMAL, 3 BATCH, 5 IDLE, 7 EXT with `value` the nice value -20..=19, or None to keep it; 1 FIFO,
    /// 2 RR with `value` the priority 1..=99. Fails with -EINVAL for other values and with ext's -EACCES for a task that a
    /// scheduler has disallowed.
    pub fn sched_setscheduler(
        &mut self,
        p: TaskId,
        policy: u32,
        value: impl Into<Option<i32>>,
    ) -> Result<(), i32> {
        let rt = rt_policy(policy);
        let known = rt || [SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE, SCHED_EXT].contains(&policy);
        let ts = self.tasks[p].ts;
        let kept = if rt { 0 } else { prio_to_nice(ts.static_prio().get(&*self.mem)) };
        let value = value.into().unwrap_or(kept);
        let range = if rt { 1..=99 } else { -20..=19 };
        let fixed = matches!(self.tasks[p].class, Class::Stop | Class::Idle) || self.tasks[p].dead;
        if !known || !range.contains(&value) || fixed {
            return Err(EINVAL);
        }
        self.scx_check_setscheduler(p, policy)?;
        if self.same_scheduling(p, policy, value) {
            return Ok(());
        }
        let prio = if rt { rt_to_prio(value as u32) } else { nice_to_prio(value) };
        let old_prio = ts.prio().get(&*self.mem);
        let next_class = self.setscheduler_class(policy);
        let mut flags = DEQUEUE_SAVE | DEQUEUE_MOVE;
        if prio == old_prio {
            flags &= !DEQUEUE_MOVE; // its place in the queue does not change
        }
        if next_class != self.tasks[p].class {
            flags |= DEQUEUE_CLASS;
        }
        let mut ctx = self.sched_change_begin(p, flags);
        ts.policy().set(&*self.mem, policy);
        if fair_policy(policy) {
            ts.static_prio().set(&*self.mem, prio);
        }
        ts.rt_priority().set(&*self.mem, if rt { value as u32 } else { 0 });
        let normal = if rt { prio } else { ts.static_prio().get(&*self.mem) };
        ts.normal_prio().set(&*self.mem, normal);
        self.reweight(p);
        self.set_class(p, next_class);
        ts.prio().set(&*self.mem, prio);
        if ctx.queued && old_prio < prio {
            ctx.add_flags(ENQUEUE_HEAD);
        }
        self.sched_change_end(ctx);
        let cpu = self.tasks[p].cpu;
        self.balance_callbacks(cpu);
        Ok(())
    }

    /// Whether the kernel sees nothing to change. A fair policy always changes: its slice (`sched_runtime`) is 0 in the call and never 0 in
    /// the task.
    fn same_scheduling(&self, p: TaskId, policy: u32, value: i32) -> bool {
        let ts = self.tasks[p].ts;
        let same_rt = !rt_policy(policy) || ts.rt_priority().get(&*self.mem) == value as u32;
        ts.policy().get(&*self.mem) == policy && !fair_policy(policy) && same_rt
    }

    /// `__setscheduler_class`: a policy's class now.
    pub fn setscheduler_class(&self, policy: u32) -> Class {
        if rt_policy(policy) {
            Class::Rt
        } else if self.task_should_scx(policy) {
            Class::Ext
        } else {
            Class::Fair
        }
    }

    fn set_prio(&mut self, p: TaskId, prio: i32) {
        let ts = self.tasks[p].ts;
        ts.static_prio().set(&*self.mem, prio);
        ts.prio().set(&*self.mem, prio);
        ts.normal_prio().set(&*self.mem, prio);
    }

    /// `set_load_weight(p, true)`: the current class only.
    fn reweight(&mut self, p: TaskId) {
        let weight = self.load_weight(self.tasks[p].ts);
        self.tasks[p].fair.weight = weight;
        if self.tasks[p].class == Class::Ext {
            self.reweight_task_scx(p);
        }
    }

    /// `sched_move_task`: into another cgroup, or (None) out of the autogroup of an exiting task, where nothing but the cycle itself
    /// can be seen.
    pub(crate) fn sched_move_task(&mut self, p: TaskId, to: Option<CgroupId>) {
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE | DEQUEUE_MOVE);
        if let Some(to) = to {
            self.sched_change_group(p, to);
        }
        let (running, queued) = (ctx.running, ctx.queued);
        self.sched_change_end(ctx);
        let cpu = self.tasks[p].cpu;
        if running {
            self.resched_curr(cpu);
        } else if queued {
            self.wakeup_preempt(cpu, p, 0);
        }
        self.balance_callbacks(cpu);
    }
}
