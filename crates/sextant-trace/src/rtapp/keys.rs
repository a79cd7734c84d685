//! The words of the format, one table each.

use super::RtappError;
use crate::lenient::Member;
use crate::nearest::did_you_mean;

/// What an action key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Run,
    RunTime,
    Sleep,
    Timer,
    Suspend,
    Resume,
    SemPost,
    SemWait,
    Fork,
    Yield,
    MigrateDisable,
    MigrateEnable,
    /// Known to rt-app, not to us: why.
    Unsupported(&'static str),
}

const MUTEX: &str = "mutexes and conditions are not modelled yet; sem_post/sem_wait and suspend/resume are";
const MEMORY: &str = "memory and I/O are not modelled; use run with the CPU time it takes";

/// The actions. A key is an action's name alone, or followed by anything that does not go on with a small letter
/// (`run1`, `sleep_b`): rt-app itself needs unique keys.
pub(super) const ACTIONS: &[(&str, Verb)] = &[
    ("run", Verb::Run),
    ("runtime", Verb::RunTime),
    ("sleep", Verb::Sleep),
    ("timer", Verb::Timer),
    ("suspend", Verb::Suspend),
    ("resume", Verb::Resume),
    ("fork", Verb::Fork),
    ("yield", Verb::Yield),
    ("migrate_disable", Verb::MigrateDisable),
    ("migrate_enable", Verb::MigrateEnable),
    ("lock", Verb::Unsupported(MUTEX)),
    ("unlock", Verb::Unsupported(MUTEX)),
    ("wait", Verb::Unsupported(MUTEX)),
    ("signal", Verb::Unsupported(MUTEX)),
    ("broad", Verb::Unsupported(MUTEX)),
    ("broadcast", Verb::Unsupported(MUTEX)),
    ("sync", Verb::Unsupported(MUTEX)),
    ("barrier", Verb::Unsupported("barriers are not modelled yet; sem_post/sem_wait are")),
    ("sem_post", Verb::SemPost),
    ("sem_wait", Verb::SemWait),
    ("mem", Verb::Unsupported(MEMORY)),
    ("memrun", Verb::Unsupported(MEMORY)),
    ("iorun", Verb::Unsupported(MEMORY)),
];

/// What a property key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Property {
    Loop,
    Priority,
    Policy,
    Cpus,
    Taskgroup,
    /// Task only.
    Instance,
    /// Task only.
    Delay,
    /// Task only.
    Phases,
    /// Changes nothing here: why.
    Ignored(&'static str),
    /// Cannot be honoured: why.
    Unsupported(&'static str),
}

const CLAMP: &str = "CPUs have no frequencies yet";
const DEADLINE: &str = "only SCHED_DEADLINE and a fair class with custom slices use it";
const OLD: &str = "the grammar of rt-app before 1.0; write run, timer and phases instead";

/// Properties of tasks and phases.
pub(super) const PROPERTIES: &[(&str, Property)] = &[
    ("loop", Property::Loop),
    ("priority", Property::Priority),
    ("nice", Property::Priority),
    ("policy", Property::Policy),
    ("cpus", Property::Cpus),
    ("util_min", Property::Ignored(CLAMP)),
    ("util_max", Property::Ignored(CLAMP)),
    ("nodes_membind", Property::Ignored("memory is not modelled")),
    ("dl-runtime", Property::Ignored(DEADLINE)),
    ("dl-period", Property::Ignored(DEADLINE)),
    ("dl-deadline", Property::Ignored(DEADLINE)),
    ("taskgroup", Property::Taskgroup),
];

/// Properties of tasks alone.
pub(super) const TASK_PROPERTIES: &[(&str, Property)] = &[
    ("instance", Property::Instance),
    ("delay", Property::Delay),
    ("phases", Property::Phases),
    ("exec", Property::Unsupported(OLD)),
    ("lock_order", Property::Unsupported(OLD)),
    ("resources", Property::Unsupported(OLD)),
    ("period", Property::Ignored(DEADLINE)),
    ("deadline", Property::Ignored(DEADLINE)),
];

/// Top level.
pub(super) const DOCUMENT: &[&str] = &["tasks", "global", "resources", "cgroups", "events"];

const LOGGING: &str = "Sextant has its own --trace and --json";

/// Keys of `global` that change nothing here. `duration` and `default_policy` are the others.
pub(super) const GLOBAL_IGNORED: &[(&str, &str)] = &[
    ("calibration", "run is an amount of CPU time of the simulated machine"),
    ("pi_enabled", "mutexes are not modelled"),
    ("lock_pages", "memory is not modelled"),
    ("frag", "an option of old versions of rt-app"),
    ("logdir", LOGGING),
    ("log_basename", LOGGING),
    ("log_size", LOGGING),
    ("ftrace", LOGGING),
    ("gnuplot", LOGGING),
    ("io_device", "I/O is not modelled"),
    ("mem_buffer_size", "memory is not modelled"),
    ("cumulative_slack", "slack is not reported"),
];

/// The action a key stands for.
pub(super) fn action(key: &str) -> Option<Verb> {
    let named = |name: &str| {
        let rest = key.strip_prefix(name)?;
        (!rest.starts_with(|c: char| c.is_lowercase())).then_some(rest.len())
    };
    ACTIONS
        .iter()
        .filter_map(|(name, verb)| Some((named(name)?, *verb)))
        .min_by_key(|(rest, _)| *rest)
        .map(|(_, verb)| verb)
}

/// The property a key stands for.
pub(super) fn property(key: &str, in_task: bool) -> Option<Property> {
    let extra: &[_] = if in_task { TASK_PROPERTIES } else { &[] };
    PROPERTIES.iter().chain(extra).find(|(name, _)| *name == key).map(|(_, p)| *p)
}

/// Every word a task (or phase) may contain.
pub(super) fn words(in_task: bool) -> impl Iterator<Item = &'static str> {
    let extra: &[_] = if in_task { TASK_PROPERTIES } else { &[] };
    let known = ACTIONS.iter().map(|(name, _)| *name);
    known.chain(PROPERTIES.iter().chain(extra).map(|(name, _)| *name))
}

/// Words that people write for others, of older or other tools.
const MEANT: &[(&str, &str)] = &[
    ("exec_time", "run"),
    ("execution_time", "run"),
    ("compute", "run"),
    ("busy", "run"),
    ("sleep_time", "sleep"),
    ("idle", "sleep"),
    ("usleep", "sleep"),
    ("affinity", "cpus"),
    ("cpu", "cpus"),
    ("instances", "instance"),
    ("count", "instance"),
    ("threads", "instance"),
    ("repeat", "loop"),
    ("iterations", "loop"),
    ("cgroup", "taskgroup"),
    ("start", "delay"),
    ("prio", "priority"),
    ("weight", "priority"),
    ("sched_policy", "policy"),
];

/// The error for a key that is none of `known`.
pub(super) fn unknown<'a>(m: &Member, place: &str, known: impl Iterator<Item = &'a str>) -> RtappError {
    let known: Vec<&str> = known.collect();
    let meant = MEANT.iter().find(|(word, meant)| *word == m.key && known.contains(meant));
    let hint = match meant {
        Some((_, meant)) => format!("; did you mean \"{meant}\"?"),
        None => did_you_mean(&m.key, known),
    };
    RtappError::UnknownKey { pos: m.pos, key: m.key.clone(), place: place.to_string(), hint }
}
