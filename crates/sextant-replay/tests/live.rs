//! The second way: the schedulers' own objects run in our vm under the recordings' inputs. Each recording has the number of differences that
//! docs/parity/kernel-replay.md explains, and no more.

use std::path::PathBuf;

use sextant_replay::object::has_object;
use sextant_replay::{Recording, Report, replay_live};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A recording and its scheduler's object; None, with a line that says so, where one is missing.
fn both(name: &str) -> Option<(Recording, Vec<u8>)> {
    let read = |path: PathBuf, hint: &str| {
        let bytes = std::fs::read(&path);
        bytes.map_err(|e| println!("SKIPPED {name}: cannot read {}: {e}{hint}", path.display())).ok()
    };
    let rec = read(root().join(format!("../shared/data/kernel-traces/{name}.csv.zst")), "")?;
    let rec = Recording::from_zstd(&rec).expect("a recording");
    let object = root().join(format!("target/kernel-examples/examples/{}.bpf.o", rec.sched));
    let object = read(object, "; run `cargo xtask kernel-examples`")?;
    Some((rec, object))
}

fn run(rec: Recording, object: &[u8]) -> Report {
    replay_live(rec, object).expect("the object runs")
}

/// Replays a recording, of which so many decisions may differ.
fn matches(name: &str, explained: u64) {
    let Some((rec, object)) = both(name) else { return };
    let kfuncs = rec.events.iter().filter(|e| e.name.starts_with("k_") && !e.name.ends_with("_ret")).count();
    let report = run(rec, &object);
    println!("{}", report.headline(name));
    let first = report.divergences.first().map(|d| d.text.clone()).unwrap_or_default();
    let differences = report.n() - report.m();
    assert!(
        report.passed() && differences <= explained,
        "{differences} differ\n{}\n{first}",
        report.breakdown()
    );
    // Every recorded call was looked at.
    let calls = report.kinds.iter().filter(|(kind, _)| kind.starts_with("k_"));
    let compared: u64 = calls.map(|(_, c)| c.matched + c.missed).sum();
    assert_eq!(compared, kfuncs as u64, "calls of {name}");
}

macro_rules! recordings {
    ($($test:ident $name:literal $explained:literal),* $(,)?) => { $(#[test] fn $test() { matches($name, $explained); })* };
}

recordings! {
    central_1 "central-1" 0,
    central_2 "central-2" 7,
    central_4 "central-4" 57,
    cpu0_1 "cpu0-1" 0,
    cpu0_2 "cpu0-2" 0,
    fifo_1 "fifo-1" 0,
    fifo_2 "fifo-2" 0,
    fifo_4 "fifo-4" 19,
    flatcg_1 "flatcg-1" 0,
    flatcg_2 "flatcg-2" 13,
    simple_1 "simple-1" 0,
    simple_2 "simple-2" 0,
    simple_4 "simple-4" 35,
}

/// Other calls than the program's, in the recording or by the program, are noticed.
#[test]
fn what_differs_is_noticed() {
    let Some((rec, object)) = both("simple-1") else { return };
    for (event, key) in [("k_ins", "slice"), ("k_setvt", "vtime"), ("k_m2l_ret", "ret")] {
        let mut rec = rec.clone();
        let mut changed = 0;
        for e in rec.events.iter_mut().filter(|e| e.name == event) {
            for (_, value) in e.args.iter_mut().filter(|(k, _)| k == key) {
                *value = (value.parse::<u64>().unwrap_or(0) ^ 1).to_string();
                changed += 1;
            }
        }
        let report = run(rec, &object);
        let differ = report.n() - report.m();
        assert!(changed > 100 && differ >= changed, "{event} {key}: {differ} of {changed}");
    }
    // The program decides in order of arrival, the recorded one by vtime.
    let mut fifo = rec;
    fifo.opt = "-f".into();
    let report = run(fifo, &object);
    assert!(
        report.kinds["k_ins"].missed > 100 && report.kinds["k_ins"].extra > 100,
        "{}",
        report.breakdown()
    );
}

#[test]
fn a_recording_that_starts_and_ends_anywhere_is_no_panic() {
    let Some((rec, object)) = both("central-2") else { return };
    for (from, to) in [(0, 300), (500, 900), (900, 4000), (3001, 9000)] {
        let mut part = rec.clone();
        part.events = part.events[from..to].to_vec();
        // Without its beginning a program may well find nothing as it left it.
        if let Ok(report) = replay_live(part, &object) {
            assert!(report.n() > 0);
        }
    }
}

#[test]
fn who_cannot_run_is_told_so() {
    assert!(has_object("scx_flatcg") && !has_object("trc_all"));
    let rec = |sched: &str| {
        let text = format!("# kernel 7.3.4 cpus 1 sched {sched} opt none\n0,0,1,en_begin\n");
        Recording::from_csv(&text).expect("a recording")
    };
    let error = replay_live(rec("trc_misc"), b"").expect_err("there is no object").to_string();
    assert!(error.contains("trc_misc") && error.contains("scx_simple"), "{error}");
    let error = replay_live(rec("scx_simple"), b"no ELF").expect_err("not an object").to_string();
    assert!(error.contains("scx_simple") && error.contains("ELF"), "{error}");
}
