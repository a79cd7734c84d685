//! A recorded scheduler's own object, loaded into our vm as its own loader does it.

use std::rc::Rc;

use sextant_bpf::vmlinux::Vmlinux;
use sextant_sched::bpf::{BpfOps, has_kfunc, vm_config};
use sextant_sched::ops::OpsParams;
use sextant_uapi::{LoadError, OpenOptions, open};
use sextant_vm::{Engine, Vm};

use crate::recording::Recording;

/// SCX_SLICE_DFL: what the loaders set, ns.
const SLICE: &str = "20000000";

/// Why the object does not take the recording's place.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// No object for this scheduler, or none that runs here.
    #[error(
        "{0}: only recordings of scx_simple, scx_cpu0, scx_central and scx_flatcg run with their objects"
    )]
    Scheduler(String),
    /// It does not load.
    #[error("{name}: {error}")]
    Load {
        /// Scheduler.
        name: String,
        /// Why.
        error: Box<LoadError>,
    },
    /// No address space for the kernel's memory.
    #[error("the host gives no memory for the emulated kernel (errno {0})")]
    Memory(i32),
}

/// Whether recordings of a scheduler can run with its object.
pub fn has_object(sched: &str) -> bool {
    settings(sched, "", 1).is_some()
}

/// What the scheduler's own program sets before the load, for its option and so many CPUs.
fn settings(sched: &str, opt: &str, cpus: u32) -> Option<Vec<(&'static str, String)>> {
    let n = cpus.to_string();
    Some(match sched {
        "scx_simple" => vec![("fifo_sched", (opt == "-f").to_string())],
        "scx_cpu0" => vec![],
        "scx_central" => vec![
            ("central_cpu", "0".into()),
            ("nr_cpu_ids", n),
            ("slice_ns", SLICE.into()),
            ("cpu_gimme_task", format!("[0;{cpus}]")),
            ("cpu_started_at", format!("[0;{cpus}]")),
        ],
        "scx_flatcg" => vec![("nr_cpus", n), ("cgrp_slice_ns", SLICE.into())],
        _ => return None,
    })
}

/// Loads the object of a recording's scheduler; the vm and the scheduler in it.
pub fn load(rec: &Recording, bytes: &[u8]) -> Result<(Rc<Vm>, BpfOps), ObjectError> {
    let settings = settings(&rec.sched, &rec.opt, rec.cpus);
    let settings = settings.ok_or_else(|| ObjectError::Scheduler(rec.sched.clone()))?;
    let failed = |error: LoadError| ObjectError::Load { name: rec.sched.clone(), error: error.into() };
    let options = OpenOptions {
        name: rec.sched.clone(),
        ops: None,
        nr_cpus: rec.cpus,
        vmlinux: Rc::new(Vmlinux::build(&has_kfunc)),
    };
    let mut opened = open(bytes, &options).map_err(failed)?;
    for (name, value) in settings {
        opened.set(name, &value).map_err(|e| failed(e.into()))?;
    }
    opened.kernel().verify_programs(); // its notes say which loads may fault
    let vm = Vm::new(vm_config(rec.cpus, Engine::default(), false)).map_err(|e| ObjectError::Memory(e.0))?;
    let vm = Rc::new(vm);
    let loaded = opened.load(vm.clone(), Vec::new()).map_err(failed)?;
    let ops = &loaded.ops;
    let params = OpsParams {
        name: ops.name.clone(),
        flags: ops.flags,
        dispatch_max_batch: ops.dispatch_max_batch,
        timeout_ms: ops.timeout_ms,
        exit_dump_len: ops.exit_dump_len,
        hotplug_seq: ops.hotplug_seq,
        cid_form: ops.cid_form,
        cid_shard_size: ops.cid_shard_size,
        sub_cgroup_id: ops.sub_cgroup_id,
        calls_switch_all: ops.calls_switch_all,
    };
    let progs: Vec<_> = ops.progs.iter().map(|(&op, &prog)| (op, prog)).collect();
    Ok((vm.clone(), BpfOps::new(vm, params, &progs)))
}
