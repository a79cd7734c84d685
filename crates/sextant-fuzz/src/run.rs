//! One program judged and run: by the verifier, by both engines, and with every check at the object level.
//!
//! What must hold:
//!
//! 1. interpreter and compiled code agree on results, traps, instruction counts, printed lines, timers and all memory,
//!    whatever the verifier says;
//! 2. an accepted program never traps, with or without object checks (a budget used up aside), and its runs with and without
//!    them agree;
//! 3. no slot that the verifier marked dead is executed.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use sextant_abi::{Mem, ProgramImage, Reloc};
use sextant_verifier::{Accepted, ProgKind, Program, Rejection, verify};
use sextant_vm::map::BPF_MAP_TYPE_ARENA;
use sextant_vm::region::Zone;
use sextant_vm::{Engine, MapId, ProgId, Run, Trap, TrapKind, Vm};

use crate::host::Kernel;
use crate::piece::Draft;
use crate::rng::Rng;
use crate::world::{ARENA_PAGES, Of, World};

/// Instructions of one run.
const BUDGET: u64 = 20_000;
/// Runs of a program.
const RUNS: u64 = 3;
/// Timers that fire after a run.
const FIRES: usize = 4;

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Interpreter and compiled code differ.
    Engines(String),
    /// An accepted program trapped.
    Trapped(String),
    /// Object checks changed what an accepted program does.
    Sanitized(String),
    /// An accepted program executed a slot that is dead.
    Dead(usize),
}

impl Failure {
    /// Whether both are of one kind: a smaller program must fail for the same reason.
    pub fn is_like(&self, other: &Failure) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Engines(what) => write!(f, "the engines differ: {what}"),
            Failure::Trapped(what) => write!(f, "accepted, but {what}"),
            Failure::Sanitized(what) => write!(f, "object checks change an accepted program: {what}"),
            Failure::Dead(slot) => write!(f, "instruction {slot} is dead for the verifier and was executed"),
        }
    }
}

/// How a program fared.
pub struct Judged {
    /// The verifier's word.
    pub verdict: Result<Accepted, Rejection>,
    /// How often each slot was executed with object checks.
    pub executed: Vec<u64>,
    /// Of the three rules, what was broken.
    pub failure: Option<Failure>,
}

/// Verifies a program of this world.
pub fn judge(draft: &Draft, world: &World) -> Result<Accepted, Rejection> {
    let named = |id: u32| {
        let mut relocs = draft.code.relocs.iter().map(|(_, reloc)| *reloc);
        relocs.any(|reloc| matches!(reloc, Reloc::Map(own) | Reloc::MapValue(own, _) if own == id))
    };
    let maps: Vec<_> = world.maps.iter().filter(|map| named(map.id)).cloned().collect();
    let func_info = world.func_info(draft);
    verify(&Program {
        name: "fuzz",
        insns: &draft.code.insns,
        relocs: &draft.code.relocs,
        kind: draft.kind,
        sleepable: draft.kind == ProgKind::Syscall,
        gpl: true,
        has_helper: Some(sextant_vm::helper_is_implemented),
        state_freq: draft.state_freq,
        strict_alignment: false,
        nr_cpus: crate::world::CPUS,
        maps: &maps,
        read_only: &|map, off, size| world.read_only(map, off, size),
        btf: Some(&world.btf),
        kernel_btf: Some(&world.kernel_btf),
        func_info: &func_info,
        line_info: &[],
    })
}

/// Verifies and runs it.
pub fn run(draft: &Draft, world: &World) -> Judged {
    let verdict = judge(draft, world);
    let accepted = verdict.as_ref().ok();
    let mut image = ProgramImage {
        name: "fuzz".to_owned(),
        insns: draft.code.insns.clone(),
        relocs: draft.code.relocs.clone(),
        local_types: world.local_types(),
        ..ProgramImage::default()
    };
    if let Some(accepted) = accepted {
        image.dead.clone_from(&accepted.dead);
        image.probe_load.clone_from(&accepted.probe_load);
        image.arena_access.clone_from(&accepted.arena_access);
    }
    let made = |engine, sanitize| Machine::new(draft, world, &image, engine, sanitize);
    let mut plain = made(Engine::Interpreter, false);
    let mut compiled = made(Engine::Jit, false);
    let mut checked = made(Engine::Interpreter, true);
    let seen = [&mut plain, &mut compiled, &mut checked].map(|m| m.all());
    let executed = checked.vm.executed(checked.prog);
    let failure = plain.unlike(&compiled, &seen[0], &seen[1]).map(Failure::Engines);
    let failure = failure.or_else(|| accepted.and_then(|a| unsound(a, &seen, &executed)));
    Judged { verdict, executed, failure }
}

fn unsound(accepted: &Accepted, [plain, _, checked]: &[Seen; 3], executed: &[u64]) -> Option<Failure> {
    let mut traps = checked.results.iter().chain(&plain.results).filter_map(|r| r.as_ref().err());
    if let Some(trap) = traps.find(|trap| !matches!(trap.kind, TrapKind::Budget { .. })) {
        return Some(Failure::Trapped(trap.to_string()));
    }
    if let Some(what) = plain.unlike(checked) {
        return Some(Failure::Sanitized(what));
    }
    let dead = |slot: &usize| accepted.dead.get(*slot) == Some(&true) && executed[*slot] > 0;
    (0..executed.len()).find(dead).map(Failure::Dead)
}

/// What runs showed.
struct Seen {
    results: Vec<Result<Run, Trap>>,
    printed: Vec<String>,
    timers: Vec<(u64, u64, bool)>,
}

impl Seen {
    fn unlike(&self, other: &Seen) -> Option<String> {
        let pairs = self.results.iter().zip(&other.results).enumerate();
        let mut differing = pairs.filter(|(_, (a, b))| a != b);
        let results = differing.next().map(|(i, (a, b))| format!("run {i}: {} and {}", text(a), text(b)));
        let printed = || {
            let pair = self.printed.iter().zip(&other.printed).find(|(a, b)| a != b);
            let text = pair.map_or("how many lines".to_owned(), |(a, b)| format!("{a:?} and {b:?}"));
            (self.printed != other.printed).then(|| format!("printed: {text}"))
        };
        let timers = || (self.timers != other.timers).then(|| "armed timers".to_owned());
        results.or_else(printed).or_else(timers)
    }
}

fn text(result: &Result<Run, Trap>) -> String {
    match result {
        Ok(run) => format!("r0 {:#x} after {} instructions", run.r0, run.insns),
        Err(trap) => format!("a trap at {}: {}", trap.insn, trap.kind),
    }
}

/// A vm with the program.
struct Machine {
    vm: Vm,
    kernel: Kernel,
    prog: ProgId,
    syscall: bool,
    rng: Rng,
}

impl Machine {
    fn new(draft: &Draft, world: &World, image: &ProgramImage, engine: Engine, sanitize: bool) -> Machine {
        let mut rng = Rng::new(draft.seed ^ 0x5eed_5eed);
        let made =
            world.make(engine, sanitize, &mut rng).expect("address space for a vm, and maps of a good shape");
        made.vm.set_insn_budget(BUDGET);
        let prog = made.vm.prog_add(image.clone());
        let kernel = Kernel::new(made.task, made.cgroup);
        let syscall = draft.kind == ProgKind::Syscall;
        Machine { vm: made.vm, kernel, prog, syscall, rng }
    }

    /// All runs, and after each what user space and the clock do.
    fn all(&mut self) -> Seen {
        let mut results = Vec::new();
        for round in 0..RUNS {
            results.push(self.once());
            self.kernel.now += 1_000 * round;
            for _ in 0..FIRES {
                let Some(timer) = self.kernel.next_timer() else { break };
                match self.vm.timer_fire(timer, &mut self.kernel) {
                    Ok(run) => results.extend(run.map(Ok)),
                    Err(trap) => results.push(Err(trap)),
                }
            }
            self.user_space();
        }
        Seen {
            results,
            printed: std::mem::take(&mut self.kernel.printed),
            timers: std::mem::take(&mut self.kernel.timers),
        }
    }

    fn once(&mut self) -> Result<Run, Trap> {
        if self.syscall {
            let mut ctx: Vec<u8> = (0..32).flat_map(|_| self.rng.number().to_le_bytes()).collect();
            return self.vm.run_with_ctx(self.prog, &mut ctx, &mut self.kernel);
        }
        let args = [self.kernel.task, self.rng.number()];
        self.vm.run(self.prog, &args, &mut self.kernel)
    }

    /// Records are consumed and sent; the numbers of the .bss change.
    fn user_space(&mut self) {
        let lines = &mut self.kernel.printed;
        let mut take = |sample: &[u8]| lines.push(format!("record {sample:x?}"));
        if let Err(error) = self.vm.ringbuf_consume(MapId(Of::Ringbuf.id()), &mut take) {
            lines.push(format!("ring: {error}"));
        }
        let sample: Vec<u8> = (0..2).flat_map(|_| self.rng.number().to_le_bytes()).collect();
        let sent = self.vm.user_ringbuf_push(MapId(Of::UserRingbuf.id()), &sample);
        if let Err(error) = sent {
            self.kernel.printed.push(format!("user ring: {error}"));
        }
        let value = self.vm.map_lookup(MapId(Of::Bss.id()), &[0; 4], 0);
        if let Ok(mut value) = value {
            for word in value.as_chunks_mut::<8>().0 {
                if self.rng.coin() {
                    *word = self.rng.number().to_le_bytes();
                }
            }
            if let Err(error) = self.vm.map_update(MapId(Of::Bss.id()), &[0; 4], &value, 0) {
                self.kernel.printed.push(format!(".bss: {error}"));
            }
        }
    }

    /// How two machines differ after the same runs.
    fn unlike(&self, other: &Machine, mine: &Seen, theirs: &Seen) -> Option<String> {
        mine.unlike(theirs).or_else(|| self.memory_unlike(other)).or_else(|| self.elements_unlike(other))
    }

    fn memory_unlike(&self, other: &Machine) -> Option<String> {
        let zones =
            [Zone::Task, Zone::Kernel, Zone::MapRw, Zone::MapRo, Zone::Stack, Zone::Heap, Zone::MapPtr];
        for zone in zones {
            let (mine, theirs) = (zone_bytes(&self.vm, zone), zone_bytes(&other.vm, zone));
            if mine != theirs {
                let at = mine
                    .iter()
                    .zip(&theirs)
                    .position(|(a, b)| a != b)
                    .unwrap_or(mine.len().min(theirs.len()));
                return Some(format!("memory at {:#x} (zone {zone:?})", zone.start() + at as u64));
            }
        }
        let arenas = arena_bytes(&self.vm) != arena_bytes(&other.vm);
        if arenas {
            return Some("the arena".to_owned());
        }
        (self.vm.nr_objects() != other.vm.nr_objects()).then(|| "live objects".to_owned())
    }

    /// What bpf(2) says of the maps.
    fn elements_unlike(&self, other: &Machine) -> Option<String> {
        (1..=Of::ResLock.id()).find_map(|id| {
            let (mine, theirs) = (elements(&self.vm, MapId(id)), elements(&other.vm, MapId(id)));
            (mine != theirs).then(|| format!("elements of map {id}"))
        })
    }
}

fn zone_bytes(vm: &Vm, zone: Zone) -> Vec<u8> {
    let region = vm.region();
    let mut out = vec![0; region.used(zone) as usize];
    region.read_bytes(zone.start(), &mut out);
    out
}

fn arena_bytes(vm: &Vm) -> Vec<u8> {
    let mut out = vec![0; ARENA_PAGES as usize * 4096];
    let arena = MapId(Of::Arena.id());
    debug_assert_eq!(vm.map_spec(arena).map(|s| s.map_type), Some(BPF_MAP_TYPE_ARENA));
    if let Some(fd) = vm.map_fd(arena) {
        // The file may be shorter than the arena: the rest is zero.
        let _ = File::from(fd).read_at(&mut out, 0);
    }
    out
}

/// Keys and values, in the order in which user space gets them.
fn elements(vm: &Vm, id: MapId) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut out = Vec::new();
    let mut key = vm.map_next_key(id, None);
    while let Ok(this) = key {
        let value = vm.map_lookup(id, &this, 0).ok();
        key = vm.map_next_key(id, Some(&this));
        out.push((this, value));
        if out.len() > 64 {
            break;
        }
    }
    out
}
