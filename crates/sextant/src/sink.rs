//! Where the events of a run go: `trace_hash`, the `--trace` file, and what the scheduler printed to stderr.

use std::io::Write;
use std::path::Path;

use sextant_abi::{CpuId, Ns};
use sextant_sched::ext::LongCall;
use sextant_sched::{Event, Sched, TaskId};
use sextant_sim::EventSink;
use sextant_trace::text::{LEGEND, TaskName, TraceText};
use sha2::{Digest, Sha256};

use crate::drain::Drains;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::status::Failure;

/// Lines are hashed in pieces of this size, which SHA-256 is fastest with.
const BATCH: usize = 64 << 10;

/// Formats every event once, for both hash and file.
pub struct Sink {
    text: TraceText,
    batch: Vec<u8>,
    hash: Sha256,
    file: Option<Output>,
    /// Somebody wants the lines or their hash.
    formats: bool,
    interrupt: Interrupt,
    long_calls: u32,
    drains: Drains,
    /// Time and CPU of the last event.
    last: (Ns, CpuId),
}

impl Sink {
    /// A sink that writes to `path`, if any; `about` are lines on what the run is. Without `hashed` and a path nothing is
    /// formatted, which saves a good part of a run's time.
    pub fn new(
        path: Option<&Path>,
        about: &[String],
        hashed: bool,
        interrupt: Interrupt,
    ) -> Result<Sink, Failure> {
        let mut sink = Sink {
            text: TraceText::new(),
            batch: Vec::with_capacity(2 * BATCH),
            hash: Sha256::new(),
            file: None,
            formats: hashed || path.is_some(),
            interrupt,
            long_calls: 0,
            drains: Drains::default(),
            last: Default::default(),
        };
        if let Some(path) = path {
            let mut out = Output::create(path, "the trace")?;
            out.write(LEGEND.as_bytes());
            for line in about {
                out.write(format!("# {}\n", line.replace(char::is_control, "?")).as_bytes());
            }
            sink.file = Some(out);
        }
        Ok(sink)
    }

    /// Maps that are read from now on.
    pub fn set_drains(&mut self, drains: Drains) {
        self.drains = drains;
    }

    /// What tells that the run is to end.
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    fn flush(&mut self) {
        self.hash.update(&self.batch);
        if let Some(file) = &mut self.file {
            file.write(&self.batch);
        }
        self.batch.clear();
    }

    /// The end: the hash in hexadecimal, and whether the trace was written.
    pub fn finish(mut self) -> (String, Result<(), Failure>) {
        self.flush();
        self.drains.drain(self.last.0, self.last.1);
        let written = self.file.take().map_or(Ok(()), Output::finish).and(self.drains.finish());
        (self.hash.finalize().iter().map(|b| format!("{b:02x}")).collect(), written)
    }
}

/// So many long calls are told one by one; the result sums them all up.
const LONG_TOLD: u32 = 3;

impl EventSink for Sink {
    fn event(&mut self, at: Ns, cpu: CpuId, event: &Event, s: &Sched) {
        self.last = (at, cpu);
        if let Event::Printk { text } = event {
            // Nobody is left to tell if stderr is gone.
            let _ = std::io::stderr().write_all(printk_lines(at, text).as_bytes());
        }
        if !self.formats {
            return;
        }
        self.text.append(&mut self.batch, at, cpu, event, &|p| task_name(s, p));
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn long_call(&mut self, call: &LongCall) {
        self.long_calls += 1;
        if self.long_calls > LONG_TOLD {
            return;
        }
        let LongCall { op, insns, cpu, .. } = call;
        let task = call
            .task
            .as_ref()
            .map_or(String::new(), |task| format!(" for {}", task.replace(char::is_control, "?")));
        let op = if *op == "timer" { "the callback of a timer".to_string() } else { format!("ops.{op}") };
        let (at, took) = (call.at.0 / 1000, call.took.0 / 1000);
        tracing::warn!(
            "at {}.{:06}s {op}{task} took {}.{:03} ms ({insns} instructions): CPU {cpu} did nothing else meanwhile{}",
            at / 1_000_000,
            at % 1_000_000,
            took / 1000,
            took % 1000,
            if self.long_calls == LONG_TOLD { "; further calls like this are only counted" } else { "" }
        );
    }

    fn stop(&mut self) -> bool {
        self.drains.drain(self.last.0, self.last.1);
        self.interrupt.pressed()
    }
}

/// What a scheduler printed, a line each as in the kernel's log; it cannot move the cursor.
fn printk_lines(at: Ns, text: &str) -> String {
    let (s, us) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000 / 1000);
    let line = |line: &str| {
        let line = line.replace('\t', " ").replace(char::is_control, "?");
        format!("[{s:5}.{us:06}] bpf_printk: {}\n", line.trim_end())
    };
    text.split('\n').map(line).collect()
}

fn task_name(s: &Sched, p: TaskId) -> TaskName {
    let ts = s.t(p);
    (ts.comm().get_str(&*s.mem), ts.pid().get(&*s.mem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_lines_are_lines() {
        let text = printk_lines(Ns(1_234_567_890), "two\tlines \n\x1b[2Jof it");
        assert_eq!(text, "[    1.234567] bpf_printk: two lines\n[    1.234567] bpf_printk: ?[2Jof it\n");
        assert_eq!(printk_lines(Ns(0), ""), "[    0.000000] bpf_printk: \n");
    }
}
