//! The log of a verification, as the kernel prints it at log level 2: every instruction of every path with what it changed.

use super::state::{Byte, Frame};
use super::*;

/// Bytes after which the log stops growing.
const MAX_LOG: usize = 16 << 20;

/// A log being written.
#[derive(Debug, Default)]
pub(super) struct Log {
    text: String,
    /// Source line printed last.
    line: Option<(String, u32)>,
    full: bool,
}

impl Log {
    fn add(&mut self, line: &str) {
        if self.text.len() + line.len() > MAX_LOG {
            if !self.full {
                self.text.push_str("(the log has reached 16 MiB; the rest is left out)\n");
            }
            self.full = true;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

impl Env<'_> {
    /// Adds a line, if there is a log.
    fn log(&mut self, line: impl FnOnce(&Self) -> String) {
        let Some(mut log) = self.log.take() else { return };
        if !log.full {
            log.add(&line(self));
        }
        self.log = Some(log);
    }

    /// A function is verified now, by itself.
    pub(super) fn log_function(&mut self) {
        self.log(|env| match env.entry {
            0 => format!("{}:", env.prog.func_name(0)),
            entry => format!("Validating {}() by itself...", env.prog.func_name(entry)),
        });
    }

    /// A path begins, at the start or at the other way of `from`.
    pub(super) fn log_path(&mut self, from: Option<usize>) {
        self.log(|env| {
            let pc = env.st.pc;
            let state = env.all_regs(env.st.top());
            match from {
                Some(from) => format!("\nfrom {from} to {pc}: {state}"),
                None => format!("{pc}: {state}"),
            }
        });
    }

    /// The path is covered by one that was followed before.
    pub(super) fn log_covered(&mut self) {
        self.log(|env| format!("{}: safe", env.st.pc));
    }

    /// The instruction that is executed next, below its source line if that is another one.
    pub(super) fn log_insn(&mut self) {
        if self.log.is_none() {
            return;
        }
        let step = report::step(self.prog, self.st.pc);
        let line = step.source.as_ref().map(|s| (s.file.clone(), s.line));
        let Some(log) = &mut self.log else { return };
        if let Some(source) = step.source.filter(|_| log.line != line) {
            log.add(&format!("; {} @ {}:{}", source.text.trim(), source.file, source.line));
            log.line = line;
        }
        log.add(&step.text);
    }

    /// What the instruction changed, behind it. `before` is the frame it began in.
    pub(super) fn log_change(&mut self, before: &Frame, depth: usize) {
        if self.st.frames.len() != depth {
            let state = self.all_regs(self.st.top());
            self.log(|env| format!("frame{}: {state}", env.st.frames.len() - 1));
            return;
        }
        let now = self.st.top();
        let mut parts: Vec<String> = (0..10)
            .filter(|n| now.regs[*n] != before.regs[*n])
            .map(|n| format!("R{n}={}", self.describe(&now.regs[n])))
            .collect();
        parts.extend(
            now.stack
                .iter()
                .enumerate()
                .filter(|(i, slot)| before.stack.get(*i).unwrap_or(&state::Slot::EMPTY) != *slot)
                .map(|(i, slot)| self.slot(i, slot)),
        );
        let Some(log) = self.log.as_mut().filter(|log| !parts.is_empty() && !log.full) else { return };
        let width = log.text.lines().next_back().map_or(0, str::len);
        log.text.pop();
        log.add(&format!("{:w$} ; {}", "", parts.join(" "), w = 40usize.saturating_sub(width)));
    }

    fn all_regs(&self, frame: &Frame) -> String {
        let regs = frame.regs.iter().enumerate().filter(|(_, reg)| reg.what != What::Uninit);
        let mut parts: Vec<String> = regs.map(|(n, reg)| format!("R{n}={}", self.describe(reg))).collect();
        let used = |slot: &&state::Slot| slot.bytes.iter().any(|b| *b != Byte::Invalid);
        parts.extend(
            frame.stack.iter().enumerate().filter(|(_, s)| used(s)).map(|(i, slot)| self.slot(i, slot)),
        );
        parts.extend(self.st.refs.iter().map(|r| format!("refs={}", r.id)));
        parts.join(" ")
    }

    /// `fp-8=mmmm0000`, or the register that is spilled there.
    fn slot(&self, i: usize, slot: &state::Slot) -> String {
        let at = (i + 1) * 8;
        if slot.spilled() == 8 {
            return format!("fp-{at}={}", self.describe(&slot.reg));
        }
        let byte = |b: &Byte| match b {
            Byte::Invalid => '?',
            Byte::Misc => 'm',
            Byte::Zero => '0',
            Byte::Spill => 'r',
            Byte::Special => 'd',
        };
        format!("fp-{at}={}", slot.bytes.iter().rev().map(byte).collect::<String>())
    }

    /// The whole log, with why the program was refused, and the kernel's last line. Empty if there is no log.
    pub(super) fn take_log(&mut self, refused: Option<&str>) -> (String, String) {
        let Some(mut log) = self.log.take() else { return (String::new(), String::new()) };
        refused.into_iter().for_each(|message| log.text.push_str(&format!("{message}\n")));
        let (processed, total, peak) = (self.processed, self.kept.len() - 1, self.peak);
        let end = format!(
            "processed {processed} insns (limit {MAX_PROCESSED}) total_states {total} peak_states {peak}\n"
        );
        (log.text, end)
    }
}
