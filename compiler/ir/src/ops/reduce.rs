//! Sums, products, extremes, any and all over axes.

use super::arg_reduce::ArgReduce;
use super::iota::Iota;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::graph::Value;
use crate::index::{Combine, Definition, Expr, Extreme, Ix, reduced_axes};
use crate::scalar::CompareOp;
use crate::tensor::{Data, Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// How elements are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReduceKind {
    /// Sum, 0 for none.
    Sum,
    /// Product, 1 for none.
    Prod,
    /// Largest, NaN before all.
    Max,
    /// Smallest, NaN before all.
    Min,
    /// Whether any is true.
    Any,
    /// Whether all are true.
    All,
}

/// `(x)`: `axes` are reduced and go. `Any` and `All` are of bool, the rest of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How.
    pub kind: ReduceKind,
    /// Over which axes, rising.
    pub axes: Vec<usize>,
}

/// All kinds, for tables.
pub const ALL: [ReduceKind; 6] =
    [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min, ReduceKind::Any, ReduceKind::All];

impl Primitive for Reduce {
    fn info(&self) -> OpInfo {
        let (name, doc, tolerance_ulp) = match self.kind {
            ReduceKind::Sum => ("sum", "Sum over `axes`.", 8),
            ReduceKind::Prod => ("prod", "Product over `axes`.", 8),
            ReduceKind::Max => ("max", "Largest over `axes`; NaN before all. The gradient goes to the first.", 0),
            ReduceKind::Min => ("min", "Smallest over `axes`; NaN before all. The gradient goes to the first.", 0),
            ReduceKind::Any => ("any", "Whether any is true over `axes`.", 0),
            ReduceKind::All => ("all", "Whether all are true over `axes`.", 0),
        };
        OpInfo { name, class: Class::Reduce, doc, arity: Arity::Exactly(1), tolerance_ulp }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x] = operands(args)?;
        require_axes(&self.axes, x.rank())?;
        let of_bool = matches!(self.kind, ReduceKind::Any | ReduceKind::All);
        require(of_bool == (x.dtype == DType::Bool), &format!("`{}` does not take {}", self.info().name, x.dtype))?;
        one(x.dtype, self.kept(x.rank()).into_iter().map(|axis| x.shape[axis].clone()).collect::<Vec<_>>())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, shape) = (args[0], extents(&results[0]));
        let kept = self.kept(x.shape.len());
        let places = Tensor::zeros(DType::I64, &shape);
        let targets = each_index(&x.shape)
            .map(|index| places.offset(&kept.iter().map(|axis| index[*axis]).collect::<Vec<_>>()));
        vec![match &x.data {
            Data::Float(values) => {
                let mut totals = vec![self.start(); places.len()];
                for (value, to) in values.iter().zip(targets) {
                    totals[to] = self.join(totals[to], *value);
                }
                Tensor::floats_of(x.dtype, &shape, totals)
            }
            Data::Int(values) => {
                let mut totals = vec![self.start_integer(x.dtype); places.len()];
                for (value, to) in values.iter().zip(targets) {
                    totals[to] = self.join_integers(totals[to], *value);
                }
                Tensor::ints_of(x.dtype, &shape, totals)
            }
        }]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer)];
        }
        vec![cx.give(0, |cx| {
            let (d, shape) = (cx.adjoint(0), cx.shape(cx.arg(0)));
            let spread = cx.spread(d, &shape, &self.axes);
            match self.kind {
                ReduceKind::Sum => spread,
                ReduceKind::Prod => self.product_slope(cx, spread),
                ReduceKind::Max => self.first_extreme(cx, d, Extreme::Max),
                ReduceKind::Min => self.first_extreme(cx, d, Extreme::Min),
                ReduceKind::Any | ReduceKind::All => crate::internal_error("reduce", "the gradient of a bool"),
            }
        })]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("axes", Attribute::positions(&self.axes))]
    }

    /// `Any` and `All` are the largest and smallest of bools, 0 and 1.
    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let x = args[0];
        let kept = self.kept(x.rank());
        let mut index = vec![Ix::constant(0); x.rank()];
        for (at, n) in kept.iter().enumerate() {
            index[*n] = axis(at);
        }
        for (n, reduced) in self.axes.iter().zip(reduced_axes(kept.len(), self.axes.len())) {
            index[*n] = reduced;
        }
        let combine = match self.kind {
            ReduceKind::Sum => Combine::Sum,
            ReduceKind::Prod => Combine::Prod,
            ReduceKind::Max | ReduceKind::Any => Combine::Max,
            ReduceKind::Min | ReduceKind::All => Combine::Min,
        };
        let value = Expr::operand(0, index, x.dtype);
        if self.axes.is_empty() {
            return Definition::Map(value);
        }
        let axes = self.axes.iter().map(|axis| x.shape[*axis].clone()).collect();
        Definition::Reduce { axes, combine, value, blocks: None }
    }

    fn cases() -> Vec<Case> {
        ALL.into_iter().flat_map(samples).collect()
    }
}

fn samples(kind: ReduceKind) -> Vec<Case> {
    let bools = matches!(kind, ReduceKind::Any | ReduceKind::All);
    let (dtype, bound) = if bools { (DType::Bool, 2) } else { (DType::F32, 3) };
    let mut cases: Vec<Case> = [vec![0], vec![1], vec![0, 2], vec![0, 1, 2], vec![]]
        .into_iter()
        .map(|axes| case(Reduce { kind, axes }, bound, &[typed(dtype, &[2, 3, 2])]))
        .collect();
    if !bools {
        let integers = [DType::I32, DType::U8, DType::I8];
        cases.extend(integers.map(|dtype| case(Reduce { kind, axes: vec![1] }, 4, &[typed(dtype, &[2, 3])])));
    }
    cases
}

impl Reduce {
    fn kept(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|axis| !self.axes.contains(axis)).collect()
    }

    fn start(&self) -> f64 {
        match self.kind {
            ReduceKind::Sum | ReduceKind::Any => 0.0,
            ReduceKind::Prod | ReduceKind::All => 1.0,
            ReduceKind::Max => f64::NEG_INFINITY,
            ReduceKind::Min => f64::INFINITY,
        }
    }

    fn start_integer(&self, dtype: DType) -> i64 {
        let (least, greatest) = dtype.integers().unwrap_or((i64::MIN, i64::MAX));
        match self.kind {
            ReduceKind::Sum | ReduceKind::Any => 0,
            ReduceKind::Prod | ReduceKind::All => 1,
            ReduceKind::Max => least,
            ReduceKind::Min => greatest,
        }
    }

    fn join(&self, total: f64, value: f64) -> f64 {
        match self.kind {
            ReduceKind::Sum => total + value,
            ReduceKind::Prod => total * value,
            ReduceKind::Max | ReduceKind::Min if total.is_nan() || value.is_nan() => f64::NAN,
            ReduceKind::Max => total.max(value),
            ReduceKind::Min => total.min(value),
            ReduceKind::Any | ReduceKind::All => crate::internal_error("reduce", "any or all of floats"),
        }
    }

    fn join_integers(&self, total: i64, value: i64) -> i64 {
        match self.kind {
            ReduceKind::Sum => total.wrapping_add(value),
            ReduceKind::Prod => total.wrapping_mul(value),
            ReduceKind::Max | ReduceKind::Any => total.max(value),
            ReduceKind::Min | ReduceKind::All => total.min(value),
        }
    }

    /// `d · product of the others`: `y / x`; at the only zero the product of the rest, at one of
    /// several zeros 0. The formula's own gradient is exact where no element is zero.
    fn product_slope(&self, cx: &mut VjpCx<'_>, spread: Value) -> Value {
        let (x, y) = (cx.arg(0), cx.result(0));
        let shape = cx.shape(x);
        let (zero, one) = (cx.number(0.0, x), cx.number(1.0, x));
        let is_zero = cx.compare(CompareOp::Eq, x, zero);
        let (nonzero, counted) = (cx.select(is_zero, one, x), cx.select(is_zero, one, zero));
        let rest = cx.node(self.clone(), &[nonzero]);
        let count = cx.sum(counted, self.axes.clone());
        let (rest, count) = (cx.spread(rest, &shape, &self.axes), cx.spread(count, &shape, &self.axes));
        let only = cx.compare(CompareOp::Eq, count, one);
        let at_zero = cx.select(only, rest, zero);
        let y = cx.spread(y, &shape, &self.axes);
        let elsewhere = cx.div(y, nonzero);
        let slope = cx.select(is_zero, at_zero, elsewhere);
        cx.mul(spread, slope)
    }

    /// `d` at the first extreme, 0 elsewhere: several axes are merged into one behind the rest.
    fn first_extreme(&self, cx: &mut VjpCx<'_>, d: Value, extreme: Extreme) -> Value {
        if self.axes.is_empty() {
            return d;
        }
        let x = cx.arg(0);
        if let [axis] = self.axes[..] {
            return at_extreme(cx, x, d, extreme, axis);
        }
        let ty = cx.ty(x);
        let perm: Vec<usize> = self.kept(ty.rank()).into_iter().chain(self.axes.iter().copied()).collect();
        let moved = cx.transpose(x, perm.clone());
        let moved_shape = cx.shape(moved);
        let kept = ty.rank() - self.axes.len();
        let merged_size = match Dim::product(&moved_shape[kept..]) {
            Ok(size) => size,
            Err(error) => crate::internal_error("reduce", &format!("a checked size overflows: {error:?}")),
        };
        let mut merged_shape = moved_shape[..kept].to_vec();
        merged_shape.push(merged_size);
        let merged = cx.reshape(moved, &merged_shape);
        let placed = at_extreme(cx, merged, d, extreme, kept);
        let placed = cx.reshape(placed, &moved_shape);
        cx.transpose(placed, super::transpose::Transpose { perm }.inverse())
    }
}

/// `d` where `x` has its first extreme along `axis`, 0 elsewhere.
fn at_extreme(cx: &mut VjpCx<'_>, x: Value, d: Value, extreme: Extreme, axis: usize) -> Value {
    let ty = cx.ty(x);
    let best = cx.node(ArgReduce { extreme, axis }, &[x]);
    let best = cx.spread(best, &ty.shape, &[axis]);
    let place = cx.node(Iota { shape: ty.shape.clone(), axis, dtype: DType::I32 }, &[]);
    let here = cx.compare(CompareOp::Eq, best, place);
    let (d, zero) = (cx.spread(d, &ty.shape, &[axis]), cx.number(0.0, x));
    cx.select(here, d, zero)
}
