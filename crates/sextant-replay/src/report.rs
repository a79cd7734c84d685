//! Figures and divergences of one replay, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::item::Item;
use crate::recording::Recording;
use crate::token::{Diff, Token};

/// Events shown before a divergence.
const CONTEXT: usize = 6;

/// How the decisions of one kind compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Both made them.
    pub matched: u64,
    /// Only the kernel made them (or state had to be replaced).
    pub missed: u64,
    /// Only the class made them.
    pub extra: u64,
}

/// A difference with its surroundings.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Line of the input in the recording.
    pub line: usize,
    /// In one line, for counting alike ones.
    pub summary: String,
    /// For reading.
    pub text: String,
}

impl Divergence {
    /// Decisions of an entry.
    pub fn of_item(
        rec: &Recording,
        item: &Item,
        d: &Diff,
        theirs: &[Token],
        at: &[usize],
        ours: &[Token],
    ) -> Self {
        let head = &rec.events[item.head()];
        let mut text = context(rec, item.head(), item.cpu);
        let _ = writeln!(text, "    input  {head}");
        for (i, token) in theirs.iter().enumerate() {
            let mark = if d.only_theirs.contains(&i) { '-' } else { ' ' };
            let _ = writeln!(
                text,
                "  {mark} kernel {:>6}: {} {}",
                rec.events[at[i]].line, token.kind, token.what
            );
        }
        for (i, token) in ours.iter().enumerate() {
            let mark = if d.only_ours.contains(&i) { '+' } else { ' ' };
            let _ = writeln!(text, "  {mark} ours          {} {}", token.kind, token.what);
        }
        let kinds = |idx: &[usize], of: &[Token], sign: char| -> Vec<String> {
            idx.iter().map(|&i| format!("{sign}{}", of[i].kind)).collect()
        };
        let mut parts = kinds(&d.only_theirs, theirs, '-');
        parts.extend(kinds(&d.only_ours, ours, '+'));
        parts.dedup();
        Self { line: head.line, summary: format!("{}: {}", head.name, parts.join(" ")), text }
    }

    /// State that was replaced, seen at the event `at`.
    pub fn of_state(rec: &Recording, at: usize, what: String) -> Self {
        let e = &rec.events[at];
        let mut text = context(rec, at, e.cpu);
        let _ = writeln!(text, "    at     {e}\n  ! state  {what}");
        let kind = what.split(&[' ', '('][..]).next().unwrap_or_default().to_string();
        Self { line: e.line, summary: format!("state {kind} at {}", e.name), text }
    }
}

/// The last events of the CPU before an event.
fn context(rec: &Recording, at: usize, cpu: u32) -> String {
    let before: Vec<String> = rec.events[..at]
        .iter()
        .rev()
        .filter(|e| e.cpu == cpu)
        .take(CONTEXT)
        .map(|e| format!("           {e}\n"))
        .collect();
    before.into_iter().rev().collect()
}

/// What a replay found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By kind of decision.
    pub kinds: BTreeMap<String, Count>,
    /// All of them, in order.
    pub divergences: Vec<Divergence>,
}

impl Report {
    pub(crate) fn matched(&mut self, kind: &str) {
        self.count(kind).matched += 1;
    }

    pub(crate) fn missed(&mut self, kind: &str) {
        self.count(kind).missed += 1;
    }

    pub(crate) fn extra(&mut self, kind: &str) {
        self.count(kind).extra += 1;
    }

    fn count(&mut self, kind: &str) -> &mut Count {
        self.kinds.entry(kind.to_string()).or_default()
    }

    pub(crate) fn diverged(&mut self, d: Divergence) {
        self.divergences.push(d);
    }

    /// Decisions on which kernel and class agree.
    pub fn m(&self) -> u64 {
        self.kinds.values().map(|c| c.matched).sum()
    }

    /// All decisions: the kernel's, those that only the class made, and replaced state.
    pub fn n(&self) -> u64 {
        self.kinds.values().map(|c| c.matched + c.missed + c.extra).sum()
    }

    /// m of n in percent; 0 when there was nothing to compare.
    pub fn percent(&self) -> f64 {
        if self.n() == 0 { 0.0 } else { self.m() as f64 * 100.0 / self.n() as f64 }
    }

    /// At least 99 of 100 match.
    pub fn passed(&self) -> bool {
        self.n() > 0 && self.m() * 100 >= self.n() * 99
    }

    /// `NAME matched M of N (P%)`
    pub fn headline(&self, name: &str) -> String {
        // Cut, not rounded: 98.996% is not 99%.
        let percent = (self.percent() * 100.0).floor() / 100.0;
        format!("{name} matched {} of {} ({percent:.2}%)", self.m(), self.n())
    }

    /// The kinds with misses, most first, and how often each sort of divergence occurred.
    pub fn breakdown(&self) -> String {
        let mut out = String::new();
        let mut kinds: Vec<_> = self.kinds.iter().filter(|(_, c)| c.missed + c.extra > 0).collect();
        kinds.sort_by_key(|(name, c)| (std::cmp::Reverse(c.missed + c.extra), name.as_str()));
        for (kind, c) in kinds {
            let _ = writeln!(
                out,
                "  {kind:<24} matched {:>6}  only kernel {:>5}  only ours {:>5}",
                c.matched, c.missed, c.extra
            );
        }
        let mut sorts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for d in &self.divergences {
            sorts.entry(&d.summary).or_insert((0, d.line)).0 += 1;
        }
        let mut sorts: Vec<_> = sorts.into_iter().collect();
        sorts.sort_by_key(|&(name, (n, _))| (std::cmp::Reverse(n), name));
        for (name, (n, line)) in sorts.iter().take(20) {
            let _ = writeln!(out, "  {n:>5} x {name} (first: line {line})");
        }
        out
    }
}
