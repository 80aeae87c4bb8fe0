//! Arithmetic on constants, and on scalars before they are repeated.

use super::{emit, made, scalar_of};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::constant::Constant;
use crate::ops::{Class, Op};
use crate::tensor::Tensor;

/// Elementwise ops of constant scalars are evaluated; elementwise ops of repeated scalars are done
/// before the repetition.
pub(super) fn rule(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    if op.info().class != Class::Elementwise || args.is_empty() || matches!(op, Op::StopGradient(_)) {
        return None;
    }
    constants(b, op, args).or_else(|| repeated(b, op, args))
}

fn constants(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    let tensor = |arg: &Value| match made(b, *arg)?.op {
        Op::Constant(constant) => Some(Tensor::full(constant.value, &[])),
        _ => None,
    };
    let tensors: Vec<Tensor> = args.iter().map(tensor).collect::<Option<_>>()?;
    let types = b.infer(op, args).ok()?;
    let result = op.primitive()?.eval(&tensors.iter().collect::<Vec<_>>(), &types);
    Some(b.add1(Constant { value: result[0].literal(0) }, &[]))
}

fn repeated(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    let scalars: Vec<Value> = args.iter().map(|arg| scalar_of(b, *arg)).collect::<Option<_>>()?;
    let shape = b.ty(args[0]).shape.clone();
    let scalar = emit(b, op.clone(), &scalars);
    Some(b.broadcast_scalar(scalar, &shape))
}
