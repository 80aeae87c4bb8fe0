//! Truth values from bits.

use super::pack_bits::{BITS, power};
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Definition, Expr, Ix};
use crate::scalar::{BinaryOp, CompareOp, Literal};
use crate::tensor::{Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// `(x u8) -> bool`: the truth values that [`super::pack_bits::PackBits`] put into bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnpackBits {
    /// The axis that becomes longer.
    pub axis: usize,
    /// Its size.
    pub size: Dim,
}

impl Primitive for UnpackBits {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "unpack_bits",
            class: Class::Window,
            doc: "The bits of bytes as truth values: `y[i]` is bit `i mod 8` of `x[floor(i / 8)]` along `axis`.",
            arity: Arity::Exactly(1),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require(x.dtype == DType::U8, "unpack_bits takes bytes")?;
        require_axis(self.axis, x.rank())?;
        require(self.size.ceil_div(BITS)? == x.shape[self.axis], "the size and the number of bytes do not fit together")?;
        let mut shape = x.shape.clone();
        shape[self.axis] = self.size.clone();
        one(DType::Bool, shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, shape) = (args[0], extents(&results[0]));
        let bits = each_index(&shape).map(|mut index| {
            let bit = index[self.axis] % BITS as usize;
            index[self.axis] /= BITS as usize;
            x.ints()[x.offset(&index)] >> bit & 1
        });
        vec![Tensor::ints_of(DType::Bool, &shape, bits.collect::<Vec<i64>>())]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::Integer)]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(UnpackBits { axis: self.axis, size: (with.dim)(&self.size)? }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    /// Bit `j` times `2^(31 - j)` is the sign.
    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let mut index: Vec<Ix> = (0..args[0].rank()).map(axis).collect();
        let at = index[self.axis].clone();
        index[self.axis] = at.clone().floor_div(BITS);
        let byte = Expr::Cast(DType::I32, Box::new(Expr::operand(0, index, DType::U8)));
        let shifted = Expr::Binary(BinaryOp::Mul, Box::new(byte), Box::new(power(&at.modulo(BITS), true)));
        let zero = Expr::Literal(Literal::zero(DType::I32));
        Definition::Map(Expr::Compare(CompareOp::Lt, Box::new(shifted), Box::new(zero)))
    }

    fn cases() -> Vec<Case> {
        let sample = |x: &[i64], axis: usize, size: i64| {
            case(UnpackBits { axis, size: Dim::from(size) }, 256, &[typed(DType::U8, x)])
        };
        vec![sample(&[2, 3], 0, 16), sample(&[1, 4], 0, 5), sample(&[2, 3, 5], 1, 19), sample(&[3], 0, 24)]
    }
}
