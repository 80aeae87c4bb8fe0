//! Rules of elementwise ops and sums.

use super::{emit, made, scalar_of, splat};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::Value;
use crate::ops::Op;
use crate::ops::binary::Binary;
use crate::ops::broadcast::Broadcast;
use crate::ops::cast::Cast;
use crate::ops::constant::Constant;
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::ops::select::Select;
use crate::ops::size::SizeOf;
use crate::scalar::{BinaryOp, Literal, UnaryOp};
use crate::ty::DType;

/// `--x`, `not not x`
pub(super) fn unary(b: &mut Builder, op: UnaryOp, x: Value) -> Option<Value> {
    let inner = made(b, x)?;
    match (op, &inner.op) {
        (UnaryOp::Neg, Op::Unary(other)) if other.op == UnaryOp::Neg => Some(inner.args[0]),
        (UnaryOp::Not, Op::Unary(other)) if other.op == UnaryOp::Not => Some(inner.args[0]),
        (UnaryOp::Abs, Op::Unary(other)) if other.op == UnaryOp::Abs => Some(x),
        _ => None,
    }
}

/// Neutral elements; `a + -b`, `a - -b`; division by a power of two.
pub(super) fn binary(b: &mut Builder, op: BinaryOp, left: Value, right: Value) -> Option<Value> {
    let (on_left, on_right) = (splat(b, left), splat(b, right));
    match op {
        BinaryOp::Add if on_right.is_some_and(adds_nothing) => Some(left),
        BinaryOp::Add if on_left.is_some_and(adds_nothing) => Some(right),
        BinaryOp::Sub if on_right.is_some_and(subtracts_nothing) => Some(left),
        BinaryOp::Add => Some(binary_with(b, BinaryOp::Sub, left, negated(b, right)?)),
        BinaryOp::Sub => Some(binary_with(b, BinaryOp::Add, left, negated(b, right)?)),
        BinaryOp::Mul => product(on_left, left, right).or_else(|| product(on_right, right, left)),
        BinaryOp::Div | BinaryOp::Pow | BinaryOp::FloorDiv if on_right.is_some_and(is_one) => Some(left),
        BinaryOp::Div => {
            let factor = exact_reciprocal(on_right?)?;
            let ty = b.ty(left).clone();
            let factor = b.full(ty.dtype, factor, &ty.shape);
            Some(emit(b, Binary { op: BinaryOp::Mul }, &[left, factor]))
        }
        BinaryOp::And => chosen(on_left, left, right, false).or_else(|| chosen(on_right, right, left, false)),
        BinaryOp::Or => chosen(on_left, left, right, true).or_else(|| chosen(on_right, right, left, true)),
        BinaryOp::Pow | BinaryOp::FloorDiv | BinaryOp::Rem | BinaryOp::Min | BinaryOp::Max => None,
    }
}

fn binary_with(b: &mut Builder, op: BinaryOp, left: Value, right: Value) -> Value {
    b.add1(Binary { op }, &[left, right])
}

/// `x` of `-x`.
fn negated(b: &Builder, value: Value) -> Option<Value> {
    let node = made(b, value)?;
    matches!(&node.op, Op::Unary(op) if op.op == UnaryOp::Neg).then(|| node.args[0])
}

fn is_one(literal: Literal) -> bool {
    literal.dtype != DType::Bool && literal.as_f64() == 1.0
}

/// 0 of integers; -0 of floats (`-0 + +0` is `+0`).
fn adds_nothing(literal: Literal) -> bool {
    literal.as_f64() == 0.0 && (!literal.dtype.is_float() || literal.as_f64().is_sign_negative())
}

/// 0 of integers; +0 of floats.
fn subtracts_nothing(literal: Literal) -> bool {
    literal.as_f64() == 0.0 && (!literal.dtype.is_float() || literal.as_f64().is_sign_positive())
}

/// `1 · x`, and `0 · x` of integers.
fn product(factor: Option<Literal>, factor_value: Value, x: Value) -> Option<Value> {
    match factor? {
        literal if is_one(literal) => Some(x),
        literal if !literal.dtype.is_float() && literal.as_i64() == 0 => Some(factor_value),
        _ => None,
    }
}

/// `and`/`or` with a constant: `deciding` is the truth value that settles it.
fn chosen(constant: Option<Literal>, constant_value: Value, x: Value, deciding: bool) -> Option<Value> {
    let truth = constant?.as_i64() != 0;
    Some(if truth == deciding { constant_value } else { x })
}

/// `1 / c` for a power of two with a normal reciprocal.
fn exact_reciprocal(literal: Literal) -> Option<f64> {
    let value = literal.as_f64();
    let power = value.is_normal() && value.to_bits() & ((1 << 52) - 1) == 0;
    (power && value.abs() > 1e-30 && value.abs() < 1e30).then(|| 1.0 / value)
}

/// A constant condition, equal branches, a negated condition.
pub(super) fn select(b: &mut Builder, c: Value, x: Value, y: Value) -> Option<Value> {
    if x == y {
        return Some(x);
    }
    if let Some(condition) = splat(b, c) {
        return Some(if condition.as_i64() != 0 { x } else { y });
    }
    let node = made(b, c)?;
    match &node.op {
        Op::Unary(op) if op.op == UnaryOp::Not => Some(emit(b, Select, &[node.args[0], y, x])),
        _ => None,
    }
}

/// To its own dtype; of a cast that loses nothing.
pub(super) fn cast(b: &mut Builder, dtype: DType, x: Value) -> Option<Value> {
    if b.ty(x).dtype == dtype {
        return Some(x);
    }
    let inner = made(b, x)?;
    let (Op::Cast(middle), source) = (&inner.op, b.ty(*inner.args.first()?).dtype) else { return None };
    keeps_all(source, middle.dtype).then(|| emit(b, Cast { dtype }, &inner.args))
}

/// Whether every value of `from` is one of `to`.
fn keeps_all(from: DType, to: DType) -> bool {
    match (from, to) {
        (a, b) if a == b => true,
        (DType::Bool, _) => true,
        (DType::U8 | DType::I8, DType::F32 | DType::F64 | DType::I32 | DType::I64) => true,
        (DType::I32, DType::F64 | DType::I64) => true,
        (DType::F32, DType::F64) => true,
        (DType::U8 | DType::I8 | DType::I32 | DType::I64 | DType::F32 | DType::F64, _) => false,
    }
}

/// Over no axes; the sum of a repeated scalar is a product; the extreme of one is itself.
pub(super) fn reduce(b: &mut Builder, op: &Reduce, x: Value) -> Option<Value> {
    if op.axes.is_empty() {
        return Some(x);
    }
    let scalar = scalar_of(b, x)?;
    let ty = b.ty(x).clone();
    let kept: Vec<Dim> = (0..ty.rank()).filter(|at| !op.axes.contains(at)).map(|at| ty.shape[at].clone()).collect();
    let result = match op.kind {
        ReduceKind::Sum if ty.dtype.is_float() => {
            let count = Dim::product(op.axes.iter().map(|axis| &ty.shape[*axis])).ok()?;
            let count = sized(b, &count, ty.dtype);
            emit(b, Binary { op: BinaryOp::Mul }, &[scalar, count])
        }
        ReduceKind::Max | ReduceKind::Min | ReduceKind::Any | ReduceKind::All => {
            // Of nothing the extreme is not the scalar.
            let some = op.axes.iter().all(|axis| ty.shape[*axis].range().0 >= 1);
            if !some {
                return None;
            }
            scalar
        }
        ReduceKind::Sum | ReduceKind::Prod => return None,
    };
    if kept.is_empty() {
        return Some(result);
    }
    Some(emit(b, Broadcast { shape: kept, axes: Vec::new() }, &[result]))
}

fn sized(b: &mut Builder, size: &Dim, dtype: DType) -> Value {
    match size.as_const() {
        Some(number) => b.add1(Constant { value: Literal::from_i64(dtype, number) }, &[]),
        None => b.add1(SizeOf { size: size.clone(), dtype }, &[]),
    }
}
