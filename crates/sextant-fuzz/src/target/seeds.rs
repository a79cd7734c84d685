//! Good inputs, near which the bad ones are.

use sextant_bpf::insn::encode;
use sextant_uapi::script::{FD, PLACE};

use crate::Fuzzer;
use crate::world::World;

/// An object that clang made.
const OBJECT: &[u8] = include_bytes!("../../../../schedulers/built/simple.bpf.o");

/// Of every target.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![("btf", btf()), ("bpf", bpf()), ("elf", elf()), ("verify", verify()), ("disasm", disasm())]
}

/// BTF, with and without functions and lines.
pub fn btf() -> Vec<Vec<u8>> {
    vec![World::new().btf.to_bytes(), section(".BTF"), section(".BTF.ext")]
}

/// The object.
pub fn elf() -> Vec<Vec<u8>> {
    vec![OBJECT.to_vec()]
}

/// Random programs' instructions.
pub fn disasm() -> Vec<Vec<u8>> {
    let fuzzer = Fuzzer::new();
    (0..20).map(|seed| encode(&fuzzer.draft(seed).code.insns)).collect()
}

/// Random programs.
pub fn verify() -> Vec<Vec<u8>> {
    let fuzzer = Fuzzer::new();
    (0..40).map(|seed| [vec![seed as u8], encode(&fuzzer.draft(seed).code.insns)].concat()).collect()
}

/// One that calls most of bpf(2).
pub fn bpf() -> Vec<Vec<u8>> {
    vec![script()]
}

/// A section of the object.
fn section(name: &str) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(OBJECT[at..at + 8].try_into().expect("8 bytes")) as usize;
    let half = |at: usize| u32::from_le_bytes(OBJECT[at..at + 4].try_into().expect("4 bytes")) as usize;
    let (table, count) = (word(40), usize::from(OBJECT[60]) | usize::from(OBJECT[61]) << 8);
    let names = table + 64 * (usize::from(OBJECT[62]) | usize::from(OBJECT[63]) << 8);
    let is_it = |header: &usize| {
        OBJECT[word(names + 24) + half(*header)..].starts_with(&[name.as_bytes(), &[0]].concat())
    };
    let header = (0..count).map(|i| table + 64 * i).find(is_it).expect("the section");
    OBJECT[word(header + 24)..][..word(header + 32)].to_vec()
}

/// Attributes from words at offsets.
fn call(command: u8, len: usize, words: &[(usize, u32)]) -> Vec<u8> {
    let mut attr = vec![0; len];
    for (at, word) in words {
        attr[*at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    [vec![command, len as u8], attr].concat()
}

/// A map is made and used, types and a program are loaded, the program runs.
fn script() -> Vec<u8> {
    let fd = |nth: u32| u32::from(FD) << 16 | nth;
    let place = |field: usize, at: u32| [(field, at), (field + 4, PLACE)];
    let elem =
        |cmd, value: usize| call(cmd, 32, &[&[(0, fd(0))][..], &place(8, 0), &place(value, 8)].concat());
    let btf = World::new().btf.to_bytes();
    let insns: [u64; 2] = [0xb7, 0x95];
    let (btf_at, insns_at, license_at) = (256, 64, 128);
    let calls = [
        call(0, 72, &[(0, 2), (4, 4), (8, 16), (12, 4)]),
        elem(2, 16),
        elem(1, 16),
        elem(4, 16),
        elem(3, 16),
        call(18, 40, &[&place(0, btf_at)[..], &[(16, btf.len() as u32)]].concat()),
        call(
            5,
            144,
            &[
                &[(0, 31), (4, 2), (24, 1), (28, 64)][..],
                &place(8, insns_at),
                &place(16, license_at),
                &place(32, 160),
            ]
            .concat(),
        ),
        call(10, 80, &[(0, fd(6))]),
        call(15, 16, &[&[(0, fd(0)), (4, 80)][..], &place(8, 1024)].concat()),
        call(22, 4, &[(0, fd(0))]),
    ];
    let mut memory = vec![0; 2048];
    memory[btf_at as usize..btf_at as usize + btf.len()].copy_from_slice(&btf);
    memory[insns_at as usize..insns_at as usize + 16].copy_from_slice(&insns.map(u64::to_le_bytes).concat());
    memory[license_at as usize..license_at as usize + 3].copy_from_slice(b"GPL");
    [calls.concat(), vec![0xff], memory].concat()
}
