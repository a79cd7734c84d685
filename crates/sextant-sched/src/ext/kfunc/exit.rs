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

    /// `scx_bpf_dump_bstr` with the text already formatted; only from ops.dump and its kin.
    pub fn kf_scx_bpf_dump(&mut self, text: &str) {
        if !self.has_sched() {
            return;
        }
        match &mut self.ext.dump {
            Some(dump) if self.ext.ctx.in_dump => dump.push(text),
            _ => self.scx_error("scx_bpf_dump() must only be called from ops.dump() and friends".into()),
        }
    }

    /// `scx_bpf_switch_all` (before 6.9): called in ops.init, all tasks are switched.
    pub fn kf_scx_bpf_switch_all(&mut self) {
        if self.has_sched() && self.ext.state == EnableState::Enabling {
            self.ext.flags &= !SCX_OPS_SWITCH_PARTIAL;
        }
    }
}
