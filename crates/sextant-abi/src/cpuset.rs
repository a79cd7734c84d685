//! A set of CPUs outside BPF memory.

use crate::tables::kconfig::NR_CPUS;
use crate::units::CpuId;

/// A set of CPU numbers below 8192. Grows as needed; equality ignores how much is allocated.
#[derive(Clone, Debug, Default)]
pub struct CpuMaskBits {
    /// CPUs 0..64: most machines need no more.
    low: u64,
    /// CPUs from 64 on.
    high: Vec<u64>,
}

impl CpuMaskBits {
    /// The empty set.
    pub const fn new() -> Self {
        Self { low: 0, high: Vec::new() }
    }

    /// `{cpu}`
    pub fn one(cpu: CpuId) -> Self {
        let mut set = Self::new();
        set.set(cpu);
        set
    }

    /// `0..nr`, at most 8192.
    pub fn first_n(nr: u32) -> Self {
        let nr = (nr as usize).min(NR_CPUS);
        Self::from_words((0..nr.div_ceil(64)).map(|i| u64::MAX >> (64 - (nr - i * 64).min(64))))
    }

    /// From words, CPU 0 in bit 0 of the first; words beyond 8192 CPUs are ignored.
    pub fn from_words(words: impl IntoIterator<Item = u64>) -> Self {
        let mut words = words.into_iter().take(NR_CPUS / 64);
        Self { low: words.next().unwrap_or(0), high: words.collect() }
    }

    /// The words, at least one; CPUs beyond are not in the set.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::once(self.low).chain(self.high.iter().copied())
    }

    /// Whether `cpu` is in the set.
    #[inline]
    pub fn test(&self, cpu: CpuId) -> bool {
        self.word(cpu.idx() / 64) >> (cpu.0 % 64) & 1 != 0
    }

    /// Adds `cpu`; whether it was new. A number beyond 8191 is ignored.
    #[inline]
    pub fn set(&mut self, cpu: CpuId) -> bool {
        if cpu.idx() >= NR_CPUS {
            return false;
        }
        let bit = 1 << (cpu.0 % 64);
        let word = self.word_mut(cpu.idx() / 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Removes `cpu`; whether it was there.
    #[inline]
    pub fn clear(&mut self, cpu: CpuId) -> bool {
        let was = self.test(cpu);
        if was {
            *self.word_mut(cpu.idx() / 64) &= !(1 << (cpu.0 % 64));
        }
        was
    }

    /// Adds or removes `cpu`.
    #[inline]
    pub fn assign(&mut self, cpu: CpuId, member: bool) {
        if member {
            self.set(cpu);
        } else {
            self.clear(cpu);
        }
    }

    /// Removes all.
    pub fn clear_all(&mut self) {
        self.low = 0;
        self.high.fill(0);
    }

    /// The lowest member.
    #[inline]
    pub fn first(&self) -> Option<CpuId> {
        self.next_from(0)
    }

    /// The lowest member not below `cpu`.
    pub fn next_from(&self, cpu: u32) -> Option<CpuId> {
        self.next_of(cpu, |i| self.word(i))
    }

    /// The lowest member of both sets.
    pub fn first_and(&self, other: &Self) -> Option<CpuId> {
        self.next_and_from(0, other)
    }

    /// The lowest member of both sets not below `cpu`.
    pub fn next_and_from(&self, cpu: u32, other: &Self) -> Option<CpuId> {
        self.next_of(cpu, |i| self.word(i) & other.word(i))
    }

    /// How many members.
    pub fn weight(&self) -> u32 {
        self.words().map(u64::count_ones).sum()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.words().all(|word| word == 0)
    }

    /// Whether the sets share a member.
    pub fn intersects(&self, other: &Self) -> bool {
        self.low & other.low != 0 || self.high.iter().zip(&other.high).any(|(a, b)| a & b != 0)
    }

    /// Whether every member is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.words().enumerate().all(|(i, word)| word & !other.word(i) == 0)
    }

    /// `self & other`
    pub fn and(&self, other: &Self) -> Self {
        Self {
            low: self.low & other.low,
            high: self.high.iter().zip(&other.high).map(|(a, b)| a & b).collect(),
        }
    }

    /// `self & !other`
    pub fn and_not(&self, other: &Self) -> Self {
        Self::from_words(self.words().enumerate().map(|(i, word)| word & !other.word(i)))
    }

    /// `self | other`
    pub fn or(&self, other: &Self) -> Self {
        let len = self.high.len().max(other.high.len()) + 1;
        Self::from_words((0..len).map(|i| self.word(i) | other.word(i)))
    }

    /// `self &= other`
    pub fn and_assign(&mut self, other: &Self) {
        self.low &= other.low;
        for (i, word) in self.high.iter_mut().enumerate() {
            *word &= other.word(i + 1);
        }
    }

    /// `self |= other`
    pub fn or_assign(&mut self, other: &Self) {
        self.low |= other.low;
        for (i, &word) in other.high.iter().enumerate() {
            *self.word_mut(i + 1) |= word;
        }
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.words().enumerate().flat_map(|(i, word)| bits(word).map(move |bit| CpuId(i as u32 * 64 + bit)))
    }

    #[inline]
    fn word(&self, i: usize) -> u64 {
        if i == 0 { self.low } else { self.high.get(i - 1).copied().unwrap_or(0) }
    }

    #[inline]
    fn word_mut(&mut self, i: usize) -> &mut u64 {
        if i == 0 {
            return &mut self.low;
        }
        if self.high.len() < i {
            self.high.resize(i, 0);
        }
        &mut self.high[i - 1]
    }

    fn next_of(&self, cpu: u32, word: impl Fn(usize) -> u64) -> Option<CpuId> {
        let first = cpu as usize / 64;
        (first..=self.high.len()).find_map(|i| {
            let low = if i == first { u64::MAX << (cpu % 64) } else { u64::MAX };
            let bits = word(i) & low;
            (bits != 0).then(|| CpuId(i as u32 * 64 + bits.trailing_zeros()))
        })
    }
}

impl PartialEq for CpuMaskBits {
    fn eq(&self, other: &Self) -> bool {
        self.is_subset(other) && other.is_subset(self)
    }
}

impl Eq for CpuMaskBits {}

impl FromIterator<CpuId> for CpuMaskBits {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut set = Self::new();
        for cpu in cpus {
            set.set(cpu);
        }
        set
    }
}

fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cpus: &[u32]) -> CpuMaskBits {
        cpus.iter().copied().map(CpuId).collect()
    }

    #[test]
    fn members_are_found_in_order() {
        let s = set(&[500, 3, 63, 64]);
        assert_eq!(s.iter().map(|cpu| cpu.0).collect::<Vec<_>>(), [3, 63, 64, 500]);
        assert_eq!(
            (s.first(), s.next_from(4), s.next_from(65)),
            (Some(CpuId(3)), Some(CpuId(63)), Some(CpuId(500)))
        );
        assert_eq!((s.next_from(501), s.next_from(9000), set(&[]).first()), (None, None, None));
        assert_eq!((s.weight(), s.test(CpuId(64)), s.test(CpuId(8191))), (4, true, false));
    }

    #[test]
    fn operations_work_across_lengths() {
        let (a, b) = (set(&[1, 2, 100]), set(&[2, 3]));
        assert_eq!((a.and(&b), b.and(&a)), (set(&[2]), set(&[2])));
        assert_eq!((a.or(&b), b.or(&a)), (set(&[1, 2, 3, 100]), set(&[1, 2, 3, 100])));
        assert_eq!((a.and_not(&b), b.and_not(&a)), (set(&[1, 100]), set(&[3])));
        let mut c = a.clone();
        c.and_assign(&b);
        assert_eq!(c, set(&[2]));
        c.or_assign(&a);
        assert_eq!(c, a);
        assert!(
            set(&[2]).is_subset(&b) && !a.is_subset(&b) && a.intersects(&b) && !set(&[100]).intersects(&b)
        );
        assert_eq!((a.first_and(&b), a.next_and_from(3, &b)), (Some(CpuId(2)), None));
    }

    #[test]
    fn changes_tell_whether_they_changed() {
        let mut s = CpuMaskBits::new();
        assert!(s.set(CpuId(70)) && !s.set(CpuId(70)) && s.clear(CpuId(70)) && !s.clear(CpuId(70)));
        assert!(s.is_empty() && s == CpuMaskBits::new());
        assert!(!s.set(CpuId(8192)) && s.is_empty());
        assert_eq!((CpuMaskBits::first_n(65).weight(), CpuMaskBits::first_n(0).weight()), (65, 0));
        assert_eq!(CpuMaskBits::first_n(u32::MAX).weight(), 8192);
    }
}
