//! Loops of the program: its strongly connected parts. Mirrors `bpf_compute_scc()` of kernel/bpf/cfg.c, 7.3.

use super::cfg::Cfg;
use crate::program::Program;

/// A vertex's place in the search.
#[derive(Clone, Copy, Default)]
struct Place {
    /// When it was met, from 1; 0: not yet.
    met: u32,
    /// The earliest that can be reached from it and is not sorted out yet.
    low: u32,
}

/// Number of the loop that each instruction is part of, from 1; 0: none. A call that runs callbacks is a loop by itself.
pub fn loops(cfg: &Cfg, prog: &Program) -> Vec<u32> {
    let len = prog.insns.len();
    let mut search = Search {
        cfg,
        prog,
        places: vec![Place::default(); len],
        stack: Vec::new(),
        out: vec![0; len],
        next: 1,
    };
    let mut met = 1;
    for start in 0..len {
        if cfg.kinds[start].is_none() || search.places[start].met != 0 {
            continue;
        }
        let mut todo = vec![start];
        while let Some(&at) = todo.last() {
            if search.places[at].met == 0 {
                search.places[at] = Place { met, low: met };
                met += 1;
                search.stack.push(at);
            }
            match search.deeper(at) {
                Some(next) => todo.push(next),
                None => {
                    todo.pop();
                    search.finish(at);
                }
            }
        }
    }
    search.out
}

struct Search<'a, 'p> {
    cfg: &'a Cfg,
    prog: &'a Program<'p>,
    places: Vec<Place>,
    /// Met and not sorted out yet.
    stack: Vec<usize>,
    out: Vec<u32>,
    next: u32,
}

impl Search<'_, '_> {
    /// A successor that was not met; none: all were, and what they reach is known.
    fn deeper(&mut self, at: usize) -> Option<usize> {
        for to in self.cfg.successors(self.prog, at).into_iter().flatten() {
            let Some(place) = self.places.get(to).copied() else { continue };
            if place.met == 0 {
                return Some(to);
            }
            self.places[at].low = self.places[at].low.min(place.low);
        }
        None
    }

    /// The first met of its part: what was met since is the part.
    fn finish(&mut self, at: usize) {
        if self.places[at].low < self.places[at].met {
            return;
        }
        let itself = self.cfg.successors(self.prog, at).into_iter().flatten().any(|to| to == at);
        let is_loop = self.stack.last() != Some(&at) || itself || self.cfg.calls_back(self.prog, at);
        while let Some(member) = self.stack.pop() {
            self.places[member].low = u32::MAX;
            if is_loop {
                self.out[member] = self.next;
            }
            if member == at {
                break;
            }
        }
        self.next += u32::from(is_loop);
    }
}
