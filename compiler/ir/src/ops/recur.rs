//! Linear recurrences: each element is a multiple of the one before plus a term.

use super::pad::Pad;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::graph::Value;
use crate::index::{Definition, Start};
use crate::scalar::Literal;
use crate::tensor::{Data, Tensor, each_index, round_to};
use crate::ty::{DType, Type};

/// `(a, b) -> type of b`: the first element along `axis` is `b`, each other one `a` times the one
/// before plus `b`. Running products and filters are made of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recur {
    /// Along which axis.
    pub axis: usize,
    /// Which element is the first.
    pub from: Start,
}

impl Primitive for Recur {
    fn info(&self) -> OpInfo {
        let (name, doc) = match self.from {
            Start::Front => ("recur", "`y[i] = a[i] * y[i - 1] + b[i]` along `axis`; `y[0] = b[0]`."),
            Start::Back => ("recur_back", "`y[i] = a[i] * y[i + 1] + b[i]` along `axis`; the last is that of `b`."),
        };
        OpInfo { name, class: Class::Reduce, doc, arity: Arity::Exactly(2), tolerance_ulp: 8 }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [a, b] = operands(args)?;
        require_same(a, b)?;
        require_axis(self.axis, b.rank())?;
        require(b.dtype != DType::Bool, "a recurrence does not take bool")?;
        one(b.dtype, b.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let (a, b) = (args[0], args[1]);
        let extent = b.shape[self.axis];
        let mut lines = b.shape.clone();
        lines[self.axis] = 1;
        let line = |start: Vec<usize>| {
            let b = &b;
            (0..extent).map(move |step| {
                let mut at = start.clone();
                at[self.axis] = if self.from == Start::Front { step } else { extent - 1 - step };
                b.offset(&at)
            })
        };
        vec![match (&a.data, &b.data) {
            (Data::Float(a), Data::Float(values)) => {
                let mut result = vec![0.0; values.len()];
                for start in each_index(&lines) {
                    let mut last = None;
                    for at in line(start) {
                        let value = last.map_or(values[at], |last: f64| a[at] * last + values[at]);
                        (result[at], last) = (round_to(b.dtype, value), Some(value));
                    }
                }
                Tensor::floats_of(b.dtype, &b.shape, result)
            }
            _ => {
                let (a, values) = (a.ints(), b.ints());
                let mut result = vec![0; values.len()];
                for start in each_index(&lines) {
                    let mut last = None;
                    for at in line(start) {
                        let value =
                            last.map_or(values[at], |last: i64| a[at].wrapping_mul(last).wrapping_add(values[at]));
                        (result[at], last) = (value, Some(value));
                    }
                }
                Tensor::ints_of(b.dtype, &b.shape, result)
            }
        }]
    }

    /// The adjoint runs the other way with the factors moved by one: `g[i] = d[i] + a[i + 1] g[i + 1]`.
    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(1)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer); 2];
        }
        let factor = cx.give(0, |cx| {
            let g = self.pulled_back(cx);
            let y = cx.result(0);
            let before = self.moved(cx, y, 1);
            cx.mul(g, before)
        });
        vec![factor, cx.give(1, |cx| self.pulled_back(cx))]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::position(self.axis))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (factor, value) = (Some(same_element(0, args[0])), same_element(1, args[1]));
        Definition::Scan { axis: self.axis, from: self.from, factor, value }
    }

    fn cases() -> Vec<Case> {
        let both = |axis, x: Type| {
            [Start::Front, Start::Back].map(|from| case(Recur { axis, from }, 3, &[x.clone(), x.clone()]))
        };
        [
            both(0, f32s(&[5])),
            both(1, f32s(&[2, 4, 3])),
            both(1, f32s(&[2, 1])),
            both(0, typed(DType::I32, &[4])),
            both(0, typed(DType::I8, &[6])),
        ]
        .concat()
    }
}

impl Recur {
    fn pulled_back(&self, cx: &mut VjpCx<'_>) -> Value {
        let from = match self.from {
            Start::Front => Start::Back,
            Start::Back => Start::Front,
        };
        let (a, d) = (cx.arg(0), cx.adjoint(0));
        let factor = self.moved(cx, a, -1);
        cx.node(Recur { axis: self.axis, from }, &[factor, d])
    }

    /// `x` moved by so many places in the direction of the recurrence, zeros coming in.
    fn moved(&self, cx: &mut VjpCx<'_>, x: Value, places: i64) -> Value {
        let ty = cx.ty(x);
        let low = if self.from == Start::Front { places } else { -places };
        let along = |amount: i64| {
            let mut amounts = vec![0; ty.rank()];
            amounts[self.axis] = amount;
            amounts
        };
        let fill = Literal::zero(ty.dtype);
        cx.node(Pad { low: along(low), high: along(-low), interior: vec![0; ty.rank()], fill }, &[x])
    }
}
