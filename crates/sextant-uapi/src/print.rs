//! libbpf's own messages: caught per thread and turned into our errors, never printed raw.
//!
//! The callback is libbpf's one global; it is set once and sorts by thread.

use std::cell::RefCell;
use std::sync::Once;

use libbpf_rs::{PrintLevel, set_print};

thread_local! {
    static CAUGHT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static INSTALL: Once = Once::new();

fn take(level: PrintLevel, text: String) {
    let text = text.trim_end().trim_start_matches("libbpf: ").to_string();
    if level != PrintLevel::Warn {
        tracing::trace!("libbpf: {text}");
        return;
    }
    tracing::debug!("libbpf: {text}");
    CAUGHT.with_borrow_mut(|caught| {
        if let Some(lines) = caught {
            lines.push(text);
        }
    });
}

/// Runs `f` and gives its result with the warnings libbpf had meanwhile, in order.
pub fn catching<T>(f: impl FnOnce() -> T) -> (T, Vec<String>) {
    INSTALL.call_once(|| {
        set_print(Some((PrintLevel::Debug, take)));
    });
    let before = CAUGHT.replace(Some(Vec::new()));
    let result = f();
    (result, CAUGHT.replace(before).unwrap_or_default())
}

/// The verifier log in libbpf's warnings, as libbpf rewrote it (a poisoned call names the missing field or kfunc).
pub fn verifier_log(warnings: &[String]) -> Option<String> {
    const BEGIN: &str = "-- BEGIN PROG LOAD LOG --";
    const END: &str = "-- END PROG LOAD LOG --";
    let whole = warnings.iter().rev().find(|line| line.contains(BEGIN))?;
    let after = whole.split_once(BEGIN)?.1;
    let log = after.split_once(END).map_or(after, |(log, _)| log);
    Some(log.trim().to_string())
}
