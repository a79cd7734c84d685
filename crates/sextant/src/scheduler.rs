//! The scheduler of a run: from its name or file to a machine that it schedules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::anyhow;
use sextant_abi::{ExitInfo, ProgPlace};
use sextant_sched::Ops;
use sextant_sched::bpf::vm_config;
use sextant_sched::ext::EnableError;
use sextant_sched::native::{Fifo, VtimeFair};
use sextant_sched::topology::Shape;
use sextant_sim::{Outcome, SimConfig, Simulation, Workload};
use sextant_uapi::{Loaded, SourceLine};
use sextant_vm::{Engine, ProgId, Vm, VmConfig};

use crate::cli::{EngineArg, SimArgs};
use crate::drain::Drains;
use crate::object::{self, How, Object};
use crate::setup::SetupFile;
use crate::show;
use crate::sink::Sink;
use crate::source;
use crate::status::{Failure, Status};
use crate::swap::Lineup;

/// Ticks a second of the simulated machine.
pub const HZ: u64 = 250;

/// After so many instructions of one call the clock is looked at, and whether the run is to end.
const FIRST_LOOK: u64 = 16_000_000;

/// Names of policies written in Rust, for tests of the class without BPF.
const NATIVE: &str = "native:";

/// What schedules.
pub enum Scheduler {
    /// The fair class alone.
    Fair,
    /// A policy in Rust.
    Native(fn() -> Rc<dyn Ops>),
    /// A BPF object.
    Bpf(Object),
}

/// A scheduler that was loaded.
pub struct Load {
    /// What the class calls.
    pub ops: Rc<dyn Ops>,
    /// Its object's variables, maps and source lines; None for a policy in Rust.
    pub loaded: Option<Rc<Loaded>>,
}

/// What was loaded last, by number of the scheduler.
#[derive(Default)]
pub struct Loads {
    by_number: RefCell<BTreeMap<usize, Rc<Loaded>>>,
    last: RefCell<Option<Rc<Loaded>>>,
}

impl Loads {
    /// Scheduler `number` was loaded; None for the fair class.
    pub fn add(&self, number: usize, load: Option<&Load>) {
        let loaded = load.and_then(|load| load.loaded.clone());
        if let Some(loaded) = &loaded {
            self.by_number.borrow_mut().insert(number, loaded.clone());
        }
        *self.last.borrow_mut() = loaded;
    }

    /// Takes everything out: it was loaded to be looked at.
    pub fn take(&self) -> Vec<Rc<Loaded>> {
        *self.last.borrow_mut() = None;
        std::mem::take(&mut *self.by_number.borrow_mut()).into_values().collect()
    }

    /// Every object of the run that is loaded or was.
    pub fn all(&self) -> Vec<Rc<Loaded>> {
        self.by_number.borrow().values().cloned().collect()
    }

    /// The object that was loaded last; None if nothing was, or if what came last is no object.
    pub fn last(&self) -> Option<Rc<Loaded>> {
        self.last.borrow().clone()
    }

    /// The source line of a place in a program.
    pub fn source_line(&self, place: &ProgPlace) -> Option<SourceLine> {
        let all = self.by_number.borrow();
        all.values().find_map(|loaded| loaded.kernel.source_line(ProgId(place.prog), place.insn))
    }
}

/// A machine, and the policy on it if there is one.
pub struct Machine {
    /// The machine.
    pub sim: Simulation,
    /// The policy it began with.
    ops: Option<Rc<dyn Ops>>,
    /// Schedulers by number, as the command line names them.
    pub names: Vec<String>,
    /// What was loaded for them.
    pub loads: Rc<Loads>,
}

impl Scheduler {
    /// The scheduler that the command line names.
    pub fn open(arg: &str) -> Result<Scheduler, Failure> {
        if let Some(name) = arg.strip_prefix(NATIVE) {
            return match name {
                "fifo" => Ok(Scheduler::Native(|| Rc::new(Fifo))),
                "vtime" => Ok(Scheduler::Native(|| Rc::new(VtimeFair::default()))),
                _ => Err(Failure::usage(format!(
                    "no native policy \"{name}\": there are native:fifo and native:vtime"
                ))),
            };
        }
        Ok(source::scheduler(arg)?.map_or(Scheduler::Fair, Scheduler::Bpf))
    }
}

impl Scheduler {
    /// Its object, if it is one.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Scheduler::Bpf(object) => Some(object),
            _ => None,
        }
    }

    /// Whether it is the fair class alone.
    pub fn is_fair(&self) -> bool {
        matches!(self, Scheduler::Fair)
    }

    /// Whether it is no BPF object.
    pub fn is_without_object(&self) -> bool {
        !matches!(self, Scheduler::Bpf(_))
    }

    /// Loads it into `vm`, anew each time; None is the fair class alone. `announce` what was left out.
    pub fn load(
        &self,
        args: &SimArgs,
        ops: Option<&str>,
        (sets, setup): (&[String], Option<&SetupFile>),
        vm: &Rc<Vm>,
        announce: bool,
    ) -> Result<Option<Load>, Failure> {
        Ok(match self {
            Scheduler::Fair => None,
            Scheduler::Native(new) => Some(Load { ops: new(), loaded: None }),
            Scheduler::Bpf(object) => {
                let how = How {
                    nr_cpus: args.cpus,
                    machine: args.machine.unwrap_or(Shape::flat(args.cpus)),
                    ops,
                    sets,
                    setup,
                    lockup: args.lockup,
                };
                let (ops, loaded) = object::load(object, &how, !args.unchecked, vm, announce)?;
                Some(Load { ops, loaded: Some(loaded) })
            }
        })
    }
}

/// A scheduler that the kernel does not attach.
pub fn refused(error: EnableError) -> Failure {
    Failure { status: Status::No, error: anyhow!("the scheduler was refused: {error}") }
}

/// What runs the scheduler's programs.
pub fn engine(args: &SimArgs) -> Result<Engine, Failure> {
    match args.engine {
        Some(EngineArg::Jit) if args.sanitize => Err(Failure::usage(
            "--sanitize checks in the interpreter: leave one of --sanitize and --engine jit out",
        )),
        Some(EngineArg::Jit) if !Engine::Jit.is_available() => {
            let arch = std::env::consts::ARCH;
            Err(Failure::usage(format!("this build has no compiler for {arch}: leave --engine jit out")))
        }
        Some(EngineArg::Jit) => Ok(Engine::Jit),
        Some(EngineArg::Interp) => Ok(Engine::Interpreter),
        None => Ok(Engine::default()),
    }
}

/// Memory and programs of a machine with that many CPUs; `memory` limits what programs' objects take, bytes (0: 4 GiB).
pub fn vm(nr_cpus: u32, engine: Engine, sanitize: bool, memory: u64) -> Result<Vm, Failure> {
    Vm::new(VmConfig { memory, ..vm_config(nr_cpus, engine, sanitize) })
        .map_err(|e| Failure::usage(format!("cannot reserve address space for the simulated kernel: {e}")))
}

impl Machine {
    /// A machine at time 0 that the first of them schedules, and that the others are to take over.
    pub fn new(
        lineup: Lineup,
        args: &SimArgs,
        config: SimConfig,
        workload: &Workload,
        sink: &mut Sink,
    ) -> Result<Machine, Failure> {
        let tried = lineup.try_out(args)?;
        let vm = Rc::new(vm(args.cpus, engine(args)?, args.sanitize, args.memory.unwrap_or(0))?);
        let interrupt = sink.interrupt();
        vm.set_interrupt(move || interrupt.pressed());
        vm.set_insn_budget(FIRST_LOOK);
        let mut sim = Simulation::new(config, workload, vm.region()).map_err(Failure::usage)?;
        let rqs: Vec<u64> = sim.sched.rqs.iter().map(|rq| rq.addr).collect();
        vm.percpu_provide("runqueues", rqs);
        let (names, loads) = (lineup.names(), lineup.loads());
        let ops = lineup.load(0, args, &vm, true)?.map(|load| load.ops);
        show::check(args, &loads, &tried)?;
        sink.set_drains(Drains::open(&args.drains, loads.last().as_deref())?);
        if let Some(ops) = &ops {
            sim.attach(ops.clone(), sink).map_err(refused)?;
        }
        if !args.swaps.is_empty() {
            sim.plan_swaps(lineup.plan(args, &vm), ops.clone());
        }
        Ok(Machine { sim, ops, names, loads })
    }

    /// The policy that is in charge or was last.
    pub fn last_ops(&self) -> Option<Rc<dyn Ops>> {
        self.sim.swapped_in().or_else(|| self.ops.clone())
    }

    /// Runs to the end.
    pub fn run(&mut self, sink: &mut Sink) -> Result<Outcome, Failure> {
        self.sim.run(sink).map_err(Failure::usage)
    }

    /// How the scheduler ended; None if there was none.
    pub fn exit_info(&self) -> Option<&ExitInfo> {
        self.sim.sched.ext.exit_info()
    }
}
