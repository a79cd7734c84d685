//! The kfuncs: semantics §2.2, 2.3, 4.9, 4.11.

use sextant_abi::DsqId;
use sextant_abi::types::*;

use super::{Buffered, Naive, Name, Subject, Verdict, Walk, Who};
use crate::ext::tests::model::policy::Kernel;

impl Naive {
    /// A kick is recorded here and sent by an irq_work.
    pub(super) fn kick_request(&mut self, cpu: u32, flags: u64) {
        let this = self.this;
        if self.cpu(this).bypass {
            return;
        }
        if flags & SCX_KICK_IDLE != 0 {
            // A runqueue that the op itself holds cannot be looked at.
            if self.locked != Some(cpu) && !self.interests_an_idle_kick(cpu) {
                return;
            }
            self.cpu(this).kicks.idle.insert(cpu);
        } else {
            let kicks = &mut self.cpu(this).kicks;
            kicks.kick.insert(cpu);
            if flags & SCX_KICK_PREEMPT != 0 {
                kicks.preempt.insert(cpu);
            }
            if flags & SCX_KICK_WAIT != 0 {
                kicks.wait.insert(cpu);
            }
        }
        self.ask_irq_work(this);
    }

    fn local_here(&self) -> u32 {
        self.locked.unwrap_or(self.this)
    }

    fn walk(&mut self, it: u32) -> &mut Walk {
        self.walks[it as usize].as_mut().expect("it is walking")
    }
}

impl Kernel for Naive {
    fn allowed(&self, p: usize) -> u64 {
        self.may_use(p)
    }

    fn alive(&self, p: usize) -> bool {
        self.tasks.get(p).is_some_and(|t| t.alive)
    }

    fn running(&self, cpu: u32) -> Option<usize> {
        match self.cpus[cpu as usize].curr {
            Who::Task(p) => Some(p),
            _ => None,
        }
    }

    fn exists(&self, dsq: u64) -> bool {
        self.queues.iter().any(|q| q.name == Name::User(dsq))
    }

    fn empty(&self, dsq: u64) -> bool {
        self.tasks_on(Name::User(dsq)).is_empty()
    }

    fn insert(&mut self, p: usize, dsq: u64, slice: u64, vtime: Option<u64>, flags: u64) -> bool {
        let verdict = Verdict { dsq, slice, vtime, flags };
        let this = self.this as usize;
        match self.cpus[this].subject {
            Subject::None if self.cpus[this].buffer.len() == self.setup.max_batch as usize => {
                self.fail("dispatch buffer overflow".into());
            }
            Subject::None => {
                let generation = self.tasks[p].held;
                self.cpus[this].buffer.push(Buffered { p, generation, verdict });
            }
            Subject::Task(t) => {
                self.cpus[this].subject = Subject::Done;
                if t == p {
                    self.tasks[p].verdict = Some(verdict);
                } else {
                    let (a, b) = (self.name(t), self.name(p));
                    self.fail(format!("scheduling for {a} but trying to direct-dispatch {b}"));
                }
            }
            Subject::Done => {
                let name = self.name(p);
                self.fail(format!("{name} already direct-dispatched"));
            }
        }
        true
    }

    fn move_to_local(&mut self, dsq: u64, flags: u64) -> bool {
        let cpu = self.local_here();
        self.flush(cpu);
        if !self.exists(dsq) {
            self.fail(format!("invalid DSQ ID {dsq:#018x}"));
            return false;
        }
        let moved = self.consume(cpu, Name::User(dsq), flags);
        self.cpus[self.this as usize].moves += usize::from(moved);
        moved
    }

    fn iter_new(&mut self, dsq: u64, flags: u64) -> Option<u32> {
        let queue = self.queues.iter().find(|q| q.name == Name::User(dsq))?;
        let mut rest: Vec<_> = queue.entries.iter().map(|e| (e.p, e.seq)).collect();
        if flags & SCX_DSQ_ITER_REV != 0 {
            rest.reverse();
        }
        let walk = Walk { dsq, seq: queue.inserted, rest, slice: None, vtime: None };
        self.walks.push(Some(walk));
        Some(self.walks.len() as u32 - 1)
    }

    fn iter_next(&mut self, it: u32) -> Option<usize> {
        while !self.walk(it).rest.is_empty() {
            let dsq = self.walk(it).dsq;
            let (p, seq) = self.walk(it).rest.remove(0);
            if self.queue(Name::User(dsq)).entries.iter().any(|e| (e.p, e.seq) == (p, seq)) {
                return Some(p);
            }
        }
        None
    }

    fn iter_destroy(&mut self, it: u32) {
        self.walks[it as usize] = None;
    }

    fn iter_slice(&mut self, it: u32, slice: u64) {
        self.walk(it).slice = Some(slice);
    }

    fn iter_vtime(&mut self, it: u32, vtime: u64) {
        self.walk(it).vtime = Some(vtime);
    }

    fn dsq_move(&mut self, it: u32, p: usize, dsq: u64, priq: bool, flags: u64) -> bool {
        let walk = self.walk(it);
        let (slice, vtime) = (walk.slice.take(), walk.vtime.take());
        let (from, seq) = (walk.dsq, walk.seq);
        let there = self.queue(Name::User(from)).entries.iter().any(|e| e.p == p && e.seq <= seq);
        if self.error.is_some() || !there {
            return false;
        }
        let to = self.resolve(dsq, self.local_here());
        self.tasks[p].vtime = vtime.unwrap_or(self.tasks[p].vtime);
        if let Some(slice) = slice {
            self.write_slice(p, slice);
        }
        self.move_between(p, to, priq, flags);
        true
    }

    fn set_slice(&mut self, p: usize, slice: u64) -> bool {
        let ours = self.locked.is_some_and(|cpu| {
            let c = &self.cpus[cpu as usize];
            c.waiting.contains(&p) || c.curr == Who::Task(p)
        });
        if ours {
            self.write_slice(p, slice);
        } else {
            self.tasks[p].wanted_slice = Some(slice);
        }
        true
    }

    fn set_vtime(&mut self, p: usize, vtime: u64) -> bool {
        self.tasks[p].vtime = vtime;
        true
    }

    fn nr_queued(&mut self, dsq: u64) -> i32 {
        let name = if dsq == DsqId::LOCAL.0 { Name::Local(self.local_here()) } else { Name::User(dsq) };
        match self.queues.iter().find(|q| q.name == name) {
            Some(q) => q.entries.len() as i32,
            None => -2,
        }
    }

    fn peek(&mut self, dsq: u64) -> Option<usize> {
        if !self.exists(dsq) {
            self.fail(format!("peek on non-existent DSQ {dsq:#x}"));
        }
        self.tasks_on(Name::User(dsq)).first().copied()
    }

    fn nr_slots(&mut self) -> u32 {
        self.setup.max_batch - self.cpus[self.this as usize].buffer.len() as u32
    }

    fn cancel(&mut self) {
        if self.cpus[self.this as usize].buffer.pop().is_none() {
            self.fail("dispatch buffer underflow".into());
        }
    }

    fn kick(&mut self, cpu: u32, flags: u64) {
        self.kick_request(cpu, flags);
    }

    fn claim_idle(&mut self, cpu: u32) -> bool {
        std::mem::take(&mut self.cpu(cpu).idle)
    }

    fn reenq(&mut self, dsq: u64, flags: u64) {
        let name = self.resolve(dsq, self.local_here());
        self.ask_reenq(name, flags | SCX_REENQ_ANY, self.locked);
    }

    fn create(&mut self, dsq: u64) -> i32 {
        if self.exists(dsq) {
            return -17;
        }
        self.queues.push(super::Queue::new(Name::User(dsq)));
        0
    }

    fn destroy(&mut self, dsq: u64) {
        let Some(at) = self.queues.iter().position(|q| q.name == Name::User(dsq)) else { return };
        match self.queues[at].entries.len() {
            0 => drop(self.queues.remove(at)),
            nr => self.fail(format!("attempting to destroy in-use dsq {dsq:#018x} (nr={nr})")),
        }
    }

    fn cpu_of(&self, p: usize) -> u32 {
        self.tasks[p].cpu
    }

    fn meanwhile(&mut self, p: usize, nice: i32) {
        self.set_nice(p, nice);
    }
}
