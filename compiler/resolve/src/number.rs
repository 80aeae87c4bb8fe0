//! Numbers known when compiling: integers and sizes, floats, and float formulas of sizes that have
//! no dtype before they meet one (`sqrt(D / Heads)`).

use crate::value::Size;
use mlc_ir::dim::{Dim, SizeError};
use mlc_ir::scalar::{BinaryOp, CompareOp, UnaryOp};
use mlc_ir::ty::DType;
use std::rc::Rc;

/// A number.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub kind: NumberKind,
    /// Set where it went through a typed argument (`lr: f32`); else it takes what it meets.
    pub dtype: Option<DType>,
}

/// The forms of a number.
#[derive(Clone, Debug)]
pub(crate) enum NumberKind {
    /// An integer or a size.
    Int(Size),
    /// A float.
    Float(f64),
    /// A formula with symbols in it.
    Formula(Rc<Formula>),
}

/// A float formula of sizes.
#[derive(Clone, Debug)]
pub(crate) enum Formula {
    Unary(UnaryOp, Number),
    Binary(BinaryOp, Number, Number),
}

impl Number {
    pub fn int(value: i64) -> Number {
        Number::size(Size::plain(value))
    }

    pub fn size(size: Size) -> Number {
        Number { kind: NumberKind::Int(size), dtype: None }
    }

    pub fn float(value: f64) -> Number {
        Number { kind: NumberKind::Float(value), dtype: None }
    }

    fn formula(formula: Formula) -> Number {
        Number { kind: NumberKind::Formula(Rc::new(formula)), dtype: None }
    }

    pub fn is_integer(&self) -> bool {
        match (&self.kind, self.dtype) {
            (_, Some(dtype)) => !dtype.is_float(),
            (NumberKind::Int(_), None) => true,
            (NumberKind::Float(_) | NumberKind::Formula(_), None) => false,
        }
    }

    /// The size, if it is an integer that was not made a float by its type.
    pub fn as_size(&self) -> Option<&Size> {
        match &self.kind {
            NumberKind::Int(size) if self.is_integer() => Some(size),
            NumberKind::Int(_) | NumberKind::Float(_) | NumberKind::Formula(_) => None,
        }
    }

    /// The integer, if it is one and has no symbols.
    pub fn as_int(&self) -> Option<i64> {
        self.as_size().and_then(|size| size.dim.as_const())
    }

    /// The value, if there are no symbols in it.
    pub fn as_f64(&self) -> Option<f64> {
        match &self.kind {
            NumberKind::Int(size) => size.dim.as_const().map(|value| value as f64),
            NumberKind::Float(value) => Some(*value),
            NumberKind::Formula(_) => None,
        }
    }

    /// The number as an argument of type `dtype` has it; floats are rounded as that dtype rounds.
    pub fn typed(mut self, dtype: DType) -> Number {
        if let (NumberKind::Float(value), DType::F32) = (&mut self.kind, dtype) {
            *value = f64::from(*value as f32);
        }
        self.dtype = Some(dtype);
        self
    }

    /// An integer as its dtype holds it: what does not fit wraps around, as when the program runs.
    pub fn wrapped(mut self) -> Number {
        let range = self.dtype.and_then(DType::integers);
        let (Some((low, high)), NumberKind::Int(size)) = (range, &mut self.kind) else { return self };
        if let Some(value) = size.dim.as_const().filter(|value| !(low..=high).contains(value)) {
            let (low, count) = (i128::from(low), i128::from(high) - i128::from(low) + 1);
            let inside = low + (i128::from(value) - low).rem_euclid(count);
            *size = Size::plain(Dim::from(i64::try_from(inside).unwrap_or(value)));
        }
        self
    }

    fn rounded(self, dtype: Option<DType>) -> Number {
        match dtype {
            Some(dtype) => self.typed(dtype),
            None => self,
        }
    }
}

/// Why two numbers could not be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// A size beyond what can be computed with.
    Overflow,
    /// `/` of integers with a remainder, or not known to have none.
    NotExact,
    /// Division by zero, or by a size that is not a positive number.
    Divisor,
    /// Operands with different dtypes.
    DTypes(DType, DType),
    /// An integer power that is negative or not a number.
    Exponent,
}

impl From<SizeError> for NumberError {
    fn from(error: SizeError) -> NumberError {
        match error {
            SizeError::Overflow => NumberError::Overflow,
            SizeError::NotExact => NumberError::NotExact,
            SizeError::BadDivisor => NumberError::Divisor,
        }
    }
}

/// The dtype of a result of two numbers.
pub(crate) fn common_dtype(a: &Number, b: &Number) -> Result<Option<DType>, NumberError> {
    match (a.dtype, b.dtype) {
        (Some(left), Some(right)) if left != right => Err(NumberError::DTypes(left, right)),
        (left, right) => Ok(left.or(right)),
    }
}

/// `a op b`. `Div` of two integers must be exact; `FloorDiv` is `floor(a / b)`.
pub(crate) fn binary(op: BinaryOp, a: &Number, b: &Number) -> Result<Number, NumberError> {
    let dtype = common_dtype(a, b)?;
    if let (Some(left), Some(right)) = (a.as_size(), b.as_size()) {
        let (left, right) = (left.clone(), right.clone());
        if dtype.is_none_or(|dtype| !dtype.is_float()) {
            return Ok(Number { kind: NumberKind::Int(size_binary(op, &left, &right)?), dtype }.wrapped());
        }
    }
    match (a.as_f64(), b.as_f64()) {
        (Some(left), Some(right)) => Ok(Number::float(float_binary(op, left, right)).rounded(dtype)),
        _ => Ok(Number { dtype, ..Number::formula(Formula::Binary(op, a.clone(), b.clone())) }),
    }
}

fn size_binary(op: BinaryOp, a: &Size, b: &Size) -> Result<Size, NumberError> {
    let (x, y) = (&a.dim, &b.dim);
    let dim = match op {
        BinaryOp::Add => x.add(y)?,
        BinaryOp::Sub => x.sub(y)?,
        BinaryOp::Mul => x.mul(y)?,
        BinaryOp::Div => exact_div(x, y)?,
        BinaryOp::FloorDiv => floor_div(x, y)?,
        BinaryOp::Rem => x.sub(&floor_div(x, y)?.mul(y)?)?,
        BinaryOp::Pow => power(x, y)?,
        BinaryOp::Max => x.max(y)?,
        BinaryOp::Min => x.add(y)?.sub(&x.max(y)?)?,
        BinaryOp::And | BinaryOp::Or => return Err(NumberError::Divisor),
    };
    Ok(Size { why: arithmetic(op, a, b), ..Size::plain(dim) })
}

/// `7 * 7 * 64` for a product of numbers; nothing for the rest.
fn arithmetic(op: BinaryOp, a: &Size, b: &Size) -> Option<Rc<str>> {
    let (BinaryOp::Mul, Some(x), Some(y)) = (op, a.dim.as_const(), b.dim.as_const()) else { return None };
    let part =
        |why: &Option<Rc<str>>, value: i64| why.as_ref().map_or_else(|| value.to_string(), |why| why.to_string());
    let text = format!("{} * {}", part(&a.why, x), part(&b.why, y));
    (text.len() < 80).then(|| text.into())
}

fn exact_div(a: &Dim, b: &Dim) -> Result<Dim, NumberError> {
    match (a.as_const(), b.as_const()) {
        (_, Some(0)) => Err(NumberError::Divisor),
        (Some(x), Some(y)) if x.checked_rem(y) == Some(0) => Ok(Dim::from(x / y)),
        _ => Ok(a.exact_div(b)?),
    }
}

fn floor_div(a: &Dim, b: &Dim) -> Result<Dim, NumberError> {
    match (a.as_const(), b.as_const()) {
        (_, Some(0)) => Err(NumberError::Divisor),
        (Some(x), Some(y)) => {
            let quotient = x.checked_div(y).ok_or(NumberError::Overflow)?;
            let down = x % y != 0 && ((x < 0) != (y < 0));
            Ok(Dim::from(quotient - i64::from(down)))
        }
        (None, Some(y)) => Ok(a.floor_div(y)?),
        (_, None) => Ok(a.exact_div(b)?),
    }
}

fn power(a: &Dim, b: &Dim) -> Result<Dim, NumberError> {
    let exponent = b.as_const().filter(|value| (0..=64).contains(value)).ok_or(NumberError::Exponent)?;
    (0..exponent).try_fold(Dim::one(), |product, _| product.mul(a)).map_err(NumberError::from)
}

fn float_binary(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::FloorDiv => (a / b).floor(),
        BinaryOp::Rem => a - (a / b).floor() * b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
        BinaryOp::Max if a.is_nan() || b.is_nan() => f64::NAN,
        BinaryOp::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        BinaryOp::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        BinaryOp::And | BinaryOp::Or => f64::NAN,
    }
}

/// `op a`: integers stay integers under `neg abs sign floor ceil round`.
pub(crate) fn unary(op: UnaryOp, a: &Number) -> Result<Number, NumberError> {
    if let Some(size) = a.as_size() {
        match (op, size.dim.as_const()) {
            (UnaryOp::Neg, _) => {
                let dim = Dim::zero().sub(&size.dim)?;
                return Ok(Number { kind: NumberKind::Int(Size::plain(dim)), dtype: a.dtype }.wrapped());
            }
            (UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round, _) => return Ok(a.clone()),
            (UnaryOp::Abs, Some(value)) => {
                let value = value.checked_abs().ok_or(NumberError::Overflow)?;
                return Ok(Number { dtype: a.dtype, ..Number::int(value) }.wrapped());
            }
            (UnaryOp::Sign, Some(value)) => return Ok(Number { dtype: a.dtype, ..Number::int(value.signum()) }),
            _ => {}
        }
    }
    match (a.as_f64(), float_unary(op)) {
        (Some(value), Some(f)) => Ok(Number::float(f(value)).rounded(a.dtype)),
        _ => Ok(Number { dtype: a.dtype, ..Number::formula(Formula::Unary(op, a.clone())) }),
    }
}

fn float_unary(op: UnaryOp) -> Option<fn(f64) -> f64> {
    Some(match op {
        UnaryOp::Neg => |x| -x,
        UnaryOp::Abs => f64::abs,
        UnaryOp::Sign => |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        },
        UnaryOp::Floor => f64::floor,
        UnaryOp::Ceil => f64::ceil,
        UnaryOp::Round => f64::round_ties_even,
        UnaryOp::Exp => f64::exp,
        UnaryOp::Log => f64::ln,
        UnaryOp::Sin => f64::sin,
        UnaryOp::Cos => f64::cos,
        UnaryOp::Tanh => f64::tanh,
        UnaryOp::Sqrt => f64::sqrt,
        UnaryOp::Erf | UnaryOp::Not => return None,
    })
}

/// `a op b` where it does not depend on symbols.
pub(crate) fn compare(op: CompareOp, a: &Number, b: &Number) -> Option<bool> {
    if let (Some(left), Some(right)) = (a.as_size(), b.as_size()) {
        return compare_sizes(op, &left.dim, &right.dim);
    }
    let (left, right) = (a.as_f64()?, b.as_f64()?);
    Some(match op {
        CompareOp::Eq => left == right,
        CompareOp::Ne => left != right,
        CompareOp::Lt => left < right,
        CompareOp::Le => left <= right,
        CompareOp::Gt => left > right,
        CompareOp::Ge => left >= right,
    })
}

/// `a op b` for all values of the symbols, or `None`.
pub(crate) fn compare_sizes(op: CompareOp, a: &Dim, b: &Dim) -> Option<bool> {
    let (low, high) = a.sub(b).ok()?.range();
    match op {
        CompareOp::Eq if a == b => Some(true),
        CompareOp::Eq => (low > 0 || high < 0).then_some(false),
        CompareOp::Ne => compare_sizes(CompareOp::Eq, a, b).map(|equal| !equal),
        CompareOp::Lt => decided(high < 0, low >= 0),
        CompareOp::Le => decided(high <= 0, low > 0),
        CompareOp::Gt => decided(low > 0, high <= 0),
        CompareOp::Ge => decided(low >= 0, high < 0),
    }
}

fn decided(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(op: BinaryOp, a: i64, b: i64) -> Result<Option<i64>, NumberError> {
        binary(op, &Number::int(a), &Number::int(b)).map(|number| number.as_int())
    }

    #[test]
    fn integer_division_is_exact_or_an_error() {
        assert_eq!(int(BinaryOp::Div, 12, 4), Ok(Some(3)));
        assert_eq!(int(BinaryOp::Div, 13, 4), Err(NumberError::NotExact));
        assert_eq!(int(BinaryOp::Div, 1, 0), Err(NumberError::Divisor));
        assert_eq!(int(BinaryOp::FloorDiv, -7, 2), Ok(Some(-4)));
        assert_eq!(int(BinaryOp::Rem, -7, 2), Ok(Some(1)));
        assert_eq!(int(BinaryOp::FloorDiv, i64::MIN, -1), Err(NumberError::Overflow));
    }

    #[test]
    fn overflow_is_an_error() {
        assert_eq!(int(BinaryOp::Mul, 1 << 62, 4), Err(NumberError::Overflow));
        assert_eq!(int(BinaryOp::Pow, 2, 64), Err(NumberError::Overflow));
        assert_eq!(int(BinaryOp::Pow, 2, -1), Err(NumberError::Exponent));
    }

    #[test]
    fn integers_of_a_dtype_wrap_around() {
        let typed = |value: i64, dtype| Number::int(value).typed(dtype);
        let sum = |dtype, a, b| binary(BinaryOp::Add, &typed(a, dtype), &Number::int(b)).unwrap().as_int();
        assert_eq!(sum(DType::I32, i64::from(i32::MAX), 1), Some(i64::from(i32::MIN)));
        assert_eq!(sum(DType::U8, 200, 100), Some(44));
        assert_eq!(sum(DType::I64, 9_000_000_000, 1), Some(9_000_000_001));
        assert_eq!(unary(UnaryOp::Neg, &typed(1, DType::U8)).unwrap().as_int(), Some(255));
        let least = unary(UnaryOp::Abs, &typed(-128, DType::I8)).unwrap();
        assert_eq!((least.as_int(), least.dtype), (Some(-128), Some(DType::I8)));
    }

    #[test]
    fn products_remember_their_arithmetic() {
        let product = binary(BinaryOp::Mul, &Number::int(7), &Number::int(7)).unwrap();
        let product = binary(BinaryOp::Mul, &product, &Number::int(64)).unwrap();
        assert_eq!(product.as_size().and_then(|size| size.why.clone()).as_deref(), Some("7 * 7 * 64"));
    }
}
