//! libbpf's own messages: caught per thread and turned into our errors, never printed raw.
//!
//! The callback is libbpf's one global; it is set once and sorts by thread.

use std::cell::RefCell;
use std::ffi::{c_char, c_int};
use std::sync::Once;

use libbpf_sys::{__va_list_tag, LIBBPF_WARN, libbpf_print_level, libbpf_set_print};

thread_local! {
    static CAUGHT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static INSTALL: Once = Once::new();

/// Longest message kept: a verifier log is the longest.
const MAX_LEN: usize = 1 << 16;

unsafe extern "C" {
    fn vsnprintf(buf: *mut c_char, size: usize, format: *const c_char, args: *mut __va_list_tag) -> c_int;
}

/// libbpf-rs has a callback too, but it panics on names that are not UTF-8.
unsafe extern "C" fn take(
    level: libbpf_print_level,
    format: *const c_char,
    args: *mut __va_list_tag,
) -> c_int {
    if level != LIBBPF_WARN {
        return 0;
    }
    let mut buf = vec![0u8; MAX_LEN];
    // SAFETY: libbpf hands over a format and the arguments that belong to it; the buffer is as long as said.
    let len = unsafe { vsnprintf(buf.as_mut_ptr().cast(), buf.len(), format, args) };
    buf.truncate((len.max(0) as usize).min(MAX_LEN - 1));
    let text = String::from_utf8_lossy(&buf);
    let text = text.trim_end().trim_start_matches("libbpf: ");
    tracing::debug!("libbpf: {text}");
    CAUGHT.with_borrow_mut(|caught| {
        if let Some(lines) = caught {
            lines.push(text.to_string());
        }
    });
    0
}

/// Runs `f` and gives its result with the warnings libbpf had meanwhile, in order.
pub fn catching<T>(f: impl FnOnce() -> T) -> (T, Vec<String>) {
    INSTALL.call_once(|| {
        // SAFETY: the callback lives as long as the process and touches only its own thread's state.
        unsafe { libbpf_set_print(Some(take)) };
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
