//! Picking and dispatching: semantics §4.5-4.9.

use sextant_abi::tables::Op;
use sextant_abi::types::*;

use super::{Buffered, Naive, Name, Verdict, Who};

impl Naive {
    /// What this CPU runs next, of the ext class.
    pub(super) fn pick(&mut self, cpu: u32) -> Option<usize> {
        if std::mem::take(&mut self.cpu(cpu).released) {
            self.tell(Op::CpuAcquire, None, [u64::from(cpu), 0]);
        }
        self.cpu(cpu).in_dispatch = true;
        let found = self.find(cpu);
        let local = self.tasks_on(Name::Local(cpu));
        if found.is_some() && local.len() > 1 && local.iter().any(|&p| self.tasks[p].immed) {
            self.ask_reenq(Name::Local(cpu), 0, Some(cpu));
        }
        let c = self.cpu(cpu);
        c.in_dispatch = false;
        c.callback |= c.deferred_to_callback || c.wait_kick;
        // What was found is the running task, or whoever is first on the local DSQ by now.
        let p = if found? { self.running_task(cpu)? } else { self.tasks_on(Name::Local(cpu))[0] };
        if self.tasks[p].slice == 0 {
            self.tasks[p].slice = self.default_slice();
        }
        Some(p)
    }

    fn running_task(&self, cpu: u32) -> Option<usize> {
        match self.cpus[cpu as usize].curr {
            Who::Task(p) => Some(p),
            _ => None,
        }
    }

    /// Some(true): the running task goes on; Some(false): the local DSQ has one.
    fn find(&mut self, cpu: u32) -> Option<bool> {
        self.charge(cpu);
        let prev = self.running_task(cpu);
        if self.may_go_on(prev) && !self.cpu(cpu).bypass {
            return Some(true);
        }
        if !self.tasks_on(Name::Local(cpu)).is_empty() {
            return Some(false);
        }
        if let Some(found) = self.ask_for_tasks(cpu, prev) {
            return Some(found);
        }
        let last = prev.filter(|&p| self.tasks[p].queued)?;
        let handed_back = self.setup.flags & SCX_OPS_ENQ_LAST != 0 && !self.cpu(cpu).bypass;
        (self.tasks[last].queued && !handed_back).then_some(true)
    }

    /// It is runnable and has slice left.
    fn may_go_on(&self, prev: Option<usize>) -> bool {
        prev.is_some_and(|p| self.tasks[p].queued && self.tasks[p].slice > 0)
    }

    /// §4.7
    fn ask_for_tasks(&mut self, cpu: u32, prev: Option<usize>) -> Option<bool> {
        if self.consume(cpu, Name::Global, 0) {
            return Some(false);
        }
        if self.cpu(cpu).bypass {
            return self.consume(cpu, Name::Bypass(cpu), 0).then_some(false);
        }
        for round in 1..=SCX_DSP_MAX_LOOPS {
            self.cpus[self.this as usize].moves = 0;
            let args = [u64::from(cpu), 0];
            self.op(Op::Dispatch, prev, args, Some(cpu), |policy, k| ((), policy.dispatch(k, cpu, prev)));
            self.flush(cpu);
            if self.may_go_on(prev) {
                return Some(true);
            }
            if !self.tasks_on(Name::Local(cpu)).is_empty() || self.consume(cpu, Name::Global, 0) {
                return Some(false);
            }
            if round == SCX_DSP_MAX_LOOPS {
                self.kick_request(cpu, 0);
            } else if self.cpus[self.this as usize].moves == 0 {
                break;
            }
        }
        None
    }

    /// The first task of a queue that can run on this CPU goes to its local DSQ. A failed scheduler's queues give nothing.
    pub(super) fn consume(&mut self, cpu: u32, name: Name, flags: u64) -> bool {
        if self.error.is_some() && !matches!(name, Name::Bypass(_)) {
            return false;
        }
        let usable = |&p: &usize| {
            let t = &self.tasks[p];
            t.cpu == cpu || (t.pinned == 0 && t.allowed >> cpu & 1 != 0)
        };
        let Some(p) = self.tasks_on(name).into_iter().find(usable) else { return false };
        self.remove(p);
        self.bring(p, cpu, flags);
        true
    }

    /// A task that is on no queue goes to a CPU's local DSQ, changing its runqueue if need be.
    fn bring(&mut self, p: usize, cpu: u32, flags: u64) {
        let from = self.tasks[p].cpu;
        if from == cpu {
            self.put(Name::Local(cpu), p, flags, None);
            return self.arrived_on_local(cpu, p, flags);
        }
        self.tasks[p].sticky = Some(cpu);
        self.dequeue(from, p, 0, true);
        self.set_cpu(p, cpu);
        self.enqueue(cpu, p, super::core::MIGRATED | flags, true);
    }

    /// §4.8: to a local DSQ on behalf of `rq`'s CPU. Where it may not go it ends on the global one.
    pub(super) fn dispatch_to(&mut self, rq: u32, name: Name, p: usize, v: Verdict) {
        let Name::Local(to) = name else { return self.insert_task(rq, name, p, v, true) };
        let from = self.tasks[p].cpu;
        self.tasks[p].held = None;
        if from == to {
            self.insert_task(to, name, p, v, true);
        } else if !self.may_bring(p, to) {
            return self.insert_task(from, Name::Global, p, v, true);
        } else {
            self.commit(p, v.slice, v.vtime);
            if v.vtime.is_some() {
                self.fail("cannot use vtime ordering for built-in DSQs".into());
            }
            self.bring(p, to, v.flags);
        }
        let idle = self.cpu(to).curr == Who::Idle;
        if idle && !(rq == from && rq == to) {
            self.ask_resched(to);
        }
    }

    fn may_bring(&mut self, p: usize, to: u32) -> bool {
        let (name, from) = (self.name(p), self.tasks[p].cpu);
        if self.tasks[p].pinned > 0 {
            self.fail(format!(
                "SCX_DSQ_LOCAL[_ON] cannot move migration disabled {name} from CPU {from} to {to}"
            ));
            return false;
        }
        let ok = self.tasks[p].allowed >> to & 1 != 0;
        if !ok {
            self.fail(format!("SCX_DSQ_LOCAL[_ON] target CPU {to} not allowed for {name}"));
        }
        ok
    }

    /// §4.6: what was buffered is carried out for tasks that are still held in the generation it was meant for.
    pub(super) fn flush(&mut self, cpu: u32) {
        let buffer = std::mem::take(&mut self.cpus[self.this as usize].buffer);
        self.cpus[self.this as usize].moves += buffer.len();
        for Buffered { p, generation, verdict } in buffer {
            if generation.is_none() || self.tasks[p].held != generation {
                continue;
            }
            self.tasks[p].held = None;
            let name = self.resolve(verdict.dsq, cpu);
            self.dispatch_to(cpu, name, p, verdict);
        }
    }

    /// §4.9: from a user DSQ to any other.
    pub(super) fn move_between(&mut self, p: usize, to: Name, priq: bool, flags: u64) {
        let name = match to {
            Name::Local(cpu) if cpu == self.tasks[p].cpu || self.may_bring(p, cpu) => {
                self.remove(p);
                return self.bring(p, cpu, flags);
            }
            Name::Local(_) => Name::Global,
            other => other,
        };
        self.remove(p);
        let vtime = priq.then_some(self.tasks[p].vtime);
        self.insert_task(self.tasks[p].cpu, name, p, Verdict { dsq: 0, slice: 0, vtime, flags }, false);
    }
}
