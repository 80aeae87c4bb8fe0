//! Elementwise choice.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr};
use crate::tensor::Tensor;
use crate::ty::{DType, Type};

/// `(c: bool, a, b) -> type of a`; shapes are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Primitive for Select {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "select",
            class: Class::Elementwise,
            doc: "`if c then a else b`, elementwise.",
            arity: Arity::Exactly(3),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [c, a, b] = operands(args)?;
        require(c.dtype == DType::Bool, "the condition is not bool")?;
        require_same(a, b)?;
        require_same_shape(c, a)?;
        one(a.dtype, a.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let (c, a, b) = (args[0], args[1], args[2]);
        let mut result = b.clone();
        for (at, condition) in c.ints().iter().enumerate() {
            if *condition != 0 {
                result.set(at, a.literal(at));
            }
        }
        vec![result]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(1)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer); 3];
        }
        let part = |cx: &mut VjpCx<'_>, of: usize| {
            let (c, d) = (cx.arg(0), cx.adjoint(0));
            let zero = cx.number(0.0, d);
            if of == 1 { cx.select(c, d, zero) } else { cx.select(c, zero, d) }
        };
        vec![Adj::Zero(Reason::Integer), cx.give(1, |cx| part(cx, 1)), cx.give(2, |cx| part(cx, 2))]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Select.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let [c, a, b] = [0, 1, 2].map(|arg| Box::new(same_element(arg, args[arg as usize])));
        Definition::Map(Expr::Select(c, a, b))
    }

    fn cases() -> Vec<Case> {
        let c = typed(DType::Bool, &[2, 3]);
        vec![
            case(Select, 2, &[c.clone(), f32s(&[2, 3]), f32s(&[2, 3])]),
            case(Select, 2, &[c.clone(), typed(DType::I64, &[2, 3]), typed(DType::I64, &[2, 3])]),
            case(Select, 2, &[c, typed(DType::I8, &[2, 3]), typed(DType::I8, &[2, 3])]),
        ]
    }
}
