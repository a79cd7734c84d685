//! What a scheduler says: exit, error and dump text with the `bpf_printk` format engine. Mirrors kernel/sched/ext/ext.c, 7.3.

use sextant_abi::tables::KfuncId;

use super::Handler;
use crate::bpf::call::{Call, Ret};

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::scx_bpf_exit_bstr => |c| {
            let msg = message(c, 1);
            c.s.kf_scx_bpf_exit(c.u64(0) as i64, msg);
            Ok(0)
        },
        KfuncId::scx_bpf_error_bstr => |c| {
            let msg = message(c, 0);
            c.s.kf_scx_bpf_error(msg);
            Ok(0)
        },
        KfuncId::scx_bpf_dump_bstr => dump,
        _ => return None,
    })
}

/// The formatted message whose (format, data, size) start at argument `i`. The exit is claimed whatever they are.
fn message(c: &Call<'_>, i: usize) -> String {
    match c.vm.bprintf(c.u64(i), c.u64(i + 1), c.u32(i + 2)) {
        Ok(text) => text,
        Err(errno) => format!("exit message formatting failed ({})", -errno.0),
    }
}

fn dump(c: &mut Call<'_>) -> Ret {
    let Some(room) = c.s.kf_scx_bpf_dump_room() else { return Ok(0) };
    match c.vm.bprintf_cut(c.u64(0), c.u64(1), c.u32(2), room - 1) {
        Ok(printed) => c.s.kf_scx_bpf_dump(&printed.text, printed.len),
        Err(errno) => {
            let fmt = c.vm.region().read_cstr(c.u64(0), 1023).unwrap_or_default();
            let (data, len) = (c.u64(1), c.u32(2));
            c.s.kf_scx_bpf_dump_failed(&String::from_utf8_lossy(&fmt), data, len, -errno.0);
        }
    }
    Ok(0)
}
