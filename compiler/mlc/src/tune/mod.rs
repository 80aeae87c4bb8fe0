//! `--tune`: contractions are run in the ways that the cost model thinks of, on this machine, and the
//! fastest of each is written beside the source ([`file`]), where later compilations read it.
//!
//! The file is a part of the program as its source is: whoever has both gets the same bytes of code, on
//! whatever machine. No way changes a bit of a result. A kernel is known by what it computes and how the
//! cost model would run it, so changes elsewhere in the source leave it alone; of a kernel that the file
//! does not know, or gives a way that is none for it, the cost model decides.

pub mod file;
mod measure;
mod search;

pub use search::{Tuned, search};

use crate::digest::Digest;
use mlc_codegen::Level;
use mlc_kernel::knobs::{Knobs, is_open};
use mlc_kernel::nest::Nest;
use mlc_kernel::print::meaning_text;
use mlc_kernel::schedule::{Machine, Schedule};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A level's name, and a kernel's ([`kernel_name`]).
pub type Key = (String, String);

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<Key, Line>);

/// The best way for a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The way.
    pub knobs: Knobs,
    /// For people: what it computes, where, and how long it took.
    pub remark: String,
}

impl Table {
    /// All lines, in the order of levels and names.
    pub fn lines(&self) -> impl Iterator<Item = (&Key, &Line)> {
        self.0.iter()
    }

    /// Adds a line, or replaces that of the same kernel.
    pub fn insert(&mut self, key: Key, line: Line) {
        self.0.insert(key, line);
    }

    /// Without the lines of a level.
    pub fn without(mut self, level: Level) -> Table {
        self.0.retain(|(name, _), _| name != level.name());
        self
    }

    /// How a nest is run: as measured, or as the cost model has it.
    pub fn schedule(&self, on: &On<'_>, nest: &Nest, estimated: Schedule) -> Schedule {
        if self.0.is_empty() || !is_open(nest, &estimated) {
            return estimated;
        }
        let key = (on.level.name().to_string(), kernel_name(nest, &estimated, on.symbols));
        let measured = self.0.get(&key).and_then(|line| line.knobs.apply(nest, &on.machine, &estimated));
        measured.unwrap_or(estimated)
    }
}

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug)]
pub struct On<'a> {
    /// The processor level.
    pub level: Level,
    /// As the cost model knows it.
    pub machine: Machine,
    /// Names of the size symbols.
    pub symbols: &'a [Arc<str>],
}

/// Digits of a kernel's name: no two of a program are likely to be equal.
const DIGITS: usize = 16;

/// The name of a kernel in the file.
pub fn kernel_name(nest: &Nest, estimated: &Schedule, symbols: &[Arc<str>]) -> String {
    let mut name = Digest::of([meaning_text(nest, estimated, symbols).as_str()]).to_string();
    name.truncate(DIGITS);
    name
}
