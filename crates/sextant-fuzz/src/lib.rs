//! Random programs for the engine: seeded, the same on every machine, judged by the verifier and run by everything that runs
//! programs ([`run`] says what must hold).
//!
//! ```text
//!  seed ─► piece: a program ─► run: verifier, interpreter, compiled code, object checks ─► cover: what was executed
//!                                        │ broken rule
//!                                        └─► shrink: the least program that breaks it, as text, with its seed
//! ```
//!
//! `cargo xtask fuzz` runs this for hours; a short run is part of the suite. Test-time only: nothing uses this crate.
#![forbid(unsafe_code)]

pub mod asm;
pub mod cover;
pub mod export;
pub mod host;
pub mod object;
pub mod piece;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod target;
mod types;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cover::Cover;
use piece::Draft;
use rng::Rng;
use run::{Failure, Judged};
use sextant_vm::Engine;
use world::World;

/// Programs after which every floor is reached.
pub const FULL: u64 = 30_000;

/// Programs and what they run in.
pub struct Fuzzer {
    world: World,
    percpu: u64,
    /// The counts.
    pub cover: Cover,
}

/// A program that broke a rule.
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// What was broken.
    pub failure: String,
    /// The least program.
    pub text: String,
}

impl Fuzzer {
    /// With nothing counted.
    pub fn new() -> Fuzzer {
        let world = World::new();
        let made = world.make(Engine::Interpreter, false, &mut Rng::new(0));
        let percpu = made.expect("address space for a vm, and maps of a good shape").percpu;
        Fuzzer { world, percpu, cover: Cover::default() }
    }

    /// The program of a seed.
    pub fn draft(&self, seed: u64) -> Draft {
        piece::generate(seed, &self.world, self.percpu)
    }

    /// Makes, judges and runs the program of a seed.
    pub fn one(&mut self, seed: u64) -> Option<Found> {
        let draft = self.draft(seed);
        let judged = catch_unwind(AssertUnwindSafe(|| run::run(&draft, &self.world)));
        let judged = match judged {
            Ok(judged) => judged,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let said = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
                return Some(Found { seed, failure: format!("panic: {said}"), text: shrink::text(&draft) });
            }
        };
        self.cover.add(&draft, &judged);
        let Judged { failure, .. } = judged;
        failure.map(|failure| self.found(&draft, &failure))
    }

    fn found(&self, draft: &Draft, failure: &Failure) -> Found {
        let least = shrink::shrink(draft, failure, &self.world);
        let now = run::run(&least, &self.world).failure;
        let failure = now.unwrap_or_else(|| failure.clone()).to_string();
        Found { seed: draft.seed, failure, text: shrink::text(&least) }
    }

    /// The verifier's word on the program of a seed.
    pub fn verdict(&self, seed: u64) -> Result<sextant_verifier::Accepted, sextant_verifier::Rejection> {
        run::judge(&self.draft(seed), &self.world)
    }
}

/// What many programs came to.
pub struct Campaign {
    /// The counts of all.
    pub cover: Cover,
    /// The first broken rule, by seed.
    pub found: Option<Found>,
}

/// Runs the programs of `first..first + programs` (fewer when the time is over) in as many threads as there are CPUs, up to the first
/// broken rule. Which programs are run does not depend on the threads, unless the time ends it.
pub fn campaign(first: u64, programs: u64, time: Option<Duration>) -> Campaign {
    let start = Instant::now();
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(programs));
    let work = || {
        let mut fuzzer = Fuzzer::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= end.load(Ordering::Relaxed) || time.is_some_and(|time| start.elapsed() > time) {
                return (fuzzer.cover, None);
            }
            if let Some(found) = fuzzer.one(first.wrapping_add(nth)) {
                // Lower seeds still go to their end, so that the lowest one is told.
                end.fetch_min(nth, Ordering::Relaxed);
                return (fuzzer.cover, Some((nth, found)));
            }
        }
    };
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("panics are caught");
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let mut campaign = Campaign { cover: Cover::default(), found: None };
    let mut at = u64::MAX;
    for (cover, found) in ended {
        campaign.cover.merge(&cover);
        if let Some((nth, found)) = found.filter(|(nth, _)| *nth < at) {
            (at, campaign.found) = (nth, Some(found));
        }
    }
    campaign
}

impl Default for Fuzzer {
    fn default() -> Fuzzer {
        Fuzzer::new()
    }
}
