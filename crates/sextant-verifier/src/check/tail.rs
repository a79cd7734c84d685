//! The readable end of the log of a program that is refused: what kind of rule it broke, why, where, how it came to that, what to try.
//! Mirrors kernel/bpf/diagnostics.c, 7.3; the words are ours.

use std::fmt::Write;

use super::report;
use crate::diag::{Code, Rejection, Source, Step};
use crate::program::Program;

/// Lines and instructions shown around the place.
const AROUND: usize = 2;
/// Columns of the text.
const WIDTH: usize = 100;

/// To follow the message in the log.
pub(super) fn tail(prog: &Program<'_>, rejection: &Rejection) -> String {
    let mut out =
        format!("\nVerification failed: {}: {}\n", category(rejection.code), problem(rejection.code));
    out.push_str("\nReason:\n");
    let known = rejection.state.iter().map(|known| format!("{} {}.", known.name, known.meaning));
    let notes = rejection.notes.iter().map(String::clone);
    for text in std::iter::once(rejection.code.why().to_owned()).chain(known).chain(notes) {
        wrapped(&mut out, &text);
    }
    out.push_str("\nAt:\n");
    place(&mut out, prog, &rejection.at, rejection.chain.last().map_or("", String::as_str));
    if !rejection.slice.is_empty() {
        out.push_str("\nCausal path:\n");
        for step in &rejection.slice {
            if let Some(source) = &step.source {
                let _ = writeln!(out, "  {} | {}", spot(source), source.text.trim());
            }
            let _ = writeln!(out, "      {}", step.text);
        }
    }
    out.push_str("\nSuggestion:\n");
    wrapped(&mut out, rejection.code.advice());
    out.push('\n');
    out
}

/// `scx_mine.bpf.c:12:3`, the file without its folders.
fn spot(source: &Source) -> String {
    let file = source.file.rsplit('/').next().unwrap_or(&source.file);
    format!("{file}:{}:{}", source.line, source.column)
}

/// The function, its source around the place, and the instructions.
fn place(out: &mut String, prog: &Program<'_>, at: &Step, function: &str) {
    match &at.source {
        Some(source) => {
            let _ = writeln!(out, "  {function} @ {}\n  Source context:", spot(source));
            for line in source.line.saturating_sub(AROUND as u32).max(1)..=source.line + AROUND as u32 {
                let mark = if line == source.line { ">>>" } else { "   " };
                let text = line_of(prog, &source.file, line).unwrap_or_else(|| "...".to_owned());
                let _ = writeln!(out, "  {mark} {line:>4} | {text}");
            }
        }
        None => {
            let _ = writeln!(out, "  {function}");
        }
    }
    out.push_str("  Instruction context:\n");
    let pcs: Vec<usize> = starts(prog).collect();
    let here = pcs.iter().position(|pc| *pc == at.insn).unwrap_or(0);
    for pc in &pcs[here.saturating_sub(AROUND)..(here + AROUND + 1).min(pcs.len())] {
        let mark = if *pc == at.insn { ">>>" } else { "   " };
        let _ = writeln!(out, "  {mark} {}", report::step(prog, *pc).text);
    }
}

/// First slots of the instructions.
fn starts<'a>(prog: &'a Program<'_>) -> impl Iterator<Item = usize> + 'a {
    let mut next = 0;
    std::iter::from_fn(move || {
        let pc = next;
        next += sextant_bpf::disasm::width(prog.insns.get(pc)?);
        Some(pc)
    })
}

/// A line of the source, where the program has an instruction for it.
fn line_of(prog: &Program<'_>, file: &str, line: u32) -> Option<String> {
    let btf = prog.btf?;
    let info = prog.line_info.iter().find(|info| info.line == line && btf.text(info.file) == file)?;
    Some(btf.text(info.text).trim_end().to_owned())
}

/// The text, indented, in lines of at most [`WIDTH`] columns.
fn wrapped(out: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            out.push('\n');
            column = 0;
        }
        let gap = if column == 0 { "  " } else { " " };
        column += gap.len() + word.len();
        out.push_str(gap);
        out.push_str(word);
    }
    out.push('\n');
}

/// The meaning of the code, as a headline: without its full stop.
fn problem(code: Code) -> &'static str {
    code.why().trim_end_matches('.')
}

/// What kind of rule it is, in the kernel's words.
fn category(code: Code) -> &'static str {
    match code {
        Code::Uninit
        | Code::BadPointerMath
        | Code::NullDeref
        | Code::NotAPointer
        | Code::Spill
        | Code::Return => "Register Type Safety",
        Code::StackBounds
        | Code::MapBounds
        | Code::MemBounds
        | Code::Readonly
        | Code::ObjAccess
        | Code::ObjWrite
        | Code::CtxAccess
        | Code::SpecialField
        | Code::Misaligned
        | Code::Atomic => "Memory Safety",
        Code::RefLeak | Code::RefRelease | Code::Iterator | Code::Dynptr | Code::Owned => {
            "Resource Lifetime Safety"
        }
        Code::ArgType
        | Code::ArgNull
        | Code::ArgTrust
        | Code::ArgConst
        | Code::ArgSize
        | Code::GlobalArg
        | Code::Callback
        | Code::MapUse
        | Code::UnknownHelper => "Call Type Safety",
        Code::HelperDenied | Code::KfuncDenied | Code::Sleepable | Code::LockBalance | Code::LockedCall => {
            "Execution Context Safety"
        }
        _ => "Program Structure",
    }
}
