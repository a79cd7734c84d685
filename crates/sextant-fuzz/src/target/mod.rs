//! Arbitrary bytes for everything that reads bytes from outside: no panic, and what can be said of the result holds.
//!
//! One function per target, shared by cargo-fuzz (`fuzz/`, own workspace) and by the suite, which runs mutations of a few good
//! inputs ([`mutate`]).

mod insns;
pub mod mutate;
#[cfg(feature = "uapi")]
mod outside;
#[cfg(feature = "uapi")]
pub mod seeds;

use sextant_bpf::btf::ext::Ext;
use sextant_bpf::btf::{Btf, TypeId};

pub use insns::{disasm, verify};
#[cfg(feature = "uapi")]
pub use outside::{bpf, elf};

/// `.BTF` and `.BTF.ext` sections: what is accepted can be asked everything and survives being written.
pub fn btf(data: &[u8]) {
    // What is no such section is refused with an error, which is all it has to do.
    let _ = Ext::parse(data);
    let Ok(btf) = Btf::parse(data) else { return };
    for id in (0..btf.len()).map(TypeId) {
        let _ = (btf.resolve(id), btf.size_of(id), btf.fields(id));
        let _ = (btf.type_name(id), btf.declare(id, "x"), btf.field(id, "a.b"));
        let _ = sextant_verifier::SpecialFields::of(&btf, id);
    }
    let again = Btf::parse(&btf.to_bytes()).expect("BTF that was accepted is accepted again");
    assert_eq!(again.len(), btf.len());
    assert!(
        (0..btf.len()).map(TypeId).all(|id| again.kind(id) == btf.kind(id) && again.name(id) == btf.name(id))
    );
}
