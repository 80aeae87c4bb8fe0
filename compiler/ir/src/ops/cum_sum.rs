//! Running sums.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::Definition;
use crate::tensor::{Data, Tensor, each_index};
use crate::ty::{DType, Type};

pub use crate::index::Start;

/// `(x) -> type of x`: the sum of the elements along `axis` up to and with each one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CumSum {
    /// Along which axis.
    pub axis: usize,
    /// From which end.
    pub from: Start,
}

impl Primitive for CumSum {
    fn info(&self) -> OpInfo {
        let (name, doc) = match self.from {
            Start::Front => ("cumsum", "`y[i] = Σ over j <= i of x[j]` along `axis`."),
            Start::Back => ("cumsum_back", "`y[i] = Σ over j >= i of x[j]` along `axis`; the adjoint of `cumsum`."),
        };
        OpInfo { name, class: Class::Reduce, doc, arity: Arity::Exactly(1), tolerance_ulp: 8 }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require_axis(self.axis, x.rank())?;
        require(x.dtype != DType::Bool, "a running sum does not take bool")?;
        one(x.dtype, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let terms = |index: &[usize]| -> Vec<usize> {
            let places = match self.from {
                Start::Front => 0..index[self.axis] + 1,
                Start::Back => index[self.axis]..x.shape[self.axis],
            };
            let mut at = index.to_vec();
            let place = |j| {
                at[self.axis] = j;
                x.offset(&at)
            };
            places.map(place).collect()
        };
        let all = each_index(&x.shape).map(|index| terms(&index));
        vec![match &x.data {
            Data::Float(values) => {
                let sum = |terms: Vec<usize>| terms.into_iter().map(|at| values[at]).sum();
                Tensor::floats_of(x.dtype, &x.shape, all.map(sum))
            }
            Data::Int(values) => {
                let sum = |terms: Vec<usize>| terms.into_iter().fold(0, |sum: i64, at| sum.wrapping_add(values[at]));
                Tensor::ints_of(x.dtype, &x.shape, all.map(sum))
            }
        }]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        let from = match self.from {
            Start::Front => Start::Back,
            Start::Back => Start::Front,
        };
        vec![cx.give(0, |cx| {
            let d = cx.adjoint(0);
            cx.node(CumSum { axis: self.axis, from }, &[d])
        })]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::position(self.axis))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Scan { axis: self.axis, from: self.from, factor: None, value: same_element(0, args[0]) }
    }

    fn cases() -> Vec<Case> {
        let both = |axis, x: Type| [Start::Front, Start::Back].map(|from| case(CumSum { axis, from }, 9, std::slice::from_ref(&x)));
        [both(0, f32s(&[5])), both(1, f32s(&[2, 4, 3])), both(0, typed(DType::I32, &[1, 2])), both(0, typed(DType::I8, &[6]))].concat()
    }
}
