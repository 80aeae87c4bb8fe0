//! What may be tried otherwise than the cost model has it: the parts of a contraction's schedule that
//! only measuring can settle. They change no bit of a result.

use crate::nest::{Nest, Reduction};
use crate::schedule::{Machine, Schedule, Shape, block_cost};
use std::fmt;
use std::str::FromStr;

/// Choices within a schedule; `rows 6 vectors 4 unroll 4 side_by_side` as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Knobs {
    /// Rows of the register block; 1 if it has no axis for rows.
    pub rows: i64,
    /// Vectors side by side in it.
    pub vectors: i64,
    /// Turns of the innermost reduced loop that are unrolled.
    pub unroll: i64,
    /// Whether register blocks go through a long chain side by side.
    pub side_by_side: bool,
}

/// Blocks that are tried, the best by estimate.
const BLOCKS: usize = 10;

/// Unrollings that are tried.
const UNROLL: [i64; 4] = [1, 2, 4, 8];

/// Rows and vectors that a block has at most.
const MOST: (i64, i64) = (16, 8);

/// Register blocks that go side by side at most, and bytes of scratch that they take.
const SIDE_BY_SIDE: (i64, i64) = (128, 128 << 10);

impl Knobs {
    /// Those of a schedule.
    pub fn of(schedule: &Schedule) -> Knobs {
        let rows = schedule.rows.map_or(1, |(_, rows)| rows);
        Knobs { rows, vectors: schedule.vectors, unroll: schedule.unroll, side_by_side: schedule.side_by_side }
    }

    /// The schedule with these, if they are possible for the nest on that machine.
    pub fn apply(self, nest: &Nest, machine: &Machine, schedule: &Schedule) -> Option<Schedule> {
        let possible = is_open(nest, schedule) && self.fits(nest, machine, schedule);
        let rows = schedule.rows.map(|(axis, _)| (axis, self.rows));
        let Knobs { vectors, unroll, side_by_side, .. } = self;
        possible.then(|| Schedule { rows, vectors, unroll, side_by_side, ..schedule.clone() })
    }

    fn fits(self, nest: &Nest, machine: &Machine, schedule: &Schedule) -> bool {
        let Knobs { rows, vectors, unroll, side_by_side } = self;
        let registers = rows * vectors + vectors < machine.vector_registers;
        let within = (1..=MOST.0).contains(&rows) && (1..=MOST.1).contains(&vectors) && UNROLL.contains(&unroll);
        let extent = |axis: usize| nest.par[axis].as_const().unwrap_or(i64::MAX);
        let rows_fit = match schedule.rows {
            None => rows == 1 && !side_by_side,
            Some((axis, _)) => {
                let blocks = extent(axis) / rows.max(1);
                let scratch = extent(axis).saturating_mul(vectors * machine.vector_bits / 8);
                let fit = (2..=SIDE_BY_SIDE.0).contains(&blocks) && scratch <= SIDE_BY_SIDE.1;
                rows > 1 && rows <= extent(axis) && (!side_by_side || fit)
            }
        };
        let columns = schedule.vector.map_or(1, extent);
        within && registers && rows_fit && (vectors - 1) * schedule.lanes < columns
    }
}

/// Whether there is anything to try.
pub fn is_open(nest: &Nest, schedule: &Schedule) -> bool {
    schedule.shape == Shape::Block && matches!(nest.reduce, Some(Reduction::Dot { .. })) && nest.window.is_none()
}

/// Other register blocks than that of `schedule`, the best by estimate first.
pub fn blocks(nest: &Nest, machine: &Machine, schedule: &Schedule) -> Vec<Knobs> {
    let own = Knobs::of(schedule);
    let all = (1..=MOST.0).flat_map(|rows| (1..=MOST.1).map(move |vectors| Knobs { rows, vectors, ..own }));
    let mut found: Vec<Knobs> = all.filter(|knobs| *knobs != own && knobs.fits(nest, machine, schedule)).collect();
    // Cycles of a term, for each of its outputs.
    let cost =
        |knobs: &Knobs| block_cost(machine, knobs.rows, knobs.vectors) as f64 / (knobs.rows * knobs.vectors) as f64;
    found.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    found.truncate(BLOCKS);
    found
}

/// The ways through the terms other than that of `schedule`, with the same register block.
pub fn walks(nest: &Nest, machine: &Machine, schedule: &Schedule) -> Vec<Knobs> {
    let own = Knobs::of(schedule);
    let all =
        UNROLL.into_iter().flat_map(|unroll| [false, true].map(|side_by_side| Knobs { unroll, side_by_side, ..own }));
    all.filter(|knobs| *knobs != own && knobs.fits(nest, machine, schedule)).collect()
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows {} vectors {} unroll {}", self.rows, self.vectors, self.unroll)?;
        if self.side_by_side { f.write_str(" side_by_side") } else { Ok(()) }
    }
}

/// A text that is no [`Knobs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKnobs;

impl FromStr for Knobs {
    type Err = NotKnobs;

    fn from_str(text: &str) -> Result<Knobs, NotKnobs> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (numbers, side_by_side) = match words.as_slice() {
            [numbers @ .., "side_by_side"] => (numbers, true),
            numbers => (numbers, false),
        };
        let ["rows", rows, "vectors", vectors, "unroll", unroll] = numbers else { return Err(NotKnobs) };
        let number = |text: &str| text.parse::<u8>().map(i64::from).map_err(|_| NotKnobs);
        Ok(Knobs { rows: number(rows)?, vectors: number(vectors)?, unroll: number(unroll)?, side_by_side })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for side_by_side in [false, true] {
            let knobs = Knobs { rows: 6, vectors: 4, unroll: 8, side_by_side };
            assert_eq!(knobs.to_string().parse(), Ok(knobs));
        }
        for text in
            ["", "rows 6", "rows 6 vectors 4 unroll", "rows 6 vectors 4 unroll -1", "rows 6 vectors 4 unroll 1 fast"]
        {
            assert_eq!(text.parse::<Knobs>(), Err(NotKnobs), "{text}");
        }
    }
}
