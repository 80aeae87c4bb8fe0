//! A number.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::scalar::Literal;
use crate::tensor::Tensor;
use crate::ty::{DType, Type};

/// `() -> scalar`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// The number.
    pub value: Literal,
}

impl Primitive for Constant {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "constant",
            class: Class::Source,
            doc: "A number.",
            arity: Arity::Exactly(0),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [] = operands(args)?;
        one(self.value.dtype, [])
    }

    fn eval(&self, _args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        vec![Tensor::full(self.value, &[])]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        Vec::new()
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Constant { value: with.literal(self.value) }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("value", Attribute::Literal(self.value))]
    }

    fn lower(&self, _args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(Expr::Literal(self.value))
    }

    fn cases() -> Vec<Case> {
        let values =
            [Literal::from_f64(DType::F32, -1.5), Literal::from_i64(DType::I64, -7), Literal::from_i64(DType::Bool, 1)];
        values.into_iter().map(|value| case(Constant { value }, 1, &[])).collect()
    }
}
