//! Source lines of loaded programs: what an instruction is to whoever wrote it. Kept for as long as the kernel is, also when libbpf has closed
//! the object.

use std::rc::Rc;

use sextant_bpf::btf::ext::{self, LineInfo};
use sextant_vm::ProgId;

use super::Kernel;
use super::objects::BtfObject;
use super::verify::infos;
use crate::attr::{Attr, prog_load as f};

/// Where an instruction comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The program's whole name.
    pub prog: String,
    /// As the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0: unknown.
    pub column: u32,
    /// The line itself, without indentation.
    pub text: String,
}

/// What is known of a program.
pub(super) struct Lines {
    name: String,
    btf: Rc<BtfObject>,
    /// As they came: by slot.
    lines: Vec<LineInfo>,
}

impl Kernel {
    /// Remembers a program's lines, if it came with any.
    pub(super) fn keep_lines(&self, a: &Attr, id: ProgId, name: &str) {
        let Ok(btf) = self.btf_at(a.u32(f::PROG_BTF_FD) as i32) else { return };
        let lines = infos(a, f::LINE_INFO, f::LINE_INFO_CNT, f::LINE_INFO_REC_SIZE, ext::line_info);
        let name = self.whole_name(a).unwrap_or_else(|| name.to_owned());
        let lines = Lines { name, btf, lines: lines.unwrap_or_default() };
        self.lines.borrow_mut().insert(id, lines);
    }

    /// The source line of an instruction; None for a program without debug information. Where a header's function was inlined, it is the
    /// line of the program's own file before it, which called it.
    pub fn source_line(&self, prog: ProgId, insn: u32) -> Option<SourceLine> {
        let all = self.lines.borrow();
        let Lines { name, btf, lines } = all.get(&prog)?;
        let mut before: Vec<&LineInfo> = lines.iter().filter(|l| l.insn_off <= insn).collect();
        before.sort_by_key(|l| l.insn_off);
        let file = |l: &LineInfo| btf.btf.text(l.file);
        let own = file(lines.first()?);
        let info = before.iter().rev().find(|l| file(l) == own).or(before.last())?;
        Some(SourceLine {
            prog: name.clone(),
            file: btf.btf.text(info.file),
            line: info.line,
            column: info.column,
            text: btf.btf.text(info.text).trim().to_string(),
        })
    }
}
