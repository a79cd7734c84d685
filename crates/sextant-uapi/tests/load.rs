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
    let config =
        VmConfig { nr_cpus: 8, sanitize: false, task_size: TaskStruct::SIZE, task_writable: Vec::new() };
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

#[test]
fn every_kernel_object_loads_or_says_why() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples");
    let mut seen = 0;
    for dir in ["examples", "selftests"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else { continue };
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "o")) {
            seen += 1;
            let bytes = std::fs::read(path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().replace(".bpf.o", "");
            let result = open(&bytes, &options(&name)).and_then(|o| o.load(vm(), Vec::new()));
            match result {
                Ok(loaded) => println!("{name}: {} ops, {:?}", loaded.ops.members.len(), loaded.warnings),
                Err(e) => println!("{name}: REFUSED {e}"),
            }
        }
    }
    if seen == 0 {
        println!("SKIPPED every_kernel_object_loads_or_says_why: no objects (cargo xtask kernel-examples)");
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
