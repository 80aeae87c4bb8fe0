//! Values around and between the elements.

use super::slice::Slice;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::graph::Value;
use crate::index::{Cond, Definition};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::Type;

/// `(x)`: `low` before, `high` behind, `interior` between neighbours, for each axis. Negative `low`
/// and `high` crop (after the interior is put in).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Added before; negative: taken away.
    pub low: Vec<i64>,
    /// Added behind; negative: taken away.
    pub high: Vec<i64>,
    /// Put between neighbours.
    pub interior: Vec<i64>,
    /// What is added.
    pub fill: Literal,
}

impl Primitive for Pad {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "pad",
            class: Class::View,
            doc: "`y[low + i * (interior + 1)] = x[i]`, `fill` elsewhere; negative `low` and `high` crop.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        let ranks = [self.low.len(), self.high.len(), self.interior.len()];
        require(ranks == [x.rank(); 3], "pad needs three numbers for each axis")?;
        require(self.interior.iter().all(|amount| *amount >= 0), "interior padding is not negative")?;
        require(self.fill.dtype == x.dtype, "the fill value has another dtype")?;
        let mut shape = Vec::with_capacity(x.rank());
        for axis in 0..x.rank() {
            let size = self.size(axis, &x.shape[axis])?;
            require(!always_negative(&size), &format!("padding crops more than axis {axis} has"))?;
            shape.push(size);
        }
        one(x.dtype, shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let from = |index: &[usize]| {
            let mut place = Vec::with_capacity(index.len());
            for (axis, i) in index.iter().enumerate() {
                let (shifted, step) = (*i as i64 - self.low[axis], self.interior[axis] + 1);
                if shifted.rem_euclid(step) != 0 {
                    return None;
                }
                place.push(shifted.div_euclid(step));
            }
            x.offset_within(&place)
        };
        vec![x.pick(&extents(&results[0]), self.fill, from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| self.taken(cx))]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Pad { fill: with.literal(self.fill), ..self.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let ends = self.low.iter().copied().zip(self.high.iter().copied()).collect();
        let mut list = vec![("pads", Attribute::Pairs(ends))];
        if self.interior.iter().any(|amount| *amount != 0) {
            list.push(("interior", Attribute::Ints(self.interior.clone())));
        }
        list.push(("fill", Attribute::Literal(self.fill)));
        list
    }

    fn lower(&self, args: &[&Type], results: &[&Type]) -> Definition {
        let (mut index, mut within) = (Vec::new(), Vec::new());
        for (n, size) in args[0].shape.iter().enumerate() {
            let (shifted, step) = (axis(n).plus(-self.low[n]), self.interior[n] + 1);
            let place = shifted.clone().floor_div(step);
            within.push(Cond::Zero(shifted.modulo(step)));
            if self.low[n] > 0 {
                within.push(Cond::within(&place, size)[0].clone());
            }
            if self.passes_end(n, size, &results[0].shape[n]) {
                within.push(Cond::within(&place, size)[1].clone());
            }
            index.push(place);
        }
        Definition::Map(guarded(0, index, within, self.fill))
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], low: &[i64], high: &[i64], interior: &[i64], fill| {
            let (low, high, interior) = (low.to_vec(), high.to_vec(), interior.to_vec());
            let fill = Literal::from_f64(crate::ty::DType::F32, fill);
            case(Pad { low, high, interior, fill }, 1, &[f32s(x)])
        };
        vec![
            sample(&[3], &[1], &[2], &[0], 0.0),
            sample(&[3, 2], &[0, 1], &[-1, 0], &[2, 0], -1.0),
            sample(&[4], &[-1], &[-2], &[1], 0.5),
            sample(&[2, 3], &[0, 0], &[0, 0], &[0, 0], 0.0),
        ]
    }
}

impl Pad {
    /// `low + (size - 1) * (interior + 1) + 1 + high`
    fn size(&self, axis: usize, size: &Dim) -> Result<Dim, SizeError> {
        let last = size.sub(&Dim::one())?.mul(&Dim::from(self.interior[axis] + 1))?;
        let ends = self.low[axis].checked_add(self.high[axis]).and_then(|ends| ends.checked_add(1));
        last.add(&Dim::from(ends.ok_or(SizeError::Overflow)?))
    }

    /// Whether some coordinate of the result lies behind the last element.
    fn passes_end(&self, axis: usize, size: &Dim, result: &Dim) -> bool {
        let last = Dim::from(-self.low[axis] - 1).add(result).and_then(|last| last.floor_div(self.interior[axis] + 1));
        let spare = last.and_then(|last| size.sub(&Dim::one())?.sub(&last));
        !spare.is_ok_and(|spare| never_negative(&spare))
    }

    /// The adjoint of the elements: the padding cropped, then every `interior + 1`-th.
    fn taken(&self, cx: &mut VjpCx<'_>) -> Value {
        let x = cx.ty(cx.arg(0));
        let mut d = cx.adjoint(0);
        if self.low.iter().chain(&self.high).any(|amount| *amount != 0) {
            let (low, high) = (negated(&self.low), negated(&self.high));
            let interior = vec![0; x.rank()];
            d = cx.node(Pad { low, high, interior, fill: Literal::zero(x.dtype) }, &[d]);
        }
        if self.interior.iter().any(|amount| *amount != 0) {
            let steps = self.interior.iter().map(|amount| amount + 1).collect();
            d = cx.node(Slice { starts: vec![Dim::zero(); x.rank()], sizes: x.shape, steps }, &[d]);
        }
        d
    }
}

fn negated(values: &[i64]) -> Vec<i64> {
    values.iter().map(|value| -value).collect()
}
