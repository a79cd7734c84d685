//! TOML to [`Setup`], every message with its line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expr::{Names, eval};
use super::{Context, Entry, Parts, Run, Set, Setup, SetupError};
use crate::nearest::did_you_mean;

/// Elements of the longest array that is filled.
const MAX_LEN: i64 = 1 << 20;

type Value<'a> = Spanned<DeValue<'a>>;
type Result<T> = std::result::Result<T, SetupError>;

/// Reads a setup file for a machine of that many CPUs.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn read(text: &str, nr_cpus: u32) -> Result<Setup> {
    let cx = Cx { text, names: Names { nr_cpus, index: None } };
    let file = DeTable::parse(text).map_err(|e| cx.error(e.span().unwrap_or(0..0), e.message()))?;
    let mut setup = Setup::default();
    for (name, at, value) in items(file.get_ref()) {
        match name {
            "globals" => cx.each_set(value, "", &mut setup)?,
            "arrays" => cx.arrays(value, &mut setup)?,
            "ops" => cx.each_set(value, "ops.", &mut setup)?,
            "maps" => cx.maps(value, &mut setup)?,
            "run" => cx.runs(value, &mut setup)?,
            _ => return Err(cx.unknown(at, name, &["globals", "arrays", "ops", "maps", "run"])),
        }
    }
    // Arrays get their lengths before single elements are set.
    setup.sets.sort_by_key(|set| !set.value.starts_with('['));
    Ok(setup)
}

/// What a table holds, in file order.
fn items<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a str, Range<usize>, &'a Value<'i>)> {
    let mut items: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    items.sort_by_key(|(_, at, _)| at.start);
    items
}

#[derive(Clone, Copy)]
struct Cx<'a> {
    text: &'a str,
    names: Names,
}

impl Cx<'_> {
    fn line(&self, at: Range<usize>) -> usize {
        1 + self.text.bytes().take(at.start).filter(|&b| b == b'\n').count()
    }

    fn error(&self, at: Range<usize>, what: impl Into<String>) -> SetupError {
        SetupError { line: self.line(at), what: what.into() }
    }

    fn unknown(&self, at: Range<usize>, name: &str, known: &[&'static str]) -> SetupError {
        let hint = did_you_mean(name, known.iter().copied());
        self.error(at, format!("\"{name}\" is not known here{hint} (known: {})", known.join(", ")))
    }

    fn table<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> Result<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.error(value.span(), format!("{what} must be a table"))),
        }
    }

    fn list<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> Result<Vec<&'v Value<'i>>> {
        match value.get_ref() {
            DeValue::Array(list) => Ok(list.iter().collect()),
            _ => Err(self.error(value.span(), format!("{what} must be a list"))),
        }
    }

    /// A value as `--set` writes it.
    fn text(&self, value: &Value<'_>) -> Result<String> {
        let bad = |what: &str| Err(self.error(value.span(), what));
        match value.get_ref() {
            DeValue::Integer(_) => Ok(self.int(value)?.to_string()),
            DeValue::Boolean(b) => Ok(b.to_string()),
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

    fn int(&self, value: &Value<'_>) -> Result<i128> {
        match value.get_ref() {
            DeValue::Integer(n) => i128::from_str_radix(n.as_str(), n.radix())
                .map_err(|_| self.error(value.span(), "the number is too large")),
            DeValue::String(s) => {
                eval(s, self.names).map(i128::from).map_err(|e| self.error(value.span(), e))
            }
            _ => Err(self.error(value.span(), "a number is expected, or arithmetic with @cpus in quotes")),
        }
    }

    fn within<T: TryFrom<i128>>(&self, value: &Value<'_>, what: &str) -> Result<T> {
        let n = self.int(value)?;
        T::try_from(n).map_err(|_| self.error(value.span(), format!("{what} cannot be {n}")))
    }

    fn string(&self, value: &Value<'_>, what: &str) -> Result<String> {
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

    fn len(&self, value: &Value<'_>) -> Result<u64> {
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
        let element = |index| Cx { names: Names { index: Some(index), ..self.names }, ..*self }.text(each);
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
                            setup.entries.push(self.entry(map, entry)?);
                        }
                    }
                    _ => return Err(self.unknown(at, name, &["max_entries", "inner", "entries"])),
                }
            }
        }
        Ok(())
    }

    fn entry(&self, map: &str, whole: &Value<'_>) -> Result<Entry> {
        let line = self.line(whole.span());
        let mut entry = Entry { line, map: map.to_owned(), at: None, key: None, value: Vec::new() };
        for (name, at, value) in items(self.table(whole, "an entry")?) {
            match name {
                "at" => entry.at = Some(self.within(value, "an index")?),
                "key" => entry.key = Some(self.parts(value)?),
                "value" => entry.value = self.parts(value)?,
                _ => return Err(self.unknown(at, name, &["key", "value", "at"])),
            }
        }
        if entry.value.is_empty() {
            return Err(self.error(whole.span(), "an entry needs a `value`"));
        }
        Ok(entry)
    }

    fn runs(&self, value: &Value<'_>, setup: &mut Setup) -> Result<()> {
        for whole in self.list(value, "run (write [[run]])")? {
            let mut run =
                Run { line: self.line(whole.span()), prog: String::new(), ctx: Context::Empty, returns: 0 };
            for (name, at, value) in items(self.table(whole, "[[run]]")?) {
                match name {
                    "prog" => run.prog = self.string(value, "prog")?,
                    "ctx" => run.ctx = Context::Fields(self.parts(value)?),
                    "args" => run.ctx = Context::Words(self.words(value)?),
                    "returns" => run.returns = self.within(value, "a return value")?,
                    _ => return Err(self.unknown(at, name, &["prog", "ctx", "args", "returns"])),
                }
            }
            if run.prog.is_empty() {
                return Err(self.error(whole.span(), "[[run]] needs the name of a `prog`"));
            }
            setup.runs.push(run);
        }
        Ok(())
    }

    fn words(&self, value: &Value<'_>) -> Result<Vec<u64>> {
        let word = |value: &Value<'_>| {
            let n = self.int(value)?;
            let fits = u64::try_from(n).or_else(|_| i64::try_from(n).map(|n| n as u64));
            fits.map_err(|_| self.error(value.span(), format!("{n} is no word of 64 bits")))
        };
        self.list(value, "args")?.into_iter().map(word).collect()
    }
}
