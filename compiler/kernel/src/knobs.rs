//! What may be tried otherwise than the cost model has it: the parts of a schedule that only measuring can
//! settle. They change no bit of a result.

mod text;
mod ways;

pub use text::NotKnobs;
pub use ways::{blocks, tilings, walks};

use crate::nest::{Nest, Reduction};
use crate::schedule::{Machine, Schedule, Shape, Tile, tile_axes};

/// Choices within a schedule; `rows 6 vectors 4 unroll 4 tiles i0,blocks side_by_side` as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Knobs {
    /// Rows of the register block, or of a strip; 1 if there is no axis for rows.
    pub rows: i64,
    /// Vectors side by side in it.
    pub vectors: i64,
    /// Turns of the innermost reduced loop that are unrolled.
    pub unroll: i64,
    /// What tiles are, outermost first.
    pub tiles: Vec<Tile>,
    /// Elements of a tile of a one-axis map.
    pub chunk: i64,
    /// Vectors of a stream; 0 for register blocks.
    pub stream: i64,
    /// Whether register blocks go through a long chain side by side.
    pub side_by_side: bool,
}

/// Unrollings that are tried.
const UNROLL: [i64; 4] = [1, 2, 4, 8];

/// Rows and vectors that a block has at most.
const MOST: (i64, i64) = (16, 8);

/// Register blocks that go side by side at most, and bytes of scratch that they take.
const SIDE_BY_SIDE: (i64, i64) = (128, 128 << 10);

/// Rows of a tile at most.
const MOST_ROWS: i64 = 1 << 14;

/// Elements of a tile of a one-axis map: a multiple of the first, the second at most.
const CHUNKS: (i64, i64) = (64, 1 << 20);

/// Vectors of a stream at most: two sums of each are in scratch memory.
const MOST_STREAM: i64 = 256;

impl Knobs {
    /// Those of a schedule.
    pub fn of(schedule: &Schedule) -> Knobs {
        let &Schedule { vectors, unroll, chunk, stream, side_by_side, .. } = schedule;
        let rows = schedule.rows.map_or(1, |(_, rows)| rows);
        Knobs { rows, vectors, unroll, tiles: schedule.tiles.clone(), chunk, stream, side_by_side }
    }

    /// The schedule with these, if they are possible for the nest on that machine.
    pub fn apply(&self, nest: &Nest, machine: &Machine, schedule: &Schedule) -> Option<Schedule> {
        if !is_open(nest, schedule) || !self.fits(nest, machine, schedule) {
            return None;
        }
        Some(self.within(schedule))
    }

    /// The schedule with these, possible or not.
    fn within(&self, schedule: &Schedule) -> Schedule {
        let rows = schedule.rows.map(|(axis, _)| (axis, self.rows));
        let Knobs { vectors, unroll, chunk, stream, side_by_side, .. } = *self;
        let tiles = self.tiles.clone();
        Schedule { rows, vectors, unroll, tiles, chunk, stream, side_by_side, ..schedule.clone() }
    }

    fn fits(&self, nest: &Nest, machine: &Machine, schedule: &Schedule) -> bool {
        let within = (1..=MOST.0).contains(&self.rows)
            && (1..=MOST.1).contains(&self.vectors)
            && UNROLL.contains(&self.unroll)
            && self.chunk % CHUNKS.0 == 0
            && (1..=CHUNKS.1).contains(&self.chunk);
        let columns = schedule.vector.map_or(1, |axis| extent(nest, axis));
        within
            && (self.vectors - 1) * schedule.lanes < columns
            && self.block_fits(nest, machine, schedule)
            && self.tiles_fit(nest, schedule)
            && self.stream_fits(nest, schedule)
    }

    fn block_fits(&self, nest: &Nest, machine: &Machine, schedule: &Schedule) -> bool {
        let Knobs { rows, vectors, side_by_side, .. } = *self;
        if schedule.shape == Shape::Map {
            return !side_by_side && self.unroll == schedule.unroll && (schedule.rows.is_some() || rows == 1);
        }
        let sums = if matches!(nest.reduce, Some(Reduction::Best { .. })) { 2 } else { 1 };
        let registers = sums * rows * vectors + vectors < machine.vector_registers;
        let rows_fit = match schedule.rows {
            None => rows == 1 && !side_by_side,
            Some((axis, _)) => {
                let whole = nest.par[axis].as_const().is_some();
                let other = self.within(schedule);
                let blocks = other.blocks_beside(nest);
                let scratch = blocks.saturating_mul(rows * vectors * machine.vector_bits / 8);
                let fit =
                    whole && other.most_row_blocks(nest) >= 2 && blocks <= SIDE_BY_SIDE.0 && scratch <= SIDE_BY_SIDE.1;
                rows > 1 && rows <= extent(nest, axis) && (!side_by_side || fit)
            }
        };
        registers && rows_fit
    }

    fn tiles_fit(&self, nest: &Nest, schedule: &Schedule) -> bool {
        let axes = tile_axes(nest, schedule);
        let is_block = schedule.shape == Shape::Block && schedule.vector.is_some();
        let fits = |(at, tile): (usize, &Tile)| {
            let kind = std::mem::discriminant(tile);
            let once = self.tiles[..at].iter().all(|other| match tile {
                Tile::Axis(_) => other != tile,
                Tile::Rows(_) | Tile::Blocks => std::mem::discriminant(other) != kind,
            });
            once && match tile {
                Tile::Axis(axis) => axes.contains(axis),
                Tile::Rows(rows) => is_block && schedule.rows.is_some() && (self.rows..=MOST_ROWS).contains(rows),
                Tile::Blocks => is_block,
            }
        };
        self.tiles.iter().enumerate().all(fits)
    }

    fn stream_fits(&self, nest: &Nest, schedule: &Schedule) -> bool {
        let product = schedule.shape == Shape::Block && matches!(nest.reduce, Some(Reduction::Dot { .. }));
        let wide = schedule.vector.is_some_and(|axis| nest.par[axis].as_const().is_some()) && schedule.lanes > 1;
        let possible = product && wide && nest.red.len() == 1 && !self.side_by_side;
        self.stream == 0 || possible && (1..=MOST_STREAM).contains(&self.stream)
    }
}

/// The extent of a parallel axis; of one that is a symbol as if there were no end.
fn extent(nest: &Nest, axis: usize) -> i64 {
    nest.par[axis].as_const().unwrap_or(i64::MAX)
}

/// Whether there is anything to try.
pub fn is_open(nest: &Nest, schedule: &Schedule) -> bool {
    matches!(schedule.shape, Shape::Block | Shape::Map) && schedule.vector.is_some() && nest.window.is_none()
}

/// Whether a nest is a contraction.
pub fn is_contraction(nest: &Nest) -> bool {
    matches!(nest.reduce, Some(Reduction::Dot { .. }))
}
