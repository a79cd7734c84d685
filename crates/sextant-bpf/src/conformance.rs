//! Case files of the bpf_conformance suite: a program, its input memory and what it must return.
//!
//! ```text
//! -- asm      the program in the assembler's syntax       -- mem     input bytes in hex; r1 = address, r2 = length
//! -- raw      the same as 64-bit words, one a line         -- result  r0 at the end
//! -- error    the program must be refused or fail          -- no register offset   an upstream note, ignored
//! ```
//!
//! Left out: running (the vm does that) and the suite's runner helpers, which a case calls by number.

use crate::asm::{AsmError, assemble};
use crate::insn::{Insn, from_bytes};
use thiserror::Error;

/// One case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The program: of `-- asm` if there, else of `-- raw`.
    pub insns: Vec<Insn>,
    /// `-- raw`, for comparison with what the assembler made.
    pub raw: Option<Vec<Insn>>,
    /// Input memory; its address arrives in r1 and its length in r2 (both 0 without).
    pub mem: Option<Vec<u8>>,
    /// What must happen.
    pub expect: Expect,
}

/// What a case must do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expect {
    /// End with this in r0.
    Result(u64),
    /// Be refused or fail; the suite's text.
    Error(String),
}

/// A case file that is not understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CaseError {
    /// The program does not assemble; the line counts from `-- asm`.
    #[error("-- asm: {0}")]
    Asm(#[from] AsmError),
    /// A section's text is not what the section holds.
    #[error("-- {section}: `{text}` is not {wanted}")]
    Text {
        /// The section.
        section: &'static str,
        /// The text in question.
        text: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// No `-- asm` and no `-- raw`, or no `-- result` and no `-- error`.
    #[error("the case has no -- {0}")]
    Missing(&'static str),
}

/// Parses a case file.
pub fn parse(text: &str) -> Result<Case, CaseError> {
    let asm = section(text, "asm").map(|t| assemble(&t)).transpose()?;
    let raw = section(text, "raw").map(|t| parse_raw(&t)).transpose()?;
    let mem = section(text, "mem").map(|t| parse_mem(&t)).transpose()?;
    let expect = match (section(text, "result"), section(text, "error")) {
        (Some(result), _) => Expect::Result(parse_word("result", result.trim())?),
        (None, Some(error)) => Expect::Error(error.trim().to_string()),
        (None, None) => return Err(CaseError::Missing("result")),
    };
    let insns = asm.or_else(|| raw.clone()).ok_or(CaseError::Missing("asm"))?;
    Ok(Case { insns, raw, mem, expect })
}

/// The lines of a section, or `None` when the file has no such section.
fn section(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines();
    lines.by_ref().find(|line| line.strip_prefix("--").is_some_and(|title| title.trim() == name))?;
    Some(lines.take_while(|line| !line.starts_with("--")).fold(String::new(), |all, line| all + line + "\n"))
}

fn parse_word(section: &'static str, text: &str) -> Result<u64, CaseError> {
    let bad = || CaseError::Text { section, text: text.to_string(), wanted: "a 64-bit number" };
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| bad()),
        None => text.parse().or_else(|_| text.parse::<i64>().map(|v| v as u64)).map_err(|_| bad()),
    }
}

fn parse_raw(text: &str) -> Result<Vec<Insn>, CaseError> {
    let words =
        text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty());
    words.map(|w| parse_word("raw", w).map(|v| from_bytes(v.to_le_bytes()))).collect()
}

fn parse_mem(text: &str) -> Result<Vec<u8>, CaseError> {
    let byte = |t: &str| {
        u8::from_str_radix(t, 16).map_err(|_| CaseError::Text {
            section: "mem",
            text: t.to_string(),
            wanted: "a byte in hex",
        })
    };
    text.lines().flat_map(|l| l.split('#').next().unwrap_or_default().split_whitespace()).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcode::lookup;

    #[test]
    fn a_case_has_its_parts() {
        let case = parse("# c\n-- asm\nmov %r0, 1 # one\nexit\n-- mem\n00 0f\nff\n-- result\n0x1\n").unwrap();
        assert_eq!(case.insns.len(), 2);
        assert_eq!(case.mem, Some(vec![0, 15, 255]));
        assert_eq!(case.expect, Expect::Result(1));
        assert_eq!(parse("-- result\n0"), Err(CaseError::Missing("asm")));
        assert_eq!(parse("-- asm\nexit\n-- error\nbad\n").unwrap().expect, Expect::Error("bad".to_string()));
        assert!(parse("-- asm\nexit\n-- mem\nxyz\n-- result\n0").is_err());
    }

    #[test]
    fn every_case_of_the_suite_assembles() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/bpf_conformance");
        let Ok(entries) = std::fs::read_dir(dir) else {
            println!("SKIPPED every_case_of_the_suite_assembles: no ../shared/data/bpf_conformance");
            return;
        };
        let mut cases = 0;
        for path in entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "data"))
        {
            let case = parse(&std::fs::read_to_string(&path).unwrap());
            let case = case.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            if let Some(raw) = &case.raw {
                assert_eq!(*raw, case.insns, "{}", path.display());
            }
            let mut i = 0;
            while i < case.insns.len() {
                assert!(lookup(&case.insns[i]).is_some(), "{}: {:?}", path.display(), case.insns[i]);
                i += if crate::insn::is_ld_imm64(&case.insns[i]) { 2 } else { 1 };
            }
            cases += 1;
        }
        assert_eq!(cases, 251);
    }
}
