//! The project's chores, one file each: `cargo xtask CHORE`.
//!
//! A chore says on stderr what it does and ends with one line on stdout: `ok CHORE: …`, or `SKIPPED CHORE: why` where
//! this machine cannot do it (no package, no network). A skip is not a failure; the suite counts the skips.
#![forbid(unsafe_code)]

mod apt;
mod asan;
mod bench;
mod bpf_clang;
mod deny;
mod deps;
mod fuzz;
mod invariants;
mod kernel_examples;
mod kernel_replay;
mod kernel_verdicts;
mod metadata;
mod model;
mod objects;
mod real_schedulers;
mod run;
mod schedulers;
mod selftests;
mod suite;
mod verifier_tests;
mod vmlinuz;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a chore came to when nothing failed.
enum Done {
    /// Done; the text says what was done or checked.
    Ok(String),
    /// This machine cannot do it; the text says why.
    Skipped(String),
}

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the Sextant workspace")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Compile the kernel's own sched_ext examples and selftests into target/kernel-examples
    KernelExamples {
        /// Download and compile again, whatever is there
        #[arg(long)]
        force: bool,
    },
    /// Build schedulers/*.bpf.c into schedulers/built
    Schedulers {
        /// Compare with the committed objects instead
        #[arg(long)]
        check: bool,
    },
    /// Hold the dependencies against deny.toml
    Deny,
    /// Check what ARCHITECTURE.md promises
    Invariants,
    /// Hold the class against recorded decisions of a real 7.3.4 kernel
    KernelReplay {
        /// Recordings, NAME.csv.zst; all of ../shared/data/kernel-traces if none is named
        files: Vec<std::path::PathBuf>,
        /// Run the schedulers' own objects in our vm, and compare their kfunc calls too
        #[arg(long)]
        bpf: bool,
        /// How many divergences to show per recording
        #[arg(long, default_value_t = 1)]
        show: usize,
        /// The kinds of decisions that differ, for recordings that pass too
        #[arg(short, long)]
        verbose: bool,
    },
    /// Hold the verifier against the kernel's own verifier tests, and write docs/parity/verifier.md
    VerifierTests {
        /// Only compare with docs/parity/verifier.md
        #[arg(long)]
        check: bool,
        /// Show those whose file/name contains this, with both answers; writes nothing
        #[arg(long)]
        only: Option<String>,
    },
    /// Hold the verifier against a real kernel of the same version under QEMU, and write docs/parity/kernel-verdicts.md
    KernelVerdicts {
        /// Only compare, with fewer random programs; writes nothing
        #[arg(long)]
        check: bool,
        /// How many random programs
        #[arg(long)]
        random: Option<u64>,
        /// Show the kernel's whole log of what differs
        #[arg(short, long)]
        verbose: bool,
        /// Only these objects: shows both verdicts on each of their programs
        objects: Vec<std::path::PathBuf>,
    },
    /// Put schedulers written elsewhere through check and sim: a table for docs/parity/real-schedulers.md
    RealSchedulers {
        /// Directory of *.bpf.o, each with its setup NAME.toml beside it if it has one; target/real-schedulers if not said
        dir: Option<std::path::PathBuf>,
    },
    /// Measure what docs/performance.md says: every figure in one run, as Markdown
    Bench,
    /// Run the class beside the naive model, or simulations under the checkers, for many random sequences
    Model {
        /// Replay this one and show what happens
        #[arg(long)]
        seed: Option<u64>,
        /// How many sequences
        #[arg(long, default_value_t = 1_000_000)]
        sequences: u64,
        /// Simulations with the checkers instead of the model
        #[arg(long)]
        sim: bool,
    },
    /// Seed bugs in a copy of the class and see that the model, the checkers and the selftests catch them
    Mutants {
        /// Bugs, watchers, `class` for all that the model and the checkers must catch, selftests, or `selftests` for all of these;
        /// all of mutants.toml and selftests.toml if none is named
        names: Vec<String>,
        /// Within how many sequences each has to be caught
        #[arg(long, default_value_t = 10_000)]
        sequences: u64,
        /// Only see that each bug can be seeded
        #[arg(long)]
        check: bool,
    },
    /// Run the tests of the crates with unsafe code under AddressSanitizer
    Asan,
    /// Run random programs through verifier, interpreter and compiler, for as long as one likes
    Fuzz {
        /// The first program
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many; as many as CI runs if no time is given either
        #[arg(long)]
        programs: Option<u64>,
        /// For how long
        #[arg(long)]
        hours: Option<f64>,
        /// Show the first program and the verifier's word
        #[arg(long)]
        show: bool,
    },
    /// Damaged object files through check, inspect and sim: no crash, no hang, no swelling
    Objects {
        /// The first one
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many
        #[arg(long, default_value_t = 300)]
        count: u64,
    },
    /// The whole test suite, as CI runs it
    Test,
}

impl Chore {
    fn name(&self) -> &'static str {
        match self {
            Chore::KernelExamples { .. } => "kernel-examples",
            Chore::Schedulers { .. } => "schedulers",
            Chore::KernelReplay { .. } => "kernel-replay",
            Chore::VerifierTests { .. } => "verifier-tests",
            Chore::Model { .. } => "model",
            Chore::Mutants { .. } => "mutants",
            Chore::Deny => "deny",
            Chore::Invariants => "invariants",
            Chore::KernelVerdicts { .. } => "kernel-verdicts",
            Chore::Bench => "bench",
            Chore::Asan => "asan",
            Chore::Fuzz { .. } => "fuzz",
            Chore::RealSchedulers { .. } => "real-schedulers",
            Chore::Objects { .. } => "objects",
            Chore::Test => "test",
        }
    }

    fn run(&self) -> anyhow::Result<Done> {
        match self {
            Chore::KernelExamples { force } => kernel_examples::run(*force),
            Chore::Schedulers { check } => schedulers::run(*check),
            Chore::VerifierTests { check, only } => verifier_tests::run(*check, only.as_deref()),
            Chore::KernelVerdicts { check, random, verbose, objects } => {
                kernel_verdicts::run(&kernel_verdicts::Request {
                    check: *check,
                    random: *random,
                    verbose: *verbose,
                    objects: objects.clone(),
                })
            }
            Chore::KernelReplay { files, bpf, show, verbose } => {
                kernel_replay::run(files, *bpf, *show, *verbose)
            }
            Chore::Model { seed, sequences, sim } => model::model(*seed, *sequences, *sim),
            Chore::Mutants { names, sequences, check } => model::mutants(names, *sequences, *check),
            Chore::Deny => deny::run(),
            Chore::Invariants => invariants::run(),
            Chore::Bench => bench::run(),
            Chore::Asan => asan::run(),
            Chore::Fuzz { seed, programs, hours, show } => fuzz::run(*seed, *programs, *hours, *show),
            Chore::RealSchedulers { dir } => real_schedulers::run(dir.clone()),
            Chore::Objects { seed, count } => objects::run(*seed, *count),
            Chore::Test => suite::run(),
        }
    }
}

fn main() -> ExitCode {
    let chore = Args::parse().chore;
    match chore.run() {
        Ok(Done::Ok(what)) => println!("ok {}: {what}", chore.name()),
        Ok(Done::Skipped(why)) => println!("SKIPPED {}: {why}", chore.name()),
        Err(error) => {
            eprintln!("error: {}: {error:#}", chore.name());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
