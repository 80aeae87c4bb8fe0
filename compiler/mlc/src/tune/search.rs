//! Which ways are measured, and which is taken.

use super::measure::Stand;
use super::{Line, On, Table, kernel_name};
use crate::failure::Failure;
use mlc_codegen::Options;
use mlc_kernel::knobs::{Knobs, blocks, is_open, walks};
use mlc_kernel::lower::{KernelInfo, LoweredProgram};
use mlc_kernel::schedule::Schedule;
use std::collections::BTreeSet;

/// Multiply-adds from which on a kernel is worth a measurement.
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
}

/// Measures the contractions of a program that was lowered without a table, and notes the best way of each.
///
/// # Errors
/// There is no memory for it.
pub fn search(lowered: &LoweredProgram, on: &On<'_>, options: &Options, table: &mut Table) -> Result<Tuned, Failure> {
    let mut tuned = Tuned::default();
    let mut seen = BTreeSet::new();
    for info in &lowered.kernels {
        let sizes = sizes(lowered, info.entry);
        if !is_open(&info.nest, &info.schedule) || info.nest.work(&sizes) < WORTH {
            continue;
        }
        let name = kernel_name(&info.nest, &info.schedule, on.symbols);
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(mut stand) = Stand::new(&info.nest, &sizes) else { continue };
        let (knobs, before, after) = best(info, on, options, &mut stand)?;
        tuned.measured += 1;
        tuned.changed += usize::from(knobs != Knobs::of(&info.schedule));
        let place = info.nest.spans.iter().find_map(|span| lowered.graph.position(*span));
        let place = place.map_or_else(String::new, |place| format!(", {place}"));
        let remark = format!("{}{place}: {} of {} us", info.nest.name, micros(after), micros(before));
        table.insert((on.level.name().to_string(), name), Line { knobs, remark });
    }
    Ok(tuned)
}

/// The fastest way, with the seconds of the estimated one and of itself: first the register block, then the
/// way through the terms; what came of it must hold once more against the estimate.
fn best(
    info: &KernelInfo,
    on: &On<'_>,
    options: &Options,
    stand: &mut Stand<'_>,
) -> Result<(Knobs, f64, f64), Failure> {
    let (nest, machine, estimated) = (&info.nest, &on.machine, &info.schedule);
    let mut found: Schedule = estimated.clone();
    for others in [blocks, walks] {
        let mut ways = vec![found.clone()];
        ways.extend(others(nest, machine, &found).into_iter().filter_map(|knobs| knobs.apply(nest, machine, &found)));
        let seconds = stand.seconds(&ways, options)?;
        let fastest = seconds.iter().zip(ways).min_by(|a, b| a.0.total_cmp(b.0));
        if let Some((_, way)) = fastest.filter(|(time, _)| **time < seconds[0] * BETTER) {
            found = way;
        }
    }
    let seconds = stand.seconds(&[estimated.clone(), found.clone()], options)?;
    let kept = if found != *estimated && seconds[1] < seconds[0] * BETTER { 1 } else { 0 };
    Ok((Knobs::of([estimated, &found][kept]), seconds[0], seconds[kept]))
}

/// Values of the symbols that an entry states.
fn sizes(lowered: &LoweredProgram, entry: usize) -> Vec<i64> {
    let mut sizes = vec![1; lowered.graph.symbols.len()];
    lowered.graph.entries[entry].typical.iter().for_each(|(sym, value)| sizes[sym.0 as usize] = *value);
    sizes
}

fn micros(seconds: f64) -> String {
    format!("{:.1}", seconds * 1e6)
}
