//! Objects that are whole but cannot be run: each refusal names the thing and what to try.

mod support;

use support::{bpf_object, sextant};

fn refused(name: &str, more: &[&str], status: i32, words: &[&str]) {
    let Some(object) = bpf_object(name) else { return };
    let run = sextant(&[&["sim", &*object], more].concat()).expect(status);
    assert_eq!(run.stdout, "", "no result");
    for word in words {
        assert!(run.stderr.contains(word), "\"{word}\" not in:\n{}", run.stderr);
    }
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

#[test]
fn no_scheduler_in_the_object() {
    refused("no_ops", &[], 2, &["no struct_ops", "not a sched_ext scheduler", ".struct_ops.link"]);
}

#[test]
fn a_kfunc_that_no_kernel_has() {
    refused("missing_kfunc", &[], 2, &["scx_bpf_teleport", "__weak"]);
}

/// Refused at load, in the kernel's words as libbpf completes them.
#[test]
fn a_task_struct_field_that_is_not_modelled() {
    refused(
        "missing_field",
        &[],
        2,
        &["field_enqueue", "task_struct___other.warp_factor", "bpf_core_field_exists()"],
    );
}

#[test]
fn two_schedulers_need_a_choice() {
    refused("two", &[], 2, &["first_ops", "second_ops", "--ops"]);
    refused("two", &["--ops", "third_ops"], 2, &["third_ops", "first_ops"]);
    let Some(object) = bpf_object("two") else { return };
    sextant(&["sim", &object, "--ops", "second_ops", "--duration", "10ms"]).expect(0);
}

#[test]
fn set_of_what_is_not_there_or_does_not_fit() {
    for (set, words) in [
        ("numbr=1", &["numbr", "did you mean", "number"][..]),
        ("number=yes", &["number", "u32"]),
        ("number=4294967296", &["number"]),
        ("flag=7", &["flag"]),
        ("colour=BLUE", &["colour", "BLUE"]),
        ("point.z=1", &["point", "z"]),
        ("arr[4]=1", &["arr"]),
        ("word=\"far too long for it\"", &["word"]),
        ("map:tabel.max_entries=3", &["tabel", "table"]),
        ("ops.flags=SCX_OPS_SWITCH_PARTAL", &["SCX_OPS_SWITCH_PARTAL"]),
        ("ops.no_such_field=1", &["no_such_field"]),
    ] {
        refused("globals", &["--set", set], 2, words);
    }
}
