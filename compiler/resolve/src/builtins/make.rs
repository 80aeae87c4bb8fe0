//! Tensors from nothing: filled, counted, drawn. Without `dtype:` they take the dtype they meet.

use super::{Args, Arity, Builtin, named};
use crate::arith::Operation;
use crate::calls::Given;
use crate::cx::Cx;
use crate::number::Number;
use crate::value::{Lazy, LazyKind, R, Size, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::iota::Iota;
use mlc_ir::scalar::{BinaryOp, CompareOp, Distribution};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use std::rc::Rc;

const fn initialiser(
    name: &'static str,
    params: &'static [&'static str],
    doc: &'static str,
    run: for<'a> fn(&mut Cx<'a>, Args<'a>) -> R<Value<'a>>,
) -> Builtin {
    Builtin { name, params, more: "", arity: Arity::Named, initialiser: true, doc, run }
}

pub(super) const ALL: &[Builtin] = &[
    initialiser("zeros", &["shape", "dtype"], "0 everywhere", zeros),
    initialiser("ones", &["shape", "dtype"], "1 everywhere", ones),
    initialiser("full", &["shape", "value", "dtype"], "one number everywhere", full),
    initialiser("uniform", &["shape", "low", "high", "seed", "dtype"], "random numbers from low to high", uniform),
    initialiser("normal", &["shape", "mean", "std", "seed", "dtype"], "random numbers of a mean and deviation", normal),
    named("bernoulli", &["shape", "p", "seed"], "true with probability p", bernoulli),
    named("iota", &["n", "dtype"], "0, 1, 2 … n - 1", iota),
    named("linspace", &["a", "b", "n", "dtype"], "n numbers from a to b", linspace),
    named("eye", &["n", "dtype"], "1 on the diagonal, else 0", eye),
    named("tril", &["n", "k"], "true at and below the k-th diagonal", tril),
];

/// The shape given, or that of the declaration that uses the initialiser.
fn shape<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<Vec<Size>> {
    match (&args.expected, args.get("shape")) {
        (Some(expected), None) => Ok(expected.axes.clone()),
        _ => args.shape(cx, "shape"),
    }
}

/// The tensor in the dtype that was asked for, or without one.
fn finish<'a>(cx: &mut Cx<'a>, args: &Args<'a>, lazy: Lazy<'a>, dtype: Option<DType>) -> R<Value<'a>> {
    let value = Value::Lazy(Rc::new(lazy));
    match dtype {
        Some(dtype) => cx.materialise(value, dtype, args.site.span).map(Value::Tensor),
        None => Ok(value),
    }
}

fn filled<'a>(cx: &mut Cx<'a>, args: &Args<'a>, value: Number) -> R<Value<'a>> {
    let (axes, dtype) = (shape(cx, args)?, args.dtype(cx)?);
    finish(cx, args, Lazy { axes, kind: LazyKind::Full(value) }, dtype)
}

fn zeros<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    filled(cx, &args, Number::int(0))
}

fn ones<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    filled(cx, &args, Number::int(1))
}

fn full<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    match args.need(cx, "value")? {
        (Value::Number(number), _) => filled(cx, &args, number),
        (value, span) => {
            let axes = shape(cx, &args)?;
            let scalar = cx.tensor(value, span)?;
            if !scalar.axes.is_empty() {
                let shown = cx.show(&scalar);
                return cx.fail(Code::E0105, span, format!("`full` takes one number, and this is {shown}"));
            }
            cx.broadcast_scalar(scalar, axes, args.site.span).map(Value::Tensor)
        }
    }
}

fn drawn<'a>(cx: &mut Cx<'a>, args: &Args<'a>, distribution: Distribution, first: &str, second: &str) -> R<Value<'a>> {
    let (axes, dtype) = (shape(cx, args)?, args.dtype(cx)?);
    let or = |name: &str, default: i64| args.get(name).map_or(Value::int(default), |(value, _)| value);
    let seed = match args.get("seed") {
        Some((value, span)) => Some(cx.as_int(&value, span)?),
        None => None,
    };
    let site = cx.draw_site(args.builtin.name, seed);
    cx.refuse_draw(args.site.span)?;
    let kind =
        LazyKind::Draw { distribution, site, seed, first: Box::new(or(first, 0)), second: Box::new(or(second, 1)) };
    finish(cx, args, Lazy { axes, kind }, dtype)
}

fn uniform<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    drawn(cx, &args, Distribution::Uniform, "low", "high")
}

fn normal<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    drawn(cx, &args, Distribution::Normal, "mean", "std")
}

/// Uniform draws from `[0, 1)`, a stream of its own at each call.
pub(super) fn shares<'a>(cx: &mut Cx<'a>, args: &Args<'a>, axes: Vec<Size>, dtype: DType) -> R<Tensor> {
    let seed = match args.get("seed") {
        Some((value, span)) => Some(cx.as_int(&value, span)?),
        None => None,
    };
    let site = cx.draw_site(args.builtin.name, seed);
    cx.refuse_draw(args.site.span)?;
    let (first, second) = (Box::new(Value::int(0)), Box::new(Value::int(1)));
    let kind = LazyKind::Draw { distribution: Distribution::Uniform, site, seed, first, second };
    cx.materialise(Value::Lazy(Rc::new(Lazy { axes, kind })), dtype, args.site.span)
}

fn bernoulli<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let axes = args.shape(cx, "shape")?;
    let (p, span) = args.need(cx, "p")?;
    let draw = shares(cx, &args, axes, cx.entry.real)?;
    let place = Operation { symbol: "<", span: args.site.span, left: args.site.span, right: span };
    cx.compare_values(CompareOp::Lt, Value::Tensor(draw), p, place)
}

fn count<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<Size> {
    let (value, span) = args.need(cx, "n")?;
    let size = cx.as_size(value, span)?;
    cx.check_extent(span, std::slice::from_ref(&size.dim))?;
    Ok(size)
}

fn iota<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (size, dtype) = (count(cx, &args)?, args.dtype(cx)?);
    finish(cx, &args, Lazy { axes: vec![size], kind: LazyKind::Iota }, dtype)
}

fn linspace<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (size, dtype) = (count(cx, &args)?, args.dtype(cx)?);
    let ((a, first), (b, last)) = (args.need(cx, "a")?, args.need(cx, "b")?);
    match (a, b) {
        (Value::Number(first), Value::Number(last)) => {
            finish(cx, &args, Lazy { axes: vec![size], kind: LazyKind::Linspace { first, last } }, dtype)
        }
        (a, b) => line(cx, &args, (a, first), (b, last), size).map(Value::Tensor),
    }
}

/// Numbers between two run-time scalars: `a + i / (n - 1) * (b - a)`.
fn line<'a>(cx: &mut Cx<'a>, args: &Args<'a>, (a, left): Given<'a>, (b, right): Given<'a>, n: Size) -> R<Tensor> {
    let span = args.site.span;
    let place = |symbol| Operation { symbol, span, left, right };
    let (a, b) = cx.common(a, b, place("linspace"))?;
    if a.rank() + b.rank() > 0 || !a.dtype.is_float() {
        let (a, b) = (cx.show(&a), cx.show(&b));
        return cx.fail(
            Code::E0105,
            span,
            format!("`linspace` goes from one float to another, and these are {a} and {b}"),
        );
    }
    let dtype = args.dtype(cx)?.unwrap_or(a.dtype);
    let gaps = if n.dim.is(1) { Dim::one() } else { n.dim.sub(&Dim::one()).unwrap_or_else(|_| n.dim.clone()) };
    let lazy = Lazy { axes: vec![n], kind: LazyKind::Iota };
    let places = cx.materialise(Value::Lazy(Rc::new(lazy)), a.dtype, span)?;
    let gaps = Value::Number(Number::size(Size::plain(gaps)));
    let width = cx.binary_values(BinaryOp::Sub, Value::Tensor(b), Value::Tensor(a.clone()), place("-"))?;
    let share = cx.binary_values(BinaryOp::Div, Value::Tensor(places), gaps, place("/"))?;
    let value = cx.binary_values(BinaryOp::Mul, share, width, place("*"))?;
    let value = cx.binary_values(BinaryOp::Add, value, Value::Tensor(a), place("+"))?;
    let value = cx.tensor(value, span)?;
    cx.cast(&value, dtype, span)
}

/// Positions along the rows and along the columns of a square.
fn square<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<(Tensor, Tensor)> {
    let size = count(cx, args)?;
    let axes = vec![size.clone(), size];
    let shape = crate::value::shape_of(&axes);
    let mut along =
        |axis| cx.emit(args.site.span, Iota { shape: shape.clone(), axis, dtype: DType::I32 }, &[], axes.clone());
    Ok((along(0)?, along(1)?))
}

fn eye<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (rows, columns) = square(cx, &args)?;
    let dtype = args.dtype(cx)?.unwrap_or(cx.entry.real);
    let axes = rows.axes.clone();
    let same = cx.emit(args.site.span, Compare { op: CompareOp::Eq }, &[&rows, &columns], axes)?;
    cx.cast(&same, dtype, args.site.span).map(Value::Tensor)
}

fn tril<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (rows, columns) = square(cx, &args)?;
    let k = args.get("k").map_or(Value::int(0), |(value, _)| value);
    let span = args.site.span;
    let place = Operation { symbol: "<=", span, left: span, right: span };
    let limit = cx.binary_values(BinaryOp::Add, Value::Tensor(rows), k, place)?;
    cx.compare_values(CompareOp::Le, Value::Tensor(columns), limit, place)
}
