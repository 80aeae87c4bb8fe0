//! Sums of values that stand behind one another along an axis, with zeros around: a concatenation. The
//! gradients of slices are such sums.

use super::{made, splat};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::Value;
use crate::ops::Op;
use crate::ops::concat::Concat;
use crate::ops::pad::Pad;
use crate::scalar::Literal;
use crate::ty::Type;

/// A part of an axis: of a value, or zeros.
#[derive(Clone)]
struct Part {
    size: Dim,
    value: Option<Value>,
}

/// `pad(x) + pad(y)` where at each coordinate at most one is not a zero of the padding.
pub(super) fn sum(b: &mut Builder, left: Value, right: Value) -> Option<Value> {
    let ((axis, left_parts), (other, right_parts)) = (parts(b, left)?, parts(b, right)?);
    if axis != other {
        return None;
    }
    let parts = merged(left_parts, right_parts)?;
    let whole = b.ty(left).clone();
    let values: Vec<Value> = parts.into_iter().map(|part| filled(b, &whole, axis, part)).collect();
    Some(b.add1(Concat { axis }, &values))
}

/// What stands along the one axis of a padded value or a concatenation, at least one part of it zeros.
fn parts(b: &Builder, value: Value) -> Option<(usize, Vec<Part>)> {
    let node = made(b, value)?;
    match &node.op {
        Op::Pad(op) => padded(b, op, node.args[0]),
        Op::Concat(op) => {
            let part = |value: &Value| Part {
                size: b.ty(*value).shape[op.axis].clone(),
                value: (!splat(b, *value).is_some_and(is_zero)).then_some(*value),
            };
            let parts: Vec<Part> = node.args.iter().map(part).collect();
            parts.iter().any(|part| part.value.is_none()).then_some((op.axis, parts))
        }
        _ => None,
    }
}

fn padded(b: &Builder, op: &Pad, x: Value) -> Option<(usize, Vec<Part>)> {
    let adds = |axis: &usize| op.low[*axis] != 0 || op.high[*axis] != 0;
    let axis = (0..op.low.len()).find(adds)?;
    let plain = (0..op.low.len()).all(|at| op.interior[at] == 0 && (at == axis || !adds(&at)));
    if !plain || !is_zero(op.fill) || op.low[axis] < 0 || op.high[axis] < 0 {
        return None;
    }
    let zeros = |count: i64| (count > 0).then(|| Part { size: Dim::from(count), value: None });
    let whole = Part { size: b.ty(x).shape[axis].clone(), value: Some(x) };
    Some((axis, zeros(op.low[axis]).into_iter().chain([whole]).chain(zeros(op.high[axis])).collect()))
}

fn is_zero(literal: Literal) -> bool {
    literal.as_f64() == 0.0
}

/// Both at once; `None` if values meet, or sizes can't be compared.
fn merged(left: Vec<Part>, right: Vec<Part>) -> Option<Vec<Part>> {
    let (mut left, mut right) =
        (left.into_iter().rev().collect::<Vec<_>>(), right.into_iter().rev().collect::<Vec<_>>());
    let mut done = Vec::new();
    while let (Some(a), Some(b)) = (left.pop(), right.pop()) {
        let longer = a.size.sub(&b.size).ok()?.as_const()?;
        let (short, long, rest) = if longer > 0 { (b, a, &mut left) } else { (a, b, &mut right) };
        if long.value.is_some() && (longer != 0 || short.value.is_some()) {
            return None;
        }
        if longer != 0 {
            rest.push(Part { size: Dim::from(longer.abs()), value: None });
        }
        done.push(Part { value: short.value.or(long.value), size: short.size });
    }
    (left.is_empty() && right.is_empty()).then_some(done)
}

/// The value of a part; zeros as they are around it.
fn filled(b: &mut Builder, whole: &Type, axis: usize, part: Part) -> Value {
    let mut shape = whole.shape.clone();
    shape[axis] = part.size;
    part.value.unwrap_or_else(|| b.full(whole.dtype, 0.0, &shape))
}
