//! TOML to [`Setup`], every message with its line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use sextant_sched::topology::Shape;

use super::expr::{Names, eval};
use super::{Entry, Parts, Prog, Set, Setup, SetupError};
use crate::nearest::did_you_mean;

/// Elements of the longest array that is filled.
const MAX_LEN: i64 = 1 << 20;

pub(super) type Value<'a> = Spanned<DeValue<'a>>;
pub(super) type Result<T> = std::result::Result<T, SetupError>;

/// Reads a setup file for a machine.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn read(text: &str, machine: Shape) -> Result<Setup> {
    let nr_cpus = machine.nr_cpus().unwrap_or(1);
    let cx = Cx { text, names: Names { machine, nr_cpus, i: None, j: None } };
    let file = DeTable::parse(text).map_err(|e| cx.error(e.span().unwrap_or(0..0), e.message()))?;
    let mut setup = Setup::default();
    let mut steps = Vec::new();
    for (name, at, value) in items(file.get_ref()) {
        match name {
            "globals" => cx.each_set(value, "", &mut setup)?,
            "arrays" => cx.arrays(value, &mut setup)?,
            "ops" => cx.each_set(value, "ops.", &mut setup)?,
            "maps" => cx.maps(value, &mut setup)?,
            "programs" => cx.programs(value, &mut setup)?,
            "run" | "write" | "do" => cx.steps(name, value, &mut steps)?,
            _ => return Err(cx.unknown(at, name, SECTIONS)),
        }
    }
    // A stable sort: the turns of a loop stay in order.
    steps.sort_by_key(|(at, _)| *at);
    setup.steps = steps.into_iter().map(|(_, step)| step).collect();
    // Arrays get their lengths before single elements are set.
    setup.sets.sort_by_key(|set| !set.value.starts_with('['));
    Ok(setup)
}

/// Tables of a file.
const SECTIONS: &[&str] = &["globals", "arrays", "ops", "programs", "maps", "run", "write", "do"];

/// What a table holds, in file order.
pub(super) fn items<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a str, Range<usize>, &'a Value<'i>)> {
    let mut items: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    items.sort_by_key(|(_, at, _)| at.start);
    items
}

#[derive(Clone, Copy)]
pub(super) struct Cx<'a> {
    pub(super) text: &'a str,
    pub(super) names: Names,
}

impl Cx<'_> {
    pub(super) fn line(&self, at: Range<usize>) -> usize {
        1 + self.text.bytes().take(at.start).filter(|&b| b == b'\n').count()
    }

    pub(super) fn error(&self, at: Range<usize>, what: impl Into<String>) -> SetupError {
        SetupError { line: self.line(at), what: what.into() }
    }

    pub(super) fn unknown(&self, at: Range<usize>, name: &str, known: &[&'static str]) -> SetupError {
        let hint = did_you_mean(name, known.iter().copied());
        self.error(at, format!("\"{name}\" is not known here{hint} (known: {})", known.join(", ")))
    }

    pub(super) fn table<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> Result<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.error(value.span(), format!("{what} must be a table"))),
        }
    }

    pub(super) fn list<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> Result<Vec<&'v Value<'i>>> {
        match value.get_ref() {
            DeValue::Array(list) => Ok(list.iter().collect()),
            _ => Err(self.error(value.span(), format!("{what} must be a list"))),
        }
    }

    /// A value as `--set` writes it.
    pub(super) fn text(&self, value: &Value<'_>) -> Result<String> {
        let bad = |what: &str| Err(self.error(value.span(), what));
        match value.get_ref() {
            DeValue::Integer(_) => Ok(self.int(value)?.to_string()),
            DeValue::Boolean(b) => Ok(b.to_string()),
            DeValue::String(s) if s.contains('$') => {
                bad("$names are what steps have saved: they have a meaning in [[run]], [[write]] and [[do]]")
            }
            DeValue::String(s) if s.contains('@') => self.int(value).map(|n| n.to_string()),
            DeValue::String(s) => Ok(s.to_string()),
            DeValue::Array(list) => {
                let values = list.iter().map(|v| self.text(v)).collect::<Result<Vec<_>>>()?;
                Ok(format!("[{}]", values.join(", ")))
            }
            DeValue::Table(_) => bad("a table has no place here"),
            DeValue::Float(_) => bad("numbers are whole"),
            DeValue::Datetime(_) => bad("a date has no place here"),
        }
    }

    pub(super) fn int(&self, value: &Value<'_>) -> Result<i128> {
        match value.get_ref() {
            DeValue::Integer(n) => i128::from_str_radix(n.as_str(), n.radix())
                .map_err(|_| self.error(value.span(), "the number is too large")),
            DeValue::String(s) => eval(s, self.names, None).map_err(|e| self.error(value.span(), e)),
            _ => Err(self.error(value.span(), "a number is expected, or arithmetic with @cpus in quotes")),
        }
    }

    pub(super) fn within<T: TryFrom<i128>>(&self, value: &Value<'_>, what: &str) -> Result<T> {
        let n = self.int(value)?;
        T::try_from(n).map_err(|_| self.error(value.span(), format!("{what} cannot be {n}")))
    }

    pub(super) fn string(&self, value: &Value<'_>, what: &str) -> Result<String> {
        match value.get_ref() {
            DeValue::String(s) => Ok(s.to_string()),
            _ => Err(self.error(value.span(), format!("{what} must be text"))),
        }
    }

    fn set(&self, at: Range<usize>, path: String, value: String) -> Set {
        Set { line: self.line(at), path, value }
    }

    fn each_set(&self, value: &Value<'_>, prefix: &str, setup: &mut Setup) -> Result<()> {
        for (name, at, value) in items(self.table(value, "this")?) {
            for (path, text) in self.parts(value)? {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                setup.sets.push(self.set(at.clone(), format!("{prefix}{name}{dot}{path}"), text));
            }
        }
        Ok(())
    }

    /// A value, or a table of its fields.
    fn parts(&self, value: &Value<'_>) -> Result<Parts> {
        let DeValue::Table(table) = value.get_ref() else {
            return Ok(vec![(String::new(), self.text(value)?)]);
        };
        let mut parts = Vec::new();
        for (name, _, value) in items(table) {
            for (path, text) in self.parts(value)? {
                let dot = if path.is_empty() { "" } else { "." };
                parts.push((format!("{name}{dot}{path}"), text));
            }
        }
        Ok(parts)
    }

    fn arrays(&self, value: &Value<'_>, setup: &mut Setup) -> Result<()> {
        for (name, at, value) in items(self.table(value, "[arrays]")?) {
            let text = match value.get_ref() {
                DeValue::Table(table) => self.filled(value, table)?,
                DeValue::Array(_) => self.text(value)?,
                _ => format!("[0; {}]", self.len(value)?),
            };
            setup.sets.push(self.set(at, name.to_owned(), text));
        }
        Ok(())
    }

    pub(super) fn len(&self, value: &Value<'_>) -> Result<u64> {
        let n = self.int(value)?;
        if !(0..=i128::from(MAX_LEN)).contains(&n) {
            return Err(self.error(value.span(), format!("a length of {n}: it must be 0 to {MAX_LEN}")));
        }
        Ok(n as u64)
    }

    /// `{ len = N, each = VALUE }`
    fn filled(&self, whole: &Value<'_>, table: &DeTable<'_>) -> Result<String> {
        let (mut len, mut each) = (None, None);
        for (name, at, value) in items(table) {
            match name {
                "len" => len = Some(self.len(value)?),
                "each" => each = Some(value),
                _ => return Err(self.unknown(at, name, &["len", "each"])),
            }
        }
        let len = len.ok_or_else(|| self.error(whole.span(), "an array needs its `len`"))?;
        let Some(each) = each else { return Ok(format!("[0; {len}]")) };
        let element = |index| Cx { names: Names { i: Some(index), ..self.names }, ..*self }.text(each);
        let values = (0..len).map(element).collect::<Result<Vec<_>>>()?;
        Ok(format!("[{}]", values.join(", ")))
    }

    fn maps(&self, value: &Value<'_>, setup: &mut Setup) -> Result<()> {
        for (map, _, value) in items(self.table(value, "[maps]")?) {
            for (name, at, value) in items(self.table(value, "a map's settings")?) {
                match name {
                    "max_entries" | "inner" => {
                        let text = self.within::<u32>(value, name)?.to_string();
                        setup.sets.push(self.set(at, format!("map:{map}.{name}"), text));
                    }
                    "entries" => {
                        for entry in self.list(value, "entries")? {
                            self.each_entry(map, entry, &mut setup.entries)?;
                        }
                    }
                    _ => return Err(self.unknown(at, name, &["max_entries", "inner", "entries"])),
                }
            }
        }
        Ok(())
    }

    /// An entry, once for each turn of its `for`.
    fn each_entry(&self, map: &str, whole: &Value<'_>, out: &mut Vec<Entry>) -> Result<()> {
        let table = items(self.table(whole, "an entry")?);
        let turns = table.iter().find(|(name, ..)| *name == "for").map(|(.., value)| *value);
        for names in self.turns(turns)? {
            out.push(Cx { names, ..*self }.entry(map, whole)?);
        }
        Ok(())
    }

    fn entry(&self, map: &str, whole: &Value<'_>) -> Result<Entry> {
        let line = self.line(whole.span());
        let mut entry = Entry { line, map: map.to_owned(), at: None, key: None, values: Vec::new() };
        for (name, at, value) in items(self.table(whole, "an entry")?) {
            match name {
                "for" => {}
                "at" => entry.at = Some(self.within(value, "an index")?),
                "key" => entry.key = Some(self.parts(value)?),
                "value" | "per_cpu" if !entry.values.is_empty() => {
                    return Err(self.error(at, "an entry has a `value` or a value `per_cpu`, not both"));
                }
                "value" => entry.values = vec![self.parts(value)?],
                "per_cpu" => {
                    let one = |cpu: u32| {
                        Cx { names: Names { i: Some(cpu.into()), ..self.names }, ..*self }.parts(value)
                    };
                    entry.values = (0..self.names.nr_cpus).map(one).collect::<Result<_>>()?;
                }
                _ => return Err(self.unknown(at, name, &["key", "value", "per_cpu", "at", "for"])),
            }
        }
        if entry.values.is_empty() {
            return Err(self.error(whole.span(), "an entry needs a `value`"));
        }
        Ok(entry)
    }

    fn programs(&self, value: &Value<'_>, setup: &mut Setup) -> Result<()> {
        for (prog, at, value) in items(self.table(value, "[programs]")?) {
            let mut found = Prog { line: self.line(at), name: prog.to_owned(), load: None, target: None };
            for (name, at, value) in items(self.table(value, "a program's settings")?) {
                match (name, value.get_ref()) {
                    ("load", DeValue::Boolean(load)) => found.load = Some(*load),
                    ("load", _) => return Err(self.error(value.span(), "load is true or false")),
                    ("target", _) => found.target = Some(self.string(value, "target")?),
                    _ => return Err(self.unknown(at, name, &["load", "target"])),
                }
            }
            setup.progs.push(found);
        }
        Ok(())
    }
}
