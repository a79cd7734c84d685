//! Exits that a program asks for, its dump output, and the old way to switch all tasks.

use sextant_abi::exit::ExitKind;
use sextant_abi::types::SCX_OPS_SWITCH_PARTIAL;

use crate::ext::EnableState;
use crate::sched::Sched;

impl Sched {
    /// `scx_bpf_exit_bstr` with the message already formatted: a graceful exit with a code of the program's.
    pub fn kf_scx_bpf_exit(&mut self, code: i64, msg: String) {
        if self.has_sched() {
            self.scx_exit(ExitKind::UnregBpf, code, self.this_cpu.0 as i32, msg);
        }
    }

    /// `scx_bpf_error_bstr` with the message already formatted.
    pub fn kf_scx_bpf_error(&mut self, msg: String) {
        if self.has_sched() {
            self.scx_exit(ExitKind::ErrorBpf, 0, self.this_cpu.0 as i32, msg);
        }
    }

    /// What is left of the line that `scx_bpf_dump_bstr` appends to, bytes with the NUL; None, with an error, outside ops.dump and its kin.
    pub fn kf_scx_bpf_dump_room(&mut self) -> Option<usize> {
        if !self.has_sched() {
            return None;
        }
        match &self.ext.dump {
            Some(dump) if self.ext.ctx.in_dump => Some(dump.room()),
            _ => {
                self.scx_error("scx_bpf_dump() must only be called from ops.dump() and friends".into());
                None
            }
        }
    }

    /// `scx_bpf_dump_bstr` with the text already formatted and cut to that room; `len` is its whole length, bytes.
    pub fn kf_scx_bpf_dump(&mut self, text: &str, len: usize) {
        if let Some(dump) = &mut self.ext.dump {
            dump.push(text, len);
        }
    }

    /// The same where it cannot be formatted: errno is negative.
    pub fn kf_scx_bpf_dump_failed(&mut self, fmt: &str, data: u64, data_len: u32, errno: i32) {
        let what = match errno {
            -22 if !data_len.is_multiple_of(8) || data_len > 96 || (data_len > 0 && data == 0) => {
                format!("invalid data={data:016x} and data__sz={data_len}")
            }
            -14 => format!("failed to read data fields ({errno})"),
            _ => format!("format preparation failed ({errno})"),
        };
        self.scx_error(what);
        if let Some(dump) = &mut self.ext.dump {
            dump.push_failed(fmt, data, data_len, errno);
        }
    }

    /// `scx_bpf_switch_all` (before 6.9): called in ops.init, all tasks are switched.
    pub fn kf_scx_bpf_switch_all(&mut self) {
        if self.has_sched() && self.ext.state == EnableState::Enabling {
            self.ext.flags &= !SCX_OPS_SWITCH_PARTIAL;
        }
    }
}
