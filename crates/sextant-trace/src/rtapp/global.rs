//! The `global` object.

use sextant_abi::Ns;
use sextant_sim::workload::Policy;

use super::keys::GLOBAL_IGNORED;
use super::{Context, RtappError, Unknown, invalid, value};
use crate::lenient::{Member, Pos};
use crate::nearest::did_you_mean;

/// The policy whose class does not exist yet.
const DEADLINE: &str = "the deadline class is not modelled yet; use SCHED_FIFO";

/// Accepted policy names.
const POLICIES: &[(&str, Option<Policy>)] = &[
    ("SCHED_OTHER", Some(Policy::Normal)),
    ("SCHED_NORMAL", Some(Policy::Normal)),
    ("SCHED_BATCH", Some(Policy::Batch)),
    ("SCHED_IDLE", Some(Policy::Idle)),
    ("SCHED_EXT", Some(Policy::Ext)),
    ("SCHED_FIFO", Some(Policy::Fifo)),
    ("SCHED_RR", Some(Policy::Rr)),
    ("SCHED_DEADLINE", None),
];

/// A policy as a file names it: `policy` is None where we have no class for it.
#[derive(Clone, Debug)]
pub(super) struct NamedPolicy {
    pub policy: Option<Policy>,
    pos: Pos,
    name: String,
}

/// What `global` says about tasks.
#[derive(Default)]
pub(super) struct Defaults {
    pub policy: Option<NamedPolicy>,
}

impl Context {
    pub(super) fn global(&mut self, members: &[Member]) -> Result<Defaults, RtappError> {
        let (mut duration, mut policy) = (None, None);
        for m in members {
            match m.key.as_str() {
                "duration" => value::once(&mut duration, m)?,
                "default_policy" => value::once(&mut policy, m)?,
                key => match GLOBAL_IGNORED.iter().find(|(name, _)| *name == key) {
                    Some((_, why)) => self.ignore(m, why),
                    None => {
                        let known = GLOBAL_IGNORED.iter().map(|(name, _)| *name);
                        let hint = did_you_mean(key, known.chain(["duration", "default_policy"]));
                        self.unknown.push(Unknown { pos: m.pos, key: key.to_string(), hint });
                    }
                },
            }
        }
        if let Some(m) = duration {
            // As in rt-app: nothing above zero means "until every task has ended".
            let seconds = value::int(m, -1, 10 * 365 * 86_400)?;
            self.workload.duration = (seconds > 0).then(|| Ns::from_ms(seconds.unsigned_abs() * 1000));
        }
        Ok(Defaults { policy: policy.map(named_policy).transpose()? })
    }

    /// The policy to use; one that we cannot perform is refused and becomes SCHED_OTHER where that is skipped.
    pub(super) fn usable_policy(&mut self, named: &NamedPolicy, place: &str) -> Policy {
        named.policy.unwrap_or_else(|| {
            self.refuse(named.pos, named.name.clone(), place, DEADLINE);
            Policy::Normal
        })
    }
}

/// A policy by its name alone.
pub(super) fn policy_name(name: &str) -> Result<Policy, String> {
    match POLICIES.iter().find(|(n, _)| *n == name) {
        Some((_, Some(policy))) => Ok(*policy),
        Some((_, None)) => Err(DEADLINE.into()),
        None => {
            let hint = did_you_mean(name, POLICIES.iter().map(|(n, _)| *n));
            Err(format!("unknown policy \"{name}\"{hint}"))
        }
    }
}

pub(super) fn named_policy(m: &Member) -> Result<NamedPolicy, RtappError> {
    let name = value::string(m)?;
    match POLICIES.iter().find(|(n, _)| *n == name) {
        Some((_, policy)) => Ok(NamedPolicy { policy: *policy, pos: m.pos, name: name.to_string() }),
        None => {
            let hint = did_you_mean(name, POLICIES.iter().map(|(n, _)| *n));
            invalid(m.node.pos, format!("unknown policy \"{name}\"{hint}"))
        }
    }
}
