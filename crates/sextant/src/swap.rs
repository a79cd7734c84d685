//! `--swap`: which schedulers take over when, each tried out before the run begins.

use std::fmt;
use std::rc::Rc;

use anyhow::anyhow;
use sextant_abi::Ns;
use sextant_sched::ext::check_ops_params;
use sextant_sched::topology::Shape;
use sextant_sim::SwapPlan;
use sextant_uapi::Loaded;
use sextant_vm::Vm;

use crate::cli::SimArgs;
use crate::duration;
use crate::made::sha256;
use crate::scheduler::{self, HZ, Load, Loads, Scheduler};
use crate::setup::SetupFile;
use crate::status::{Failure, Status};

/// One `SCHEDULER@TIME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapArg {
    /// As for the first scheduler.
    pub scheduler: String,
    /// After the start of the run.
    pub at: Ns,
    /// The time as given.
    at_text: String,
}

/// The value of one `--swap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapList(pub Vec<SwapArg>);

/// Reads `B@1s[,C@2s]`.
pub fn parse(text: &str) -> Result<SwapList, String> {
    text.split(',').map(parse_one).collect::<Result<_, _>>().map(SwapList)
}

fn parse_one(text: &str) -> Result<SwapArg, String> {
    let Some((name, at_text)) = text.rsplit_once('@').filter(|(name, _)| !name.is_empty()) else {
        return Err(format!("\"{text}\" does not say who and when; write SCHEDULER@TIME, such as vtime@1s"));
    };
    let at = duration::parse(at_text).map_err(|why| format!("\"{text}\": {why}"))?;
    Ok(SwapArg { scheduler: name.into(), at, at_text: at_text.into() })
}

/// The schedulers of a run.
pub struct Lineup {
    /// In the order of time.
    swaps: Vec<SwapArg>,
    /// By number: the one it starts with, then each that comes by a swap, once.
    entrants: Vec<Entrant>,
    loads: Rc<Loads>,
}

struct Entrant {
    name: String,
    scheduler: Scheduler,
    sets: Vec<String>,
    setup: Option<SetupFile>,
    ops: Option<String>,
}

impl Lineup {
    /// Everybody, found and in order; nobody is loaded yet.
    pub fn new(args: &SimArgs, duration: Option<Ns>) -> Result<Lineup, Failure> {
        let mut swaps: Vec<SwapArg> = args.swaps.iter().flat_map(|list| list.0.clone()).collect();
        swaps.sort_by_key(|swap| swap.at);
        check_times(&swaps, duration)?;
        let (own, later) = split_sets(&args.sets, &swaps);
        let (own_setups, setups) = split_sets(&args.setups, &swaps);
        let mut entrants = vec![Entrant {
            name: args.scheduler.clone(),
            scheduler: Scheduler::open(&args.scheduler)?,
            sets: own,
            setup: read_setup(&own_setups, args.machine.unwrap_or(Shape::flat(args.cpus)))?,
            ops: args.ops.clone(),
        }];
        for swap in &swaps {
            if entrants[1..].iter().any(|e| e.name == swap.scheduler) {
                continue;
            }
            entrants.push(Entrant {
                name: swap.scheduler.clone(),
                scheduler: Scheduler::open(&swap.scheduler).map_err(|f| swap.blame(f))?,
                sets: of(&later, &swap.scheduler),
                setup: read_setup(
                    &of(&setups, &swap.scheduler),
                    args.machine.unwrap_or(Shape::flat(args.cpus)),
                )?,
                ops: None,
            });
        }
        if let Some(e) = entrants.iter().find(|e| e.setup.is_some() && e.scheduler.is_without_object()) {
            return Err(Failure::usage(format!("--setup: {} is no object that could be set up", e.name)));
        }
        Ok(Lineup { swaps, entrants, loads: Rc::default() })
    }

    /// Whether the one that the run begins with is an object.
    pub fn first_is_object(&self) -> bool {
        self.entrants.first().is_some_and(|e| !e.scheduler.is_without_object())
    }

    /// Whether there is no sched_ext scheduler at any time.
    pub fn is_fair_only(&self) -> bool {
        self.entrants.iter().all(|e| e.scheduler.is_fair())
    }

    /// Whether any of them is an object.
    pub fn has_object(&self) -> bool {
        self.entrants.iter().any(|e| !e.scheduler.is_without_object())
    }

    /// Whether one that comes by a swap can exit with an error.
    pub fn can_fail_later(&self) -> bool {
        self.entrants.iter().skip(1).any(|e| !e.scheduler.is_fair())
    }

    /// A setting for one that is no object: its name, and what was to be set.
    pub fn set_without_object(&self) -> Option<(&str, &str)> {
        let mut wrong = self.entrants.iter().filter(|e| e.scheduler.is_without_object());
        wrong.find_map(|e| Some((e.name.as_str(), e.sets.first()?.as_str())))
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.entrants.iter().map(|e| e.name.clone()).collect()
    }

    /// Loads a scheduler; `announce` its loader's warnings.
    pub fn load(
        &self,
        number: usize,
        args: &SimArgs,
        vm: &Rc<Vm>,
        announce: bool,
    ) -> Result<Option<Load>, Failure> {
        let Some(e) = self.entrants.get(number) else { return Ok(None) };
        let load = e.scheduler.load(args, e.ops.as_deref(), (&e.sets, e.setup.as_ref()), vm, announce)?;
        self.loads.add(number, load.as_ref());
        Ok(load)
    }

    /// What has been loaded, now and later.
    pub fn loads(&self) -> Rc<Loads> {
        self.loads.clone()
    }

    /// Name and SHA-256 of each object.
    pub fn objects(&self) -> Vec<(String, String)> {
        let named = |e: &Entrant| Some((e.name.clone(), sha256(&e.scheduler.object()?.content)));
        self.entrants.iter().filter_map(named).collect()
    }

    /// Name and SHA-256 of each setup file.
    pub fn setups(&self) -> Vec<(String, String)> {
        self.entrants.iter().filter_map(|e| e.setup.as_ref()).map(SetupFile::name_and_hash).collect()
    }

    /// Loads each of those to come into a machine that is thrown away, so that a bad one is known before the run.
    ///
    /// Gives what was loaded.
    pub fn try_out(&self, args: &SimArgs) -> Result<Vec<Rc<Loaded>>, Failure> {
        for (number, e) in self.entrants.iter().enumerate().skip(1) {
            let Some(swap) = self.swaps.iter().find(|swap| swap.scheduler == e.name) else { continue };
            let vm = Rc::new(scheduler::vm(
                args.cpus,
                scheduler::engine(args)?,
                args.sanitize,
                args.memory.unwrap_or(0),
            )?);
            let loaded = self.load(number, args, &vm, true).map_err(|f| swap.blame(f))?;
            if let Some(Err(error)) = loaded.map(|load| check_ops_params(&load.ops.params(), HZ)) {
                return Err(swap.blame(scheduler::refused(error)));
            }
        }
        Ok(self.loads.take())
    }

    /// The plan for the machine, whose memory is that of `vm`.
    pub fn plan(self, args: &SimArgs, vm: &Rc<Vm>) -> SwapPlan {
        let (vm, args) = (vm.clone(), args.clone());
        let number = |swap: &SwapArg| self.entrants.iter().skip(1).position(|e| e.name == swap.scheduler);
        let swaps = self.swaps.iter().filter_map(|swap| Some((swap.at, number(swap)? + 1))).collect();
        let rollback = args.rollback;
        let load = move |number: usize| {
            let load = self.load(number, &args, &vm, false);
            load.map(|load| load.map(|load| load.ops)).map_err(|failure| format!("{:#}", failure.error))
        };
        SwapPlan { swaps, rollback, load: Box::new(load) }
    }
}

impl fmt::Display for SwapArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.scheduler, self.at_text)
    }
}

impl SwapArg {
    fn blame(&self, failure: Failure) -> Failure {
        let error = anyhow!("--swap {self}: {:#}", failure.error);
        Failure { status: failure.status, error }
    }
}

fn check_times(swaps: &[SwapArg], duration: Option<Ns>) -> Result<(), Failure> {
    if let Some(pair) = swaps.windows(2).find(|pair| pair[0].at == pair[1].at) {
        let (a, b) = (&pair[0], &pair[1]);
        return Err(Failure::usage(format!("--swap {a} and {b}: two schedulers at one time")));
    }
    match swaps.iter().find(|swap| duration.is_some_and(|end| swap.at >= end)) {
        Some(late) => Err(late.blame(Failure {
            status: Status::Usage,
            error: anyhow!("the run is over by then; a longer --duration lets it come"),
        })),
        None => Ok(()),
    }
}

/// What is for that scheduler.
fn of(later: &[(String, String)], scheduler: &str) -> Vec<String> {
    later.iter().filter(|(name, _)| name == scheduler).map(|(_, rest)| rest.clone()).collect()
}

fn read_setup(names: &[String], machine: Shape) -> Result<Option<SetupFile>, Failure> {
    match names {
        [] => Ok(None),
        [one] => SetupFile::read(one, machine).map(Some),
        [one, two, ..] => {
            Err(Failure::usage(format!("--setup {one} and {two}: a scheduler is set up by one file")))
        }
    }
}

/// `SCHEDULER:NAME=VALUE`, or `SCHEDULER:FILE`, is for a scheduler that comes by a swap, the others for the first.
fn split_sets(sets: &[String], swaps: &[SwapArg]) -> (Vec<String>, Vec<(String, String)>) {
    let (mut own, mut later) = (Vec::new(), Vec::new());
    for set in sets {
        let target = swaps.iter().find_map(|swap| {
            let rest = set.strip_prefix(swap.scheduler.as_str())?.strip_prefix(':')?;
            Some((swap.scheduler.clone(), rest.to_string()))
        });
        match target {
            Some(target) => later.push(target),
            None => own.push(set.clone()),
        }
    }
    (own, later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_are_read_from_the_right() {
        let list = parse("vtime@1s,./a@b.bpf.o@1.5s").expect("two").0;
        assert_eq!((list[0].scheduler.as_str(), list[0].at), ("vtime", Ns(1_000_000_000)));
        assert_eq!((list[1].scheduler.as_str(), list[1].at), ("./a@b.bpf.o", Ns(1_500_000_000)));
        for (text, says) in [
            ("", "SCHEDULER@TIME"),
            ("vtime", "SCHEDULER@TIME"),
            ("@1s", "SCHEDULER@TIME"),
            ("vtime@1s,", "SCHEDULER@TIME"),
            ("vtime@", "unit"),
            ("vtime@1", "unit"),
            ("vtime@0s", "zero"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn settings_go_to_whom_they_name() {
        let swaps = parse("rr@1s").expect("one").0;
        let sets = ["slice_ns=1", "rr:slice_ns=2", "map:rr.max_entries=3"].map(String::from);
        let (own, later) = split_sets(&sets, &swaps);
        assert_eq!(own, ["slice_ns=1", "map:rr.max_entries=3"]);
        assert_eq!(later, [("rr".to_string(), "slice_ns=2".to_string())]);
    }
}
