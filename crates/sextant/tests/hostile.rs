//! What must never take the process down, touch the host or swell: schedulers, objects and workloads that mean no good.

mod support;

use std::path::Path;

use support::{bpf_object, header_object, sextant, workload};

/// The exit of a run of `object` that ended with `status`.
fn exit_of(object: &str, more: &[&str], status: i32) -> serde_json::Value {
    let args =
        [&["sim", object, "--cpus", "2", "--duration", "200ms", "--json", "--unchecked"], more].concat();
    sextant(&args).expect(status).json()["exit"].clone()
}

fn message(exit: &serde_json::Value) -> &str {
    exit["msg"].as_str().expect("a message")
}

#[test]
fn references_that_nobody_acquired_are_not_given_back() {
    let Some(object) = header_object("put_unowned") else { return };
    for (set, kfunc) in [("of_cgroup=false", "bpf_task_release"), ("of_cgroup=true", "bpf_cgroup_release")] {
        let exit = exit_of(&object, &["--set", set], 3);
        let text = message(&exit);
        assert!(text.contains(kfunc) && text.ends_with("was not acquired by this scheduler"), "{text}");
    }
}

#[test]
fn memory_for_programs_has_a_limit_and_its_end_is_an_answer() {
    let Some(object) = header_object("flood") else { return };
    let exit = exit_of(&object, &["--memory", "64M"], 0);
    assert_eq!((exit["kind"].as_str(), exit["code"].as_i64()), (Some("UNREG_BPF"), Some(77)), "{exit}");
    let run = sextant(&["sim", &object, "--memory", "256K"]).expect(2);
    assert!(run.stderr.contains("'masks'") && run.stderr.contains("ENOMEM"), "{}", run.stderr);
}

#[test]
fn a_pin_is_made_in_no_file_system_of_the_host() {
    let Some(object) = bpf_object("pinned") else { return };
    let exit = exit_of(&object, &[], 0);
    assert_eq!(exit["kind"], "UNREG");
    assert!(!Path::new("/sys/fs/bpf/kept").exists());
}

#[test]
fn a_map_of_the_ops_tables_type_is_refused_before_libbpf_meets_it() {
    let Some(object) = bpf_object("ops_map") else { return };
    for subcommand in ["check", "inspect", "sim"] {
        let run = sextant(&[subcommand, &object]).expect(2);
        let said = run.stderr + &run.stdout;
        assert!(said.contains("map 'mine' is of type BPF_MAP_TYPE_STRUCT_OPS"), "{said}");
    }
}

#[test]
fn a_length_that_wraps_in_an_arena_is_a_trap() {
    let Some(object) = header_object("arena_overflow") else { return };
    let exit = exit_of(&object, &[], 3);
    let text = message(&exit);
    assert!(text.contains("a page of the arena that is not allocated"), "{text}");
}

#[test]
fn a_fork_bomb_meets_the_limit_of_tasks() {
    let bomb = r#"{"tasks": {"a": {"loop": 1, "fork": "b"}, "b": {"loop": 1, "fork": "a", "fork2": "a"}},
                   "global": {"duration": 1}}"#;
    let load = workload("forkbomb", bomb);
    let run = sextant(&["sim", "fair", &load, "--cpus", "4", "--duration", "100ms"]).expect(0);
    assert!(!run.stderr.contains("--ideal"), "{}", run.stderr);
}

/// A typedef of the object's that names itself, a variable behind the end of its section: libbpf 1.7 survives neither.
#[test]
fn types_that_libbpf_does_not_survive_are_named() {
    let good =
        std::fs::read(support::root().join("schedulers/built/simple.bpf.o")).expect("a committed file");
    let (at, _) = section(&good, ".BTF");
    let first = at + word(&good, at + 4) as usize + word(&good, at + 8) as usize;
    let end = first + word(&good, at + 12) as usize;
    let mut loops = None;
    let mut behind = None;
    let (mut at, mut id) = (first, 1u32);
    while at < end {
        let info = word(&good, at + 4);
        let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        match kind {
            8 => loops = loops.or(Some((at + 8, id))),
            15 => behind = Some((at + 12 + 4, 0xffff_fff8)),
            _ => {}
        }
        at += 12
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * vlen,
                6 | 13 => 8 * vlen,
                _ => 0,
            };
        id += 1;
    }
    for (name, change, says) in [("loops", loops, "is made of itself"), ("behind", behind, "damaged BTF")] {
        let (at, value) = change.expect("the object has such a type");
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.bpf.o"));
        std::fs::write(&path, bad).expect("the scratch directory is writable");
        let run = sextant(&["sim", &path.display().to_string()]).expect(2);
        assert!(run.stderr.contains(says), "{name}: {}", run.stderr);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Where a section's bytes are: offset, size.
fn section(bytes: &[u8], name: &str) -> (usize, usize) {
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize;
    let table = long(40);
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let names = long(table + short(62) * 64 + 24);
    let wanted = [name.as_bytes(), b"\0"].concat();
    let header = (0..short(60)).map(|i| table + i * 64);
    let found = header.into_iter().find(|&at| bytes[names + word(bytes, at) as usize..].starts_with(&wanted));
    let at = found.expect("the section is there");
    (long(at + 24), long(at + 32))
}
