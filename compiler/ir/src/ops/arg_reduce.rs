//! The position of an extreme.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{BestPart, Definition, Expr, Extreme, reduced_axes, result_axes};
use crate::tensor::{Data, Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// `(x) -> i32`: the coordinate of the first extreme along `axis`, which goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// Largest or smallest.
    pub extreme: Extreme,
    /// Along which axis.
    pub axis: usize,
}

impl Primitive for ArgReduce {
    fn info(&self) -> OpInfo {
        let (name, doc) = match self.extreme {
            Extreme::Max => ("argmax", "The coordinate of the largest along `axis`: the first of equals, NaN before all."),
            Extreme::Min => ("argmin", "The coordinate of the smallest along `axis`: the first of equals, NaN before all."),
        };
        OpInfo { name, class: Class::Reduce, doc, arity: Arity::Exactly(1), tolerance_ulp: 0 }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require_axis(self.axis, x.rank())?;
        require(x.dtype != DType::Bool, &format!("`{}` does not take bool", self.info().name))?;
        let mut shape = x.shape.clone();
        shape.remove(self.axis);
        one(DType::I32, shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, shape) = (args[0], extents(&results[0]));
        let best = each_index(&shape).map(|mut index| {
            index.insert(self.axis, 0);
            let mut best = 0;
            for candidate in 1..x.shape[self.axis] {
                let at = |place: usize| {
                    let mut index = index.clone();
                    index[self.axis] = place;
                    x.offset(&index)
                };
                if self.beats(&x.data, at(candidate), at(best)) {
                    best = candidate;
                }
            }
            best as i64
        });
        vec![Tensor::ints_of(DType::I32, &shape, best)]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::Position)]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::position(self.axis))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let x = args[0];
        let mut index = result_axes(x.rank() - 1);
        index.insert(self.axis, reduced_axes(x.rank() - 1, 1).remove(0));
        Definition::Best {
            axes: vec![x.shape[self.axis].clone()],
            extreme: self.extreme,
            value: Expr::operand(0, index, x.dtype),
            results: vec![BestPart::Position],
        }
    }

    fn cases() -> Vec<Case> {
        let both = |axis, args: &[Type]| [Extreme::Max, Extreme::Min].map(|extreme| case(ArgReduce { extreme, axis }, 3, args));
        let float = [both(0, &[f32s(&[4, 3])]), both(1, &[f32s(&[4, 3])])].concat();
        let int = [DType::I32, DType::I8].into_iter().flat_map(|dtype| both(0, &[typed(dtype, &[9])]));
        float.into_iter().chain(int).collect()
    }
}

impl ArgReduce {
    /// Whether element `a` is to replace the earlier element `b`.
    fn beats(&self, data: &Data, a: usize, b: usize) -> bool {
        match data {
            Data::Float(values) if values[b].is_nan() => false,
            Data::Float(values) if values[a].is_nan() => true,
            Data::Float(values) => self.better(values[a], values[b]),
            Data::Int(values) => self.better(values[a], values[b]),
        }
    }

    fn better<T: PartialOrd>(&self, a: T, b: T) -> bool {
        match self.extreme {
            Extreme::Max => a > b,
            Extreme::Min => a < b,
        }
    }
}
