//! Setup files: what a scheduler's own program would do before it attaches, when that program is absent (`docs/setup.md` is the
//! description for users). TOML in, a [`Setup`] of plain names and texts out; what they mean the object's types decide.
//!
//! A string with `@cpus` or `@i` in it is arithmetic ([`expr`]); every other string is passed on, as with `--set`.

mod expr;
mod reader;
#[cfg(test)]
mod tests;

pub use reader::read;

/// A setup file, read for a machine of some size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// To be set before the load, in this order.
    pub sets: Vec<Set>,
    /// Elements of maps, to be written after the load.
    pub entries: Vec<Entry>,
    /// Programs to run, in this order.
    pub runs: Vec<Run>,
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
    /// What to write.
    pub value: Parts,
}

/// A syscall program to run before the attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// In the file, from 1.
    pub line: usize,
    /// Its name.
    pub prog: String,
    /// What its context holds.
    pub ctx: Context,
    /// What it has to return.
    pub returns: i32,
}

/// The context of a syscall program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Context {
    /// None.
    #[default]
    Empty,
    /// The structure its argument points to.
    Fields(Parts),
    /// Words of 64 bits.
    Words(Vec<u64>),
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
