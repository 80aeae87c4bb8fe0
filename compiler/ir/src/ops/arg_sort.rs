//! The order of elements along an axis.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, SortOrder};
use crate::scalar::Literal;
use crate::tensor::Tensor;
use crate::ty::{DType, Type};
use std::cmp::Ordering;

/// `(x) -> i32`: along the last axis, where the element of each rank is. Equal elements keep their
/// order; NaN counts as largest, -0 equals 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgSort {
    /// Which elements come first.
    pub order: SortOrder,
}

impl Primitive for ArgSort {
    fn info(&self) -> OpInfo {
        let (name, doc) = match self.order {
            SortOrder::Ascending => (
                "argsort",
                "The coordinates along the last axis from the smallest element on; equals in order, NaN last.",
            ),
            SortOrder::Descending => (
                "argsort_down",
                "The coordinates along the last axis from the largest element on; equals in order, NaN first.",
            ),
        };
        OpInfo { name, class: Class::Reduce, doc, arity: Arity::Exactly(1), tolerance_ulp: 0 }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require(x.rank() > 0, "a scalar has no order")?;
        require(x.dtype != DType::Bool, "bools have no order")?;
        one(DType::I32, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let x = args[0];
        let extent = x.shape.last().copied().unwrap_or(1);
        let mut places = Vec::with_capacity(x.len());
        for row in 0..x.len().checked_div(extent).unwrap_or(0) {
            let key = |place: &i64| x.literal(row * extent + *place as usize);
            let mut order: Vec<i64> = (0..extent as i64).collect();
            order.sort_by(|a, b| compare(self.order, key(a), key(b)));
            places.extend(order);
        }
        vec![Tensor::ints_of(DType::I32, &x.shape, places)]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::Position)]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, _args: &[&Type], _results: &[&Type]) -> Definition {
        Definition::Order { order: self.order }
    }

    fn cases() -> Vec<Case> {
        let both = |bound, x: Type| {
            [SortOrder::Ascending, SortOrder::Descending]
                .map(|order| case(ArgSort { order }, bound, std::slice::from_ref(&x)))
        };
        [
            both(1, f32s(&[3, 7])),
            both(1, f32s(&[16])),
            both(1, f32s(&[2, 1])),
            both(4, typed(DType::I32, &[2, 2, 9])),
            both(3, typed(DType::U8, &[33])),
            both(3, typed(DType::I8, &[19])),
            both(50, typed(DType::I64, &[20])),
            both(1, typed(DType::F64, &[2, 5])),
        ]
        .concat()
    }
}

/// Which of two elements comes first.
pub fn compare(order: SortOrder, a: Literal, b: Literal) -> Ordering {
    let ascending = if a.dtype.is_float() {
        let (a, b) = (a.as_f64(), b.as_f64());
        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    } else {
        a.as_i64().cmp(&b.as_i64())
    };
    match order {
        SortOrder::Ascending => ascending,
        SortOrder::Descending => ascending.reverse(),
    }
}
