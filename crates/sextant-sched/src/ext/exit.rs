//! Errors and exits: the first claim wins, everything later is lost. A claim marks the scheduler as aborting and leads,
//! through an irq_work (dump) and a kthread (disable work), to `scx_root_disable`.

use sextant_abi::CpuId;
use sextant_abi::exit::{ExitInfo, ExitKind, ExitOrigin};

use crate::event::Event;
use crate::sched::{Request, Sched, Work};

/// Bytes of an exit's message and of a line of the dump, with the NUL (SCX_EXIT_MSG_LEN).
pub(super) const MSG_LEN: usize = 1024;

/// A text as `vscnprintf` puts it into that many bytes.
pub(super) fn cut(mut text: String) -> String {
    if text.len() >= MSG_LEN {
        let mut end = MSG_LEN - 1;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

impl Sched {
    /// `scx_exit`: claims the exit of the current scheduler; false if it has exited already or there is none.
    pub(crate) fn scx_exit(&mut self, kind: ExitKind, code: i64, exit_cpu: i32, msg: String) -> bool {
        if self.ext.ops.is_none() || self.ext.exit_kind != ExitKind::None {
            return false;
        }
        self.ext.exit_kind = kind;
        self.ext.aborting = true;
        let mut info = ExitInfo::new(kind, code).with_msg(cut(msg));
        info.exit_cpu = exit_cpu;
        info.flags = self.ext.exit_flags;
        info.origin = self.exit_origin(kind);
        self.emit(Event::ExitClaimed { kind: kind.value(), msg: info.msg.clone() });
        self.ext.exit_info = Some(info);
        self.ext.exit_work = Some(self.this_cpu);
        self.queue_scx_irq_work(self.this_cpu);
        true
    }

    /// What the scheduler was doing when its exit is claimed.
    fn exit_origin(&self, kind: ExitKind) -> ExitOrigin {
        let ctx = &self.ext.ctx;
        // A task that was not run for long is nothing that one call did.
        let returned = self.ext.returned.filter(|_| kind != ExitKind::ErrorStall);
        let (op, subject) = match (ctx.op, returned) {
            (Some(op), _) => (Some(op), ctx.subject),
            (None, Some((op, subject))) => (Some(op), subject),
            (None, None) => (None, None),
        };
        ExitOrigin {
            at: self.now,
            cpu: self.this_cpu,
            op: op.map(|op| op.name()),
            returned: op.is_some() && ctx.op.is_none(),
            task: subject.map(|p| self.task_name(p)),
            place: self.ext.ops.as_ref().and_then(|ops| ops.position()),
        }
    }

    /// `scx_error`: the scheduler did something wrong on the executing CPU.
    pub(crate) fn scx_error(&mut self, msg: String) {
        self.scx_exit(ExitKind::Error, 0, self.this_cpu.0 as i32, msg);
    }

    /// Ends the scheduler for an outside reason: `Unreg` when its link is dropped, `Sysrq`. The disabling is done by
    /// `Work::Disable`, or at once by `scx_flush_disable_work`.
    pub fn scx_disable(&mut self, kind: ExitKind) -> bool {
        self.scx_exit(kind, 0, -1, String::new())
    }

    /// Runs a claimed exit to its end now (the kernel's unregistration waits for it).
    pub fn scx_flush_disable_work(&mut self) {
        self.exit_irq_work();
        self.disable_workfn();
    }

    /// `scx_disable_irq_workfn`: the dump is written where the exit was claimed, then the disable work is queued.
    pub(crate) fn exit_irq_work(&mut self) {
        if self.ext.exit_work.take().is_none() {
            return;
        }
        if self.ext.exit_kind.is_error() {
            let dump = self.scx_dump_state();
            if let Some(info) = &mut self.ext.exit_info {
                info.dump = dump;
            }
        }
        self.ext.disable_pending = true;
        self.requests.push(Request::Work(Work::Disable, self.now));
    }

    /// Whether the irq_work of this CPU has an exit to handle.
    pub(crate) fn exit_work_on(&self, cpu: CpuId) -> bool {
        self.ext.exit_work == Some(cpu)
    }

    /// `scx_cpu_valid`: possible CPUs only; `what` follows the number in the message.
    pub(crate) fn scx_cpu_valid(&mut self, cpu: i32, what: &str) -> Option<CpuId> {
        if (0..self.cfg.nr_cpus as i32).contains(&cpu) {
            return Some(CpuId(cpu as u32));
        }
        self.scx_error(format!("invalid CPU {cpu}{what}"));
        None
    }
}
