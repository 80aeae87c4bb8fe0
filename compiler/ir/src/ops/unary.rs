//! Elementwise ops of one operand.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::scalar::UnaryOp;
use crate::tensor::{Data, Tensor};
use crate::ty::{DType, Type};

/// `(x) -> type of x`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unary {
    /// Which function.
    pub op: UnaryOp,
}

/// All operators, for tables.
pub const ALL: [UnaryOp; 14] = [
    UnaryOp::Neg,
    UnaryOp::Abs,
    UnaryOp::Sign,
    UnaryOp::Floor,
    UnaryOp::Ceil,
    UnaryOp::Round,
    UnaryOp::Exp,
    UnaryOp::Log,
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Tanh,
    UnaryOp::Sqrt,
    UnaryOp::Erf,
    UnaryOp::Not,
];

impl Primitive for Unary {
    fn info(&self) -> OpInfo {
        let (name, doc, tolerance_ulp) = match self.op {
            UnaryOp::Neg => ("neg", "`-x`; integers wrap.", 0),
            UnaryOp::Abs => ("abs", "`|x|`; the least integer stays. Gradient 0 at 0.", 0),
            UnaryOp::Sign => ("sign", "-1, 0 or 1; NaN stays. Gradient 0.", 0),
            UnaryOp::Floor => ("floor", "Largest integer not above x. Gradient 0.", 0),
            UnaryOp::Ceil => ("ceil", "Smallest integer not below x. Gradient 0.", 0),
            UnaryOp::Round => ("round", "Nearest integer, ties to even. Gradient 0.", 0),
            UnaryOp::Exp => ("exp", "`e^x`", 2),
            UnaryOp::Log => ("log", "Natural logarithm: NaN below 0, -inf at 0.", 2),
            UnaryOp::Sin => ("sin", "Sine of radians.", 2),
            UnaryOp::Cos => ("cos", "Cosine of radians.", 2),
            UnaryOp::Tanh => ("tanh", "Hyperbolic tangent.", 2),
            UnaryOp::Sqrt => ("sqrt", "Square root; NaN below 0.", 0),
            UnaryOp::Erf => ("erf", "Error function `2/sqrt(pi) ∫_0^x exp(-t²) dt`.", 4),
            UnaryOp::Not => ("not", "Negation of a bool.", 0),
        };
        OpInfo { name, class: Class::Elementwise, doc, arity: Arity::Exactly(1), tolerance_ulp }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        let takes = match self.op {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign => x.dtype != DType::Bool,
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Exp | UnaryOp::Log => x.dtype.is_float(),
            UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Tanh | UnaryOp::Sqrt | UnaryOp::Erf => x.dtype.is_float(),
            UnaryOp::Not => x.dtype == DType::Bool,
        };
        require(takes, &format!("`{}` does not take {}", self.info().name, x.dtype))?;
        one(x.dtype, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        vec![match &x.data {
            Data::Float(values) => {
                Tensor::floats_of(x.dtype, &x.shape, values.iter().map(|value| float(self.op, *value)))
            }
            Data::Int(values) => {
                Tensor::ints_of(x.dtype, &x.shape, values.iter().map(|value| integer(self.op, *value)))
            }
        }]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let flat = match self.op {
            UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => Some(Reason::Flat(self.info().name)),
            UnaryOp::Not => Some(Reason::Integer),
            _ if !cx.ty(cx.arg(0)).dtype.is_float() => Some(Reason::Integer),
            _ => None,
        };
        vec![match flat {
            Some(reason) => Adj::Zero(reason),
            None => cx.give(0, |cx| slope(self.op, cx)),
        }]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(Expr::Unary(self.op, Box::new(same_element(0, args[0]))))
    }

    fn cases() -> Vec<Case> {
        let mut cases: Vec<Case> = ALL.into_iter().map(sample).collect();
        for op in [UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Sign] {
            cases.extend([DType::I32, DType::U8, DType::I8].map(|dtype| case(Unary { op }, 5, &[typed(dtype, &[7])])));
        }
        cases
    }
}

/// A call where the function is smooth.
fn sample(op: UnaryOp) -> Case {
    match op {
        UnaryOp::Not => case(Unary { op }, 2, &[typed(DType::Bool, &[6])]),
        UnaryOp::Log | UnaryOp::Sqrt => {
            case_in(Unary { op }, super::Domain { low: 0.1, high: 3.0, bound: 1 }, &[f32s(&[3, 5])])
        }
        _ => case(Unary { op }, 1, &[f32s(&[3, 5])]),
    }
}

/// The function on a float.
pub fn float(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign if x == 0.0 || x.is_nan() => x,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Erf => erf(x),
        UnaryOp::Not => crate::internal_error("unary", "`not` of a float"),
    }
}

/// The function on an integer or bool, before wrapping.
pub fn integer(op: UnaryOp, x: i64) -> i64 {
    match op {
        UnaryOp::Neg => x.wrapping_neg(),
        UnaryOp::Abs => x.wrapping_abs(),
        UnaryOp::Sign => x.signum(),
        UnaryOp::Not => i64::from(x == 0),
        UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Exp | UnaryOp::Log | UnaryOp::Sin => float_only(op),
        UnaryOp::Cos | UnaryOp::Tanh | UnaryOp::Sqrt | UnaryOp::Erf => float_only(op),
    }
}

fn float_only(op: UnaryOp) -> i64 {
    crate::internal_error("unary", &format!("{op:?} of an integer"))
}

/// The error function to about 1e-15: the series `2/sqrt(pi) e^(-x²) Σ 2^n x^(2n+1) / (2n+1)!!`,
/// whose terms have one sign, up to 3, then the continued fraction of `erfc`.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() || a > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let scale = (-a * a).exp() / std::f64::consts::PI.sqrt();
    if a < 3.0 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 * sum.abs() {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 2.0 * scale * sum;
    }
    let fraction = (1..=80).rev().fold(a, |fraction, k| a + f64::from(k) / 2.0 / fraction);
    x.signum() * (1.0 - scale / fraction)
}

/// The adjoint of the operand where the derivative is not flat.
fn slope(op: UnaryOp, cx: &mut VjpCx<'_>) -> crate::graph::Value {
    let (d, x, y) = (cx.adjoint(0), cx.arg(0), cx.result(0));
    match op {
        UnaryOp::Neg => cx.neg(d),
        UnaryOp::Abs => {
            let sign = cx.b.unary(UnaryOp::Sign, x);
            cx.mul(d, sign)
        }
        UnaryOp::Exp => cx.mul(d, y),
        UnaryOp::Log => cx.div(d, x),
        UnaryOp::Sin => {
            let cos = cx.b.unary(UnaryOp::Cos, x);
            cx.mul(d, cos)
        }
        UnaryOp::Cos => {
            let sin = cx.b.unary(UnaryOp::Sin, x);
            let product = cx.mul(d, sin);
            cx.neg(product)
        }
        UnaryOp::Tanh => {
            let (one, square) = (cx.number(1.0, y), cx.mul(y, y));
            let slope = cx.sub(one, square);
            cx.mul(d, slope)
        }
        UnaryOp::Sqrt => {
            let half = cx.scale(d, 0.5);
            cx.div(half, y)
        }
        UnaryOp::Erf => {
            let square = cx.mul(x, x);
            let negated = cx.neg(square);
            let bell = cx.b.unary(UnaryOp::Exp, negated);
            let slope = cx.scale(bell, 2.0 / std::f64::consts::PI.sqrt());
            cx.mul(d, slope)
        }
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Not => {
            crate::internal_error("unary", "the slope of a flat function")
        }
    }
}
