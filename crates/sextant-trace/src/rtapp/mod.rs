//! rt-app files: the reader.
//!
//! What must hold: a file is either understood completely or refused with line, column and name of what is not; nothing is
//! dropped silently. What rt-app accepts and Sextant cannot perform is refused as a whole, all places at once, or, with
//! [`Options::skip_unsupported`], left out with a warning each.
//!
//! Grammar and meaning are those of rt-app (doc/tutorial.txt, src/rt-app_parse_config.c), with these deliberate differences:
//! - duplicate keys are kept in order (rt-app needs its `workgen` script for that);
//! - unknown keys are errors outside `global`, where they are ignored with a warning; rt-app ignores them everywhere, so that a slip of
//!   the pen changes the load unnoticed;
//! - `"suspend": "NAME"` waits for `"resume": "NAME"`, as the public examples mean it; rt-app ignores the string and takes
//!   the task's own name, which is our meaning of a bare `"suspend"`;
//! - `"policy": "SCHED_EXT"` is our extension: policy 7, for a scheduler that takes over part of the tasks;
//! - the actions `"migrate_disable"` and `"migrate_enable"` stand for kernel code that pins the task to its CPU;
//! - `"nice"` is another word for `"priority"`;
//! - `"taskgroup"` of a task is where it is born; rt-app moves it there when it starts. `"cgroups"` sets weights and limits, `"events"` is
//!   a script for machine and tasks (`script`); both are our extensions.
//!
//! Left out: mutexes, conditions, barriers, memory and I/O actions, SCHED_DEADLINE, and the grammar of rt-app before 1.0 (`exec`, `lock_order`).

mod action;
mod global;
mod keys;
mod script;
mod task;
mod value;

use std::fmt;

use sextant_sim::Workload;

use crate::lenient::{self, Member, Pos, SyntaxError, Value};

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// CPUs of the machine: `cpus` must lie below.
    pub nr_cpus: u32,
    /// Leave out what is not supported, with a warning, instead of refusing the file.
    pub skip_unsupported: bool,
}

/// A file that was understood.
#[derive(Clone, Debug)]
pub struct Read {
    /// What it says.
    pub workload: Workload,
    /// What was left out, in file order (only with `skip_unsupported`).
    pub skipped: Vec<Unsupported>,
    /// What has no effect on a simulated machine (logging, calibration, …), in file order.
    pub ignored: Vec<Ignored>,
    /// Keys of `global` that nobody knows, in file order.
    pub unknown: Vec<Unknown>,
}

/// Something rt-app can do and Sextant cannot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// Where.
    pub pos: Pos,
    /// The action or property, as in the file.
    pub what: String,
    /// In which task, or `global`.
    pub place: String,
    /// Why, and what to try.
    pub why: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in {}: {}", self.pos, self.what, self.place, self.why)
    }
}

/// A key that is accepted and changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ignored {
    /// Where.
    pub pos: Pos,
    /// The key.
    pub key: String,
    /// Why it changes nothing.
    pub why: &'static str,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\" has no effect: {}", self.pos, self.key, self.why)
    }
}

/// A key of `global` that nobody knows: ignored, as rt-app does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// Where the key stands in the file.
    pub pos: Pos,
    /// The key.
    pub key: String,
    /// `; did you mean …?`, or nothing.
    pub hint: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: unknown key \"{}\" in global is ignored{}", self.pos, self.key, self.hint)
    }
}

/// Why a file was refused. The message starts with `line:column`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RtappError {
    /// Not even the tolerant dialect.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A key that nobody knows.
    #[error("{pos}: unknown key \"{key}\" in {place}{hint}")]
    UnknownKey {
        /// Where.
        pos: Pos,
        /// The key.
        key: String,
        /// In which object.
        place: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
    /// A value of the wrong type or out of its range, or an object that makes no sense.
    #[error("{pos}: {what}")]
    Invalid {
        /// Where.
        pos: Pos,
        /// What is wrong with it.
        what: String,
    },
    /// Understood, but Sextant cannot perform it.
    #[error("not supported:{}", Listed(.0))]
    Unsupported(Vec<Unsupported>),
}

struct Listed<'a>(&'a [Unsupported]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|u| write!(f, "\n  {u}"))
    }
}

/// Reads the text of an rt-app file; `name` is what reports call the workload.
pub fn read(text: &str, name: &str, options: &Options) -> Result<Read, RtappError> {
    let root = lenient::parse(text)?;
    let mut cx = Context {
        options: *options,
        unsupported: Vec::new(),
        ignored: Vec::new(),
        unknown: Vec::new(),
        workload: Workload::default(),
    };
    cx.workload.name = name.to_string();
    let Value::Object(members) = &root.value else {
        return invalid(root.pos, format!("expected an object with \"tasks\", found {}", root.value.kind()));
    };
    cx.document(root.pos, members)?;
    cx.unsupported.sort_by_key(|u| u.pos);
    cx.ignored.sort_by_key(|i| i.pos);
    if !cx.unsupported.is_empty() && !options.skip_unsupported {
        return Err(RtappError::Unsupported(cx.unsupported));
    }
    Ok(Read { workload: cx.workload, skipped: cx.unsupported, ignored: cx.ignored, unknown: cx.unknown })
}

/// What grows while a file is read.
struct Context {
    options: Options,
    unsupported: Vec<Unsupported>,
    ignored: Vec<Ignored>,
    unknown: Vec<Unknown>,
    workload: Workload,
}

impl Context {
    fn document(&mut self, pos: Pos, members: &[Member]) -> Result<(), RtappError> {
        let (mut global, mut tasks, mut cgroups, mut events) = (None, None, None, None);
        for m in members {
            match m.key.as_str() {
                "global" => value::once(&mut global, m)?,
                "tasks" => value::once(&mut tasks, m)?,
                "cgroups" => value::once(&mut cgroups, m)?,
                "events" => value::once(&mut events, m)?,
                "resources" => self.ignore(m, "resources are made where they are used"),
                _ => self.unknown_key(m, "the file", keys::DOCUMENT.iter().copied())?,
            }
        }
        let defaults = match global {
            Some(m) => self.global(value::object(m)?)?,
            None => global::Defaults::default(),
        };
        let Some(tasks) = tasks else {
            return invalid(pos, "the file has no \"tasks\" object, so there is nothing to run".into());
        };
        self.tasks(tasks.pos, value::object(tasks)?, &defaults)?;
        if let Some(m) = cgroups {
            self.cgroups(value::object(m)?)?;
        }
        match events {
            Some(m) => {
                self.events(m)?;
                self.check_event_tasks(m.pos)
            }
            None => Ok(()),
        }
    }

    fn ignore(&mut self, m: &Member, why: &'static str) {
        self.ignored.push(Ignored { pos: m.pos, key: m.key.clone(), why });
    }

    /// A key that nobody knows: an error, unless everything unsupported is left out.
    fn unknown_key<'a>(
        &mut self,
        m: &Member,
        place: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Result<(), RtappError> {
        if !self.options.skip_unsupported {
            return Err(keys::unknown(m, place, known));
        }
        self.refuse(
            m.pos,
            format!("unknown key \"{}\"", m.key),
            place,
            "neither rt-app nor Sextant knows it",
        );
        Ok(())
    }

    fn refuse(&mut self, pos: Pos, what: String, place: &str, why: &'static str) {
        self.unsupported.push(Unsupported { pos, what, place: place.to_string(), why });
    }
}

fn invalid<T>(pos: Pos, what: String) -> Result<T, RtappError> {
    Err(RtappError::Invalid { pos, what })
}

#[cfg(test)]
mod tests;
