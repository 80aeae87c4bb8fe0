//! Panels: the operand that vectors of a contraction lie along, copied into stretches as wide as a
//! register block, so that a block of outputs reads it front to back. In place its rows are as far
//! apart as the whole operand is wide: each term would touch another page, and all of them the same
//! few sets of the nearest cache.
//!
//! And chunks: the operand whose elements are read one by one, where its rows are a multiple of a page
//! apart and thus would fall into one set of the nearest cache, cut along the terms.

mod batched;
mod packing;

pub use packing::{NotPacking, Pack, Packing, packings};

use crate::expr::{Address, Expr, ExprRef, Index};
use crate::layout::{Layout, map_roots, plain};
use crate::nest::{Buffer, Nest, Reduction, Source, axis_coef};
use crate::schedule::{Machine, depends, size_at};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::index::{AxisId, Ix, result_axes};
use mlc_ir::scalar::Literal;
use std::sync::Arc;

/// Vectors of a panel's row by estimate: with two, the rows of a register block are as many as registers allow.
const VECTORS: i64 = 2;

/// Panels from which on a rest beside them is a small part of the work.
const MANY: i64 = 8;

/// Rows of outputs from which on the copy is a small part of the work.
const ROWS: i64 = 48;

/// The same where the copy is made once for all calls: some register blocks.
const KEPT_ROWS: i64 = 24;

/// Bytes of an operand that stay in the nearest cache wherever they are.
const NEAR: i64 = 32 << 10;

/// Columns that a part has at least: as many as keep the plan of the whole.
const PART: i64 = 8;

/// A contraction whose width is no multiple of a panel's, as the part that is and the rest; else as it is.
pub(crate) fn parts(nest: Nest, layout: Layout<'_>) -> Vec<Nest> {
    let Some(full) = full_columns(&nest, layout) else { return vec![nest] };
    let axis = nest.par.len() - 1;
    let Some(extent) = nest.par[axis].as_const() else { return vec![nest] };
    let (mut first, mut rest) = (nest.clone(), nest);
    first.par[axis] = Dim::from(full);
    rest.par[axis] = Dim::from(extent - full);
    let moved = |AxisId(other): AxisId| match other as usize == axis {
        true => Ix::axis(AxisId(other)).plus(full),
        false => Ix::axis(AxisId(other)),
    };
    map_roots(&mut rest, &mut |e| e.substitute(&moved));
    rest.stores.iter_mut().for_each(|store| store.at = store.at.substitute(&moved));
    vec![first, rest]
}

/// How many columns are whole panels, if not all are and the others are worth a kernel of their own.
fn full_columns(nest: &Nest, layout: Layout<'_>) -> Option<i64> {
    let Some(Reduction::Dot { left, right, dtype }) = &nest.reduce else { return None };
    let axis = AxisId(nest.par.len().checked_sub(1)? as u32);
    let operand = if depends(left, axis) { left } else { right };
    let Expr::Load { buffer, at: Address::Axes { .. } } = &**operand else { return None };
    let reads = Reads::new(nest, operand, &nest.buffers[*buffer], layout);
    let width =
        layout.packing.panels.or(reads.vectors(layout.machine))? * layout.machine.vector_bits / 8 / dtype.bytes();
    let extent = nest.par[axis.0 as usize].as_const().filter(|extent| extent % width != 0)?;
    let full = (extent - PART).max(0) / width * width;
    // What is read element by element may be written over, which takes one kernel.
    let others: Vec<AxisId> = (0..axis.0).map(AxisId).collect();
    let all = |e: &Expr| matches!(e, Expr::Load { .. }) && others.iter().all(|other| depends(e, *other));
    let mut whole = false;
    let start = nest.blocks.iter().map(|blocks| &blocks.start);
    let behind = start.chain(&nest.lets).chain(nest.stores.iter().map(|store| &store.value));
    behind.for_each(|root| root.each(&mut |e| whole |= all(e)));
    let fits = nest.window.is_none() && full >= PART.max(2 * width) && !whole;
    (fits && layout.packing.panels.is_wanted(|| full > MANY * width && reads.pays())).then_some(full)
}

/// How the operand that vectors lie along is read.
struct Reads {
    /// Rows of outputs.
    rows: i64,
    bytes: i64,
    /// Whether a copy is made once for all calls.
    kept: bool,
}

impl Reads {
    fn new(nest: &Nest, operand: &Expr, source: &Buffer, layout: Layout<'_>) -> Reads {
        let size = |dim: &Dim| size_at(dim, layout.typical);
        let rows = (0..nest.par.len() as u32 - 1).filter(|other| !depends(operand, AxisId(*other)));
        let rows = rows.map(|other| size(&nest.par[other as usize])).fold(1, i64::saturating_mul);
        let elements = source.shape.iter().map(size).fold(1, i64::saturating_mul);
        let bytes = elements.saturating_mul(source.dtype.bytes());
        Reads { rows, bytes, kept: layout.kept.contains(&source.source) }
    }

    /// Whether the operand is beyond the nearest cache, and so many rows read it that copying it is a small part of
    /// the work, or that a copy made once is read faster.
    fn pays(&self) -> bool {
        self.rows >= if self.kept { KEPT_ROWS } else { ROWS } && self.bytes > NEAR
    }

    /// Vectors of a panel's row by estimate: where rows are few, and fewer in a smaller batch, as many as keep
    /// multiply-adds busy for one of them.
    fn vectors(&self, machine: &Machine) -> i64 {
        if self.rows < ROWS { (machine.vector_registers / 8).max(VECTORS) } else { VECTORS }
    }
}

/// An axis of a contraction to be cut, and one of its operands with it.
struct Cut {
    axis: AxisId,
    extent: i64,
    /// Elements of a panel's or chunk's row.
    width: i64,
    operand: ExprRef,
    is_left: bool,
}

/// Cuts the vector axis of a contraction into panels, where it pays; the copy to be made before it.
pub(crate) fn cut(nest: &mut Nest, layout: Layout<'_>, next_copy: &mut u32) -> Option<Nest> {
    let Some(Reduction::Dot { left, right, dtype }) = nest.reduce.clone() else { return None };
    if nest.window.is_some() {
        return None;
    }
    let axis = AxisId(nest.par.len().checked_sub(1)? as u32);
    let (operand, is_left) = if depends(&left, axis) { (left.clone(), true) } else { (right.clone(), false) };
    let Expr::Load { buffer, at: Address::Axes { index, within, .. } } = &*operand else { return None };
    let (index, source) = (plain(index).filter(|_| within.is_empty())?, nest.buffers[*buffer].clone());
    let reads = Reads::new(nest, &operand, &source, layout);
    let width =
        layout.packing.panels.or(reads.vectors(layout.machine))? * layout.machine.vector_bits / 8 / dtype.bytes();
    let extent = nest.par[axis.0 as usize].as_const()?;
    if extent % width != 0 || extent <= width || !layout.packing.panels.is_wanted(|| reads.pays()) {
        return None;
    }
    let batch = batched::batch_axes(nest, &left, &right);
    let whole = Cut { axis, extent, width, operand: operand.clone(), is_left };
    if !batch.is_empty()
        && let Some(made) = batched::cut(nest, &whole, (&source, &index), &batch, next_copy)
    {
        return Some(made);
    }
    let (last, others) = index.split_last()?;
    let walks = *last == Ix::axis(axis) && source.shape.last()?.as_const().is_some_and(|size| size >= extent);
    if !walks || others.iter().any(|ix| axis_coef(ix, axis) != Some(0)) {
        return None;
    }
    let target = cut_target(&source, extent, width, next_copy);
    let made = copy_nest(nest, &source, &target, width);
    split_axis(nest, axis, extent, width);
    let panel = panel_load(nest, target, others, axis, source.dtype);
    if let Some(Reduction::Dot { left, right, .. }) = &mut nest.reduce {
        *(if is_left { left } else { right }) = panel;
    }
    Some(made)
}

/// Terms of a chunk by estimate: rows are then a quarter of a page apart, and each is read for a while. It divides
/// [`crate::nest::CHAIN_TERMS`], so that chains break where they did.
const CHUNK: i64 = 256;

/// What rows are apart by where the nearest cache has one set for them.
const SAME_SET: i64 = 4096;

/// Outputs of a row from which on the copy is a small part of the work.
const COLUMNS: i64 = 256;

/// Cuts the terms of a contraction into chunks, where it pays; the copy to be made before it.
pub(crate) fn chunk(nest: &mut Nest, chunks: Pack, typical: &[(Sym, i64)], next_copy: &mut u32) -> Option<Nest> {
    let terms = chunks.or(CHUNK)?;
    let Some(Reduction::Dot { left, right, dtype }) = nest.reduce.clone() else { return None };
    if nest.blocks.is_some() {
        return None;
    }
    let vector = AxisId(nest.par.len().checked_sub(1)? as u32);
    let axis = AxisId((nest.par.len() + nest.red.len()).checked_sub(1)? as u32);
    let extent = nest.red.last()?.as_const()?;
    let (operand, is_left) = if depends(&left, vector) { (right.clone(), false) } else { (left.clone(), true) };
    let Expr::Load { buffer, at: Address::Axes { index, within, .. } } = &*operand else { return None };
    let (index, source) = (plain(index).filter(|_| within.is_empty())?, nest.buffers[*buffer].clone());
    let (last, others) = index.split_last()?;
    let walks = *last == Ix::axis(axis) && source.shape.last()?.is(extent);
    let whole = extent % terms == 0 && extent > terms;
    if !walks || !whole || others.iter().any(|ix| axis_coef(ix, axis) != Some(0)) {
        return None;
    }
    let size = |axis: &u32| size_at(&nest.par[*axis as usize], typical);
    let (rows, columns): (Vec<u32>, Vec<u32>) =
        (0..nest.par.len() as u32).partition(|axis| depends(&operand, AxisId(*axis)));
    let rows = rows.iter().map(size).fold(1, i64::saturating_mul);
    let columns = columns.iter().map(size).fold(1, i64::saturating_mul);
    // What is made for each element of a batch is read soon after, row by row.
    let estimated = || extent * dtype.bytes() % SAME_SET == 0 && rows >= ROWS && columns >= COLUMNS;
    if !chunks.is_wanted(estimated) || !batched::batch_axes(nest, &left, &right).is_empty() {
        return None;
    }
    let target = cut_target(&source, extent, terms, next_copy);
    let made = copy_nest(nest, &source, &target, terms);
    split_axis(nest, axis, extent, terms);
    let chunk = panel_load(nest, target, others, axis, source.dtype);
    if let Some(Reduction::Dot { left, right, .. }) = &mut nest.reduce {
        *(if is_left { left } else { right }) = chunk;
    }
    Some(made)
}

/// A new buffer for a source whose last axis is cut.
fn cut_target(source: &Buffer, extent: i64, width: i64, next_copy: &mut u32) -> Buffer {
    let copy = Source::Copy(*next_copy);
    *next_copy += 1;
    let shape = std::iter::once(Dim::from(extent / width))
        .chain(source.shape[..source.shape.len() - 1].iter().cloned())
        .chain([Dim::from(width)])
        .collect();
    Buffer { source: copy, dtype: source.dtype, shape }
}

/// `target[p, …, j] = source[…, width·p + j]`, in the order of the source: what is read from far comes without
/// waiting if one place follows another, and a panel's row is written in whole lines wherever it is.
fn copy_nest(like: &Nest, source: &Buffer, target: &Buffer, width: i64) -> Nest {
    let axes = result_axes(target.shape.len());
    let last = axes.len() - 1;
    let (others, panel) = (&axes[..last - 1], &axes[last - 1]);
    let place = panel.clone().times(width).add(axes[last].clone());
    let index = others.iter().cloned().chain([place]).map(Index::At).collect();
    let at = Address::Axes { index, within: Vec::new(), fill: Literal::zero(source.dtype) };
    let to: Vec<Ix> = [panel].into_iter().chain(others).chain([&axes[last]]).cloned().collect();
    let mut made = Nest::copy(&like.spans, source, target, at);
    made.par[..last].rotate_left(1);
    made.stores.iter_mut().for_each(|store| store.at = Ix::row_major(&to, &target.shape));
    made
}

/// Makes two axes of one, the last of its kind: the panel or chunk, and the place in it.
fn split_axis(nest: &mut Nest, axis: AxisId, extent: i64, width: i64) {
    let with = |AxisId(other): AxisId| match other.cmp(&axis.0) {
        std::cmp::Ordering::Less => Ix::axis(AxisId(other)),
        std::cmp::Ordering::Equal => Ix::axis(axis).times(width).add(Ix::axis(AxisId(axis.0 + 1))),
        std::cmp::Ordering::Greater => Ix::axis(AxisId(other + 1)),
    };
    map_roots(nest, &mut |e| e.substitute(&with));
    nest.stores.iter_mut().for_each(|store| store.at = store.at.substitute(&with));
    let border = nest.par.len();
    let axes = if (axis.0 as usize) < border { &mut nest.par } else { &mut nest.red };
    axes.pop();
    axes.extend([Dim::from(extent / width), Dim::from(width)]);
}

/// The operand's element in its panel; `others` are the source's indices before the last one.
fn panel_load(nest: &mut Nest, target: Buffer, others: &[Ix], axis: AxisId, dtype: mlc_ir::ty::DType) -> ExprRef {
    let shifted = |AxisId(other): AxisId| Ix::axis(AxisId(other + u32::from(other > axis.0)));
    let others = others.iter().map(|ix| ix.substitute(&shifted));
    let index = std::iter::once(Ix::axis(axis)).chain(others).chain([Ix::axis(AxisId(axis.0 + 1))]);
    let at = Address::Axes { index: index.map(Index::At).collect(), within: Vec::new(), fill: Literal::zero(dtype) };
    nest.buffers.push(target);
    Arc::new(Expr::Load { buffer: nest.buffers.len() - 1, at })
}
