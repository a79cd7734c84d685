//! Steps: programs to run and things to write, before the attach or at a time after it, once or for every CPU, core, cache, node, pair.

use std::ops::Range;

use toml::de::DeValue;

use super::Parts;
use super::expr::{Names, Saved, eval};
use super::reader::{Cx, Result, Value, items};

/// A step of a setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In the file, from 1.
    pub line: usize,
    /// Virtual time after the attach, ns; none: before it.
    pub at_ns: Option<u64>,
    /// What to do.
    pub act: Act,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Runs a syscall program.
    Run {
        /// Its name.
        prog: String,
        /// What its context holds.
        ctx: Context,
        /// What it has to return.
        returns: i32,
        /// The CPU that runs it; none: the one that attaches, CPU 0.
        on: Option<u32>,
        /// Names to keep what is in the context afterwards: name, field (or number of a word).
        save: Vec<(String, String)>,
    },
    /// Writes something.
    Write {
        /// Where to.
        to: Target,
        /// What.
        value: Vec<(String, Text)>,
    },
}

/// The context of a syscall program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Context {
    /// None.
    #[default]
    Empty,
    /// The structure its argument points to.
    Fields(Vec<(String, Text)>),
    /// Words of 64 bits.
    Words(Vec<Text>),
}

/// Where a step writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A variable, as `--set` names it.
    Global(String),
    /// Words of 64 bits at an address in the arena.
    Arena(Text),
    /// An element of a map.
    Map {
        /// Its name.
        map: String,
        /// Into the inner map at this index.
        inner: Option<u32>,
        /// Nothing for a queue or stack.
        key: Option<Vec<(String, Text)>>,
    },
}

/// A value whose text may depend on what earlier steps have saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As it is.
    Plain(String),
    /// Arithmetic with a `$name` in it.
    Sum(String, Names),
    /// A list.
    List(Vec<Text>),
}

impl Text {
    /// What it is now.
    ///
    /// # Errors
    /// A name that nobody has saved, or a result that is no number.
    pub fn resolve(&self, saved: Saved<'_>) -> std::result::Result<String, String> {
        match self {
            Text::Plain(text) => Ok(text.clone()),
            Text::Sum(text, names) => Ok(eval(text, *names, Some(saved))?.to_string()),
            Text::List(list) => {
                let texts =
                    list.iter().map(|t| t.resolve(saved)).collect::<std::result::Result<Vec<_>, _>>()?;
                Ok(format!("[{}]", texts.join(", ")))
            }
        }
    }

    /// Whether it is known before anything runs.
    pub fn is_known(&self) -> bool {
        match self {
            Text::Plain(_) => true,
            Text::Sum(..) => false,
            Text::List(list) => list.iter().all(Text::is_known),
        }
    }
}

/// All parts now, see [`Text::resolve`].
///
/// # Errors
/// As there.
pub fn resolve_parts(parts: &[(String, Text)], saved: Saved<'_>) -> std::result::Result<Parts, String> {
    parts.iter().map(|(path, text)| Ok((path.clone(), text.resolve(saved)?))).collect()
}

const RUN_KEYS: &[&str] = &["prog", "ctx", "args", "returns", "on", "save", "for", "at"];
const WRITE_KEYS: &[&str] = &["global", "arena", "map", "inner", "key", "value", "for", "at"];
const DO_KEYS: &[&str] = &["steps", "for", "at"];
const LOOPS: &str =
    "\"cpu\", \"core\", \"llc\", \"node\", \"sibling\", \"llc_pair\", \"node_pair\" or a number of turns";

/// Key and value of a table, with where it is.
type Items<'v, 'i> = Vec<(&'v str, Range<usize>, &'v Value<'i>)>;

impl Cx<'_> {
    /// `[[run]]`, `[[write]]`, `[[do]]`: each with where it stands, as the order of the file is that of the steps.
    pub(super) fn steps(&self, kind: &str, list: &Value<'_>, out: &mut Vec<(usize, Step)>) -> Result<()> {
        for whole in self.list(list, &format!("{kind} (write [[{kind}]])"))? {
            let table = items(self.table(whole, &format!("[[{kind}]]"))?);
            let get =
                |wanted: &str| table.iter().find(|(name, ..)| *name == wanted).map(|(.., value)| *value);
            let at_ns = get("at").map(|value| self.time(value)).transpose()?;
            for names in self.turns(get("for"))? {
                let cx = Cx { names, ..*self };
                let start = whole.span().start;
                if kind != "do" {
                    let act = cx.act(kind, whole, &table)?;
                    out.push((start, Step { line: self.line(whole.span()), at_ns, act }));
                    continue;
                }
                self.known(&table, DO_KEYS)?;
                let steps =
                    get("steps").ok_or_else(|| self.error(whole.span(), "[[do]] needs its `steps`"))?;
                for step in self.list(steps, "steps")? {
                    let table = items(self.table(step, "a step")?);
                    if let Some((name, at, _)) = table.iter().find(|(name, ..)| matches!(*name, "for" | "at"))
                    {
                        return Err(self.error(
                            at.clone(),
                            format!("`{name}` belongs to the [[do]], not to one of its steps"),
                        ));
                    }
                    let kind = if table.iter().any(|(name, ..)| *name == "prog") { "run" } else { "write" };
                    let act = cx.act(kind, step, &table)?;
                    out.push((start, Step { line: self.line(step.span()), at_ns, act }));
                }
            }
        }
        Ok(())
    }

    fn known(&self, table: &Items<'_, '_>, known: &[&'static str]) -> Result<()> {
        match table.iter().find(|(name, ..)| !known.contains(name)) {
            Some((name, at, _)) => Err(self.unknown(at.clone(), name, known)),
            None => Ok(()),
        }
    }

    fn act(&self, kind: &str, whole: &Value<'_>, table: &Items<'_, '_>) -> Result<Act> {
        match kind {
            "run" => self.run(whole, table),
            _ => self.write(whole, table),
        }
    }

    fn run(&self, whole: &Value<'_>, table: &Items<'_, '_>) -> Result<Act> {
        self.known(table, RUN_KEYS)?;
        let (mut prog, mut ctx, mut returns, mut on, mut save) =
            (String::new(), Context::Empty, 0, None, Vec::new());
        for (name, _, value) in table {
            match *name {
                "prog" => prog = self.string(value, "prog")?,
                "ctx" => ctx = Context::Fields(self.texts(value)?),
                "args" => ctx = Context::Words(self.words(value, "args")?),
                "returns" => returns = self.within(value, "a return value")?,
                "on" => on = Some(self.cpu(value)?),
                "save" => save = self.saves(value)?,
                _ => {}
            }
        }
        if prog.is_empty() {
            return Err(self.error(whole.span(), "[[run]] needs the name of a `prog`"));
        }
        if !save.is_empty() && matches!(ctx, Context::Empty) {
            return Err(
                self.error(whole.span(), "`save` keeps what is in the context: it needs a `ctx` or `args`")
            );
        }
        Ok(Act::Run { prog, ctx, returns, on, save })
    }

    fn cpu(&self, value: &Value<'_>) -> Result<u32> {
        let cpu: u32 = self.within(value, "a CPU")?;
        match cpu < self.names.nr_cpus {
            true => Ok(cpu),
            false => Err(self.error(
                value.span(),
                format!("there is no CPU {cpu}: the machine has {}", self.names.nr_cpus),
            )),
        }
    }

    fn saves(&self, value: &Value<'_>) -> Result<Vec<(String, String)>> {
        let mut saves = Vec::new();
        for (name, at, value) in items(self.table(value, "save")?) {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain || name == "sizeof" {
                return Err(
                    self.error(at, format!("\"{name}\" is no name: letters, digits and _ (not sizeof)"))
                );
            }
            let field = match value.get_ref() {
                DeValue::Integer(_) => self.within::<u32>(value, "the number of a word")?.to_string(),
                _ => self.string(value, "the field of the context to save")?,
            };
            saves.push((name.to_owned(), field));
        }
        Ok(saves)
    }

    fn write(&self, whole: &Value<'_>, table: &Items<'_, '_>) -> Result<Act> {
        self.known(table, WRITE_KEYS)?;
        let get = |wanted: &str| table.iter().find(|(name, ..)| *name == wanted).map(|(.., value)| *value);
        let value = get("value").ok_or_else(|| self.error(whole.span(), "a write needs its `value`"))?;
        let to = match (get("global"), get("arena"), get("map")) {
            (Some(name), None, None) => Target::Global(self.string(name, "global")?),
            (None, Some(addr), None) => Target::Arena(self.value_text(addr)?),
            (None, None, Some(map)) => Target::Map {
                map: self.string(map, "map")?,
                inner: get("inner").map(|value| self.within(value, "an index")).transpose()?,
                key: get("key").map(|value| self.texts(value)).transpose()?,
            },
            _ => {
                let what = "a step writes to one of `global`, `map` and `arena` (or runs a `prog`)";
                return Err(self.error(whole.span(), what));
            }
        };
        if !matches!(to, Target::Map { .. })
            && let Some((name, at, _)) = table.iter().find(|(name, ..)| matches!(*name, "key" | "inner"))
        {
            return Err(self.error(at.clone(), format!("`{name}` belongs to a `map`")));
        }
        let value = match to {
            Target::Arena(_) => vec![(String::new(), Text::List(self.words(value, "value")?))],
            _ => self.texts(value)?,
        };
        Ok(Act::Write { to, value })
    }

    /// The turns of a `for`; one without.
    pub(super) fn turns(&self, value: Option<&Value<'_>>) -> Result<Vec<Names>> {
        let Some(value) = value else { return Ok(vec![self.names]) };
        let shape = self.names.machine;
        let (llcs, cpus) = (shape.nodes * shape.llcs, self.names.nr_cpus);
        let word = match value.get_ref() {
            DeValue::String(s) if !s.contains(['@', '$']) => s.as_ref(),
            _ => "",
        };
        let pairs = |group: u32| {
            let group = group.max(1);
            let of = move |cpu: u32| {
                let first = cpu / group * group;
                (first..(first + group).min(cpus))
                    .filter(move |&other| other != cpu)
                    .map(move |other| (cpu, other))
            };
            let pairs = (0..cpus).flat_map(of);
            pairs
                .map(|(i, j)| Names { i: Some(i.into()), j: Some(j.into()), ..self.names })
                .collect::<Vec<_>>()
        };
        let count = match word {
            "cpu" => cpus,
            "core" => llcs * shape.cores,
            "llc" => llcs,
            "node" => shape.nodes,
            "sibling" => return Ok(pairs(shape.threads)),
            "llc_pair" => return Ok(pairs(shape.threads * shape.cores)),
            "node_pair" => return Ok(pairs(shape.threads * shape.cores * shape.llcs)),
            "" => self.len(value)? as u32,
            other => return Err(self.error(value.span(), format!("for = \"{other}\": it is {LOOPS}"))),
        };
        Ok((0..count).map(|i| Names { i: Some(i.into()), ..self.names }).collect())
    }

    /// `"1s"`, `"250ms"`.
    fn time(&self, value: &Value<'_>) -> Result<u64> {
        let text = self.string(value, "a time")?;
        let bad =
            || self.error(value.span(), format!("\"{text}\" is no time: write \"1s\", \"250ms\", \"100us\""));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let scale = match unit.trim() {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            _ => return Err(bad()),
        };
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(bad)
    }

    /// A value, or a table of its fields, with what is only known when it runs.
    fn texts(&self, value: &Value<'_>) -> Result<Vec<(String, Text)>> {
        let DeValue::Table(table) = value.get_ref() else {
            return Ok(vec![(String::new(), self.value_text(value)?)]);
        };
        let mut parts = Vec::new();
        for (name, _, value) in items(table) {
            for (path, text) in self.texts(value)? {
                let dot = if path.is_empty() { "" } else { "." };
                parts.push((format!("{name}{dot}{path}"), text));
            }
        }
        Ok(parts)
    }

    fn value_text(&self, value: &Value<'_>) -> Result<Text> {
        match value.get_ref() {
            DeValue::String(s) if s.contains('$') => {
                eval(s, self.names, None).map_err(|e| self.error(value.span(), e))?;
                Ok(Text::Sum(s.to_string(), self.names))
            }
            DeValue::Array(list) => {
                Ok(Text::List(list.iter().map(|v| self.value_text(v)).collect::<Result<_>>()?))
            }
            _ => Ok(Text::Plain(self.text(value)?)),
        }
    }

    fn words(&self, value: &Value<'_>, what: &str) -> Result<Vec<Text>> {
        let word = |value: &Value<'_>| {
            let text = self.value_text(value)?;
            if text.is_known() {
                self.int(value)?;
            }
            Ok(text)
        };
        self.list(value, what)?.into_iter().map(word).collect()
    }
}
