//! `--drain map:NAME=FILE`: reads a ring buffer or the perf buffers of the first scheduler while it runs, as its own program would.

use std::fmt::Write;
use std::path::Path;
use std::rc::Rc;

use sextant_abi::tables::bpf::{BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_RINGBUF};
use sextant_abi::{CpuId, Ns};
use sextant_uapi::Loaded;
use sextant_vm::{MapId, Vm};

use crate::output::Output;
use crate::status::Failure;

/// What is drained: maps with the files they go to.
#[derive(Default)]
pub struct Drains {
    vm: Option<Rc<Vm>>,
    drains: Vec<Drain>,
}

struct Drain {
    map: MapId,
    is_ring: bool,
    out: Output,
}

impl Drains {
    /// The maps that `wanted` names (`map:NAME=FILE`), of what was loaded.
    ///
    /// # Errors
    /// No such map, one of another type, or a file that cannot be written.
    pub fn open(wanted: &[String], loaded: Option<&Loaded>) -> Result<Drains, Failure> {
        let mut drains = Drains::default();
        for what in wanted {
            let bad = |why: &str| Failure::usage(format!("--drain {what}: {why}"));
            let parts = what.strip_prefix("map:").and_then(|rest| rest.split_once('='));
            let (name, file) = parts.ok_or_else(|| bad("write --drain map:NAME=FILE"))?;
            let loaded = loaded.ok_or_else(|| bad("the first scheduler is no object"))?;
            let map = loaded.maps.get(name).copied().ok_or_else(|| bad("the object has no such map"))?;
            let map_type = loaded.vm.map_spec(map).map_or(0, |spec| spec.map_type);
            let is_ring = map_type == BPF_MAP_TYPE_RINGBUF;
            if !is_ring && map_type != BPF_MAP_TYPE_PERF_EVENT_ARRAY {
                return Err(bad("it is no ring buffer and no perf event array"));
            }
            if !is_ring {
                loaded.vm.perf_open(map);
            }
            drains.vm = Some(loaded.vm.clone());
            let mut out = Output::create(Path::new(file), "what is drained")?;
            out.write(format!("# {name}: time, CPU, bytes, content in hexadecimal\n").as_bytes());
            drains.drains.push(Drain { map, is_ring, out });
        }
        Ok(drains)
    }

    /// Takes out what is there; the time and the CPU are those of the last event.
    pub fn drain(&mut self, at: Ns, cpu: CpuId) {
        let Some(vm) = &self.vm else { return };
        for Drain { map, is_ring, out } in &mut self.drains {
            let mut text = String::new();
            if *is_ring {
                // A map that is gone with its scheduler has nothing any more.
                let _ = vm.ringbuf_consume(*map, &mut |record| line(&mut text, at, cpu.0, record));
            } else {
                vm.perf_take(*map).iter().for_each(|(cpu, record)| line(&mut text, at, *cpu, record));
            }
            if !text.is_empty() {
                out.write(text.as_bytes());
            }
        }
    }

    /// The end.
    ///
    /// # Errors
    /// A file could not be written.
    pub fn finish(self) -> Result<(), Failure> {
        self.drains.into_iter().map(|drain| drain.out.finish()).fold(Ok(()), Result::and)
    }
}

fn line(text: &mut String, at: Ns, cpu: u32, record: &[u8]) {
    let (s, ns) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000);
    // Writing to a String cannot fail.
    let _ = write!(text, "{s}.{ns:09} [{cpu:03}] {} ", record.len());
    for byte in record {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
}
