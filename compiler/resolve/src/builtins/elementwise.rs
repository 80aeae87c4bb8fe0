//! Functions of one element: `exp`, `maximum`, `where`, `cast` …

use super::{Args, Arity, Builtin, named};
use crate::arith::Operation;
use crate::calls::ArgValue;
use crate::cx::Cx;
use crate::number::{self, Number, NumberKind};
use crate::value::{R, Tensor, Value};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

pub(super) const ALL: &[Builtin] = &[
    named("neg", &["x"], "-x", unary),
    named("abs", &["x"], "absolute value", unary),
    named("sign", &["x"], "-1, 0 or 1", unary),
    rounding("floor", "largest integer not above x; `floor(a / b)` divides integers"),
    rounding("ceil", "smallest integer not below x; `ceil(a / b)` divides integers"),
    named("round", &["x"], "nearest integer, ties to even", unary),
    named("exp", &["x"], "e to the x", unary),
    named("log", &["x"], "natural logarithm", unary),
    named("sin", &["x"], "sine of radians", unary),
    named("cos", &["x"], "cosine of radians", unary),
    named("tanh", &["x"], "hyperbolic tangent", unary),
    named("sqrt", &["x"], "square root", unary),
    named("erf", &["x"], "error function", unary),
    named("minimum", &["a", "b"], "the smaller of two", extreme),
    named("maximum", &["a", "b"], "the larger of two", extreme),
    named("where", &["c", "a", "b"], "a where c is true, else b", choose),
    named("cast", &["x", "dtype"], "x in another dtype; floats are truncated", convert),
    named("stop_gradient", &["x"], "x, as a constant for gradients", stop_gradient),
];

const fn rounding(name: &'static str, doc: &'static str) -> Builtin {
    Builtin { name, params: &["x"], more: "", arity: Arity::Raw, initialiser: false, doc, run: round_down_or_up }
}

fn op_of(name: &str) -> UnaryOp {
    match name {
        "neg" => UnaryOp::Neg,
        "abs" => UnaryOp::Abs,
        "sign" => UnaryOp::Sign,
        "floor" => UnaryOp::Floor,
        "ceil" => UnaryOp::Ceil,
        "round" => UnaryOp::Round,
        "exp" => UnaryOp::Exp,
        "log" => UnaryOp::Log,
        "sin" => UnaryOp::Sin,
        "cos" => UnaryOp::Cos,
        "tanh" => UnaryOp::Tanh,
        "sqrt" => UnaryOp::Sqrt,
        _ => UnaryOp::Erf,
    }
}

fn unary<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (value, span) = args.need(cx, "x")?;
    apply(cx, &args, value, span)
}

fn apply<'a>(cx: &mut Cx<'a>, args: &Args<'a>, value: Value<'a>, span: Span) -> R<Value<'a>> {
    let op = op_of(args.builtin.name);
    if let Value::Number(number) = &value {
        return match number::unary(op, number) {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => cx.fail(Code::E0114, span, "this number is too large"),
        };
    }
    let x = match value {
        Value::Lazy(lazy) => cx.materialise(Value::Lazy(lazy), cx.entry.real, span)?,
        value => cx.tensor(value, span)?,
    };
    let exact = matches!(op, UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign);
    let rounds = matches!(op, UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round);
    if rounds && !x.dtype.is_float() && x.dtype != DType::Bool {
        return Ok(Value::Tensor(x));
    }
    if !(x.dtype.is_float() || (exact && x.dtype != DType::Bool)) {
        let shown = cx.show(&x);
        let error =
            Diagnostic::error(Code::E0104, span, format!("`{}` takes floats, and this is {shown}", args.builtin.name))
                .help("write `cast(x, f32)`");
        return Err(cx.tell(error));
    }
    cx.unary_tensor(op, &x, args.site.span).map(Value::Tensor)
}

/// `floor(a / b)` and `ceil(a / b)` divide integers (rule 3).
fn round_down_or_up<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let raw: Vec<_> = cx.place_args(args.builtin.params, args.raw.clone(), &args.site)?;
    let Some(arg) = raw.into_iter().next().flatten() else {
        return cx.fail(Code::E0103, args.site.span, format!("`{}` needs the argument `x`", args.builtin.name));
    };
    let expr = match arg {
        ArgValue::Value(value, span) => return apply(cx, &args, value, span),
        ArgValue::Expr(expr) => expr,
    };
    if let ExprKind::Binary { op: ast::BinaryOp::Div, op_span, left, right } = &expr.kind {
        let (a, b) = (cx.expr(left)?, cx.expr(right)?);
        let place = Operation { symbol: "/", span: *op_span, left: left.span, right: right.span };
        if is_integer(&a) && is_integer(&b) {
            return integer_division(cx, args.builtin.name, a, b, place);
        }
        let quotient = cx.binary_values(BinaryOp::Div, a, b, place)?;
        return apply(cx, &args, quotient, expr.span);
    }
    let value = cx.expr(expr)?;
    apply(cx, &args, value, expr.span)
}

fn is_integer(value: &Value<'_>) -> bool {
    match value {
        Value::Number(number) => number.is_integer(),
        Value::Tensor(tensor) => !tensor.dtype.is_float(),
        Value::Lazy(lazy) => lazy.kind.is_integer(),
        _ => false,
    }
}

/// `ceil(a / b)` is `-floor(-a / b)`, and `floor((a + b - 1) / b)` for sizes, so that forms meet.
fn integer_division<'a>(cx: &mut Cx<'a>, name: &str, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
    if name == "floor" {
        return cx.binary_values(BinaryOp::FloorDiv, a, b, place);
    }
    if let (Value::Number(_), Value::Number(divisor)) = (&a, &b)
        && divisor.as_int().is_some_and(|divisor| divisor > 0)
    {
        let sum = cx.binary_values(BinaryOp::Add, a, b.clone(), place)?;
        let sum = cx.binary_values(BinaryOp::Sub, sum, Value::int(1), place)?;
        return cx.binary_values(BinaryOp::FloorDiv, sum, b, place);
    }
    let zero = Value::int(0);
    let negative = cx.binary_values(BinaryOp::Sub, zero.clone(), a, place)?;
    let quotient = cx.binary_values(BinaryOp::FloorDiv, negative, b, place)?;
    cx.binary_values(BinaryOp::Sub, zero, quotient, place)
}

fn extreme<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (a, left) = args.need(cx, "a")?;
    let (b, right) = args.need(cx, "b")?;
    let op = if args.builtin.name == "maximum" { BinaryOp::Max } else { BinaryOp::Min };
    let place = Operation { symbol: args.builtin.name, span: args.site.span, left, right };
    cx.binary_values(op, a, b, place)
}

fn choose<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (c, condition) = args.need(cx, "c")?;
    let (a, left) = args.need(cx, "a")?;
    let (b, right) = args.need(cx, "b")?;
    let place = Operation { symbol: "where", span: args.site.span, left, right };
    cx.select(c, a, b, place, condition)
}

fn convert<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (value, span) = args.need(cx, "x")?;
    args.need(cx, "dtype")?;
    let Some(dtype) = args.dtype(cx)? else { return Ok(value) };
    match value {
        value @ (Value::Instance(_) | Value::Row(_) | Value::View(..)) => {
            crate::views::cast_instance(cx, value, dtype, span)
        }
        Value::Number(Number { kind: NumberKind::Float(value), .. }) if dtype == DType::Bool => {
            Ok(Value::Bool(value != 0.0))
        }
        Value::Number(number) if dtype == DType::Bool => {
            let whole = cx.materialise(Value::Number(number), DType::I64, span)?;
            cx.cast(&whole, dtype, args.site.span).map(Value::Tensor)
        }
        Value::Number(number) => Ok(Value::Number(cast_number(cx, &number, dtype, span)?)),
        Value::Bool(value) if dtype != DType::Bool => Ok(Value::Number(Number::int(i64::from(value)).typed(dtype))),
        value => {
            let tensor = cx.tensor(value, span)?;
            cx.cast(&tensor, dtype, args.site.span).map(Value::Tensor)
        }
    }
}

fn cast_number<'a>(cx: &mut Cx<'a>, number: &Number, dtype: DType, span: Span) -> R<Number> {
    let fresh = Number { dtype: None, ..number.clone() };
    match (number.as_f64(), dtype.is_float(), number.is_integer()) {
        (_, _, true) | (_, true, _) => Ok(fresh.typed(dtype).wrapped()),
        // What does not fit becomes the nearest that does, NaN becomes 0.
        (Some(value), false, false) => {
            let (low, high) = dtype.integers().unwrap_or((i64::MIN, i64::MAX));
            Ok(Number::int((value as i64).clamp(low, high)).typed(dtype))
        }
        _ => cx.fail(Code::E0104, span, format!("this number cannot become {dtype}")),
    }
}

fn stop_gradient<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (value, span) = args.need(cx, "x")?;
    if let Value::Number(_) | Value::Bool(_) = value {
        return Ok(value);
    }
    let x: Tensor = cx.tensor(value, span)?;
    let axes = x.axes.clone();
    cx.emit(args.site.span, mlc_ir::ops::stop_gradient::StopGradient, &[&x], axes).map(Value::Tensor)
}
