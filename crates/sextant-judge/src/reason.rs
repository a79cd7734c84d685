//! Whether a refusal is for the reason that the test expects.
//!
//! A message of the test that is in ours is the same reason. Else the table: the kernel's words, and the codes that stand for them
//! here. The last message that the table knows decides, because the ones before are about the states on the way.

use sextant_verifier::Code::{self, *};

/// Part of the kernel's message, and what it may be called here; the more specific parts come first.
pub const TABLE: &[(&str, &[Code])] = &[
    ("!read_ok", &[Uninit]),
    ("_or_null'", &[NullDeref]),
    ("nullable", &[NullDeref]),
    ("invalid mem access", &[NotAPointer, NullDeref]),
    ("invalid access to map value", &[MapBounds, MapUse]),
    ("invalid access to memory", &[MemBounds]),
    ("invalid access to packet", &[MemBounds]),
    ("invalid access to flow keys", &[MemBounds]),
    ("BPF_ATOMIC", &[Atomic]),
    ("outside of the allowed memory range", &[MapBounds, MemBounds, CtxAccess]),
    ("outside of the array range", &[StackBounds, MapBounds]),
    ("may be outside object bounds", &[MapBounds, MemBounds]),
    ("value is outside", &[MapBounds, MemBounds]),
    ("min value is negative", &[MapBounds, MemBounds, ArgSize, CtxAccess]),
    ("unbounded memory access", &[MapBounds, MemBounds, ArgSize, CtxAccess, StackBounds]),
    ("zero-sized read", &[ArgSize]),
    ("memory size", &[ArgSize]),
    ("pointer arithmetic", &[BadPointerMath]),
    ("pointer += pointer", &[BadPointerMath]),
    ("bitwise operator", &[BadPointerMath]),
    ("subtract pointer from scalar", &[BadPointerMath]),
    ("subtraction from stack pointer", &[BadPointerMath]),
    ("math between", &[BadPointerMath]),
    ("unbounded min value", &[BadPointerMath]),
    ("be out of bounds", &[BadPointerMath]),
    ("pointer offset", &[BadPointerMath]),
    ("pointer and", &[BadPointerMath]),
    ("partial copy of pointer", &[BadPointerMath]),
    ("sign-extension part of pointer", &[BadPointerMath]),
    ("same insn cannot be used", &[BadPointerMath]),
    ("reserved fields", &[Structure]),
    ("R15 is invalid", &[Structure]),
    ("frame pointer is read only", &[Structure]),
    ("div by zero", &[Structure]),
    ("jump out of range", &[Structure]),
    ("unknown opcode", &[Structure]),
    ("BUG_", &[Structure]),
    ("invalid shift", &[Structure]),
    ("BPF_JA|BPF_X", &[Structure]),
    ("jump table", &[Structure]),
    ("PTR_TO_INSN", &[Structure]),
    ("unreachable", &[Unreachable]),
    ("loop detected", &[InfiniteLoop]),
    ("back-edge", &[InfiniteLoop]),
    ("too large", &[TooComplex, StackDepth, ArgSize]),
    ("too complex", &[TooComplex]),
    ("complexity limit", &[TooComplex]),
    ("would lead to reference leak", &[RefLeak]),
    ("Unreleased reference", &[RefLeak]),
    ("would lead to", &[RefLeak, LockBalance]),
    ("in main prog cannot be used inside", &[LockBalance]),
    ("inside bpf_spin_lock", &[LockBalance, LockedCall]),
    ("calls are not allowed", &[LockedCall, LockBalance]),
    ("unlock of different lock", &[LockBalance]),
    ("without taking a lock", &[LockBalance]),
    ("tracing progs cannot use", &[HelperDenied, MapUse]),
    ("program of this type cannot use helper", &[HelperDenied]),
    ("cannot use helper", &[HelperDenied]),
    ("not allowed in probe", &[HelperDenied]),
    ("calling kernel function", &[KfuncDenied]),
    ("in non-sleepable prog", &[Sleepable]),
    ("sleepable", &[Sleepable]),
    ("invalid read from stack", &[StackBounds]),
    ("invalid write to stack", &[StackBounds]),
    ("invalid variable-offset", &[StackBounds]),
    ("cannot return stack pointer", &[Return]),
    ("combined stack size", &[StackDepth]),
    ("recursive call", &[StackDepth]),
    ("call stack", &[StackDepth]),
    ("invalid size", &[Spill]),
    ("corrupted spill", &[Spill]),
    ("misaligned", &[Misaligned]),
    ("variable ctx access", &[CtxAccess, ArgType]),
    ("dereference of modified ctx ptr", &[CtxAccess, ArgType]),
    ("negative offset ctx ptr", &[CtxAccess]),
    ("invalid bpf_context access", &[CtxAccess, ObjAccess]),
    ("must be 8", &[CtxAccess]),
    ("cannot write into", &[Readonly]),
    ("write into map forbidden", &[Readonly]),
    ("read from map forbidden", &[MapUse]),
    ("cannot pass map_type", &[MapUse]),
    ("not pointing to valid bpf_map", &[MapUse]),
    ("prog array map for tail call", &[MapUse]),
    ("cannot update sockmap", &[MapUse]),
    ("cannot be accessed directly", &[SpecialField]),
    ("should have been in", &[Return, Callback]),
    ("is not a known value", &[Return]),
    ("only read", &[ObjWrite, Readonly]),
    ("access beyond", &[ObjAccess]),
    ("cannot access ptr member", &[ObjAccess]),
    ("invalid negative access", &[ObjAccess]),
    ("zero offset when passed to release", &[RefRelease, ArgType]),
    ("expects referenced", &[RefRelease, GlobalArg]),
    ("arg#0 untrusted cannot be combined", &[GlobalArg]),
    ("has no matches", &[GlobalArg]),
    ("invalid args into func", &[GlobalArg]),
    ("is expected to be non-NULL", &[GlobalArg, ArgNull]),
    ("expected an initialized", &[Iterator, Dynptr, LockBalance]),
    ("within callback", &[Unsupported]),
    ("LD_[ABS|IND]", &[Unsupported]),
    ("LD_ABS", &[Unsupported]),
    ("must be a rcu pointer", &[ArgTrust]),
    ("disabled hook", &[HelperDenied]),
    ("type=map_ptr_or_null expected=fp", &[ArgType, ArgNull]),
    ("_or_null expected=", &[ArgNull, GlobalArg]),
    ("_or_null_ expected=", &[ArgNull, GlobalArg]),
    ("expected=", &[ArgType, ArgTrust, GlobalArg]),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(messages: &[&str], words: &str, code: Code) -> Reason {
        let messages: Vec<String> = messages.iter().map(|m| (*m).to_owned()).collect();
        compare(&messages, words, Some(code))
    }

    #[test]
    fn the_kernels_words_or_a_code_that_stands_for_them() {
        assert_eq!(of(&["R0 !read_ok"], "R0 !read_ok", Uninit), Reason::Same);
        assert_eq!(
            of(&["infinite loop detected"], "infinite loop detected at insn 1", InfiniteLoop),
            Reason::Same
        );
        assert_eq!(of(&["R1 min value is negative"], "invalid access to map value", MapBounds), Reason::Same);
        assert_eq!(of(&["R1 min value is negative"], "R0 !read_ok", Uninit), Reason::Other);
        assert_eq!(compare(&["jump out of range".to_owned()], "no words", None), Reason::Other);
    }

    #[test]
    fn the_last_known_message_decides() {
        let both = ["R1 !read_ok", "Unreleased reference"];
        assert_eq!(of(&both, "-", RefLeak), Reason::Same);
        assert_eq!(of(&both, "-", Uninit), Reason::Other);
    }

    /// A part that an earlier one always finds first would never be looked at.
    #[test]
    fn every_row_can_be_reached() {
        for (i, (part, _)) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|(other, _)| part.contains(other));
            assert_eq!(first, Some(i), "{part}");
        }
    }
}
