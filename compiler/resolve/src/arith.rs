//! Operators on tensors and numbers: dtypes of literals, broadcasting, matrix products.

use crate::cx::Cx;
use crate::number::{self, Formula, Number, NumberError, NumberKind};
use crate::report::Reported;
use crate::value::{Lazy, LazyKind, R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::{Decision, Dim};
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::random::Random;
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::size::SizeOf;
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::ops::unary::Unary;
use mlc_ir::scalar::{BinaryOp, CompareOp, Distribution, Literal, UnaryOp};
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
            DType::I32 | DType::I64 | DType::U8 => number.is_integer(),
        };
        if !fits {
            let shown = self.show_value(&Value::Number(number.clone()));
            let error = Diagnostic::error(Code::E0104, span, format!("{shown} cannot become {dtype}")).help(
                "`2` may become a float, but `2.0` never becomes an integer; everything else needs `cast(x, f32)`",
            );
            return Err(self.tell(error));
        }
        match &number.kind {
            NumberKind::Float(value) => self.literal(span, Literal::from_f64(dtype, *value)),
            NumberKind::Int(size) => self.size_tensor(&size.dim, dtype, span),
            NumberKind::Formula(formula) => self.formula_tensor(formula, dtype, span),
        }
    }

    fn size_tensor(&mut self, dim: &Dim, dtype: DType, span: Span) -> R<Tensor> {
        if let Some(value) = dim.as_const() {
            let (low, high) = match dtype {
                DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
                DType::U8 => (0, 255),
                DType::F32 | DType::F64 | DType::I64 | DType::Bool => (i64::MIN, i64::MAX),
            };
            if !(low..=high).contains(&value) {
                return self.fail(Code::E0104, span, format!("{value} does not fit {dtype}: that is {low} to {high}"));
            }
            return self.literal(span, Literal::from_i64(dtype, value));
        }
        let direct = if dtype == DType::U8 { DType::I32 } else { dtype };
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
                let (seed, step) = self.draw_key(*seed, span)?;
                let op = Random { distribution: *distribution, shape: shape_of(&axes), site: *site };
                let word = self.emit(span, op, &[&seed, &step], axes)?;
                let word = self.cast(&word, dtype, span)?;
                let scale = self.draw_scale(*distribution, first, second, span)?;
                self.scale_draw(word, &scale, first, span)
            }
            LazyKind::Linspace { first, last } => self.linspace(axes, first, last, dtype, span),
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

    /// A scalar in every element of a shape.
    pub fn broadcast_scalar(&mut self, scalar: Tensor, axes: Vec<Size>, span: Span) -> R<Tensor> {
        self.check_extent(span, &shape_of(&axes))?;
        if axes.is_empty() {
            return Ok(scalar);
        }
        self.emit(span, Broadcast { shape: shape_of(&axes), axes: Vec::new() }, &[&scalar], axes)
    }

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
                let dtype = self.default_dtype(integer(&a) && integer(&b));
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
                if let Value::Tuple(_) = other {
                    error = error.help("take its parts: `a, b = f(x)`, or `t[0]`");
                }
                Err(self.tell(error))
            }
        }
    }

    fn dtypes_differ(&mut self, a: &Tensor, b: &Tensor, place: Operation<'_>) -> Reported {
        let title = format!("dtypes do not agree: {} {} {}", a.dtype, place.symbol, b.dtype);
        let error = Diagnostic::error(Code::E0104, place.span, title)
            .also(place.left, self.show(a))
            .also(place.right, self.show(b))
            .help(format!(
                "write `cast(x, {})` where the conversion is meant",
                if a.dtype.is_float() { a.dtype } else { b.dtype }
            ));
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

    /// Two operands in one shape (rule 8).
    pub fn broadcast_pair(&mut self, a: &Tensor, b: &Tensor, place: Operation<'_>) -> R<(Tensor, Tensor)> {
        let rank = a.rank().max(b.rank());
        let mut axes = Vec::with_capacity(rank);
        for at in (0..rank).rev() {
            let from_end = at + 1;
            let left = a.rank().checked_sub(from_end).map(|axis| &a.axes[axis]);
            let right = b.rank().checked_sub(from_end).map(|axis| &b.axes[axis]);
            let axis = match (left, right) {
                (Some(left), Some(right)) => joint_axis(left, right, a.rank(), b.rank()),
                (Some(only), None) | (None, Some(only)) => Some(only.clone()),
                (None, None) => None,
            };
            match axis {
                Some(axis) => axes.push(axis),
                None => return Err(self.shapes_differ(a, b, place)),
            }
        }
        Ok((self.stretch(a, &axes, place.span)?, self.stretch(b, &axes, place.span)?))
    }

    /// A tensor repeated along leading axes and along axes of size 1.
    pub fn stretch(&mut self, tensor: &Tensor, axes: &[Size], span: Span) -> R<Tensor> {
        if tensor.shape() == shape_of(axes) {
            return Ok(Tensor { axes: axes.to_vec(), ..tensor.clone() });
        }
        let missing = axes.len() - tensor.rank();
        let op = Broadcast { shape: shape_of(axes), axes: (missing..axes.len()).collect() };
        self.emit(span, op, &[tensor], axes.to_vec())
    }

    fn shapes_differ(&mut self, a: &Tensor, b: &Tensor, place: Operation<'_>) -> Reported {
        let (left, right) = (self.show(a), self.show(b));
        let title = format!("shapes do not agree: {left} {} {right}", place.symbol);
        let mut error =
            Diagnostic::error(Code::E0105, place.span, title).also(place.left, left).also(place.right, right);
        let ends_in_one = |long: &Tensor, short: &Tensor| {
            long.rank() == short.rank() + 1 && long.axes.last().is_some_and(|axis| axis.dim.is(1))
        };
        let differ = a.rank() != b.rank();
        if ends_in_one(a, b) || ends_in_one(b, a) {
            error = error.help("take the last axis away: `y[:, 0]`, or give the other one: `x[:, new]`");
        } else if differ {
            error = error.note(
                "shapes are aligned from the right; sizes must be equal there, or 1 in the operand with fewer axes",
            );
        } else {
            let symbolic = a.axes.iter().zip(&b.axes).find(|(a, b)| a.dim.decide(&b.dim) == Decision::Ask);
            if let Some((a, b)) = symbolic {
                let (a, b) = (self.show_dim(&a.dim), self.show_dim(&b.dim));
                error = error
                    .note(format!("`{a}` and `{b}` may differ when the program runs"))
                    .help(format!("if they are always equal, give them one name, or say `requires {a} == {b}`"));
            }
        }
        self.tell(error)
    }

    /// `if c then a else b`, elementwise.
    pub fn select_values(
        &mut self,
        c: Value<'a>,
        a: Value<'a>,
        b: Value<'a>,
        place: Operation<'_>,
        condition: Span,
    ) -> R<Tensor> {
        let c = self.materialise(c, DType::Bool, condition)?;
        if c.dtype != DType::Bool {
            let title = format!("the condition is {}, and bool is wanted", self.show(&c));
            return self.fail(Code::E0104, condition, title);
        }
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

    /// A function of one element.
    pub fn unary_tensor(&mut self, op: UnaryOp, x: &Tensor, span: Span) -> R<Tensor> {
        self.emit(span, Unary { op }, &[x], x.axes.clone())
    }

    /// `a @ b` (rule 9).
    pub fn matmul(&mut self, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        let (a, b) = self.common(a, b, place)?;
        if a.axes.is_empty() || b.axes.is_empty() {
            let (left, right) = (self.show(&a), self.show(&b));
            let error =
                Diagnostic::error(Code::E0105, place.span, format!("`@` takes tensors with axes: {left} @ {right}"))
                    .help("a product with a scalar is written `a * b`");
            return Err(self.tell(error));
        }
        let (last, first) = (a.rank() - 1, b.rank().saturating_sub(2));
        if a.axes[last].dim.decide(&b.axes[first].dim) != Decision::Equal {
            return Err(self.matrix_sizes_differ(&a, &b, last, first, place));
        }
        let (a_lead, b_lead) = (&a.axes[..a.rank().saturating_sub(2)], &b.axes[..first]);
        let fits = a_lead.is_empty() || b_lead.is_empty() || shape_of(a_lead) == shape_of(b_lead);
        if !fits {
            let (left, right) = (self.show(&a), self.show(&b));
            let error = Diagnostic::error(Code::E0105, place.span, format!("shapes do not agree: {left} @ {right}"))
                .note("the axes before the last two are equal, or one side has none");
            return Err(self.tell(error));
        }
        self.contract_product(&a, &b, place.span).map(Value::Tensor)
    }

    fn contract_product(&mut self, a: &Tensor, b: &Tensor, span: Span) -> R<Tensor> {
        const SUMMED: u32 = 1000;
        let (a_lead, b_lead) = (a.rank().saturating_sub(2), b.rank().saturating_sub(2));
        let lead = a_lead.max(b_lead) as u32;
        let (row, column) = (lead, lead + 1);
        let mut left: Vec<u32> = (0..a_lead as u32).collect();
        let mut right: Vec<u32> = (0..b_lead as u32).collect();
        let longer = if a_lead >= b_lead { &a.axes[..a_lead] } else { &b.axes[..b_lead] };
        let mut axes: Vec<Size> = longer.to_vec();
        let mut out: Vec<u32> = (0..lead).collect();
        if a.rank() > 1 {
            left.push(row);
            out.push(row);
            axes.push(a.axes[a.rank() - 2].clone());
        }
        left.push(SUMMED);
        right.push(SUMMED);
        if b.rank() > 1 {
            right.push(column);
            out.push(column);
            axes.push(b.axes[b.rank() - 1].clone());
        }
        self.emit(span, Contract { left, right, out }, &[a, b], axes)
    }

    fn matrix_sizes_differ(
        &mut self,
        a: &Tensor,
        b: &Tensor,
        last: usize,
        first: usize,
        place: Operation<'_>,
    ) -> Reported {
        let (left, right) = (&a.axes[last], &b.axes[first]);
        let title =
            format!("matrix sizes do not agree: {} and {}", self.show_dim(&left.dim), self.show_dim(&right.dim));
        let describe = |cx: &Cx<'a>, tensor: &Tensor, axis: &Size| match &axis.why {
            Some(why) => format!("{}, because {} = {why}", cx.show(tensor), cx.show_dim(&axis.dim)),
            None => cx.show(tensor),
        };
        let mut error = Diagnostic::error(Code::E0107, place.span, title)
            .label("`a @ b` sums over a's last axis and b's last but one")
            .also(place.left, describe(self, a, left))
            .also(place.right, describe(self, b, right));
        if b.rank() >= 2 && left.dim.decide(&b.axes[b.rank() - 1].dim) == Decision::Equal {
            error = error.help("`transpose(b)` swaps its last two axes");
        }
        self.tell(error)
    }
}

/// The axis that two aligned axes make, if they fit.
fn joint_axis(a: &Size, b: &Size, a_rank: usize, b_rank: usize) -> Option<Size> {
    if a.dim.decide(&b.dim) == Decision::Equal {
        return Some(a.meet(b));
    }
    if a.dim.is(1) && a_rank <= b_rank {
        return Some(b.clone());
    }
    (b.dim.is(1) && b_rank <= a_rank).then(|| a.clone())
}

fn float_text(text: &str) -> String {
    if text.parse::<i64>().is_ok() { format!("{text}.0") } else { format!("cast({text}, f32)") }
}
