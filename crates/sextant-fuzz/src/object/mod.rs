//! Damaged object files: one good object, a few structural changes of its ELF or BTF, drawn from a seed.
//!
//! What must hold: the same object and seed give the same bytes on every machine; a change keeps the file's length, but for a
//! cut. Random bytes alone would be refused by the first look at the file, so most changes know the format: a field of a header, a
//! type, a symbol, a relocation gets another number of the dangerous kind.

mod btf;
mod elf;

use crate::rng::Rng;

/// Most changes that one object gets.
const MOST: u64 = 3;

/// A damaged copy of `good`, and what was done to it.
pub fn damage(good: &[u8], seed: u64) -> (Vec<u8>, Vec<String>) {
    let mut rng = Rng::new(seed);
    let mut bytes = good.to_vec();
    let mut done = Vec::new();
    for _ in 0..=rng.below(MOST) {
        let what = match rng.below(10) {
            0..=4 => btf::change(&mut bytes, &mut rng),
            5..=8 => elf::change(&mut bytes, &mut rng),
            _ => Some(noise(&mut bytes, &mut rng)),
        };
        done.extend(what);
    }
    (bytes, done)
}

/// Bytes anywhere, or the end of the file cut off.
fn noise(bytes: &mut Vec<u8>, rng: &mut Rng) -> String {
    if bytes.is_empty() || rng.below(8) == 0 {
        let len = rng.below(bytes.len() as u64 + 1) as usize;
        bytes.truncate(len);
        return format!("cut to {len} bytes");
    }
    let at = rng.below(bytes.len() as u64) as usize;
    bytes[at] = rng.number() as u8;
    format!("byte {at:#x} = {:#x}", bytes[at])
}

/// A little-endian number of `size` bytes in the file.
fn get(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let mut word = [0; 8];
    word[..size].copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    Some(u64::from_le_bytes(word))
}

/// Replaces such a number; false if it is not in the file.
fn put(bytes: &mut [u8], at: usize, size: usize, value: u64) -> bool {
    let Some(to) = at.checked_add(size).and_then(|end| bytes.get_mut(at..end)) else { return false };
    to.copy_from_slice(&value.to_le_bytes()[..size]);
    true
}

/// Where a section's bytes are: start and length, as the section table says.
fn section(bytes: &[u8], name: &str) -> Option<(usize, usize)> {
    elf::sections(bytes)?.into_iter().find(|s| s.name == name).map(|s| (s.offset, s.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schedulers/built/simple.bpf.o");
        std::fs::read(path).expect("a committed file")
    }

    #[test]
    fn a_seed_gives_the_same_damage() {
        let good = simple();
        for seed in 0..50 {
            assert_eq!(damage(&good, seed), damage(&good, seed));
        }
    }

    #[test]
    fn most_seeds_do_damage_and_every_kind_occurs() {
        let good = simple();
        let all: Vec<(Vec<u8>, Vec<String>)> = (0..2000).map(|seed| damage(&good, seed)).collect();
        let changed = all.iter().filter(|(bytes, _)| *bytes != good).count();
        assert!(changed > 1800, "{changed} of 2000");
        for kind in ["type", "section", "symbol", "relocation", "cut", "instruction", "BTF header", "BTF.ext"]
        {
            let count = all.iter().filter(|(_, done)| done.iter().any(|d| d.starts_with(kind))).count();
            assert!(count >= 20, "{kind}: {count}");
        }
    }
}
