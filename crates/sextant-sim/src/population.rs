//! Who lives on the machine beside the workload: init, kthreadd, and per CPU migration/N, ksoftirqd/N, kworker/N:0. All asleep
//! unless something wakes them.

use sextant_abi::CpuId;
use sextant_sched::core::flags::{PF_KTHREAD, PF_NO_SETAFFINITY};
use sextant_sched::{Sched, TaskAttr, TaskId};

/// Makes them, and sets the pid the workload starts from: 1000, or the next thousand on large machines. Returns the
/// kthread that loads and unloads schedulers.
pub(crate) fn populate(s: &mut Sched) -> TaskId {
    let mut pid = 0;
    let mut make = |s: &mut Sched, comm: String, flags: u32, cpu: Option<CpuId>, stop: bool| {
        pid += 1;
        let attr = TaskAttr { comm, flags, cpus: cpu.map(|c| vec![c]), ..TaskAttr::default() };
        s.boot_task(pid, &attr, cpu.unwrap_or(CpuId(0)), stop)
    };
    make(s, "init".into(), 0, None, false);
    make(s, "kthreadd".into(), PF_KTHREAD, None, false);
    let helper = make(s, "scx_enable_help".into(), PF_KTHREAD, None, false);
    let bound = PF_KTHREAD | PF_NO_SETAFFINITY;
    for cpu in (0..s.cfg.nr_cpus).map(CpuId) {
        make(s, format!("migration/{cpu}"), bound, Some(cpu), true);
        make(s, format!("ksoftirqd/{cpu}"), bound, Some(cpu), false);
        make(s, format!("kworker/{cpu}:0"), bound, Some(cpu), false);
    }
    s.next_pid = (pid.max(999) / 1000 + 1) * 1000;
    helper
}
