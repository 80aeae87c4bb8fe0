//! Elementwise ops of two operands of one type.

use super::support::*;
use super::{Arity, Attribute, Case, Class, Domain, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::graph::Value;
use crate::index::{Definition, Expr};
use crate::scalar::{BinaryOp, CompareOp, UnaryOp};
use crate::tensor::{Data, Tensor};
use crate::ty::{DType, Type};

/// `(a, b) -> type of a`; shapes and dtypes are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binary {
    /// Which function.
    pub op: BinaryOp,
}

/// All operators, for tables.
pub const ALL: [BinaryOp; 11] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::FloorDiv,
    BinaryOp::Rem,
    BinaryOp::Pow,
    BinaryOp::Min,
    BinaryOp::Max,
    BinaryOp::And,
    BinaryOp::Or,
];

impl Primitive for Binary {
    fn info(&self) -> OpInfo {
        let (name, doc, tolerance_ulp) = match self.op {
            BinaryOp::Add => ("add", "`a + b`; integers wrap.", 0),
            BinaryOp::Sub => ("sub", "`a - b`; integers wrap.", 0),
            BinaryOp::Mul => ("mul", "`a * b`; integers wrap.", 0),
            BinaryOp::Div => ("div", "`a / b`", 0),
            BinaryOp::FloorDiv => ("floor_div", "Integer quotient, rounded down; by zero: 0.", 0),
            BinaryOp::Rem => ("rem", "`a - floor(a / b) * b`; integers by zero: 0.", 2),
            BinaryOp::Pow => ("pow", "`a^b`", 4),
            BinaryOp::Min => ("minimum", "The smaller; NaN if either is. The gradient at a tie goes to `b`.", 0),
            BinaryOp::Max => ("maximum", "The larger; NaN if either is. The gradient at a tie goes to `b`.", 0),
            BinaryOp::And => ("and", "Both.", 0),
            BinaryOp::Or => ("or", "Either.", 0),
        };
        OpInfo { name, class: Class::Elementwise, doc, arity: Arity::Exactly(2), tolerance_ulp }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [a, b] = operands(args)?;
        require_same(a, b)?;
        let takes = match self.op {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Min | BinaryOp::Max => a.dtype != DType::Bool,
            BinaryOp::Div | BinaryOp::Pow => a.dtype.is_float(),
            BinaryOp::FloorDiv => !a.dtype.is_float() && a.dtype != DType::Bool,
            BinaryOp::Rem => a.dtype != DType::Bool,
            BinaryOp::And | BinaryOp::Or => a.dtype == DType::Bool,
        };
        require(takes, &format!("`{}` does not take {}", self.info().name, a.dtype))?;
        one(a.dtype, a.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let (a, b) = (args[0], args[1]);
        vec![match &a.data {
            Data::Float(values) => {
                let pairs = values.iter().zip(b.floats());
                Tensor::floats_of(a.dtype, &a.shape, pairs.map(|(a, b)| float(self.op, *a, *b)))
            }
            Data::Int(values) => {
                let pairs = values.iter().zip(b.ints());
                Tensor::ints_of(a.dtype, &a.shape, pairs.map(|(a, b)| integer(self.op, *a, *b)))
            }
        }]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer); 2];
        }
        vec![cx.give(0, |cx| left(self.op, cx)), cx.give(1, |cx| right(self.op, cx))]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (a, b) = (same_element(0, args[0]), same_element(1, args[1]));
        Definition::Map(Expr::Binary(self.op, Box::new(a), Box::new(b)))
    }

    fn cases() -> Vec<Case> {
        ALL.into_iter().flat_map(samples).collect()
    }
}

fn samples(op: BinaryOp) -> Vec<Case> {
    let two = |dtype| vec![typed(dtype, &[3, 4]), typed(dtype, &[3, 4])];
    let positive = Domain { low: 0.3, high: 2.0, bound: 4 };
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Min | BinaryOp::Max => {
            let [word, byte, signed] = [DType::I32, DType::U8, DType::I8].map(|dtype| case(Binary { op }, 9, &two(dtype)));
            vec![case(Binary { op }, 1, &two(DType::F32)), word, byte, signed]
        }
        BinaryOp::Div | BinaryOp::Pow => vec![case_in(Binary { op }, positive, &two(DType::F32))],
        BinaryOp::FloorDiv => [DType::I64, DType::U8, DType::I8].map(|dtype| case(Binary { op }, 5, &two(dtype))).to_vec(),
        BinaryOp::Rem => {
            let [word, byte, signed] = [DType::I32, DType::U8, DType::I8].map(|dtype| case(Binary { op }, 5, &two(dtype)));
            vec![case_in(Binary { op }, positive, &two(DType::F32)), word, byte, signed]
        }
        BinaryOp::And | BinaryOp::Or => vec![case(Binary { op }, 2, &two(DType::Bool))],
    }
}

/// The function on floats.
pub fn float(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a - (a / b).floor() * b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Min | BinaryOp::Max if a.is_nan() => a,
        BinaryOp::Min => if a < b { a } else { b },
        BinaryOp::Max => if a > b { a } else { b },
        BinaryOp::FloorDiv | BinaryOp::And | BinaryOp::Or => {
            crate::internal_error("binary", &format!("{op:?} of floats"))
        }
    }
}

/// The function on integers or bools, before wrapping.
pub fn integer(op: BinaryOp, a: i64, b: i64) -> i64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::FloorDiv => floor_div(a, b),
        BinaryOp::Rem => a.wrapping_sub(floor_div(a, b).wrapping_mul(b)) * i64::from(b != 0),
        BinaryOp::Min => a.min(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::And => i64::from(a != 0 && b != 0),
        BinaryOp::Or => i64::from(a != 0 || b != 0),
        BinaryOp::Div | BinaryOp::Pow => crate::internal_error("binary", &format!("{op:?} of integers")),
    }
}

fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let (quotient, remainder) = (a.wrapping_div(b), a.wrapping_rem(b));
    quotient - i64::from(remainder != 0 && (remainder < 0) != (b < 0))
}

/// The adjoint of `a`.
fn left(op: BinaryOp, cx: &mut VjpCx<'_>) -> Value {
    let (d, a, b) = (cx.adjoint(0), cx.arg(0), cx.arg(1));
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Rem => d,
        BinaryOp::Mul => cx.mul(d, b),
        BinaryOp::Div => cx.div(d, b),
        BinaryOp::Pow => power_slope(cx, d, a, b),
        BinaryOp::Min => taken(cx, CompareOp::Lt, TakenBy::Left),
        BinaryOp::Max => taken(cx, CompareOp::Gt, TakenBy::Left),
        BinaryOp::FloorDiv | BinaryOp::And | BinaryOp::Or => integers_only(op),
    }
}

/// The adjoint of `b`.
fn right(op: BinaryOp, cx: &mut VjpCx<'_>) -> Value {
    let (d, a, b, y) = (cx.adjoint(0), cx.arg(0), cx.arg(1), cx.result(0));
    match op {
        BinaryOp::Add => d,
        BinaryOp::Sub => cx.neg(d),
        BinaryOp::Mul => cx.mul(d, a),
        BinaryOp::Div => {
            let (product, by) = (cx.mul(d, y), b);
            let quotient = cx.div(product, by);
            cx.neg(quotient)
        }
        BinaryOp::Rem => {
            let quotient = cx.div(a, b);
            let whole = cx.b.unary(UnaryOp::Floor, quotient);
            let product = cx.mul(d, whole);
            cx.neg(product)
        }
        BinaryOp::Pow => {
            let (zero, log) = (cx.number(0.0, a), cx.b.unary(UnaryOp::Log, a));
            let positive = cx.compare(CompareOp::Gt, a, zero);
            let slope = cx.mul(y, log);
            let slope = cx.select(positive, slope, zero);
            cx.mul(d, slope)
        }
        BinaryOp::Min => taken(cx, CompareOp::Lt, TakenBy::Right),
        BinaryOp::Max => taken(cx, CompareOp::Gt, TakenBy::Right),
        BinaryOp::FloorDiv | BinaryOp::And | BinaryOp::Or => integers_only(op),
    }
}

/// `d · b · a^(b-1)`, 0 where `b` is 0 even if `a` is.
fn power_slope(cx: &mut VjpCx<'_>, d: Value, a: Value, b: Value) -> Value {
    let (zero, one) = (cx.number(0.0, b), cx.number(1.0, b));
    let less = cx.sub(b, one);
    let power = cx.b.binary(BinaryOp::Pow, a, less);
    let slope = cx.mul(b, power);
    let constant = cx.compare(CompareOp::Eq, b, zero);
    let slope = cx.select(constant, zero, slope);
    cx.mul(d, slope)
}

#[derive(Clone, Copy)]
enum TakenBy {
    Left,
    Right,
}

/// The adjoint where the operand was taken; at a tie the second is. The result is better than `b` where `a` is,
/// and what follows keeps it, as a rule.
fn taken(cx: &mut VjpCx<'_>, better: CompareOp, side: TakenBy) -> Value {
    let (d, b, y) = (cx.adjoint(0), cx.arg(1), cx.result(0));
    let (first, zero) = (cx.compare(better, y, b), cx.number(0.0, d));
    match side {
        TakenBy::Left => cx.select(first, d, zero),
        TakenBy::Right => cx.select(first, zero, d),
    }
}

fn integers_only(op: BinaryOp) -> Value {
    crate::internal_error("binary", &format!("the gradient of {op:?}"))
}
