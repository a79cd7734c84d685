//! Which states are kept, and when a path ends because a kept one covers it. Mirrors `is_state_visited()`, `update_branch_counts()`,
//! `widen_imprecise_scalars()` of kernel/bpf/verifier.c, 7.3.

use super::equal::{Exact, covered, join};
use super::reg::{Reg, What};
use super::state::{Byte, Special, State};
use super::*;

impl Env<'_> {
    /// Compares the path's state with those kept at its instruction. True: it is covered.
    pub(super) fn visit(&mut self) -> Res<bool> {
        let pc = self.st.pc;
        let force = self.cfg.force[pc];
        let mut keep = force || self.prog.state_freq || (self.since.1 >= 2 && self.since.0 >= 8);
        let mut i = 0;
        while i < self.at[pc].len() {
            let n = self.at[pc][i];
            let Some(old) = self.kept[n as usize].state.take() else {
                i += 1;
                continue;
            };
            let verdict = self.compare(n, &old, &mut keep);
            if let Ok(Some(unfinished)) = verdict {
                join(&old, &self.st, &mut self.nodes, unfinished);
                self.kept[n as usize].state = Some(old);
                self.kept[n as usize].hits += 1;
                return Ok(true);
            }
            self.kept[n as usize].state = Some(old);
            verdict?;
            if keep {
                self.kept[n as usize].misses += 1;
            }
            if self.is_useless(n, force) {
                self.at[pc].remove(i);
                continue;
            }
            i += 1;
        }
        if keep {
            self.keep();
        }
        Ok(false)
    }

    /// A state that never matches is taken off the list; while paths from it are followed it is still their ancestor.
    fn is_useless(&mut self, n: u32, force: bool) -> bool {
        let kept = &mut self.kept[n as usize];
        let patience = if force && kept.branches > 0 { 64 } else { 3 };
        if kept.misses <= kept.hits * patience + patience {
            return false;
        }
        kept.listed = false;
        // Only the rounds of a loop are looked up through ancestors.
        if kept.branches == 0 || !force {
            kept.state = None;
        }
        self.alive -= 1;
        true
    }

    /// `Some(unfinished)`: `old` covers the path.
    fn compare(&mut self, n: u32, old: &State, keep: &mut bool) -> Res<Option<bool>> {
        let pc = self.st.pc;
        let looping = self.kept[n as usize].branches > 0;
        if looping {
            let round = |this: &Self| covered(old, &this.st, Exact::Range, &this.nodes);
            if self.cfg.is_iter_next(pc) {
                if round(self) && self.iter_active() {
                    self.loop_closed(n);
                    return Ok(Some(true));
                }
                return Ok(None);
            }
            if self.cfg.kinds[pc] == Some(sextant_bpf::opcode::Kind::MayGoto) {
                if old.may_goto != self.st.may_goto && round(self) {
                    self.loop_closed(n);
                    return Ok(Some(true));
                }
                return Ok(None);
            }
            if self.cfg.calls_back(self.prog, pc) {
                if round(self) {
                    self.loop_closed(n);
                    return Ok(Some(true));
                }
                return Ok(None);
            }
            let still = old.may_goto == self.st.may_goto && old.unrolled == self.st.unrolled;
            if still
                && !iters_moved(old, &self.st)
                && covered(old, &self.st, Exact::Full, &self.nodes)
                && self.is_ancestor(n)
            {
                return refuse(Code::InfiniteLoop, format!("infinite loop detected at insn {pc}"));
            }
            if self.since.1 < 20 && self.since.0 < 100 && !self.cfg.force[pc] && !self.prog.state_freq {
                *keep = false;
            }
            return Ok(None);
        }
        let entry = self.open_entry(n);
        let exact = if entry == 0 { Exact::No } else { Exact::Range };
        if covered(old, &self.st, exact, &self.nodes) {
            if entry != 0 {
                self.loop_closed(entry);
            }
            return Ok(Some(entry != 0));
        }
        Ok(None)
    }

    /// The outermost loop still being explored that the exploration of `n` was cut by; 0: none.
    fn open_entry(&self, n: u32) -> u32 {
        let mut at = self.kept[n as usize].entry;
        while at != 0 {
            if self.kept[at as usize].branches > 0 {
                return at;
            }
            at = self.kept[at as usize].entry;
        }
        0
    }

    fn is_ancestor(&self, n: u32) -> bool {
        let mut at = self.parent;
        while at != 0 {
            if at == n {
                return true;
            }
            at = self.kept[at as usize].parent;
        }
        false
    }

    /// The path is cut by `entry`, which is still being explored: what lies between is only as explored as `entry` is.
    fn loop_closed(&mut self, entry: u32) {
        let mut at = self.parent;
        while at != 0 && at != entry {
            let old = self.kept[at as usize].entry;
            let outer = old == 0
                || self.kept[old as usize].branches == 0
                || self.kept[old as usize].depth > self.kept[entry as usize].depth;
            if !outer {
                break; // the walk that set it went on to a state at least as far out
            }
            self.kept[at as usize].entry = entry;
            at = self.kept[at as usize].parent;
        }
    }

    /// Keeps the path's state; its numbers get nodes of their own, so that marks tell this state from others.
    fn keep(&mut self) {
        let n = self.kept.len() as u32;
        self.rename_nodes();
        let mut state = self.st.clone();
        self.forget_dead(&mut state);
        let depth = self.kept[self.parent as usize].depth + 1;
        let kept = Kept {
            state: Some(Box::new(state)),
            parent: self.parent,
            branches: 1,
            entry: 0,
            hits: 0,
            misses: 0,
            depth,
            listed: true,
        };
        self.kept.push(kept);
        self.at[self.st.pc].push(n);
        self.parent = n;
        self.since = (0, 0);
        self.alive += 1;
        self.peak = self.peak.max(self.alive);
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
                rename(&mut slot.life);
            }
        }
    }

    /// Registers nobody reads any more do not matter.
    fn forget_dead(&self, state: &mut State) {
        let last = state.frames.len() - 1;
        let sites: Vec<usize> = (0..=last)
            .map(|i| if i == last { state.pc } else { state.frames[i + 1].callsite.unwrap_or(0) })
            .collect();
        for (i, frame) in state.frames.iter_mut().enumerate() {
            let mut live = self.cfg.live[sites[i]];
            if i != last {
                live |= self.cfg.live.get(sites[i] + 1).copied().unwrap_or(0);
            }
            for (n, reg) in frame.regs.iter_mut().enumerate().take(10) {
                if live & (1 << n) == 0 {
                    *reg = Reg::UNINIT;
                }
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
            if !kept.listed {
                kept.state = None;
            }
            at = kept.parent;
        }
    }

    fn iter_active(&self) -> bool {
        let reg = self.st.reg(1);
        let Some(off) = reg.offset() else { return false };
        let What::Stack(frame) = reg.what else { return false };
        let slot = self.st.frames[frame as usize].slot(off);
        matches!(slot.special, Special::Iter { drained: false, .. })
    }

    /// The state before, at this instruction, that the path came through: the previous round of the loop.
    pub(super) fn previous_round(&self) -> Option<u32> {
        let mut at = self.kept[self.parent as usize].parent;
        while at != 0 {
            let kept = &self.kept[at as usize];
            let same = kept.state.as_ref().is_some_and(|s| s.pc == self.st.pc && s.same_chain(&self.st));
            if same {
                return Some(at);
            }
            at = kept.parent;
        }
        None
    }

    /// In the next round, what changed and does not matter may be anything: loops converge.
    pub(super) fn widen(&self, round: u32, next: &mut State) {
        let Some(old) = self.kept[round as usize].state.as_deref() else { return };
        for (o, n) in old.frames.iter().zip(&mut next.frames) {
            for (o, n) in o.regs.iter().zip(&mut n.regs) {
                self.widen_reg(o, n);
            }
            for (o, n) in o.stack.iter().zip(&mut n.stack) {
                if o.spilled() == 8 && n.spilled() == 8 {
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
        if old.s != new.s {
            *new = Reg { node: new.node, ..Reg::UNKNOWN };
        }
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
