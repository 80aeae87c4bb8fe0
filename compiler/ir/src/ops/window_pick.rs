//! One place of each window.

use super::support::*;
use super::window::{Windows, axes_from};
use super::window_unpick::WindowUnpick;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr, Index};
use crate::scalar::{BinaryOp, Literal};
use crate::tensor::{Tensor, extents};
use crate::ty::{DType, Type};

/// `(x[N, *S, C], offset u8[N, *O, C]) -> [N, *O, C]`: the value at the place that
/// [`super::window_max::WindowMax`] found. Coordinates are clamped into `x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowPick {
    /// Extents of the window; at most 256 places.
    pub size: Vec<i64>,
    /// Distance of windows.
    pub strides: Vec<i64>,
    /// Padding before and behind, less than the window.
    pub pads: Vec<(i64, i64)>,
}

impl WindowPick {
    fn windows(&self) -> Windows<'_> {
        Windows { size: &self.size, strides: &self.strides, pads: &self.pads }
    }
}

impl Primitive for WindowPick {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "window_pick",
            class: Class::Gather,
            doc: "The value at a given place of each window.",
            arity: Arity::Exactly(2),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x, offset] = operands(args)?;
        require(x.dtype.is_float() && offset.dtype == DType::U8, "window_pick takes floats and u8 offsets")?;
        self.windows().check(x)?;
        let result = Type::new(x.dtype, self.windows().output_shape(x)?);
        require_same_shape(&result, offset)?;
        one(x.dtype, result.shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, offset, windows) = (args[0], args[1], self.windows());
        let from = |index: &[usize]| {
            let mut at = index.to_vec();
            let place = windows.place(offset.ints()[offset.offset(index)]);
            for (axis, k) in place.into_iter().enumerate() {
                let place = windows.coordinate(axis, index[1 + axis] as i64, k);
                at[1 + axis] = place.clamp(0, x.shape[1 + axis] as i64 - 1) as usize;
            }
            Some(x.offset(&at))
        };
        vec![x.pick(&extents(&results[0]), Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let x = cx.give(0, |cx| {
            let (d, offset, shape) = (cx.adjoint(0), cx.arg(1), cx.shape(cx.arg(0)));
            let WindowPick { size, strides, pads } = self.clone();
            let extents = shape[1..=size.len()].to_vec();
            cx.node(WindowUnpick { size, strides, pads, extents }, &[d, offset])
        });
        vec![x, Adj::Zero(Reason::Index)]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        self.windows().attributes()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (x, offset, windows) = (args[0], args[1], self.windows());
        let rank = windows.rank();
        let own = axes_from(0, rank + 2);
        let number = Expr::Cast(DType::I32, Box::new(same_element(1, offset)));
        let mut index: Vec<Index> = own.iter().cloned().map(Index::At).collect();
        for axis in 0..rank {
            let behind: i64 = self.size[axis + 1..].iter().product();
            let k = remainder(quotient(number.clone(), behind), if axis == 0 { 256 } else { self.size[axis] });
            let start = own[1 + axis].clone().times(self.strides[axis]).plus(-self.pads[axis].0);
            let start = Expr::Position(DType::I32, start);
            let value = Box::new(Expr::Binary(BinaryOp::Add, Box::new(start), Box::new(k)));
            index[1 + axis] = Index::Data { value, bound: x.shape[1 + axis].clone() };
        }
        Definition::Map(Expr::Operand { arg: 0, index, within: Vec::new(), fill: Literal::zero(x.dtype) })
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], y: &[i64], size: &[i64], strides: &[i64], pads: &[(i64, i64)]| {
            let bound = size.iter().product();
            let op = WindowPick { size: size.to_vec(), strides: strides.to_vec(), pads: pads.to_vec() };
            case(op, bound, &[f32s(x), typed(DType::U8, y)])
        };
        vec![
            sample(&[2, 4, 6, 3], &[2, 2, 3, 3], &[2, 2], &[2, 2], &[(0, 0), (0, 0)]),
            sample(&[1, 5, 5, 1], &[1, 2, 4, 1], &[3, 2], &[2, 1], &[(0, 0), (0, 0)]),
        ]
    }
}

fn literal(value: i64) -> Box<Expr> {
    Box::new(Expr::Literal(Literal::from_i64(DType::I32, value)))
}

fn quotient(value: Expr, by: i64) -> Expr {
    if by == 1 { value } else { Expr::Binary(BinaryOp::FloorDiv, Box::new(value), literal(by)) }
}

fn remainder(value: Expr, by: i64) -> Expr {
    if by == 256 { value } else { Expr::Binary(BinaryOp::Rem, Box::new(value), literal(by)) }
}
