//! A window of a tensor at a place that is known when the program runs.

use super::support::*;
use super::update_slice::UpdateSlice;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Definition, Expr, Index};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::{DType, Type};

/// `(x, start of axis 0, start of axis 1, …) -> [sizes]`: starts are i32 or i64 scalars and are
/// clamped so that the window lies within `x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SliceAt {
    /// Number of coordinates of each axis.
    pub sizes: Vec<Dim>,
}

impl Primitive for SliceAt {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "slice_at",
            class: Class::Gather,
            doc: "`y[i] = x[starts + i]`, with starts clamped so that the window fits.",
            arity: Arity::AtLeast(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let Some((x, starts)) = args.split_first() else { return refuse("slice_at needs an operand") };
        require_window(x, &self.sizes, starts)?;
        one(x.dtype, self.sizes.clone())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, sizes) = (args[0], extents(&results[0]));
        let starts = starts_of(&args[1..], &x.shape, &sizes);
        let from = |index: &[usize]| Some(x.offset(&shifted(index, &starts)));
        vec![x.pick(&sizes, Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let data = if cx.ty(cx.arg(0)).dtype.is_float() {
            cx.give(0, |cx| {
                let (d, zero) = (cx.adjoint(0), cx.number(0.0, cx.arg(0)));
                let operands: Vec<_> = [zero, d].into_iter().chain(cx.args()[1..].iter().copied()).collect();
                cx.node(UpdateSlice, &operands)
            })
        } else {
            Adj::Zero(Reason::Integer)
        };
        std::iter::once(data).chain(cx.args()[1..].iter().map(|_| Adj::Zero(Reason::Index))).collect()
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(SliceAt { sizes: with.dims(&self.sizes)? }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("sizes", Attribute::Dims(self.sizes.clone()))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (x, starts) = (args[0], &args[1..]);
        let place = |n: usize| match last_start(x, &self.sizes[n], n) {
            None => Index::At(axis(n)),
            Some(last) => {
                let start = Box::new(Expr::operand(1 + n as u32, Vec::new(), starts[n].dtype));
                Index::Window { start, last, at: axis(n) }
            }
        };
        let index = (0..x.rank()).map(place).collect();
        Definition::Map(Expr::Operand { arg: 0, index, within: Vec::new(), fill: Literal::zero(x.dtype) })
    }

    fn cases() -> Vec<Case> {
        let scalar = || typed(DType::I32, &[]);
        let sample = |x: &[i64], sizes: &[i64], bound| {
            let starts = x.iter().map(|_| scalar());
            case(SliceAt { sizes: dims(sizes) }, bound, &std::iter::once(f32s(x)).chain(starts).collect::<Vec<_>>())
        };
        vec![
            sample(&[6], &[3], 4),
            sample(&[3, 5], &[3, 2], 5),
            sample(&[2, 4, 3], &[1, 1, 2], 9),
            sample(&[], &[], 1),
            case(SliceAt { sizes: dims(&[2]) }, 5, &[typed(DType::I32, &[7]), typed(DType::I64, &[])]),
        ]
    }
}

/// A window of `sizes` lies in `x`, and there is a start for each axis.
pub(super) fn require_window(x: &Type, sizes: &[Dim], starts: &[&Type]) -> Result<(), InferError> {
    require([sizes.len(), starts.len()] == [x.rank(); 2], "a window needs a start and a size for each axis")?;
    let scalars = starts.iter().all(|start| matches!(start.dtype, DType::I32 | DType::I64) && start.rank() == 0);
    require(scalars, "the starts of a window are i32 or i64 scalars")?;
    for (axis, (size, extent)) in sizes.iter().zip(&x.shape).enumerate() {
        if always_negative(size) || always_negative(&extent.sub(size)?) {
            return refuse(format!("the window is larger than axis {axis}"));
        }
    }
    Ok(())
}

/// The starts, moved so that the window fits.
pub(super) fn starts_of(starts: &[&Tensor], extents: &[usize], sizes: &[usize]) -> Vec<usize> {
    let clamped = |((start, extent), size): ((&&Tensor, &usize), &usize)| {
        start.ints()[0].clamp(0, (*extent as i64 - *size as i64).max(0)) as usize
    };
    starts.iter().zip(extents).zip(sizes).map(clamped).collect()
}

/// `index + starts`
pub(super) fn shifted(index: &[usize], starts: &[usize]) -> Vec<usize> {
    index.iter().zip(starts).map(|(at, start)| at + start).collect()
}

/// Where a window of `size` starts at most along an axis; `None` where it is the whole axis.
pub(super) fn last_start(x: &Type, size: &Dim, axis: usize) -> Option<Dim> {
    match x.shape[axis].sub(size) {
        Ok(last) if last.is(0) => None,
        Ok(last) => Some(last),
        Err(error) => crate::internal_error("slice_at", &format!("a size that was checked before: {error:?}")),
    }
}
