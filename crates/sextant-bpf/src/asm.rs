//! Assembler for the syntax of the bpf_conformance suite.
//!
//! ```text
//! # comment                      jne %r0, 15, failed     label, +N or -N slots
//! loop:                          lock fetch add32 [%r10-8], %r1
//! mov %r0, 0x10                  call 6 · call local func1 · call kfunc 77 · call %r2
//! ldxdw %r0, [%r10-8]            lddw %r1, 0x1122334455667788 · lddw map_value %r1, 3, 16 · lddw func %r2, cb
//! ```
//!
//! Mnemonics are the rows of [`crate::opcode::TABLE`]; a mnemonic with several rows is decided by its operands. Beyond the suite:
//! sign-extending loads, `may_goto`, `load_acquire w`, `store_release w`, `addr_space_cast`, the pseudo forms of `lddw`. The label
//! `exit`, when not defined, is the next `exit` instruction. Registers up to `%r15` assemble, so that bad programs can be written.

use std::collections::BTreeMap;

use crate::insn::{Insn, is_ld_imm64};
use crate::opcode::{Callee, Imm64, Kind, Opcode, Operand, TABLE};
use thiserror::Error;

/// A line that does not assemble.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {why}")]
pub struct AsmError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: AsmErrorKind,
}

/// Why a line does not assemble.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AsmErrorKind {
    /// No row of the opcode table has the mnemonic.
    #[error("no instruction is called `{0}`")]
    Mnemonic(String),
    /// The mnemonic exists, but not with these operands.
    #[error("`{name}` does not take the operands `{operands}`")]
    Operands {
        /// The mnemonic.
        name: String,
        /// The operands as written.
        operands: String,
    },
    /// A number is malformed or does not fit its field.
    #[error("`{0}` is not a number that fits here")]
    Number(String),
    /// A jump or call to a name nobody defines.
    #[error("no label is called `{0}`")]
    Label(String),
    /// Two labels of one name.
    #[error("the label `{0}` is defined twice")]
    Twice(String),
    /// A jump further than the offset field reaches.
    #[error("`{label}` is {distance} slots away, too far for this instruction")]
    Far {
        /// The target.
        label: String,
        /// Slots from the next instruction.
        distance: i64,
    },
}

/// Assembles a program. A `ld_imm64` becomes two slots.
pub fn assemble(text: &str) -> Result<Vec<Insn>, AsmError> {
    let mut asm = Asm::default();
    for (i, line) in text.lines().enumerate() {
        asm.line(line).map_err(|why| AsmError { line: i + 1, why })?;
        asm.lines.resize(asm.insns.len(), i + 1);
    }
    asm.link()
}

/// An operand as written.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Arg<'a> {
    Reg(u8),
    Mem(u8, i16),
    Text(&'a str),
}

/// Where a label's distance goes.
#[derive(Clone, Copy)]
enum Slot {
    Off,
    Imm,
}

#[derive(Default)]
struct Asm<'a> {
    insns: Vec<Insn>,
    /// Source line per slot.
    lines: Vec<usize>,
    labels: BTreeMap<&'a str, usize>,
    /// Slot, field and name of every use of a label.
    uses: Vec<(usize, Slot, &'a str)>,
}

impl<'a> Asm<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), AsmErrorKind> {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            return Ok(());
        }
        if let Some(label) = line.strip_suffix(':') {
            return match self.labels.insert(label, self.insns.len()) {
                Some(_) => Err(AsmErrorKind::Twice(label.to_string())),
                None => Ok(()),
            };
        }
        let (name, operands) = split_mnemonic(line)?;
        let args = parse_args(operands)?;
        // An operand that could be a label only by its shape must not hide a better row, so rows are tried in table order.
        for row in TABLE.iter().filter(|row| row.is_named(&name)) {
            if self.emit(row, &args)? {
                return Ok(());
            }
        }
        Err(AsmErrorKind::Operands { name, operands: operands.to_string() })
    }

    /// Appends `row` with `args`, or says false if the row does not take them.
    fn emit(&mut self, row: &Opcode, args: &[Arg<'a>]) -> Result<bool, AsmErrorKind> {
        use Arg::{Mem, Reg, Text};
        let mut insn = row.template();
        match (row.kind, args) {
            (Kind::Alu { operand: Operand::Imm, .. }, &[Reg(dst), Text(imm)]) => {
                (insn.dst, insn.imm) = (dst, imm32(imm)?);
            }
            (Kind::Alu { operand: Operand::Reg, .. } | Kind::MovSx { .. }, &[Reg(dst), Reg(src)]) => {
                (insn.dst, insn.src) = (dst, src);
            }
            (Kind::AddrSpaceCast, &[Reg(dst), Reg(src), Text(imm)]) => {
                (insn.dst, insn.src, insn.imm) = (dst, src, imm32(imm)?);
            }
            (Kind::Neg { .. } | Kind::End { .. } | Kind::Call(Callee::Reg), &[Reg(dst)]) => insn.dst = dst,
            (Kind::Load { .. } | Kind::LoadAcquire { .. }, &[Reg(dst), Mem(src, off)]) => {
                (insn.dst, insn.src, insn.off) = (dst, src, off);
            }
            (Kind::Store { operand: Operand::Imm, .. }, &[Mem(dst, off), Text(imm)]) => {
                (insn.dst, insn.off, insn.imm) = (dst, off, imm32(imm)?);
            }
            (
                Kind::Store { operand: Operand::Reg, .. } | Kind::Atomic { .. } | Kind::StoreRelease { .. },
                &[Mem(dst, off), Reg(src)],
            ) => (insn.dst, insn.off, insn.src) = (dst, off, src),
            (Kind::LdSkb { ind: false, .. }, &[Text(imm)]) => insn.imm = imm32(imm)?,
            (Kind::LdSkb { ind: true, .. }, &[Reg(src), Text(imm)]) => {
                (insn.src, insn.imm) = (src, imm32(imm)?);
            }
            (Kind::Ja { long: true }, &[Text(to)]) => insn.imm = self.target32(to)?,
            (Kind::Ja { long: false } | Kind::MayGoto, &[Text(to)]) => insn.off = self.target16(to)?,
            (Kind::Jump { operand: Operand::Imm, .. }, &[Reg(dst), Text(imm), Text(to)]) => {
                (insn.dst, insn.imm, insn.off) = (dst, imm32(imm)?, self.target16(to)?);
            }
            (Kind::Jump { operand: Operand::Reg, .. }, &[Reg(dst), Reg(src), Text(to)]) => {
                (insn.dst, insn.src, insn.off) = (dst, src, self.target16(to)?);
            }
            (Kind::Call(Callee::Local), &[Text(to)]) => insn.imm = self.target32(to)?,
            (Kind::Call(Callee::Helper | Callee::Kfunc), &[Text(imm)]) => insn.imm = imm32(imm)?,
            (Kind::Exit, &[]) => {}
            (Kind::LdImm64(form), &[Reg(dst), Text(first), ref rest @ ..]) => {
                insn.dst = dst;
                return self.emit_ld_imm64(form, insn, first, rest);
            }
            _ => return Ok(false),
        }
        self.insns.push(insn);
        Ok(true)
    }

    fn emit_ld_imm64(
        &mut self,
        form: Imm64,
        mut insn: Insn,
        first: &'a str,
        rest: &[Arg<'a>],
    ) -> Result<bool, AsmErrorKind> {
        let mut second = Insn::default();
        match (form, rest) {
            (Imm64::Const, []) => {
                let value = imm64(first)?;
                insn.imm = value as i32;
                second.imm = (value >> 32) as i32;
            }
            (Imm64::Func, []) => insn.imm = self.target32(first)?,
            (Imm64::Const | Imm64::Func, _) => return Ok(false),
            (_, []) => insn.imm = imm32(first)?,
            (_, &[Arg::Text(high)]) => (insn.imm, second.imm) = (imm32(first)?, imm32(high)?),
            _ => return Ok(false),
        }
        self.insns.extend([insn, second]);
        Ok(true)
    }

    fn target16(&mut self, to: &'a str) -> Result<i16, AsmErrorKind> {
        match is_relative(to) {
            true => narrow(to),
            false => self.label(to, Slot::Off).map(|()| 0),
        }
    }

    fn target32(&mut self, to: &'a str) -> Result<i32, AsmErrorKind> {
        match is_relative(to) {
            true => narrow(to),
            false => self.label(to, Slot::Imm).map(|()| 0),
        }
    }

    fn label(&mut self, name: &'a str, slot: Slot) -> Result<(), AsmErrorKind> {
        self.uses.push((self.insns.len(), slot, name));
        Ok(())
    }

    /// Resolves the labels.
    fn link(mut self) -> Result<Vec<Insn>, AsmError> {
        for (at, slot, name) in std::mem::take(&mut self.uses) {
            let fail = |why| AsmError { line: self.lines[at], why };
            let to = self.resolve(at, name).ok_or_else(|| fail(AsmErrorKind::Label(name.to_string())))?;
            let distance = to as i64 - at as i64 - 1;
            let far = || fail(AsmErrorKind::Far { label: name.to_string(), distance });
            match slot {
                Slot::Off => self.insns[at].off = i16::try_from(distance).map_err(|_| far())?,
                Slot::Imm => self.insns[at].imm = i32::try_from(distance).map_err(|_| far())?,
            }
        }
        Ok(self.insns)
    }

    fn resolve(&self, at: usize, name: &str) -> Option<usize> {
        if let Some(to) = self.labels.get(name) {
            return Some(*to);
        }
        let mut exits = (0..self.insns.len()).filter(|i| {
            let second_slot = *i > 0 && is_ld_imm64(&self.insns[i - 1]);
            !second_slot && self.insns[*i].code == crate::insn::BPF_JMP | crate::insn::BPF_EXIT
        });
        let last = exits.clone().next_back();
        if name == "exit" { exits.find(|i| *i > at).or(last) } else { None }
    }
}

/// The longest run of leading words that names a row, and what follows it.
fn split_mnemonic(line: &str) -> Result<(String, &str), AsmErrorKind> {
    let mut best = None;
    let mut name = String::new();
    let mut rest = line;
    for _ in 0..3 {
        let word = rest.split_whitespace().next().unwrap_or_default();
        rest = rest[word.len()..].trim_start();
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
        let name = match name.as_str() {
            "call" if rest.starts_with('%') => "callx".to_string(),
            "call helper" => "call".to_string(),
            "call runtime" => "call kfunc".to_string(),
            n => n.strip_prefix("swap").map_or_else(|| n.to_string(), |bits| format!("bswap{bits}")),
        };
        if TABLE.iter().any(|row| row.is_named(&name)) {
            best = Some((name, rest));
        }
        if rest.is_empty() {
            break;
        }
    }
    let first = line.split_whitespace().next().unwrap_or_default();
    best.ok_or_else(|| AsmErrorKind::Mnemonic(first.to_string()))
}

fn parse_args(operands: &str) -> Result<Vec<Arg<'_>>, AsmErrorKind> {
    match operands {
        "" => Ok(Vec::new()),
        _ => operands.split(',').map(|text| parse_arg(text.trim())).collect(),
    }
}

fn parse_arg(text: &str) -> Result<Arg<'_>, AsmErrorKind> {
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let at = inner.find(['+', '-']).unwrap_or(inner.len());
        let reg = register(inner[..at].trim()).ok_or_else(|| AsmErrorKind::Number(text.to_string()))?;
        let off = if at == inner.len() { 0 } else { narrow(&inner[at..])? };
        return Ok(Arg::Mem(reg, off));
    }
    Ok(register(text).map_or(Arg::Text(text), Arg::Reg))
}

fn register(text: &str) -> Option<u8> {
    let n: u8 = text.strip_prefix("%r")?.parse().ok()?;
    (n <= 15).then_some(n)
}

fn is_relative(to: &str) -> bool {
    to.starts_with(['+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
}

/// A number with optional sign, decimal or 0x.
fn number(text: &str) -> Result<i128, AsmErrorKind> {
    let bad = || AsmErrorKind::Number(text.to_string());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.trim();
    if digits.starts_with(['+', '-']) {
        return Err(bad());
    }
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse::<u64>(),
    };
    let value = i128::from(value.map_err(|_| bad())?);
    Ok(if negative { -value } else { value })
}

fn narrow<T: TryFrom<i128>>(text: &str) -> Result<T, AsmErrorKind> {
    T::try_from(number(text)?).map_err(|_| AsmErrorKind::Number(text.to_string()))
}

/// A number of 32 bits, written signed or unsigned.
fn imm32(text: &str) -> Result<i32, AsmErrorKind> {
    let value = number(text)?;
    match i32::try_from(value) {
        Ok(imm) => Ok(imm),
        Err(_) => u32::try_from(value).map(|v| v as i32).map_err(|_| AsmErrorKind::Number(text.to_string())),
    }
}

/// A number of 64 bits, written signed or unsigned.
fn imm64(text: &str) -> Result<u64, AsmErrorKind> {
    let value = number(text)?;
    match u64::try_from(value) {
        Ok(v) => Ok(v),
        Err(_) => i64::try_from(value).map(|v| v as u64).map_err(|_| AsmErrorKind::Number(text.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::*;

    fn one(text: &str) -> Insn {
        assemble(text).unwrap()[0]
    }

    #[test]
    fn operands_choose_the_row() {
        assert_eq!(one("add %r1, %r2").code, BPF_ALU64 | BPF_ADD | BPF_X);
        assert_eq!(
            one("add %r1, -2"),
            Insn { code: BPF_ALU64 | BPF_ADD, dst: 1, imm: -2, ..Insn::default() }
        );
        assert_eq!(one("smod32 %r1, 3"), Insn { code: BPF_ALU | BPF_MOD, dst: 1, off: 1, imm: 3, src: 0 });
        assert_eq!(one("movsx864 %r1, %r2").off, 8);
        assert_eq!(one("swap32 %r4"), one("bswap32 %r4"));
        assert_eq!(one("call 6").src, 0);
        assert_eq!(one("call kfunc 6").src, BPF_PSEUDO_KFUNC_CALL);
        assert_eq!(one("call %r3"), Insn { code: 0x8d, dst: 3, ..Insn::default() });
        assert_eq!(one("lock fetch or32 [%r10-8], %r1").imm, 0x41);
        assert_eq!(one("load_acquire dw %r1, [%r2+8]").imm, BPF_LOAD_ACQ);
    }

    #[test]
    fn labels_resolve_in_slots() {
        let p = assemble("a:\nlddw func %r1, f\nja32 a\ncall local f\njne %r1, 1, exit\nf:\nexit").unwrap();
        assert_eq!(p[0].imm, 4);
        assert_eq!(p[2].imm, -3);
        assert_eq!(p[3].imm, 1);
        assert_eq!(p[4].off, 0);
    }

    #[test]
    fn errors_name_the_line_and_the_thing() {
        let why = |text: &str| assemble(text).unwrap_err().to_string();
        assert_eq!(why("exit\nmvo %r0, 1"), "line 2: no instruction is called `mvo`");
        assert_eq!(why("mov %r0"), "line 1: `mov` does not take the operands `%r0`");
        assert_eq!(why("mov %r0, 0x100000000"), "line 1: `0x100000000` is not a number that fits here");
        assert_eq!(why("exit\nja nowhere"), "line 2: no label is called `nowhere`");
        assert_eq!(why("a:\na:"), "line 2: the label `a` is defined twice");
        assert_eq!(why("ldxw %r0, [%r1+40000]"), "line 1: `+40000` is not a number that fits here");
        assert!(why("ja exit").contains("no label"));
    }

    #[test]
    fn any_text_is_survived() {
        let good = "a:\nlock fetch add32 [%r10-8], %r1\njne %r0, 0x10, a\nlddw map_value %r1, 3, 16\ncall local a # é\nexit";
        let mut seed = 0x1234_5678_9abc_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let mut text: Vec<char> = good.chars().collect();
            let at = (seed >> 33) as usize % text.len();
            match seed >> 62 {
                0 => drop(text.remove(at)),
                1 => text.insert(at, ['%', '[', ',', ' ', '\n', 'é', '-', ':'][(seed >> 58) as usize % 8]),
                _ => text.swap(at, (seed >> 40) as usize % good.chars().count()),
            }
            let _ = assemble(&text.into_iter().collect::<String>());
        }
    }
}
