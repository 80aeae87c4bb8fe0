//! Axes read backwards.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr, Ix};
use crate::scalar::Literal;
use crate::tensor::Tensor;
use crate::ty::Type;

/// `(x) -> type of x`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reverse {
    /// Which axes, rising.
    pub axes: Vec<usize>,
}

impl Primitive for Reverse {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "reverse",
            class: Class::View,
            doc: "`y[…, i, …] = x[…, size - 1 - i, …]` along each of `axes`.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require_axes(&self.axes, x.rank())?;
        one(x.dtype, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let from = |index: &[usize]| {
            let mut index = index.to_vec();
            for axis in &self.axes {
                index[*axis] = x.shape[*axis] - 1 - index[*axis];
            }
            Some(x.offset(&index))
        };
        vec![x.pick(&x.shape, Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| {
            let d = cx.adjoint(0);
            cx.node(self.clone(), &[d])
        })]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axes", Attribute::positions(&self.axes))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let x = args[0];
        let place = |n: usize| match self.axes.contains(&n) {
            true => Ix::constant(x.shape[n].clone()).plus(-1).sub(axis(n)),
            false => axis(n),
        };
        Definition::Map(Expr::operand(0, (0..x.rank()).map(place).collect(), x.dtype))
    }

    fn cases() -> Vec<Case> {
        vec![
            case(Reverse { axes: vec![1] }, 1, &[f32s(&[2, 3])]),
            case(Reverse { axes: vec![0, 2] }, 1, &[f32s(&[2, 3, 4])]),
        ]
    }
}
