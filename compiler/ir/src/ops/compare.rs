//! Comparisons.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::scalar::CompareOp;
use crate::tensor::{Data, Tensor};
use crate::ty::{DType, Type};

/// `(a, b) -> bool`; shapes and dtypes are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// Which relation.
    pub op: CompareOp,
}

/// All relations, for tables.
pub const ALL: [CompareOp; 6] =
    [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

impl Primitive for Compare {
    fn info(&self) -> OpInfo {
        let (name, doc) = match self.op {
            CompareOp::Eq => ("equal", "`a == b`; false with NaN."),
            CompareOp::Ne => ("not_equal", "`a != b`; true with NaN."),
            CompareOp::Lt => ("less", "`a < b`; false with NaN."),
            CompareOp::Le => ("at_most", "`a <= b`; false with NaN."),
            CompareOp::Gt => ("greater", "`a > b`; false with NaN."),
            CompareOp::Ge => ("at_least", "`a >= b`; false with NaN."),
        };
        OpInfo { name, class: Class::Elementwise, doc, arity: Arity::Exactly(2), tolerance_ulp: 0 }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [a, b] = operands(args)?;
        require_same(a, b)?;
        one(DType::Bool, a.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let (a, b) = (args[0], args[1]);
        let truths: Vec<i64> = match &a.data {
            Data::Float(values) => values.iter().zip(b.floats()).map(|(a, b)| i64::from(holds(self.op, a, b))).collect(),
            Data::Int(values) => values.iter().zip(b.ints()).map(|(a, b)| i64::from(holds(self.op, a, b))).collect(),
        };
        vec![Tensor::ints_of(DType::Bool, &a.shape, truths)]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::Comparison); 2]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (a, b) = (same_element(0, args[0]), same_element(1, args[1]));
        Definition::Map(Expr::Compare(self.op, Box::new(a), Box::new(b)))
    }

    fn cases() -> Vec<Case> {
        let float = ALL.map(|op| case(Compare { op }, 1, &[f32s(&[4]), f32s(&[4])]));
        let int = |dtype| ALL.map(|op| case(Compare { op }, 3, &[typed(dtype, &[9]), typed(dtype, &[9])]));
        float.into_iter().chain([DType::I32, DType::I8].into_iter().flat_map(int)).collect()
    }
}

/// Whether `a op b`.
pub fn holds<T: PartialOrd>(op: CompareOp, a: T, b: T) -> bool {
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
    }
}
