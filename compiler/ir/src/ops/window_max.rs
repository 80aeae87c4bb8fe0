//! Maximum over windows, with the place where it is.

use super::support::*;
use super::window::{Windows, axes_from};
use super::window_unpick::WindowUnpick;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, VjpCx};
use crate::dim::SizeError;
use crate::index::{BestPart, Cond, Definition, Extreme};
use crate::scalar::Literal;
use crate::tensor::{Tensor, each_index, extents};
use crate::ty::{DType, Type};
use smallvec::smallvec;

/// `(x[N, *S, C]) -> (value[N, *O, C], offset u8[N, *O, C])`: the offset is the row-major number of
/// the place in the window. Padding counts as -inf; the first of equals, NaN before all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowMax {
    /// Extents of the window; at most 256 places.
    pub size: Vec<i64>,
    /// Distance of windows.
    pub strides: Vec<i64>,
    /// Padding before and behind, less than the window.
    pub pads: Vec<(i64, i64)>,
}

impl WindowMax {
    fn windows(&self) -> Windows<'_> {
        Windows { size: &self.size, strides: &self.strides, pads: &self.pads }
    }
}

impl Primitive for WindowMax {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "window_max",
            class: Class::Window,
            doc: "The largest of each window and its place: the first of equals, NaN before all; padding is -inf.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require(x.dtype.is_float(), "window_max takes floats")?;
        self.windows().check(x)?;
        let shape = self.windows().output_shape(x)?;
        Ok(smallvec![Type::new(x.dtype, shape.clone()), Type::new(DType::U8, shape)])
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, shape, windows) = (args[0], extents(&results[0]), self.windows());
        let (mut values, mut offsets) = (Vec::new(), Vec::new());
        for index in each_index(&shape) {
            let (mut best, mut place) = (f64::NEG_INFINITY, 0);
            for offset in 0..windows.places() {
                let mut at: Vec<i64> = index.iter().map(|i| *i as i64).collect();
                for (axis, k) in windows.place(offset).into_iter().enumerate() {
                    at[1 + axis] = windows.coordinate(axis, at[1 + axis], k);
                }
                let value = x.offset_within(&at).map_or(f64::NEG_INFINITY, |at| x.floats()[at]);
                if value > best || (value.is_nan() && !best.is_nan()) {
                    (best, place) = (value, offset);
                }
            }
            values.push(best);
            offsets.push(place);
        }
        vec![Tensor::floats_of(x.dtype, &shape, values), Tensor::ints_of(DType::U8, &shape, offsets)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![cx.give(0, |cx| {
            let (d, offset, shape) = (cx.adjoint(0), cx.result(1), cx.shape(cx.arg(0)));
            let WindowMax { size, strides, pads } = self.clone();
            let extents = shape[1..=size.len()].to_vec();
            cx.node(WindowUnpick { size, strides, pads, extents }, &[d, offset])
        })]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        self.windows().attributes()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (x, windows) = (args[0], self.windows());
        let rank = windows.rank();
        let k = axes_from(rank + 2, rank);
        let (mut index, mut within) = (axes_from(0, rank + 2), Vec::new());
        for (axis, k) in k.into_iter().enumerate() {
            let place = index[1 + axis].clone().times(self.strides[axis]).add(k).plus(-self.pads[axis].0);
            let [before, behind] = Cond::within(&place, &x.shape[1 + axis]);
            within.extend((self.pads[axis].0 > 0).then_some(before));
            within.extend((self.pads[axis].1 > 0).then_some(behind));
            index[1 + axis] = place;
        }
        let fill = Literal::from_f64(x.dtype, f64::NEG_INFINITY);
        Definition::Best {
            axes: windows.extents(),
            extreme: Extreme::Max,
            value: guarded(0, index, within, fill),
            results: vec![BestPart::Value, BestPart::Position],
        }
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], size: &[i64], strides: &[i64], pads: &[(i64, i64)]| {
            let (size, strides, pads) = (size.to_vec(), strides.to_vec(), pads.to_vec());
            case(WindowMax { size, strides, pads }, 1, &[f32s(x)])
        };
        vec![
            sample(&[2, 4, 6, 3], &[2, 2], &[2, 2], &[(0, 0), (0, 0)]),
            sample(&[1, 5, 5, 2], &[2, 2], &[2, 2], &[(0, 0), (0, 0)]),
            sample(&[1, 5, 6, 1], &[3, 2], &[2, 1], &[(1, 1), (0, 1)]),
            sample(&[2, 7, 1], &[3], &[1], &[(0, 0)]),
        ]
    }
}
