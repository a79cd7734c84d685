//! Which way the conditional jumps of a path went.
//!
//! Some refusals are not about a value but about the way: what was taken is not given back on it, nothing was put into a register on it.
//! Then the program is verified once more, which gives the same answer, and this time jumps are written down.

use sextant_bpf::opcode::Kind;

use super::*;
use crate::diag::{Step, Way};

/// Jumps shown: the last ones.
const SHOWN: usize = 6;

/// What happened on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Shown(Way),
    /// A region that was entered last is left.
    Leaves,
}

/// An event at an instruction.
#[derive(Clone, Copy, Debug)]
struct Turn {
    pc: u32,
    event: Event,
    /// The one before; 0: none.
    before: u32,
}

/// The turns of all paths, each a chain back to the start. Number 0 is none.
#[derive(Debug)]
pub(super) struct Trail(Vec<Turn>);

impl Trail {
    fn new() -> Trail {
        Trail(vec![Turn { pc: 0, event: Event::Leaves, before: 0 }])
    }

    fn add(&mut self, before: u32, pc: usize, event: Event) -> u32 {
        self.0.push(Turn { pc: pc as u32, event, before });
        (self.0.len() - 1) as u32
    }

    /// The last jumps and the regions that are still open, oldest first; of a jump that was passed several times the last.
    fn last(&self, mut at: u32) -> Vec<(usize, Way)> {
        let mut turns: Vec<(usize, Way)> = Vec::new();
        let mut left = 0;
        while at != 0 && turns.len() < SHOWN {
            let Turn { pc, event, before } = self.0[at as usize];
            at = before;
            match event {
                Event::Leaves => left += 1,
                Event::Shown(Way::Enters) if left > 0 => left -= 1,
                Event::Shown(way) if !turns.iter().any(|(seen, _)| *seen == pc as usize) => {
                    turns.push((pc as usize, way));
                }
                Event::Shown(_) => {}
            }
        }
        turns.reverse();
        turns
    }
}

/// Whether the way tells why.
pub(super) fn tells(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        Uninit
            | RefLeak
            | RefRelease
            | LockBalance
            | LockedCall
            | Sleepable
            | Iterator
            | Dynptr
            | InfiniteLoop
    )
}

/// The same verification with its turns; `refused` is what the first one said.
pub(super) fn again(prog: &Program<'_>, cfg: Cfg, refused: Refused) -> Rejection {
    let mut env = Env::new(prog, cfg);
    env.trail = Some(Trail::new());
    let refused = match env.all() {
        Err(same) => *same,
        // It cannot be: nothing that a verification depends on has changed.
        Ok(()) => refused,
    };
    env.rejection(refused)
}

impl Env<'_> {
    /// After an instruction: where it was a jump that goes both ways, notes on each which it is. `waiting` paths were there before.
    pub(super) fn turned(&mut self, waiting: usize, next: usize) {
        let pc = self.st.pc;
        let Some(trail) = &mut self.trail else { return };
        if self.queue.len() == waiting || !matches!(self.cfg.kinds[pc], Some(Kind::Jump { .. })) {
            return;
        }
        let before = self.st.trail;
        let way = |to: usize| Event::Shown(if to == pc + 1 { Way::NotTaken } else { Way::Taken });
        for other in &mut self.queue[waiting..] {
            other.state.trail = trail.add(before, pc, way(other.state.pc));
        }
        self.st.trail = trail.add(before, pc, way(next));
    }

    /// A region begins or ends with this instruction.
    pub(super) fn bounds_region(&mut self, enters: bool) {
        let event = if enters { Event::Shown(Way::Enters) } else { Event::Leaves };
        if let Some(trail) = &mut self.trail {
            self.st.trail = trail.add(self.st.trail, self.st.pc, event);
        }
    }

    /// The turns of the path, oldest first.
    pub(super) fn turns(&self) -> Box<[(Step, Way)]> {
        let turns = self.trail.as_ref().map(|trail| trail.last(self.st.trail)).unwrap_or_default();
        turns.into_iter().map(|(pc, way)| (report::step(self.prog, pc), way)).collect()
    }
}
