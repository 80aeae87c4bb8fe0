//! Which ways are measured, and which is taken.

use super::measure::{Run, Stand, Workers};
use super::usage::Usage;
use super::{Key, Line, On, Table, Way, contraction_name, kernel_name, sizes};
use crate::failure::Failure;
use mlc_codegen::Options;
use mlc_ir::graph::Graph;
use mlc_kernel::knobs::{Knobs, blocks, is_open, tilings, walks};
use mlc_kernel::lower::{Choices, Contraction, KernelInfo, LoweredProgram, contractions, lower_with};
use mlc_kernel::nest::{Nest, Source};
use mlc_kernel::panels::{Packing, packings};
use mlc_kernel::schedule::{Machine, Schedule, choose};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Multiply-adds, or elements of a map, from which on a kernel is worth a measurement.
const WORTH: i64 = 1 << 18;

/// Another way must take less than this part of the time of the one so far.
const BETTER: f64 = 0.97;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuned {
    /// Kernels that were measured.
    pub measured: usize,
    /// Those of them that run another way now.
    pub changed: usize,
    /// Contractions whose operands are packed otherwise.
    pub repacked: usize,
    /// Threads that they were measured on.
    pub threads: usize,
}

/// Measures the kernels of some entries of a graph on so many threads, and notes the best way of each: first how operands of
/// contractions are packed, then how each kernel is run.
///
/// # Errors
/// There is no memory for it.
pub fn search(
    (graph, entries): (&Graph, &[usize]),
    on: &On<'_>,
    options: &Options,
    threads: usize,
    table: &mut Table,
) -> Result<Tuned, Failure> {
    let mut search =
        Search { on, options, workers: Workers::new(threads), tuned: Tuned { threads, ..Tuned::default() } };
    let estimate = Choices { entries: Some(entries), ..Choices::default() };
    let estimated = lower_with(graph, &on.machine, estimate);
    search.packings(&estimated, entries, table)?;
    let packing = |nest: &Nest| table.packing(on, nest);
    let packed = lower_with(graph, &on.machine, Choices { packing: &packing, ..estimate });
    search.schedules(&packed, table)?;
    Ok(search.tuned)
}

/// What is tried around a schedule.
type Others<'a> = &'a dyn Fn(&Nest, &Machine, &Schedule) -> Vec<Knobs>;

struct Search<'a> {
    on: &'a On<'a>,
    options: &'a Options,
    workers: Workers,
    tuned: Tuned,
}

impl Search<'_> {
    fn packings(&mut self, lowered: &LoweredProgram, entries: &[usize], table: &mut Table) -> Result<(), Failure> {
        let usage = Usage::of(lowered);
        let mut seen = BTreeSet::new();
        let all = contractions(&lowered.graph, &self.on.machine);
        for contraction in all.into_iter().filter(|contraction| entries.contains(&contraction.entry)) {
            let typical = &lowered.graph.entries[contraction.entry].typical;
            let work = contraction.nest.work(&sizes(lowered.graph.symbols.len(), typical));
            let name = contraction_name(&contraction.nest, self.on.symbols);
            if work < WORTH || !seen.insert(name.clone()) {
                continue;
            }
            let ways = self.packed(&contraction, lowered, &usage);
            let Some((packing, before, after)) = self.best_packing(&ways, lowered, contraction.entry)? else {
                continue;
            };
            self.tuned.repacked += 1;
            let remark = remark(lowered, &contraction.nest, after, before);
            table.insert(self.key(name), Line { way: Way::Pack(packing), remark });
        }
        Ok(())
    }

    /// The kernels of a contraction that each call runs, packed in all ways that make a difference, the estimated
    /// one first; the copies of what never changes are made once. None if other kernels hang on its tiles.
    fn packed(&self, contraction: &Contraction, lowered: &LoweredProgram, usage: &Usage) -> Vec<Packed> {
        let typical = &lowered.graph.entries[contraction.entry].typical;
        let mut ways: Vec<Packed> = Vec::new();
        let mut pooled = true;
        for packing in packings() {
            let nests = contraction.prepared(&self.on.machine, packing, typical);
            let nests: Vec<Arc<Nest>> = nests.into_iter().map(Arc::new).collect();
            if ways.iter().any(|known| alike(&known.nests, &nests)) {
                continue;
            }
            let made = |nest: &Nest| nest.stores.iter().any(|store| is_copy(nest.buffers[store.buffer].source));
            let once = |nest: &Nest| made(nest) && is_of(nest, &contraction.constant);
            let run = |nest: &Arc<Nest>| Run {
                nest: nest.clone(),
                schedule: choose(nest, &self.on.machine, typical),
                pooled: true,
            };
            let mut runs: Vec<Run> = nests.iter().filter(|nest| !once(nest)).map(run).collect();
            if runs.iter().any(|run| usage.is_fixed(&run.nest, &run.schedule)) {
                return Vec::new();
            }
            // The program tells it of the estimated kernels alone.
            pooled &= !runs.last().is_some_and(|run| usage.is_alone(&run.nest, &run.schedule));
            runs.iter_mut().for_each(|run| run.pooled = pooled);
            ways.push(Packed { packing, nests, runs });
        }
        ways
    }

    fn best_packing(
        &mut self,
        ways: &[Packed],
        lowered: &LoweredProgram,
        entry: usize,
    ) -> Result<Option<(Packing, f64, f64)>, Failure> {
        let typical = &lowered.graph.entries[entry].typical;
        let nests = ways.iter().flat_map(|way| &way.nests).map(|nest| &**nest);
        let symbols = lowered.graph.symbols.len();
        if ways.len() < 2 {
            return Ok(None);
        }
        let Some(mut stand) = Stand::new(nests, (symbols, typical), &mut self.workers) else { return Ok(None) };
        let runs: Vec<Vec<Run>> = ways.iter().map(|way| way.runs.clone()).collect();
        let seconds = stand.seconds(&runs, self.options)?;
        let Some(at) = fastest(&seconds) else { return Ok(None) };
        let again = stand.seconds(&[runs[0].clone(), runs[at].clone()], self.options)?;
        Ok((again[1] < again[0] * BETTER).then(|| (ways[at].packing, again[0], again[1])))
    }

    fn schedules(&mut self, lowered: &LoweredProgram, table: &mut Table) -> Result<(), Failure> {
        let usage = Usage::of(lowered);
        let mut seen = BTreeSet::new();
        for info in &lowered.kernels {
            let typical = &lowered.graph.entries[info.entry].typical;
            let work = info.nest.work(&sizes(lowered.graph.symbols.len(), typical));
            if !is_open(&info.nest, &info.schedule) || work < WORTH {
                continue;
            }
            let name = kernel_name(&info.nest, &info.schedule, self.on.symbols);
            if !seen.insert(name.clone()) {
                continue;
            }
            let Some((knobs, before, after)) = self.best(info, lowered, &usage)? else { continue };
            self.tuned.measured += 1;
            self.tuned.changed += usize::from(knobs != Knobs::of(&info.schedule));
            let remark = remark(lowered, &info.nest, after, before);
            table.insert(self.key(name), Line { way: Way::Run(knobs), remark });
        }
        Ok(())
    }

    /// The fastest way, with the seconds of the estimated one and of itself: first the register block, then the
    /// tiles, then the way through the terms; what came of it must hold once more against the estimate.
    fn best(
        &mut self,
        info: &KernelInfo,
        lowered: &LoweredProgram,
        usage: &Usage,
    ) -> Result<Option<(Knobs, f64, f64)>, Failure> {
        let (nest, machine, estimated) = (&info.nest, &self.on.machine, &info.schedule);
        let typical = &lowered.graph.entries[info.entry].typical;
        let (fixed, pooled) = (usage.is_fixed(nest, estimated), !usage.is_alone(nest, estimated));
        let symbols = lowered.graph.symbols.len();
        let Some(mut stand) = Stand::new(std::iter::once(&**nest), (symbols, typical), &mut self.workers) else {
            return Ok(None);
        };
        let run = |schedule: &Schedule| vec![Run { nest: nest.clone(), schedule: schedule.clone(), pooled }];
        let tiled = |nest: &Nest, machine: &Machine, schedule: &Schedule| tilings(nest, machine, typical, schedule);
        let steps: [Others<'_>; 3] = [&blocks, &tiled, &walks];
        let mut found: Schedule = estimated.clone();
        for others in steps {
            let mut ways = vec![found.clone()];
            let others =
                others(nest, machine, &found).into_iter().filter_map(|knobs| knobs.apply(nest, machine, &found));
            ways.extend(others.filter(|way| !fixed || way.has_tiles_of(estimated)));
            if ways.len() < 2 {
                continue;
            }
            let seconds = stand.seconds(&ways.iter().map(run).collect::<Vec<_>>(), self.options)?;
            if let Some(at) = fastest(&seconds) {
                found = ways.swap_remove(at);
            }
        }
        let seconds = stand.seconds(&[run(estimated), run(&found)], self.options)?;
        let kept = if found != *estimated && seconds[1] < seconds[0] * BETTER { 1 } else { 0 };
        Ok(Some((Knobs::of([estimated, &found][kept]), seconds[0], seconds[kept])))
    }

    fn key(&self, kernel: String) -> Key {
        let processor = self.on.processor.unwrap_or_default().to_string();
        Key { processor, level: self.on.level.name().to_string(), kernel }
    }
}

/// A contraction whose operands are packed in some way.
struct Packed {
    packing: Packing,
    /// All its kernels.
    nests: Vec<Arc<Nest>>,
    /// Those that each call runs.
    runs: Vec<Run>,
}

/// The way that is so much faster than the first.
fn fastest(seconds: &[f64]) -> Option<usize> {
    let best = (0..seconds.len()).min_by(|a, b| seconds[*a].total_cmp(&seconds[*b]))?;
    (seconds[best] < seconds[0] * BETTER).then_some(best)
}

/// Whether nests are the same but for the names of copies.
fn alike(left: &[Arc<Nest>], right: &[Arc<Nest>]) -> bool {
    let shapes = |nests: &[Arc<Nest>]| -> Vec<_> {
        nests.iter().map(|nest| (nest.par.clone(), nest.red.clone(), nest.buffers.clone())).collect()
    };
    shapes(left) == shapes(right)
}

fn is_copy(source: Source) -> bool {
    matches!(source, Source::Copy(_))
}

/// Whether a copy is one of values among these alone.
fn is_of(copy: &Nest, values: &[Source]) -> bool {
    let written = |at: usize| copy.stores.iter().any(|store| store.buffer == at);
    let mut read = copy.buffers.iter().enumerate().filter(|(at, _)| !written(*at));
    read.all(|(_, buffer)| values.contains(&buffer.source))
}

fn remark(lowered: &LoweredProgram, nest: &Nest, after: f64, before: f64) -> String {
    let place = nest.spans.iter().find_map(|span| lowered.graph.position(*span));
    let place = place.map_or_else(String::new, |place| format!(", {place}"));
    format!("{}{place}: {:.1} of {:.1} us", nest.name, after * 1e6, before * 1e6)
}
