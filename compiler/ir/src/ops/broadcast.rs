//! Repetition along axes.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::graph::Value;
use crate::index::{Definition, Expr, Ix};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::{Shape, Type};

/// `(x) -> [shape]`: axis k of `x` becomes axis `axes[k]` of the result, where its extent is the
/// result's or the number 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// Shape of the result.
    pub shape: Shape,
    /// One for each axis of the operand, strictly rising.
    pub axes: Vec<usize>,
}

impl Broadcast {
    /// Axes of the result that the operand does not have or has only once.
    fn repeated(&self, x: &Type) -> (Vec<usize>, Vec<usize>) {
        let stretched = (0..self.axes.len()).filter(|k| x.shape[*k].is(1) && !self.shape[self.axes[*k]].is(1));
        let stretched: Vec<usize> = stretched.map(|k| self.axes[k]).collect();
        let new = (0..self.shape.len()).filter(|axis| !self.axes.contains(axis)).collect();
        (new, stretched)
    }
}

impl Primitive for Broadcast {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "broadcast",
            class: Class::View,
            doc: "`y[i] = x[i[axes[0]], i[axes[1]], …]`, with coordinate 0 where `x` has extent 1.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require(self.axes.len() == x.rank(), "broadcast needs one axis of the result for each of the operand")?;
        require_axes(&self.axes, self.shape.len())?;
        for (k, axis) in self.axes.iter().enumerate() {
            if x.shape[k] != self.shape[*axis] && !x.shape[k].is(1) {
                return refuse(format!("axis {k} fits neither axis {axis} of the result nor 1"));
            }
        }
        one(x.dtype, self.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let from = |index: &[usize]| {
            let place = self.axes.iter().zip(&x.shape).map(|(axis, extent)| index[*axis].min(extent - 1));
            Some(x.offset(&place.collect::<Vec<_>>()))
        };
        vec![x.pick(&extents(&results[0]), Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let x = cx.ty(cx.arg(0));
        if !x.dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| self.summed(cx, &x))]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Broadcast { shape: with.dims(&self.shape)?, axes: self.axes.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axes", Attribute::positions(&self.axes))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let x = args[0];
        let place = |(k, to): (usize, &usize)| if x.shape[k].is(1) { Ix::constant(0) } else { axis(*to) };
        Definition::Map(Expr::operand(0, self.axes.iter().enumerate().map(place).collect(), x.dtype))
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], to: &[i64], axes: &[usize]| {
            case(Broadcast { shape: dims(to), axes: axes.to_vec() }, 1, &[f32s(x)])
        };
        vec![
            sample(&[], &[2, 3], &[]),
            sample(&[3], &[2, 3], &[1]),
            sample(&[2, 1, 3], &[2, 4, 3, 2], &[0, 1, 2]),
            sample(&[1, 1], &[1, 5], &[0, 1]),
        ]
    }
}

impl Broadcast {
    /// The adjoint summed over the repetitions, under the operand's shape.
    fn summed(&self, cx: &mut VjpCx<'_>, x: &Type) -> Value {
        let (mut axes, stretched) = self.repeated(x);
        axes.extend(stretched);
        axes.sort_unstable();
        let d = cx.adjoint(0);
        let sum = cx.sum(d, axes);
        cx.reshape(sum, &x.shape)
    }
}
