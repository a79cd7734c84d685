//! Counting, and docs/parity/verifier.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use sextant_uapi::Outcome;

use crate::load::Tried;
use crate::reason::{Reason, compare};
use crate::scope::{Beyond, beyond};

/// What a test came to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Result {
    /// Accepted, as expected.
    Accepted,
    /// Refused, as expected, for the reason that was expected.
    Refused,
    /// Refused, as expected, for another reason.
    OtherReason,
    /// Accepted, and the kernel refuses it.
    WronglyAccepted,
    /// Refused, and the kernel accepts it.
    WronglyRefused,
    /// The verifier never saw it.
    NoAnswer,
    /// It does not count.
    Beyond(Beyond),
}

/// What a test came to, with words for people: ours, and what was expected.
pub fn result(tried: &Tried) -> (Result, String) {
    let test = &tried.test;
    let judged = tried.answer.as_ref().ok();
    let ours = match &tried.answer {
        Err(why) => format!("no answer: {why}"),
        Ok(judged) => match &judged.outcome {
            Outcome::Accepted(_) => "accepted".into(),
            Outcome::Refused(r) => format!("{} {} @{} {}", r.code, r.message, r.at.insn, r.at.text),
            Outcome::Unresolved(why) => format!("unresolved: {why}"),
        },
    };
    let words = format!("{ours} || {}", test.messages.join(" | "));
    if let Some(why) = beyond(test, judged, tried.unbound) {
        return (Result::Beyond(why), words);
    }
    let result = match (judged.map(|j| &j.outcome), test.success) {
        (None, _) => Result::NoAnswer,
        (Some(Outcome::Accepted(_)), true) => Result::Accepted,
        (Some(Outcome::Accepted(_)), false) => Result::WronglyAccepted,
        (Some(_), true) => Result::WronglyRefused,
        (Some(Outcome::Refused(r)), false) => refused(compare(&test.messages, &r.message, Some(r.code))),
        (Some(Outcome::Unresolved(text)), false) => refused(compare(&test.messages, text, None)),
    };
    (result, words)
}

fn refused(reason: Reason) -> Result {
    match reason {
        Reason::Same => Result::Refused,
        Reason::Other => Result::OtherReason,
    }
}

/// Results of a file or of all.
#[derive(Clone, Default, Debug)]
pub struct Tally(BTreeMap<Result, usize>);

impl Tally {
    /// One more.
    pub fn add(&mut self, result: Result) {
        *self.0.entry(result).or_default() += 1;
    }

    /// How often.
    pub fn of(&self, result: Result) -> usize {
        self.0.get(&result).copied().unwrap_or(0)
    }

    /// All those of another as well.
    pub fn include(&mut self, other: &Tally) {
        for (result, n) in &other.0 {
            *self.0.entry(*result).or_default() += n;
        }
    }

    /// Tests.
    pub fn all(&self) -> usize {
        self.0.values().sum()
    }

    /// Tests that do not count.
    pub fn beyond(&self) -> usize {
        Beyond::ALL.iter().map(|why| self.of(Result::Beyond(*why))).sum()
    }

    /// Tests that count.
    pub fn in_scope(&self) -> usize {
        self.all() - self.beyond()
    }

    /// Tests that count and came out as the kernel has it: the answer, whatever the reason.
    pub fn right(&self) -> usize {
        [Result::Accepted, Result::Refused, Result::OtherReason].iter().map(|r| self.of(*r)).sum()
    }
}

/// Fewest tests in scope.
const LEAST_IN_SCOPE: usize = 2400;
/// Most tests wrongly accepted.
const MOST_ACCEPTED: usize = 5;
/// Most tests wrongly refused, without an answer among them, in a thousand of those in scope.
const MOST_REFUSED: usize = 13;

/// Sees that the verifier is no worse than it was.
///
/// # Errors
/// Which figure is worse.
pub fn hold(files: &BTreeMap<String, Tally>) -> anyhow::Result<()> {
    let mut total = Tally::default();
    files.values().for_each(|tally| total.include(tally));
    let (scope, accepted) = (total.in_scope(), total.of(Result::WronglyAccepted));
    let refused = total.of(Result::WronglyRefused) + total.of(Result::NoAnswer);
    anyhow::ensure!(scope >= LEAST_IN_SCOPE, "{scope} tests in scope, wanted {LEAST_IN_SCOPE}");
    anyhow::ensure!(
        accepted <= MOST_ACCEPTED,
        "{accepted} tests wrongly accepted, at most {MOST_ACCEPTED} wanted"
    );
    let most = scope * MOST_REFUSED / 1000;
    anyhow::ensure!(refused <= most, "{refused} tests wrongly refused, at most {most} wanted");
    Ok(())
}

/// The part of docs/parity/verifier.md that is generated: totals, then a row per file. `failed`: a line for each file that did not
/// compile.
pub fn render(files: &BTreeMap<String, Tally>, kernel: &str, failed: &str) -> String {
    let mut total = Tally::default();
    files.values().for_each(|tally| total.include(tally));
    let mut out = String::new();
    let percent = |n: usize| 100.0 * n as f64 / total.in_scope().max(1) as f64;
    let _ = writeln!(out, "Kernel: {kernel}.\n");
    let _ = writeln!(out, "| | tests |\n|---|---|");
    let rows = [
        ("annotated (privileged)", total.all()),
        ("out of scope", total.beyond()),
        ("in scope", total.in_scope()),
        ("accepted as expected", total.of(Result::Accepted)),
        ("refused as expected", total.of(Result::Refused)),
        ("refused for another reason", total.of(Result::OtherReason)),
        ("wrongly accepted", total.of(Result::WronglyAccepted)),
        ("wrongly refused", total.of(Result::WronglyRefused)),
        ("no answer", total.of(Result::NoAnswer)),
    ];
    for (name, n) in rows {
        let _ = writeln!(out, "| {name} | {n} |");
    }
    let right = total.right();
    let _ = writeln!(
        out,
        "\nThe kernel's answer: {right} of {} in scope ({:.1}%).",
        total.in_scope(),
        percent(right)
    );
    for line in failed.lines() {
        let _ = writeln!(out, "\nNot compiled: {line}");
    }
    out.push_str("\n| file | accepted | refused | other reason | wrongly accepted | wrongly refused | no answer | out of scope |\n");
    out.push_str("|---|---|---|---|---|---|---|---|\n");
    for (file, tally) in files {
        let n = |r| tally.of(r);
        let beyond: Vec<String> = Beyond::ALL
            .iter()
            .filter(|why| n(Result::Beyond(**why)) > 0)
            .map(|why| format!("{} {why}", n(Result::Beyond(*why))))
            .collect();
        let cell = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        let _ = writeln!(
            out,
            "| {file} | {} | {} | {} | {} | {} | {} | {} |",
            cell(n(Result::Accepted)),
            cell(n(Result::Refused)),
            cell(n(Result::OtherReason)),
            cell(n(Result::WronglyAccepted)),
            cell(n(Result::WronglyRefused)),
            cell(n(Result::NoAnswer)),
            beyond.join(", ")
        );
    }
    out
}
