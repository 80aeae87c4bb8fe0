//! Conversion between dtypes.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::tensor::Tensor;
use crate::ty::{DType, Type};

/// `(x) -> dtype[shape of x]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The new dtype.
    pub dtype: DType,
}

impl Primitive for Cast {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "cast",
            class: Class::Elementwise,
            doc: "Conversion: float to integer truncates and saturates (NaN: 0), integer to integer wraps, anything to \
                  bool is `!= 0`.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        one(self.dtype, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        vec![args[0].cast(self.dtype)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let from = cx.ty(cx.arg(0)).dtype;
        vec![match (from.is_float(), self.dtype.is_float()) {
            (false, _) => Adj::Zero(Reason::Integer),
            (true, false) => Adj::Zero(Reason::ToInteger),
            (true, true) => cx.give(0, |cx| {
                let d = cx.adjoint(0);
                cx.cast(d, from)
            }),
        }]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Cast { dtype: (with.dtype)(self.dtype) }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Map(Expr::Cast(self.dtype, Box::new(same_element(0, args[0]))))
    }

    fn cases() -> Vec<Case> {
        let pairs = DType::ALL.into_iter().flat_map(|from| DType::ALL.map(|to| (from, to)));
        pairs.map(|(from, to)| case(Cast { dtype: to }, if from == DType::Bool { 2 } else { 200 }, &[typed(from, &[5])])).collect()
    }
}
