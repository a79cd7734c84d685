//! `sextant check` on the real program: what is accepted, what is refused, and with which words.

mod support;

use support::{bpf_object, kernel_object, sextant};

#[test]
fn our_schedulers_are_accepted() {
    let run = sextant(&["check", "simple", "vtime", "rr", "central"]).expect(0);
    assert!(run.stdout.contains("simple_select_cpu"), "whole names:\n{}", run.stdout);
    assert!(!run.stdout.contains("refused"), "{}", run.stdout);
}

/// The code, the kernel's words, and the way there.
#[test]
fn a_missing_null_test_is_explained() {
    let Some(object) = bpf_object("trap") else { return };
    let run = sextant(&["check", &object]).expect(1);
    for words in [
        "V0005",
        "R0 invalid mem access 'map_value_or_null'",
        "bpf_map_lookup_elem",
        "*value += 1;",
        "try: test it",
    ] {
        assert!(run.stdout.contains(words), "\"{words}\" not in:\n{}", run.stdout);
    }
    let doc = sextant(&["check", &object, "simple", "--json"]).expect(1).json();
    assert_eq!(doc["format"], 1);
    assert_eq!(doc["objects"][0]["programs"][0]["code"], "V0005");
    assert_eq!(doc["objects"][1]["programs"][0]["accepted"], true);
}

#[test]
fn an_endless_loop_is_found() {
    let Some(object) = bpf_object("endless") else { return };
    let run = sextant(&["check", &object]).expect(1);
    assert!(run.stdout.contains("error[V0031]: the loop comes back in the same state"), "{}", run.stdout);
}

#[test]
fn what_cannot_be_read_is_worse_than_what_is_refused() {
    let Some(object) = bpf_object("trap") else { return };
    sextant(&["check", &object, "/nonexistent.bpf.o"]).expect(2);
    sextant(&["check"]).expect(2);
}

/// All that an object with several ops tables holds, each table as if it were chosen.
#[test]
fn several_ops_tables_are_checked_one_by_one() {
    let Some(object) = bpf_object("two") else { return };
    let run = sextant(&["check", &object]).expect(0);
    for table in ["first_ops", "second_ops"] {
        assert!(run.stdout.contains(&format!("two.bpf.o --ops {table}\n")), "{}", run.stdout);
    }
    let one = sextant(&["check", &object, "--ops", "second_ops", "--json"]).expect(0).json();
    assert_eq!(one["objects"].as_array().map(Vec::len), Some(1));
    sextant(&["check", &object, "--ops", "third_ops"]).expect(2);
}

/// Debian's 7.3.4 accepts these (and runs them).
#[test]
fn the_kernels_examples_are_accepted() {
    for name in ["scx_simple", "scx_cpu0", "scx_central", "scx_flatcg", "scx_userland"] {
        let Some(object) = kernel_object("examples", name) else { return };
        sextant(&["check", &object]).expect(0);
    }
}

/// Made to be refused, as `maybe_null.c` of the kernel's selftests says.
#[test]
fn the_kernels_bad_examples_are_refused() {
    for name in ["maybe_null_fail_dsp", "maybe_null_fail_yld"] {
        let Some(object) = kernel_object("selftests", name) else { return };
        let run = sextant(&["check", &object]).expect(1);
        assert!(run.stdout.contains("trusted_ptr_or_null_"), "{}", run.stdout);
    }
}

#[test]
fn the_log_is_that_of_every_program_or_of_one() {
    let run = sextant(&["check", "simple", "--log=simple_init"]).expect(0);
    assert!(run.stdout.starts_with("simple_init:\n0: R1=ctx R10=fp0\n"), "{}", run.stdout);
    assert_eq!(run.stdout.matches("(limit 1000000)").count(), 1, "{}", run.stdout);
    let all = sextant(&["check", "simple", "--log", "--json"]).expect(0).json();
    let programs = all["objects"][0]["programs"].as_array().expect("programs");
    assert!(
        programs.iter().all(|p| p["log"].as_str().is_some_and(|log| log.contains("processed "))),
        "{all:#}"
    );
    assert!(sextant(&["check", "simple", "--json"]).json()["objects"][0]["programs"][0]["log"].is_null());
}
