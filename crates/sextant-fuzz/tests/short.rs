//! The run of CI's length: every floor is reached and no rule broken. A failure prints the seed and the command that replays it.

use sextant_fuzz::{FULL, Fuzzer, campaign};

#[test]
fn random_programs_break_no_rule() {
    let campaign = campaign(1, FULL, None);
    println!("{}", campaign.cover.report());
    if let Some(found) = campaign.found {
        let replay = format!("cargo xtask fuzz --seed {} --programs 1", found.seed);
        panic!("seed {}: {}\n{}\nreplay: {replay}", found.seed, found.failure, found.text);
    }
    assert_eq!(campaign.cover.short(), Vec::<String>::new());
}

#[test]
fn a_seed_is_a_program() {
    let (a, b) = (Fuzzer::new(), Fuzzer::new());
    for seed in 0..200 {
        let (one, two) = (a.draft(seed), b.draft(seed));
        assert!(one.code.insns == two.code.insns && one.code.relocs == two.code.relocs, "seed {seed}");
    }
    assert_ne!(a.draft(1).code.insns, a.draft(2).code.insns);
}
