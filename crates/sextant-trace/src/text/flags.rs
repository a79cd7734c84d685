//! Flag words by name, remembered: a run uses a handful of different words millions of times.

use sextant_abi::tables::{DeqFlags, EnqFlags, KickFlags, WakeFlags};

use super::number;

/// Which enumeration a word belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FlagKind {
    Enq,
    Deq,
    Wake,
    Kick,
}

/// Words seen so far, with their text. Beyond [`FlagNames::KEPT`] words of a kind nothing more is remembered.
#[derive(Default)]
pub(super) struct FlagNames {
    seen: Vec<(FlagKind, u64, Vec<u8>)>,
}

impl FlagNames {
    /// Enough for real schedulers; a hostile one that makes up flags must not make the search long.
    const KEPT: usize = 32;

    pub(super) fn append(&mut self, out: &mut Vec<u8>, kind: FlagKind, word: u64) {
        if word == 0 {
            out.push(b'0');
            return;
        }
        if let Some((_, _, text)) = self.seen.iter().find(|(k, w, _)| *w == word && *k == kind) {
            out.extend_from_slice(text);
            return;
        }
        let text = spell(kind, word);
        out.extend_from_slice(&text);
        if self.seen.len() < Self::KEPT {
            self.seen.push((kind, word, text));
        }
    }
}

/// `NAME|NAME|0xrest`
fn spell(kind: FlagKind, word: u64) -> Vec<u8> {
    let (names, rest) = match kind {
        FlagKind::Enq => named(EnqFlags::from_bits_retain(word)),
        FlagKind::Deq => named(DeqFlags::from_bits_retain(word)),
        FlagKind::Wake => named(WakeFlags::from_bits_retain(word)),
        FlagKind::Kick => named(KickFlags::from_bits_retain(word)),
    };
    let mut text = names.join("|").into_bytes();
    if rest != 0 {
        if !text.is_empty() {
            text.push(b'|');
        }
        number::hex(&mut text, rest);
    }
    text
}

fn named<F: bitflags::Flags<Bits = u64>>(flags: F) -> (Vec<&'static str>, u64) {
    let mut names = flags.iter_names();
    let list = names.by_ref().map(|(name, _)| name).collect();
    (list, names.remaining().bits())
}
