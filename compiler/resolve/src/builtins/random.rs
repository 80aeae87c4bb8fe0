//! Random integers: `randint`, `permutation`, `sample`.

use super::make::shares;
use super::{Args, Builtin, named};
use crate::arith::Operation;
use crate::cx::Cx;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::index::{SortOrder, Start};
use mlc_ir::ops::arg_sort::ArgSort;
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::cum_sum::CumSum;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::slice::Slice;
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::span::Span;

/// Values of a uniform draw: it has 24 bits.
const STEPS: f64 = 16_777_216.0;

pub(super) const ALL: &[Builtin] = &[
    named("randint", &["shape", "low", "high", "seed"], "random i32 from low to high - 1", randint),
    named("permutation", &["n", "seed"], "0 … n - 1 in a random order", permutation),
    named("sample", &["p", "seed"], "a position of the last axis at random, by probabilities", sample),
];

/// `low + floor(u * (high - low))`, in f64, where no product reaches the next integer.
fn randint<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let axes = args.shape(cx, "shape")?;
    let span = args.site.span;
    let (low, low_span) = bound(cx, &args, "low")?;
    let (high, high_span) = bound(cx, &args, "high")?;
    if let (Value::Number(a), Value::Number(b)) = (&low, &high)
        && let (Some(a), Some(b)) = (a.as_int(), b.as_int())
        && a >= b
    {
        return cx.fail(Code::E0114, low_span.to(high_span), format!("there is no integer from {a} to {b} - 1"));
    }
    let share = shares(cx, &args, axes.clone(), DType::F64)?;
    let mut wide = |value, at| {
        let scalar = cx.materialise(value, DType::I32, at)?;
        let scalar = cx.cast(&scalar, DType::I64, at)?;
        cx.broadcast_scalar(scalar, axes.clone(), at)
    };
    let (low, high) = (wide(low, low_span)?, wide(high, high_span)?);
    let count = cx.emit(span, Binary { op: BinaryOp::Sub }, &[&high, &low], axes.clone())?;
    let count = cx.cast(&count, DType::F64, span)?;
    let above = cx.emit(span, Binary { op: BinaryOp::Mul }, &[&share, &count], axes.clone())?;
    let above = cx.unary_tensor(UnaryOp::Floor, &above, span)?;
    let above = cx.cast(&above, DType::I64, span)?;
    let sum = cx.emit(span, Binary { op: BinaryOp::Add }, &[&low, &above], axes)?;
    cx.cast(&sum, DType::I32, span).map(Value::Tensor)
}

/// An i32, known when compiling or not.
fn bound<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str) -> R<(Value<'a>, Span)> {
    let (value, span) = args.need(cx, name)?;
    let value = match value {
        Value::Lazy(_) => Value::Tensor(cx.tensor(value, span)?),
        value => value,
    };
    let fits = match &value {
        Value::Number(number) => number.is_integer(),
        Value::Tensor(tensor) => tensor.dtype == DType::I32 && tensor.rank() == 0,
        _ => false,
    };
    if fits {
        return Ok((value, span));
    }
    let shown = cx.show_value(&value);
    cx.fail(Code::E0122, span, format!("`{name}` of `randint` is one i32, and this is {shown}"))
}

/// The order of keys of 48 random bits.
fn permutation<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (n, n_span) = args.need(cx, "n")?;
    let size = cx.as_size(n, n_span)?;
    cx.check_extent(n_span, std::slice::from_ref(&size.dim))?;
    let span = args.site.span;
    let axes = vec![Size::plain(2), size.clone()];
    let halves = shares(cx, &args, axes.clone(), DType::F64)?;
    let steps = cx.literal(span, Literal::from_f64(DType::F64, STEPS))?;
    let steps = cx.broadcast_scalar(steps, axes.clone(), span)?;
    let halves = cx.emit(span, Binary { op: BinaryOp::Mul }, &[&halves, &steps], axes.clone())?;
    let halves = cx.cast(&halves, DType::I64, span)?;
    let line = vec![size.clone()];
    let row = |cx: &mut Cx<'a>, at: i64| {
        let one = vec![Size::plain(1), size.clone()];
        let op = Slice { starts: vec![Dim::from(at), Dim::zero()], sizes: shape_of(&one), steps: vec![1, 1] };
        let row = cx.emit(span, op, &[&halves], one)?;
        cx.reshape(&row, vec![size.clone()], span)
    };
    let (high, low) = (row(cx, 0)?, row(cx, 1)?);
    let factor = cx.literal(span, Literal::from_i64(DType::I64, STEPS as i64))?;
    let factor = cx.broadcast_scalar(factor, line.clone(), span)?;
    let high = cx.emit(span, Binary { op: BinaryOp::Mul }, &[&high, &factor], line.clone())?;
    let key = cx.emit(span, Binary { op: BinaryOp::Add }, &[&high, &low], line.clone())?;
    cx.emit(span, ArgSort { order: SortOrder::Ascending }, &[&key], line).map(Value::Tensor)
}

/// The number of running sums not above `u` times their total: one draw for each row.
fn sample<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (p, p_span) = args.need(cx, "p")?;
    let p = match p {
        Value::Lazy(_) => cx.materialise(p, cx.entry.real, p_span)?,
        value => cx.tensor(value, p_span)?,
    };
    let span = args.site.span;
    let Some(last) = p.rank().checked_sub(1).filter(|_| p.dtype.is_float()) else {
        let shown = cx.show(&p);
        return cx.fail(
            Code::E0105,
            p_span,
            format!("`sample` takes probabilities along the last axis, and this is {shown}"),
        );
    };
    let rows = p.axes[..last].to_vec();
    let share = shares(cx, &args, rows.clone(), p.dtype)?;
    let sums = cx.emit(span, CumSum { axis: last, from: Start::Front }, &[&p], p.axes.clone())?;
    let mut one = p.axes.clone();
    one[last] = Size::plain(1);
    let mut starts = vec![Dim::zero(); p.rank()];
    let Ok(before_last) = p.axes[last].dim.sub(&Dim::one()) else {
        return cx.fail(Code::E0114, span, "this size is too large");
    };
    starts[last] = before_last.clone();
    let op = Slice { starts, sizes: shape_of(&one), steps: vec![1; p.rank()] };
    let total = cx.emit(span, op, &[&sums], one)?;
    let total = cx.reshape(&total, rows.clone(), span)?;
    let limit = cx.emit(span, Binary { op: BinaryOp::Mul }, &[&share, &total], rows.clone())?;
    let mut kept = rows.clone();
    kept.push(Size::plain(1));
    let limit = cx.reshape(&limit, kept, span)?;
    let place = Operation { symbol: "<=", span, left: span, right: span };
    let passed = cx.compare_values(CompareOp::Le, Value::Tensor(sums), Value::Tensor(limit), place)?;
    let passed = cx.tensor(passed, span)?;
    let passed = cx.cast(&passed, DType::I32, span)?;
    let count = cx.emit(span, Reduce { kind: ReduceKind::Sum, axes: vec![last] }, &[&passed], rows.clone())?;
    // Rows without a positive sum have no place of their own.
    let most = cx.materialise(Value::size(Size::plain(before_last)), DType::I32, span)?;
    let most: Tensor = cx.broadcast_scalar(most, rows.clone(), span)?;
    cx.emit(span, Binary { op: BinaryOp::Min }, &[&count, &most], rows).map(Value::Tensor)
}
