//! Which states are kept, and when a path ends because a kept one covers it. Mirrors `is_state_visited()`, `update_branch_counts()`,
//! `widen_imprecise_scalars()` of kernel/bpf/verifier.c, 7.3.

use super::equal::{Exact, covered, pairs};
use super::reg::{DELTA, DELTA32, Reg, What};
use super::state::{Byte, Slot, Special, State};
use super::step::untie;
use super::*;

/// A path's history that is longer forces a state to be kept.
const MAX_HISTORY: u32 = 40;

/// Ways into a loop, for each call chain: what is known of one that is being explored.
#[derive(Default, Debug)]
pub(super) struct Visits(std::collections::BTreeMap<(Vec<usize>, u32), Visit>);

#[derive(Default, Debug)]
struct Visit {
    /// The state that entered the loop; 0: none.
    entry: u32,
    /// Paths that were cut because of a state in the loop: what matters there is known when the loop was explored.
    backedges: Vec<Vec<(u32, u32)>>,
}

impl Env<'_> {
    /// Compares the path's state with those kept at its instruction, newest first. True: it is covered.
    pub(super) fn visit(&mut self) -> Res<bool> {
        let pc = self.st.pc;
        let force = self.cfg.force[pc] || self.prog.state_freq || self.st.history > MAX_HISTORY;
        let mut keep = force || (self.since.1 >= 2 && self.since.0 >= 8);
        self.forget_dead();
        let site = self.st.top().callsite;
        let mut i = self.at[pc].len();
        while i > 0 {
            i -= 1;
            let n = self.at[pc][i];
            let Some(old) = self.kept[n as usize].state.take() else { continue };
            if old.top().callsite != site {
                self.kept[n as usize].state = Some(old);
                continue;
            }
            let verdict = self.compare(n, &old, force, &mut keep);
            if let Ok(Some(in_loop)) = verdict {
                let pairs = pairs(&old, &self.st);
                self.nodes.join(&pairs);
                if in_loop && let Some(visit) = self.visit_of(&old) {
                    visit.backedges.push(pairs);
                }
                self.kept[n as usize].state = Some(old);
                self.kept[n as usize].hits += 1;
                return Ok(true);
            }
            self.kept[n as usize].state = Some(old);
            verdict?;
            if keep {
                self.kept[n as usize].misses += 1;
            }
            if self.is_useless(n) {
                self.at[pc].remove(i);
            }
        }
        if keep {
            self.keep();
        }
        Ok(false)
    }

    /// A state that never matches is taken off the list; while paths from it are followed it is still their ancestor.
    fn is_useless(&mut self, n: u32) -> bool {
        let force = self.cfg.force[self.st.pc];
        let kept = &mut self.kept[n as usize];
        let patience = if force && kept.branches > 0 { 64 } else { 3 };
        if kept.misses <= kept.hits * patience + patience {
            return false;
        }
        kept.listed = false;
        if kept.branches == 0 {
            kept.state = None;
        }
        self.alive -= 1;
        true
    }

    /// `Some(in_loop)`: `old` covers the path.
    fn compare(&mut self, n: u32, old: &State, force: bool, keep: &mut bool) -> Res<Option<bool>> {
        let pc = self.st.pc;
        if self.kept[n as usize].branches == 0 {
            let in_loop = self.in_open_loop(old);
            let exact = if in_loop { Exact::Range } else { Exact::No };
            return Ok(covered(old, &self.st, exact, &self.nodes).then_some(in_loop));
        }
        let round = |this: &Self| covered(old, &this.st, Exact::Range, &this.nodes) && this.is_ancestor(n);
        let mut endless = false;
        if self.cfg.is_iter_next(pc) {
            if round(self) && self.iter_active() {
                return Ok(Some(true));
            }
        } else if self.cfg.calls_back(self.prog, pc) {
            if round(self) {
                return Ok(Some(true));
            }
        } else {
            let goes = self.cfg.kinds[pc] == Some(sextant_bpf::opcode::Kind::MayGoto);
            if goes && old.may_goto != self.st.may_goto && round(self) {
                return Ok(Some(true));
            }
            endless = old.may_goto == self.st.may_goto
                && old.unrolled == self.st.unrolled
                && !iters_moved(old, &self.st)
                && covered(old, &self.st, Exact::Full, &self.nodes)
                && self.is_ancestor(n);
        }
        if endless {
            return refuse(Code::InfiniteLoop, format!("infinite loop detected at insn {pc}"));
        }
        if self.since.1 < 20 && self.since.0 < 100 && !force {
            *keep = false;
        }
        Ok(None)
    }

    fn is_ancestor(&self, n: u32) -> bool {
        let mut at = self.parent;
        while at > n {
            at = self.kept[at as usize].parent;
        }
        at == n
    }

    /// The loop that a state is in, outermost first, and the calls that lead to it.
    fn chain_of(&self, state: &State) -> Option<(Vec<usize>, u32)> {
        let last = state.frames.len() - 1;
        let mut sites = Vec::new();
        for i in 0..=last {
            let pc = if i == last { state.pc } else { state.frames[i + 1].callsite.unwrap_or(0) };
            match self.cfg.loops[pc] {
                0 => sites.push(pc),
                number => return Some((sites, number)),
            }
        }
        None
    }

    fn visit_of(&mut self, state: &State) -> Option<&mut Visit> {
        let chain = self.chain_of(state)?;
        self.visits.0.get_mut(&chain)
    }

    /// Whether a state is in a loop of which paths were cut that it may matter for. Mirrors `incomplete_read_marks()`.
    fn in_open_loop(&mut self, state: &State) -> bool {
        self.visit_of(state).is_some_and(|visit| !visit.backedges.is_empty())
    }

    /// All ways from the state that entered a loop were followed: what matters at its end matters at its start.
    fn leave_loop(&mut self, n: u32) {
        let Some(state) = self.kept[n as usize].state.take() else { return };
        let edges = match self.visit_of(&state) {
            Some(visit) if visit.entry == n => {
                visit.entry = 0;
                std::mem::take(&mut visit.backedges)
            }
            _ => Vec::new(),
        };
        self.kept[n as usize].state = Some(state);
        let mut told = true;
        while std::mem::replace(&mut told, false) {
            for pairs in &edges {
                told |= self.nodes.join(pairs);
            }
        }
    }

    /// Keeps the path's state; its numbers get nodes of their own, so that marks tell this state from others.
    fn keep(&mut self) {
        let n = self.kept.len() as u32;
        self.rename_nodes();
        self.forget_single_ids();
        self.st.history = 0;
        let state = self.st.clone();
        if let Some(chain) = self.chain_of(&state) {
            let visit = self.visits.0.entry(chain).or_default();
            if visit.entry == 0 {
                visit.entry = n;
            }
        }
        let kept = Kept {
            state: Some(Box::new(state)),
            parent: self.parent,
            branches: 1,
            hits: 0,
            misses: 0,
            listed: true,
        };
        self.kept.push(kept);
        self.at[self.st.pc].push(n);
        self.parent = n;
        self.since = (0, 0);
        self.alive += 1;
        self.peak = self.peak.max(self.alive);
    }

    /// A number that shares its origin with no other is by itself. Mirrors `bpf_clear_singular_ids()`.
    fn forget_single_ids(&mut self) {
        let mut ids = Vec::new();
        self.st.each_reg(|r| {
            if r.is_scalar() && r.id != 0 {
                ids.push(r.id);
            }
        });
        ids.sort_unstable();
        let single = |id: u32| {
            let at = ids.partition_point(|other| *other < id);
            ids.get(at + 1) != Some(&id)
        };
        self.st.each_reg(|r| {
            if r.is_scalar() && r.id != 0 && single(r.id) {
                untie(r);
            }
        });
    }

    fn rename_nodes(&mut self) {
        let mut names: Vec<(u32, u32)> = Vec::new();
        let nodes = &mut self.nodes;
        let mut rename = |node: &mut u32| {
            let new = match names.iter().find(|(old, _)| *old == *node && *node != 0) {
                Some((_, new)) => *new,
                None => {
                    let new = nodes.copy(*node);
                    names.push((*node, new));
                    new
                }
            };
            *node = new;
        };
        for frame in &mut self.st.frames {
            for reg in frame.regs.iter_mut().filter(|r| r.is_scalar()) {
                rename(&mut reg.node);
            }
            for slot in &mut frame.stack {
                if slot.bytes[0] == Byte::Spill && slot.reg.is_scalar() {
                    rename(&mut slot.reg.node);
                }
            }
        }
    }

    /// Registers and parts of the stack that nobody reads any more hold nothing. Mirrors `clean_verifier_state()`.
    fn forget_dead(&mut self) {
        let last = self.st.frames.len() - 1;
        for i in 0..=last {
            let site = if i == last { self.st.pc } else { self.st.frames[i + 1].callsite.unwrap_or(0) };
            let live = self.cfg.live[site];
            let alive = match self.st.frames[i].stack.is_empty() {
                true => 0,
                false => self.cfg.stack.alive(&self.cfg, self.prog, &self.st, i),
            };
            let frame = &mut self.st.frames[i];
            for (n, reg) in frame.regs.iter_mut().enumerate().take(10) {
                if live & (1 << n) == 0 {
                    *reg = Reg::UNINIT;
                }
            }
            for (i, slot) in frame.stack.iter_mut().enumerate() {
                let halves = if i < 64 { alive >> (2 * i) } else { 3 };
                forget_slot(slot, halves & 2 != 0, halves & 1 != 0);
            }
        }
    }

    /// The path has ended: the states it came through have one fewer to wait for.
    pub(super) fn finish_path(&mut self) {
        let mut at = self.parent;
        while at != 0 {
            let kept = &mut self.kept[at as usize];
            kept.branches -= 1;
            if kept.branches > 0 {
                return;
            }
            let (listed, parent) = (kept.listed, kept.parent);
            self.leave_loop(at);
            if !listed {
                self.kept[at as usize].state = None;
            }
            at = parent;
        }
    }

    fn iter_active(&self) -> bool {
        let reg = self.st.reg(1);
        let Some(off) = reg.offset() else { return false };
        let What::Stack(frame) = reg.what else { return false };
        let slot = self.st.frames[frame as usize].slot(off);
        matches!(slot.special, Special::Iter { drained: false, .. })
    }

    /// The state at an instruction that the path came through last, before the one numbered `before`: the previous round of a loop.
    /// Mirrors `find_prev_entry()`.
    pub(super) fn previous_round(&self, pc: usize, before: u32) -> Option<u32> {
        let site = self.st.top().callsite;
        self.at[pc].iter().rev().copied().find(|n| {
            let kept = &self.kept[*n as usize];
            *n < before
                && kept.branches > 0
                && kept.state.as_ref().is_some_and(|s| s.top().callsite == site && s.same_chain(&self.st))
                && self.is_ancestor(*n)
        })
    }

    /// In the next round, what changed and does not matter may be anything: loops converge.
    pub(super) fn widen(&self, round: u32, next: &mut State) {
        let Some(old) = self.kept[round as usize].state.as_deref() else { return };
        for (o, n) in old.frames.iter().zip(&mut next.frames) {
            for (o, n) in o.regs.iter().zip(&mut n.regs) {
                self.widen_reg(o, n);
            }
            for (o, n) in o.stack.iter().zip(&mut n.stack) {
                if o.spilled() > 0 && n.spilled() > 0 {
                    self.widen_reg(&o.reg, &mut n.reg);
                }
            }
        }
    }

    fn widen_reg(&self, old: &Reg, new: &mut Reg) {
        if !old.is_scalar() || !new.is_scalar() {
            return;
        }
        if self.nodes.is_marked(old.node) || self.nodes.is_marked(new.node) {
            return;
        }
        let ties = |r: &Reg| (r.delta, r.flags & (DELTA | DELTA32));
        if old.s != new.s || ties(old) != ties(new) {
            *new = Reg { node: new.node, ..Reg::UNKNOWN };
        }
    }
}

/// Of a slot's lower and upper half only what is alive stays. Mirrors `__clean_func_state()`: what must be given back stays as it is,
/// and so does a pointer of which a part is read.
fn forget_slot(slot: &mut Slot, lower: bool, upper: bool) {
    if (lower && upper) || slot.special != Special::None {
        return;
    }
    if !lower {
        let spilled = slot.bytes[0] == Byte::Spill;
        if upper && spilled {
            if slot.reg.is_ptr() || slot.reg.is_null() {
                return;
            }
            slot.bytes[4..].iter_mut().filter(|b| **b == Byte::Spill).for_each(|b| *b = Byte::Misc);
        }
        slot.reg = Reg::UNINIT;
        slot.bytes[..4].fill(Byte::Invalid);
    }
    if !upper {
        slot.bytes[4..].fill(Byte::Invalid);
    }
}

/// Whether an iterator made a step between the states.
fn iters_moved(old: &State, new: &State) -> bool {
    old.frames.iter().zip(&new.frames).any(|(o, n)| {
        o.stack.iter().zip(&n.stack).any(|(o, n)| match (o.special, n.special) {
            (Special::Iter { depth, .. }, Special::Iter { depth: now, .. }) => depth != now,
            _ => false,
        })
    })
}
