//! Truth values as bits.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Combine, Cond, Definition, Expr, Ix};
use crate::scalar::{BinaryOp, Literal};
use crate::tensor::{Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// Truth values of a byte.
pub(crate) const BITS: i64 = 8;

/// `(x bool) -> u8`: bit `j` of a byte is the `j`-th of eight neighbours along `axis`, 0 behind the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackBits {
    /// The axis that becomes shorter.
    pub axis: usize,
}

impl Primitive for PackBits {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "pack_bits",
            class: Class::Window,
            doc: "Eight neighbours along `axis` as the bits of a byte: `y[i] = Σ 2^j x[8 i + j]`.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require(x.dtype == DType::Bool, "pack_bits takes truth values")?;
        require_axis(self.axis, x.rank())?;
        let mut shape = x.shape.clone();
        shape[self.axis] = shape[self.axis].ceil_div(BITS)?;
        one(DType::U8, shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, shape) = (args[0], extents(&results[0]));
        let bytes = each_index(&shape).map(|index| {
            let bit = |j: i64| {
                let mut at: Vec<i64> = index.iter().map(|i| *i as i64).collect();
                at[self.axis] = at[self.axis] * BITS + j;
                x.offset_within(&at).map_or(0, |offset| x.ints()[offset] << j)
            };
            (0..BITS).map(bit).sum()
        });
        vec![Tensor::ints_of(DType::U8, &shape, bytes.collect::<Vec<i64>>())]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::Integer)]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (x, j) = (args[0], axis(args[0].rank()));
        let mut index: Vec<Ix> = (0..x.rank()).map(axis).collect();
        index[self.axis] = index[self.axis].clone().times(BITS).add(j.clone());
        let [_, behind] = Cond::within(&index[self.axis], &x.shape[self.axis]);
        let whole = x.shape[self.axis].as_const().is_some_and(|size| size % BITS == 0);
        let within = if whole { Vec::new() } else { vec![behind] };
        let bit = guarded(0, index, within, Literal::zero(DType::Bool));
        let zero = Expr::Literal(Literal::zero(DType::I32));
        let value = Expr::Select(Box::new(bit), Box::new(power(&j, false)), Box::new(zero));
        let value = Expr::Cast(DType::U8, Box::new(value));
        Definition::Reduce { axes: dims(&[BITS]), combine: Combine::Sum, value, blocks: None }
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], axis: usize| case(PackBits { axis }, 2, &[typed(DType::Bool, x)]);
        vec![sample(&[16, 3], 0), sample(&[5, 4], 0), sample(&[2, 19, 5], 1), sample(&[24], 0)]
    }
}

/// `2^j` as an i32, or `2^(31 - j)`, for `j` in `0..8`.
pub(super) fn power(j: &Ix, falling: bool) -> Expr {
    let number = |value: i64| Box::new(Expr::Literal(Literal::from_i64(DType::I32, value)));
    let factor = |bit: i64| {
        let is_clear = Expr::Test(vec![Cond::Zero(j.clone().floor_div(1 << bit).modulo(2))]);
        let (clear, set) = if falling { (1 << (1 << bit), 1) } else { (1, 1 << (1 << bit)) };
        Expr::Select(Box::new(is_clear), number(clear), number(set))
    };
    let times = |a: Expr, b: Expr| Expr::Binary(BinaryOp::Mul, Box::new(a), Box::new(b));
    let product = times(times(factor(0), factor(1)), factor(2));
    if falling { times(product, *number(1 << 24)) } else { product }
}
