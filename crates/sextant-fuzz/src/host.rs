//! The kernel around random programs: a clock that counts instructions, one task, kfuncs that need no scheduler.

use sextant_abi::Mem;
use sextant_abi::tables::KfuncId as K;
use sextant_abi::types::TaskStruct;
use sextant_vm::{Access, Errno, Host, Trap, Vm};

use crate::world::CPUS;

/// The kernel of one vm.
#[derive(Default)]
pub struct Kernel {
    /// The task that runs.
    pub task: u64,
    /// Its cgroup.
    pub cgroup: u64,
    /// Lines printed.
    pub printed: Vec<String>,
    /// Armed timers: address, time, pinned.
    pub timers: Vec<(u64, u64, bool)>,
    /// Virtual time, ns.
    pub now: u64,
    random: u32,
}

impl Kernel {
    /// A kernel in which this task of this cgroup runs.
    pub fn new(task: u64, cgroup: u64) -> Kernel {
        Kernel { task, cgroup, now: 1_000_000, ..Kernel::default() }
    }

    /// Takes the timer that is due first.
    pub fn next_timer(&mut self) -> Option<u64> {
        let at = (0..self.timers.len()).min_by_key(|&i| (self.timers[i].1, self.timers[i].0))?;
        Some(self.timers.remove(at).0)
    }

    fn iter(vm: &Vm, it: u64) -> Result<u64, Trap> {
        match vm.region().check(it, 8, Access::Write) {
            Ok(()) => Ok(it),
            Err(fault) => Err(Trap::kfunc(fault.to_string())),
        }
    }

    /// Two s32: the current number, from one below the first; the end.
    fn iter_set(vm: &Vm, it: u64, current: i32, end: i32) {
        vm.region().store(it, 4, u64::from(current as u32));
        vm.region().store(it + 4, 4, u64::from(end as u32));
    }

    fn iter_new(vm: &Vm, it: u64, start: i32, end: i32) -> Result<u64, Trap> {
        let it = Self::iter(vm, it)?;
        let fits = start <= end && i64::from(end) - i64::from(start) <= 8 << 20;
        let (current, last) = if fits { (start.wrapping_sub(1), end) } else { (0, 0) };
        Self::iter_set(vm, it, current, last);
        Ok(if fits { 0 } else { Errno::EINVAL.ret() })
    }

    fn iter_next(vm: &Vm, it: u64) -> Result<u64, Trap> {
        let it = Self::iter(vm, it)?;
        let region = vm.region();
        let (current, end) = (region.load(it, 4) as i32, region.load(it + 4, 4) as i32);
        let next = current.wrapping_add(1);
        if next >= end {
            Self::iter_set(vm, it, 0, 0);
            return Ok(0);
        }
        Self::iter_set(vm, it, next, end);
        Ok(it)
    }
}

impl Host for Kernel {
    fn ktime_ns(&mut self, insns: u64) -> u64 {
        self.now + insns
    }
    fn jiffies(&mut self) -> u64 {
        self.now / 4_000_000
    }
    fn cpu(&self) -> u32 {
        1
    }
    fn nr_cpus(&self) -> u32 {
        CPUS
    }
    fn current_task(&self) -> u64 {
        self.task
    }
    fn prandom_u32(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }
    fn printk(&mut self, text: &str) {
        self.printed.push(text.to_owned());
    }
    fn kfunc(&mut self, vm: &Vm, id: u32, args: [u64; 5]) -> Result<u64, Trap> {
        match K::from_index(id) {
            Some(K::bpf_iter_num_new) => Self::iter_new(vm, args[0], args[1] as i32, args[2] as i32),
            Some(K::bpf_iter_num_next) => Self::iter_next(vm, args[0]),
            Some(K::bpf_iter_num_destroy) => {
                Self::iter_set(vm, Self::iter(vm, args[0])?, 0, 0);
                Ok(0)
            }
            Some(K::bpf_task_acquire) => Ok(args[0]),
            Some(K::bpf_task_from_pid) => {
                let pid = TaskStruct::at(self.task).pid().get(&*vm.region());
                Ok(if args[0] as i32 == pid || args[0] == 1 { self.task } else { 0 })
            }
            Some(K::scx_bpf_task_cgroup) => Ok(self.cgroup),
            Some(
                K::bpf_task_release
                | K::bpf_cgroup_release
                | K::bpf_rcu_read_lock
                | K::bpf_rcu_read_unlock
                | K::bpf_preempt_disable
                | K::bpf_preempt_enable,
            ) => Ok(0),
            _ => Err(Trap::kfunc(format!("no kfunc {id} here"))),
        }
    }
    fn timer_start(&mut self, timer: u64, at_ns: u64, pinned: bool) {
        self.timers.retain(|t| t.0 != timer);
        self.timers.push((timer, at_ns, pinned));
    }
    fn timer_cancel(&mut self, timer: u64) -> bool {
        let before = self.timers.len();
        self.timers.retain(|t| t.0 != timer);
        before != self.timers.len()
    }
    fn task_alive(&self, task: u64) -> bool {
        task == self.task
    }
}
