//! What has no dtype yet becomes a tensor of the dtype it meets (rule 2).

use crate::arith::Operation;
use crate::cx::Cx;
use crate::number::{Formula, Number, NumberKind};
use crate::value::{Lazy, LazyKind, R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::random::Random;
use mlc_ir::ops::size::SizeOf;
use mlc_ir::scalar::{BinaryOp, Distribution, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// Which numbers become a `dtype` by themselves.
pub(crate) fn becomes(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "truth values are `true`, `false` and comparisons: `x != 0`",
        _ => "`2` may become a float, but `2.0` never becomes an integer; everything else needs `cast(x, f32)`",
    }
}

impl<'a> Cx<'a> {
    /// A value as a tensor; what has no dtype gets `dtype`.
    pub fn materialise(&mut self, value: Value<'a>, dtype: DType, span: Span) -> R<Tensor> {
        match value {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Number(number) => self.number_tensor(&number, dtype, span),
            Value::Bool(value) => self.literal(span, Literal::from_i64(DType::Bool, i64::from(value))),
            Value::Lazy(lazy) => self.lazy_tensor(&lazy, dtype, span),
            Value::Poison => Err(self.report.silent()),
            other => self.fail(Code::E0122, span, format!("a tensor is needed here, and this is {}", other.describe())),
        }
    }

    /// A value as a tensor, with the dtype it has when nothing decides (rule 2).
    pub fn tensor(&mut self, value: Value<'a>, span: Span) -> R<Tensor> {
        let is_integer = match &value {
            Value::Number(number) => number.is_integer(),
            Value::Lazy(lazy) => lazy.kind.is_integer(),
            _ => false,
        };
        let dtype = self.default_dtype(is_integer);
        self.materialise(value, dtype, span)
    }

    /// A number as a scalar of `dtype`, or of its own where it has one.
    fn number_tensor(&mut self, number: &Number, dtype: DType, span: Span) -> R<Tensor> {
        let dtype = number.dtype.unwrap_or(dtype);
        let fits = match dtype {
            DType::Bool => false,
            DType::F32 | DType::F64 => true,
            DType::I32 | DType::I64 | DType::U8 | DType::I8 => number.is_integer(),
        };
        if !fits {
            let shown = self.show_value(&Value::Number(number.clone()));
            let error = Diagnostic::error(Code::E0104, span, format!("{shown} cannot become {dtype}"));
            return Err(self.tell(error.help(becomes(dtype))));
        }
        match &number.kind {
            NumberKind::Float(value) => self.literal(span, Literal::from_f64(dtype, *value)),
            NumberKind::Int(size) => self.size_tensor(&size.dim, dtype, span),
            NumberKind::Formula(formula) => self.formula_tensor(formula, dtype, span),
        }
    }

    fn size_tensor(&mut self, dim: &Dim, dtype: DType, span: Span) -> R<Tensor> {
        if let Some(value) = dim.as_const() {
            let (low, high) = dtype.integers().unwrap_or((i64::MIN, i64::MAX));
            if !(low..=high).contains(&value) {
                return self.fail(Code::E0104, span, format!("{value} does not fit {dtype}: that is {low} to {high}"));
            }
            return self.literal(span, Literal::from_i64(dtype, value));
        }
        let direct = if matches!(dtype, DType::U8 | DType::I8) { DType::I32 } else { dtype };
        let size = self.emit(span, SizeOf { size: dim.clone(), dtype: direct }, &[], Vec::new())?;
        self.cast(&size, dtype, span)
    }

    fn formula_tensor(&mut self, formula: &Formula, dtype: DType, span: Span) -> R<Tensor> {
        match formula {
            Formula::Unary(op, a) => {
                let a = self.number_tensor(a, dtype, span)?;
                self.unary_tensor(*op, &a, span)
            }
            Formula::Binary(op, a, b) => {
                let (a, b) = (self.number_tensor(a, dtype, span)?, self.number_tensor(b, dtype, span)?);
                self.emit(span, Binary { op: *op }, &[&a, &b], Vec::new())
            }
        }
    }

    fn lazy_tensor(&mut self, lazy: &Rc<Lazy<'a>>, dtype: DType, span: Span) -> R<Tensor> {
        let axes = lazy.axes.clone();
        match &lazy.kind {
            LazyKind::Full(number) => {
                let scalar = self.number_tensor(number, dtype, span)?;
                self.broadcast_scalar(scalar, axes, span)
            }
            LazyKind::Iota => {
                let direct = if dtype == DType::I64 { DType::I64 } else { DType::I32 };
                let op = Iota { shape: shape_of(&axes), axis: 0, dtype: direct };
                let positions = self.emit(span, op, &[], axes)?;
                self.cast(&positions, dtype, span)
            }
            LazyKind::Draw { distribution, site, seed, first, second } => {
                if !dtype.is_float() {
                    return self.fail(Code::E0104, span, format!("a random float cannot become {dtype}"));
                }
                let [seed, step, offset] = self.draw_key(*seed, site, span)?;
                let op = Random { distribution: *distribution, shape: shape_of(&axes), site: site.hash };
                let word = self.emit(span, op, &[&seed, &step, &offset], axes)?;
                let word = self.cast(&word, dtype, span)?;
                let scale = self.draw_scale(*distribution, first, second, span)?;
                self.scale_draw(word, &scale, first, span)
            }
            LazyKind::Index(index) => self.cast(index, dtype, span),
            LazyKind::Linspace { first, last } => self.linspace(axes, first, last, dtype, span),
            LazyKind::Select { condition, first, second } => {
                let place = Operation { symbol: "where", span, left: span, right: span };
                let first = Value::Tensor(self.number_tensor(first, dtype, span)?);
                let second = Value::Tensor(self.number_tensor(second, dtype, span)?);
                self.select_values(Value::Tensor(condition.clone()), first, second, place, span)
            }
        }
    }

    /// The scale of a draw: `high - low`, or the deviation.
    fn draw_scale(
        &mut self,
        distribution: Distribution,
        first: &Value<'a>,
        second: &Value<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        let place = Operation { symbol: "-", span, left: span, right: span };
        match distribution {
            Distribution::Uniform => self.binary_values(BinaryOp::Sub, second.clone(), first.clone(), place),
            Distribution::Normal => Ok(second.clone()),
        }
    }

    fn scale_draw(&mut self, word: Tensor, scale: &Value<'a>, offset: &Value<'a>, span: Span) -> R<Tensor> {
        let place = |symbol| Operation { symbol, span, left: span, right: span };
        let is =
            |value: &Value<'a>, wanted: f64| matches!(value, Value::Number(number) if number.as_f64() == Some(wanted));
        let mut value = Value::Tensor(word);
        if !is(scale, 1.0) {
            value = self.binary_values(BinaryOp::Mul, value, scale.clone(), place("*"))?;
        }
        if !is(offset, 0.0) {
            value = self.binary_values(BinaryOp::Add, value, offset.clone(), place("+"))?;
        }
        self.tensor(value, span)
    }

    fn linspace(&mut self, axes: Vec<Size>, first: &Number, last: &Number, dtype: DType, span: Span) -> R<Tensor> {
        let count = axes[0].dim.clone();
        let positions = self.lazy_tensor(&Rc::new(Lazy { axes: axes.clone(), kind: LazyKind::Iota }), dtype, span)?;
        if count.is(1) {
            let first = self.number_tensor(first, dtype, span)?;
            return self.broadcast_scalar(first, axes, span);
        }
        let place = |symbol| Operation { symbol, span, left: span, right: span };
        let intervals = Value::Number(Number::size(Size::plain(count.sub(&Dim::one()).unwrap_or(count))));
        let width =
            self.binary_values(BinaryOp::Sub, Value::Number(last.clone()), Value::Number(first.clone()), place("-"))?;
        let share = self.binary_values(BinaryOp::Div, Value::Tensor(positions), intervals, place("/"))?;
        let value = self.binary_values(BinaryOp::Mul, share, width, place("*"))?;
        let value = self.binary_values(BinaryOp::Add, value, Value::Number(first.clone()), place("+"))?;
        self.tensor(value, span)
    }
}
