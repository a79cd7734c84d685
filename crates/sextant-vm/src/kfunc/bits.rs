//! `bpf_iter_bits_*`.
//!
//! ```text
//!  bpf_iter_bits (16 B):  one word: the bits; more: nothing, they are kept here | nr_bits u32 | the current bit s32
//! ```

use sextant_abi::Mem;

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::{Access, Errno};

type Ret = Result<u64, TrapKind>;

/// BITS_ITER_NR_WORDS_MAX
const MAX_WORDS: u32 = 511;

fn state(exec: &Exec<'_>, it: u64) -> Result<u64, TrapKind> {
    exec.region.check(it, 16, Access::Write)?;
    Ok(it)
}

fn put(exec: &Exec<'_>, it: u64, bits: u64, nr_bits: u32, bit: i32) {
    exec.region.store(it, 8, bits);
    exec.region.store(it + 8, 4, nr_bits.into());
    exec.region.store(it + 12, 4, u64::from(bit as u32));
}

/// Copies the words; EFAULT when they cannot be read.
pub(super) fn new(exec: &mut Exec<'_>, [it, words_at, nr_words, ..]: [u64; 5]) -> Ret {
    let it = state(exec, it)?;
    put(exec, it, 0, 0, -1);
    exec.vm.bit_iters.borrow_mut().remove(&it);
    let nr_words = nr_words as u32;
    if words_at == 0 || nr_words == 0 {
        return Ok(Errno::EINVAL.ret());
    }
    if nr_words > MAX_WORDS {
        return Ok(Errno::E2BIG.ret());
    }
    let mut bytes = vec![0; nr_words as usize * 8];
    if exec.region.bpf_read(words_at, &mut bytes).is_err() {
        return Ok(Errno::EFAULT.ret());
    }
    let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let first = if nr_words == 1 { words[0] } else { 0 };
    put(exec, it, first, nr_words * 64, -1);
    if nr_words > 1 {
        exec.vm.bit_iters.borrow_mut().insert(it, words);
    }
    Ok(0)
}

/// Address of the next bit's number, in the iterator itself.
pub(super) fn next(exec: &mut Exec<'_>, [it, ..]: [u64; 5]) -> Ret {
    let it = state(exec, it)?;
    let nr_bits = exec.region.load(it + 8, 4) as u32;
    let from = (exec.region.load(it + 12, 4) as i32).wrapping_add(1) as u32;
    let iters = exec.vm.bit_iters.borrow();
    let inline = [exec.region.load(it, 8)];
    let words = iters.get(&it).map_or(&inline[..], Vec::as_slice);
    let nr_bits = nr_bits.min(words.len() as u32 * 64);
    let set = |bit: &u32| words[*bit as usize / 64] >> (bit % 64) & 1 != 0;
    match (from..nr_bits).find(set) {
        Some(bit) => {
            exec.region.store(it + 12, 4, bit.into());
            Ok(it + 12)
        }
        None => {
            exec.region.store(it + 12, 4, nr_bits.into());
            Ok(0)
        }
    }
}

pub(super) fn destroy(exec: &mut Exec<'_>, [it, ..]: [u64; 5]) -> Ret {
    let it = state(exec, it)?;
    exec.vm.bit_iters.borrow_mut().remove(&it);
    put(exec, it, 0, 0, -1);
    Ok(0)
}
