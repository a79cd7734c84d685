//! `struct cpumask` and the kfunc family's `struct bpf_cpumask`, with the operations the class needs on masks in BPF memory.
//! Mirrors include/linux/cpumask_types.h and kernel/bpf/cpumask.c, 7.3, NR_CPUS = 8192.

use super::ctype::*;
use super::declare::{kernel_typedefs, kernel_types};
use super::task::RefcountT;
use crate::cpuset::CpuMaskBits;
use crate::mem::Mem;
use crate::tables::kconfig::NR_CPUS;

/// Words of a mask in BPF memory.
pub const CPUMASK_WORDS: usize = NR_CPUS / 64;

kernel_types! {
    /// A set of CPUs.
    pub struct Cpumask = "cpumask" {
        bits: Array<ULong, CPUMASK_WORDS>,
    }

    /// A mask that a BPF program owns.
    pub struct BpfCpumask = "bpf_cpumask" {
        cpumask: CpumaskT,
        usage: RefcountT,
    }
}

kernel_typedefs! {
    /// `cpumask_t`
    CpumaskT = "cpumask_t": Cpumask;
    /// `cpumask_var_t` with CONFIG_CPUMASK_OFFSTACK
    CpumaskVarT = "cpumask_var_t": Ptr<Cpumask>;
}

/// Every `nr_cpus` below is the emulated machine's `nr_cpu_ids`: bits from there on are ignored.
impl Cpumask {
    /// Whether `cpu` is in the set; a number outside the mask is not.
    #[inline]
    pub fn test_cpu<M: Mem + ?Sized>(self, mem: &M, cpu: u32) -> bool {
        (cpu as usize) < NR_CPUS && self.word(mem, cpu as usize / 64) >> (cpu % 64) & 1 != 0
    }

    /// Adds `cpu`; a number outside the mask is ignored.
    #[inline]
    pub fn set_cpu<M: Mem + ?Sized>(self, mem: &M, cpu: u32) {
        self.change(mem, cpu, |word, bit| word | bit);
    }

    /// Removes `cpu`; a number outside the mask is ignored.
    #[inline]
    pub fn clear_cpu<M: Mem + ?Sized>(self, mem: &M, cpu: u32) {
        self.change(mem, cpu, |word, bit| word & !bit);
    }

    /// Empties the set.
    pub fn clear<M: Mem + ?Sized>(self, mem: &M) {
        mem.write_bytes(self.addr(), &[0; CPUMASK_WORDS * 8]);
    }

    /// Fills the set with the CPUs `0..nr_cpus`.
    pub fn setall<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) {
        self.store(mem, &CpuMaskBits::first_n(nr_cpus));
    }

    /// The lowest CPU, or `nr_cpus` when there is none.
    pub fn first<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) -> u32 {
        scan(nr_cpus, |i| self.word(mem, i))
    }

    /// The lowest CPU that is not in the set, or `nr_cpus`.
    pub fn first_zero<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) -> u32 {
        scan(nr_cpus, |i| !self.word(mem, i))
    }

    /// The lowest CPU in both sets, or `nr_cpus`.
    pub fn first_and<M: Mem + ?Sized>(self, mem: &M, other: Cpumask, nr_cpus: u32) -> u32 {
        scan(nr_cpus, |i| self.word(mem, i) & other.word(mem, i))
    }

    /// How many CPUs below `nr_cpus` are in the set.
    pub fn weight<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) -> u32 {
        words(nr_cpus).map(|(i, valid)| (self.word(mem, i) & valid).count_ones()).sum()
    }

    /// Whether no CPU below `nr_cpus` is in the set.
    pub fn is_empty<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) -> bool {
        self.first(mem, nr_cpus) == nr_cpus
    }

    /// Whether every CPU below `nr_cpus` is in the set.
    pub fn is_full<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) -> bool {
        self.first_zero(mem, nr_cpus) == nr_cpus
    }

    /// Whether both hold the same CPUs below `nr_cpus`.
    pub fn equal<M: Mem + ?Sized>(self, mem: &M, other: Cpumask, nr_cpus: u32) -> bool {
        words(nr_cpus).all(|(i, valid)| (self.word(mem, i) ^ other.word(mem, i)) & valid == 0)
    }

    /// Whether they share a CPU below `nr_cpus`.
    pub fn intersects<M: Mem + ?Sized>(self, mem: &M, other: Cpumask, nr_cpus: u32) -> bool {
        self.first_and(mem, other, nr_cpus) != nr_cpus
    }

    /// Whether every CPU below `nr_cpus` of this set is in `other`.
    pub fn subset<M: Mem + ?Sized>(self, mem: &M, other: Cpumask, nr_cpus: u32) -> bool {
        words(nr_cpus).all(|(i, valid)| self.word(mem, i) & !other.word(mem, i) & valid == 0)
    }

    /// `self = f(a, b)` word by word over the CPUs below `nr_cpus`; whether the result has any CPU.
    /// `f` is the set operation, such as `|a, b| a & b`. Words behind `nr_cpus` keep their value.
    pub fn assign<M: Mem + ?Sized>(
        self,
        mem: &M,
        a: Cpumask,
        b: Cpumask,
        nr_cpus: u32,
        f: impl Fn(u64, u64) -> u64,
    ) -> bool {
        let mut any = false;
        for (i, valid) in words(nr_cpus) {
            let word = f(a.word(mem, i), b.word(mem, i)) & valid;
            self.bits().at(i).set(mem, word);
            any |= word != 0;
        }
        any
    }

    /// Copies the CPUs below `nr_cpus` out of BPF memory.
    pub fn load<M: Mem + ?Sized>(self, mem: &M, nr_cpus: u32) -> CpuMaskBits {
        CpuMaskBits::from_words(words(nr_cpus).map(|(i, valid)| self.word(mem, i) & valid))
    }

    /// Makes this set equal to `set`, whole mask.
    pub fn store<M: Mem + ?Sized>(self, mem: &M, set: &CpuMaskBits) {
        let mut bytes = [0; CPUMASK_WORDS * 8];
        for (out, word) in bytes.chunks_exact_mut(8).zip(set.words()) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        mem.write_bytes(self.addr(), &bytes);
    }

    #[inline]
    fn word<M: Mem + ?Sized>(self, mem: &M, i: usize) -> u64 {
        self.bits().at(i).get(mem)
    }

    #[inline]
    fn change<M: Mem + ?Sized>(self, mem: &M, cpu: u32, f: impl Fn(u64, u64) -> u64) {
        if (cpu as usize) < NR_CPUS {
            let word = self.bits().at(cpu as usize / 64);
            word.set(mem, f(word.get(mem), 1 << (cpu % 64)));
        }
    }
}

/// The indices of the words that hold `nr_cpus` bits, each with the mask of its valid bits.
fn words(nr_cpus: u32) -> impl Iterator<Item = (usize, u64)> {
    let nr = (nr_cpus as usize).min(NR_CPUS);
    (0..nr.div_ceil(64)).map(move |i| (i, u64::MAX >> (64 - (nr - i * 64).min(64))))
}

fn scan(nr_cpus: u32, word: impl Fn(usize) -> u64) -> u32 {
    for (i, valid) in words(nr_cpus) {
        let bits = word(i) & valid;
        if bits != 0 {
            return i as u32 * 64 + bits.trailing_zeros();
        }
    }
    nr_cpus
}
