//! Converters between Sextant and the outside: rt-app files in, trace text, JSON and tables out.
//!
//! What must hold: pure functions over text and bytes; no files, no clock. Everything that comes in is hostile: a bad
//! file is an error with line and column, never a panic.
#![forbid(unsafe_code)]

pub mod demand;
pub mod document;
mod end;
pub mod ideal;
pub mod lenient;
pub mod nearest;
pub mod report;
pub mod rtapp;
pub mod setup;
mod shown;
mod swaps;
pub mod table;
pub mod text;
