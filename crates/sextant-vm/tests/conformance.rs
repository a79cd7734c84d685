//! All cases of the public bpf_conformance suite: interpreted, with `--sanitize`, and compiled.
//!
//! `call N` of a case calls a helper of that suite's runner; here it becomes a kfunc of the test host. Cases that
//! must fail here are in conformance-exceptions.txt with the rule, and must really fail.

mod host;

use std::collections::BTreeMap;
use std::path::Path;

use host::TestHost;
use sextant_abi::{ProgramImage, Reloc};
use sextant_bpf::conformance::{Case, Expect, parse};
use sextant_vm::map::BPF_MAP_TYPE_ARRAY;
use sextant_vm::{Engine, MapSpec, Vm, VmConfig};

/// That many at least are there.
const CASES: usize = 251;

/// The helpers of the suite's runner, as uBPF's tests define them.
fn runner_helper(vm: &Vm, id: u32, args: [u64; 5]) -> Result<u64, sextant_vm::Trap> {
    let [a, b, c, d, e] = args;
    match id {
        // gather_bytes
        0 => Ok((a & 0xff) << 32 | (b & 0xff) << 24 | (c & 0xff) << 16 | (d & 0xff) << 8 | (e & 0xff)),
        // memfrob
        1 => {
            let region = vm.region();
            for at in (0..b).map(|i| a + i) {
                let byte = region.bpf_load(at, 1).and_then(|byte| region.bpf_store(at, 1, byte ^ 42));
                byte.map_err(|fault| sextant_vm::Trap::kfunc(fault.to_string()))?;
            }
            Ok(0)
        }
        // no_op
        2 => Ok(0),
        // sqrti
        3 => Ok(a.isqrt()),
        // strcmp_ext
        4 => {
            let text = |at| vm.region().read_cstr(at, 4096).unwrap_or_default();
            Ok(text(a).cmp(&text(b)) as i64 as u64)
        }
        // unwind gives back its argument
        5 => Ok(a),
        _ => Err(sextant_vm::Trap::kfunc(format!("runner helper {id}"))),
    }
}

/// Helper calls become kfunc calls.
fn to_image(name: &str, case: &Case) -> ProgramImage {
    let is_helper_call = |i: &sextant_abi::Insn| i.code == 0x85 && i.src == 0;
    let relocs = case.insns.iter().enumerate().filter(|(_, i)| is_helper_call(i));
    ProgramImage {
        name: name.to_owned(),
        insns: case.insns.clone(),
        relocs: relocs.map(|(at, i)| (at as u32, Reloc::Kfunc(i.imm as u32))).collect(),
        ..ProgramImage::default()
    }
}

/// The address and length of the case's memory.
fn memory(vm: &Vm, case: &Case) -> (u64, u64) {
    let Some(mem) = case.mem.as_ref().filter(|m| !m.is_empty()) else { return (0, 0) };
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: mem.len() as u32,
        max_entries: 1,
        ..MapSpec::default()
    };
    let id = vm.map_create(&spec).expect("a small array");
    vm.map_update(id, &[0; 4], mem, 0).expect("its only element");
    (vm.map_value_addr(id, 0).expect("its first byte"), mem.len() as u64)
}

/// Whether the case holds, and what happened.
fn run(name: &str, text: &str, engine: Engine, sanitize: bool) -> Result<(), String> {
    let case = parse(text).map_err(|e| format!("does not parse: {e}"))?;
    let vm = Vm::new(VmConfig { nr_cpus: 1, engine, sanitize, ..VmConfig::default() })
        .map_err(|e| e.to_string())?;
    let (addr, len) = memory(&vm, &case);
    let prog = vm.prog_add(to_image(name, &case));
    let mut host = TestHost { kfunc: Some(Box::new(runner_helper)), ..TestHost::default() };
    let result = vm.call_function(prog, 0, [addr, len, 0, 0, 0], &mut host);
    match (case.expect, result) {
        (Expect::Result(want), Ok(run)) if want == run.r0 => Ok(()),
        (Expect::Result(want), Ok(run)) => Err(format!("r0 is {:#x}, not {want:#x}", run.r0)),
        (Expect::Result(_), Err(trap)) => Err(trap.to_string()),
        (Expect::Error(_), Err(_)) => Ok(()),
        (Expect::Error(text), Ok(run)) => Err(format!("returned {:#x}, must fail: {text}", run.r0)),
    }
}

/// Case → rule.
fn exceptions() -> BTreeMap<String, String> {
    let lines = include_str!("conformance-exceptions.txt").lines();
    let entries = lines.filter(|l| !l.is_empty() && !l.starts_with('#'));
    entries.map(|l| l.split_once(char::is_whitespace).expect("case and rule")).map(own).collect()
}

fn own((case, rule): (&str, &str)) -> (String, String) {
    (case.to_owned(), rule.trim().to_owned())
}

#[test]
fn every_case_gives_its_result() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/bpf_conformance");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!("SKIPPED conformance: ../shared/data/bpf_conformance is not there");
        return;
    };
    let mut files: Vec<_> = entries.map(|e| e.expect("a directory entry").path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "data"));
    files.sort();
    assert!(files.len() >= CASES, "{} cases", files.len());
    let exceptions = exceptions();
    let mut wrong = Vec::new();
    let mut excepted = 0;
    for path in &files {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a readable case");
        let exception = exceptions.get(&name);
        excepted += usize::from(exception.is_some());
        for (engine, sanitize) in
            [(Engine::Interpreter, false), (Engine::Interpreter, true), (Engine::Jit, false)]
        {
            match (run(&name, &text, engine, sanitize), exception) {
                (Ok(()), None) | (Err(_), Some(_)) => {}
                (Ok(()), Some(rule)) => {
                    wrong.push(format!("{name} ({engine:?}, sanitize {sanitize}) passes in spite of: {rule}"))
                }
                (Err(why), None) => wrong.push(format!("{name} ({engine:?}, sanitize {sanitize}): {why}")),
            }
        }
    }
    assert_eq!(excepted, exceptions.len(), "an exception names no case");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
