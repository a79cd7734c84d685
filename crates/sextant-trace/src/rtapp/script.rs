//! Our extension of the format: `"cgroups"` and `"events"` beside `"tasks"`.
//!
//! ```text
//! "cgroups": { "/a": {"weight": 200}, "/a/b": {"idle": 1}, "/c": {"max": "50000 100000", "burst": 1000} },
//! "events": [
//!     "at 1s cpu 3 offline",                     "at 2s cpu 3 online",
//!     "at 1s cgroup create /d weight 200",      "at 2s cgroup set /d idle 1",   "at 9s cgroup remove /d",
//!     "at 1500ms move hog /a",                  "at 2s nice hog 5",
//!     "at 3s affinity hog 0-3,6",               "at 4s policy hog SCHED_FIFO 10"
//! ]
//! ```
//! A task is named as in the file (then all its instances) or by its comm (`hog-2`).

use sextant_abi::{CpuId, Ns};
use sextant_sim::script::{CgroupSetting, Command, ScriptEvent};
use sextant_sim::workload::{CgroupSpec, Policy};

use super::global::policy_name;
use super::task::priority_range;
use super::{Context, RtappError, invalid, value};
use crate::lenient::{Member, Node, Pos, Value};

/// What a command looks like, for messages.
const COMMANDS: &str = "cpu N offline|online, cgroup create|set PATH SETTINGS, cgroup remove PATH, move TASK PATH, nice TASK N, \
                        affinity TASK CPUS, policy TASK POLICY [PRIORITY], kill TASK";
const SETTINGS: &str = "weight N, idle 0|1, max QUOTA|max [PERIOD], burst N (times in us)";
/// `cpu.max`'s period, us.
const PERIOD_US: u64 = 100_000;

impl Context {
    /// `"cgroups"`
    pub(super) fn cgroups(&mut self, members: &[Member]) -> Result<(), RtappError> {
        for m in members {
            path(&m.key).or_else(|what| invalid(m.pos, what))?;
            let mut words = Vec::new();
            for setting in value::object(m)? {
                words.push(setting.key.clone());
                match &setting.node.value {
                    Value::Int(n) => words.push(n.to_string()),
                    Value::Str(s) => words.extend(s.split_whitespace().map(str::to_string)),
                    other => return value::wants(setting, "a number or a string", other),
                }
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let settings = settings(&words).or_else(|what| invalid(m.pos, what))?;
            self.workload.cgroups.push(CgroupSpec { path: m.key.clone(), settings });
        }
        Ok(())
    }

    /// `"events"`
    pub(super) fn events(&mut self, m: &Member) -> Result<(), RtappError> {
        let Value::Array(items) = &m.node.value else {
            return value::wants(m, "an array of strings", &m.node.value);
        };
        for item in items {
            let event = self.event(item)?;
            self.workload.events.push(event);
        }
        Ok(())
    }

    fn event(&self, item: &Node) -> Result<ScriptEvent, RtappError> {
        let Value::Str(text) = &item.value else {
            return invalid(item.pos, format!("\"events\" wants strings, found {}", item.value.kind()));
        };
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if words.first() == Some(&"at") {
            words.remove(0);
        }
        let parsed = match words.split_first() {
            Some((time, rest)) => {
                span(time).and_then(|at| Ok(ScriptEvent { at, command: self.command(rest)? }))
            }
            None => Err("an empty event".into()),
        };
        parsed.or_else(|what: String| invalid(item.pos, format!("event \"{text}\": {what}")))
    }

    fn command(&self, words: &[&str]) -> Result<Command, String> {
        Ok(match words {
            ["cpu", n, state @ ("offline" | "online")] => {
                let cpu = number(n, 0, i64::from(self.options.nr_cpus) - 1)?;
                Command::Cpu { cpu: CpuId(cpu as u32), online: *state == "online" }
            }
            ["cgroup", "create", at, rest @ ..] => {
                Command::CgroupCreate(CgroupSpec { path: path(at)?, settings: settings(rest)? })
            }
            ["cgroup", "set", at, rest @ ..] if !rest.is_empty() => {
                Command::CgroupSet(CgroupSpec { path: path(at)?, settings: settings(rest)? })
            }
            ["cgroup", "remove", at] => Command::CgroupRemove(path(at)?),
            ["move", task, to] => Command::Move { task: task.to_string(), cgroup: path(to)? },
            ["nice", task, nice] => {
                Command::Nice { task: task.to_string(), nice: number(nice, -20, 19)? as i32 }
            }
            ["affinity", task, list] => {
                Command::Affinity { task: task.to_string(), cpus: cpu_list(list, self.options.nr_cpus)? }
            }
            ["policy", task, name, rest @ ..] if rest.len() < 2 => {
                let (policy, value) = policy(name, rest.first().copied())?;
                Command::Policy { task: task.to_string(), policy, value }
            }
            ["kill", task] => Command::Kill { task: task.to_string() },
            _ => return Err(format!("expected a time and one of: {COMMANDS}")),
        })
    }
}

/// `taskgroup`
pub(super) fn taskgroup(m: &Member) -> Result<String, RtappError> {
    path(value::string(m)?).or_else(|what| invalid(m.node.pos, what))
}

/// An absolute path, without a slash at its end.
fn path(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    match trimmed {
        "" if text.starts_with('/') => Ok("/".into()),
        _ if trimmed.starts_with('/') && !trimmed.contains("//") && !text.contains(char::is_control) => {
            Ok(trimmed.into())
        }
        _ => Err(format!("\"{text}\" is no path of a cgroup: it must start with \"/\"")),
    }
}

fn number(text: &str, low: i64, high: i64) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("\"{text}\" must be a number from {low} to {high}")),
    }
}

fn micros(text: &str) -> Result<u64, String> {
    number(text, 0, i64::MAX / 1000).map(i64::unsigned_abs)
}

/// `1s`, `1.5s`, `20ms`, `7us`, `3ns`
fn span(text: &str) -> Result<Ns, String> {
    let bad = || format!("\"{text}\" is no time: a number with s, ms, us or ns, as in 1.5s");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (num, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        "ns" => 1,
        _ => return Err(bad()),
    };
    let (whole, part) = num.split_once('.').unwrap_or((num, ""));
    let mut ns = whole.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(bad)?;
    let mut digit_ns = unit;
    for d in part.bytes() {
        digit_ns /= 10;
        ns += u64::from(d.checked_sub(b'0').filter(|&d| d < 10).ok_or_else(bad)?) * digit_ns;
    }
    Ok(Ns(ns))
}

/// `0-3,6`
fn cpu_list(text: &str, nr_cpus: u32) -> Result<Vec<CpuId>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let high = i64::from(nr_cpus) - 1;
        let (from, to) = (number(from, 0, high)?, number(to, 0, high)?);
        cpus.extend((from..=to).map(|c| CpuId(c as u32)));
    }
    if cpus.is_empty() { Err(format!("\"{text}\" names no CPU")) } else { Ok(cpus) }
}

/// A policy that is not real-time keeps the task's nice value when none is given, as sched_setscheduler(2) does.
fn policy(name: &str, value: Option<&str>) -> Result<(Policy, Option<i32>), String> {
    let policy = policy_name(name)?;
    let (low, high, default) = priority_range(policy);
    let value = match value {
        Some(value) => Some(number(value, low, high)? as i32),
        None => policy.is_rt().then_some(default),
    };
    Ok((policy, value))
}

fn settings(words: &[&str]) -> Result<Vec<CgroupSetting>, String> {
    let (mut out, mut max, mut burst) = (Vec::new(), None, 0);
    let mut rest = words;
    while !rest.is_empty() {
        rest = match rest {
            ["weight", n, tail @ ..] => {
                out.push(CgroupSetting::Weight(number(n, 1, 10_000)? as u32));
                tail
            }
            ["idle", n, tail @ ..] => {
                out.push(CgroupSetting::Idle(number(n, 0, 1)? == 1));
                tail
            }
            ["max", quota, tail @ ..] => {
                let quota_us = if *quota == "max" { None } else { Some(micros(quota)?) };
                let period = tail.first().filter(|w| w.starts_with(|c: char| c.is_ascii_digit()));
                max = Some((quota_us, period.map_or(Ok(PERIOD_US), |p| micros(p))?));
                &tail[usize::from(period.is_some())..]
            }
            ["burst", n, tail @ ..] => {
                burst = micros(n)?;
                tail
            }
            [word, ..] => return Err(format!("\"{word}\": expected {SETTINGS}")),
            [] => rest,
        };
    }
    if max.is_none() && burst > 0 {
        return Err("burst needs a max".into());
    }
    if let Some((quota_us, period_us)) = max {
        out.push(CgroupSetting::Max { quota_us, period_us, burst_us: burst });
    }
    Ok(out)
}

impl Context {
    /// Every task an event names exists in the file.
    pub(super) fn check_event_tasks(&self, pos: Pos) -> Result<(), RtappError> {
        for e in &self.workload.events {
            let (Command::Move { task, .. }
            | Command::Nice { task, .. }
            | Command::Affinity { task, .. }
            | Command::Policy { task, .. }
            | Command::Kill { task }) = &e.command
            else {
                continue;
            };
            let known = |name: &str| self.workload.tasks.iter().any(|t| t.name == name);
            let stem = task.rsplit_once('-').filter(|(_, n)| n.parse::<u32>().is_ok()).map_or("", |s| s.0);
            if !known(task) && !known(stem) {
                return invalid(
                    pos,
                    format!("\"events\" names the task \"{task}\", which the file does not have"),
                );
            }
        }
        Ok(())
    }
}
