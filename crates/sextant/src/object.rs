//! From an object file to a scheduler: opened under libbpf, globals set, loaded into the vm, bound to the class.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use anyhow::anyhow;
use sextant_abi::Ns;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_sched::Ops;
use sextant_sched::bpf::{BpfOps, has_kfunc};
use sextant_sched::ops::OpsParams;
use sextant_sched::topology::Shape;
use sextant_uapi::{LoadError, Loaded, OpenOptions, Opened, Verdict, open};
use sextant_vm::Vm;

use crate::setup::SetupFile;
use crate::source::Source;
use crate::status::{Failure, Status};
use crate::{check, color, inline, ksyms, width};

/// An object as `source` found it.
pub type Object = Source<Cow<'static, [u8]>>;

/// What an object is opened with.
pub struct How<'a> {
    /// Possible CPUs of the machine.
    pub nr_cpus: u32,
    /// Shape of the machine.
    pub machine: Shape,
    /// Which of several ops maps.
    pub ops: Option<&'a str>,
    /// `NAME=VALUE`, in order.
    pub sets: &'a [String],
    /// Before these.
    pub setup: Option<&'a SetupFile>,
    /// How long one call may take, instead of the kernel's times.
    pub lockup: Option<Ns>,
}

/// The object, opened, with its globals set.
pub fn prepare(object: &Object, how: &How) -> Result<Opened, Failure> {
    let mut opened = open(&object.content, &options(object, how)).map_err(|e| failure(object, e))?;
    if let Some(setup) = how.setup {
        setup.apply(&mut opened, object)?;
    }
    for set in how.sets {
        let Some((name, value)) = set.split_once('=') else {
            return Err(Failure::usage(format!("--set {set}: no `=`; write --set NAME=VALUE")));
        };
        opened
            .set(name.trim(), value)
            .map_err(|e| Failure::usage(format!("--set {set}: {}: {e}", object.name)))?;
    }
    Ok(opened)
}

/// The ops tables of an object that has several and for which none was chosen.
pub fn ops_tables(object: &Object, how: &How) -> Vec<String> {
    match open(&object.content, &options(object, how)) {
        Err(LoadError::AmbiguousOps { names }) => names,
        _ => Vec::new(),
    }
}

/// What an object is opened with by the library.
pub fn options(object: &Object, how: &How) -> OpenOptions {
    OpenOptions {
        name: stem(&object.name),
        ops: how.ops.map(str::to_string),
        nr_cpus: how.nr_cpus,
        vmlinux: Rc::new(Vmlinux::build(&has_kfunc)),
    }
}

/// The scheduler, its programs in `vm`, and what was loaded; with `checked` only if the verifier accepts them. `announce` what was left out.
pub fn load(
    object: &Object,
    how: &How,
    checked: bool,
    vm: &Rc<Vm>,
    announce: bool,
) -> Result<(Rc<dyn Ops>, Rc<Loaded>), Failure> {
    let opened = prepare(object, how)?;
    let kernel = opened.kernel();
    if checked {
        kernel.verify_programs();
    }
    let ksyms = ksyms::fill(&opened, vm, how.machine, how.nr_cpus)?;
    let loaded = opened.load(vm.clone(), ksyms);
    refusals(object, kernel.verdicts())?;
    let loaded = loaded.map_err(|e| failure(object, e))?;
    let missing = kernel.missing_helpers();
    if let Some((prog, helper)) = missing.first() {
        let error = anyhow!(
            "{}: program {prog} calls {}(), which Linux has and Sextant has not: it can be checked, but not run",
            object.name,
            helper.name()
        );
        return Err(Failure { status: Status::No, error });
    }
    for warning in loaded.warnings.iter().filter(|_| announce) {
        tracing::warn!("{}: {warning}", object.name);
    }
    let loaded = Rc::new(loaded);
    let ops = bind(&loaded).with_lockup(how.lockup);
    let ops = match how.setup {
        Some(setup) => ops.with_setup(setup.fill(&loaded, object)?),
        None => ops,
    };
    Ok((Rc::new(ops), loaded))
}

/// Refuses what the verifier refuses, in the words of `sextant check`.
fn refusals(object: &Object, mut verdicts: Vec<Verdict>) -> Result<(), Failure> {
    let refused = verdicts.iter().filter(|v| v.result.is_err()).count();
    if refused == 0 {
        return Ok(());
    }
    let (name, all) = (&object.name, verdicts.len());
    inline::fill(&object.content, &mut verdicts);
    let why = check::messages(&verdicts, color(std::io::stderr()), width(std::io::stderr()));
    let error = anyhow!(
        "{name}: the verifier refuses {refused} of {all} programs\n{why}\n`--unchecked` runs it all the same: the vm stops every \
         access that goes wrong"
    );
    Err(Failure { status: Status::No, error })
}

fn bind(loaded: &Loaded) -> BpfOps {
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
    BpfOps::new(loaded.vm.clone(), params, &progs)
        .with_trace_progs(loaded.trace_progs())
        .with_objects(loaded.objects)
}

/// Why an object was not opened or loaded, with the exit status.
pub fn failure(object: &Object, error: LoadError) -> Failure {
    let status = if error.is_refusal() { Status::No } else { Status::Usage };
    Failure { status, error: anyhow!("{}: {error}", object.name) }
}

/// What libbpf names data maps after: the file's name up to its first dot.
fn stem(name: &str) -> String {
    let file = Path::new(name).file_name().map_or(name.into(), |f| f.to_string_lossy());
    file.split('.').find(|part| !part.is_empty()).unwrap_or("object").to_string()
}
