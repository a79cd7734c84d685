//! The trace as text: one line per event.
//!
//! ```text
//! 0.004000312 [003] ops.enqueue p=hog[1000] enq_flags=WAKEUP
//! ```
//!
//! Time in virtual seconds, CPU, event, fields; tasks as `comm[pid]`. Lines that start with `#` are the legend and what
//! the run was; `trace_hash` is over the others only.
//!
//! What must hold: a line is a function of the event and of the tasks' comm and pid, nothing else (no seed, scheduler name
//! or path, address), so that equal behaviour has an equal hash; no byte of a name or message can end a line or
//! start a comment; formatting does not allocate once its buffers have grown.

mod flags;
mod number;

use sextant_abi::tables::Op;
use sextant_abi::{CpuId, DsqId, ExitKind, Ns};
use sextant_sched::{Class, Event, TaskId};

use flags::{FlagKind, FlagNames};

/// Version of the line format, in the legend.
pub const FORMAT: u32 = 1;

/// What the fields mean; lines of a trace's head.
pub const LEGEND: &str = "\
# sextant trace, format 1
# TIME [CPU] EVENT FIELDS   time in virtual seconds; tasks as comm[pid]; slice in ns; flags by name, 0 for none
# switch A S ==> B          the CPU leaves A (R: still runnable, S: blocked or gone) for B
# wakeup, fork, exit        a task becomes runnable (cpu: where it is queued), is made, has ended
# migrate, class            a task changes its runqueue, its scheduling class
# ops.NAME                  the scheduler's callback is called, with its arguments
# dsq_insert, dsq_remove    a task enters or leaves a dispatch queue (LOCAL@N: the local one of CPU N)
# kick, idle, timer         a CPU is kicked, enters or leaves the idle mask; a bpf_timer's callback runs
# enabled, bypass           a scheduler takes over (partial=1: SCHED_EXT tasks only); bypass mode goes on or off
# exit_claimed, disabled    the scheduler's end is decided (kind, message), all tasks are back in the fair class
# printk                    what the scheduler printed
";

/// What a task is called: its comm and pid.
pub type TaskName = (String, i32);

/// Formats events; keeps the tasks' names and the line's buffer.
#[derive(Default)]
pub struct TraceText {
    line: Vec<u8>,
    tasks: Vec<Vec<u8>>,
    flags: FlagNames,
}

impl TraceText {
    /// Nothing known yet.
    pub fn new() -> TraceText {
        TraceText::default()
    }

    /// Appends the event as one line with its newline. `name` is asked once per task, when it first appears.
    pub fn append(
        &mut self,
        out: &mut Vec<u8>,
        at: Ns,
        cpu: CpuId,
        event: &Event,
        name: &dyn Fn(TaskId) -> TaskName,
    ) {
        // Written in place: millions of lines need not be copied.
        std::mem::swap(&mut self.line, out);
        self.write(at, cpu, event, name);
        std::mem::swap(&mut self.line, out);
    }

    fn write(&mut self, at: Ns, cpu: CpuId, event: &Event, name: &dyn Fn(TaskId) -> TaskName) {
        number::seconds(&mut self.line, at.0);
        self.raw(b" [");
        number::padded(&mut self.line, cpu.0, 3);
        self.raw(b"] ");
        self.event(event, name);
        self.line.push(b'\n');
    }

    fn event(&mut self, event: &Event, name: &dyn Fn(TaskId) -> TaskName) {
        match *event {
            Event::Switch { prev, prev_runnable, next } => {
                self.raw(b"switch ");
                self.task(prev, name);
                self.raw(if prev_runnable { b" R ==> " } else { b" S ==> " });
                self.task(next, name);
            }
            Event::Wakeup { p, cpu } => self.task_on(b"wakeup p=", p, cpu, name),
            Event::Fork { p, cpu } => self.task_on(b"fork p=", p, cpu, name),
            Event::Exit { p } => self.one_task(b"exit p=", p, name),
            Event::Migrate { p, from, to } => {
                self.one_task(b"migrate p=", p, name);
                self.field(b" from=", u64::from(from.0));
                self.field(b" to=", u64::from(to.0));
            }
            Event::ClassChange { p, from, to } => {
                self.one_task(b"class p=", p, name);
                self.raw(b" from=");
                self.raw(class_name(from));
                self.raw(b" to=");
                self.raw(class_name(to));
            }
            Event::OpCall { op, p, args } => self.op_call(op, p, args, name),
            Event::DsqInsert { p, dsq, slice, vtime, enq_flags } => {
                self.one_task(b"dsq_insert p=", p, name);
                self.dsq(dsq);
                self.field(b" slice=", slice);
                self.field(b" vtime=", vtime);
                self.flag_field(b" enq_flags=", FlagKind::Enq, enq_flags);
            }
            Event::DsqRemove { p, dsq } => {
                self.one_task(b"dsq_remove p=", p, name);
                self.dsq(dsq);
            }
            Event::Kick { cpu, flags } => {
                self.field(b"kick cpu=", u64::from(cpu.0));
                self.flag_field(b" flags=", FlagKind::Kick, flags);
            }
            Event::Timer => self.raw(b"timer"),
            Event::Idle { cpu, idle } => {
                self.field(b"idle cpu=", u64::from(cpu.0));
                self.field(b" idle=", u64::from(idle));
            }
            // The name is the scheduler's: not part of what happened.
            Event::Enabled { partial, .. } => self.field(b"enabled partial=", u64::from(partial)),
            Event::Bypass { on } => self.field(b"bypass on=", u64::from(on)),
            Event::ExitClaimed { kind, ref msg } => self.exit_claimed(kind, msg),
            Event::Disabled => self.raw(b"disabled"),
            Event::Printk { ref text } => {
                self.raw(b"printk ");
                self.text(text);
            }
        }
    }

    fn op_call(&mut self, op: Op, p: Option<TaskId>, args: [u64; 2], name: &dyn Fn(TaskId) -> TaskName) {
        self.raw(b"ops.");
        self.raw(op.name().as_bytes());
        let (subject, names) = op_fields(op);
        if let Some(p) = p {
            self.line.push(b' ');
            self.raw(subject.as_bytes());
            self.line.push(b'=');
            self.task(p, name);
        }
        for (arg, value) in names.iter().zip(args) {
            self.line.push(b' ');
            self.raw(arg.name.as_bytes());
            self.line.push(b'=');
            match arg.kind {
                ArgKind::Number => number::decimal(&mut self.line, value),
                ArgKind::Cpu => self.signed(value as i32),
                ArgKind::Flags(kind) => self.flags.append(&mut self.line, kind, value),
            }
        }
    }

    fn exit_claimed(&mut self, kind: u32, msg: &str) {
        self.raw(b"exit_claimed kind=");
        match ExitKind::from_value(kind) {
            Some(kind) => self.raw(kind.name().as_bytes()),
            None => number::decimal(&mut self.line, u64::from(kind)),
        }
        self.raw(b" msg=");
        self.text(msg);
    }

    fn dsq(&mut self, dsq: DsqId) {
        self.raw(b" dsq=");
        match dsq {
            DsqId::GLOBAL => self.raw(b"GLOBAL"),
            DsqId::LOCAL => self.raw(b"LOCAL"),
            DsqId::BYPASS => self.raw(b"BYPASS"),
            DsqId::INVALID => self.raw(b"INVALID"),
            _ => match dsq.local_on_cpu() {
                Some(cpu) => self.field(b"LOCAL@", u64::from(cpu)),
                None => number::hex(&mut self.line, dsq.0),
            },
        }
    }

    fn task_on(&mut self, label: &[u8], p: TaskId, cpu: CpuId, name: &dyn Fn(TaskId) -> TaskName) {
        self.one_task(label, p, name);
        self.field(b" cpu=", u64::from(cpu.0));
    }

    fn one_task(&mut self, label: &[u8], p: TaskId, name: &dyn Fn(TaskId) -> TaskName) {
        self.raw(label);
        self.task(p, name);
    }

    fn task(&mut self, p: TaskId, name: &dyn Fn(TaskId) -> TaskName) {
        let at = p.0 as usize;
        if at >= self.tasks.len() {
            self.tasks.resize_with(at + 1, Vec::new);
        }
        if self.tasks[at].is_empty() {
            let (comm, pid) = name(p);
            let comm: String =
                comm.chars().map(|c| if c.is_control() || c.is_whitespace() { '_' } else { c }).collect();
            self.tasks[at] = format!("{comm}[{pid}]").into_bytes();
        }
        self.line.extend_from_slice(&self.tasks[at]);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
    }

    fn field(&mut self, label: &[u8], n: u64) {
        self.raw(label);
        number::decimal(&mut self.line, n);
    }

    fn flag_field(&mut self, label: &[u8], kind: FlagKind, word: u64) {
        self.raw(label);
        self.flags.append(&mut self.line, kind, word);
    }

    fn signed(&mut self, n: i32) {
        if n < 0 {
            self.line.push(b'-');
        }
        number::decimal(&mut self.line, u64::from(n.unsigned_abs()));
    }

    /// Text of the scheduler's: whatever would break the line becomes visible.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.raw(b"\\\\"),
                c if c.is_control() => self.line.extend(c.escape_default().map(|c| c as u8)),
                c => self.raw(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}

/// Whether a line of a trace file is an event, that is, counts for the hash.
pub fn is_event_line(line: &[u8]) -> bool {
    !line.starts_with(b"#")
}

fn class_name(class: Class) -> &'static [u8] {
    match class {
        Class::Stop => b"stop",
        Class::Rt => b"rt",
        Class::Fair => b"fair",
        Class::Ext => b"ext",
        Class::Idle => b"idle",
    }
}

/// An integer argument of an op.
struct Arg {
    name: &'static str,
    kind: ArgKind,
}

enum ArgKind {
    Number,
    /// Signed.
    Cpu,
    Flags(FlagKind),
}

const fn arg(name: &'static str, kind: ArgKind) -> Arg {
    Arg { name, kind }
}

const CPU: Arg = arg("cpu", ArgKind::Cpu);
const PREV_CPU: Arg = arg("prev_cpu", ArgKind::Cpu);
const WAKE: Arg = arg("wake_flags", ArgKind::Flags(FlagKind::Wake));
const ENQ: Arg = arg("enq_flags", ArgKind::Flags(FlagKind::Enq));
const DEQ: Arg = arg("deq_flags", ArgKind::Flags(FlagKind::Deq));
const IDLE: Arg = arg("idle", ArgKind::Number);
const RUNNABLE: Arg = arg("runnable", ArgKind::Number);
const WEIGHT: Arg = arg("weight", ArgKind::Number);
const FORK: Arg = arg("fork", ArgKind::Number);
const CANCELLED: Arg = arg("cancelled", ArgKind::Number);
const REASON: Arg = arg("reason", ArgKind::Number);
/// Cgroups by their ids.
const CGRP: Arg = arg("cgrp", ArgKind::Number);
const FROM: Arg = arg("from", ArgKind::Number);
const TO: Arg = arg("to", ArgKind::Number);
const QUOTA: Arg = arg("quota_us", ArgKind::Number);

/// What an op's task and its integer arguments are called (the kernel's names).
fn op_fields(op: Op) -> (&'static str, &'static [Arg]) {
    match op {
        Op::SelectCpu => ("p", &[PREV_CPU, WAKE]),
        Op::Enqueue | Op::Runnable => ("p", &[ENQ]),
        Op::Dequeue | Op::Quiescent => ("p", &[DEQ]),
        Op::Dispatch => ("prev", &[CPU]),
        Op::Stopping => ("p", &[RUNNABLE]),
        Op::SetWeight => ("p", &[WEIGHT]),
        Op::Yield => ("from", &[]),
        Op::UpdateIdle | Op::DumpCpu => ("p", &[CPU, IDLE]),
        Op::InitTask => ("p", &[FORK]),
        Op::ExitTask => ("p", &[CANCELLED]),
        Op::CpuOnline | Op::CpuOffline | Op::CpuAcquire => ("p", &[CPU]),
        Op::CpuRelease => ("p", &[CPU, REASON]),
        Op::CgroupInit | Op::CgroupExit => ("p", &[CGRP]),
        Op::CgroupPrepMove | Op::CgroupMove | Op::CgroupCancelMove => ("p", &[FROM, TO]),
        Op::CgroupSetWeight => ("p", &[CGRP, WEIGHT]),
        Op::CgroupSetIdle => ("p", &[CGRP, IDLE]),
        Op::CgroupSetBandwidth => ("p", &[CGRP, QUOTA]),
        _ => ("p", &[]),
    }
}

#[cfg(test)]
mod tests;
