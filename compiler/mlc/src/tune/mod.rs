//! `--tune`: contractions and large maps are run in the ways that the cost model thinks of, on this machine, and
//! the fastest of each is written beside the source ([`file`]), where later compilations read it.
//!
//! The file is a part of the program as its source is. It has what was measured on several processors side by
//! side; [`Tuning`] says which of them counts. No way changes a bit of a result. A kernel is known by what it
//! computes and how the cost model would run it, so changes elsewhere in the source leave it alone; of a kernel
//! that the file does not know, or gives a way that is none for it, the cost model decides.

mod chosen;
pub mod file;
mod measure;
pub mod processor;
mod search;
mod usage;

pub use chosen::{Source, Tuning};
pub use search::{Tuned, search};

use crate::digest::Digest;
use mlc_codegen::Level;
use mlc_ir::dim::Sym;
use mlc_kernel::knobs::{Knobs, is_open};
use mlc_kernel::nest::Nest;
use mlc_kernel::panels::Packing;
use mlc_kernel::print::{content_text, meaning_text};
use mlc_kernel::schedule::{Machine, Schedule};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a line is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The processor that it was measured on ([`processor::name`]).
    pub processor: String,
    /// The name of the level of the code.
    pub level: String,
    /// [`kernel_name`], or [`contraction_name`].
    pub kernel: String,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<Key, Line>);

/// The best way for a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The way.
    pub way: Way,
    /// For people: what it computes, where, and how long it took.
    pub remark: String,
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// How a kernel is run.
    Run(Knobs),
    /// How operands of a contraction are packed.
    Pack(Packing),
}

impl Table {
    /// All lines, in the order of processors, levels and names.
    pub fn lines(&self) -> impl Iterator<Item = (&Key, &Line)> {
        self.0.iter()
    }

    /// Adds a line, or replaces that of the same kernel.
    pub fn insert(&mut self, key: Key, line: Line) {
        self.0.insert(key, line);
    }

    /// Without the lines of a processor and level.
    pub fn without(mut self, processor: &str, level: Level) -> Table {
        self.0.retain(|key, _| key.processor != processor || key.level != level.name());
        self
    }

    /// Every processor that has lines.
    pub fn processors(&self) -> BTreeSet<&str> {
        self.0.keys().map(|key| key.processor.as_str()).collect()
    }

    /// How a nest is run: as measured, or as the cost model has it.
    pub fn schedule(&self, on: &On<'_>, nest: &Nest, estimated: Schedule) -> Schedule {
        if self.0.is_empty() || !is_open(nest, &estimated) {
            return estimated;
        }
        let way = self.way(on, || kernel_name(nest, &estimated, on.symbols));
        match way {
            Some(Way::Run(knobs)) => knobs.apply(nest, &on.machine, &estimated).unwrap_or(estimated),
            Some(Way::Pack(_)) | None => estimated,
        }
    }

    /// How the operands of a contraction are packed.
    pub fn packing(&self, on: &On<'_>, nest: &Nest) -> Packing {
        match self.way(on, || contraction_name(nest, on.symbols)) {
            Some(Way::Pack(packing)) => packing.checked().unwrap_or_default(),
            Some(Way::Run(_)) | None => Packing::default(),
        }
    }

    fn way(&self, on: &On<'_>, kernel: impl FnOnce() -> String) -> Option<&Way> {
        let processor = on.processor.filter(|_| !self.0.is_empty())?.to_string();
        let key = Key { processor, level: on.level.name().to_string(), kernel: kernel() };
        self.0.get(&key).map(|line| &line.way)
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
    /// Whose measurements count.
    pub processor: Option<&'a str>,
}

/// Digits of a kernel's name: no two of a program are likely to be equal.
const DIGITS: usize = 16;

/// The name of a kernel in the file.
pub fn kernel_name(nest: &Nest, estimated: &Schedule, symbols: &[Arc<str>]) -> String {
    name_of(&meaning_text(nest, estimated, symbols))
}

/// The name in the file of a contraction whose operands are not packed yet.
pub fn contraction_name(nest: &Nest, symbols: &[Arc<str>]) -> String {
    name_of(&content_text(nest, symbols))
}

fn name_of(meaning: &str) -> String {
    let mut name = Digest::of([meaning]).to_string();
    name.truncate(DIGITS);
    name
}

/// Sizes to expect, as a value for each symbol.
fn sizes(symbols: usize, typical: &[(Sym, i64)]) -> Vec<i64> {
    let mut sizes = vec![1; symbols];
    typical.iter().for_each(|(sym, value)| sizes[sym.0 as usize] = *value);
    sizes
}
