//! What tiles are, and in which order they stand: enough for threads, and such that what neighbours read
//! stays near.

use super::windows::moves_window;
use super::{FAR, Machine, Schedule, Shape, Tile, changes, depends, size_at};
use crate::expr::Expr;
use crate::nest::{Nest, Reduction};
use mlc_ir::dim::Sym;
use mlc_ir::index::AxisId;

/// Tiles from which on there are enough of them.
const ENOUGH_TILES: i64 = 64;

/// Tiles below which blocks of the vector axis are tiles too.
const FEW_TILES: i64 = 16;

/// Chooses the tiles of a schedule that is complete otherwise.
pub(super) fn choose(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &mut Schedule) {
    // Symbols count as 1: there have to be enough tiles for a batch of one as well.
    let mut count = 1i64;
    for axis in tile_axes(nest, schedule) {
        if count >= ENOUGH_TILES {
            break;
        }
        schedule.tiles.push(Tile::Axis(axis));
        count = count.saturating_mul(size_at(&nest.par[axis], &[]));
    }
    if let (Some((axis, _)), Some(rows)) = (schedule.rows, tile_rows(nest, schedule, typical)) {
        // Where their axis stands, before those of columns: tiles one after another read the same rows.
        let before = schedule.tiles.iter().filter(|tile| matches!(tile, Tile::Axis(other) if *other < axis)).count();
        schedule.tiles.insert(before, Tile::Rows(rows));
    }
    if schedule.shape == Shape::Block && (count < FEW_TILES || schedule.stream > 0) {
        schedule.tiles.push(Tile::Blocks);
    }
    if let Some(order) = best_order(nest, machine, typical, schedule) {
        schedule.tiles = order;
    }
}

impl Schedule {
    /// The axis along which tiles differ.
    fn tile_axis(&self, tile: Tile) -> Option<usize> {
        match tile {
            Tile::Axis(axis) => Some(axis),
            Tile::Rows(_) => self.rows.map(|(axis, _)| axis),
            Tile::Blocks => self.vector,
        }
    }

    /// How many tiles there are along their axis.
    pub(crate) fn count(&self, nest: &Nest, typical: &[(Sym, i64)], tile: Tile) -> i64 {
        let extent = self.tile_axis(tile).map_or(1, |axis| size_at(&nest.par[axis], typical));
        let length = match tile {
            Tile::Axis(_) => 1,
            Tile::Rows(rows) => rows,
            Tile::Blocks => (if self.stream > 0 { self.stream } else { self.vectors }) * self.lanes,
        };
        extent / length + i64::from(extent % length > 0)
    }
}

/// The axes whose values may be tiles, outermost first.
pub(crate) fn tile_axes(nest: &Nest, schedule: &Schedule) -> Vec<usize> {
    let whole = match &nest.reduce {
        Some(Reduction::Scan { axis, .. } | Reduction::Scatter { axis, .. }) => Some(*axis),
        Some(Reduction::Order { .. }) => nest.par.len().checked_sub(1),
        _ => None,
    };
    let inner = |axis: &usize| {
        whole == Some(*axis)
            || schedule.shape != Shape::Lanes && Some(*axis) == schedule.vector
            || schedule.rows.is_some_and(|(row, _)| row == *axis)
    };
    (0..nest.par.len()).filter(|axis| !inner(axis)).collect()
}

/// Bytes of an operand that stay in a thread's own cache.
const OWN_CACHE: i64 = 512 << 10;

/// Register blocks of a tile for which its vectors are worth reading.
const FEW_BLOCKS: i64 = 4;

/// Terms below which what is read behind a chain takes longer than the chain.
const SHORT_CHAIN: i64 = 256;

/// The rows of a tile, where not all of them are one. An operand that no cache holds is read again for the
/// vectors of every tile: then as many rows as stay near. And behind short chains that read one element of
/// something for each output, as an optimizer's update does, those of a register block: tiles one after
/// another then go along whole rows of it.
fn tile_rows(nest: &Nest, schedule: &Schedule, typical: &[(Sym, i64)]) -> Option<i64> {
    let Some(Reduction::Dot { left, right, dtype }) = nest.reduce.as_ref().filter(|_| schedule.shape == Shape::Block)
    else {
        return None;
    };
    let ((axis, rows), vector) = (schedule.rows?, schedule.vector?);
    let extent = size_at(&nest.par[axis], typical);
    let terms = nest.red.iter().map(|dim| size_at(dim, typical)).fold(1, i64::saturating_mul);
    let row_bytes = terms.saturating_mul(dtype.bytes());
    let vectors = if depends(left, AxisId(vector as u32)) { left } else { right };
    let columns: Vec<usize> =
        (0..nest.par.len()).filter(|other| *other != axis && depends(vectors, AxisId(*other as u32))).collect();
    let size = |axes: &mut dyn Iterator<Item = usize>| {
        axes.map(|other| size_at(&nest.par[other], typical)).fold(1, i64::saturating_mul)
    };
    let others = if depends(left, AxisId(vector as u32)) { right } else { left };
    let of_batch = |other: &usize| depends(others, AxisId(*other as u32));
    if columns.iter().any(of_batch) {
        let columns = size(&mut columns.iter().copied().filter(|other| !of_batch(other)));
        return rows_of_a_batch(nest.par[axis].as_const()?, rows, columns.max(terms).saturating_mul(dtype.bytes()));
    }
    let columns = size(&mut columns.into_iter());
    let wide = size_at(&nest.par[vector], typical) < columns;
    let wanted = if terms <= SHORT_CHAIN && columns.saturating_mul(row_bytes) <= FAR && reads_behind(nest, axis) {
        rows
    } else if extent.saturating_mul(row_bytes) > FAR && OWN_CACHE / row_bytes >= FEW_BLOCKS * rows {
        OWN_CACHE / row_bytes / rows * rows
    } else {
        return None;
    };
    (wide && wanted < extent).then_some(wanted)
}

/// Bytes of the rows, of results or terms, that one element of a batch has at most without being cut.
const WHOLE: i64 = 256 << 10;

/// Bytes of them in a tile, where they are cut.
const TILE: i64 = 128 << 10;

/// The rows of a tile of a contraction that is made for each element of a batch, as those of an attention are
/// for each head: few enough for what is computed of them to stay near, and all tiles alike.
fn rows_of_a_batch(extent: i64, rows: i64, row_bytes: i64) -> Option<i64> {
    if extent.saturating_mul(row_bytes) <= WHOLE {
        return None;
    }
    let most = (TILE / row_bytes).max(2 * rows);
    let mut tile = extent;
    while tile > most && tile % 2 == 0 {
        tile /= 2;
    }
    (tile <= most && tile >= rows).then_some(tile)
}

/// Whether what follows the reduction reads other elements for other values of an axis.
fn reads_behind(nest: &Nest, axis: usize) -> bool {
    let axis = AxisId(axis as u32);
    let mut roots = nest.lets.iter().chain(nest.stores.iter().map(|store| &store.value));
    roots.any(|root| depends_in_memory(root, axis))
}

fn depends_in_memory(root: &Expr, axis: AxisId) -> bool {
    let mut found = false;
    root.each(&mut |e| found |= matches!(e, Expr::Load { .. }) && changes(e, axis));
    found
}

/// Another order must save this part of what is read from beyond a core's own cache.
const SAVES: i64 = 2;

/// Whose operand changes from tile to tile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Rows,
    Columns,
}

/// What the tiles of a contraction read.
struct Operands {
    /// Of each of the schedule's tiles: how many values it has, and which operand changes with them.
    digits: Vec<(Tile, i64, Side)>,
    /// Bytes of the rows and columns that a tile reads.
    bytes: (i64, i64),
}

impl Operands {
    /// Nothing where both change along an axis: such contractions are made for each element of a batch, and followed
    /// by others row by row.
    fn new(nest: &Nest, typical: &[(Sym, i64)], schedule: &Schedule) -> Option<Operands> {
        let Some(Reduction::Dot { left, right, .. }) = nest.reduce.as_ref().filter(|_| schedule.shape == Shape::Block)
        else {
            return None;
        };
        let vector = AxisId(schedule.vector? as u32);
        let (columns, rows) = if depends(left, vector) { (left, right) } else { (right, left) };
        if (0..nest.par.len() as u32).any(|axis| depends(rows, AxisId(axis)) && depends(columns, AxisId(axis))) {
            return None;
        }
        let mut digits = Vec::new();
        let mut bytes = (bytes_of(nest, rows, typical)?, bytes_of(nest, columns, typical)?);
        for tile in &schedule.tiles {
            let along = schedule.tile_axis(*tile)?;
            let axis = AxisId(along as u32);
            let count = schedule.count(nest, typical, *tile);
            if depends(columns, axis) {
                bytes.1 /= count.max(1);
                digits.push((*tile, count, Side::Columns));
            } else {
                let parted = depends(rows, axis) && !moves_window(nest, rows, along);
                bytes.0 /= if parted { count.max(1) } else { 1 };
                digits.push((*tile, count, Side::Rows));
            }
        }
        Some(Operands { digits, bytes })
    }

    /// Bytes read from beyond a cache, if tiles stand in this order: an operand is read again for each value along
    /// which it stays the same, unless what is read for one of them leaves it where it is.
    fn traffic(&self, order: &[(Tile, i64, Side)], cache: i64) -> i64 {
        let (mut read, mut held) = (self.bytes, self.bytes);
        for (_, count, side) in order.iter().rev() {
            let near = held.0.saturating_add(held.1) <= cache;
            let (own, other) = match side {
                Side::Rows => ((&mut read.0, &mut held.0), &mut read.1),
                Side::Columns => ((&mut read.1, &mut held.1), &mut read.0),
            };
            *own.0 = own.0.saturating_mul(*count);
            *own.1 = own.1.saturating_mul(*count);
            if !near {
                *other = other.saturating_mul(*count);
            }
        }
        read.0.saturating_add(read.1)
    }

    /// All orders in which the columns' tiles stand together, and the rows' in their own order.
    fn orders(&self) -> Vec<Vec<(Tile, i64, Side)>> {
        let (rows, columns): (Vec<_>, Vec<_>) = self.digits.iter().partition(|(_, _, side)| *side == Side::Rows);
        let order = |before: usize| rows[..before].iter().chain(&columns).chain(&rows[before..]).copied().collect();
        (0..=rows.len()).map(order).collect()
    }
}

/// The order with much less to be read than that of the schedule, if there is one, and multiply-adds would have to
/// wait for what is read.
fn best_order(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &Schedule) -> Option<Vec<Tile>> {
    let operands = Operands::new(nest, typical, schedule)?;
    let cost = |order: &Vec<(Tile, i64, Side)>| operands.traffic(order, machine.own_cache);
    let read = cost(&operands.digits);
    if cycles_to_read(machine, read) <= cycles_to_multiply(nest, machine, typical, schedule) {
        return None;
    }
    let best = operands.orders().into_iter().min_by_key(cost)?;
    (cost(&best).saturating_mul(SAVES) <= read).then(|| best.into_iter().map(|(tile, ..)| tile).collect())
}

/// Cycles that so many bytes from beyond a core's own cache take.
pub(super) fn cycles_to_read(machine: &Machine, bytes: i64) -> i64 {
    bytes / machine.far_bytes
}

/// Cycles that the multiply-adds of a contraction take, if they wait for nothing.
pub(super) fn cycles_to_multiply(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &Schedule) -> i64 {
    let extents = nest.par.iter().chain(&nest.red);
    let terms = extents.map(|extent| size_at(extent, typical)).fold(1, i64::saturating_mul);
    terms / (schedule.lanes * machine.fma_per_cycle)
}

/// Bytes that a contraction reads from beyond a core's own cache.
pub(crate) fn traffic(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &Schedule) -> Option<i64> {
    let operands = Operands::new(nest, typical, schedule)?;
    Some(operands.traffic(&operands.digits, machine.own_cache))
}

/// The tiles of a contraction with those of columns at other places among those of rows.
pub(crate) fn column_orders(nest: &Nest, typical: &[(Sym, i64)], schedule: &Schedule) -> Vec<Vec<Tile>> {
    let Some(operands) = Operands::new(nest, typical, schedule) else { return Vec::new() };
    let tiles = |order: Vec<(Tile, i64, Side)>| order.into_iter().map(|(tile, ..)| tile).collect();
    operands.orders().into_iter().map(tiles).collect()
}

/// Bytes of what an operand is read from.
fn bytes_of(nest: &Nest, operand: &Expr, typical: &[(Sym, i64)]) -> Option<i64> {
    let Expr::Load { buffer, .. } = operand else { return None };
    let source = &nest.buffers[*buffer];
    let elements = source.shape.iter().map(|dim| size_at(dim, typical)).fold(1, i64::saturating_mul);
    Some(elements.saturating_mul(source.dtype.bytes()))
}
