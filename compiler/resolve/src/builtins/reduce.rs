//! Reductions: `sum`, `max`, `argmax`, `mean` … over axes by number or by name.

use super::{Args, Builtin, named};
use crate::arith::Operation;
use crate::axes::Sought;
use crate::cx::Cx;
use crate::number::Number;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::index::Extreme;
use mlc_ir::ops::arg_reduce::ArgReduce;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::scalar::BinaryOp;
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

const PARAMS: &[&str] = &["x", "axis", "over", "keep"];

pub(super) const ALL: &[Builtin] = &[
    named("sum", PARAMS, "sum over axes, all if none is named; of bool: how many are true", reduce),
    named("prod", PARAMS, "product over axes; of a pack of sizes: its number of elements", reduce),
    named("max", PARAMS, "largest over axes", reduce),
    named("min", PARAMS, "smallest over axes", reduce),
    named("any", PARAMS, "whether any is true over axes", reduce),
    named("all", PARAMS, "whether all are true over axes", reduce),
    named("mean", PARAMS, "mean over axes; of bool: the share that is true, f32", mean),
    named("argmax", PARAMS, "position of the largest along one axis, the first of equals", arg_reduce),
    named("argmin", PARAMS, "position of the smallest along one axis, the first of equals", arg_reduce),
];

fn kind_of(name: &str) -> ReduceKind {
    match name {
        "sum" => ReduceKind::Sum,
        "prod" => ReduceKind::Prod,
        "max" => ReduceKind::Max,
        "min" => ReduceKind::Min,
        "any" => ReduceKind::Any,
        _ => ReduceKind::All,
    }
}

fn reduce<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let kind = kind_of(args.builtin.name);
    if let (
        Some((value @ (Value::Pack(_) | Value::List(_) | Value::Tuple(_)), span)),
        ReduceKind::Prod | ReduceKind::Sum,
    ) = (args.get("x"), kind)
    {
        return reduce_static(cx, kind, &value, span);
    }
    let (x, span) = args.tensor(cx, "x")?;
    let x = prepared(cx, kind, &args, x, span)?;
    let axes = chosen_axes(cx, &args, &x)?;
    reduced(cx, kind, &args, &x, axes).map(Value::Tensor)
}

/// `prod(K)` is the number of elements of a pack.
fn reduce_static<'a>(cx: &mut Cx<'a>, kind: ReduceKind, value: &Value<'a>, span: Span) -> R<Value<'a>> {
    let sizes = cx.as_shape(value, span)?;
    let (op, start) = if kind == ReduceKind::Prod { (BinaryOp::Mul, 1) } else { (BinaryOp::Add, 0) };
    let place = Operation { symbol: if op == BinaryOp::Mul { "*" } else { "+" }, span, left: span, right: span };
    let mut total = Value::int(start);
    for (at, size) in sizes.into_iter().enumerate() {
        total = if at == 0 { Value::size(size) } else { cx.binary_values(op, total, Value::size(size), place)? };
    }
    Ok(total)
}

/// The operand in the dtype that the reduction works in.
fn prepared<'a>(cx: &mut Cx<'a>, kind: ReduceKind, args: &Args<'a>, x: Tensor, span: Span) -> R<Tensor> {
    let of_bool = matches!(kind, ReduceKind::Any | ReduceKind::All);
    match (of_bool, x.dtype == DType::Bool, kind) {
        (true, true, _) | (false, false, _) => Ok(x),
        (false, true, ReduceKind::Sum) => cx.cast(&x, DType::I32, span),
        (false, true, _) => cx.fail(Code::E0104, span, format!("`{}` does not take bool", args.builtin.name)),
        (true, false, _) => {
            let shown = cx.show(&x);
            let error = Diagnostic::error(
                Code::E0104,
                span,
                format!("`{}` takes bool, and this is {shown}", args.builtin.name),
            )
            .help("compare first: `x != 0`");
            Err(cx.tell(error))
        }
    }
}

/// The axes that `axis:` or `over:` choose; all if there is neither.
fn chosen_axes<'a>(cx: &mut Cx<'a>, args: &Args<'a>, x: &Tensor) -> R<Vec<usize>> {
    let span = args.get("x").map_or(args.site.span, |(_, span)| span);
    if let (Some(over), Some((_, axis))) = (args.over, args.get("axis")) {
        let error = Diagnostic::error(Code::E0103, over.span, "`over` and `axis` are both given")
            .also(axis, "the axis is chosen here already")
            .help("both choose the axis: take one of them out");
        return Err(cx.tell(error));
    }
    if let Some(over) = args.over {
        return cx.axes_by_name(&Sought::of(x, span), over);
    }
    match args.get("axis") {
        None => Ok((0..x.rank()).collect()),
        Some((Value::Tuple(parts), _)) if parts.is_empty() => Ok((0..x.rank()).collect()),
        Some((Value::Tensor(second), other)) if second.rank() > 0 || second.dtype.is_float() => {
            Err(two_operands(cx, args, other))
        }
        Some((Value::Lazy(_), other)) => Err(two_operands(cx, args, other)),
        Some((value, axis_span)) => {
            let mut axes = cx.axes_by_number(x.rank(), &value, axis_span)?;
            axes.sort_unstable();
            Ok(axes)
        }
    }
}

/// `max(a, b)` is meant as the larger of two.
fn two_operands<'a>(cx: &mut Cx<'a>, args: &Args<'a>, span: Span) -> Reported {
    let name = args.builtin.name;
    let mut error = Diagnostic::error(Code::E0103, span, format!("`{name}` reduces one tensor, and this is a second"))
        .note("its second argument is the axis: `axis: -1`");
    error = match name {
        "max" => error.help("the larger of two is `maximum(a, b)`"),
        "min" => error.help("the smaller of two is `minimum(a, b)`"),
        _ => error.help(format!("add them first: `{name}(a + b)`")),
    };
    cx.tell(error)
}

fn reduced<'a>(cx: &mut Cx<'a>, kind: ReduceKind, args: &Args<'a>, x: &Tensor, axes: Vec<usize>) -> R<Tensor> {
    let keep = args.bool_or(cx, "keep", false)?;
    let kept: Vec<Size> = (0..x.rank()).filter(|axis| !axes.contains(axis)).map(|axis| x.axes[axis].clone()).collect();
    let result = if axes.is_empty() {
        x.clone()
    } else {
        cx.emit(args.site.span, Reduce { kind, axes: axes.clone() }, &[x], kept)?
    };
    if !keep {
        return Ok(result);
    }
    let one = |axis: usize| if axes.contains(&axis) { Size::plain(1) } else { x.axes[axis].clone() };
    cx.reshape(&result, (0..x.rank()).map(one).collect(), args.site.span)
}

fn mean<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = args.tensor(cx, "x")?;
    let x = if x.dtype == DType::Bool { cx.cast(&x, cx.entry.real, span)? } else { x };
    if !x.dtype.is_float() {
        let shown = cx.show(&x);
        let error = Diagnostic::error(Code::E0104, span, format!("`mean` takes floats or bool, and this is {shown}"))
            .help("write `mean(cast(x, f32))`");
        return Err(cx.tell(error));
    }
    let axes = chosen_axes(cx, &args, &x)?;
    let counted: Vec<Dim> = shape_of(&axes.iter().map(|axis| x.axes[*axis].clone()).collect::<Vec<_>>());
    let Ok(count) = Dim::product(&counted) else {
        return cx.fail(Code::E0114, span, "this tensor is too large");
    };
    let total = reduced(cx, ReduceKind::Sum, &args, &x, axes)?;
    let count = Value::Number(Number::size(Size::plain(count)));
    let place = Operation { symbol: "/", span: args.site.span, left: span, right: span };
    cx.binary_values(BinaryOp::Div, Value::Tensor(total), count, place)
}

fn arg_reduce<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = args.tensor(cx, "x")?;
    let axes = chosen_axes(cx, &args, &x)?;
    let name = args.builtin.name;
    if x.dtype == DType::Bool {
        return cx.fail(Code::E0104, span, format!("`{name}` does not take bool"));
    }
    let [axis] = axes.as_slice() else {
        let error = Diagnostic::error(Code::E0117, args.site.span, format!("`{name}` works along one axis"))
            .help(format!("write `{name}(x, axis: -1)`"));
        return Err(cx.tell(error));
    };
    let keep = args.bool_or(cx, "keep", false)?;
    let kept: Vec<Size> = (0..x.rank()).filter(|other| other != axis).map(|other| x.axes[other].clone()).collect();
    let extreme = if name == "argmax" { Extreme::Max } else { Extreme::Min };
    let result = cx.emit(args.site.span, ArgReduce { extreme, axis: *axis }, &[&x], kept)?;
    if !keep {
        return Ok(Value::Tensor(result));
    }
    let mut axes = x.axes.clone();
    axes[*axis] = Size::plain(1);
    cx.reshape(&result, axes, args.site.span).map(Value::Tensor)
}
