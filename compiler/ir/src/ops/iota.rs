//! Positions along an axis.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::tensor::{Tensor, each_index, extents};
use crate::ty::{DType, Shape, Type};

/// `() -> dtype[shape]`: the coordinate along `axis`, as i32 or i64.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// Shape of the result.
    pub shape: Shape,
    /// Whose coordinate.
    pub axis: usize,
    /// i32 or i64.
    pub dtype: DType,
}

impl Primitive for Iota {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "iota",
            class: Class::Source,
            doc: "The coordinate of each element along one axis: `y[i] = i[axis]`.",
            arity: Arity::Exactly(0),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [] = operands(args)?;
        require_axis(self.axis, self.shape.len())?;
        require(matches!(self.dtype, DType::I32 | DType::I64), "positions are i32 or i64")?;
        one(self.dtype, self.shape.clone())
    }

    fn eval(&self, _args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let shape = extents(&results[0]);
        let positions = each_index(&shape).map(|index| index[self.axis] as i64);
        vec![Tensor::ints_of(self.dtype, &shape, positions)]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        Vec::new()
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        let (axis, dtype) = (self.axis, (with.dtype)(self.dtype));
        Ok(Iota { shape: with.dims(&self.shape)?, axis, dtype }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::position(self.axis))]
    }

    fn lower(&self, _args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(Expr::Position(self.dtype, axis(self.axis)))
    }

    fn cases() -> Vec<Case> {
        let sample = |axis, dtype| case(Iota { shape: dims(&[3, 4]), axis, dtype }, 1, &[]);
        vec![sample(0, DType::I32), sample(1, DType::I64)]
    }
}
