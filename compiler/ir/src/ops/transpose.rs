//! Axes in another order.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::Type;

/// `(x)`: axis k of the result is axis `perm[k]` of `x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// A permutation of the axes.
    pub perm: Vec<usize>,
}

impl Transpose {
    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.perm.len()];
        for (to, from) in self.perm.iter().enumerate() {
            inverse[*from] = to;
        }
        inverse
    }
}

impl Primitive for Transpose {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "transpose",
            class: Class::View,
            doc: "The axes in another order: axis k of the result is axis `perm[k]` of the operand.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        require(sorted.into_iter().eq(0..x.rank()), "transpose must name every axis once")?;
        one(x.dtype, self.perm.iter().map(|axis| x.shape[*axis].clone()).collect::<Vec<_>>())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let inverse = self.inverse();
        let from = |index: &[usize]| Some(x.offset(&inverse.iter().map(|axis| index[*axis]).collect::<Vec<_>>()));
        vec![x.pick(&extents(&results[0]), Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| {
            let d = cx.adjoint(0);
            cx.transpose(d, self.inverse())
        })]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("perm", Attribute::positions(&self.perm))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(Expr::operand(0, self.inverse().into_iter().map(axis).collect(), args[0].dtype))
    }

    fn cases() -> Vec<Case> {
        vec![
            case(Transpose { perm: vec![1, 0] }, 1, &[f32s(&[2, 3])]),
            case(Transpose { perm: vec![2, 0, 1] }, 1, &[f32s(&[2, 3, 4])]),
        ]
    }
}
