//! A regular part of a tensor.

use super::concat::Concat;
use super::pad::Pad;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::graph::Value;
use crate::index::{Definition, Expr};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::Type;

/// `(x) -> [sizes]`, one entry of each list for each axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First coordinate.
    pub starts: Vec<Dim>,
    /// Number of coordinates.
    pub sizes: Vec<Dim>,
    /// Distance of coordinates, at least 1.
    pub steps: Vec<i64>,
}

impl Primitive for Slice {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "slice",
            class: Class::View,
            doc: "`y[i] = x[starts + i * steps]`",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        let ranks = [self.starts.len(), self.sizes.len(), self.steps.len()];
        require(ranks == [x.rank(); 3], "slice needs a start, a size and a step for each axis")?;
        require(self.steps.iter().all(|step| *step >= 1), "the step of a slice is at least 1")?;
        for axis in 0..x.rank() {
            let outside = always_negative(&self.starts[axis]) || always_negative(&self.rest(axis, &x.shape[axis])?);
            if outside || always_negative(&self.sizes[axis]) {
                return refuse(format!("the slice leaves axis {axis}"));
            }
        }
        one(x.dtype, self.sizes.clone())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let starts: Vec<i64> = self.starts.iter().map(number).collect();
        let from = |index: &[usize]| {
            let place = index.iter().zip(&starts).zip(&self.steps).map(|((i, start), step)| start + *i as i64 * step);
            x.offset_within(&place.collect::<Vec<_>>())
        };
        vec![x.pick(&extents(&results[0]), Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| self.placed(cx))]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        let (starts, sizes) = (with.dims(&self.starts)?, with.dims(&self.sizes)?);
        Ok(Slice { starts, sizes, steps: self.steps.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut list = vec![("starts", Attribute::Dims(self.starts.clone()))];
        if self.steps.iter().any(|step| *step != 1) {
            list.push(("steps", Attribute::Ints(self.steps.clone())));
        }
        list
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let place = |n: usize| axis(n).times(self.steps[n]).plus(self.starts[n].clone());
        Definition::Map(Expr::operand(0, (0..self.steps.len()).map(place).collect(), args[0].dtype))
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], starts: &[i64], sizes: &[i64], steps: &[i64]| {
            case(Slice { starts: dims(starts), sizes: dims(sizes), steps: steps.to_vec() }, 1, &[f32s(x)])
        };
        vec![
            sample(&[5], &[1], &[3], &[1]),
            sample(&[7, 4], &[1, 0], &[3, 2], &[2, 3]),
            sample(&[3, 4], &[0, 0], &[3, 4], &[1, 1]),
            sample(&[6], &[5], &[1], &[4]),
        ]
    }
}

impl Slice {
    /// Coordinates behind the last one taken: `extent - (start + (size - 1) * step + 1)`.
    fn rest(&self, axis: usize, extent: &Dim) -> Result<Dim, SizeError> {
        let span = self.sizes[axis].sub(&Dim::one())?.mul(&Dim::from(self.steps[axis]))?;
        extent.sub(&self.starts[axis])?.sub(&span)?.sub(&Dim::one())
    }

    /// The adjoint put where it came from, with zeros around: one pad where the distances are
    /// numbers, blocks of zeros where they are not.
    fn placed(&self, cx: &mut VjpCx<'_>) -> Value {
        let x = cx.ty(cx.arg(0));
        let rank = x.rank();
        let (mut low, mut high, mut blocks) = (vec![0; rank], vec![0; rank], Vec::new());
        for axis in 0..rank {
            let rest = match self.rest(axis, &x.shape[axis]) {
                Ok(rest) => rest,
                Err(error) => crate::internal_error("slice", &format!("a checked size overflows: {error:?}")),
            };
            match (self.starts[axis].as_const(), rest.as_const()) {
                (Some(before), Some(after)) => (low[axis], high[axis]) = (before, after),
                _ => blocks.push((axis, self.starts[axis].clone(), rest)),
            }
        }
        let interior: Vec<i64> = self.steps.iter().map(|step| step - 1).collect();
        let mut d = cx.adjoint(0);
        if low.iter().chain(&high).chain(&interior).any(|amount| *amount != 0) {
            let fill = Literal::zero(x.dtype);
            d = cx.node(Pad { low, high, interior, fill }, &[d]);
        }
        for (axis, before, after) in blocks {
            let parts = [zero_block(cx, d, axis, before), Some(d), zero_block(cx, d, axis, after)];
            let parts: Vec<Value> = parts.into_iter().flatten().collect();
            d = cx.node(Concat { axis }, &parts);
        }
        d
    }
}

/// Zeros as `like`, with another size along `axis`.
fn zero_block(cx: &mut VjpCx<'_>, like: Value, axis: usize, size: Dim) -> Option<Value> {
    if size.is(0) {
        return None;
    }
    let mut ty = cx.ty(like);
    ty.shape[axis] = size;
    Some(cx.b.full(ty.dtype, 0.0, &ty.shape))
}

fn number(dim: &Dim) -> i64 {
    match dim.as_const() {
        Some(value) => value,
        None => crate::internal_error("slice", "evaluated with a symbolic size"),
    }
}
