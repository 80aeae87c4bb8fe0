//! The value of a size.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Definition, Expr};
use crate::tensor::Tensor;
use crate::ty::{DType, Type};

/// `() -> scalar`: a size as an i32, i64, f32 or f64.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SizeOf {
    /// Which size.
    pub size: Dim,
    /// As what.
    pub dtype: DType,
}

impl Primitive for SizeOf {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "size_of",
            class: Class::Source,
            doc: "The value of a size, as a number.",
            arity: Arity::Exactly(0),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [] = operands(args)?;
        let number = matches!(self.dtype, DType::I32 | DType::I64 | DType::F32 | DType::F64);
        require(number, "a size is i32, i64, f32 or f64")?;
        one(self.dtype, [])
    }

    fn eval(&self, _args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        match self.size.as_const() {
            Some(size) => vec![Tensor::from_i64(&[], &[size]).cast(self.dtype)],
            None => crate::internal_error("size_of", "evaluated with a symbolic size"),
        }
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        Vec::new()
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(SizeOf { size: (with.dim)(&self.size)?, dtype: (with.dtype)(self.dtype) }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("size", Attribute::Dim(self.size.clone()))]
    }

    fn lower(&self, _args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(Expr::Size(self.dtype, self.size.clone()))
    }

    fn cases() -> Vec<Case> {
        let sample = |dtype| case(SizeOf { size: Dim::from(16_777_217), dtype }, 1, &[]);
        [DType::I32, DType::I64, DType::F32, DType::F64].into_iter().map(sample).collect()
    }
}
