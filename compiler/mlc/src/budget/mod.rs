//! `--max-memory`: training steps whose memory stays under a bound, because some of the forward pass is
//! computed again in the backward pass. What counts is the arena, and what kernels and chains have of
//! each thread: of one here, of as many as there are when the program runs.
//!
//! Several forms of the program are tried: the one that is written, those whose loops compute their passes
//! again, from what segments of them begin with, from what each begins with (what `@checkpoint for` says),
//! or from both, the passes of a segment while that is gone through again. For each entry of a training block that takes gradients
//! [`mlc_kernel::budget`] finds what else is to be computed again. The bound is held at the sizes that
//! entries state ([`Entry::typical`]): the batch of the training block. What sizes the data bring is
//! known when the program runs, so it is there that a larger arena is refused.

mod amount;
mod refusal;

pub use amount::{amount, parse};
pub use refusal::Refusal;

use mlc_ir::cost::is_repeatable;
use mlc_ir::dim::Sym;
use mlc_ir::graph::{Entry, Epoch, Graph, Node, RegionId};
use mlc_ir::ops::Op;
use mlc_ir::passes::{Parts, before_remat, recomputing, run_pipeline, spared};
use mlc_ir::region_ops::{Loop, Part};
use mlc_kernel::budget::{Found, Task, Way, search};
use mlc_kernel::lower::{Choices, lower_with};
use mlc_kernel::schedule::Machine;
use mlc_resolve::Recompute;
use mlc_resolve::program::{Program, Train};
use mlc_rt_core::abi::SCRATCH_BYTES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How the entries of a program stay under the bound.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// What is computed again besides what the program says.
    pub parts: Vec<Parts>,
    /// Of each entry that takes gradients.
    pub entries: Vec<Memory>,
}

/// The memory of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// `digits.step`
    pub entry: String,
    /// At which sizes: `B = 64`.
    pub sizes: String,
    /// Bytes of the arena.
    pub bytes: i64,
    /// Bytes of it if nothing were computed again but what the program says.
    pub plain: i64,
    /// Bytes of each thread's own memory.
    pub thread: i64,
    /// Multiply-adds, counted twice.
    pub flops: i64,
    /// Source lines of what is computed again: `cnn.dl:12`.
    pub again: Vec<String>,
    /// Source lines of the loops that keep what segments begin with, and the passes of a segment.
    pub segments: Vec<(String, i64)>,
}

/// Other forms of a program, the first ones preferred where others cost as much.
const FORMS: [Recompute; 3] = [Recompute::Segments, Recompute::Passes, Recompute::Both];

/// The program, or a form of it that also computes passes of its loops again if that is needed or cheaper, and
/// what is decided for it; of those that fail the one that needs least.
pub fn choose(
    limit: i64,
    machines: &[Machine],
    written: Program,
    mut form: impl FnMut(Recompute) -> Option<Program>,
) -> (Program, Result<Decision, Box<Refusal>>) {
    let bounded = Bounded::new(&written, limit, machines);
    let mut first = bounded.decide();
    if first.as_ref().is_ok_and(|decision| decision.parts.is_empty()) {
        return (written, first);
    }
    let forms: &[Recompute] = if bounded.has_loops() { &FORMS } else { &[] };
    let mut others: Vec<(Program, Result<Decision, Box<Refusal>>)> = Vec::new();
    for program in forms.iter().filter_map(|recompute| form(*recompute)) {
        let decided = Bounded::new(&program, limit, machines).decide();
        others.push((program, decided));
    }
    for decided in others.iter_mut().map(|(_, decided)| decided).chain([&mut first]) {
        bounded.compare(decided);
    }
    let mut best = first;
    let mut chosen = None;
    for (program, decided) in others {
        let better = match (&best, &decided) {
            (Ok(best), Ok(decided)) => decided.flops() < best.flops(),
            (Ok(_), Err(_)) => false,
            (Err(_), Ok(_)) => true,
            (Err(best), Err(decided)) => decided.bytes < best.bytes,
        };
        if better {
            (chosen, best) = (Some(program), decided);
        }
    }
    (chosen.unwrap_or(written), best)
}

/// A program under a bound.
pub struct Bounded<'a> {
    program: &'a Program,
    /// As far as [`before_remat`] takes it.
    graph: Graph,
    limit: i64,
    machines: &'a [Machine],
    /// Bytes of a thread's own that entries without gradients need.
    near: i64,
}

impl<'a> Bounded<'a> {
    /// `machines`: what the program is compiled for, at least one.
    pub fn new(program: &'a Program, limit: i64, machines: &'a [Machine]) -> Bounded<'a> {
        let graph = run_pipeline(&program.graph, before_remat(), |_, _| ());
        let mut bounded = Bounded { program, graph, limit, machines, near: 0 };
        bounded.near = bounded.near_of_others();
        bounded
    }

    /// Whether entries that take gradients have run-time loops.
    pub fn has_loops(&self) -> bool {
        let mut found = false;
        for (_, entry) in self.entries() {
            self.each_node(self.graph.entries[entry].region, &self.graph, &mut |node| {
                found |= matches!(node.op, Op::Loop(_));
            });
        }
        found
    }

    /// Finds what is to be computed again.
    ///
    /// # Errors
    /// It isn't enough for one of the entries.
    pub fn decide(&self) -> Result<Decision, Box<Refusal>> {
        let mut decision = Decision::default();
        for (train, entry) in self.entries() {
            let sizes = sizes(&self.graph, &self.graph.entries[entry]);
            let task = self.task(entry, self.limit, &sizes);
            let found = search(task);
            let Some(way) = &found.fits else { return Err(Box::new(self.refusal(train, task, &found))) };
            decision.entries.push(self.memory(task, &found, way));
            if !way.parts.nodes.is_empty() {
                decision.parts.push(way.parts.clone());
            }
        }
        Ok(decision)
    }

    /// Makes what was decided for this program or another form of it speak of the difference to what is written.
    fn compare(&self, decided: &mut Result<Decision, Box<Refusal>>) {
        let decision = match decided {
            Ok(decision) => decision,
            Err(refusal) => {
                refusal.plain = self.plain(refusal.entry);
                return;
            }
        };
        let written = recomputing(&self.graph, &[]);
        for ((_, entry), memory) in self.entries().zip(&mut decision.entries) {
            memory.plain = self.plain(entry);
            let before = self.repeated(&written, entry);
            memory.again.retain(|line| !before.contains(line));
        }
    }

    /// Bytes of the arena of an entry if nothing is computed again.
    fn plain(&self, entry: usize) -> i64 {
        let sizes = sizes(&self.graph, &self.graph.entries[entry]);
        search(self.task(entry, i64::MAX, &sizes)).plain.bytes
    }

    fn task<'b>(&'b self, entry: usize, limit: i64, sizes: &'b [i64]) -> Task<'b> {
        let scratch = SCRATCH_BYTES as i64;
        Task { graph: &self.graph, entry, limit, scratch, near: self.near, machines: self.machines, sizes }
    }

    /// Threads have one memory for all entries.
    fn near_of_others(&self) -> i64 {
        let bounded: BTreeSet<usize> = self.entries().map(|(_, entry)| entry).collect();
        let others: Vec<usize> = (0..self.graph.entries.len()).filter(|entry| !bounded.contains(entry)).collect();
        let graph = recomputing(&self.graph, &[]);
        let choices = Choices { entries: Some(&others), keep: false, ..Choices::default() };
        let near = |machine: &Machine| lower_with(&graph, machine, choices).program.near_bytes();
        self.machines.iter().map(near).max().unwrap_or(0)
    }

    /// Entries that take gradients.
    fn entries(&self) -> impl Iterator<Item = (&'a Train, usize)> {
        let program = self.program;
        program.trains.iter().flat_map(|train| train.gradient_entries().map(move |entry| (train, entry)))
    }

    fn memory(&self, task: Task<'_>, found: &Found, way: &Way) -> Memory {
        let entry = &self.graph.entries[task.entry];
        let mut again = self.repeated(&recomputing(&self.graph, std::slice::from_ref(&way.parts)), task.entry);
        again.extend(
            spared(&self.graph, &way.parts).into_iter().filter_map(|span| self.graph.position(span)).map(line_of),
        );
        Memory {
            entry: entry.name.clone(),
            sizes: sizes_text(&self.graph, entry, task.sizes),
            bytes: way.bytes,
            plain: found.plain.bytes,
            thread: way.thread,
            flops: way.flops,
            again: again.into_iter().collect(),
            segments: self.segments(task.entry),
        }
    }

    /// The loops of an entry that keep what segments begin with.
    fn segments(&self, entry: usize) -> Vec<(String, i64)> {
        let mut found = BTreeSet::new();
        self.each_node(self.graph.entries[entry].region, &self.graph, &mut |node| {
            if let Op::Loop(Loop { part: Part::Segments(each), .. }) = &node.op {
                found.extend(self.graph.position(node.span).map(|place| (line_of(place), *each)));
            }
        });
        found.into_iter().collect()
    }

    /// Lines of contractions, reductions, loops and the like that are computed again.
    fn repeated(&self, graph: &Graph, entry: usize) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        self.each_node(graph.entries[entry].region, graph, &mut |node| {
            if node.epoch != Epoch::default() && !is_repeatable(&node.op) {
                lines.extend(graph.position(node.span).map(line_of));
            }
        });
        lines
    }

    fn each_node(&self, region: RegionId, graph: &Graph, f: &mut dyn FnMut(&Node)) {
        for node in &graph.region(region).nodes {
            f(node);
            node.regions.iter().for_each(|inner| self.each_node(*inner, graph, f));
        }
    }
}

/// Values of all symbols, those that an entry doesn't have being 1.
fn sizes(graph: &Graph, entry: &Entry) -> Vec<i64> {
    let mut sizes = vec![1; graph.symbols.len()];
    entry.typical.iter().for_each(|(sym, value)| sizes[sym.0 as usize] = *value);
    sizes
}

fn sizes_text(graph: &Graph, entry: &Entry, sizes: &[i64]) -> String {
    let of = |(sym, _): &(Sym, i64)| format!("{} = {}", graph.symbols[sym.0 as usize], sizes[sym.0 as usize]);
    entry.typical.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// `cnn.dl:11` of `cnn.dl:11:47`.
fn line_of(place: String) -> String {
    place.rsplit_once(':').map_or(place.as_str(), |(line, _)| line).to_string()
}

impl Decision {
    /// Multiply-adds of all entries, counted twice.
    pub fn flops(&self) -> i64 {
        self.entries.iter().map(|memory| memory.flops).fold(0, i64::saturating_add)
    }
}

impl Memory {
    /// One line about it, if anything is computed again.
    pub fn remark(&self) -> Option<String> {
        if self.bytes == self.plain {
            return None;
        }
        let sizes = if self.sizes.is_empty() { String::new() } else { format!(" for {}", self.sizes) };
        Some(format!(
            "`{}` needs {} of memory{sizes}, not {}, and {} for each thread: its backward pass computes again what is \
             made in {}{}",
            self.entry,
            amount(self.bytes),
            amount(self.plain),
            amount(self.thread),
            lines_text(&self.again),
            self.segments_text()
        ))
    }

    /// `; the loop in line 12 of cnn.dl keeps every 4th pass`
    fn segments_text(&self) -> String {
        let mut loops: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (place, each) in &self.segments {
            loops.entry(*each).or_default().push(place.clone());
        }
        let of = |(each, places): (i64, Vec<String>)| {
            let (lines, every) = (lines_text(&places), ordinal(each));
            match places.len() {
                1 => format!("; the loop in {lines} keeps every {every} pass"),
                _ => format!("; the loops in {lines} keep every {every} pass"),
            }
        };
        loops.into_iter().map(of).collect()
    }

    /// For `--timings`.
    pub fn json(&self) -> Value {
        json!({
            "entry": self.entry,
            "sizes": self.sizes,
            "bytes": self.bytes,
            "plain": self.plain,
            "thread": self.thread,
            "again": self.again,
            "segments": self.segments.iter().map(|(line, each)| json!({"loop": line, "every": each})).collect::<Vec<Value>>(),
        })
    }
}

/// `2nd`, `4th`
fn ordinal(number: i64) -> String {
    let ending = match (number % 10, number % 100) {
        (1, last) if last != 11 => "st",
        (2, last) if last != 12 => "nd",
        (3, last) if last != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `lines 12, 14 of cnn.dl` of `cnn.dl:12` and `cnn.dl:14`, which are in the order of their text.
fn lines_text(places: &[String]) -> String {
    let mut files: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (file, line) in places.iter().filter_map(|place| place.rsplit_once(':')) {
        files.entry(file).or_default().extend(line.parse::<u32>());
    }
    let of = |(file, mut lines): (&str, Vec<u32>)| {
        lines.sort_unstable();
        let list: Vec<String> = lines.iter().map(u32::to_string).collect();
        format!("{} {} of {file}", if list.len() == 1 { "line" } else { "lines" }, list.join(", "))
    };
    files.into_iter().map(of).collect::<Vec<_>>().join(" and ")
}
