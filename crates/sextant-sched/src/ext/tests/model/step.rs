//! What can happen to a machine from outside, and what of it is possible now.

use sextant_abi::CpuId;

use super::naive::{Naive, Who};
use super::real::Real;
use super::rng::Rng;

/// Tasks that may live at once.
const MAX_TASKS: usize = 7;

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Time before it, ns.
    pub passes: u64,
    /// The CPU that does it.
    pub cpu: u32,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Fork {
        allowed: u64,
    },
    Wake {
        p: usize,
    },
    Block,
    Exit,
    /// migrate_disable by the running task.
    Pin,
    /// migrate_enable.
    Unpin,
    Yield,
    Tick,
    Nice {
        p: usize,
        nice: i32,
    },
    Allow {
        p: usize,
        allowed: u64,
    },
    /// The reschedule that was asked for, or one for no reason.
    Schedule,
    IrqWork,
    /// migration/N does its work.
    Stopper,
    Bypass {
        on: bool,
    },
    Syscall,
}

/// A step that is possible now.
pub fn choose(rng: &mut Rng, m: &Naive) -> Step {
    let passes = match rng.below(4) {
        0 => 0,
        1 => rng.below(10_000),
        _ => rng.below(6_000_000),
    };
    let (cpu, what) = loop {
        let cpu = rng.below(u64::from(m.setup.nr_cpus)) as u32;
        if let Some(what) = on_cpu(rng, m, cpu) {
            break (cpu, what);
        }
    };
    Step { passes, cpu, what }
}

fn mask(rng: &mut Rng, m: &Naive) -> u64 {
    let all = (1 << m.setup.nr_cpus) - 1;
    match rng.below(3) {
        0 => all,
        1 => 1 << rng.below(u64::from(m.setup.nr_cpus)),
        _ => rng.below(all) + 1,
    }
}

fn on_cpu(rng: &mut Rng, m: &Naive, cpu: u32) -> Option<What> {
    let c = &m.cpus[cpu as usize];
    if c.curr == Who::Stopper && rng.below(2) == 0 {
        return Some(What::Stopper);
    }
    let busy = matches!(c.curr, Who::Task(_));
    let living: Vec<usize> = (0..m.tasks.len()).filter(|&p| m.tasks[p].alive).collect();
    let any = (!living.is_empty()).then(|| living[rng.below(living.len() as u64) as usize]);
    let pinned = match c.curr {
        Who::Task(p) => m.tasks[p].pinned,
        _ => 0,
    };
    match rng.below(35) {
        0..=2 if living.len() < MAX_TASKS => Some(What::Fork { allowed: mask(rng, m) }),
        3..=7 => any.filter(|&p| m.tasks[p].asleep).map(|p| What::Wake { p }),
        8..=10 if busy => Some(What::Block),
        11 if busy && living.len() > 3 && pinned == 0 => Some(What::Exit),
        12 if busy => Some(What::Yield),
        13..=15 if busy => Some(What::Tick),
        16 => any.map(|p| What::Nice { p, nice: [-5, 0, 5, 10][rng.below(4) as usize] }),
        17 => any.map(|p| What::Allow { p, allowed: mask(rng, m) }),
        18..=24 if c.need_resched => Some(What::Schedule),
        25..=28 if c.irq_work => Some(What::IrqWork),
        29 if rng.below(4) == 0 => Some(What::Schedule),
        30 if rng.below(if m.bypass { 2 } else { 12 }) == 0 => Some(What::Bypass { on: !m.bypass }),
        31 => Some(What::Syscall),
        32 if busy && pinned < 2 => Some(What::Pin),
        33 | 34 if pinned > 0 => Some(What::Unpin),
        _ => None,
    }
}

impl Step {
    pub fn on_model(&self, m: &mut Naive, now: u64) {
        let cpu = self.cpu;
        m.enter(cpu, now);
        match self.what {
            What::Fork { allowed } => m.fork(allowed),
            What::Wake { p } => m.wake(p),
            What::Block => m.block(cpu),
            What::Exit => m.exit(cpu),
            What::Pin => m.pin(cpu),
            What::Unpin => m.unpin(cpu),
            What::Yield => m.yield_(cpu),
            What::Tick => m.tick(cpu),
            What::Nice { p, nice } => m.set_nice(p, nice),
            What::Allow { p, allowed } => m.set_allowed(p, allowed),
            What::Schedule => m.switch(cpu),
            What::IrqWork => m.irq_work(cpu),
            What::Stopper => m.stopper(cpu),
            What::Bypass { on } => m.set_bypass(on),
            What::Syscall => m.syscall(),
        }
    }

    pub fn on_class(&self, real: &mut Real, now: u64) {
        let cpu = CpuId(self.cpu);
        real.enter(self.cpu, now);
        match self.what {
            What::Fork { allowed } => real.fork(allowed),
            What::Wake { p } => assert!(real.s.try_to_wake_up(real.id(p), 0)),
            What::Block => real.s.block_current(cpu),
            What::Exit => real.s.exit_current(cpu),
            What::Pin => real.s.migrate_disable(real.s.rqs[cpu.idx()].curr),
            What::Unpin => real.s.migrate_enable(real.s.rqs[cpu.idx()].curr),
            What::Yield => real.s.yield_current(cpu),
            What::Tick => real.s.tick(cpu),
            What::Nice { p, nice } => real.s.set_user_nice(real.id(p), nice),
            What::Allow { p, allowed } => real.set_allowed(p, allowed),
            What::Schedule => {
                real.s.schedule(cpu);
            }
            What::IrqWork => real.s.irq_work(cpu),
            What::Stopper => real.s.stopper_thread(cpu),
            What::Bypass { on } => real.s.scx_bypass(on),
            What::Syscall => real.syscall(),
        }
        real.s.rcu_flush();
    }
}
