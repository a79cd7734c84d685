//! Kernel objects whose addresses ops get as arguments: made once, filled before each call.

use std::cell::Cell;

use sextant_abi::exit::ExitInfo;
use sextant_abi::types::{
    ScxCgroupInitArgs, ScxCpuReleaseArgs, ScxDumpCtx, ScxEnableArgs, ScxExitInfo, ScxExitTaskArgs,
    ScxInitTaskArgs,
};
use sextant_abi::{Mem, ObjKind};

use crate::sched::Sched;

/// Bytes of `scx_exit_info.msg` (SCX_EXIT_MSG_LEN).
const MSG_LEN: u32 = 1024;
/// Bytes of `scx_exit_info.dump` when ops.exit_dump_len is 0 (SCX_EXIT_DUMP_DFL_LEN).
const DUMP_DFL_LEN: u32 = 32768;
/// Bytes kept for a reason string.
const REASON_LEN: u32 = 64;

/// The argument objects of one scheduler.
pub(super) struct Args {
    pub(super) init_task: ScxInitTaskArgs,
    pub(super) exit_task: ScxExitTaskArgs,
    pub(super) cgroup_init: ScxCgroupInitArgs,
    pub(super) cpu_release: ScxCpuReleaseArgs,
    pub(super) enable: ScxEnableArgs,
    dump: ScxDumpCtx,
    dump_reason: u64,
    /// Of the exit: where its four parts are, and the bytes of the dump.
    exit: Cell<Option<([u64; 4], u32)>>,
}

impl Args {
    pub(super) fn new(mem: &impl Mem) -> Self {
        let alloc = |size| mem.alloc(ObjKind::Kernel, size);
        Self {
            init_task: ScxInitTaskArgs::at(alloc(ScxInitTaskArgs::SIZE)),
            exit_task: ScxExitTaskArgs::at(alloc(ScxExitTaskArgs::SIZE)),
            cgroup_init: ScxCgroupInitArgs::at(alloc(ScxCgroupInitArgs::SIZE)),
            cpu_release: ScxCpuReleaseArgs::at(alloc(ScxCpuReleaseArgs::SIZE)),
            enable: ScxEnableArgs::at(alloc(ScxEnableArgs::SIZE)),
            dump: ScxDumpCtx::at(alloc(ScxDumpCtx::SIZE)),
            dump_reason: alloc(REASON_LEN),
            exit: Cell::new(None),
        }
    }

    /// The context of ops.dump and its kin, for the exit that is claimed.
    pub(super) fn dump_ctx(&self, s: &Sched) -> u64 {
        let mem = &*s.mem;
        if let Some(info) = s.ext.dump_info() {
            self.dump.kind().set(mem, info.kind.value());
            self.dump.exit_code().set(mem, info.code);
            put_str(s, self.dump_reason, REASON_LEN, info.reason);
        }
        self.dump.reason().set(mem, self.dump_reason);
        self.dump.at_ns().set(mem, s.now.0);
        self.dump.at_jiffies().set(mem, s.jiffies());
        self.dump.addr()
    }

    /// A `struct scx_exit_info` for ops.exit; it lives as long as the scheduler's memory does.
    pub(super) fn exit_info(&self, s: &Sched, info: &ExitInfo, dump_len: u32) -> u64 {
        let mem = &*s.mem;
        let dump_len = if dump_len == 0 { DUMP_DFL_LEN } else { dump_len };
        let text = |len: u32, text: &str| {
            let addr = mem.alloc(ObjKind::Kernel, len);
            put_str(s, addr, len, text);
            addr
        };
        let ei = ScxExitInfo::at(mem.alloc(ObjKind::Kernel, ScxExitInfo::SIZE));
        let (reason, msg) = (text(REASON_LEN, info.kind.reason()), text(MSG_LEN, &info.msg));
        let dump = text(dump_len, &info.dump);
        ei.kind().set(mem, info.kind.value());
        ei.exit_cpu().set(mem, info.exit_cpu);
        ei.exit_code().set(mem, info.code);
        ei.flags().set(mem, info.flags);
        ei.reason().set(mem, reason);
        ei.msg().set(mem, msg);
        ei.dump().set(mem, dump);
        self.exit.set(Some(([ei.addr(), reason, msg, dump], dump_len)));
        ei.addr()
    }

    /// Gives the objects back.
    pub(super) fn free(&self, mem: &impl Mem) {
        let free = |addr, size| mem.free(ObjKind::Kernel, addr, size);
        free(self.init_task.addr(), ScxInitTaskArgs::SIZE);
        free(self.exit_task.addr(), ScxExitTaskArgs::SIZE);
        free(self.cgroup_init.addr(), ScxCgroupInitArgs::SIZE);
        free(self.cpu_release.addr(), ScxCpuReleaseArgs::SIZE);
        free(self.enable.addr(), ScxEnableArgs::SIZE);
        free(self.dump.addr(), ScxDumpCtx::SIZE);
        free(self.dump_reason, REASON_LEN);
        if let Some(([ei, reason, msg, dump], dump_len)) = self.exit.take() {
            free(ei, ScxExitInfo::SIZE);
            free(reason, REASON_LEN);
            free(msg, MSG_LEN);
            free(dump, dump_len);
        }
    }
}

/// Stores a C string, cut to fit with its NUL.
fn put_str(s: &Sched, addr: u64, len: u32, text: &str) {
    let n = text.len().min(len as usize - 1);
    s.mem.write_bytes(addr, &text.as_bytes()[..n]);
    s.mem.store(addr + n as u64, 1, 0);
}
