//! The debug dump of an error exit, in the kernel's layout. Stack traces are left out: emulated tasks have no stacks.

use std::fmt::Write;

use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, ExitInfo, ExitKind};

use super::events::EVENTS;
use super::exit::MSG_LEN;
use crate::ops::Op;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// What ops.dump and its kin print through `scx_bpf_dump`.
#[derive(Debug, Default)]
pub(crate) struct DumpBuf {
    out: String,
    prefix: &'static str,
    /// Nothing printed since `prefix` was set: an empty line comes first.
    first: bool,
    line: String,
}

impl DumpBuf {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{text}");
    }

    /// Room on the current line, bytes with the NUL.
    pub fn room(&self) -> usize {
        MSG_LEN - self.line.len()
    }

    /// Appends to the current line a text that has been cut to its room, of a whole length of `len` bytes. What ends a line, and a line
    /// that is full, goes out.
    pub fn push(&mut self, text: &str, len: usize) {
        let full = len >= self.room();
        self.line.push_str(text);
        if full || self.line.ends_with('\n') {
            self.flush();
        }
    }

    /// What the kernel says in the dump about a text that cannot be formatted.
    pub fn push_failed(&mut self, fmt: &str, data: u64, data_len: u32, errno: i32) {
        let prefix = self.prefix;
        self.line(format_args!(
            "{prefix}[!] (\"{fmt}\", {data:016x}, {data_len}) failed to format ({errno})"
        ));
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        if std::mem::take(&mut self.first) {
            self.newline();
        }
        let prefix = self.prefix;
        for l in line.strip_suffix('\n').unwrap_or(&line).split('\n') {
            self.line(format_args!("{prefix}{l}"));
        }
    }

    /// `dump_newline`: an empty line, unless nothing is there yet.
    fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }
}

macro_rules! dump_line {
    ($s:expr, $($arg:tt)*) => {
        if let Some(d) = &mut $s.ext.dump {
            d.line(format_args!($($arg)*));
        }
    };
}

impl Sched {
    /// The dump that SysRq-D makes (`sysrq_handle_sched_ext_dump`), which is not cut; None without a scheduler.
    pub fn scx_sysrq_dump(&mut self) -> Option<String> {
        self.ext.ops.as_ref()?;
        let info = ExitInfo { reason: "SysRq-D", ..ExitInfo::new(ExitKind::None, 0) };
        self.ext.dump_as = Some(info);
        let text = self.dump_state();
        self.ext.dump_as = None;
        Some(text)
    }

    /// `scx_dump_state` of an error exit: the text, cut to `exit_dump_len`.
    pub(crate) fn scx_dump_state(&mut self) -> String {
        let text = self.dump_state();
        truncate(text, self.ext.dump_len as usize)
    }

    fn dump_state(&mut self) -> String {
        self.ext.dump = Some(DumpBuf::default());
        self.dump_header();
        if self.ext.has(Op::Dump) {
            self.with_dump_prefix("", Self::op_dump);
        }
        self.dump_newline();
        dump_line!(self, "CPU states");
        dump_line!(self, "----------");
        let first = self.ext.dump_info().map_or(-1, |i| i.exit_cpu);
        if let Some(cpu) = u32::try_from(first).ok().filter(|&c| c < self.cfg.nr_cpus) {
            self.dump_cpu(CpuId(cpu));
        }
        for cpu in (0..self.cfg.nr_cpus).map(CpuId) {
            if cpu.0 as i32 != first {
                self.dump_cpu(cpu);
            }
        }
        self.dump_newline();
        dump_line!(self, "Event counters");
        dump_line!(self, "--------------");
        for (i, name) in EVENTS.iter().enumerate() {
            dump_line!(self, "{name:>40}: {:16}", self.ext.stats[i]);
        }
        self.ext.dump.take().map_or_else(String::new, |d| d.out)
    }

    fn dump_newline(&mut self) {
        if let Some(d) = &mut self.ext.dump {
            d.newline();
        }
    }

    fn dump_header(&mut self) {
        let Some(info) = self.ext.dump_info().cloned() else { return };
        dump_line!(self, "{}: root", self.ext.name);
        let (who, kind) = (self.task_name(self.current()), info.kind.value());
        if info.exit_cpu >= 0 {
            dump_line!(self, "{who} triggered exit kind {kind} on CPU {}:", info.exit_cpu);
        } else {
            dump_line!(self, "{who} triggered exit kind {kind}:");
        }
        dump_line!(self, "  {} ({})", info.reason, info.msg);
        self.dump_newline();
        dump_line!(self, "Backtrace:");
    }

    /// Runs an op that prints with `prefix` before each line.
    fn with_dump_prefix(&mut self, prefix: &'static str, f: impl FnOnce(&mut Self)) {
        if let Some(d) = &mut self.ext.dump {
            (d.prefix, d.first) = (prefix, true);
        }
        f(self);
        if let Some(d) = &mut self.ext.dump {
            d.flush();
        }
    }

    /// `scx_dump_cpu`: an idle CPU of which ops.dump_cpu says nothing is left out.
    fn dump_cpu(&mut self, cpu: CpuId) {
        let rq = &self.rqs[cpu.idx()];
        let curr = rq.curr;
        let class = self.tasks[curr].class;
        let idle = rq.ext.runnable.is_empty() && class == Class::Idle;
        let has_op = self.ext.has(Op::DumpCpu);
        if idle && !has_op {
            return;
        }
        let before = self.dump_len();
        self.dump_newline();
        self.dump_cpu_lines(cpu);
        let used = self.dump_len();
        if has_op {
            self.with_dump_prefix("  ", |s| s.op_dump_cpu(cpu, idle));
        }
        if idle && self.dump_len() == used {
            if let Some(d) = &mut self.ext.dump {
                d.out.truncate(before);
            }
            return;
        }
        if class == Class::Ext {
            self.dump_task(cpu, curr, '*');
        }
        let mut at = self.rqs[cpu.idx()].ext.runnable.first;
        while !at.is_nil() {
            let p = TaskId(at.0);
            at = self.tasks[p].ext.runnable.next;
            self.dump_task(cpu, p, ' ');
        }
    }

    fn dump_len(&self) -> usize {
        self.ext.dump.as_ref().map_or(0, |d| d.out.len())
    }

    fn dump_cpu_lines(&mut self, cpu: CpuId) {
        let rq = &self.rqs[cpu.idx()];
        let (e, name) = (&rq.ext, self.task_name(rq.curr));
        let class = match self.tasks[rq.curr].class {
            Class::Stop => "stop",
            Class::Rt => "rt",
            Class::Fair => "fair",
            Class::Ext => "ext",
            Class::Idle => "idle",
        };
        let (nr, flags, released) = (e.nr_running, e.flags.kernel_bits(), u32::from(e.cpu_released));
        let sync = e.kick_sync;
        let masks = [
            ("cpus_to_kick   ", e.kicks.kick.clone()),
            ("idle_to_kick   ", e.kicks.idle.clone()),
            ("cpus_to_preempt", e.kicks.preempt.clone()),
            ("cpus_to_wait   ", e.kicks.wait.clone()),
            ("cpus_to_sync   ", e.kicks.sync.clone()),
        ];
        dump_line!(self, "CPU {:<4}: nr_run={nr} flags={flags:#x} cpu_rel={released} ksync={sync}", cpu.0);
        // Rescue is for sub-schedulers' tasks, of which there are none.
        dump_line!(self, "          rescue=0 budget=0us rescuing=none[-1]");
        dump_line!(self, "          curr={name} class={class}_sched_class");
        for (label, mask) in masks {
            if !mask.is_empty() {
                dump_line!(self, "  {label}: {}", bitmap(&mask, self.cfg.nr_cpus));
            }
        }
    }

    /// `scx_dump_task`
    fn dump_task(&mut self, cpu: CpuId, p: TaskId, marker: char) {
        let (ts, scx, mem) = (self.tasks[p].ts, self.scx(p), self.mem.clone());
        let (ent, name) = (self.tasks[p].ext.clone(), self.task_name(p));
        let state = if ts.__state().get(&*mem) == 0 { 'R' } else { 'S' };
        let ago = (scx.runnable_at().get(&*mem) as i64 - self.jiffies() as i64) * 1000 / self.cfg.hz as i64;
        let flags = scx.flags().get(&*mem);
        let num = |cpu: Option<CpuId>| cpu.map_or(-1, |c| c.0 as i32);
        let dsq = match ent.dsq.is_some() {
            true => format!("{:#x}", self.ext.dsqs[ent.dsq].id.0),
            false => "(n/a)".into(),
        };
        let cpus = bitmap(&ts.cpus(&*mem).load(&*mem, self.cfg.nr_cpus), self.cfg.nr_cpus);
        self.dump_newline();
        dump_line!(self, " {marker}{state} {name} *root {ago:+}ms");
        dump_line!(
            self,
            "      scx_state/flags={}/{:#x} dsq_flags={:#x} ops_state/qseq={}/{}",
            (flags & SCX_TASK_STATE_MASK) >> SCX_TASK_STATE_SHIFT,
            flags & !SCX_TASK_STATE_MASK,
            u32::from(ent.on_priq),
            ent.ops_state as u8,
            ent.qseq
        );
        dump_line!(self, "      sticky/holding_cpu={}/-1 dsq_id={dsq}", num(ent.sticky_cpu));
        dump_line!(
            self,
            "      dsq_vtime={} slice={} weight={}",
            scx.dsq_vtime().get(&*mem),
            scx.slice().get(&*mem),
            scx.weight().get(&*mem)
        );
        dump_line!(self, "      cpus={cpus} no_mig={}", ts.migration_disabled().get(&*mem));
        if self.ext.has(Op::DumpTask) {
            self.with_dump_prefix("    ", |s| s.op_dump_task(cpu, p));
        }
    }
}

/// `%*pb`: 32 bits a group, highest first.
fn bitmap(mask: &CpuMaskBits, nr_cpus: u32) -> String {
    let words: Vec<u64> = mask.words().collect();
    let group = |i: u32| (words.get(i as usize / 2).copied().unwrap_or(0) >> (i % 2 * 32)) as u32;
    let top = (nr_cpus - 1) / 32;
    let width = ((nr_cpus - top * 32) as usize).div_ceil(4);
    let mut out = format!("{:0width$x}", group(top));
    for i in (0..top).rev() {
        // Writing to a String cannot fail.
        let _ = write!(out, ",{:08x}", group(i));
    }
    out
}

/// Cuts to `len` bytes with the NUL, with the kernel's mark at the end.
fn truncate(mut text: String, len: usize) -> String {
    const MARK: &str = "\n\n~~~~ TRUNCATED ~~~~\n";
    if text.len() < len {
        return text;
    }
    let room = if len > MARK.len() { len - 1 - MARK.len() } else { len.saturating_sub(1) };
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if len > MARK.len() {
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_as_the_kernel_prints_them() {
        assert_eq!(bitmap(&CpuMaskBits::first_n(8), 8), "ff");
        assert_eq!(bitmap(&CpuMaskBits::one(CpuId(33)), 40), "02,00000000");
        assert_eq!(bitmap(&CpuMaskBits::one(CpuId(0)), 3), "1");
    }

    #[test]
    fn a_long_dump_ends_with_the_mark() {
        let t = truncate("x".repeat(100), 60);
        assert_eq!(t.len(), 59);
        assert!(t.ends_with("x\n\n~~~~ TRUNCATED ~~~~\n"));
        assert_eq!(truncate("short".into(), 60), "short");
    }

    #[test]
    fn op_output_is_prefixed_by_line() {
        let mut d = DumpBuf { out: "head\n".into(), prefix: "  ", first: true, line: String::new() };
        d.push("a", 1);
        d.push("b\nc\n", 4);
        d.push("d", 1);
        d.flush();
        assert_eq!(d.out, "head\n\n  ab\n  c\n  d\n");
    }
}
