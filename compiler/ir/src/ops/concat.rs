//! Tensors one behind the other.

use super::slice::Slice;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Cond, Definition, Expr, Ix, result_axes};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::Type;

/// `(x, y, …)`, equal but along `axis`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// Along which.
    pub axis: usize,
}

impl Primitive for Concat {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "concat",
            class: Class::View,
            doc: "The operands one behind the other along `axis`.",
            arity: Arity::AtLeast(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let Some((first, rest)) = args.split_first() else { return refuse("concat needs an operand") };
        require_axis(self.axis, first.rank())?;
        let mut shape = first.shape.clone();
        for other in rest {
            let mut resized = (*other).clone();
            require_axis(self.axis, other.rank())?;
            resized.shape[self.axis] = first.shape[self.axis].clone();
            require_same(first, &resized)?;
            shape[self.axis] = shape[self.axis].add(&other.shape[self.axis])?;
        }
        one(first.dtype, shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let mut result = Tensor::zeros(results[0].dtype, &extents(&results[0]));
        let mut start = 0;
        for part in args {
            for (at, mut index) in crate::tensor::each_index(&part.shape).enumerate() {
                index[self.axis] += start;
                let to = result.offset(&index);
                result.set(to, part.literal(at));
            }
            start += part.shape[self.axis];
        }
        vec![result]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let mut start = Dim::zero();
        let mut adjoints = Vec::with_capacity(cx.args().len());
        for i in 0..cx.args().len() {
            let part = cx.ty(cx.arg(i));
            if !part.dtype.is_float() {
                adjoints.push(Adj::Zero(Reason::Integer));
                continue;
            }
            let mut starts = vec![Dim::zero(); part.rank()];
            starts[self.axis] = start.clone();
            start = match start.add(&part.shape[self.axis]) {
                Ok(next) => next,
                Err(error) => crate::internal_error("concat", &format!("a checked size overflows: {error:?}")),
            };
            let op = Slice { starts, steps: vec![1; part.rank()], sizes: part.shape };
            adjoints.push(cx.give(i, |cx| {
                let d = cx.adjoint(0);
                cx.node(op, &[d])
            }));
        }
        adjoints
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::position(self.axis))]
    }

    /// `select(i < end 0, x0[i], select(i < end 1, x1[i - end 0], …))`; every read is guarded.
    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let mut start = Ix::constant(0);
        let mut parts = Vec::with_capacity(args.len());
        for (arg, part) in args.iter().enumerate() {
            let size = &part.shape[self.axis];
            let place = axis(self.axis).sub(start.clone());
            let [mut low, high] = Cond::within(&place, size);
            if arg == 0 {
                low = Cond::Zero(Ix::constant(0));
            }
            let mut within = vec![low];
            if args.len() > 1 && arg + 1 < args.len() {
                within.push(high.clone());
            }
            let mut index = result_axes(part.rank());
            index[self.axis] = place;
            parts.push((high, guarded(arg as u32, index, within, Literal::zero(part.dtype))));
            start = start.plus(size.clone());
        }
        let chain = parts.into_iter().rev().reduce(|(_, rest), (ends, part)| {
            let test = Box::new(Expr::Test(vec![ends.clone()]));
            (ends, Expr::Select(test, Box::new(part), Box::new(rest)))
        });
        match chain {
            Some((_, value)) => Definition::Map(value),
            None => crate::internal_error("concat", "no operands"),
        }
    }

    fn cases() -> Vec<Case> {
        vec![
            case(Concat { axis: 0 }, 1, &[f32s(&[2]), f32s(&[3]), f32s(&[1])]),
            case(Concat { axis: 1 }, 1, &[f32s(&[2, 3]), f32s(&[2, 1])]),
            case(Concat { axis: 0 }, 1, &[f32s(&[2, 2])]),
        ]
    }
}
