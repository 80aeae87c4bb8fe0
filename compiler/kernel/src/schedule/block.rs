//! The register block of a contraction or fold, and how its chains are gone through.

use super::{FAR, Machine, SIDE_BY_SIDE, Schedule, Shape, depends, size_at};
use crate::expr::Expr;
use crate::nest::{Nest, Reduction};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::index::AxisId;

/// Terms from which on register blocks go through a chain side by side.
const LONG_CHAIN: i64 = 1024;

/// Multiply-adds of a term from which on what a turn costs beside them is hidden behind those of two terms; code
/// for more of them is only longer.
const LARGE_BLOCK: i64 = 8;

/// Chooses rows, vectors and the way through the terms.
pub(super) fn choose_block(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &mut Schedule) {
    let Some(vector) = schedule.vector else { return };
    let extent = size_at(&nest.par[vector], typical);
    let total = (extent + schedule.lanes - 1) / schedule.lanes;
    let Some(Reduction::Dot { left, right, .. }) = &nest.reduce else {
        let registers = if matches!(nest.reduce, Some(Reduction::Best { .. })) { 4 } else { 8 };
        schedule.vectors = registers.min(total).max(1);
        schedule.unroll = 1;
        return;
    };
    let candidates = (0..nest.par.len()).filter(|axis| *axis != vector);
    let reuses = |axis: &usize| {
        let id = AxisId(*axis as u32);
        !nest.par[*axis].is(1)
            && (!depends(left, id) || !depends(right, id))
            && (depends(left, id) || depends(right, id))
    };
    // The innermost axis that fills a block: its elements are close to one another. Best one along which
    // the vectors stay the same.
    let vectors = if depends(left, AxisId(vector as u32)) { left } else { right };
    let row_axis = candidates.filter(reuses).max_by_key(|axis| {
        let same = !depends(vectors, AxisId(*axis as u32));
        let size = size_at(&nest.par[*axis], typical);
        (same && size > 1, size.min(4), *axis)
    });
    let (rows, vectors) = best_block(machine, row_axis.map(|axis| &nest.par[axis]), typical, total);
    schedule.rows = row_axis.filter(|_| rows > 1).map(|axis| (axis, rows));
    schedule.vectors = vectors;
    schedule.unroll = if rows * vectors >= LARGE_BLOCK { 2 } else { 4 };
    let terms = nest.red.iter().map(|dim| size_at(dim, typical)).fold(1, i64::saturating_mul);
    let blocks = schedule.rows.and_then(|(axis, rows)| Some(nest.par[axis].as_const()? / rows));
    schedule.side_by_side = terms >= LONG_CHAIN
        && blocks.is_some_and(|blocks| blocks >= 2)
        && schedule.most_row_blocks(nest) <= SIDE_BY_SIDE;
}

/// The block with the fewest estimated cycles for all outputs of one row axis and the vector axis.
fn best_block(machine: &Machine, row: Option<&Dim>, typical: &[(Sym, i64)], total: i64) -> (i64, i64) {
    let row_extent = row.map_or(1, |dim| size_at(dim, typical));
    let symbolic = row.is_some_and(|dim| dim.as_const().is_none());
    let mut best = (i64::MAX, (1, 1));
    for vectors in 1..=8.min(total) {
        for rows in 1..=12.min(row_extent) {
            if rows * vectors + vectors + 1 > machine.vector_registers - machine.product_registers {
                continue;
            }
            let tail = row_extent % rows;
            let row_cost = |vectors: i64| {
                let tail_cost = match (tail, symbolic) {
                    (0, _) => 0,
                    (_, true) => tail * block_cost(machine, 1, vectors),
                    (_, false) => block_cost(machine, tail, vectors),
                };
                row_extent / rows * block_cost(machine, rows, vectors) + tail_cost
            };
            let cost =
                total / vectors * row_cost(vectors) + if total % vectors > 0 { row_cost(total % vectors) } else { 0 };
            if cost < best.0 {
                best = (cost, (rows, vectors));
            }
        }
    }
    best.1
}

/// Estimated cycles, times 60, of one term of a block: the tightest of arithmetic, loads and issue.
pub(crate) fn block_cost(machine: &Machine, rows: i64, vectors: i64) -> i64 {
    let fma = rows * vectors * 60 / machine.fma_per_cycle;
    let latency = 4 * 60;
    let loads = (rows + vectors) * 60 / machine.loads_per_cycle;
    // A multiply-add that may not overwrite its addend costs a move as well.
    let moves = if machine.in_place { 0 } else { rows * vectors };
    let issue = (moves + rows * vectors + rows + vectors + 3) * 60 / machine.issue;
    // Of blocks that are equally good the one with the fewest loads, which are not all as near as hoped.
    fma.max(latency).max(loads).max(issue) + loads / 8
}

/// Vectors of a stream: at least some pages of memory in a row, and some tiles for threads.
const STREAM: (i64, i64) = (8, 64);
const STREAM_TILES: i64 = 4;

/// The vectors of a stream, if single rows are products with something that is read from memory each time.
pub(super) fn stream(nest: &Nest, schedule: &Schedule) -> i64 {
    let Some(Reduction::Dot { left, right, .. }) = nest.reduce.as_ref().filter(|_| schedule.shape == Shape::Block)
    else {
        return 0;
    };
    let Some(vector) = schedule.vector else { return 0 };
    let single = schedule.rows.is_none_or(|(axis, _)| nest.par[axis].as_const().is_none());
    let Some(extent) = nest.par[vector].as_const().filter(|_| single && nest.red.len() == 1) else { return 0 };
    let operand = if depends(left, AxisId(vector as u32)) { left } else { right };
    let Expr::Load { buffer, .. } = &**operand else { return 0 };
    let source = &nest.buffers[*buffer];
    let bytes = Dim::product(&source.shape).ok().and_then(|n| n.as_const());
    let far = bytes.is_some_and(|elements| elements.saturating_mul(source.dtype.bytes()) >= FAR);
    let vectors = extent / schedule.lanes;
    let fits = schedule.lanes > 1 && vectors >= STREAM.0 * STREAM_TILES;
    if far && fits { (vectors / STREAM_TILES).min(STREAM.1) } else { 0 }
}
