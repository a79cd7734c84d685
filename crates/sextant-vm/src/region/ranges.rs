//! A set of page numbers as ranges, with best fit: what an arena has free. Mirrors kernel/bpf/range_tree.c, 7.3.

use std::collections::{BTreeMap, BTreeSet};

/// Disjoint ranges that do not touch.
#[derive(Default)]
pub(crate) struct Ranges {
    /// Start to end (exclusive).
    by_start: BTreeMap<u32, u32>,
    /// Length, start.
    by_len: BTreeSet<(u32, u32)>,
}

impl Ranges {
    fn insert(&mut self, start: u32, end: u32) {
        if start < end {
            self.by_start.insert(start, end);
            self.by_len.insert((end - start, start));
        }
    }

    fn remove(&mut self, start: u32, end: u32) {
        self.by_start.remove(&start);
        self.by_len.remove(&(end - start, start));
    }

    /// The ranges that overlap `start..end`, or touch it.
    fn near(&self, start: u32, end: u32) -> Vec<(u32, u32)> {
        let before = self.by_start.range(..start).next_back().filter(|(_, e)| **e >= start);
        let inside = self.by_start.range(start..=end);
        before.into_iter().chain(inside).map(|(&s, &e)| (s, e)).collect()
    }

    /// Adds pages.
    pub(crate) fn set(&mut self, start: u32, len: u32) {
        let (mut from, mut to) = (start, start + len);
        for (s, e) in self.near(start, start + len) {
            self.remove(s, e);
            (from, to) = (from.min(s), to.max(e));
        }
        self.insert(from, to);
    }

    /// Takes pages out.
    pub(crate) fn clear(&mut self, start: u32, len: u32) {
        let end = start + len;
        for (s, e) in self.near(start, end).into_iter().filter(|&(s, e)| s < end && e > start && len > 0) {
            self.remove(s, e);
            self.insert(s, e.min(start).max(s));
            self.insert(s.max(end).min(e), e);
        }
    }

    /// Whether all of these pages are in the set.
    pub(crate) fn has(&self, start: u32, len: u32) -> bool {
        self.by_start.range(..=start).next_back().is_some_and(|(_, &end)| end - start.min(end) >= len)
    }

    /// The start of the smallest range that is long enough.
    pub(crate) fn find(&self, len: u32) -> Option<u32> {
        self.by_len.range((len, 0)..).next().map(|&(_, start)| start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_bitmap() {
        let (mut ranges, mut bits, mut seed) = (Ranges::default(), [false; 64], 3u64);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (start, len) = ((seed >> 33) as u32 % 64, (seed >> 40) as u32 % 9);
            let len = len.min(64 - start);
            let on = seed >> 63 != 0;
            if on {
                ranges.set(start, len)
            } else {
                ranges.clear(start, len)
            }
            bits[start as usize..(start + len) as usize].fill(on);
            let all = |s: u32, n: u32| bits[s as usize..(s + n) as usize].iter().all(|&b| b);
            for s in 0..60 {
                assert_eq!(ranges.has(s, 3), all(s, 3), "{s} {:?}", ranges.by_start);
            }
            let ends: Vec<u32> = ranges.by_start.values().copied().collect();
            assert!(ranges.by_start.keys().skip(1).zip(&ends).all(|(s, e)| s > e), "disjoint");
            if let Some(found) = ranges.find(4) {
                assert!(all(found, 4));
            } else {
                assert!((0..61).all(|s| !all(s, 4)));
            }
        }
    }
}
