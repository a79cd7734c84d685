//! Setup files: what a scheduler's own program would do around the attach, when that program is absent (`docs/setup.md` is the
//! description for users). TOML in, a [`Setup`] of plain names and texts out; what they mean the object's types decide.
//!
//! A string with `@word` or `$name` in it is arithmetic ([`expr`]); every other string is passed on, as with `--set`.

pub mod expr;
mod reader;
mod step;
#[cfg(test)]
mod tests;

pub use expr::{Names, Saved};
pub use reader::read;
pub use step::{Act, Context, Step, Target, Text, resolve_parts};

/// A setup file, read for a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// To be set before the load, in this order.
    pub sets: Vec<Set>,
    /// Programs, before the load.
    pub progs: Vec<Prog>,
    /// Elements of maps, to be written after the load.
    pub entries: Vec<Entry>,
    /// Programs to run and things to write, in this order.
    pub steps: Vec<Step>,
}

/// `path = value`, as `--set` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// In the file, from 1.
    pub line: usize,
    /// `VAR`, `map:NAME.max_entries`, `ops.flags`, …
    pub path: String,
    /// `5`, `[1, 2]`, `[0; 8]`, …
    pub value: String,
}

/// What is decided about a program before the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prog {
    /// In the file, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Whether it is loaded; as the object says, if not said.
    pub load: Option<bool>,
    /// The kernel function or tracepoint that it attaches to.
    pub target: Option<String>,
}

/// Parts of a value by their paths in it, `.field`s without the dot; a single empty path for a whole value.
pub type Parts = Vec<(String, String)>;

/// An element of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In the file, from 1.
    pub line: usize,
    /// Which map.
    pub map: String,
    /// Into the inner map at this index.
    pub at: Option<u32>,
    /// Nothing for a queue or stack.
    pub key: Option<Parts>,
    /// What to write; of a map per CPU one for all, or one for each.
    pub values: Vec<Parts>,
}

/// What is wrong with a setup file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {what}")]
pub struct SetupError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}
