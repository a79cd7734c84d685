//! The command line. Doc comments here are help texts.
#![allow(rustdoc::broken_intra_doc_links)] // brackets in help texts are no links

use std::path::PathBuf;
use std::sync::LazyLock;

use anstream::ColorChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sextant_abi::Ns;
use sextant_abi::tables::kconfig::KERNEL_VERSION;

use crate::swap::{self, SwapList};
use crate::{duration, shape, size};
use sextant_sched::topology::Shape;

/// Most CPUs a machine can have (NR_CPUS of Debian's x86-64 kernel).
pub const MAX_CPUS: u32 = 8192;

/// The Linux sched_ext system in user space: load a scheduler, simulate it, look into it.
#[derive(Parser, Debug)]
#[command(name = "sextant", version = version(), max_term_width = 100, after_help = STATUS_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// When to use colours; auto: on a terminal that has them, unless NO_COLOR or CLICOLOR=0 is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_default_value = true)]
    pub color: ColorArg,
}

/// This program and the kernel that it emulates.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(version_text);
    &VERSION
}

fn version_text() -> String {
    let commit = option_env!("SEXTANT_COMMIT").map(|commit| format!(" ({commit})")).unwrap_or_default();
    let (major, minor, patch) = KERNEL_VERSION;
    format!("{}{commit}, emulates Linux {major}.{minor}.{patch} on x86-64", env!("CARGO_PKG_VERSION"))
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ColorArg {
    /// Where somebody sees them
    Auto,
    /// Into files too
    Always,
    /// Not at all
    Never,
}

impl ColorArg {
    /// The same in words of the library that decides.
    pub fn choice(self) -> ColorChoice {
        match self {
            ColorArg::Auto => ColorChoice::Auto,
            ColorArg::Always => ColorChoice::Always,
            ColorArg::Never => ColorChoice::Never,
        }
    }
}

impl Cli {
    /// What follows from other arguments: a machine's shape says how many CPUs it has.
    pub fn resolve(mut self) -> Self {
        if let Command::Sim(args) = &mut self.command
            && let Some(nr_cpus) = args.machine.and_then(|shape| shape.nr_cpus())
        {
            args.cpus = nr_cpus;
        }
        self
    }
}

impl Cli {
    /// What a subcommand that takes schedulers says about compiling them.
    pub fn compile_args(&self) -> Option<&CompileArgs> {
        match &self.command {
            Command::Sim(args) => Some(&args.compile),
            Command::Inspect(args) => Some(&args.compile),
            Command::Check(args) => Some(&args.compile),
            Command::Build(args) => Some(&args.compile),
            _ => None,
        }
    }
}

const STATUS_HELP: &str = "\
Exit status:
  0    done; the scheduler ended with UNREG, UNREG_BPF or UNREG_KERN
  1    the answer is no: a verifier refused the scheduler
  2    usage or I/O: a missing or broken file, an unknown name, a kfunc or field that Sextant lacks
  3    the scheduler was thrown out for an error
  4    an internal error: Sextant itself is wrong
  130  interrupted by SIGINT or SIGTERM";

/// Subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Let a scheduler schedule a workload on a simulated machine
    Sim(Box<SimArgs>),
    /// Show what a scheduler's object file contains and needs
    Inspect(InspectArgs),
    /// Say whether the programs of an object are safe, and why not
    Check(CheckArgs),
    /// Begin a scheduler: a directory with a commented one, a workload, a Makefile
    New(NewArgs),
    /// Compile a scheduler with clang and Sextant's headers
    Build(BuildArgs),
    /// Print a vmlinux.h with the types and kfuncs of the emulated kernel, or write all headers
    Header(HeaderArgs),
    /// Print a shell's completions, or write the man pages
    Gen(GenArgs),
    /// List the built-in schedulers and workloads
    List,
    /// Load the object on standard input and say nothing, as a process of its own
    #[command(name = crate::probe::SUBCOMMAND, hide = true)]
    ProbeObject,
}

const SIM_HELP: &str = "\
Examples:
  sextant sim                                    the simple scheduler on the mixed workload
  sextant sim vtime hogs --cpus 2                shares by weight
  sextant sim fair mixed                         the same machine without a sched_ext scheduler
  sextant sim ./scx_simple.bpf.o load.json --set fifo_sched=true --duration 10s
  sextant sim rr --set slice_ns=1000000 --trace rr.trace
  sextant sim simple mixed --swap vtime@1s,rr@2s --rollback
  sextant sim ./scx_central.bpf.o --setup central --json | jq .exit

The workload is an rt-app file. `-` is stdin for a file that is read, stdout for one that is written.
The result goes to stdout, everything else to stderr.";

/// `sextant sim`
#[derive(Args, Clone, Debug)]
#[command(after_help = SIM_HELP)]
pub struct SimArgs {
    /// A .bpf.o file, a .bpf.c file to compile first, a built-in scheduler (see `sextant list`), or `fair` for none
    #[arg(default_value = "simple")]
    pub scheduler: String,

    /// An rt-app file or a built-in workload (see `sextant list`)
    #[arg(default_value = "mixed")]
    pub workload: String,

    /// CPUs of the machine
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    pub cpus: u32,

    /// Shape of the machine instead of a number of CPUs: nodes=2,llcs=4,cores=8,threads=2 has 128 CPUs
    ///
    /// NUMA nodes, last-level caches in each node, cores in each cache, threads in each core; what is left out is 1. Threads of a core
    /// have neighbouring numbers, and so on outwards.
    #[arg(long, value_name = "SHAPE", conflicts_with = "cpus", value_parser = shape::parse)]
    pub machine: Option<Shape>,

    /// Virtual time to run, such as 2s, 1.5s or 500ms [default: the workload's, else 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub duration: Option<Ns>,

    /// Seed of start offsets, cost noise and the scheduler's random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// No costs, no noise, no start offsets: kernel work takes no time
    #[arg(long)]
    pub ideal: bool,

    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,

    /// Write one readable line per event to FILE
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Print a variable (VAR, ARR[3], S.FIELD) or a map (map:NAME) of the scheduler after the run (repeatable)
    #[arg(long = "show", value_name = "VAR")]
    pub shows: Vec<String>,

    /// Read a ring buffer or perf event array of the scheduler while it runs, and write its records to FILE: map:NAME=FILE (repeatable)
    #[arg(long = "drain", value_name = "MAP=FILE")]
    pub drains: Vec<String>,

    /// Write the kernel's debug dump to FILE: of an error exit, and those of --dump-at; without it they go to stderr
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,

    /// Make the kernel's debug dump at that time, as SysRq-D does (repeatable)
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub dump_at: Vec<Ns>,

    /// Which of several ops maps of the object to load
    #[arg(long, value_name = "NAME")]
    pub ops: Option<String>,

    /// Set a global of the scheduler before it is loaded (repeatable)
    ///
    /// VAR=5, VAR=0x10, VAR=true, VAR=ENUMERATOR, VAR="text"; ARR[3]=7; S.FIELD=1; ARR=[1,2,3] and ARR=[0;64] (both resize);
    /// map:NAME.max_entries=N; map:NAME.inner=N; ops.flags=SCX_OPS_SWITCH_PARTIAL|…; ops.timeout_ms=5000. @cpus stands for the number of CPUs.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub sets: Vec<String>,

    /// What the scheduler's own program does before it attaches, from a TOML file or a built-in one (see `sextant list`); --set comes after it
    ///
    /// --setup B:FILE is for a scheduler that comes by --swap.
    #[arg(long = "setup", value_name = "FILE")]
    pub setups: Vec<String>,

    /// Replace the scheduler while the machine runs: B@1s,C@2s (repeatable)
    ///
    /// At that time the scheduler is unregistered and disabled in full, then the named one is loaded and enabled, as Linux does it; `fair`
    /// is a plain end. --set B:VAR=5 sets a global of one that comes by a swap.
    #[arg(long = "swap", value_name = "SCHED@TIME", value_parser = swap::parse)]
    pub swaps: Vec<SwapList>,

    /// When a scheduler that came by --swap exits with an error, the one before it comes back
    #[arg(long, requires = "swaps")]
    pub rollback: bool,

    /// Leave out what the workload asks for and Sextant cannot do, with a warning each
    #[arg(long)]
    pub skip_unsupported: bool,

    /// After that time in one call into the scheduler a watchdog ends it [default: as in Linux, 15s with interrupts on, 21s with them off]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub lockup: Option<Ns>,

    /// Check every memory access of the scheduler against single objects (slower)
    #[arg(long)]
    pub sanitize: bool,

    /// Run without asking the verifier, also what it refuses: the vm checks every access by itself
    #[arg(long)]
    pub unchecked: bool,

    /// Memory that the scheduler's maps, their elements and its own objects may take, such as 512M or 8G [default: 4G]
    ///
    /// What does not fit is refused with -ENOMEM, as where a memory cgroup limits the program that loads a scheduler. Each element counts 128
    /// bytes more than it holds.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub memory: Option<u64>,

    /// What runs the scheduler's programs; the results are the same [default: interp]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<EngineArg>,

    #[command(flatten)]
    pub compile: CompileArgs,
}

/// How C sources are compiled where an object is wanted.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where the scheduler is a C source")]
pub struct CompileArgs {
    /// More flags for the compiler, separated by spaces (repeatable)
    ///
    /// A scheduler that is a .c file is compiled first, with the newest clang on PATH (or $CLANG) and Sextant's own headers; headers
    /// beside the source and in directories given here come first.
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub cflags: Vec<String>,

    /// Show the compiler's command line
    #[arg(short, long)]
    pub verbose: bool,

    /// Do all of it again when a file changes
    #[arg(long)]
    pub watch: bool,
}

/// `sextant build`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  sextant build mine.bpf.c\n  sextant build mine.bpf.c -o build/mine.bpf.o -v"
)]
pub struct BuildArgs {
    /// The C source
    pub source: String,

    /// Where the object goes [default: the source's name with .o for .c]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub compile: CompileArgs,
}

/// `sextant new`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sextant new mine && cd mine && make")]
pub struct NewArgs {
    /// The scheduler's name, and the directory's: letters, digits and _; a path names a directory elsewhere
    pub name: PathBuf,
}

/// `sextant gen`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  sextant gen bash > /etc/bash_completion.d/sextant\n  sextant gen man --dir /usr/local/share/man/man1"
)]
pub struct GenArgs {
    /// A shell, whose completions go to stdout; or `man`
    pub what: GenWhat,

    /// Where the man pages go, one for each subcommand; sextant.1 goes to stdout without it
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What is generated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[allow(missing_docs)] // names of shells
pub enum GenWhat {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    Man,
}

/// `sextant header`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sextant header > vmlinux.h\n  sextant header --all include")]
pub struct HeaderArgs {
    /// Write every header to this directory: vmlinux.h, scx/*.bpf.h, and libbpf/ for machines without libbpf's own
    #[arg(long, value_name = "DIR")]
    pub all: Option<PathBuf>,
}

/// What runs programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum EngineArg {
    /// One instruction at a time
    Interp,
    /// Compiled to machine code (x86-64)
    Jit,
}

/// `sextant inspect`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  sextant inspect simple\n  sextant inspect ./scx_simple.bpf.o --disasm simple_enqueue"
)]
pub struct InspectArgs {
    /// A .bpf.o file, a .bpf.c file to compile first, or a built-in scheduler
    pub object: String,

    /// Disassemble one program, or all of them
    #[arg(long, value_name = "PROG", num_args = 0..=1, default_missing_value = "")]
    pub disasm: Option<String>,

    /// Which of several ops maps of the object is meant
    #[arg(long, value_name = "NAME")]
    pub ops: Option<String>,

    /// CPUs of the machine that the object is looked at for
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    pub cpus: u32,

    #[command(flatten)]
    pub compile: CompileArgs,
}

const CHECK_HELP: &str = "\
Examples:
  sextant check simple
  sextant check ./scx_simple.bpf.o ./mine.bpf.o --json

The verifier follows every path of every program, as Linux does before it loads one. It is young:
where it judges otherwise than Linux, docs/parity/ says so as far as it is known. `sextant sim`
asks it first, unless it is told --unchecked.

Exit status: 0 all programs are accepted, 1 one is refused, 2 an object cannot be read.";

/// `sextant check`
#[derive(Args, Debug)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// .bpf.o files, .bpf.c files to compile first, or built-in schedulers
    #[arg(required = true, value_name = "OBJECT")]
    pub objects: Vec<String>,

    /// Set a global before the object is loaded, as with `sextant sim`: constants decide which code is reachable (repeatable)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub sets: Vec<String>,

    /// What the scheduler's own program does before it attaches, as with `sextant sim`
    #[arg(long, value_name = "FILE")]
    pub setup: Option<String>,

    /// Which of several ops maps of an object is meant
    #[arg(long, value_name = "NAME")]
    pub ops: Option<String>,

    /// Print what the verifier did, instruction by instruction, as the kernel's log does; of PROG only if one is named
    #[arg(long, value_name = "PROG", num_args = 0..=1, default_missing_value = "", require_equals = true)]
    pub log: Option<String>,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,

    /// CPUs of the machine that the object is loaded on
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    pub cpus: u32,

    #[command(flatten)]
    pub compile: CompileArgs,
}
