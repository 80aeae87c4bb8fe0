//! The identity that no gradient passes.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::Definition;
use crate::tensor::Tensor;
use crate::ty::Type;

/// `(x) -> x`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StopGradient;

impl Primitive for StopGradient {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "stop_gradient",
            class: Class::Elementwise,
            doc: "`x`, as a constant for the gradient.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        one(x.dtype, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        vec![args[0].clone()]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::StopGradient)]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(StopGradient.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(same_element(0, args[0]))
    }

    fn cases() -> Vec<Case> {
        vec![case(StopGradient, 1, &[f32s(&[2, 3])])]
    }
}
