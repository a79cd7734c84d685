//! Class and naive model side by side: a random sequence of what can happen to a machine is done to both, and after every step
//! both must have shown the same (ops with arguments, queue insertions and removals, switches), answered every kfunc
//! the same, and be in the same state.
//!
//! A sequence is its seed. One that fails prints it with the command that replays it; `SEXTANT_MODEL_SEED`,
//! `SEXTANT_MODEL_SEQUENCES` are how `cargo xtask model` says what to do.

mod naive;
mod policy;
mod real;
mod rng;
mod step;

use naive::Naive;
use policy::Setup;
use real::{CpuState, Real, TaskState};
use rng::Rng;
use sextant_abi::types::*;
use step::Step;

/// Where time begins, ns.
const START: u64 = 1_000_000;
/// Steps of a sequence.
const STEPS: usize = 80;

/// What can be drawn for a whole sequence.
fn setup(rng: &mut Rng) -> Setup {
    let mut flags = 0;
    for flag in [SCX_OPS_ENQ_LAST, SCX_OPS_ENQ_EXITING, SCX_OPS_ENQ_MIGRATION_DISABLED] {
        flags |= if rng.below(3) == 0 { flag } else { 0 };
    }
    let enqueue = rng.below(16) != 0;
    if !enqueue {
        flags &= !SCX_OPS_ENQ_LAST;
    }
    Setup {
        nr_cpus: [1, 2, 2, 3, 4][rng.below(5) as usize],
        flags,
        max_batch: [1, 2, 32][rng.below(3) as usize],
        release: rng.below(2) == 0,
        enqueue,
        immed: rng.below(3) == 0,
        naughty: if rng.below(5) == 0 { 40 } else { 0 },
        seed: rng.next(),
    }
}

struct Pair {
    naive: Naive,
    real: Real,
    done: Vec<Step>,
}

impl Pair {
    /// Does one sequence; the error says what differs.
    fn run(seed: u64, verbose: bool) -> Result<Pair, String> {
        let mut rng = Rng(seed);
        let setup = setup(&mut rng);
        let mut pair = Pair { naive: Naive::new(&setup, START), real: Real::new(&setup), done: Vec::new() };
        let mut now = START;
        pair.naive.verbose = verbose;
        for _ in 0..STEPS {
            let step = step::choose(&mut rng, &pair.naive);
            if verbose {
                println!("{:>3} {step:?}", pair.done.len());
            }
            pair.done.push(step.clone());
            now += step.passes;
            step.on_model(&mut pair.naive, now);
            step.on_class(&mut pair.real, now);
            pair.compare(verbose).map_err(|what| format!("{what}\nsetup: {setup:?}"))?;
            if pair.naive.error.is_some() {
                break;
            }
        }
        Ok(pair)
    }

    fn compare(&mut self, verbose: bool) -> Result<(), String> {
        let n = self.done.len() - 1;
        let step = &self.done[n];
        let at = format!("after step {n} {step:?}");
        let (model, class) = (std::mem::take(&mut self.naive.seen), self.real.seen());
        if verbose {
            model.iter().for_each(|seen| println!("      {seen:?}"));
        }
        if model != class {
            let i = model.iter().zip(&class).take_while(|(m, c)| m == c).count();
            let (m, c) = (model.get(i), class.get(i));
            return Err(format!(
                "{at}: event {i}\n  model: {m:?}\n  class: {c:?}\n  before: {:?}",
                &model[..i]
            ));
        }
        same(&at, "answers", &std::mem::take(self.naive.answers()), &self.real.answers())?;
        let error = self.real.s.ext.exit_info().map(|info| info.msg.clone());
        same(&at, "error", &self.naive.error, &error)?;
        for (name, tasks) in self.real.queues() {
            same(&at, &format!("{name:?}"), &self.naive.tasks_on(name), &tasks)?;
        }
        for (cpu, c) in self.naive.cpus.iter().enumerate() {
            let model = CpuState {
                curr: c.curr,
                need_resched: c.need_resched,
                irq_work: c.irq_work,
                stopper_queued: c.stopper_queued,
                waiting: c.waiting.clone(),
                deferred: c.deferred.clone(),
                buffered: c.buffer.len(),
                idle: c.idle,
            };
            same(&at, &format!("CPU {cpu}"), &model, &self.real.cpu(cpu as u32))?;
        }
        for (p, t) in self.naive.tasks.iter().enumerate().filter(|(_, t)| t.alive) {
            let model = TaskState {
                cpu: t.cpu,
                on_rq: t.queued,
                queued: t.queued,
                slice: t.slice,
                wanted_slice: t.wanted_slice,
                vtime: t.vtime,
                custody: t.custody,
                held: t.held.is_some(),
                on_the_way: self.naive.cpus.iter().any(|c| c.deferred.contains(&p)),
                verdict: t.verdict.map(|v| v.dsq),
                immed: t.immed,
                waits_since: t.waits_since,
                ran_ns: t.ran_ns,
                pinned: t.pinned,
                may_use: self.naive.may_use(p),
            };
            same(&at, &format!("t{p}"), &model, &self.real.task(p))?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(at: &str, what: &str, model: &T, class: &T) -> Result<(), String> {
    if model == class {
        return Ok(());
    }
    Err(format!("{at}: {what}\n  model: {model:?}\n  class: {class:?}"))
}

/// Runs sequences; panics with the first that fails.
fn sequences(seeds: impl Iterator<Item = u64>, verbose: bool) {
    let (mut nr, mut steps, mut errors) = (0, 0, 0);
    for seed in seeds {
        // A broken class may also panic: the seed must be known then too.
        let run =
            std::panic::catch_unwind(|| Pair::run(seed, verbose).map(|p| (p.done.len(), p.naive.error)));
        match run {
            Ok(Ok((n, error))) => {
                steps += n;
                errors += u32::from(error.is_some());
            }
            Ok(Err(what)) => panic!("sequence {seed}: {what}\nreplay: cargo xtask model --seed {seed}"),
            Err(_) => panic!("sequence {seed}: a panic, see above\nreplay: cargo xtask model --seed {seed}"),
        }
        nr += 1;
    }
    println!("{nr} sequences, {steps} steps, {errors} ended by the scheduler's mistake");
}

fn number(var: &str) -> Option<u64> {
    std::env::var(var).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{var}={text} is no number")))
}

/// The sequences of CI; other ones when the environment says so.
#[test]
fn class_and_model_agree() {
    match number("SEXTANT_MODEL_SEED") {
        Some(seed) => sequences(std::iter::once(seed), true),
        None => sequences(0..number("SEXTANT_MODEL_SEQUENCES").unwrap_or(10_000), false),
    }
}
