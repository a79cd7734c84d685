//! `sextant check` on the real program: what is accepted, what is refused, and with which words.

mod support;

use support::{bpf_object, root, sextant};

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
        "try: test what bpf_map_lookup_elem() returned",
    ] {
        assert!(run.stdout.contains(words), "\"{words}\" not in:\n{}", run.stdout);
    }
    let doc = sextant(&["check", &object, "simple", "--json"]).expect(1).json();
    assert_eq!(doc["format"], 1);
    let refused = &doc["objects"][0]["programs"][0];
    assert_eq!(refused["code"], "V0005");
    assert_eq!(refused["at"]["source"]["text"], "*value += 1;");
    assert!(refused["at"]["source"]["column"].as_u64() > Some(0), "{refused:#}");
    assert_eq!(refused["state"][0]["meaning"], "is a value of map \"empty\" (8 bytes), or NULL");
    assert_eq!(refused["slice"].as_array().map(Vec::len), Some(2), "{refused:#}");
    for list in ["path", "notes", "functions"] {
        assert!(refused[list].is_array(), "{list}: {refused:#}");
    }
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

/// A field that Sextant lacks is told by its name, the status is 2, and the programs after it have their verdicts.
#[test]
fn a_missing_field_does_not_hide_the_programs_after_it() {
    let Some(object) = bpf_object("missing_then_fine") else { return };
    let run = sextant(&["check", &object]).expect(2);
    assert!(run.stdout.contains("warp_factor"), "{}", run.stdout);
    for (prog, verdict) in
        [("odd_running", "refused   V0016"), ("odd_enqueue", "accepted"), ("odd_dispatch", "refused   V0005")]
    {
        let told = run.stdout.lines().any(|line| line.contains(prog) && line.contains(verdict));
        assert!(told, "{prog}: {verdict}\n{}", run.stdout);
    }
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

/// Those of the kernel's examples and selftests that are not accepted, with the exit status and what is said. Debian's 7.3.4 judges the same
/// (`../shared/reference/kernel-lab.md`), but for the last.
const NOT_ACCEPTED: &[(&str, i32, &[&str])] = &[
    ("maybe_null_fail_dsp", 1, &["V0005", "trusted_ptr_or_null_"]),
    ("maybe_null_fail_yld", 1, &["V0004", "trusted_ptr_or_null_"]),
    ("scx_qmap", 1, &["V0006", "R7 invalid mem access 'scalar'", "clang 19 leaves it out"]),
    ("non_scx_kfunc_deny", 2, &["tcp_congestion_ops, which is no scheduler"]),
];

#[test]
fn the_kernels_objects_are_judged_as_the_kernel_does() {
    let mut seen = Vec::new();
    for dir in ["examples", "selftests"] {
        let Ok(files) = std::fs::read_dir(root().join("target/kernel-examples").join(dir)) else {
            println!(
                "SKIPPED the_kernels_objects_are_judged_as_the_kernel_does: run `cargo xtask kernel-examples` first"
            );
            return;
        };
        for path in files.map(|file| file.expect("a file").path()) {
            let object = path.display().to_string();
            let Some(name) = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".bpf.o")) else {
                continue;
            };
            let setup: &[&str] = if name == "scx_pair" { &["--setup", "pair"] } else { &[] };
            let run = sextant(&[&["check", &object], setup].concat());
            match NOT_ACCEPTED.iter().find(|(other, ..)| *other == name) {
                Some((name, status, words)) => {
                    let run = run.expect(*status);
                    for word in *words {
                        assert!(run.stdout.contains(word), "{name}: \"{word}\" not in:\n{}", run.stdout);
                    }
                    seen.push(*name);
                }
                None => assert_eq!(run.status, 0, "{name}:\n{}{}", run.stdout, run.stderr),
            }
        }
    }
    assert_eq!(seen.len(), NOT_ACCEPTED.len(), "{seen:?}");
}

/// docs/parity/verifier.md has a row with the code for each of them.
#[test]
fn the_page_tells_of_the_kernels_objects_that_are_not_accepted() {
    let page = std::fs::read_to_string(root().join("docs/parity/verifier.md")).expect("a page");
    let (_, part) =
        page.split_once("## The kernel's own schedulers and selftests").expect("the page has that part");
    let part = part.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = part.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), NOT_ACCEPTED.len(), "{rows:?}");
    for (name, _, words) in NOT_ACCEPTED {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        let code = words.iter().find(|word| word.starts_with("V0"));
        assert!(code.is_none_or(|code| row.contains(&format!("| {code} |"))), "{row}");
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
