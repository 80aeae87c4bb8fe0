//! A tensor with a window replaced, at a place that is known when the program runs.

use super::slice_at::{SliceAt, last_start, require_window, shifted, starts_of};
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::Definition;
use crate::tensor::{Tensor, each_index};
use crate::ty::{DType, Type};

/// `(x, v, start of axis 0, …) -> type of x`: `x` with `v` where [`SliceAt`] of the size of `v` reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpdateSlice;

impl Primitive for UpdateSlice {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "update_slice",
            class: Class::Scatter,
            doc: "`x` with `y[starts + i] = v[i]`, with starts clamped so that the window fits.",
            arity: Arity::AtLeast(2),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x, v, starts @ ..] = args else { return refuse("update_slice needs a tensor and its new part") };
        require(x.dtype == v.dtype, "the tensor and its new part have different dtypes")?;
        require_window(x, &v.shape, starts)?;
        one(x.dtype, x.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], _results: &[Type]) -> Vec<Tensor> {
        let (mut result, v) = (args[0].clone(), args[1]);
        let starts = starts_of(&args[2..], &result.shape, &v.shape);
        for (at, index) in each_index(&v.shape).enumerate() {
            let to = result.offset(&shifted(&index, &starts));
            result.set(to, v.literal(at));
        }
        vec![result]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let starts = || cx.args()[2..].iter().copied();
        let flat = starts().map(|_| Adj::Zero(Reason::Index)).collect::<Vec<_>>();
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return [Adj::Zero(Reason::Integer); 2].into_iter().chain(flat).collect();
        }
        let starts: Vec<_> = starts().collect();
        let around = cx.give(0, |cx| {
            let (d, zero) = (cx.adjoint(0), cx.number(0.0, cx.arg(1)));
            cx.node(UpdateSlice, &[&[d, zero], starts.as_slice()].concat())
        });
        let part = cx.give(1, |cx| {
            let (d, sizes) = (cx.adjoint(0), cx.shape(cx.arg(1)).to_vec());
            cx.node(SliceAt { sizes }, &[&[d], starts.as_slice()].concat())
        });
        [around, part].into_iter().chain(flat).collect()
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(UpdateSlice.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (x, v) = (args[0], args[1]);
        let start = |n: usize| last_start(x, &v.shape[n], n).map(|_| 2 + n as u32);
        Definition::Update { starts: (0..x.rank()).map(start).collect() }
    }

    fn cases() -> Vec<Case> {
        let scalar = || typed(DType::I32, &[]);
        let sample = |x: &[i64], v: &[i64], bound| {
            let starts = x.iter().map(|_| scalar());
            case(UpdateSlice, bound, &[f32s(x), f32s(v)].into_iter().chain(starts).collect::<Vec<_>>())
        };
        vec![
            sample(&[6], &[3], 4),
            sample(&[3, 5], &[3, 2], 5),
            sample(&[2, 4, 3], &[1, 1, 2], 9),
            sample(&[2, 3], &[2, 3], 3),
            sample(&[], &[], 1),
            case(UpdateSlice, 5, &[typed(DType::I32, &[7]), typed(DType::I32, &[2]), typed(DType::I64, &[])]),
        ]
    }
}
