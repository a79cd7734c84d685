//! The 22 public examples of rt-app: each parses, and runs or is refused by line and action.

use std::path::PathBuf;

use sextant_trace::rtapp::{Options, RtappError, read};

/// File, and the places where it is refused (line and what; none: it runs).
const EXAMPLES: &[(&str, &[(u32, &str)])] = &[
    (
        "browser-short.json",
        &[
            (71, "action \"lock\""),
            (72, "action \"sync\""),
            (73, "action \"unlock\""),
            (81, "action \"lock\""),
            (82, "action \"wait\""),
            (83, "action \"unlock\""),
            (85, "action \"lock\""),
            (86, "action \"signal\""),
            (87, "action \"unlock\""),
        ],
    ),
    ("cpufreq_governor_efficiency/calibration.json", &[]),
    ("cpufreq_governor_efficiency/dvfs.json", &[]),
    ("custom-slice.json", &[(19, "SCHED_DEADLINE")]),
    ("merge/global.json", &[(1, "the file has no \"tasks\" object, so there is nothing to run")]),
    ("merge/resources.json", &[(1, "the file has no \"tasks\" object, so there is nothing to run")]),
    ("merge/thread0.json", &[(4, "\"exec\""), (7, "\"lock_order\""), (8, "\"resources\"")]),
    ("merge/thread1.json", &[(4, "\"exec\""), (7, "\"lock_order\""), (8, "\"resources\"")]),
    ("merge/thread2.json", &[(4, "\"exec\""), (7, "\"lock_order\""), (8, "\"resources\"")]),
    ("merge/thread3.json", &[(4, "\"exec\""), (7, "\"lock_order\""), (8, "\"resources\"")]),
    (
        "mp3-long.json",
        &[
            (39, "action \"lock\""),
            (40, "action \"signal\""),
            (41, "action \"wait\""),
            (42, "action \"unlock\""),
            (48, "action \"lock\""),
            (49, "action \"wait\""),
            (50, "action \"unlock\""),
            (52, "action \"lock\""),
            (53, "action \"signal\""),
            (54, "action \"unlock\""),
        ],
    ),
    (
        "mp3-short.json",
        &[
            (39, "action \"lock\""),
            (40, "action \"signal\""),
            (41, "action \"wait\""),
            (42, "action \"unlock\""),
            (48, "action \"lock\""),
            (49, "action \"wait\""),
            (50, "action \"unlock\""),
            (52, "action \"lock\""),
            (53, "action \"signal\""),
            (54, "action \"unlock\""),
        ],
    ),
    ("template.json", &[]),
    ("tutorial/example1.json", &[]),
    ("tutorial/example11.json", &[]),
    ("tutorial/example2.json", &[]),
    ("tutorial/example3.json", &[]),
    ("tutorial/example4.json", &[]),
    (
        "tutorial/example5.json",
        &[
            (20, "action \"lock\""),
            (22, "action \"signal\""),
            (24, "action \"unlock\""),
            (35, "action \"lock\""),
            (36, "action \"wait\""),
            (37, "action \"unlock\""),
        ],
    ),
    (
        "tutorial/example7.json",
        &[
            (35, "action \"barrier1\""),
            (37, "action \"barrier2\""),
            (40, "action \"barrier3\""),
            (45, "action \"barrier1\""),
            (48, "action \"barrier2\""),
            (50, "action \"barrier3\""),
        ],
    ),
    ("tutorial/example9.json", &[]),
    (
        "video-short.json",
        &[
            (114, "action \"lock\""),
            (115, "action \"sync\""),
            (116, "action \"unlock\""),
            (120, "action \"lock\""),
            (121, "action \"sync\""),
            (122, "action \"unlock\""),
            (124, "action \"lock\""),
            (125, "action \"sync\""),
            (126, "action \"unlock\""),
            (140, "action \"lock\""),
            (141, "action \"sync\""),
            (142, "action \"unlock\""),
            (144, "action \"lock\""),
            (145, "action \"sync\""),
            (146, "action \"unlock\""),
            (148, "action \"lock\""),
            (149, "action \"sync\""),
            (150, "action \"unlock\""),
        ],
    ),
];

#[test]
fn every_public_example_runs_or_is_refused_by_line_and_action() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/rt-app");
    if !dir.is_dir() {
        println!("SKIPPED rtapp_examples: {} is missing", dir.display());
        return;
    }
    for (file, refused) in EXAMPLES {
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        let got = match read(&text, file, &Options { nr_cpus: 8, skip_unsupported: false }) {
            Ok(_) => Vec::new(),
            Err(RtappError::Unsupported(all)) => all.iter().map(|u| (u.pos.line, u.what.clone())).collect(),
            Err(RtappError::Invalid { pos, what }) => vec![(pos.line, what)],
            Err(e) => panic!("{file}: {e}"),
        };
        let got: Vec<(u32, &str)> = got.iter().map(|(line, what)| (*line, what.as_str())).collect();
        assert_eq!(got, *refused, "{file}");
        let skipped = read(&text, file, &Options { nr_cpus: 8, skip_unsupported: true });
        assert_eq!(skipped.is_ok(), !matches!(refused, [(1, _)]), "{file}: {skipped:?}");
    }
}
