//! What the vm needs of the kernel around it. The binding in `sextant-sched::bpf` implements it over `Sched`;
//! `uapi` (BPF_PROG_TEST_RUN without a scheduler) and tests implement smaller ones.

use crate::{Trap, Vm};

/// The kernel a program runs in.
pub trait Host {
    /// `bpf_ktime_get_ns`: virtual time. `insns` is what this program invocation has executed so far.
    fn ktime_ns(&mut self, insns: u64) -> u64;
    /// `bpf_jiffies64`
    fn jiffies(&mut self) -> u64;
    /// `bpf_get_smp_processor_id`
    fn cpu(&self) -> u32;
    /// Possible CPUs.
    fn nr_cpus(&self) -> u32;
    /// `bpf_get_current_task[_btf]`: address of the current `task_struct`.
    fn current_task(&self) -> u64;
    /// `bpf_get_prandom_u32`
    fn prandom_u32(&mut self) -> u32;
    /// `bpf_printk` output: one line without newline.
    fn printk(&mut self, text: &str);
    /// Calls kfunc `id` (index in the kfunc table of `sextant-abi`). An `Err` ends the program: [`Trap::kfunc`], whose place the vm
    /// fills in, or the trap of a program that the kfunc ran. `vm.insns()` is exact.
    fn kfunc(&mut self, vm: &Vm, id: u32, args: [u64; 5]) -> Result<u64, Trap>;
    /// A kfunc of the BPF core is about to run, which the vm itself has; `insns` as in `ktime_ns`. Its cost is the host's to charge.
    fn core_kfunc(&mut self, insns: u64) {
        let _ = insns;
    }
    /// The program, and those around it, have used up the instructions of a top-level call, `insns` of them in this invocation: how many more
    /// it may execute. 0 ends it.
    fn refill(&mut self, insns: u64) -> u64 {
        let _ = insns;
        0
    }
    /// Arms timer at BPF address `timer` (its `bpf_timer`): absolute virtual time, CPU pinned or not.
    fn timer_start(&mut self, timer: u64, at_ns: u64, pinned: bool);
    /// Cancels; whether it was armed.
    fn timer_cancel(&mut self, timer: u64) -> bool;
    /// Whether the kernel has turned interrupts off around the running program (`in_hardirq() || irqs_disabled()`).
    fn irqs_disabled(&self) -> bool {
        false
    }
    /// `bpf_get_numa_node_id`: the node of the executing CPU.
    fn numa_node(&self) -> u32 {
        0
    }
    /// `cgroup_id()` of the current task's cgroup, or of its ancestor at a level; 0 where there is none.
    fn current_cgroup_id(&self, level: Option<i32>) -> u64 {
        let _ = level;
        0
    }
    /// Whether a task lives at this address (its usage count is not zero): storage is made for living tasks only.
    fn task_alive(&self, task: u64) -> bool;
}
