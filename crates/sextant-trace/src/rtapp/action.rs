//! Actions: the steps of a phase.

use std::collections::BTreeSet;

use sextant_sim::workload::{Action, CondId, SemId, SpecId, TimerRef, TimerSpec};

use super::keys::Verb;
use super::{Context, RtappError, invalid, value};
use crate::lenient::{Member, Value};
use crate::nearest::did_you_mean;

/// Names that actions refer to, over the whole file.
pub(super) struct Names<'a> {
    /// Tasks in file order.
    pub tasks: Vec<&'a str>,
    /// Timers by owner (None: shared) and name.
    timers: Vec<(Option<u32>, String)>,
    /// Timers some use of which says `"mode": "absolute"`: in rt-app the mode belongs to the timer.
    absolute: BTreeSet<TimerRef>,
}

impl<'a> Names<'a> {
    pub(super) fn new(tasks: Vec<&'a str>) -> Names<'a> {
        Names { tasks, timers: Vec::new(), absolute: BTreeSet::new() }
    }
}

/// The task that is being read.
pub(super) struct Owner<'a> {
    pub index: u32,
    pub name: &'a str,
    /// For messages: `task "NAME"`.
    pub place: String,
}

impl Context {
    /// One action; None if it was refused.
    pub(super) fn action(
        &mut self,
        m: &Member,
        verb: Verb,
        own: &Owner,
        names: &mut Names,
    ) -> Result<Option<Action>, RtappError> {
        Ok(Some(match verb {
            Verb::Run => Action::Run(value::micros_or_forever(m)?),
            Verb::RunTime => Action::RunTime(value::micros_or_forever(m)?),
            Verb::Sleep => Action::Sleep(value::micros_or_forever(m)?),
            Verb::Timer => self.timer(m, own, names)?,
            Verb::Suspend => Action::Suspend(self.suspend(m, own)?),
            Verb::Resume => Action::Resume(self.cond(value::string(m)?)),
            Verb::SemPost => Action::SemPost(self.sem(value::string(m)?)),
            Verb::SemWait => Action::SemWait(self.sem(value::string(m)?)),
            Verb::Fork => Action::Fork(fork(m, names)?),
            Verb::Yield => Action::Yield,
            Verb::MigrateDisable => Action::MigrateDisable,
            Verb::MigrateEnable => Action::MigrateEnable,
            Verb::Unsupported(why) => {
                self.refuse(m.pos, format!("action \"{}\"", m.key), &own.place, why);
                return Ok(None);
            }
        }))
    }

    fn suspend(&mut self, m: &Member, own: &Owner) -> Result<CondId, RtappError> {
        match &m.node.value {
            Value::Missing | Value::Null => Ok(self.cond(own.name)),
            Value::Str(s) if s.is_empty() => Ok(self.cond(own.name)),
            Value::Str(s) => Ok(self.cond(s)),
            other => value::wants(m, "the name that a resume will use, or no value", other),
        }
    }

    fn cond(&mut self, name: &str) -> CondId {
        CondId(index_of(&mut self.workload.conds, name))
    }

    fn sem(&mut self, name: &str) -> SemId {
        SemId(index_of(&mut self.workload.sems, name))
    }

    fn timer(&mut self, m: &Member, own: &Owner, names: &mut Names) -> Result<Action, RtappError> {
        let (mut reference, mut period, mut mode) = (None, None, None);
        for inner in value::object(m)? {
            match inner.key.as_str() {
                "ref" => value::once(&mut reference, inner)?,
                "period" => value::once(&mut period, inner)?,
                "mode" => value::once(&mut mode, inner)?,
                _ => {
                    let place = format!("a timer of {}", own.place);
                    self.unknown_key(inner, &place, ["ref", "period", "mode"].into_iter())?;
                }
            }
        }
        let Some(period) = period else {
            return invalid(m.node.pos, "a timer wants a \"period\" in microseconds".into());
        };
        let period = value::micros(period)?;
        let timer = self.timer_ref(reference.map_or(Ok("unknown"), value::string)?, own, names);
        match mode.map_or(Ok("relative"), value::string)? {
            "relative" => {}
            "absolute" => drop(names.absolute.insert(timer)),
            other => {
                return invalid(
                    m.node.pos,
                    format!("\"mode\" is \"{other}\", but must be \"relative\" or \"absolute\""),
                );
            }
        }
        Ok(Action::Timer { timer, period, absolute: false })
    }

    fn timer_ref(&mut self, name: &str, own: &Owner, names: &mut Names) -> TimerRef {
        let unique = name.starts_with("unique");
        let key = (unique.then_some(own.index), name.to_string());
        let at = names.timers.iter().position(|t| *t == key).unwrap_or_else(|| {
            self.workload.timers.push(TimerSpec { name: name.to_string(), unique });
            names.timers.push(key);
            names.timers.len() - 1
        });
        TimerRef(at as u32)
    }

    /// Once all uses are known: the mode belongs to the timer.
    pub(super) fn settle_timer_modes(&mut self, names: &Names) {
        let phases = self.workload.tasks.iter_mut().flat_map(|t| &mut t.phases);
        for action in phases.flat_map(|p| &mut p.actions) {
            if let Action::Timer { timer, absolute, .. } = action {
                *absolute = names.absolute.contains(timer);
            }
        }
    }
}

/// The place of a name in a list, where it is added if it is new.
fn index_of(names: &mut Vec<String>, name: &str) -> u32 {
    let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
        names.push(name.to_string());
        names.len() - 1
    });
    at as u32
}

fn fork(m: &Member, names: &Names) -> Result<SpecId, RtappError> {
    let name = value::string(m)?;
    match names.tasks.iter().position(|t| *t == name) {
        Some(at) => Ok(SpecId(at as u32)),
        None => {
            let hint = did_you_mean(name, names.tasks.iter().copied());
            invalid(
                m.node.pos,
                format!("\"{}\" names the task \"{name}\", which the file does not have{hint}", m.key),
            )
        }
    }
}
