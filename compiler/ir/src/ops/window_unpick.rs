//! The adjoint of picking one place of each window.

use super::support::*;
use super::window::{Windows, axes_from};
use super::window_pick::WindowPick;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Combine, Cond, Definition, Expr, Ix};
use crate::scalar::{CompareOp, Literal};
use crate::tensor::{Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// `(dy[N, *O, C], offset u8[N, *O, C]) -> [N, *S, C]`: each `dy` is added at its place, places in
/// the padding are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowUnpick {
    /// Extents of the window; at most 256 places.
    pub size: Vec<i64>,
    /// Distance of windows.
    pub strides: Vec<i64>,
    /// Padding before and behind, less than the window.
    pub pads: Vec<(i64, i64)>,
    /// Spatial sizes of the result.
    pub extents: Vec<Dim>,
}

impl WindowUnpick {
    fn windows(&self) -> Windows<'_> {
        Windows { size: &self.size, strides: &self.strides, pads: &self.pads }
    }
}

impl Primitive for WindowUnpick {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "window_unpick",
            class: Class::Window,
            doc: "Adds each value at its place of its window; the adjoint of `window_pick`.",
            arity: Arity::Exactly(2),
            tolerance_ulp: 8,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [dy, offset] = operands(args)?;
        require(dy.dtype.is_float() && offset.dtype == DType::U8, "window_unpick takes floats and u8 offsets")?;
        require_same_shape(dy, offset)?;
        self.windows().check(dy)?;
        require(self.extents.len() == self.size.len(), "the result needs one size for each spatial axis")?;
        let mut x = dy.clone();
        x.shape[1..=self.size.len()].clone_from_slice(&self.extents);
        let output = Type::new(dy.dtype, self.windows().output_shape(&x)?);
        require_same_shape(&output, dy)?;
        one(x.dtype, x.shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (dy, offset, windows) = (args[0], args[1], self.windows());
        let shape = extents(&results[0]);
        let places = Tensor::zeros(DType::Bool, &shape);
        let mut sums = vec![0.0; places.len()];
        for (from, index) in each_index(&dy.shape).enumerate() {
            let mut at: Vec<i64> = index.iter().map(|i| *i as i64).collect();
            for (axis, k) in windows.place(offset.ints()[from]).into_iter().enumerate() {
                at[1 + axis] = windows.coordinate(axis, at[1 + axis], k);
            }
            if let Some(to) = places.offset_within(&at) {
                sums[to] += dy.floats()[from];
            }
        }
        vec![Tensor::floats_of(dy.dtype, &shape, sums)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let dy = cx.give(0, |cx| {
            let (d, offset) = (cx.adjoint(0), cx.arg(1));
            let WindowUnpick { size, strides, pads, .. } = self.clone();
            cx.node(WindowPick { size, strides, pads }, &[d, offset])
        });
        vec![dy, Adj::Zero(Reason::Index)]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(WindowUnpick { extents: with.dims(&self.extents)?, ..self.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        self.windows().attributes()
    }

    /// A choice where windows neither overlap nor leave gaps, else a sum over the places of a window.
    fn lower(&self, args: &[&Type], results: &[&Type]) -> Definition {
        let tiled = self.strides == self.size && self.pads.iter().all(|pad| *pad == (0, 0));
        if tiled { self.lower_tiled(args, results[0]) } else { self.lower_overlapping(args) }
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], y: &[i64], size: &[i64], strides: &[i64], pads: &[(i64, i64)]| {
            let bound = size.iter().product();
            let (size, strides, pads) = (size.to_vec(), strides.to_vec(), pads.to_vec());
            case(WindowUnpick { size, strides, pads, extents: dims(x) }, bound, &[f32s(y), typed(DType::U8, y)])
        };
        vec![
            sample(&[4, 6], &[2, 2, 3, 3], &[2, 2], &[2, 2], &[(0, 0), (0, 0)]),
            sample(&[5, 7], &[1, 2, 3, 2], &[2, 2], &[2, 2], &[(0, 0), (0, 0)]),
            sample(&[5, 5], &[1, 2, 4, 1], &[3, 2], &[2, 1], &[(0, 0), (0, 0)]),
        ]
    }
}

impl WindowUnpick {
    /// `select(offset[floor(s / size)] == s mod size, dy[floor(s / size)], 0)`
    fn lower_tiled(&self, args: &[&Type], result: &Type) -> Definition {
        let rank = self.size.len();
        let (mut index, mut within, mut place) = (axes_from(0, rank + 2), Vec::new(), Vec::new());
        for (n, size) in self.size.iter().enumerate() {
            let s = index[1 + n].clone();
            let o = s.clone().floor_div(*size);
            place.push(s.modulo(*size));
            // Rows that fill no window are left over at the end.
            if args[0].shape[1 + n].mul(&Dim::from(*size)).as_ref() != Ok(&result.shape[1 + n]) {
                within.push(Cond::within(&o, &args[0].shape[1 + n])[1].clone());
            }
            index[1 + n] = o;
        }
        Definition::Map(self.taken(args, index, within, &place))
    }

    /// `Σ over k with o = (s + low - k) / stride within the windows of select(offset[o] == k, dy[o], 0)`
    fn lower_overlapping(&self, args: &[&Type]) -> Definition {
        let rank = self.size.len();
        let k = axes_from(rank + 2, rank);
        let (mut index, mut within) = (axes_from(0, rank + 2), Vec::new());
        for n in 0..rank {
            let shifted = index[1 + n].clone().plus(self.pads[n].0).sub(k[n].clone());
            let o = shifted.clone().floor_div(self.strides[n]);
            within.extend(Cond::within(&o, &args[0].shape[1 + n]));
            within.push(Cond::Zero(shifted.modulo(self.strides[n])));
            index[1 + n] = o;
        }
        let value = self.taken(args, index, within, &k);
        Definition::Reduce { axes: self.windows().extents(), combine: Combine::Sum, value, blocks: None }
    }

    /// `select(offset[index] == number of place, dy[index], 0)`, 0 outside.
    fn taken(&self, args: &[&Type], index: Vec<Ix>, within: Vec<Cond>, place: &[Ix]) -> Expr {
        let offset = guarded(1, index.clone(), within.clone(), Literal::zero(DType::U8));
        let offset = Expr::Cast(DType::I32, Box::new(offset));
        let number = Expr::Position(DType::I32, self.windows().number(place));
        let here = Expr::Compare(CompareOp::Eq, Box::new(offset), Box::new(number));
        let zero = Literal::zero(args[0].dtype);
        let value = guarded(0, index, within, zero);
        Expr::Select(Box::new(here), Box::new(value), Box::new(Expr::Literal(zero)))
    }
}
