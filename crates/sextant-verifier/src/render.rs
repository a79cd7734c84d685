//! A [`Rejection`] as text for people: what, where, how it came about, what to try.
//!
//! ```text
//! error[V0005]: the pointer may be NULL
//!   --> trap.bpf.c:19:9 in trap_enqueue
//!    |
//! 17 |     u64 *value = bpf_map_lookup_elem(&empty, &key);
//!    |       8: call bpf_map_lookup_elem
//! 19 |     *value += 1;
//!    |       9: r1 = *(u64 *)(r0 +0)
//!    |          ^ r0 is a value of map "empty" (8 bytes), or NULL
//!    |
//!    = Linux says: R0 invalid mem access 'map_value_or_null'
//!    = state: R0=map_value_or_null(id=1,map=empty,vs=8)
//!    = try: test it (`if (!p) return ...;`) before it is used
//! ```
//!
//! The layout is that of rustc's messages. Source lines are there when the object was compiled with -g.

use std::fmt::{self, Write};

use crate::diag::{Known, Rejection, Source, Step, Way};

/// Spaces a tab is shown as.
const TAB: &str = "    ";

/// One instruction of the message and what is said below it.
struct Line<'a> {
    step: &'a Step,
    notes: Vec<String>,
    /// The instruction that was refused.
    is_culprit: bool,
}

impl Rejection {
    /// The whole message, several lines, each ended; with ANSI colours if `color`.
    pub fn render(&self, color: bool) -> String {
        self.render_to(color, usize::MAX)
    }

    /// The same; what is said below the source lines in lines of `width` columns, if words allow.
    pub fn render_to(&self, color: bool, width: usize) -> String {
        let mut out = Out { text: String::new(), color, width, margin: self.margin(), file: String::new() };
        // Writing to a string does not fail.
        let _ = out.message(self);
        out.text
    }

    /// Digits of the largest line number.
    fn margin(&self) -> usize {
        let steps = self.slice.iter().chain(self.path.iter().map(|(step, _)| step)).chain([&*self.at]);
        let steps = steps.filter_map(|step| step.source.as_ref());
        let lines = steps.chain(self.author()).map(|source| source.line);
        lines.max().map_or(1, |line| line.to_string().len())
    }

    /// The author's own line, where the refused instruction is of inlined code in a header: the innermost call outside of headers.
    pub fn author(&self) -> Option<&Source> {
        let in_header = self.at.source.as_ref().is_none_or(|source| source.file.ends_with(".h"));
        self.at.called_at.iter().find(|call| in_header && !call.file.ends_with(".h"))
    }

    /// In program order, the refused instruction last.
    fn lines(&self) -> Vec<Line<'_>> {
        let made = |step| Line { step, notes: Vec::new(), is_culprit: false };
        let mut lines: Vec<Line<'_>> = self.slice.iter().map(made).collect();
        for (step, way) in &self.path {
            let way = match way {
                Way::Taken => "this jump is taken",
                Way::NotTaken => "this jump is not taken",
                Way::Enters => "entered here and not left since",
            };
            lines.push(Line { step, notes: vec![way.into()], is_culprit: false });
        }
        lines.sort_by_key(|line| line.step.insn);
        let notes = self.state.iter().map(Known::sentence).collect();
        lines.push(Line { step: &self.at, notes, is_culprit: true });
        lines
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl Known {
    /// `r0 is a value of map "empty" (8 bytes), or NULL`
    fn sentence(&self) -> String {
        format!("{} {}", self.name.to_lowercase(), self.meaning)
    }
}

/// The message while it is written.
struct Out {
    text: String,
    color: bool,
    width: usize,
    margin: usize,
    /// The file that line numbers are of.
    file: String,
}

impl Out {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn blue(&self, text: &str) -> String {
        self.paint("1;34", text)
    }

    fn message(&mut self, r: &Rejection) -> fmt::Result {
        let title = self.paint("1", &format!(": {}", sentence(r.code.why())));
        let label = self.paint("1;31", &format!("error[{}]", r.code));
        writeln!(self.text, "{label}{title}")?;
        self.place(r)?;
        self.bar("")?;
        let mut shown = None;
        if let Some(author) = r.author().filter(|author| !author.text.is_empty()) {
            self.source(author)?;
            shown = Some((author.file.as_str(), author.line));
        }
        for line in r.lines() {
            let here = line.step.source.as_ref().map(|s| (s.file.as_str(), s.line));
            if let Some(source) = line.step.source.as_ref().filter(|_| here != shown) {
                self.source(source)?;
            }
            shown = here;
            self.insn(&line)?;
        }
        self.bar("")?;
        self.foot("Linux says", &r.message)?;
        if !r.state.is_empty() {
            let known = r.state.iter().map(|k| format!("{}={}", k.name, k.known));
            self.foot("state", &known.collect::<Vec<_>>().join(" "))?;
        }
        // The calls say it exactly.
        let guess = |note: &&String| !(note.starts_with("inlined into ") && r.author().is_some());
        r.notes.iter().filter(guess).try_for_each(|note| self.foot("note", note))?;
        if r.author().is_none() && !r.at.called_at.is_empty() {
            let calls: Vec<String> =
                r.at.called_at.iter().map(|call| format!("{}:{}", call.file, call.line)).collect();
            self.foot("inlined", &format!("called at {}", calls.join(", from ")))?;
        }
        if r.chain.len() > 1 {
            self.foot("called", &r.chain.join(" > "))?;
        }
        self.foot("try", &sentence(&r.advice()))
    }

    fn place(&mut self, r: &Rejection) -> fmt::Result {
        let func = r.chain.last().map_or("", String::as_str);
        let place = match r.author().or(r.at.source.as_ref()) {
            Some(Source { file, line, column: 0, .. }) => format!("{file}:{line} in {func}"),
            Some(Source { file, line, column, .. }) => format!("{file}:{line}:{column} in {func}"),
            None => format!("instruction {} of {func}", r.at.insn),
        };
        self.file = r.author().or(r.at.source.as_ref()).map(|s| s.file.clone()).unwrap_or_default();
        let arrow = self.blue("-->");
        writeln!(self.text, "{:w$}{arrow} {place}", "", w = self.margin)
    }

    fn bar(&mut self, text: &str) -> fmt::Result {
        let bar = self.blue("|");
        let gap = if text.is_empty() { "" } else { " " };
        writeln!(self.text, "{:w$} {bar}{gap}{text}", "", w = self.margin)
    }

    fn source(&mut self, source: &Source) -> fmt::Result {
        if source.file != self.file {
            self.file.clone_from(&source.file);
            let dots = self.blue(":::");
            writeln!(self.text, "{:w$}{dots} {}", "", source.file, w = self.margin)?;
        }
        let number = self.blue(&format!("{:>w$} |", source.line, w = self.margin));
        let text = source.text.replace('\t', TAB);
        writeln!(self.text, "{}", format!("{number} {text}").trim_end())
    }

    fn insn(&mut self, line: &Line<'_>) -> fmt::Result {
        let number = format!("{:>7}: ", line.step.insn);
        let text = shown(&line.step.text);
        let text = if line.is_culprit { self.paint("31", &text) } else { self.paint("2", &text) };
        self.bar(&format!("{number}{text}"))?;
        for note in &line.notes {
            let mark =
                if line.is_culprit { self.paint("1;31", &format!("^ {note}")) } else { format!("- {note}") };
            self.bar(&format!("{:w$}{mark}", "", w = number.len()))?;
        }
        Ok(())
    }

    fn foot(&mut self, what: &str, text: &str) -> fmt::Result {
        let what_len = what.chars().count() + 2;
        let (equals, what) = (self.blue("="), self.paint("1", &format!("{what}:")));
        let indent = self.margin + 3;
        let text = wrapped(text, self.width.saturating_sub(indent), what_len);
        let mut lines = text.iter();
        let first = lines.next().map_or("", String::as_str);
        writeln!(self.text, "{:w$} {equals} {what} {first}", "", w = self.margin)?;
        lines.try_for_each(|line| writeln!(self.text, "{:indent$}{line}", ""))
    }
}

/// `9: (85) call bpf_task_release#405` without its place, its opcode and what a callee's number is: names are enough.
fn shown(text: &str) -> String {
    let text = text.split_once(") ").map_or(text, |(_, text)| text);
    match text.strip_prefix("call ").and_then(|callee| callee.split_once('#')) {
        Some(("unknown", _)) => text.to_owned(),
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("call {name}"),
        Some((_, function)) => format!("call {function}"),
        None => text.to_owned(),
    }
}

/// The lines of a text, broken at spaces into at most `width` columns; the first has `taken` columns less.
fn wrapped(text: &str, width: usize, taken: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut room = width.saturating_sub(taken);
    for line in text.lines() {
        let mut out = String::new();
        for word in line.split(' ') {
            let (have, more) = (out.chars().count(), word.chars().count());
            if !out.trim().is_empty() && have + 1 + more > room {
                lines.push(std::mem::take(&mut out));
                room = width;
            } else if !out.is_empty() || have > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
        lines.push(out);
        room = width;
    }
    lines
}

/// A sentence without its full stop, in lower case unless it begins with a name.
fn sentence(text: &str) -> String {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            format!("{}{}", first.to_lowercase(), chars.as_str())
        }
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    fn step(insn: usize, line: u32, file: &str) -> Step {
        let source = Source { file: file.into(), line, column: 3, text: format!("\tline {line};") };
        Step {
            insn,
            text: format!("{insn}: (95) insn {insn}"),
            source: (line > 0).then_some(source),
            start: 0,
            called_at: Box::default(),
        }
    }

    fn rejection() -> Rejection {
        Rejection {
            code: Code::NullDeref,
            message: "R0 invalid mem access".into(),
            at: Box::new(step(9, 104, "a.c")),
            state: Box::new([Known {
                name: "R0".into(),
                known: "map_value_or_null".into(),
                meaning: "is x, or NULL".into(),
            }]),
            slice: Box::new([step(4, 99, "b.h"), step(5, 99, "b.h")]),
            path: Box::new([(step(2, 98, "a.c"), Way::Taken)]),
            notes: Box::new(["it is so".into()]),
            chain: Box::new(["outer".into(), "inner".into()]),
            insns_processed: 12,
        }
    }

    #[test]
    fn steps_are_grouped_by_line_and_files_are_named() {
        let want = "\
error[V0005]: the pointer may be NULL
   --> a.c:104:3 in inner
    |
 98 |     line 98;
    |       2: insn 2
    |          - this jump is taken
   ::: b.h
 99 |     line 99;
    |       4: insn 4
    |       5: insn 5
   ::: a.c
104 |     line 104;
    |       9: insn 9
    |          ^ r0 is x, or NULL
    |
    = Linux says: R0 invalid mem access
    = state: R0=map_value_or_null
    = note: it is so
    = called: outer > inner
    = try: test it (`if (!p) return ...;`) before it is used
";
        assert_eq!(rejection().render(false), want);
    }

    #[test]
    fn colours_are_all_that_colours_add() {
        let colored = rejection().render(true);
        assert!(colored.contains("\x1b[1;31merror[V0005]\x1b[0m"));
        let mut plain = String::new();
        let mut parts = colored.split('\x1b');
        plain.push_str(parts.next().unwrap_or_default());
        parts.for_each(|part| plain.push_str(part.split_once('m').expect("a colour").1));
        assert_eq!(plain, rejection().render(false));
    }

    #[test]
    fn without_source_lines_the_instruction_is_the_place() {
        let bare = Rejection {
            at: Box::new(step(7, 0, "")),
            slice: Box::default(),
            path: Box::default(),
            ..rejection()
        };
        assert!(
            bare.render(false).contains(" --> instruction 7 of inner\n  |\n  |       7: insn 7\n"),
            "{bare}"
        );
    }

    #[test]
    fn callees_are_named_without_their_numbers() {
        assert_eq!(shown("9: (85) call bpf_task_release#405"), "call bpf_task_release");
        assert_eq!(shown("9: (85) call pc+3#inner"), "call inner");
        assert_eq!(shown("9: (85) call unknown#9999"), "call unknown#9999");
        assert_eq!(shown("8: (b7) r1 = 1"), "r1 = 1");
    }

    #[test]
    fn sentences_begin_small_unless_with_a_name() {
        assert_eq!(sentence("The pointer may be NULL."), "the pointer may be NULL");
        assert_eq!(sentence("BPF is short."), "BPF is short");
        assert_eq!(sentence(""), "");
    }
}
