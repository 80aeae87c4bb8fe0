//! Another shape for the same elements.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::Definition;
use crate::tensor::{Tensor, extents};
use crate::ty::{Shape, Type};

/// `(x) -> [shape]`, with as many elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// Shape of the result.
    pub shape: Shape,
}

impl Primitive for Reshape {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "reshape",
            class: Class::Alias,
            doc: "The same elements in row-major order under another shape.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        let result = Type::new(x.dtype, self.shape.clone());
        require(x.elements()? == result.elements()?, "reshape needs as many elements before as after")?;
        one(x.dtype, self.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        vec![args[0].reshaped(&extents(&results[0]))]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let x = cx.ty(cx.arg(0));
        if !x.dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| {
            let d = cx.adjoint(0);
            cx.reshape(d, &x.shape)
        })]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Reshape { shape: with.dims(&self.shape)? }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, _args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Alias
    }

    fn cases() -> Vec<Case> {
        let sample = |from: &[i64], to: &[i64]| case(Reshape { shape: dims(to) }, 1, &[f32s(from)]);
        vec![sample(&[6, 4], &[2, 3, 4]), sample(&[2, 3], &[6]), sample(&[1, 1], &[])]
    }
}
