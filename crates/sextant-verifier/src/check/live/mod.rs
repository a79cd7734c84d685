//! Which parts of the stack are read later. Mirrors kernel/bpf/liveness.c, 7.3.
//!
//! Of every function, once for each call site that hands it a pointer into a stack, it is known which halves of 8-byte slots an
//! instruction may read and which it certainly writes, in the function's own frame and in those of its callers; from these follows what
//! is alive before it. What is dead is forgotten where states are compared, so that paths which differ in it only are one. An analysis
//! that is too coarse costs paths, one that is wrong at worst a number where a pointer was: what is forgotten is not read again by
//! anybody who relies on it.

mod access;
mod track;

use std::collections::BTreeMap;

use super::cfg::Cfg;
use super::state::{MAX_FRAMES, State};
use crate::program::Program;
use track::{Known, Regs, Spills, Track, Value};

/// Halves of 8-byte slots, from the frame's end down: bit 0 is `r10-4..r10`.
pub type Halves = u128;

/// Most functions analysed, counting each call site.
const MAX_WALKS: u32 = 10_000;

#[derive(Clone, Copy, Default, Debug)]
struct Marks {
    reads: Halves,
    writes: Halves,
    alive: Halves,
}

/// A function as called from one place.
#[derive(Clone, Debug)]
struct Instance {
    depth: usize,
    start: usize,
    len: usize,
    /// By frame, outermost first; then by instruction. Frames that it does not touch are empty.
    frames: Vec<Vec<Marks>>,
}

impl Instance {
    fn new(depth: usize, start: usize, len: usize) -> Instance {
        Instance { depth, start, len, frames: vec![Vec::new(); depth + 1] }
    }

    fn marks(&mut self, frame: usize, pc: usize) -> &mut Marks {
        let (at, len) = (pc - self.start, self.len);
        let marks = &mut self.frames[frame];
        if marks.is_empty() {
            marks.resize(len, Marks::default());
        }
        &mut marks[at]
    }

    fn alive(&self, frame: usize, pc: usize) -> Halves {
        self.frames[frame].get(pc.wrapping_sub(self.start)).map_or(0, |m| m.alive)
    }

    /// Both may happen: what either reads is read, what both write is written.
    fn merge(&mut self, other: Instance) {
        for (mine, theirs) in self.frames.iter_mut().zip(other.frames) {
            if mine.is_empty() {
                *mine = theirs;
                mine.iter_mut().for_each(|m| m.writes = 0);
                continue;
            }
            for (i, marks) in mine.iter_mut().enumerate() {
                let other = theirs.get(i).copied().unwrap_or_default();
                marks.reads |= other.reads;
                marks.writes &= other.writes;
            }
        }
    }
}

/// What is alive where.
#[derive(Default, Debug)]
pub struct Liveness {
    /// By depth and by call site, or by the function's start at depth 0.
    instances: BTreeMap<(usize, usize), Instance>,
    /// The program is too much for it: everything is alive.
    all: bool,
}

impl Liveness {
    pub fn build(cfg: &Cfg, prog: &Program) -> Liveness {
        let mut walk = Walk::new(cfg, prog);
        let mut reached = std::collections::BTreeSet::new();
        // Callers before what they call: whoever was reached with pointers into a stack was analysed then.
        for func in callers_first(cfg, prog) {
            if reached.contains(&func) && !cfg.funcs.get(&func).is_some_and(|f| f.global) {
                continue;
            }
            let none = [Value::NONE; 5];
            if walk.function(func, 0, func, &none, &mut Vec::new(), &mut reached).is_none() {
                return Liveness { all: true, ..Liveness::default() };
            }
        }
        Liveness { instances: walk.instances, all: false }
    }

    /// The instance of a frame of a state; the outermost that is known.
    fn instance(&self, state: &State, frame: usize) -> Option<&Instance> {
        let start = state.frames[frame].func;
        let site = if frame == 0 { start } else { state.frames[frame].callsite.unwrap_or(start) };
        let inner = (1..=frame).rev().find_map(|depth| self.instances.get(&(depth, site)));
        inner.or_else(|| self.instances.get(&(0, start)))
    }

    /// What of a frame's stack is read later on the way of a state. Mirrors `bpf_stack_slot_alive()`.
    pub fn alive(&self, cfg: &Cfg, prog: &Program, state: &State, frame: usize) -> Halves {
        let last = state.frames.len() - 1;
        let Some(current) = self.instance(state, last).filter(|_| !self.all) else { return Halves::MAX };
        let mut alive = match (frame + current.depth).checked_sub(last) {
            Some(at) if at <= current.depth => current.alive(at, state.pc),
            _ => 0,
        };
        for i in frame..last {
            let Some(outer) = self.instance(state, i) else { return Halves::MAX };
            let at = (frame + outer.depth).checked_sub(i).filter(|at| *at <= outer.depth);
            let (Some(at), Some(site)) = (at, state.frames[i + 1].callsite) else { return Halves::MAX };
            // A call that runs callbacks is executed again.
            alive |= outer.alive(at, if cfg.calls_back(prog, site) { site } else { site + 1 });
        }
        alive
    }
}

/// All functions, each after those that call it.
fn callers_first(cfg: &Cfg, prog: &Program) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for start in cfg.funcs.keys() {
        let mut todo = vec![(*start, false)];
        while let Some((func, done)) = todo.pop() {
            if done {
                order.push(func);
            } else if seen.insert(func) {
                todo.push((func, true));
                todo.extend(access::callees(cfg, prog, cfg.func_of(func)).map(|callee| (callee, false)));
            }
        }
    }
    order.reverse();
    order
}

/// The analysis.
struct Walk<'a, 'p> {
    cfg: &'a Cfg,
    prog: &'a Program<'p>,
    instances: BTreeMap<(usize, usize), Instance>,
    /// By call site on the way: what the caller's stack holds there.
    spills: BTreeMap<usize, Spills>,
    walks: u32,
}

impl<'a, 'p> Walk<'a, 'p> {
    fn new(cfg: &'a Cfg, prog: &'a Program<'p>) -> Walk<'a, 'p> {
        Walk { cfg, prog, instances: BTreeMap::new(), spills: BTreeMap::new(), walks: 0 }
    }

    /// Analyses a function that is called at `key` with `args` in r1-r5. None: too much.
    fn function(
        &mut self,
        func: usize,
        depth: usize,
        key: usize,
        args: &[Value; 5],
        sites: &mut Vec<usize>,
        reached: &mut std::collections::BTreeSet<usize>,
    ) -> Option<()> {
        self.walks += 1;
        if self.walks > MAX_WALKS || depth >= MAX_FRAMES {
            return None;
        }
        reached.insert(func);
        let desc = self.cfg.func_of(func);
        let order = self.order(desc.start);
        let mut instance = Instance::new(depth, desc.start, desc.end - desc.start);
        let states = self.states(&order, depth, args, sites);
        for pc in order.iter().rev() {
            let Some((regs, spills)) = &states[pc - desc.start] else { continue };
            access::record(self.cfg, self.prog, *pc, regs, &mut instance);
            if access::enters(self.cfg, self.prog, *pc) {
                self.spills.insert(*pc, spills.clone());
            }
        }
        for pc in &order {
            let Some((regs, _)) = &states[pc - desc.start] else { continue };
            let (callee, given) = match access::callee(self.cfg, self.prog, *pc, regs) {
                access::Callee::None => continue,
                access::Callee::Any => {
                    (0..=depth).for_each(|frame| instance.marks(frame, *pc).reads = Halves::MAX);
                    continue;
                }
                access::Callee::Func(callee, given) => (callee, given),
            };
            if !given.iter().any(|v| v.track.is_stack()) {
                continue;
            }
            sites.push(*pc);
            self.function(callee, depth + 1, *pc, &given, sites, reached)?;
            sites.pop();
            let Some(inner) = self.instances.get(&(depth + 1, *pc)) else { continue };
            for frame in 0..=depth {
                let alive = inner.alive(frame, inner.start);
                if alive != 0 {
                    instance.marks(frame, *pc).reads |= alive;
                }
            }
        }
        match self.instances.get_mut(&(depth, key)) {
            Some(before) => before.merge(instance),
            None => drop(self.instances.insert((depth, key), instance)),
        }
        self.settle((depth, key), &order);
        Some(())
    }

    /// The function's instructions, each after those that follow it where there is no loop.
    fn order(&self, start: usize) -> Vec<usize> {
        let mut seen = vec![false; self.prog.insns.len()];
        let (mut order, mut todo) = (Vec::new(), vec![(start, false)]);
        while let Some((pc, done)) = todo.pop() {
            if done {
                order.push(pc);
            } else if pc < seen.len() && !std::mem::replace(&mut seen[pc], true) {
                todo.push((pc, true));
                let next = self.cfg.successors(self.prog, pc);
                todo.extend(next.into_iter().flatten().map(|to| (to, false)));
            }
        }
        order
    }

    /// What registers and stack hold before each instruction, by offset from the function's start.
    fn states(
        &self,
        order: &[usize],
        depth: usize,
        args: &[Value; 5],
        sites: &[usize],
    ) -> Vec<Option<(Regs, Spills)>> {
        let Some(&start) = order.last() else { return Vec::new() };
        let len = self.cfg.func_of(start).end - start;
        let mut states: Vec<Option<(Regs, Spills)>> = vec![None; len];
        let mut regs = [Value::NONE; 11];
        regs[1..6].copy_from_slice(args);
        regs[10] = Value { track: Track::at(depth as u8, 0), known: Known::Any };
        states[0] = Some((regs, Spills::default()));
        let mut changed = true;
        while std::mem::replace(&mut changed, false) {
            for &pc in order.iter().rev() {
                let Some((mut regs, mut spills)) = states[pc - start].clone() else { continue };
                access::step(self.cfg, self.prog, pc, depth as u8, &mut regs, &mut spills, |frame| {
                    sites.get(frame as usize).and_then(|site| self.spills.get(site))
                });
                for to in self.cfg.successors(self.prog, pc).into_iter().flatten() {
                    let Some(state) = to.checked_sub(start).and_then(|at| states.get_mut(at)) else {
                        continue;
                    };
                    changed |= match state {
                        None => {
                            *state = Some((regs, spills.clone()));
                            true
                        }
                        Some((old, stack)) => {
                            let mut grew = false;
                            for (old, new) in old.iter_mut().zip(&regs) {
                                grew |= old.join(new);
                            }
                            stack.join(&spills) | grew
                        }
                    };
                }
            }
        }
        states
    }

    /// What is alive, from what is read and written.
    fn settle(&mut self, key: (usize, usize), order: &[usize]) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let start = instance.start;
        for marks in instance.frames.iter_mut().filter(|marks| !marks.is_empty()) {
            let mut changed = true;
            while std::mem::replace(&mut changed, false) {
                for &pc in order {
                    let next = self.cfg.successors(self.prog, pc).into_iter().flatten();
                    let after = next
                        .fold(0, |acc, to| acc | marks.get(to.wrapping_sub(start)).map_or(0, |m| m.alive));
                    let here = &mut marks[pc - start];
                    let alive = (after & !here.writes) | here.reads;
                    changed |= alive != std::mem::replace(&mut here.alive, alive);
                }
            }
        }
    }
}
