//! Decoder and disassembler against LLVM's: what llvm-mc encodes reads back, and on real objects both print the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection, SectionKind};
use sextant_bpf::disasm::{nameless, program, text, width};
use sextant_bpf::insn::decode;

/// LLVM's syntax, and ours where it differs by more than [`normal`] evens out.
const LLVM_V4: &[(&str, &str)] = &[
    ("r1 = r2", "r1 = r2"),
    ("w1 = -5", "w1 = -5"),
    ("r1 = (s8)r2", "r1 = (s8)r2"),
    ("r1 = (s32)r2", "r1 = (s32)r2"),
    ("w1 = (s16)w2", "w1 = (s16)w2"),
    ("r1 s/= r2", "r1 s/= r2"),
    ("w1 s%= 7", "w1 s%= 7"),
    ("r1 s>>= 3", "r1 s>>= 3"),
    ("r1 = -r1", "r1 = -r1"),
    ("r1 = be16 r1", "r1 = be16 r1"),
    ("r1 = le64 r1", "r1 = le64 r1"),
    ("r1 = bswap32 r1", "r1 = bswap32 r1"),
    ("r1 = *(s16 *)(r2 + 4)", "r1 = *(s16 *)(r2 +4)"),
    ("r1 = *(u8 *)(r2 - 4)", "r1 = *(u8 *)(r2 -4)"),
    ("*(u64 *)(r10 - 8) = r1", "*(u64 *)(r10 -8) = r1"),
    ("*(u16 *)(r10 - 8) = 77", "*(u16 *)(r10 -8) = 77"),
    ("lock *(u64 *)(r1 + 8) |= r2", "lock *(u64 *)(r1 +8) |= r2"),
    ("r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)", "r2 = atomic64_fetch_add((u64 *)(r1 +8), r2)"),
    ("w2 = atomic_fetch_xor((u32 *)(r1 + 8), w2)", "r2 = atomic_fetch_xor((u32 *)(r1 +8), r2)"),
    ("r2 = xchg_64(r1 + 8, r2)", "r2 = atomic64_xchg((u64 *)(r1 +8), r2)"),
    ("w0 = cmpxchg32_32(r1 + 8, w0, w2)", "r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)"),
    ("r1 = 0x1122334455667788 ll", "r1 = 0x1122334455667788"),
    ("if r1 s< r2 goto +2", "if r1 s< r2 goto pc+2"),
    ("if w1 & 8 goto -3", "if w1 & 0x8 goto pc-3"),
    ("goto +5", "goto pc+5"),
    ("gotol +5", "gotol pc+5"),
    ("may_goto +5", "may_goto pc+5"),
    ("call 6", "call unknown#6"),
    ("callx r3", "callx r3"),
    ("r1 = addr_space_cast(r2, 0, 1)", "r1 = addr_space_cast(r2, 0, 1)"),
    ("r0 = *(u16 *)skb[12]", "r0 = *(u16 *)skb[12]"),
    ("exit", "exit"),
];

fn code_of(elf: &object::File) -> Vec<(String, Vec<u8>)> {
    let code = elf.sections().filter(|s| s.kind() == SectionKind::Text && s.size() > 0);
    code.map(|s| (s.name().unwrap().to_string(), s.data().unwrap().to_vec())).collect()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sextant-{}-{name}", std::process::id()))
}

#[test]
fn what_llvm_encodes_reads_back() {
    let (source, object) = (scratch("v4.s"), scratch("v4.o"));
    let lines: Vec<&str> = LLVM_V4.iter().map(|(llvm, _)| *llvm).collect();
    std::fs::write(&source, lines.join("\n") + "\n").unwrap();
    let run = Command::new("llvm-mc-19")
        .args(["-triple=bpfel", "-mcpu=v4", "-filetype=obj", "-o"])
        .arg(&object)
        .arg(&source)
        .output();
    let Ok(run) = run else {
        println!("SKIPPED what_llvm_encodes_reads_back: no llvm-mc-19");
        return;
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let file = std::fs::read(&object).unwrap();
    std::fs::remove_file(source).unwrap();
    std::fs::remove_file(object).unwrap();
    let elf = object::File::parse(&*file).unwrap();
    let insns = decode(&code_of(&elf)[0].1).unwrap();
    let mut pc = 0;
    for (llvm, ours) in LLVM_V4 {
        assert_eq!(text(&insns, pc, &nameless), *ours, "{llvm}");
        pc += width(&insns[pc]);
    }
    assert_eq!(pc, insns.len());
}

/// One spelling for both: no spaces, `pc`, `64` and `ll`; numbers in decimal, as 64 signed bits.
fn normal(line: &str) -> String {
    let line = if line.ends_with('>') { line.rsplit_once(" <").map_or(line, |(insn, _)| insn) } else { line };
    let line = line.replace("goto pc", "goto ").replace("gotol pc", "gotol ");
    let line: String = line.trim_end_matches(" ll").chars().filter(|c| !c.is_whitespace()).collect();
    // LLVM writes the register of a 32-bit access as w; the kernel as r, which is what the instruction does.
    let line = if line.contains("*)") { line.replace('w', "r") } else { line };
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(c) = rest.chars().next() {
        let hex =
            rest.strip_prefix("0x").map(|r| r.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or(""));
        match hex {
            Some(digits) => {
                let value = u64::from_str_radix(digits, 16).unwrap();
                // The kernel prints a jump's negative immediate as 32 bits, LLVM with a sign.
                let value = if value >> 31 == 1 && out.starts_with("if") {
                    value as u32 as i32 as i64
                } else {
                    value as i64
                };
                out.push_str(&value.to_string());
                rest = &rest[2 + digits.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// LLVM's forms of atomics and calls, which have no plain counterpart.
fn incomparable(line: &str) -> bool {
    ["xchg", "call", "atomic"].iter().any(|w| line.contains(w))
}

#[test]
fn real_objects_read_as_llvm_reads_them() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples/examples");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!(
            "SKIPPED real_objects_read_as_llvm_reads_them: no target/kernel-examples (cargo xtask kernel-examples)"
        );
        return;
    };
    let mut compared = 0;
    for path in entries.map(|e| e.unwrap().path()).filter(|p| p.to_string_lossy().ends_with(".bpf.o")) {
        let file = std::fs::read(&path).unwrap();
        let elf = object::File::parse(&*file).unwrap();
        for (section, code) in code_of(&elf) {
            let insns = decode(&code).unwrap();
            let ours = program(&insns, &nameless);
            assert!(!ours.contains("BUG_"), "{} {section}:\n{ours}", path.display());
            let dump = Command::new("llvm-objdump-19")
                .args(["-d", "--no-show-raw-insn", "--mcpu=v4", "-j", &section])
                .arg(&path)
                .output();
            let Ok(dump) = dump else {
                println!("SKIPPED real_objects_read_as_llvm_reads_them: no llvm-objdump-19");
                return;
            };
            let dump = String::from_utf8(dump.stdout).unwrap();
            let numbered = dump.lines().filter_map(|l| l.split_once(":\t"));
            let theirs = numbered.filter(|(at, _)| at.trim().parse::<u32>().is_ok()).map(|(_, insn)| insn);
            let ours: Vec<&str> = ours.lines().map(|l| l.split_once(") ").unwrap().1).collect();
            let theirs: Vec<&str> = theirs.collect();
            assert_eq!(ours.len(), theirs.len(), "{} {section}", path.display());
            for (our, their) in ours.iter().zip(&theirs).filter(|(our, _)| !incomparable(our)) {
                assert_eq!(normal(our), normal(their), "{} {section}: {our} | {their}", path.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 5000, "only {compared} instructions compared");
}
