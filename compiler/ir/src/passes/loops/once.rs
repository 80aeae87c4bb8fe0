//! Loops that run once or never.

use super::PASS;
use crate::graph::{Node, Region, Value};
use crate::ops::Types;
use crate::ops::reshape::Reshape;
use crate::region_ops::Loop;
use crate::rewrite::Cursor;
use crate::scalar::{BinaryOp, Literal};
use crate::ty::{DType, Type};

/// Writes the body of a loop whose trip is 1 in its place.
pub(super) fn inline(cursor: &mut Cursor<'_>, node: &Node, op: &Loop, body: &Region, args: &[Value]) {
    cursor.at(node, PASS);
    let mut new = vec![None; body.values.len()];
    let position = cursor.b.literal(Literal::from_i64(DType::I64, 0));
    new[body.params[0].index()] = Some(position);
    for (arg, param) in args.iter().zip(&body.params[1..]) {
        new[param.index()] = Some(*arg);
    }
    for (arg, param) in op.slice_args().zip(op.slice_params()) {
        let param = body.params[param];
        new[param.index()] = Some(reshaped(cursor, args[arg], body.ty(param).clone()));
    }
    let get = |new: &[Option<Value>], value: Value| match new[value.index()] {
        Some(value) => value,
        None => crate::internal_error(PASS, "a value is used before it is written"),
    };
    for inner in &body.nodes {
        let args: Vec<Value> = inner.args.iter().map(|arg| get(&new, *arg)).collect();
        let types: Types = inner.results.iter().map(|result| body.ty(*result).clone()).collect();
        for (old, value) in inner.results.iter().zip(cursor.b.copy(inner, &args, types)) {
            new[old.index()] = Some(value);
        }
    }
    let ends: Vec<Value> = body.results.iter().map(|result| get(&new, *result)).collect();
    let mut results = Vec::with_capacity(ends.len());
    if op.until {
        results.push(cursor.b.literal(Literal::from_i64(DType::I64, 1)));
    }
    results.extend(&ends[op.carry_results()]);
    for stack in op.stack_results() {
        results.push(reshaped(cursor, ends[stack], cursor.old.ty(node.results[stack]).clone()));
    }
    for sum in op.sum_results() {
        // A sum starts from 0, which turns -0 into 0.
        let ty = cursor.b.ty(ends[sum]).clone();
        let zero = cursor.b.full(ty.dtype, 0.0, &ty.shape);
        results.push(cursor.b.binary(BinaryOp::Add, ends[sum], zero));
    }
    cursor.put(node, &results);
}

fn reshaped(cursor: &mut Cursor<'_>, value: Value, ty: Type) -> Value {
    cursor.b.add1(Reshape { shape: ty.shape }, &[value])
}

/// Writes the results of a loop whose count is 0.
pub(super) fn never(cursor: &mut Cursor<'_>, node: &Node, op: &Loop, args: &[Value]) {
    cursor.at(node, PASS);
    let mut results = Vec::with_capacity(node.results.len());
    if op.until {
        results.push(cursor.b.literal(Literal::from_i64(DType::I64, 0)));
    }
    results.extend(&args[op.carry_args()]);
    for at in op.stack_results().chain(op.sum_results()) {
        let ty = cursor.old.ty(node.results[at]).clone();
        let zero = cursor.b.literal(Literal::zero(ty.dtype));
        results.push(cursor.b.broadcast_scalar(zero, &ty.shape));
    }
    cursor.put(node, &results);
}
