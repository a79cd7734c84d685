//! The BPF core around a scheduler: owned objects in a tree, an arena with globals, iterators, programs on bpf_scx_reg and sched_switch; compiled
//! against the header that `sextant header` prints.

mod support;

use std::process::Command;

use support::{header_object, sextant};

#[test]
fn objects_arenas_iterators_and_the_attach_hook() {
    let Some(object) = header_object("core") else { return };
    for more in [&[][..], &["--sanitize"]] {
        let run =
            sextant(&[&["sim", &object, "mixed", "--duration", "50ms", "--json"], more].concat()).expect(0);
        assert_eq!(run.json()["exit"]["kind"], "UNREG", "{:#}", run.json()["exit"]);
        assert!(!run.stderr.contains("odd"), "{}", run.stderr);
        assert!(run.stderr.contains("sum 44850"), "{}", run.stderr);
        // The arena's pages are freed when the sum is known: reading them again is reported, and reads 0.
        assert!(run.stderr.contains("ERROR: Arena READ access at unmapped address 0x1"), "{}", run.stderr);
    }
}

/// A `.bss` of 165 MB costs what is touched. The peak is the whole program's, libbpf and the simulator included.
#[test]
fn a_large_bss_costs_what_is_touched() {
    let Some(object) = header_object("large_bss") else { return };
    let program = env!("CARGO_BIN_EXE_sextant");
    let mut child = Command::new(program)
        .args(["sim", &object, "mixed", "--duration", "100ms", "--cpus", "2", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut peak = 0;
    let status = format!("/proc/{}/status", child.id());
    while child.try_wait().expect("a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib =
            text.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
        peak = peak.max(kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let output = child.wait_with_output().expect("its output");
    let doc: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(doc["exit"]["kind"], "UNREG", "{:#}", doc["exit"]);
    assert!(peak > 1_000, "nothing was measured");
    assert!(peak < 20_000, "{peak} KiB at the peak");
}
