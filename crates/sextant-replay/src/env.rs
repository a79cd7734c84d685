//! What the class is told and does not decide: clocks, affinity, task flags, the class that a runqueue is about to run.

use sextant_abi::types::Cpumask;
use sextant_abi::{CpuId, CpuMaskBits, Ns};
use sextant_sched::{Class, Sched, TaskId};

use crate::recording::Event;

/// A class by its name in the recordings; deadline counts as stop, which is above everything as well.
pub fn class(name: &str) -> Option<Class> {
    Some(match name {
        "stop" | "dl" => Class::Stop,
        "rt" => Class::Rt,
        "fair" => Class::Fair,
        "ext" => Class::Ext,
        "idle" => Class::Idle,
        _ => return None,
    })
}

/// Gives the class what an event says. `clocked` are the CPUs whose clock has been set in this step: the first value counts.
pub fn apply(s: &mut Sched, e: &Event, task: impl Fn(i32) -> Option<TaskId>, clocked: &mut Vec<u32>) {
    let cpu = e.get("cpu").map(|_| e.num("cpu") as u32).filter(|&c| c < s.cfg.nr_cpus);
    if let (Some(cpu), true) = (cpu, e.get("now").is_some()) {
        set_clock(s, cpu, e.num("now"), clocked);
    }
    if let (Some(cpu), "ins", Some(class)) = (cpu, e.name.as_str(), e.get("ncls").and_then(class)) {
        s.rqs[cpu as usize].next_class = class;
    }
    let Some(p) = e.pid().and_then(task) else { return };
    if e.name == "upd" {
        s.tasks[p].exec_start = Ns(e.num("es"));
    }
    if matches!(e.name.as_str(), "setcpus" | "init_task") {
        return;
    }
    if e.get("mask").is_some() && e.get("nrc").is_some() {
        set_mask(s, p, e.num("mask"), e.int("nrc") as i32);
    }
    if e.get("mdis").is_some() {
        set_migration_disabled(s, p, e.num("mdis") as u16);
    }
    if e.get("pf").is_some() {
        s.tasks[p].ts.flags().set(&*s.mem, e.num("pf") as u32);
    }
}

fn set_clock(s: &mut Sched, cpu: u32, now: u64, clocked: &mut Vec<u32>) {
    if clocked.contains(&cpu) {
        return;
    }
    clocked.push(cpu);
    s.rqs[cpu as usize].clock = Ns(now);
}

/// Sets how often migration is disabled; what a running program has added to the visible count stays.
pub fn set_migration_disabled(s: &mut Sched, p: TaskId, count: u16) {
    let was = std::mem::replace(&mut s.tasks[p].migration_disabled, count);
    let visible = s.tasks[p].ts.migration_disabled();
    visible.set(&*s.mem, visible.get(&*s.mem).wrapping_sub(was).wrapping_add(count));
}

/// Sets the affinity.
pub fn set_mask(s: &mut Sched, p: TaskId, mask: u64, nr_allowed: i32) {
    let ts = s.tasks[p].ts;
    let set = CpuMaskBits::from_words([mask]);
    Cpumask::at(ts.cpus_mask().addr()).store(&*s.mem, &set);
    ts.nr_cpus_allowed().set(&*s.mem, nr_allowed);
}

/// Where a CPU number of an event points.
pub fn cpu(e: &Event) -> CpuId {
    CpuId(e.num("cpu") as u32)
}
