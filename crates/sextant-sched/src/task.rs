//! Tasks: the part of `task_struct` that no BPF program sees, and the table of all of them.

use std::collections::BTreeMap;

use sextant_abi::types::TaskStruct;
use sextant_abi::{CpuId, Ns};

use crate::cgroup::CgroupId;
use crate::ext::entity::ExtEntity;
use crate::fair::FairEntity;
use crate::rt::RtEntity;

/// Index of a task in the table. Never reused while anything may name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub u32);

/// Scheduling classes, highest first (7.3: stop, dl, rt, fair, ext, idle; there are no deadline tasks, only servers).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// migration/N only.
    Stop,
    /// SCHED_FIFO, SCHED_RR.
    Rt,
    /// SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE (and SCHED_EXT while no scheduler is loaded).
    Fair,
    /// sched_ext.
    Ext,
    /// swapper/N only.
    Idle,
}

/// `p->on_rq`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnRq {
    /// Blocked or new.
    No,
    /// TASK_ON_RQ_QUEUED
    Queued,
    /// TASK_ON_RQ_MIGRATING: between two runqueues; runnable/quiescent are suppressed.
    Migrating,
}

/// What a new task is made of (`fork`, and the machine's own population).
#[derive(Clone, Debug, Default)]
pub struct TaskAttr {
    /// `comm`, cut at 15 bytes.
    pub comm: String,
    /// Nice value, -20..=19.
    pub nice: i32,
    /// Policy number: 0 NORMAL, 1 FIFO, 2 RR, 3 BATCH, 5 IDLE, 7 EXT.
    pub policy: u32,
    /// Priority of FIFO and RR, 1..=99.
    pub rt_priority: u32,
    /// CPUs allowed; None for all.
    pub cpus: Option<Vec<CpuId>>,
    /// PF_* flags (PF_KTHREAD, …).
    pub flags: u32,
    /// Thread-group id; 0 for its own pid.
    pub tgid: i32,
    /// The cgroup it is born in; None for the root.
    pub cgroup: Option<CgroupId>,
}

/// A task. Fields a program can see (`pid`, `comm`, `flags`, `__state`, `on_cpu`, `scx.slice`, …) are in memory behind `ts`.
pub struct Task {
    /// Its index.
    pub id: TaskId,
    /// Its `task_struct` in BPF-visible memory.
    pub ts: TaskStruct,
    /// Current scheduling class.
    pub class: Class,
    /// On a runqueue?
    pub on_rq: OnRq,
    /// `task_cpu(p)`.
    pub cpu: CpuId,
    /// When it last started to be charged (`se.exec_start`), rq clock.
    pub exec_start: Ns,
    /// Real-time class state.
    pub rt: RtEntity,
    /// Fair class state.
    pub fair: FairEntity,
    /// sched_ext state that no program sees.
    pub ext: ExtEntity,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Depth of `migrate_disable` by the task itself (a running program's is not counted here).
    pub migration_disabled: u16,
    /// References to the `task_struct`: one for not being dead, and one for each `get_task_struct`.
    pub refs: u32,
    /// Has finished its last context switch.
    pub dead: bool,
}

/// All tasks, by index and by pid.
#[derive(Default)]
pub struct TaskTable {
    slots: Vec<Task>,
    by_pid: BTreeMap<i32, TaskId>,
    /// Threads that are not their process's first, by tgid, in order of creation.
    threads: BTreeMap<i32, Vec<TaskId>>,
    by_addr: AddrTable,
}

/// Tasks by the address of their `task_struct`: kfuncs ask with every call. All lie in one zone, at least their size apart,
/// so the distance from the first one, in sizes, is an index.
#[derive(Default)]
struct AddrTable {
    first: u64,
    /// Address (0 for none) and task.
    slots: Vec<(u64, TaskId)>,
}

impl AddrTable {
    fn index(&self, addr: u64) -> usize {
        (addr.wrapping_sub(self.first) / u64::from(TaskStruct::SIZE)) as usize
    }

    fn insert(&mut self, addr: u64, id: TaskId) {
        if self.slots.is_empty() {
            self.first = addr;
        }
        assert!(addr >= self.first, "the first task_struct has the lowest address of its zone");
        let i = self.index(addr);
        if i >= self.slots.len() {
            self.slots.resize(i + 1, (0, id));
        }
        self.slots[i] = (addr, id);
    }

    fn get(&self, addr: u64) -> Option<TaskId> {
        let &(at, id) = self.slots.get(self.index(addr))?;
        (at == addr && addr != 0).then_some(id)
    }

    fn remove(&mut self, addr: u64) {
        let i = self.index(addr);
        if let Some(slot) = self.slots.get_mut(i).filter(|slot| slot.0 == addr) {
            slot.0 = 0;
        }
    }
}

impl TaskTable {
    /// Adds a task made by `make` from its future index, known under `pid` (pid 0, the idle tasks, is not looked up by pid).
    pub fn add(&mut self, pid: i32, make: impl FnOnce(TaskId) -> Task) -> TaskId {
        let id = TaskId(self.slots.len() as u32);
        let task = make(id);
        self.by_addr.insert(task.ts.addr(), id);
        if pid != 0 {
            self.by_pid.insert(pid, id);
        }
        self.slots.push(task);
        id
    }

    /// A new task is a further thread of a process.
    pub fn add_thread(&mut self, tgid: i32, id: TaskId) {
        self.threads.entry(tgid).or_default().push(id);
    }

    /// The next live thread of a process after one of its tasks, in order of creation.
    pub fn thread_after(&self, tgid: i32, p: TaskId) -> Option<TaskId> {
        let threads = self.threads.get(&tgid)?;
        let from = threads.partition_point(|&t| t <= p);
        threads[from..].iter().copied().find(|&t| !self[t].dead)
    }

    /// The live task with this pid.
    pub fn from_pid(&self, pid: i32) -> Option<TaskId> {
        self.by_pid.get(&pid).copied()
    }

    /// The task whose `task_struct` is at this address.
    pub fn from_addr(&self, addr: u64) -> Option<TaskId> {
        self.by_addr.get(addr)
    }

    /// The pid can no longer be looked up (the task is dead).
    pub fn drop_pid(&mut self, pid: i32) {
        self.by_pid.remove(&pid);
    }

    /// The slot at this address is given back (poisoned, reused by a later task).
    pub fn drop_addr(&mut self, addr: u64) {
        self.by_addr.remove(addr);
    }

    /// The ids of all tasks ever made, in creation order.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        (0..self.slots.len() as u32).map(TaskId)
    }

    /// All tasks ever made, in creation order, dead ones included.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.slots.iter()
    }

    /// How many tasks were ever made.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl std::ops::Index<TaskId> for TaskTable {
    type Output = Task;
    fn index(&self, id: TaskId) -> &Task {
        &self.slots[id.0 as usize]
    }
}

impl std::ops::IndexMut<TaskId> for TaskTable {
    fn index_mut(&mut self, id: TaskId) -> &mut Task {
        &mut self.slots[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_found_by_its_own_address_only() {
        let size = u64::from(TaskStruct::SIZE);
        for stride in [size, size + 8, size.next_multiple_of(64)] {
            let at = |i: u64| 0xffff_8880_0000_0040 + i * stride;
            let mut table = AddrTable::default();
            assert_eq!((table.get(at(0)), table.get(0)), (None, None));
            (0..100).for_each(|i| table.insert(at(i), TaskId(i as u32)));
            assert!((0..100).all(|i| table.get(at(i)) == Some(TaskId(i as u32))));
            let others = [0, 1, at(0) - 1, at(0) - stride, at(3) + 1, at(3) + 8, at(100), u64::MAX];
            assert!(others.iter().all(|&addr| table.get(addr).is_none()));
            table.remove(at(3) + 8);
            table.remove(at(4));
            assert_eq!((table.get(at(3)), table.get(at(4))), (Some(TaskId(3)), None));
            table.insert(at(4), TaskId(200));
            assert_eq!(table.get(at(4)), Some(TaskId(200)));
        }
    }
}
