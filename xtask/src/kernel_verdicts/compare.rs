//! Both verdicts on each program, and what to make of the difference.

use std::collections::{BTreeMap, BTreeSet};

use super::cases::{Case, Set};
use super::lab::{Answer, Answers};
use super::ours::{Ours, Random, Verdict};
use super::report::Explanation;

/// BPF_PROG_LOAD was interrupted: the program took too long.
const EAGAIN: i32 = -11;
/// Counts of instructions that are as good as equal.
pub const NEAR_PERCENT: u64 = 20;

/// How the verdicts relate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// Both accept.
    Accepted,
    /// Both refuse.
    Refused,
    /// We accept what the kernel refuses.
    WronglyAccepted,
    /// We refuse what the kernel accepts.
    WronglyRefused,
    /// The kernel did not come to an end.
    Undecided,
}

/// A program and both verdicts.
pub struct Program {
    /// Where it comes from.
    pub set: Set,
    /// `set/object/program`, or `random/seed`.
    pub name: String,
    /// What we say.
    pub ours: Verdict,
    /// What the kernel says.
    pub theirs: Verdict,
    /// The kernel's log.
    pub log: String,
    /// How these relate.
    pub relation: Relation,
}

/// Everything that was judged.
pub struct Outcome {
    /// In the order of the sets.
    pub programs: Vec<Program>,
}

impl Program {
    fn new(set: Set, name: String, ours: Verdict, answer: &Answer) -> Program {
        let theirs = verdict(answer);
        let relation = match (ours.accepted, theirs.accepted) {
            _ if answer.error == EAGAIN => Relation::Undecided,
            (true, true) => Relation::Accepted,
            (false, false) => Relation::Refused,
            (true, false) => Relation::WronglyAccepted,
            (false, true) => Relation::WronglyRefused,
        };
        Program { set, name, ours, theirs, log: answer.log.clone(), relation }
    }

    /// Whether the verdicts differ.
    pub fn differs(&self) -> bool {
        matches!(self.relation, Relation::WronglyAccepted | Relation::WronglyRefused)
    }

    /// Whether both processed about as many instructions; `None` unless both accept.
    pub fn near(&self) -> Option<bool> {
        let counted = self.relation == Relation::Accepted && self.theirs.insns > 0;
        counted.then(|| self.ours.insns.abs_diff(self.theirs.insns) * 100 <= self.theirs.insns * NEAR_PERCENT)
    }
}

impl Outcome {
    /// How many are random.
    pub fn random(&self) -> usize {
        self.programs.iter().filter(|p| p.set == Set::Random).count()
    }

    /// Differences without an explanation, and explanations without a difference.
    pub fn hold<'a>(&'a self, explained: &'a [Explanation]) -> (Vec<&'a Program>, Vec<&'a String>) {
        let (mut open, mut used) = (Vec::new(), BTreeSet::new());
        for program in self.programs.iter().filter(|p| p.differs()) {
            match explained.iter().position(|e| e.explains(program)) {
                Some(at) => drop(used.insert(at)),
                None => open.push(program),
            }
        }
        let unused = explained.iter().enumerate().filter(|(at, _)| !used.contains(at));
        (open, unused.map(|(_, e)| &e.name).collect())
    }
}

/// Brings the verdicts together.
pub fn compare(cases: &[Case], mine: &[Ours], random: Option<&Random>, theirs: &Answers) -> Outcome {
    let mut programs = Vec::new();
    for (nth, (case, ours)) in cases.iter().zip(mine).enumerate() {
        let of_this: BTreeMap<&str, &Answer> = theirs
            .objects
            .range((nth, String::new())..(nth + 1, String::new()))
            .map(|((_, name), answer)| (name.as_str(), answer))
            .collect();
        object(case, ours, &of_this, &mut programs);
    }
    for (name, ours) in random.iter().flat_map(|r| &r.verdicts) {
        if let Some(answer) = theirs.random.get(name) {
            programs.push(Program::new(Set::Random, format!("random/{name}"), ours.clone(), answer));
        }
    }
    Outcome { programs }
}

fn object(case: &Case, ours: &Ours, theirs: &BTreeMap<&str, &Answer>, programs: &mut Vec<Program>) {
    let whole = theirs.get("");
    let names: BTreeSet<&str> = theirs
        .keys()
        .copied()
        .chain(ours.programs.keys().map(String::as_str))
        .filter(|n| !n.is_empty())
        .collect();
    let unseen = Answer { error: -1, log: "the object has no such program for libbpf".to_owned() };
    for name in names {
        let answer = theirs.get(name).or(whole).copied().unwrap_or(&unseen);
        let missing = || Verdict {
            accepted: false,
            insns: 0,
            reason: ours.error.clone().unwrap_or("no verdict".to_owned()),
        };
        let ours = ours.programs.get(name).cloned().unwrap_or_else(missing);
        let full = format!("{}/{}/{name}", case.set.name(), case.name);
        programs.push(Program::new(case.set, full, ours, answer));
    }
}

fn verdict(answer: &Answer) -> Verdict {
    let accepted = answer.error == 0;
    let reason = if accepted { String::new() } else { last_message(&answer.log) };
    Verdict { accepted, insns: processed(&answer.log), reason }
}

/// The last message before the readable end and the statistics.
pub fn last_message(log: &str) -> String {
    let counts = ["processed ", "verification time ", "stack depth ", "subprog "];
    let lines = log.lines().take_while(|line| !line.starts_with("Verification failed"));
    let messages =
        lines.filter(|line| !line.trim().is_empty() && !counts.iter().any(|c| line.starts_with(c)));
    let first = log.lines().next().unwrap_or_default();
    messages.last().unwrap_or(first).to_owned()
}

/// `processed N insns`, of the last line that says so.
fn processed(log: &str) -> u64 {
    let lines = log.lines().rev();
    let number = |line: &str| line.strip_prefix("processed ")?.split(' ').next()?.parse().ok();
    lines.filter_map(number).next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "0: R1=ctx()\nR1 invalid mem access 'scalar'\n\nVerification failed: x\nReason: y\nverification time 3 usec\n\
                       processed 12 insns (limit 1000000) max_states_per_insn 0\n";

    fn program(ours: (bool, u64), error: i32) -> Program {
        let ours = Verdict { accepted: ours.0, insns: ours.1, reason: String::new() };
        Program::new(Set::Broken, "broken/a/b".to_owned(), ours, &Answer { error, log: LOG.to_owned() })
    }

    #[test]
    fn the_last_message_and_the_count_are_found() {
        assert_eq!(last_message(LOG), "R1 invalid mem access 'scalar'");
        assert_eq!(processed(LOG), 12);
        assert_eq!(last_message("libbpf: map: failed\n"), "libbpf: map: failed");
    }

    #[test]
    fn verdicts_relate_in_five_ways() {
        assert_eq!(program((true, 12), 0).relation, Relation::Accepted);
        assert_eq!(program((false, 12), -13).relation, Relation::Refused);
        assert_eq!(program((true, 12), -13).relation, Relation::WronglyAccepted);
        assert_eq!(program((false, 12), 0).relation, Relation::WronglyRefused);
        assert_eq!(program((true, 12), EAGAIN).relation, Relation::Undecided);
    }

    #[test]
    fn a_fifth_more_or_less_is_near() {
        let near = |insns| program((true, insns), 0).near();
        assert_eq!(
            (near(9), near(10), near(14), near(15)),
            (Some(false), Some(true), Some(true), Some(false))
        );
        assert_eq!(program((true, 12), -13).near(), None);
    }

    #[test]
    fn a_difference_wants_its_row_and_a_row_its_difference() {
        let outcome = Outcome { programs: vec![program((true, 12), -13)] };
        let row = |name: &str, words: &str| Explanation { name: name.to_owned(), words: words.to_owned() };
        let rows = [row("broken/a/*", "invalid mem")];
        assert_eq!(outcome.hold(&rows).0.len() + outcome.hold(&rows).1.len(), 0);
        let rows = [row("broken/a/*", "something else")];
        assert_eq!((outcome.hold(&rows).0.len(), outcome.hold(&rows).1.len()), (1, 1));
    }
}
