//! `--show`: variables and maps of the scheduler after the run, through its types.

use sextant_sched::Sched;
use sextant_trace::report::{ShownRow, ShownValue, ShownWhat};
use sextant_uapi::globals::{SetError, Value};
use sextant_uapi::{Loaded, ShownElement};

use crate::cli::SimArgs;
use crate::scheduler::{Loads, Machine};
use crate::status::Failure;

/// A map's name, if the argument names one.
const MAP: &str = "map:";

/// Refuses what no scheduler of the run has, before it runs.
pub fn check(args: &SimArgs, loads: &Loads, tried: &[std::rc::Rc<Loaded>]) -> Result<(), Failure> {
    for what in &args.shows {
        let known = tried.iter().cloned().chain(loads.all()).map(|loaded| read(&loaded, what).map(drop));
        let mut refusals = Vec::new();
        if known.map(|result| result.map_err(|e| refusals.push(e))).any(|result| result.is_ok()) {
            continue;
        }
        let why =
            refusals.first().map_or("no scheduler of this run is an object".to_string(), |e| e.to_string());
        return Err(Failure::usage(format!("--show {what}: {why}")));
    }
    Ok(())
}

enum Found {
    Var(Value),
    Map(sextant_uapi::ShownMap),
}

fn read(loaded: &Loaded, what: &str) -> Result<Found, SetError> {
    match what.strip_prefix(MAP) {
        Some(name) => loaded.show_map(name).map(Found::Map),
        None => loaded.show_var(what).map(Found::Var),
    }
}

/// What was asked for, of the scheduler that was loaded last.
pub fn shown(args: &SimArgs, machine: &Machine) -> Vec<ShownRow> {
    let last = machine.loads.last();
    let row = |what: &String| {
        let found = last.as_ref().map(|loaded| read(loaded, what));
        let what_of = match found {
            None => ShownWhat::Failed("the scheduler that has it is gone: another one came after it".into()),
            Some(Err(e)) => ShownWhat::Failed(e.to_string()),
            Some(Ok(Found::Var(value))) => ShownWhat::Var(plain(value)),
            Some(Ok(Found::Map(map))) => {
                let owners = map.map_type.ends_with("STORAGE");
                let elements = map.elements.into_iter().map(|e| element(e, owners, &machine.sim.sched));
                ShownWhat::Map { map_type: map.map_type, elements: elements.collect() }
            }
        };
        ShownRow { name: what.clone(), what: what_of }
    };
    args.shows.iter().map(row).collect()
}

fn element(e: ShownElement, owners: bool, s: &Sched) -> (ShownValue, Vec<ShownValue>) {
    let key = match e.key {
        Value::Pointer(addr) if owners => owner(s, addr),
        key => plain(key),
    };
    (key, e.values.into_iter().map(plain).collect())
}

/// The task or cgroup that local storage belongs to.
fn owner(s: &Sched, addr: u64) -> ShownValue {
    if let Some(p) = s.tasks.from_addr(addr) {
        let (ts, mem) = (s.t(p), &*s.mem);
        return ShownValue::Name(format!("{}[{}]", ts.comm().get_str(mem), ts.pid().get(mem)));
    }
    match s.cgroups.from_addr(addr) {
        Some(cgrp) => ShownValue::Name(s.cgroups[cgrp].path.clone()),
        None => ShownValue::Pointer(addr),
    }
}

fn plain(value: Value) -> ShownValue {
    match value {
        Value::Int(n) => ShownValue::Int(n),
        Value::Bool(b) => ShownValue::Bool(b),
        Value::Enumerator(name) => ShownValue::Name(name),
        Value::Pointer(addr) => ShownValue::Pointer(addr),
        Value::Text(text) => ShownValue::Text(text),
        Value::Bytes(bytes) => ShownValue::Bytes(bytes),
        Value::Array(elements) => ShownValue::Array(elements.into_iter().map(plain).collect()),
        Value::Struct(fields) => {
            ShownValue::Struct(fields.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
    }
}
