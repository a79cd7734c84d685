//! The `tasks` object: tasks and their phases.

use sextant_abi::CpuId;
use sextant_sim::workload::{Action, Phase, Policy, TaskSpec};

use super::action::{Names, Owner};
use super::global::{Defaults, named_policy};
use super::keys::{self, Property};
use super::script;
use super::{Context, RtappError, invalid, value};
use crate::lenient::{Member, Pos};

/// Most tasks a file may start; a slip in `instance` should not eat the host's memory.
const MAX_TASKS: u64 = 65_536;

/// What rt-app takes for a real-time task without a `priority`.
const RT_PRIORITY: i32 = 10;

const STRAY: &str = "it would never be performed; put it into a phase";

/// The members of a task or phase, sorted by what they are.
#[derive(Default)]
struct Parts<'a> {
    loops: Option<&'a Member>,
    priority: Option<&'a Member>,
    policy: Option<&'a Member>,
    cpus: Option<&'a Member>,
    taskgroup: Option<&'a Member>,
    instance: Option<&'a Member>,
    delay: Option<&'a Member>,
    phases: Option<&'a Member>,
    actions: Vec<(&'a Member, keys::Verb)>,
}

impl Context {
    pub(super) fn tasks(
        &mut self,
        pos: Pos,
        members: &[Member],
        defaults: &Defaults,
    ) -> Result<(), RtappError> {
        let mut names = Names::new(members.iter().map(|m| m.key.as_str()).collect());
        let mut instances = 0;
        for (index, m) in members.iter().enumerate() {
            if m.key.is_empty() || m.key.contains(char::is_control) {
                return invalid(m.pos, "a task's name must be printable and not empty".into());
            }
            let own = Owner { index: index as u32, name: &m.key, place: format!("task \"{}\"", m.key) };
            let spec = self.task(m, &own, &mut names, defaults)?;
            instances += u64::from(spec.instances);
            if instances > MAX_TASKS {
                return invalid(
                    m.pos,
                    format!("with task \"{}\" the file starts more than {MAX_TASKS} tasks", m.key),
                );
            }
            self.workload.tasks.push(spec);
        }
        if instances == 0 {
            return invalid(pos, "\"tasks\" starts no task, so there is nothing to run".into());
        }
        self.settle_timer_modes(&names);
        Ok(())
    }

    fn task(
        &mut self,
        m: &Member,
        own: &Owner,
        names: &mut Names,
        defaults: &Defaults,
    ) -> Result<TaskSpec, RtappError> {
        let refused_before = self.unsupported.len();
        let parts = self.sort_members(value::object(m)?, &own.place, true)?;
        let named = parts.policy.map(named_policy).transpose()?.or_else(|| defaults.policy.clone());
        let known = named.as_ref().is_none_or(|n| n.policy.is_some());
        let policy = named.map_or(Policy::Normal, |n| self.usable_policy(&n, &own.place));
        // The priority of a policy we replaced is on another scale.
        let value = priority(parts.priority.filter(|_| known), policy)?;
        let mut spec = TaskSpec {
            name: m.key.clone(),
            instances: parts.instance.map_or(Ok(1), |m| value::int(m, 0, MAX_TASKS as i64))? as u32,
            policy,
            nice: if policy.is_rt() { 0 } else { value },
            rt_priority: if policy.is_rt() { value as u32 } else { 0 },
            cpus: parts.cpus.map(|m| value::cpus(m, self.options.nr_cpus)).transpose()?,
            cgroup: parts.taskgroup.map(script::taskgroup).transpose()?,
            loops: parts.loops.map_or(Ok(None), value::loops)?,
            phases: Vec::new(),
            ..TaskSpec::default()
        };
        if let Some(m) = parts.delay {
            spec.delay = value::micros(m)?;
        }
        spec.phases = match parts.phases {
            None => vec![Phase {
                name: m.key.clone(),
                actions: self.actions(&parts, own, names)?,
                ..Phase::default()
            }],
            Some(phases) => {
                for (stray, _) in &parts.actions {
                    self.refuse(
                        stray.pos,
                        format!("action \"{}\" beside \"phases\"", stray.key),
                        &own.place,
                        STRAY,
                    );
                }
                self.phases(value::object(phases)?, own, names, &spec, known)?
            }
        };
        if let Err(stuck) = check_progress(m.pos, &spec) {
            if self.unsupported.len() == refused_before {
                return Err(stuck);
            }
            // Too little is left after what was refused: the task passes through it once and exits.
            spec.loops = Some(1);
            spec.phases.iter_mut().for_each(|p| p.loops = Some(1));
        }
        Ok(spec)
    }

    /// `known`: the task's policy is the file's, so that a phase's priority is on its scale.
    fn phases(
        &mut self,
        members: &[Member],
        own: &Owner,
        names: &mut Names,
        spec: &TaskSpec,
        known: bool,
    ) -> Result<Vec<Phase>, RtappError> {
        let mut phases = Vec::with_capacity(members.len());
        for m in members {
            let place = format!("phase \"{}\" of {}", m.key, own.place);
            let parts = self.sort_members(value::object(m)?, &place, false)?;
            let mut value = parts.priority.filter(|_| known);
            let mut policy = spec.policy;
            if let Some(p) = parts.policy {
                let named = named_policy(p)?;
                value = parts.priority.filter(|_| named.policy.is_some());
                policy = self.usable_policy(&named, &place);
            }
            let changes = parts.policy.is_some() || (policy.is_rt() && value.is_some());
            let value = value.is_some().then(|| priority(value, policy)).transpose()?;
            phases.push(Phase {
                name: m.key.clone(),
                loops: parts.loops.map_or(Ok(Some(1)), value::loops)?,
                cpus: parts.cpus.map(|m| value::cpus(m, self.options.nr_cpus)).transpose()?,
                nice: value.filter(|_| !changes),
                policy: changes.then(|| (policy, value.unwrap_or(priority_range(policy).2))),
                cgroup: parts.taskgroup.map(script::taskgroup).transpose()?,
                actions: self.actions(&parts, own, names)?,
            });
        }
        inherit_cgroup(&mut phases, spec);
        self.inherit_cpus(&mut phases, spec);
        inherit_policy(&mut phases, spec);
        Ok(phases)
    }

    /// A phase without `cpus` goes back to the task's; only said where another phase changes them.
    fn inherit_cpus(&self, phases: &mut [Phase], spec: &TaskSpec) {
        if phases.iter().any(|p| p.cpus.is_some()) {
            let own = spec.cpus.clone().unwrap_or_else(|| (0..self.options.nr_cpus).map(CpuId).collect());
            for p in phases.iter_mut().filter(|p| p.cpus.is_none()) {
                p.cpus = Some(own.clone());
            }
        }
    }

    fn actions(&mut self, parts: &Parts, own: &Owner, names: &mut Names) -> Result<Vec<Action>, RtappError> {
        let mut actions = Vec::with_capacity(parts.actions.len());
        for (m, verb) in &parts.actions {
            actions.extend(self.action(m, *verb, own, names)?);
        }
        Ok(actions)
    }

    fn sort_members<'a>(
        &mut self,
        members: &'a [Member],
        place: &str,
        in_task: bool,
    ) -> Result<Parts<'a>, RtappError> {
        let mut parts = Parts::default();
        for m in members {
            let slot = match keys::property(&m.key, in_task) {
                Some(Property::Loop) => &mut parts.loops,
                Some(Property::Priority) => &mut parts.priority,
                Some(Property::Policy) => &mut parts.policy,
                Some(Property::Cpus) => &mut parts.cpus,
                Some(Property::Taskgroup) => &mut parts.taskgroup,
                Some(Property::Instance) => &mut parts.instance,
                Some(Property::Delay) => &mut parts.delay,
                Some(Property::Phases) => &mut parts.phases,
                Some(Property::Ignored(why)) => {
                    self.ignore(m, why);
                    continue;
                }
                Some(Property::Unsupported(why)) => {
                    self.refuse(m.pos, format!("\"{}\"", m.key), place, why);
                    continue;
                }
                None => match keys::action(&m.key) {
                    Some(verb) => {
                        parts.actions.push((m, verb));
                        continue;
                    }
                    None => {
                        self.unknown_key(m, place, keys::words(in_task))?;
                        continue;
                    }
                },
            };
            value::once(slot, m)?;
        }
        Ok(parts)
    }
}

/// The nice value, or the priority of a real-time policy.
fn priority(m: Option<&Member>, policy: Policy) -> Result<i32, RtappError> {
    let (low, high, default) = priority_range(policy);
    m.map_or(Ok(default), |m| Ok(value::int(m, low, high)? as i32))
}

/// Lowest and highest value that go with a policy, and the default.
pub(super) fn priority_range(policy: Policy) -> (i64, i64, i32) {
    if policy.is_rt() { (1, 99, RT_PRIORITY) } else { (-20, 19, 0) }
}

/// A phase without a group goes back to the task's; only said where another phase changes it.
fn inherit_cgroup(phases: &mut [Phase], spec: &TaskSpec) {
    if phases.iter().any(|p| p.cgroup.is_some()) {
        let own = spec.cgroup.as_deref().unwrap_or("/");
        for p in phases.iter_mut().filter(|p| p.cgroup.is_none()) {
            p.cgroup = Some(own.into());
        }
    }
}

/// A phase without a policy goes back to the task's; only said where another phase changes it.
fn inherit_policy(phases: &mut [Phase], spec: &TaskSpec) {
    if phases.iter().any(|p| p.policy.is_some()) {
        let own = if spec.policy.is_rt() { spec.rt_priority as i32 } else { spec.nice };
        for p in phases.iter_mut().filter(|p| p.policy.is_none()) {
            p.policy = Some((spec.policy, p.nice.take().unwrap_or(own)));
        }
    }
}

/// Refuses what would loop forever without time passing, and tasks that do nothing.
fn check_progress(pos: Pos, spec: &TaskSpec) -> Result<(), RtappError> {
    let performed = || spec.phases.iter().filter(|p| p.loops != Some(0));
    let takes_time = |p: &Phase| p.actions.iter().any(|a| a.takes_time());
    let name = &spec.name;
    if let Some(stuck) = performed().find(|p| p.loops.is_none() && !takes_time(p)) {
        return invalid(
            pos,
            format!(
                "phase \"{}\" of task \"{name}\" loops forever without run, sleep, timer, suspend or sem_wait",
                stuck.name
            ),
        );
    }
    if spec.loops.is_none() && !performed().any(takes_time) {
        return invalid(
            pos,
            format!("task \"{name}\" loops forever without run, sleep, timer, suspend or sem_wait"),
        );
    }
    Ok(())
}
