//! The recordings of the real kernel. 99% is what counts as a match, but a bug of the class can hide below 1%: so each recording
//! has the number of differences that docs/parity/kernel-replay.md explains, and no more. And the replayer itself: it must
//! notice when something differs.

use std::path::PathBuf;

use sextant_replay::{Recording, replay};

/// The bytes of a recording; None, with a line that says so, where the shared data is missing.
fn recording(name: &str) -> Option<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kernel-traces");
    let file = dir.join(format!("{name}.csv.zst"));
    match std::fs::read(&file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            println!("SKIPPED {name}: cannot read {}: {error}", file.display());
            None
        }
    }
}

/// Replays a recording, of which so many decisions may differ.
fn matches(name: &str, explained: u64) {
    let Some(bytes) = recording(name) else { return };
    let rec = Recording::from_zstd(&bytes).expect("a recording");
    let report = replay(rec).expect("a known scheduler");
    println!("{}", report.headline(name));
    let first = report.divergences.first().map(|d| d.text.clone()).unwrap_or_default();
    assert!(report.passed(), "{}\n{}\n{first}", report.headline(name), report.breakdown());
    let differences = report.n() - report.m();
    assert!(differences <= explained, "{differences} differ in {name}\n{}\n{first}", report.breakdown());
    assert!(report.n() > 4000, "{name}: only {} decisions", report.n());
}

macro_rules! recordings {
    ($($test:ident $name:literal $explained:literal),* $(,)?) => { $(#[test] fn $test() { matches($name, $explained); })* };
}

recordings! {
    central_1 "central-1" 0,
    central_2 "central-2" 7,
    central_4 "central-4" 22,
    cpu0_1 "cpu0-1" 0,
    cpu0_2 "cpu0-2" 0,
    fifo_1 "fifo-1" 0,
    fifo_2 "fifo-2" 0,
    fifo_4 "fifo-4" 19,
    flatcg_1 "flatcg-1" 0,
    flatcg_2 "flatcg-2" 0,
    misc_1 "misc-1" 0,
    misc_2 "misc-2" 10,
    simple_1 "simple-1" 0,
    simple_2 "simple-2" 0,
    simple_4 "simple-4" 35,
    trcall_1 "trcall-1" 0,
    trcall_2 "trcall-2" 0,
    trcall_last_2 "trcall-last-2" 0,
    trcall_part_2 "trcall-part-2" 0,
}

/// Changes one kind of line everywhere and says how many decisions of that kind no longer match.
fn misses_of(kind: &str, event: &str, change: impl Fn(&str, &str) -> String) -> Option<u64> {
    let bytes = recording("simple-1")?;
    let mut rec = Recording::from_zstd(&bytes).expect("a recording");
    for e in rec.events.iter_mut().filter(|e| e.name == event) {
        for (key, value) in &mut e.args {
            *value = change(key, value);
        }
    }
    let report = replay(rec).expect("a known scheduler");
    Some(report.kinds[kind].missed)
}

#[test]
fn changed_recordings_are_noticed() {
    let plus = |of: &'static str, n: u64| {
        move |key: &str, value: &str| {
            if key == of {
                value.parse::<u64>().map_or(value.to_string(), |v| (v + n).to_string())
            } else {
                value.to_string()
            }
        }
    };
    // Every charge, insertion, pick and claim is looked at.
    for (kind, event, key) in [
        ("charge", "upd_ret", "slice"),
        ("ins", "ins_ret", "slice"),
        ("pick", "pick_ret", "pid"),
        ("op_enqueue", "op_enqueue", "pid"),
    ] {
        let Some(missed) = misses_of(kind, event, plus(key, 1)) else { return };
        assert!(missed > 100, "{kind}: {missed}");
    }
}

#[test]
fn an_unknown_scheduler_is_an_error_that_says_so() {
    let rec = Recording::from_csv("# kernel 7.3.4 cpus 1 sched scx_rusty opt none\n0,0,1,en_begin\n")
        .expect("a recording");
    let error = replay(rec).expect_err("nobody knows its ops").to_string();
    assert!(error.contains("scx_rusty") && error.contains("schedulers.rs"), "{error}");
}

#[test]
fn a_recording_that_starts_and_ends_anywhere_is_no_panic() {
    let Some(bytes) = recording("simple-2") else { return };
    let rec = Recording::from_zstd(&bytes).expect("a recording");
    for (from, to) in [(0, 300), (500, 900), (900, 4000), (3001, 9000)] {
        let mut part = rec.clone();
        part.events = part.events[from..to].to_vec();
        let report = replay(part).expect("a known scheduler");
        assert!(report.n() > 0);
    }
}

/// One event in `every` is missing: what differs stays near it.
#[test]
fn a_difference_does_not_spread() {
    let Some(bytes) = recording("simple-2") else { return };
    let mut rec = Recording::from_zstd(&bytes).expect("a recording");
    let before = rec.events.len();
    let mut n = 0u32;
    rec.events.retain(|_| {
        n += 1;
        !n.is_multiple_of(1009)
    });
    let missing = before - rec.events.len();
    let report = replay(rec).expect("a known scheduler");
    let differences = report.n() - report.m();
    assert!(
        differences > 0 && differences < 40 * missing as u64,
        "{missing} missing: {differences} of {}",
        report.n()
    );
}
