//! A scheduler's own figures: variables and maps that `--show` asked for, as text and in the document.

use std::fmt::Write;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::end::wrap;
use crate::report::{ShownRow, ShownValue, ShownWhat};
use crate::table::{Style, printable};

/// Elements of an array that are written out in the table; the document has all.
const ELEMENTS: usize = 64;

/// The part of the table; nothing without any.
pub(crate) fn render(out: &mut String, rows: &[ShownRow], style: Style) {
    if rows.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\n{}", style.heading("SHOWN"));
    for ShownRow { name, what } in rows {
        let name = printable(name);
        match what {
            ShownWhat::Var(value) => lines(out, &format!("{name} = {}", text(value)), 0),
            ShownWhat::Map { map_type, elements } => {
                let zero = elements.iter().filter(|(_, values)| values.iter().all(is_zero)).count();
                let all = elements.len();
                let zeros = if zero > 0 { format!(", {zero} of them zero") } else { String::new() };
                lines(out, &format!("{name} ({map_type}, {all} elements{zeros})"), 0);
                for (key, values) in elements.iter().filter(|(_, values)| !values.iter().all(is_zero)) {
                    lines(out, &format!("[{}] = {}", text(key), of_cpus(values)), 2);
                }
            }
            ShownWhat::Failed(why) => lines(out, &format!("{name}: {}", printable(why)), 0),
        }
    }
}

fn lines(out: &mut String, text: &str, indent: usize) {
    for line in wrap(text, indent) {
        out.push_str(&line);
        out.push('\n');
    }
}

/// One value, or those of all CPUs; of numbers the sum too.
fn of_cpus(values: &[ShownValue]) -> String {
    if let [one] = values {
        return text(one);
    }
    let numbers: Option<Vec<i128>> = values
        .iter()
        .map(|value| match value {
            ShownValue::Int(n) => Some(*n),
            _ => None,
        })
        .collect();
    let each = list(values);
    match numbers {
        Some(numbers) => format!("{} in all, by CPU {each}", numbers.iter().sum::<i128>()),
        None => format!("by CPU {each}"),
    }
}

fn is_zero(value: &ShownValue) -> bool {
    match value {
        ShownValue::Int(n) => *n == 0,
        ShownValue::Bool(b) => !b,
        ShownValue::Text(text) => text.is_empty(),
        ShownValue::Bytes(bytes) => bytes.iter().all(|b| *b == 0),
        ShownValue::Array(elements) => elements.iter().all(is_zero),
        ShownValue::Struct(fields) => fields.iter().all(|(_, value)| is_zero(value)),
        // A name may stand for 0, but it says something.
        ShownValue::Name(_) => false,
        ShownValue::Pointer(addr) => *addr == 0,
    }
}

fn text(value: &ShownValue) -> String {
    match value {
        ShownValue::Int(n) => n.to_string(),
        ShownValue::Bool(b) => b.to_string(),
        ShownValue::Name(name) => printable(name),
        ShownValue::Pointer(addr) => format!("{addr:#x}"),
        ShownValue::Text(text) => format!("{text:?}"),
        ShownValue::Bytes(bytes) => hex(bytes),
        ShownValue::Array(elements) => list(elements),
        ShownValue::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, v)| format!("{name}: {}", text(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// Equal elements are written once.
fn list(elements: &[ShownValue]) -> String {
    match elements {
        [first, _, _, _, ..] if elements.iter().all(|e| e == first) => {
            return format!("[{}; {}]", text(first), elements.len());
        }
        _ => {}
    }
    let mut parts: Vec<String> = elements.iter().take(ELEMENTS).map(text).collect();
    if elements.len() > ELEMENTS {
        parts.push(format!("… {} in all", elements.len()));
    }
    format!("[{}]", parts.join(", "))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Serialize for ShownValue {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            ShownValue::Int(n) => match (i64::try_from(*n), u64::try_from(*n)) {
                (Ok(n), _) => s.serialize_i64(n),
                (_, Ok(n)) => s.serialize_u64(n),
                _ => s.serialize_str(&n.to_string()),
            },
            ShownValue::Bool(b) => s.serialize_bool(*b),
            ShownValue::Name(text) | ShownValue::Text(text) => s.serialize_str(text),
            ShownValue::Pointer(addr) => s.serialize_str(&format!("{addr:#x}")),
            ShownValue::Bytes(bytes) => s.serialize_str(&hex(bytes)),
            ShownValue::Array(elements) => s.collect_seq(elements),
            ShownValue::Struct(fields) => s.collect_map(fields.iter().map(|(name, value)| (name, value))),
        }
    }
}

/// `{name: value}`; a map of a scheduler is `{type, elements: [{key, value}]}`, with `values` by CPU where it is one per CPU.
pub(crate) struct Shown<'a>(pub &'a [ShownRow]);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|row| (&row.name, &row.what)))
    }
}

impl Serialize for ShownWhat {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            ShownWhat::Var(value) => value.serialize(s),
            ShownWhat::Map { map_type, elements } => {
                let mut map = s.serialize_map(Some(2))?;
                map.serialize_entry("type", map_type)?;
                map.serialize_entry("elements", &elements.iter().map(Pair).collect::<Vec<_>>())?;
                map.end()
            }
            ShownWhat::Failed(why) => s.collect_map([("error", why)]),
        }
    }
}

struct Pair<'a>(&'a (ShownValue, Vec<ShownValue>));

impl Serialize for Pair<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (key, values) = self.0;
        let mut map = s.serialize_map(Some(2))?;
        map.serialize_entry("key", key)?;
        match values.as_slice() {
            [one] => map.serialize_entry("value", one)?,
            all => map.serialize_entry("values", all)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text_and_in_the_document() {
        use ShownValue::*;
        let uei = Struct(vec![
            ("kind".into(), Int(1024)),
            ("msg".into(), Text("lost \x1b".into())),
            ("big".into(), Int(u64::MAX.into())),
            ("state".into(), Name("READY".into())),
        ]);
        let stats = vec![(Int(0), vec![Int(1), Int(2), Int(3)]), (Int(1), vec![Int(0), Int(0), Int(0)])];
        let rows = [
            ShownRow { name: "uei".into(), what: ShownWhat::Var(uei) },
            ShownRow { name: "many".into(), what: ShownWhat::Var(Array(vec![Int(7); 500])) },
            ShownRow {
                name: "map:stats".into(),
                what: ShownWhat::Map { map_type: "percpu_array".into(), elements: stats },
            },
        ];
        let mut out = String::new();
        render(&mut out, &rows, Style { color: false });
        assert_eq!(
            out,
            "\nSHOWN\nuei = {kind: 1024, msg: \"lost \\u{1b}\", big: 18446744073709551615, state: READY}\n\
             many = [7; 500]\nmap:stats (percpu_array, 2 elements, 1 of them zero)\n  [0] = 6 in all, by CPU [1, 2, 3]\n"
        );
        let json = serde_json::to_value(Shown(&rows)).unwrap();
        assert_eq!(json["uei"]["msg"], "lost \x1b");
        assert_eq!(json["uei"]["big"].as_u64(), Some(u64::MAX));
        assert_eq!(json["map:stats"]["elements"][0]["values"], serde_json::json!([1, 2, 3]));
    }
}
