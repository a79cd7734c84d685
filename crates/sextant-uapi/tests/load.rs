//! Complete loads through libbpf: every call answered, nothing run.

use std::path::PathBuf;
use std::rc::Rc;

use sextant_abi::tables::Op;
use sextant_abi::types::TaskStruct;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_uapi::{LoadError, OpenOptions, Opened, open};
use sextant_vm::{Vm, VmConfig};

fn options(name: &str) -> OpenOptions {
    OpenOptions { name: name.into(), ops: None, nr_cpus: 8, vmlinux: Rc::new(Vmlinux::build(&|_| true)) }
}

fn vm() -> Rc<Vm> {
    let config = VmConfig { nr_cpus: 8, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    Rc::new(Vm::new(config).unwrap())
}

fn kernel_object(test: &str, path: &str) -> Option<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples");
    let bytes = std::fs::read(root.join(path)).ok();
    if bytes.is_none() {
        println!("SKIPPED {test}: target/kernel-examples/{path} is missing (cargo xtask kernel-examples)");
    }
    bytes
}

fn opened(bytes: &[u8], name: &str) -> Opened {
    open(bytes, &options(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn scx_simple_loads_completely() {
    let Some(bytes) = kernel_object("scx_simple_loads_completely", "examples/scx_simple.bpf.o") else {
        return;
    };
    let mut o = opened(&bytes, "scx_simple");
    o.set("fifo_sched", "true").unwrap();
    assert_eq!(o.get("fifo_sched").unwrap(), "true");
    let loaded = o.load(vm(), Vec::new()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.ops.name, "simple");
    for op in
        [Op::SelectCpu, Op::Enqueue, Op::Dispatch, Op::Running, Op::Stopping, Op::Enable, Op::Init, Op::Exit]
    {
        assert!(loaded.ops.progs.contains_key(&op), "{op:?}");
    }
    assert_eq!(loaded.globals.get("fifo_sched").unwrap(), "true");
    assert!(loaded.maps.contains_key("stats"));
    assert!(loaded.kernel.calls().len() > 20);
}

/// The kernel's objects that do not load as they are, and what they are told.
const REFUSED: &[(&str, &str)] = &[
    ("hotplug", "choose one with --ops"),
    ("non_scx_kfunc_deny", "tcp_congestion_ops, which is no scheduler"),
    ("scx_pair", "--set map:pair_ctx.max_entries=N"),
];

#[test]
fn every_kernel_object_loads_or_says_why() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples");
    let mut seen = Vec::new();
    for dir in ["examples", "selftests"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".bpf.o") else { continue };
            let bytes = std::fs::read(&path).unwrap();
            let result = open(&bytes, &options(name)).and_then(|o| o.load(vm(), Vec::new()));
            let expected = REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, says)| *says);
            match (result, expected) {
                (Ok(_), None) => {}
                (Ok(_), Some(_)) => panic!("{name} loads now: take it off the list"),
                (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{name}: {error}"),
                (Err(error), None) => panic!("{name}: {error}"),
            }
            seen.push(name.to_owned());
        }
    }
    if seen.is_empty() {
        println!("SKIPPED every_kernel_object_loads_or_says_why: no objects (cargo xtask kernel-examples)");
    }
}

#[test]
fn central_is_set_up_as_its_own_loader_does() {
    let Some(bytes) = kernel_object("central_is_set_up_as_its_own_loader_does", "examples/scx_central.bpf.o")
    else {
        return;
    };
    let mut o = opened(&bytes, "scx_central");
    for (path, value) in [
        ("nr_cpu_ids", "@cpus"),
        ("slice_ns", "20000000"),
        ("central_cpu", "1"),
        ("cpu_gimme_task", "[0; @cpus]"),
        ("cpu_started_at", "[0; @cpus]"),
    ] {
        o.set(path, value).unwrap_or_else(|e| panic!("{e}"));
    }
    let loaded = o.load(vm(), Vec::new()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.globals.bytes("cpu_gimme_task").unwrap().len(), 8);
    assert_eq!(loaded.globals.get_u64("central_cpu").unwrap(), 1);
    // The exit dump's buffer is sized as UEI_SET_SIZE does.
    assert_eq!(loaded.globals.get_u64("uei_dump_len").unwrap(), 32768);
    assert_eq!(loaded.globals.bytes("uei_dump").unwrap().len(), 32768);
    let probe = loaded.other_progs.iter().find(|p| p.section == "fentry/bpf_scx_reg").unwrap();
    assert!(probe.id.is_some());
}

#[test]
fn our_own_schedulers_load() {
    for (name, bytes) in [
        ("simple", &include_bytes!("../../../schedulers/built/simple.bpf.o")[..]),
        ("vtime", include_bytes!("../../../schedulers/built/vtime.bpf.o")),
        ("central", include_bytes!("../../../schedulers/built/central.bpf.o")),
        ("rr", include_bytes!("../../../schedulers/built/rr.bpf.o")),
    ] {
        let loaded = opened(bytes, name).load(vm(), Vec::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(loaded.ops.name, name);
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        assert_eq!(loaded.ops.calls_switch_all, name == "simple", "{name}");
        // Read-only data is frozen and the kernel's values are in.
        assert!(loaded.kernel.calls().iter().all(|&(_, answer)| answer > -4096));
    }
}

#[test]
fn a_second_load_in_the_process_is_like_the_first() {
    let Some(bytes) =
        kernel_object("a_second_load_in_the_process_is_like_the_first", "examples/scx_simple.bpf.o")
    else {
        return;
    };
    let load = || {
        let loaded = opened(&bytes, "scx_simple").load(vm(), Vec::new()).unwrap_or_else(|e| panic!("{e}"));
        let addrs: Vec<_> = loaded.maps.values().map(|&m| loaded.vm.map_addr(m)).collect();
        (loaded.ops.clone(), loaded.maps.clone(), addrs)
    };
    assert_eq!(load(), load());
}

#[test]
fn an_unknown_ops_name_lists_what_there_is() {
    let Some(bytes) = kernel_object("an_unknown_ops_name_lists_what_there_is", "examples/scx_simple.bpf.o")
    else {
        return;
    };
    let options = OpenOptions { ops: Some("nope".into()), ..options("scx_simple") };
    let Err(error) = open(&bytes, &options) else { panic!("opened") };
    assert!(matches!(&error, LoadError::UnknownOps { have, .. } if have == &["simple_ops"]), "{error}");
}

#[test]
fn each_thread_has_its_own_kernel() {
    let simple = include_bytes!("../../../schedulers/built/simple.bpf.o");
    let load = |nr_cpus: u32| {
        let options = OpenOptions { nr_cpus, ..options("simple") };
        let mut o = open(simple, &options).unwrap_or_else(|e| panic!("{e}"));
        o.set("nr_local", "@cpus").unwrap();
        let loaded = o.load(vm(), Vec::new()).unwrap_or_else(|e| panic!("{e}"));
        (loaded.globals.get_u64("nr_local").unwrap(), loaded.ops.progs.clone(), loaded.maps.clone())
    };
    let threads: Vec<_> = (1..5u32)
        .map(|nr_cpus| std::thread::spawn(move || (0..5).map(|_| load(nr_cpus)).collect::<Vec<_>>()))
        .collect();
    let results: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    for (nr_cpus, loads) in (1..).zip(&results) {
        assert!(loads.iter().all(|(seen, ..)| *seen == nr_cpus), "{loads:?}");
        assert!(loads.iter().all(|(_, progs, maps)| (progs, maps) == (&results[0][0].1, &results[0][0].2)));
    }
}
