//! What is computed element by element of values that are all repeated along the same axes, or all the same
//! elements in another shape, is computed before.

use super::{emit, made, scalar_of, splat};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::Op;
use crate::ops::reshape::Reshape;
use crate::ty::Shape;

/// Nodes one in another that are computed in another shape at most.
const DEPTH: u32 = 3;

/// `f(view(x), view(y), …)` as `view(f(x, y, …))` of a repetition or a reshape; a number repeated everywhere
/// fits any.
pub(super) fn elementwise(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    if !is_elementwise(op) {
        return None;
    }
    viewed(b, op, args).or_else(|| partly_reshaped(b, op, args))
}

fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select(_) | Op::Cast(_))
}

fn viewed(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    let mut common: Option<(Op, Shape)> = None;
    let mut operands = Vec::with_capacity(args.len());
    for arg in args {
        if let Some(scalar) = scalar_of(b, *arg) {
            operands.push((scalar, true));
            continue;
        }
        let node = made(b, *arg)?;
        if !matches!(node.op, Op::Broadcast(_) | Op::Reshape(_)) {
            return None;
        }
        let own = (node.op, b.ty(node.args[0]).shape.clone());
        if *common.get_or_insert_with(|| own.clone()) != own {
            return None;
        }
        operands.push((node.args[0], false));
    }
    let (view, shape) = common?;
    let operand = |(value, is_scalar): (Value, bool)| if is_scalar { b.broadcast_scalar(value, &shape) } else { value };
    let operands: Vec<Value> = operands.into_iter().map(operand).collect();
    let before = emit(b, op.clone(), &operands);
    Some(emit(b, view, &[before]))
}

/// `f(reshape(x), y)` as `reshape(f(x, y'))`, where the reshape only adds axes and `y'` costs nothing: so what
/// is computed of a sum follows it at once, whether or not the summed axes are kept.
fn partly_reshaped(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    let shape = args.iter().find_map(|arg| {
        let node = made(b, *arg)?;
        let from = &b.ty(*node.args.first()?).shape;
        (matches!(node.op, Op::Reshape(_)) && from.len() < b.ty(*arg).shape.len()).then(|| from.clone())
    })?;
    if !args.iter().all(|arg| is_free(b, *arg, &shape, DEPTH)) {
        return None;
    }
    let whole = Reshape { shape: b.ty(args[0]).shape.clone() };
    let operands: Vec<Value> = args.iter().map(|arg| reshaped(b, *arg, &shape)).collect();
    let before = emit(b, op.clone(), &operands);
    Some(emit(b, whole, &[before]))
}

/// Whether a value is there in a shape, or is computed of values that are.
fn is_free(b: &Builder, value: Value, shape: &Shape, depth: u32) -> bool {
    let Some(node) = made(b, value) else { return true };
    match node.op {
        _ if splat(b, value).is_some() || scalar_of(b, value).is_some() => true,
        Op::Reshape(_) => b.ty(node.args[0]).shape == *shape,
        _ => depth > 0 && is_elementwise(&node.op) && node.args.iter().all(|arg| is_free(b, *arg, shape, depth - 1)),
    }
}

fn reshaped(b: &mut Builder, value: Value, shape: &Shape) -> Value {
    if let Some(scalar) = scalar_of(b, value) {
        return b.broadcast_scalar(scalar, shape);
    }
    match made(b, value) {
        Some(node) if matches!(node.op, Op::Reshape(_)) => node.args[0],
        Some(node) if is_elementwise(&node.op) => {
            let args: Vec<Value> = node.args.iter().map(|arg| reshaped(b, *arg, shape)).collect();
            emit(b, node.op, &args)
        }
        _ => emit(b, Reshape { shape: shape.clone() }, &[value]),
    }
}
