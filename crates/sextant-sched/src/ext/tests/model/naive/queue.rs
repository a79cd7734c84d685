//! Dispatch queues: vectors in serving order (semantics §4.4).

use sextant_abi::DsqId;
use sextant_abi::types::*;

use super::{Naive, Seen};

/// Which queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Local(u32),
    Bypass(u32),
    Global,
    User(u64),
}

impl Name {
    /// How events name it.
    pub fn id(self) -> u64 {
        match self {
            Name::Local(cpu) => DsqId::LOCAL_ON.0 | u64::from(cpu),
            Name::Bypass(_) => DsqId::BYPASS.0,
            Name::Global => DsqId::GLOBAL.0,
            Name::User(id) => id,
        }
    }
}

/// A task on a queue.
#[derive(Clone, Debug)]
pub struct Entry {
    pub p: usize,
    /// Which insertion into this queue it was.
    pub seq: u64,
    /// Its vtime if it was inserted in vtime order.
    pub key: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub name: Name,
    pub entries: Vec<Entry>,
    pub inserted: u64,
}

impl Queue {
    pub fn new(name: Name) -> Self {
        Self { name, entries: Vec::new(), inserted: 0 }
    }
}

/// Whether vtime `a` comes before `b`: the shorter way round the circle is forward.
fn before(a: u64, b: u64) -> bool {
    let forward = b.wrapping_sub(a);
    forward != 0 && forward < 1 << 63
}

impl Naive {
    pub fn queue(&mut self, name: Name) -> &mut Queue {
        self.queues.iter_mut().find(|q| q.name == name).expect("it exists")
    }

    pub fn tasks_on(&self, name: Name) -> Vec<usize> {
        let queue = self.queues.iter().find(|q| q.name == name);
        queue.map_or(Vec::new(), |q| q.entries.iter().map(|e| e.p).collect())
    }

    pub fn queue_of(&self, p: usize) -> Option<Name> {
        self.queues.iter().find(|q| q.entries.iter().any(|e| e.p == p)).map(|q| q.name)
    }

    /// Takes a task off whatever queue it is on.
    pub(super) fn remove(&mut self, p: usize) {
        let name = self.queue_of(p).expect("it is on one");
        self.queue(name).entries.retain(|e| e.p != p);
        self.seen.push(Seen::Remove { p, dsq: name.id() });
    }

    /// Puts a task into a queue's order. In vtime order behind all that are not after it; else at the head or the tail.
    pub(super) fn put(&mut self, name: Name, p: usize, flags: u64, vtime: Option<u64>) {
        assert_eq!(self.queue_of(p), None, "t{p} is on a queue already");
        let (slice, now_vtime) = (self.tasks[p].slice, self.tasks[p].vtime);
        let queue = self.queue(name);
        queue.inserted += 1;
        let at = match vtime {
            Some(mine) => {
                let last = queue.entries.iter().rposition(|e| e.key.is_some_and(|key| !before(mine, key)));
                last.map_or(0, |last| last + 1)
            }
            None if flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT) != 0 => 0,
            None => queue.entries.len(),
        };
        let seq = queue.inserted;
        queue.entries.insert(at, super::queue::Entry { p, seq, key: vtime });
        self.seen.push(Seen::Insert { p, dsq: name.id(), slice, vtime: now_vtime });
    }

    /// The queue that an id means to a CPU; what does not exist is a mistake and becomes the global one.
    pub(super) fn resolve(&mut self, dsq: u64, cpu: u32) -> Name {
        if dsq == DsqId::LOCAL.0 {
            return Name::Local(cpu);
        }
        if dsq == DsqId::GLOBAL.0 {
            return Name::Global;
        }
        if dsq & DsqId::LOCAL_ON.0 == DsqId::LOCAL_ON.0 {
            let on = dsq as u32;
            if on < self.setup.nr_cpus {
                return Name::Local(on);
            }
            self.fail(format!("invalid CPU {on} in SCX_DSQ_LOCAL_ON dispatch verdict"));
            return Name::Global;
        }
        if self.queues.iter().any(|q| q.name == Name::User(dsq)) {
            return Name::User(dsq);
        }
        self.fail(format!("non-existent DSQ {dsq:#x}"));
        Name::Global
    }

    /// Inserts a task with what was decided for it, and all that follows: who owns it now, who is preempted (§4.4). With
    /// `commit` the verdict's slice and vtime become the task's. `rq` is held by the caller.
    pub(super) fn insert_task(&mut self, rq: u32, name: Name, p: usize, v: super::Verdict, commit: bool) {
        let mut vtime = v.vtime;
        if vtime.is_some() && !matches!(name, Name::User(_)) {
            self.fail("cannot use vtime ordering for built-in DSQs".into());
            vtime = None;
        }
        if commit {
            self.commit(p, v.slice, vtime);
        }
        // A move keeps the vtime the task has.
        let vtime = vtime.map(|_| self.tasks[p].vtime);
        let entries = &self.queue(name).entries;
        let (any, keyed) = (!entries.is_empty(), entries.iter().any(|e| e.key.is_some()));
        if vtime.is_some() && any && !keyed {
            self.fail(format!("DSQ ID {:#018x} already had FIFO-enqueued tasks", name.id()));
        } else if vtime.is_none() && keyed {
            self.fail(format!("DSQ ID {:#018x} already had PRIQ-enqueued tasks", name.id()));
        }
        self.put(name, p, v.flags, vtime);
        match name {
            Name::Local(cpu) => self.arrived_on_local(cpu, p, v.flags),
            Name::Global | Name::Bypass(_) => self.end_custody(rq, p, 0),
            Name::User(_) => self.tasks[p].custody = true,
        }
    }

    /// A slice of 0 keeps what is left, at least 1.
    pub(super) fn commit(&mut self, p: usize, slice: u64, vtime: Option<u64>) {
        let task = &mut self.tasks[p];
        if slice != 0 {
            task.slice = slice;
            task.wanted_slice = None;
        } else {
            task.slice = task.slice.max(1);
        }
        task.vtime = vtime.unwrap_or(task.vtime);
    }
}
