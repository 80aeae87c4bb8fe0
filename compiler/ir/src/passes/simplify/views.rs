//! Rules of ops that move elements: of themselves, and that move nothing.

use super::{emit, made, scalar_of};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::Op;
use crate::ops::broadcast::Broadcast;
use crate::ops::pad::Pad;
use crate::ops::reshape::Reshape;
use crate::ops::slice::Slice;
use crate::ops::transpose::Transpose;

/// To its own shape; of a broadcast.
pub(super) fn broadcast(b: &mut Builder, op: &Broadcast, x: Value) -> Option<Value> {
    if b.ty(x).shape == op.shape {
        return Some(x);
    }
    let inner = made(b, x)?;
    let Op::Broadcast(first) = &inner.op else { return None };
    let axes = first.axes.iter().map(|axis| op.axes[*axis]).collect();
    Some(emit(b, Broadcast { shape: op.shape.clone(), axes }, &inner.args))
}

/// In the same order; of a transpose; of a broadcast whose own axes stay in order.
pub(super) fn transpose(b: &mut Builder, op: &Transpose, x: Value) -> Option<Value> {
    if op.perm.is_sorted() {
        return Some(x);
    }
    let inner = made(b, x)?;
    match &inner.op {
        Op::Transpose(first) => {
            let perm = op.perm.iter().map(|axis| first.perm[*axis]).collect();
            Some(emit(b, Transpose { perm }, &inner.args))
        }
        Op::Broadcast(first) => {
            let place = |axis: &usize| op.perm.iter().position(|from| from == axis);
            let axes: Vec<usize> = first.axes.iter().filter_map(place).collect();
            let shape = op.perm.iter().map(|from| first.shape[*from].clone()).collect();
            axes.is_sorted().then(|| emit(b, Broadcast { shape, axes }, &inner.args))
        }
        _ => None,
    }
}

/// To its own shape; of one number repeated; of a reshape.
pub(super) fn reshape(b: &mut Builder, op: &Reshape, x: Value) -> Option<Value> {
    if b.ty(x).shape == op.shape {
        return Some(x);
    }
    if let Some(scalar) = scalar_of(b, x) {
        return Some(b.broadcast_scalar(scalar, &op.shape));
    }
    let inner = made(b, x)?;
    matches!(inner.op, Op::Reshape(_)).then(|| emit(b, op.clone(), &inner.args))
}

/// Of everything; of one number repeated.
pub(super) fn slice(b: &mut Builder, op: &Slice, x: Value) -> Option<Value> {
    if let Some(scalar) = scalar_of(b, x) {
        return Some(b.broadcast_scalar(scalar, &op.sizes));
    }
    let whole = op.starts.iter().all(|start| start.is(0)) && op.sizes == b.ty(x).shape;
    (whole && op.steps.iter().all(|step| *step == 1)).then_some(x)
}

/// By nothing.
pub(super) fn pad(op: &Pad, x: Value) -> Option<Value> {
    op.low.iter().chain(&op.high).chain(&op.interior).all(|amount| *amount == 0).then_some(x)
}
