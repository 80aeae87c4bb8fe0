//! Operators on tensors and numbers: dtypes of literals, broadcasting, matrix products.

use crate::cx::Cx;
use crate::listed::Listed;
use crate::number::{self, Number, NumberError};
use crate::report::Reported;
use crate::value::{Lazy, LazyKind, R, Size, Tensor, Value, shape_of};
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::ops::unary::Unary;
use mlc_ir::scalar::{BinaryOp, CompareOp, UnaryOp};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// An operator with its two operands, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'s> {
    pub symbol: &'s str,
    pub span: Span,
    pub left: Span,
    pub right: Span,
}

impl<'a> Cx<'a> {
    pub fn cast(&mut self, tensor: &Tensor, dtype: DType, span: Span) -> R<Tensor> {
        if tensor.dtype == dtype {
            return Ok(tensor.clone());
        }
        self.emit(span, Cast { dtype }, &[tensor], tensor.axes.clone())
    }

    /// The same elements under another shape of as many elements.
    pub fn reshape(&mut self, tensor: &Tensor, axes: Vec<Size>, span: Span) -> R<Tensor> {
        if tensor.shape() == shape_of(&axes) {
            return Ok(Tensor { axes, ..tensor.clone() });
        }
        self.check_extent(span, &shape_of(&axes))?;
        self.emit(span, Reshape { shape: shape_of(&axes) }, &[tensor], axes)
    }

    pub fn permute(&mut self, tensor: &Tensor, perm: Vec<usize>, span: Span) -> R<Tensor> {
        if perm.is_sorted() {
            return Ok(tensor.clone());
        }
        let axes = perm.iter().map(|axis| tensor.axes[*axis].clone()).collect();
        self.emit(span, Transpose { perm }, &[tensor], axes)
    }

    /// `a op b` for the arithmetic operators, `minimum` and `maximum`.
    pub fn binary_values(&mut self, op: BinaryOp, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        if let (Value::Number(x), Value::Number(y)) = (&a, &b) {
            return match number::binary(op, x, y) {
                Ok(number) => Ok(Value::Number(number)),
                Err(error) => Err(self.number_error(error, x, y, place)),
            };
        }
        let of_indices = a.as_index().is_some() || b.as_index().is_some();
        if of_indices && whole(&a) && whole(&b) && !matches!(op, BinaryOp::Div | BinaryOp::Pow) {
            let (a, b) = self.common(a, b, place)?;
            return self.arithmetic(op, &a, &b, place).map(Value::index);
        }
        let (a, b) = self.common(a, b, place)?;
        if a.dtype == DType::Bool {
            let title = format!("`{}` does not take bool", place.symbol);
            let error = Diagnostic::error(Code::E0104, place.span, title)
                .help("`and`, `or`, `not` work on bool; write `cast(x, f32)` to count");
            return Err(self.tell(error));
        }
        self.arithmetic(op, &a, &b, place).map(Value::Tensor)
    }

    fn arithmetic(&mut self, op: BinaryOp, a: &Tensor, b: &Tensor, place: Operation<'_>) -> R<Tensor> {
        let float = a.dtype.is_float();
        match op {
            BinaryOp::Div if !float => {
                let error = Diagnostic::error(Code::E0113, place.span, format!("`/` of {} is not exact", a.dtype))
                    .help("write `floor(a / b)` or `ceil(a / b)`, or cast the operands to f32");
                Err(self.tell(error))
            }
            BinaryOp::Pow if !float => {
                let error =
                    Diagnostic::error(Code::E0104, place.span, format!("`**` takes floats, and these are {}", a.dtype))
                        .help("write `cast(x, f32) ** y`");
                Err(self.tell(error))
            }
            BinaryOp::FloorDiv if float => {
                let quotient = self.elementwise(Binary { op: BinaryOp::Div }, a, b, place)?;
                self.unary_tensor(UnaryOp::Floor, &quotient, place.span)
            }
            _ => self.elementwise(Binary { op }, a, b, place),
        }
    }

    fn elementwise(
        &mut self,
        op: impl Into<mlc_ir::ops::Op>,
        a: &Tensor,
        b: &Tensor,
        place: Operation<'_>,
    ) -> R<Tensor> {
        let (a, b) = self.broadcast_pair(a, b, place)?;
        let axes = a.axes.clone();
        self.emit(place.span, op, &[&a, &b], axes)
    }

    /// `a < b` and its like.
    pub fn compare_values(&mut self, op: CompareOp, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        match (&a, &b) {
            (Value::Number(x), Value::Number(y)) => {
                if let Some(value) = number::compare(op, x, y) {
                    return Ok(Value::Bool(value));
                }
            }
            (Value::Bool(x), Value::Bool(y)) => return self.compare_static(op, x, y, place),
            (Value::Str(x), Value::Str(y)) => return self.compare_static(op, x, y, place),
            (Value::Tuple(_) | Value::List(_), Value::Tuple(_) | Value::List(_)) => {
                return self.compare_sequences(op, &a, &b, place);
            }
            _ => {}
        }
        let (a, b) = self.common(a, b, place)?;
        let ordered = !matches!(op, CompareOp::Eq | CompareOp::Ne);
        if ordered && a.dtype == DType::Bool {
            return self.fail(Code::E0104, place.span, format!("`{}` does not take bool", place.symbol));
        }
        self.elementwise(Compare { op }, &a, &b, place).map(Value::Tensor)
    }

    fn compare_static<T: PartialEq>(&mut self, op: CompareOp, a: &T, b: &T, place: Operation<'_>) -> R<Value<'a>> {
        match op {
            CompareOp::Eq => Ok(Value::Bool(a == b)),
            CompareOp::Ne => Ok(Value::Bool(a != b)),
            CompareOp::Lt | CompareOp::Le | CompareOp::Gt | CompareOp::Ge => {
                self.fail(Code::E0122, place.span, format!("`{}` compares numbers", place.symbol))
            }
        }
    }

    fn compare_sequences(&mut self, op: CompareOp, a: &Value<'a>, b: &Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        let shown = (self.show_static(a), self.show_static(b));
        match shown {
            (Some(x), Some(y)) => self.compare_static(op, &x, &y, place),
            _ => self.fail(Code::E0122, place.span, format!("`{}` compares numbers and tensors", place.symbol)),
        }
    }

    /// `a and b`, `a or b`.
    pub fn logic_values(&mut self, op: BinaryOp, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        if let (Value::Bool(x), Value::Bool(y)) = (&a, &b) {
            return Ok(Value::Bool(if op == BinaryOp::And { *x && *y } else { *x || *y }));
        }
        let (a, b) = self.common(a, b, place)?;
        if a.dtype != DType::Bool {
            let title = format!("`{}` takes bool, and this is {}", place.symbol, a.dtype);
            let error = Diagnostic::error(Code::E0104, place.span, title).help("compare first: `x != 0`");
            return Err(self.tell(error));
        }
        self.elementwise(Binary { op }, &a, &b, place).map(Value::Tensor)
    }

    /// Two operands as tensors of one dtype.
    pub fn common(&mut self, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<(Tensor, Tensor)> {
        let (a, b) = match (a, b) {
            (Value::Tensor(a), b) => {
                let b = self.materialise_operand(b, a.dtype, place.right, place)?;
                (a, b)
            }
            (a, Value::Tensor(b)) => (self.materialise_operand(a, b.dtype, place.left, place)?, b),
            (a, b) => {
                let integer = |value: &Value<'a>| match value {
                    Value::Number(number) => number.is_integer(),
                    Value::Lazy(lazy) => lazy.kind.is_integer(),
                    _ => false,
                };
                let known = |value: &Value<'a>| match value {
                    Value::Number(number) => number.dtype,
                    _ => None,
                };
                let dtype = known(&a).or(known(&b));
                let dtype = dtype.unwrap_or_else(|| self.default_dtype(integer(&a) && integer(&b)));
                (
                    self.materialise_operand(a, dtype, place.left, place)?,
                    self.materialise_operand(b, dtype, place.right, place)?,
                )
            }
        };
        if a.dtype != b.dtype {
            return Err(self.dtypes_differ(&a, &b, place));
        }
        Ok((a, b))
    }

    fn materialise_operand(&mut self, value: Value<'a>, dtype: DType, span: Span, place: Operation<'_>) -> R<Tensor> {
        match &value {
            Value::Tensor(_) | Value::Lazy(_) | Value::Number(_) | Value::Bool(_) | Value::Poison => {
                self.materialise(value, dtype, span)
            }
            other => {
                let title = format!("`{}` does not take {}", place.symbol, other.describe());
                let mut error = Diagnostic::error(Code::E0122, span, title);
                error = match other {
                    Value::Tuple(_) => error.help("take its parts: `a, b = f(x)`, or `t[0]`"),
                    Value::List(parts) => match Listed::of(parts) {
                        Some(listed) => error
                            .note("a list is a row of parts known when compiling; it is a tensor where one is declared")
                            .help(format!("declare it where it is bound: `a: f32{} = …`", listed.shape_text())),
                        None => error
                            .note("a list is a row of parts known when compiling, not a tensor")
                            .help("n equal layers are `[Linear(4); n]`, others `[f(c) for c in [8, 16]]`"),
                    },
                    _ => error,
                };
                Err(self.tell(error))
            }
        }
    }

    fn dtypes_differ(&mut self, a: &Tensor, b: &Tensor, place: Operation<'_>) -> Reported {
        let title = format!("dtypes do not agree: {} {} {}", a.dtype, place.symbol, b.dtype);
        let wanted = meant(a.dtype, b.dtype);
        let converted = self.excerpt(if b.dtype == wanted { place.left } else { place.right });
        let error = Diagnostic::error(Code::E0104, place.span, title)
            .also(place.left, self.show(a))
            .also(place.right, self.show(b))
            .help(format!("write `cast({converted}, {wanted})` where the conversion is meant"));
        self.tell(error)
    }

    fn number_error(&mut self, error: NumberError, a: &Number, b: &Number, place: Operation<'_>) -> Reported {
        let show = |cx: &Cx<'a>, number: &Number| {
            cx.show_static(&Value::Number(number.clone())).unwrap_or_else(|| "a number".into())
        };
        let (x, y) = (show(self, a), show(self, b));
        let error = match error {
            NumberError::Overflow => {
                Diagnostic::error(Code::E0114, place.span, format!("{x} {} {y} is too large", place.symbol))
            }
            NumberError::NotExact => Diagnostic::error(Code::E0113, place.span, format!("{x} / {y} is not exact"))
                .note("`/` between integers and sizes must leave no remainder")
                .help(format!(
                    "write `floor({x} / {y})` or `ceil({x} / {y})` for an integer, `{} / {y}` for a float",
                    float_text(&x)
                )),
            NumberError::Divisor if y == "0" => {
                Diagnostic::error(Code::E0113, place.span, format!("{x} {} 0", place.symbol)).label("division by zero")
            }
            NumberError::Divisor => Diagnostic::error(
                Code::E0113,
                place.span,
                format!("{x} {} {y}: a size is divided by positive numbers only", place.symbol),
            ),
            NumberError::DTypes(a, b) => {
                Diagnostic::error(Code::E0104, place.span, format!("dtypes do not agree: {a} {} {b}", place.symbol))
            }
            NumberError::Exponent => {
                Diagnostic::error(Code::E0113, place.span, format!("{x} ** {y} is not an integer"))
                    .help(format!("write `{} ** {y}` for a float", float_text(&x)))
            }
        };
        self.tell(error)
    }

    /// The elements of `a` where `c` is true, else those of `b`; two numbers have no dtype yet.
    pub fn select(
        &mut self,
        c: Value<'a>,
        a: Value<'a>,
        b: Value<'a>,
        place: Operation<'_>,
        condition: Span,
    ) -> R<Value<'a>> {
        match (&a, &b) {
            (Value::Number(first), Value::Number(second)) if first.dtype.is_none() && second.dtype.is_none() => {
                let condition = self.condition(c, condition)?;
                let axes = condition.axes.clone();
                let kind = LazyKind::Select { condition, first: first.clone(), second: second.clone() };
                Ok(Value::Lazy(Rc::new(Lazy { axes, kind })))
            }
            _ => self.select_values(c, a, b, place, condition).map(Value::Tensor),
        }
    }

    /// The elements of `a` where `c` is true, else those of `b`.
    pub fn select_values(
        &mut self,
        c: Value<'a>,
        a: Value<'a>,
        b: Value<'a>,
        place: Operation<'_>,
        condition: Span,
    ) -> R<Tensor> {
        let c = self.condition(c, condition)?;
        let (a, b) = match (&a, &b) {
            (Value::Bool(_), Value::Bool(_)) => {
                (self.materialise(a, DType::Bool, place.left)?, self.materialise(b, DType::Bool, place.right)?)
            }
            _ => self.common(a, b, place)?,
        };
        let (a, b) = self.broadcast_pair(&a, &b, place)?;
        let (c, a) = self.broadcast_pair(&c, &a, place)?;
        let (_, b) = self.broadcast_pair(&c, &b, place)?;
        let axes = a.axes.clone();
        self.emit(place.span, Select, &[&c, &a, &b], axes)
    }

    fn condition(&mut self, c: Value<'a>, span: Span) -> R<Tensor> {
        let c = self.materialise(c, DType::Bool, span)?;
        if c.dtype != DType::Bool {
            let title = format!("the condition is {}, and bool is wanted", self.show(&c));
            let error = Diagnostic::error(Code::E0104, span, title);
            return Err(self.tell(error.help(format!("compare: `{} != 0`", self.excerpt(span)))));
        }
        Ok(c)
    }

    /// A function of one element.
    pub fn unary_tensor(&mut self, op: UnaryOp, x: &Tensor, span: Span) -> R<Tensor> {
        self.emit(span, Unary { op }, &[x], x.axes.clone())
    }
}

/// Whether a value is the index of a loop, or an integer that has no dtype.
fn whole(value: &Value<'_>) -> bool {
    match value {
        Value::Number(number) => number.dtype.is_none() && number.is_integer(),
        value => value.as_index().is_some(),
    }
}

fn float_text(text: &str) -> String {
    if text.parse::<i64>().is_ok() { format!("{text}.0") } else { format!("cast({text}, f32)") }
}

/// The dtype in which values of two are most likely to meet: a float, or the integers that hold both.
fn meant(a: DType, b: DType) -> DType {
    match (a, b) {
        (float, _) | (_, float) if float.is_float() => float,
        (DType::Bool, other) | (other, DType::Bool) => other,
        (DType::U8, DType::I8) | (DType::I8, DType::U8) => DType::I32,
        _ if a.bytes() > b.bytes() => a,
        _ => b,
    }
}
