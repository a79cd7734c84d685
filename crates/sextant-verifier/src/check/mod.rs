//! Abstract execution: every path of the program with what is known of registers and stack, until it exits or a state that was
//! seen covers it. Mirrors `do_check()` and `is_state_visited()` of kernel/bpf/verifier.c, 7.3.
//!
//! [`Env`] holds what lasts, `Env::st` the path that is being followed. Each file does one subject as methods of `Env`:
//! [`step`] instructions, `mem` and `stack` memory, `obj` kernel objects, `call`, `helper`, `kfunc`, `callback` calls.
//!
//! What must hold: every concrete execution is a member of some state followed here. A number that decides anything is marked
//! (see [`nodes`]). A function that is not understood refuses the program.

mod arith;
mod call;
mod callback;
mod cfg;
mod compat;
mod depth;
mod effect;
mod equal;
mod format;
mod global;
mod graph;
mod helper;
mod iter;
mod jump;
mod kfunc;
mod kfunc_arg;
mod live;
mod lock;
mod log;
mod map_ptr;
mod mem;
mod memarg;
mod net;
mod nodes;
mod note;
mod obj;
mod packet;
mod proto;
mod refs;
mod reg;
mod report;
mod scc;
mod sock;
mod stack;
mod state;
mod step;
mod tail;
mod trail;
mod visit;
mod walk;
mod words;

use std::collections::BTreeSet;

use sextant_abi::image::Reloc;

use crate::diag::{Accepted, Code, Rejection};
use crate::program::{MapDesc, ProgKind, Program};
use crate::structure;
use cfg::{Cfg, Shape};
use log::Log;
use nodes::Nodes;
use reg::{Reg, What};
use state::State;
use trail::Trail;

/// Most instructions processed, all paths.
pub const MAX_PROCESSED: u64 = 1_000_000;
/// Most branches waiting.
const MAX_QUEUE: usize = 8192;

/// A refusal on its way out; where it happened is the path's `pc`.
#[derive(Debug)]
pub(crate) struct Refused {
    code: Code,
    message: String,
    /// Registers to show first.
    regs: Vec<u8>,
    /// Instructions to show.
    made: Vec<usize>,
}

type Res<T = ()> = Result<T, Box<Refused>>;

/// Refuses with a code and the kernel's words.
fn refuse<T>(code: Code, message: impl Into<String>) -> Res<T> {
    Err(Box::new(Refused { code, message: message.into(), regs: Vec::new(), made: Vec::new() }))
}

/// Refuses, showing a register.
fn refuse_reg<T>(code: Code, reg: u8, message: impl Into<String>) -> Res<T> {
    Err(Box::new(Refused { code, message: message.into(), regs: vec![reg], made: Vec::new() }))
}

/// Refuses because of something that an earlier instruction did.
fn refuse_made<T>(code: Code, made: usize, message: impl Into<String>) -> Res<T> {
    Err(Box::new(Refused { code, message: message.into(), regs: Vec::new(), made: vec![made] }))
}

/// How a path goes on.
enum Next {
    /// At this slot.
    Goto(usize),
    /// It ends.
    End,
}

/// A state that is kept.
#[derive(Debug)]
struct Kept {
    /// Dropped when it never matched.
    state: Option<Box<State>>,
    /// The kept state its path came through; 0: none.
    parent: u32,
    /// Paths from here that are still being followed.
    branches: u32,
    hits: u32,
    misses: u32,
    /// New states are compared with it.
    listed: bool,
}

/// A path that waits.
struct Waiting {
    state: State,
    parent: u32,
    /// The instruction it left another path at.
    from: Option<usize>,
}

/// What an access goes through, as far as it decides how the instruction is translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Through {
    Memory,
    Context,
    Arena,
    Object,
}

/// What is verified and what is known so far.
struct Env<'a> {
    prog: &'a Program<'a>,
    cfg: Cfg,
    /// The program's maps and the templates inside them.
    maps: Vec<&'a MapDesc<'a>>,
    nodes: Nodes,
    /// By number; the first is a dummy.
    kept: Vec<Kept>,
    /// By slot: numbers of the states kept there.
    at: Vec<Vec<u32>>,
    queue: Vec<Waiting>,
    /// Loops that are being explored.
    visits: visit::Visits,
    /// The instruction is part of the path's history.
    noted: bool,
    /// The path being followed.
    st: State,
    parent: u32,
    next_id: u32,
    /// First slot of the function verified now: the program or a global function.
    entry: usize,
    /// Global functions that are called, and whether from where it may sleep.
    wanted: BTreeSet<(usize, bool)>,
    /// Callbacks that run later, by themselves.
    later: BTreeSet<usize>,
    processed: u64,
    /// Instructions and jumps since the last kept state.
    since: (u64, u64),
    alive: usize,
    peak: usize,
    seen: Vec<bool>,
    probe: Vec<bool>,
    arena: Vec<bool>,
    /// Per slot: what the load or store went through on the first path.
    through: Vec<Option<Through>>,
    /// Per slot: whether the 64-bit arithmetic was on an arena pointer on the first path.
    arena_alu: Vec<Option<bool>>,
    /// Stack used by the function at a slot.
    depth: std::collections::BTreeMap<usize, u32>,
    /// Which way conditional jumps went; None: nobody asked.
    trail: Option<Trail>,
    /// What was done; None: nobody asked.
    log: Option<Log>,
}

/// Verifies a program.
pub fn verify(prog: &Program<'_>) -> Result<Accepted, Rejection> {
    verify_with(prog, None).0
}

/// Verifies a program and writes down what it does, as the kernel's log does. A program that is refused for its form has no log.
pub fn verify_with_log(prog: &Program<'_>) -> (Result<Accepted, Rejection>, String) {
    verify_with(prog, Some(Log::default()))
}

fn verify_with(prog: &Program<'_>, log: Option<Log>) -> (Result<Accepted, Rejection>, String) {
    let cfg = match graph_of(prog) {
        Ok(cfg) => cfg,
        Err(rejection) => return (Err(*rejection), String::new()),
    };
    let mut env = Env::new(prog, cfg);
    env.log = log;
    let result = env.all();
    let (mut text, end) = env.take_log(result.as_ref().err().map(|refused| refused.message.as_str()));
    let result = match result {
        Ok(()) => Ok(env.accepted()),
        Err(refused) if trail::tells(refused.code) => Err(trail::again(prog, env.cfg, *refused)),
        Err(refused) => Err(env.rejection(*refused)),
    };
    if !end.is_empty() {
        let tail = result.as_ref().err().map(|rejection| tail::tail(prog, rejection));
        text.push_str(&tail.unwrap_or_default());
        text.push_str(&end);
    }
    (result, text)
}

/// What a program may not do by its licence, and where, as far as it shows before any path is followed. Mirrors
/// `check_struct_ops_btf_id()` and `add_kfunc_call()` of kernel/bpf/verifier.c, 7.3.
fn licence(prog: &Program<'_>) -> Option<(usize, &'static str)> {
    let struct_ops = matches!(prog.kind, ProgKind::StructOps { .. } | ProgKind::ForeignStructOps);
    let kfunc = || prog.relocs.iter().find(|(_, reloc)| matches!(reloc, Reloc::Kfunc(_)));
    match prog.gpl {
        true => None,
        false if struct_ops => Some((0, "struct ops programs must have a GPL compatible license")),
        false => kfunc()
            .map(|(pc, _)| (*pc as usize, "cannot call kernel function from non-GPL compatible program")),
    }
}

/// The form of a program: its instructions, functions and jumps.
fn graph_of(prog: &Program<'_>) -> Result<Cfg, Box<Rejection>> {
    let refused = |pc, code, text: String| Err(Box::new(report::at_load(prog, pc, code, text)));
    if let Some((pc, text)) = licence(prog) {
        return refused(pc, Code::Licence, text.into());
    }
    if let Err(err) = structure::check(prog.insns) {
        let last = prog.insns.len().saturating_sub(1);
        return refused(err.pc().unwrap_or(last), Code::Structure, err.to_string());
    }
    match Cfg::build(prog) {
        Ok(cfg) => Ok(cfg),
        Err(Shape::Unreachable(pc)) => refused(pc, Code::Unreachable, format!("unreachable insn {pc}")),
        Err(Shape::JumpOut(pc)) => refused(pc, Code::Structure, format!("jump out of range from insn {pc}")),
        Err(Shape::FallThrough(pc)) => refused(pc, Code::Structure, "last insn is not an exit or jmp".into()),
    }
}

impl<'a> Env<'a> {
    fn new(prog: &'a Program<'a>, cfg: Cfg) -> Env<'a> {
        let len = prog.insns.len();
        let mut maps = Vec::new();
        for map in prog.maps {
            maps.push(map);
        }
        maps.extend(prog.maps.iter().filter_map(|m| m.inner.as_deref()));
        let dummy = Kept { state: None, parent: 0, branches: 1, hits: 0, misses: 0, listed: true };
        Env {
            prog,
            cfg,
            maps,
            nodes: Nodes::default(),
            kept: vec![dummy],
            at: vec![Vec::new(); len],
            queue: Vec::new(),
            visits: visit::Visits::default(),
            noted: false,
            st: State::new(0, prog.sleepable),
            parent: 0,
            next_id: 0,
            entry: 0,
            wanted: BTreeSet::new(),
            later: BTreeSet::new(),
            processed: 0,
            since: (0, 0),
            alive: 0,
            peak: 0,
            seen: vec![false; len],
            probe: vec![false; len],
            arena: vec![false; len],
            through: vec![None; len],
            arena_alu: vec![None; len],
            depth: std::collections::BTreeMap::new(),
            trail: None,
            log: None,
        }
    }

    /// The program, then every global function that it calls.
    fn all(&mut self) -> Res {
        let mut first = State::new(0, self.prog.sleepable);
        first.frames[0].regs[1] = Reg::ptr(What::Ctx, 0);
        self.check_load()?;
        self.function(first)?;
        let mut done = BTreeSet::new();
        while let Some((func, sleepable)) = self.wanted.iter().copied().find(|f| !done.contains(f)) {
            done.insert((func, sleepable));
            let state = self.global_entry(func, sleepable)?;
            self.function(state)?;
        }
        self.check_depth()
    }

    /// Every path from `first` on.
    fn function(&mut self, first: State) -> Res {
        self.entry = first.pc;
        self.kept.truncate(1);
        self.at.iter_mut().for_each(Vec::clear);
        self.alive = 0;
        self.nodes = Nodes::default();
        self.visits = visit::Visits::default();
        self.queue.clear();
        self.log_function();
        self.queue.push(Waiting { state: first, parent: 0, from: None });
        while let Some(waiting) = self.queue.pop() {
            self.st = waiting.state;
            self.parent = waiting.parent;
            self.log_path(waiting.from);
            self.path()?;
            self.finish_path();
        }
        Ok(())
    }

    /// Follows the path in `st` until it ends or is covered.
    fn path(&mut self) -> Res {
        loop {
            let pc = self.st.pc;
            self.processed += 1;
            self.since.0 += 1;
            if self.processed > MAX_PROCESSED {
                let text = format!("BPF program is too large. Processed {} insn", self.processed);
                return refuse(Code::TooComplex, text);
            }
            if self.cfg.prune[pc] && self.visit()? {
                self.log_covered();
                return Ok(());
            }
            self.noted = false;
            if self.cfg.jumps[pc] {
                self.jumped();
            }
            self.seen[pc] = true;
            self.log_insn();
            let waiting = self.queue.len();
            let before = self.log.as_ref().map(|_| (self.st.top().clone(), self.st.frames.len()));
            match self.step()? {
                Next::Goto(next) => {
                    self.turned(waiting, next);
                    if let Some((frame, depth)) = before {
                        self.log_change(&frame, depth);
                    }
                    self.st.pc = next;
                }
                Next::End => return Ok(()),
            }
        }
    }

    /// The instruction becomes part of the path's history, once.
    fn jumped(&mut self) {
        if !std::mem::replace(&mut self.noted, true) {
            self.st.history += 1;
        }
    }

    /// A path that has nothing to do with the present one: a callback that runs by itself.
    fn push_alone(&mut self, state: State) -> Res {
        if self.queue.len() >= MAX_QUEUE {
            let text = format!("The sequence of {} jumps is too complex for async cb.", self.queue.len());
            return refuse(Code::TooComplex, text);
        }
        self.queue.push(Waiting { state, parent: 0, from: Some(self.st.pc) });
        Ok(())
    }

    /// Another path from the present state; it goes on at `pc`.
    fn push(&mut self, mut state: State, pc: usize) -> Res {
        if self.queue.len() >= MAX_QUEUE {
            let text = format!("The sequence of {} jumps is too complex.", self.queue.len());
            return refuse(Code::TooComplex, text);
        }
        state.pc = pc;
        self.kept[self.parent as usize].branches += 1;
        self.queue.push(Waiting { state, parent: self.parent, from: Some(self.st.pc) });
        Ok(())
    }

    fn accepted(&self) -> Accepted {
        let second = |pc: usize| pc > 0 && self.cfg.kinds[pc].is_none();
        Accepted {
            insns_processed: self.processed,
            peak_states: self.peak,
            total_states: self.kept.len() - 1,
            stack_depth: self.depth.values().copied().max().unwrap_or(0),
            dead: (0..self.seen.len())
                .map(|pc| if second(pc) { !self.seen[pc - 1] } else { !self.seen[pc] })
                .collect(),
            probe_load: self.probe.clone(),
            arena_access: self.arena.clone(),
        }
    }

    fn fresh_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The map of an index.
    fn map(&self, map: u32) -> &'a MapDesc<'a> {
        self.maps[map as usize]
    }

    /// Marks that a register's number decided something.
    fn matters(&mut self, reg: &Reg) {
        if reg.is_scalar() {
            self.nodes.mark(reg.node);
        }
    }
}
