//! The form of generated code: for every case of bpf_conformance, what is no instruction, where jumps lead, what is entered.

use std::path::Path;
use std::process::Command;

use sextant_abi::{Insn, ProgramImage, Reloc};
use sextant_bpf::conformance::parse;

use super::aarch64::Aarch64;
use super::code::Runtime;
use super::lower::{Assembled, NO_ENTRY, lower};
use crate::decode::{Prog, decode};
use crate::vm::ProgId;

const RUNTIME: Runtime = Runtime { call_out: 0x1234_5678_9abc, slow_access: 0x7fff_0000_1000 };

fn program(insns: Vec<Insn>) -> Prog {
    let call = |i: &Insn| i.code == 0x85 && i.src == 0;
    let relocs = insns.iter().enumerate().filter(|(_, i)| call(i));
    let relocs = relocs.map(|(at, i)| (at as u32, Reloc::Kfunc(i.imm as u32))).collect();
    let image = ProgramImage { name: "form".to_owned(), insns, relocs, ..ProgramImage::default() };
    decode(ProgId(1), image, None, &|_| None)
}

/// All cases; none (said aloud) when the suite is not there.
fn cases(test: &str) -> Vec<(String, Prog)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/bpf_conformance");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!("SKIPPED {test}: ../shared/data/bpf_conformance is not there");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|e| e.expect("a directory entry").path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "data"));
    assert!(files.len() >= 251, "{} cases", files.len());
    let case = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, program(parse(&text).expect("a case").insns))
    };
    files.into_iter().map(case).collect()
}

/// The instructions that the back end has, by mask and value.
const FORMS: [(u32, u32); 34] = [
    (0x7fe0_fc00, 0x0a00_0000), // and
    (0x7fe0_fc00, 0x0b00_0000), // add
    (0xffe0_fc00, 0x8b00_0c00), // add, lsl 3
    (0x7fe0_fc00, 0x2a00_0000), // orr
    (0x7fe0_fc00, 0x4a00_0000), // eor
    (0x7fe0_fc00, 0x4b00_0000), // sub
    (0x7fe0_fc00, 0x6a00_0000), // ands
    (0x7fe0_fc00, 0x6b00_0000), // subs
    (0xff80_0000, 0x9100_0000), // add, 12 bits
    (0xff80_0000, 0xd100_0000), // sub, 12 bits
    (0x7fe0_f800, 0x1ac0_0800), // udiv, sdiv
    (0x7fe0_f000, 0x1ac0_2000), // lslv, lsrv, asrv
    (0x7fe0_8000, 0x1b00_0000), // madd
    (0x7fe0_8000, 0x1b00_8000), // msub
    (0xff80_0000, 0x9280_0000), // movn
    (0xff80_0000, 0xd280_0000), // movz
    (0xff80_0000, 0xf280_0000), // movk
    (0xff80_0000, 0xd300_0000), // ubfm
    (0xff80_0000, 0x5300_0000), // ubfm, 32
    (0xff80_0000, 0x9300_0000), // sbfm
    (0xff80_0000, 0x1300_0000), // sbfm, 32
    (0xffff_fc00, 0x5ac0_0400), // rev16
    (0xffff_fc00, 0x5ac0_0800), // rev, 32
    (0xffff_fc00, 0xdac0_0c00), // rev
    (0xffe0_0c00, 0x9a80_0000), // csel
    (0x3fe0_fc00, 0x3860_6800), // ldr, register
    (0x3fe0_fc00, 0x38a0_6800), // ldrs, register
    (0x3fe0_fc00, 0x3820_6800), // str, register
    (0x3f80_0000, 0x3900_0000), // ldr and str, offset
    (0xffc0_0000, 0xa980_0000), // stp, before
    (0xffc0_0000, 0xa8c0_0000), // ldp, after
    (0xffff_fc1f, 0xd63f_0000), // blr
    (0xffff_ffff, 0xd65f_03c0), // ret
    (0xff00_0010, 0x5400_0000), // b.cond
];

/// What is wrong with aarch64 code.
fn wrong_form(code: &Assembled) -> Option<String> {
    let words: Vec<u32> = code.bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    if words.len() * 4 != code.bytes.len() {
        return Some("is no multiple of four".to_owned());
    }
    let mut entered: Vec<u32> = code.entries.iter().copied().filter(|&e| e != NO_ENTRY).collect();
    entered.sort_unstable();
    if entered.iter().any(|e| e % 4 != 0 || *e as usize >= code.bytes.len()) || entered.is_empty() {
        return Some("is entered elsewhere".to_owned());
    }
    for (at, &word) in words.iter().enumerate() {
        let far = word & 0x7c00_0000 == 0x1400_0000;
        if !far && !FORMS.iter().any(|(mask, value)| word & mask == *value) {
            return Some(format!("has {word:#010x} at {at:#x}"));
        }
        let near = word & 0xff00_0010 == 0x5400_0000;
        let rel = match (far, near) {
            (true, _) => i64::from(word << 6) << 32 >> 38,
            (_, true) => i64::from(word << 8) << 32 >> 45,
            _ => continue,
        };
        if rel == 0 || !(0..words.len() as i64).contains(&(at as i64 + rel)) {
            return Some(format!("leads from {at:#x} by {rel}"));
        }
    }
    // Nothing runs off the end.
    let last = words.last().copied().unwrap_or(0);
    (last != 0xd65f_03c0 && last & 0xfc00_0000 != 0x1400_0000).then(|| format!("ends with {last:#010x}"))
}

#[test]
fn aarch64_code_has_its_form() {
    for (name, prog) in cases("aarch64_code_has_its_form") {
        let code = lower::<Aarch64>(&prog, &RUNTIME);
        assert_eq!(wrong_form(&code), None, "{name}");
        let x86 = lower::<super::x86_64::X86>(&prog, &RUNTIME);
        let entered = |code: &Assembled| code.entries.iter().map(|e| *e != NO_ENTRY).collect::<Vec<_>>();
        assert_eq!(entered(&code), entered(&x86), "{name}");
    }
}

/// An independent opinion: LLVM's disassembler knows every instruction.
#[test]
fn llvm_knows_the_instructions_of_aarch64() {
    let cases = cases("llvm_knows_the_instructions_of_aarch64");
    let bytes = cases.iter().flat_map(|(_, prog)| lower::<Aarch64>(prog, &RUNTIME).bytes);
    let mut words: Vec<[u8; 4]> = bytes.collect::<Vec<_>>().as_chunks::<4>().0.to_vec();
    words.sort_unstable();
    words.dedup();
    let text: String =
        words.iter().map(|w| format!("{:#x} {:#x} {:#x} {:#x}\n", w[0], w[1], w[2], w[3])).collect();
    let file = std::env::temp_dir().join(format!("sextant-aarch64-{}", std::process::id()));
    std::fs::write(&file, text).expect("a temporary file");
    let args = ["--disassemble", "--arch=aarch64"];
    let output = Command::new("llvm-mc-19").args(args).arg(&file).output();
    _ = std::fs::remove_file(&file); // else a temporary file stays
    let Ok(output) = output else {
        println!("SKIPPED llvm_knows_the_instructions_of_aarch64: needs llvm-mc-19");
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("invalid"), "{errors}");
}
