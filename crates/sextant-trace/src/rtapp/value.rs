//! Typed reading of single values, with the messages for what does not fit.

use sextant_abi::{CpuId, Ns};

use super::{RtappError, invalid};
use crate::lenient::{Member, Value};

/// Longest span a file may name: ten years, so that sums of times cannot overflow.
const MAX_US: i64 = 10 * 365 * 86_400 * 1_000_000;

/// Remembers a member that may occur once.
pub(super) fn once<'a>(slot: &mut Option<&'a Member>, m: &'a Member) -> Result<(), RtappError> {
    match slot.replace(m) {
        None => Ok(()),
        Some(first) => invalid(m.pos, format!("\"{}\" again; the first is at {}", m.key, first.pos)),
    }
}

pub(super) fn object(m: &Member) -> Result<&[Member], RtappError> {
    match &m.node.value {
        Value::Object(members) => Ok(members),
        other => wants(m, "an object", other),
    }
}

pub(super) fn string(m: &Member) -> Result<&str, RtappError> {
    match &m.node.value {
        Value::Str(s) => Ok(s),
        other => wants(m, "a string", other),
    }
}

pub(super) fn int(m: &Member, low: i64, high: i64) -> Result<i64, RtappError> {
    match &m.node.value {
        Value::Int(n) if (low..=high).contains(n) => Ok(*n),
        Value::Int(n) => {
            invalid(m.node.pos, format!("\"{}\" is {n}, but must be from {low} to {high}", m.key))
        }
        other => wants(m, "a whole number", other),
    }
}

/// A time in microseconds.
pub(super) fn micros(m: &Member) -> Result<Ns, RtappError> {
    Ok(Ns::from_us(int(m, 0, MAX_US)?.unsigned_abs()))
}

/// A time in microseconds, of which -1 is forever (rt-app takes it for the largest number that there is).
pub(super) fn micros_or_forever(m: &Member) -> Result<Ns, RtappError> {
    match m.node.value {
        Value::Int(-1) => Ok(Ns::from_us(MAX_US.unsigned_abs())),
        _ => micros(m),
    }
}

/// `loop`: -1 is forever.
pub(super) fn loops(m: &Member) -> Result<Option<u64>, RtappError> {
    Ok(u64::try_from(int(m, -1, i64::MAX)?).ok())
}

/// `cpus`: an array of CPU numbers, or one number.
pub(super) fn cpus(m: &Member, nr_cpus: u32) -> Result<Vec<CpuId>, RtappError> {
    let single;
    let items = match &m.node.value {
        Value::Array(items) => items.as_slice(),
        Value::Int(_) => {
            single = [m.node.clone()];
            &single
        }
        other => return wants(m, "an array of CPU numbers", other),
    };
    let mut cpus = Vec::with_capacity(items.len());
    for item in items {
        match item.value {
            Value::Int(n) if n >= 0 && n < i64::from(nr_cpus) => cpus.push(CpuId(n as u32)),
            Value::Int(n) => {
                return invalid(
                    item.pos,
                    format!("\"cpus\" names CPU {n}, but the machine has {nr_cpus} CPU(s) (--cpus)"),
                );
            }
            ref other => {
                return invalid(item.pos, format!("\"cpus\" wants CPU numbers, found {}", other.kind()));
            }
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    if cpus.is_empty() {
        return invalid(m.node.pos, "\"cpus\" is empty: the task could run nowhere".into());
    }
    Ok(cpus)
}

pub(super) fn wants<T>(m: &Member, what: &str, found: &Value) -> Result<T, RtappError> {
    invalid(m.node.pos, format!("\"{}\" wants {what}, found {}", m.key, found.kind()))
}
