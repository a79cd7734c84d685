//! Whether a refusal is for the reason that the test expects.
//!
//! A message of the test that is in ours is the same reason. Else the table: the kernel's words, and the codes that stand for them
//! here. The last message that the table knows decides, because the ones before are about the states on the way.

use sextant_verifier::Code;

/// Part of the kernel's message, and what it may be called here.
#[rustfmt::skip]
pub const TABLE: &[(&str, &[Code])] = &[];

/// What comparing came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The test's words, or a code that the table allows for them, or the test has no words.
    Same,
    /// Another reason.
    Other,
}

/// Compares what the test expects with our words and code; no code: the program was refused before the verifier saw it.
pub fn compare(expected: &[String], words: &str, code: Option<Code>) -> Reason {
    if expected.is_empty() || expected.iter().any(|pattern| matches(pattern, words)) {
        return Reason::Same;
    }
    let known = expected.iter().rev().find_map(|e| TABLE.iter().find(|(words, _)| e.contains(words)));
    match (known, code) {
        (Some((_, codes)), Some(code)) if codes.contains(&code) => Reason::Same,
        _ => Reason::Other,
    }
}

/// Whether the literal parts of a pattern, whose regular expressions stand in {{ }}, are in the text, in order.
fn matches(pattern: &str, text: &str) -> bool {
    let mut literals = Vec::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("{{") {
        literals.push(before);
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    literals.push(rest);
    if literals.iter().all(|l| l.trim().len() < 4) {
        return false;
    }
    let mut text = text;
    literals.iter().all(|literal| match text.find(literal) {
        Some(at) => {
            text = &text[at + literal.len()..];
            true
        }
        None => false,
    })
}
