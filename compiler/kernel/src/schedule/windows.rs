//! Gradients of convolutions by their weights: every position of the window is a product of nearly the same pixels.
//!
//! Position after position such a nest reads all pixels of a batch again, from beyond a core's own cache. Instead a
//! tile takes the positions of a row of the window side by side, block of terms by block of terms: what a block reads
//! is near for all of them. And it takes a line of channels alone, so that a block's pixels are few and that several
//! threads have tiles.

use super::tiles::{cycles_to_multiply, cycles_to_read, traffic};
use super::{LINE, Machine, Schedule, Tile, depends};
use crate::expr::{Address, Expr};
use crate::nest::{Nest, Reduction, axis_coef};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::index::AxisId;

/// How much longer than its multiply-adds a nest must read: where they hide most of that, tiles of whole rows are as
/// fast.
const LONGER: (i64, i64) = (3, 2);

/// The schedule with positions side by side, of a nest whose multiply-adds would wait for pixels else.
pub(super) fn choose(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &Schedule) -> Option<Schedule> {
    let Some(Reduction::Dot { left, right, .. }) = nest.reduce.as_ref().filter(|_| schedule.side_by_side) else {
        return None;
    };
    let ((channels, rows), vector) = (schedule.rows?, schedule.vector?);
    let (columns, pixels) = if depends(left, AxisId(vector as u32)) { (left, right) } else { (right, left) };
    nest.par[channels].as_const().filter(|extent| extent % LINE == 0 && *extent > LINE)?;
    let position = schedule.tiles.iter().rev().find_map(|tile| match tile {
        Tile::Axis(axis) => Some(*axis).filter(|axis| !depends(columns, AxisId(*axis as u32))),
        Tile::Rows(_) | Tile::Blocks => None,
    })?;
    if step(pixels, channels) != Some(1) || !moves_window(nest, pixels, position) {
        return None;
    }
    let read = traffic(nest, machine, typical, schedule)?;
    let multiplied = cycles_to_multiply(nest, machine, typical, schedule);
    if cycles_to_read(machine, read).saturating_mul(LONGER.1) < multiplied.saturating_mul(LONGER.0) {
        return None;
    }
    let others = schedule.tiles.iter().filter(|tile| **tile != Tile::Axis(position) && !matches!(tile, Tile::Rows(_)));
    let tiles = [Tile::Rows(LINE)].into_iter().chain(others.copied()).collect();
    let windows = Schedule { tiles, ..schedule.clone() };
    (rows <= LINE && windows.axes_beside(nest) == [position]).then_some(windows)
}

/// Whether an axis moves a window over what an operand is read from, and by little of it: its values step over those
/// of a reduced axis, or the other way round, and all of its way is at most half of that axis's. For all its values
/// nearly the same is read.
pub(super) fn moves_window(nest: &Nest, operand: &Expr, axis: usize) -> bool {
    let Some(own) = step(operand, axis) else { return false };
    let Some(extent) = nest.par[axis].as_const() else { return false };
    let own_way = own.saturating_mul(extent);
    let way = |step: i64, dim: &Dim| step.saturating_mul(dim.as_const().unwrap_or(i64::MAX));
    nest.red.iter().enumerate().any(|(number, reduced)| {
        step(operand, nest.par.len() + number).is_some_and(|other| {
            let meet = own % other == 0 || other % own == 0 && other < own_way;
            meet && own_way.saturating_mul(2) <= way(other, reduced)
        })
    })
}

/// Elements from one value of an axis to the next, in what an operand is read from.
fn step(operand: &Expr, axis: usize) -> Option<i64> {
    let Expr::Load { at: Address::Linear(place), .. } = operand else { return None };
    axis_coef(place, AxisId(axis as u32)).filter(|step| *step > 0)
}
