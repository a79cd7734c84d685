//! docs/parity/kernel-verdicts.md: what is explained there, by hand, and what is generated.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::cases::Set;
use super::compare::{NEAR_PERCENT, Outcome, Program, Relation};

/// Generated text goes between these.
const BEGIN: &str = "<!-- cargo xtask kernel-verdicts: begin -->\n";
const END: &str = "<!-- cargo xtask kernel-verdicts: end -->\n";
/// The head of the table of explanations.
const EXPLAINED: &str = "| program | words of a reason | why |";
/// Differing counts of random programs that are listed.
const LISTED: usize = 20;

/// A row: why some programs may differ.
pub struct Explanation {
    /// A program's name; a `*` at its end stands for anything.
    pub name: String,
    /// A part of either reason; empty for any.
    pub words: String,
}

impl Explanation {
    /// Whether the row is about this program's difference.
    pub fn explains(&self, program: &Program) -> bool {
        let named = match self.name.strip_suffix('*') {
            Some(start) => program.name.starts_with(start),
            None => program.name == self.name,
        };
        named && [&program.theirs, &program.ours].iter().any(|v| v.reason.contains(&self.words))
    }
}

/// The rows of the page.
pub fn explanations(page: &Path) -> Result<Vec<Explanation>> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let rows = text.lines().skip_while(|line| *line != EXPLAINED).skip(2);
    Ok(rows.map_while(explanation).collect())
}

fn explanation(row: &str) -> Option<Explanation> {
    let mut cells = row.strip_prefix('|')?.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
    Some(Explanation { name: cells.next()?, words: cells.next()? })
}

/// A difference in a few lines.
pub fn difference(program: &Program, whole: bool) -> String {
    let Program { name, ours, theirs, relation, log, .. } = program;
    let word = |accepted: bool, reason: &str| {
        if accepted { "accepted".to_owned() } else { format!("refused: {reason}") }
    };
    let mut text = format!(
        "{relation:?} {name}\n  ours:   {} ({} instructions)\n  kernel: {} ({})",
        word(ours.accepted, &ours.reason),
        ours.insns,
        word(theirs.accepted, &theirs.reason),
        theirs.insns
    );
    if whole {
        text.push('\n');
        text.push_str(log);
    }
    text
}

/// Every program in a few lines.
pub fn show(outcome: &Outcome, whole: bool) {
    outcome.programs.iter().for_each(|program| println!("{}", difference(program, whole)));
}

/// Puts the text between the marks of the page.
pub fn write(page: &Path, text: &str) -> Result<()> {
    let old = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let (before, rest) = old.split_once(BEGIN).with_context(|| format!("{}: no {BEGIN}", page.display()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{}: no {END}", page.display()))?;
    fs::write(page, format!("{before}{BEGIN}{text}{END}{after}"))?;
    Ok(())
}

#[derive(Default)]
struct Tally {
    programs: usize,
    accepted: usize,
    refused: usize,
    wrongly_accepted: usize,
    wrongly_refused: usize,
    undecided: usize,
    counted: usize,
    near: usize,
}

impl Tally {
    fn add(&mut self, program: &Program) {
        self.programs += 1;
        *match program.relation {
            Relation::Accepted => &mut self.accepted,
            Relation::Refused => &mut self.refused,
            Relation::WronglyAccepted => &mut self.wrongly_accepted,
            Relation::WronglyRefused => &mut self.wrongly_refused,
            Relation::Undecided => &mut self.undecided,
        } += 1;
        self.counted += usize::from(program.near().is_some());
        self.near += usize::from(program.near() == Some(true));
    }
}

/// The generated part.
pub fn render(outcome: &Outcome, kernel: &str, explained: &[Explanation]) -> String {
    let mut text = format!("\nKernel: {kernel}. {} programs.\n\n", outcome.programs.len());
    let mut tallies: BTreeMap<Set, Tally> = BTreeMap::new();
    outcome.programs.iter().for_each(|program| tallies.entry(program.set).or_default().add(program));
    text.push_str("| set | programs | both accept | both refuse | only we accept | only the kernel accepts | undecided | counts within ");
    let _ = writeln!(text, "{NEAR_PERCENT}% |\n|---|---|---|---|---|---|---|---|");
    for (set, t) in &tallies {
        let share = match t.counted {
            0 => "–".to_owned(),
            counted => format!("{} of {counted} ({}%)", t.near, t.near * 100 / counted),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {share} |",
            set.name(),
            t.programs,
            t.accepted,
            t.refused,
            t.wrongly_accepted,
            t.wrongly_refused,
            t.undecided
        );
    }
    differences(&mut text, outcome, explained);
    counts(&mut text, outcome);
    text
}

fn differences(text: &mut String, outcome: &Outcome, explained: &[Explanation]) {
    text.push_str("\n### Differences\n\n| program | ours | kernel | explained |\n|---|---|---|---|\n");
    for program in outcome.programs.iter().filter(|p| p.differs()) {
        let word = |accepted: bool, reason: &str| if accepted { "accepted".to_owned() } else { cell(reason) };
        let row = explained.iter().find(|e| e.explains(program));
        let row = row.map_or("no".to_owned(), |e| format!("`{}`", e.name));
        let ours = word(program.ours.accepted, &program.ours.reason);
        let theirs = word(program.theirs.accepted, &program.theirs.reason);
        let _ = writeln!(text, "| {} | {ours} | {theirs} | {row} |", program.name);
    }
}

/// All programs of the kernel's examples, and of the rest those whose counts differ by more.
fn counts(text: &mut String, outcome: &Outcome) {
    text.push_str(
        "\n### Instructions processed\n\nThe kernel's examples, and elsewhere what is not near.\n\n",
    );
    text.push_str("| program | ours | kernel | ours/kernel |\n|---|---|---|---|\n");
    let mut random = 0;
    for program in &outcome.programs {
        let Some(near) = program.near() else { continue };
        let all = matches!(program.set, Set::Examples);
        if program.set == Set::Random && !near {
            random += 1;
        }
        if !all && near || program.set == Set::Random && random > LISTED {
            continue;
        }
        let (ours, theirs) = (program.ours.insns, program.theirs.insns);
        let hundredths = ours * 100 / theirs.max(1);
        let _ = writeln!(
            text,
            "| {} | {ours} | {theirs} | {}.{:02} |",
            program.name,
            hundredths / 100,
            hundredths % 100
        );
    }
    if random > LISTED {
        let _ = writeln!(text, "\nAnd {} random programs more.", random - LISTED);
    }
    text.push('\n');
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    let here = format!("{}/", crate::workspace::root().display());
    let line = text.lines().next().unwrap_or_default().replace(&here, "");
    format!("`{}`", line.replace('|', "/").replace('`', "'").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_programs_and_words() {
        let row = explanation("| `random/*` | verifier bug | a fault of the kernel |").expect("a row");
        assert_eq!((row.name.as_str(), row.words.as_str()), ("random/*", "verifier bug"));
        assert!(explanation("").is_none());
    }

    #[test]
    fn cells_hold_no_bars() {
        assert_eq!(cell("a|b `c`\nd"), "`a/b 'c'`");
    }
}
