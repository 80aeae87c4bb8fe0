//! Rules of ops that move elements: of themselves, and that move nothing.

use super::{emit, made};
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

/// In the same order; of a transpose.
pub(super) fn transpose(b: &mut Builder, op: &Transpose, x: Value) -> Option<Value> {
    if op.perm.is_sorted() {
        return Some(x);
    }
    let inner = made(b, x)?;
    let Op::Transpose(first) = &inner.op else { return None };
    let perm = op.perm.iter().map(|axis| first.perm[*axis]).collect();
    Some(emit(b, Transpose { perm }, &inner.args))
}

/// To its own shape; of a reshape.
pub(super) fn reshape(b: &mut Builder, op: &Reshape, x: Value) -> Option<Value> {
    if b.ty(x).shape == op.shape {
        return Some(x);
    }
    let inner = made(b, x)?;
    matches!(inner.op, Op::Reshape(_)).then(|| emit(b, op.clone(), &inner.args))
}

/// Of everything.
pub(super) fn slice(b: &mut Builder, op: &Slice, x: Value) -> Option<Value> {
    let whole = op.starts.iter().all(|start| start.is(0)) && op.sizes == b.ty(x).shape;
    (whole && op.steps.iter().all(|step| *step == 1)).then_some(x)
}

/// By nothing.
pub(super) fn pad(op: &Pad, x: Value) -> Option<Value> {
    op.low.iter().chain(&op.high).chain(&op.interior).all(|amount| *amount == 0).then_some(x)
}
