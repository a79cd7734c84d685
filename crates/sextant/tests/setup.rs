//! `--setup`: objects whose own programs are absent.

mod support;

use std::path::Path;

use support::{bpf_object, kernel_object, sextant, sim_json};

/// A setup file with this content.
fn setup(name: &str, content: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    std::fs::write(&path, content).expect("the scratch directory is writable");
    path.display().to_string()
}

/// The built-in setups make the kernel's examples run on machines of several sizes.
#[test]
fn the_kernels_examples() {
    for name in ["central", "flatcg", "pair"] {
        let Some(object) = kernel_object("examples", &format!("scx_{name}")) else { return };
        for cpus in ["2", "16"] {
            let doc = sim_json(&[&object, "mixed", "--setup", name, "--cpus", cpus, "--duration", "1s"]);
            assert_eq!(doc["exit"]["kind"], "UNREG", "{name} on {cpus}: {:#}", doc["exit"]);
        }
    }
}

const WHOLE: &str = "[[maps.confs.entries]]\nkey = 3\nvalue = { weight = 300, slice = [1, '@cpus'], on = true }\n\
    [[maps.counts.entries]]\nkey = 1\nvalue = 42\n\
    [maps.queues]\ninner = 3\nentries = [{ at = 2, value = 11 }, { at = 2, value = 12 }]\n\
    [[run]]\nprog = 'with_struct'\nctx = { times = 3, add = 5 }\n\
    [[run]]\nprog = 'with_words'\nargs = [9, 4]\nreturns = 7\n";

#[test]
fn entries_inner_maps_and_programs() {
    let Some(object) = bpf_object("setup") else { return };
    let file = setup("whole", WHOLE);
    let doc = sim_json(&[&object, "mixed", "--setup", &file, "--duration", "50ms"]);
    assert_eq!(doc["exit"]["kind"], "UNREG", "{:#}", doc["exit"]);
    // Without it ops.init says what is missing: the test can fail.
    let run = sextant(&["sim", &object, "mixed", "--duration", "50ms", "--json"]).expect(3);
    assert_eq!(run.json()["exit"]["msg"], "setup.bpf.c:89: part 1 of the setup is not there (sum 0)");
}

/// Schedulers that come by a swap have setups of their own.
#[test]
fn a_swap_with_setups() {
    let objects = ["central", "pair", "flatcg"].map(|name| kernel_object("examples", &format!("scx_{name}")));
    let [Some(central), Some(pair), Some(flatcg)] = objects else { return };
    let swaps = format!("{pair}@200ms,{flatcg}@400ms,{central}@600ms");
    let of = |object: &str, name: &str| format!("{object}:{name}");
    let (pair, flatcg, again) = (of(&pair, "pair"), of(&flatcg, "flatcg"), of(&central, "central"));
    let setups = ["--setup", "central", "--setup", &pair, "--setup", &flatcg, "--setup", &again];
    let run = [&[&central, "mixed", "--swap", &swaps, "--duration", "800ms"], &setups[..]].concat();
    let doc = sim_json(&run);
    assert_eq!(doc["exit"]["kind"], "UNREG", "{:#}", doc["exit"]);
    assert_eq!(doc["swaps"].as_array().map(Vec::len), Some(3), "{:#}", doc["swaps"]);
}

/// The verifier sees the constants that a setup sets.
#[test]
fn check_takes_one_too() {
    let Some(object) = kernel_object("examples", "scx_pair") else { return };
    sextant(&["check", &object, "--setup", "pair"]).expect(0);
}

#[test]
fn what_does_not_fit_the_object_is_said_with_file_and_line() {
    let Some(object) = bpf_object("setup") else { return };
    let cases = [
        ("[globals]\nsun = 1\n", ":2: ", "no global variable 'sun'; did you mean sum?"),
        ("[globals]\nsum = -1\n", ":2: ", "'sum' is"),
        ("[ops]\ntimeout = 1\n", ":2: ", "timeout_ms"),
        ("[maps.conf]\nmax_entries = 1\n", ":2: ", "no map 'conf'; did you mean confs?"),
        ("[[maps.conf.entries]]\nvalue = 1\n", ":1: ", "no map 'conf'; did you mean confs?"),
        ("\n[[maps.confs.entries]]\nkey = 1\nvalue = { weigh = 1 }\n", ":2: ", "weight"),
        ("[[maps.confs.entries]]\nkey = 1\nvalue = 1\n", ":1: ", "set its fields one by one"),
        ("[[maps.confs.entries]]\nvalue = { on = true }\n", ":1: ", "needs a key"),
        ("[[maps.counts.entries]]\nkey = 2\nvalue = 1\n", ":1: ", "the map does not take it (-E2BIG"),
        ("[[maps.counts.entries]]\nkey = 1\nvalue = -1\n", ":1: ", "outside"),
        ("[[maps.queues.entries]]\nat = 0\nvalue = 1\n", ":1: ", "no inner map there (-ENOENT"),
        (
            "[[run]]\nprog = 'with_word'\n",
            ":1: ",
            "no syscall program 'with_word'; did you mean \"with_words\"?",
        ),
        ("[[run]]\nprog = 'with_words'\nctx = { a = 1 }\n", ":1: ", "points to no structure"),
        ("[[run]]\nprog = 'with_struct'\nctx = { time = 1 }\n", ":1: ", "times"),
    ];
    for (i, (text, line, what)) in cases.into_iter().enumerate() {
        let file = setup(&format!("bad{i}"), text);
        let run = sextant(&["sim", &object, "--setup", &file, "--duration", "10ms"]).expect(2);
        assert!(run.stderr.contains(&format!("{file}{line}")), "{text:?}: {}", run.stderr);
        assert!(run.stderr.contains(what), "{text:?}: {}", run.stderr);
    }
    let refused = setup("refused", "[[run]]\nprog = 'with_struct'\nctx = { times = 0 }\n");
    let run = sextant(&["sim", &object, "--setup", &refused]).expect(1);
    assert!(run.stderr.contains("program 'with_struct' returned -22, not 0"), "{}", run.stderr);
    let run = sextant(&["sim", "fair", "--setup", "central"]).expect(2);
    assert!(run.stderr.contains("fair is no object"), "{}", run.stderr);
    let run = sextant(&["sim", "--setup", "central", "--setup", "pair"]).expect(2);
    assert!(
        run.stderr.contains("--setup central and pair: a scheduler is set up by one file"),
        "{}",
        run.stderr
    );
    let run = sextant(&["sim", "--setup", "centrall"]).expect(2);
    assert!(run.stderr.contains("no setup \"centrall\""), "{}", run.stderr);
}

const STEPS: &str = "[arrays]\nfirst = [7, '@cpus']\n\
    [programs.on_tick]\ntarget = 'sched_tick'\n[programs.never]\nload = false\n\
    [[do]]\nfor = 'node'\nsteps = [\n\
    { prog = 'give_token', ctx = { cpu = '@i' }, save = { token = 'token' } },\n\
    { prog = 'take_token', ctx = { token = '$token', twice = '$token * 2' } },\n]\n\
    [[run]]\nprog = 'pair'\nfor = 'sibling'\nargs = ['@i', '@j']\n\
    [[run]]\nprog = 'late'\nargs = [0]\nat = '10ms'\non = 3\n\
    [[write]]\nat = '20ms'\nglobal = 'level'\nvalue = '@llcs + 5'\n";

#[test]
fn steps_before_and_after_the_attach() {
    let Some(object) = bpf_object("steps") else { return };
    let file = setup("steps", STEPS);
    let machine = "nodes=2,cores=2,threads=2";
    let args =
        ["sim", &object, "mixed", "--setup", &file, "--machine", machine, "--duration", "200ms", "--json"];
    let run = sextant(&args).expect(0);
    assert_eq!(run.json()["exit"]["kind"], "UNREG", "{:#}", run.json()["exit"]);
    // Tokens 1000 and 1001; the pairs 0-1 to 6-7, both ways.
    for line in ["seen 2001 pairs 8 sum 2828", "first 7 8 0", "late on 3 level 7", "ticks 1"] {
        assert!(run.stderr.contains(line), "no {line:?} in {}", run.stderr);
    }
}

#[test]
fn steps_that_fail_are_told_with_their_line() {
    let Some(object) = bpf_object("steps") else { return };
    let cases = [
        ("[programs.on_tik]\nload = true\n", "1: ", "the object has no program 'on_tik'"),
        ("\n[programs.on_tick]\ntarget = 'no_such'\n", "2: ", "no_such"),
        ("[[run]]\nprog = 'late_'\n", "1: ", "no syscall program 'late_'; did you mean \"late\"?"),
        ("[[run]]\nprog = 'give_token'\nctx = { cpu = 1 }\nsave = { t = 'tokn' }\n", "1: ", "tokn"),
        ("[[run]]\nprog = 'take_token'\nctx = { token = 1, twice = 3 }\n", "1: ", "returned -22, not 0"),
        ("[[run]]\nprog = 'pair'\nargs = ['$other']\n", "1: ", "no step before this one has saved it"),
        ("[[write]]\nglobal = 'levl'\nvalue = 1\n", "1: ", "levl"),
        ("[[write]]\narena = 4096\nvalue = [1]\n", "1: ", "the object has no arena"),
    ];
    for (i, (text, line, what)) in cases.into_iter().enumerate() {
        let file = setup(&format!("wrong-{i}"), text);
        let run = sextant(&["sim", &object, "mixed", "--setup", &file, "--duration", "50ms"]);
        assert_ne!(run.status, 0, "{text}");
        let place = format!("wrong-{i}.toml:{line}");
        assert!(run.stderr.contains(&place) && run.stderr.contains(what), "{text:?}: {}", run.stderr);
    }
    let late =
        setup("wrong-late", "[[run]]\nat = '10ms'\nprog = 'take_token'\nctx = { token = 1, twice = 3 }\n");
    let run = sextant(&["sim", &object, "mixed", "--setup", &late, "--duration", "50ms", "--json"]).expect(3);
    let msg = run.json()["exit"]["msg"].to_string();
    assert!(
        msg.contains("wrong-late.toml:1") && msg.contains("program 'take_token' returned -22, not 0"),
        "{msg}"
    );
}

/// A program that waits for somebody to say what it attaches to does not stop the others.
#[test]
fn a_program_without_a_target_is_left_out() {
    let Some(object) = bpf_object("steps") else { return };
    let run = sextant(&["sim", &object, "mixed", "--duration", "50ms"]).expect(0);
    assert!(run.stderr.contains("program 'on_tick' (fentry) is left out"), "{}", run.stderr);
}
