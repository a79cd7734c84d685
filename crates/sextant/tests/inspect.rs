//! `sextant inspect` on our own objects, and on the kernel's where there are any.

mod support;

use support::{kernel_object, sextant};

fn inspect(args: &[&str]) -> String {
    sextant(&[&["inspect"], args].concat()).expect(0).stdout
}

#[test]
fn what_simple_is_and_needs() {
    let text = inspect(&["simple"]);
    for line in [
        "OPS simple_ops: struct sched_ext_ops",
        "  name        \"simple\"",
        "  .select_cpu        simple_select_cpu",
        "  scx_bpf_select_cpu_dfl                   yes",
        "  .rodata   const volatile bool switch_partial = false",
        "Sextant has everything that this object cannot do without.",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is missing:\n{text}");
    }
}

#[test]
fn disassembly_of_one_and_of_all() {
    let all = inspect(&["simple", "--disasm"]);
    for function in ["simple_select_cpu", "simple_enqueue", "simple_init", "simple_exit"] {
        assert!(all.contains(&format!("\n{function} (")) || all.starts_with(function), "{function}");
    }
    let one = inspect(&["simple", "--disasm", "simple_select_cpu"]);
    assert!(all.contains(&one), "one function reads the same alone");
    assert!(one.contains("#scx_bpf_select_cpu_dfl\n") && one.ends_with("exit\n"), "{one}");

    let run = sextant(&["inspect", "simple", "--disasm", "simple_enque"]).expect(2);
    assert!(run.stderr.contains("did you mean \"simple_enqueue\"?"), "{}", run.stderr);
}

#[test]
fn several_ops_maps_are_named() {
    let Some(object) = kernel_object("selftests", "hotplug") else { return };
    let run = sextant(&["inspect", &object]).expect(2);
    for name in ["hotplug_cb_ops", "hotplug_nocb_ops", "--ops"] {
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
    let text = inspect(&[&object, "--ops", "hotplug_cb_ops"]);
    assert!(text.contains("OPS hotplug_nocb_ops: struct sched_ext_ops (not chosen, see --ops)"), "{text}");
}

#[test]
fn what_is_missing_is_said() {
    let Some(object) = kernel_object("examples", "scx_flatcg") else { return };
    let text = inspect(&[&object]);
    assert!(text.contains("  bpf_rbtree_first                         "), "{text}");
    assert!(text.contains(" __SCX_* constants, filled with the values of Linux 7.3"), "{text}");
}
