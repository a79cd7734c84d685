//! Inputs near good ones.

use crate::rng::Rng;

/// Numbers that break things.
const BYTES: [u8; 8] = [0, 1, 4, 0x7f, 0x80, 0xfe, 0xff, 0x5a];

/// A mutation of one of the inputs, a few changes away.
pub fn mutate(inputs: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut out = one(inputs, rng).to_vec();
    for _ in 0..1 + rng.below(6) {
        change(&mut out, inputs, rng);
    }
    out
}

fn one<'a>(inputs: &'a [Vec<u8>], rng: &mut Rng) -> &'a [u8] {
    &inputs[rng.below(inputs.len() as u64) as usize]
}

fn change(out: &mut Vec<u8>, inputs: &[Vec<u8>], rng: &mut Rng) {
    if out.is_empty() {
        return out.extend_from_slice(one(inputs, rng));
    }
    let at = rng.below(out.len() as u64) as usize;
    match rng.below(9) {
        0 | 1 => out[at] ^= 1 << rng.below(8),
        2 => out[at] = rng.of(&BYTES),
        3 => out[at] = out[at].wrapping_add(1).wrapping_sub(2 * (rng.below(2) as u8)),
        4 => {
            let word = (rng.number() as u32).to_le_bytes();
            let at = at & !3;
            let len = (out.len() - at).min(4);
            out[at..at + len].copy_from_slice(&word[..len]);
        }
        5 => {
            let to = rng.below(out.len() as u64) as usize;
            let len = (1 + rng.below(32) as usize).min(out.len() - at.max(to));
            out.copy_within(at..at + len, to);
        }
        6 => {
            let len = (1 + rng.below(16) as usize).min(out.len() - at);
            out.drain(at..at + len);
        }
        7 => {
            let other = one(inputs, rng);
            let from = rng.below(other.len() as u64) as usize;
            let len = (1 + rng.below(64) as usize).min(other.len() - from);
            out.splice(at..at, other[from..from + len].iter().copied());
        }
        _ => out.truncate(at.max(1)),
    }
}
