//! Panels and chunks of contractions that are made for each element of some batch axes, as those of
//! attention are for each head: what belongs to one of these elements lies side by side in the copy,
//! so that it can be made, read and forgotten element by element.

use super::{Cut, split_axis};
use crate::expr::{Address, Expr, ExprRef, Index};
use crate::nest::{Buffer, Nest, Reduction, Source};
use crate::schedule::depends;
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix, IxAtom};
use mlc_ir::scalar::Literal;
use std::sync::Arc;

/// The parallel axes along which both operands change.
pub(super) fn batch_axes(nest: &Nest, left: &Expr, right: &Expr) -> Vec<AxisId> {
    let both = |axis: &AxisId| depends(left, *axis) && depends(right, *axis);
    (0..nest.par.len() as u32).map(AxisId).filter(both).collect()
}

/// Cuts an axis of a nest, and one of its operands with it: into `[batch …, axis / width, others …, width]`,
/// all in the order of the nest's axes; the copy to be made before it. `index` is where the operand is read.
pub(super) fn cut(
    nest: &mut Nest,
    cut: &Cut,
    (source, index): (&Buffer, &[Ix]),
    batch: &[AxisId],
    next_copy: &mut u32,
) -> Option<Nest> {
    let extent_of = |AxisId(axis): AxisId| {
        let axis = axis as usize;
        if axis < nest.par.len() { nest.par[axis].clone() } else { nest.red[axis - nest.par.len()].clone() }
    };
    if !names_each_once(index, &extent_of) {
        return None;
    }
    let axes = (0..(nest.par.len() + nest.red.len()) as u32).map(AxisId);
    let others = axes.filter(|axis| *axis != cut.axis && !batch.contains(axis) && depends(&cut.operand, *axis));
    let order: Vec<AxisId> = batch.iter().copied().chain([cut.axis]).chain(others).collect();
    let panel = batch.len();
    let mut shape: Vec<Dim> = order.iter().map(|axis| extent_of(*axis)).collect();
    shape[panel] = Dim::from(cut.extent / cut.width);
    shape.push(Dim::from(cut.width));
    let target = Buffer { source: Source::Copy(*next_copy), dtype: source.dtype, shape };
    *next_copy += 1;
    let from = |axis: AxisId| {
        let at = order.iter().position(|other| *other == axis).unwrap_or_default();
        let own = Ix::axis(AxisId(at as u32));
        if at == panel { own.times(cut.width).add(Ix::axis(AxisId(order.len() as u32))) } else { own }
    };
    let read = index.iter().map(|ix| Index::At(ix.substitute(&from))).collect();
    let at = Address::Axes { index: read, within: Vec::new(), fill: Literal::zero(source.dtype) };
    let made = Nest::copy(&nest.spans, source, &target, at);
    split_axis(nest, cut.axis, cut.extent, cut.width);
    let moved = |AxisId(other): AxisId| Ix::axis(AxisId(other + u32::from(other > cut.axis.0)));
    let load = order.iter().map(|axis| moved(*axis)).chain([Ix::axis(AxisId(cut.axis.0 + 1))]);
    nest.buffers.push(target);
    let fill = Literal::zero(source.dtype);
    let at = Address::Axes { index: load.map(Index::At).collect(), within: Vec::new(), fill };
    let operand: ExprRef = Arc::new(Expr::Load { buffer: nest.buffers.len() - 1, at });
    if let Some(Reduction::Dot { left, right, .. }) = &mut nest.reduce {
        *(if cut.is_left { left } else { right }) = operand;
    }
    Some(made)
}

/// Whether no two elements of a nest's axes read the same element: each axis counts in one place, and
/// those that count in one place are digits of a number.
fn names_each_once(index: &[Ix], extent: &dyn Fn(AxisId) -> Dim) -> bool {
    let mut seen = Vec::new();
    index.iter().all(|ix| {
        let mut digits: Vec<(i64, AxisId)> = Vec::new();
        for (atom, coef) in &ix.terms {
            let IxAtom::Axis(axis) = atom else { return false };
            if *coef < 1 || seen.contains(axis) {
                return false;
            }
            seen.push(*axis);
            digits.push((*coef, *axis));
        }
        digits.sort_unstable();
        digits.windows(2).all(|pair| {
            let ((low, axis), (high, _)) = (pair[0], pair[1]);
            extent(axis).as_const().and_then(|extent| extent.checked_mul(low)).is_some_and(|span| span <= high)
        })
    })
}
