//! Adding at places that data names.

use super::gather::{Gather, require_ids, scattered, source};
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Definition, Expr, Ix, reduced_axes};
use crate::scalar::{BinaryOp, CompareOp, Literal};
use crate::tensor::{Data, Tensor, each_index, extents, round_to};
use crate::ty::{DType, Type};

/// `(updates, ids) -> updates[..axis] ++ [size] ++ updates[axis + inner..]`, the adjoint of
/// [`Gather`]: `inner` is the number of axes of `ids` behind the first `batch`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// The axis of the result that is indexed.
    pub axis: usize,
    /// How many leading axes both operands share.
    pub batch: usize,
    /// The extent of that axis.
    pub size: Dim,
}

impl Primitive for ScatterAdd {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "scatter_add",
            class: Class::Scatter,
            doc: "`y[b, i, m, k] = Σ over j with ids[b, j] == m of updates[b, i, j, k]`, with ids clamped into range.",
            arity: Arity::Exactly(2),
            tolerance_ulp: 8,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [updates, ids] = operands(args)?;
        require(updates.dtype != DType::Bool, "scatter_add takes numbers")?;
        require_ids(ids, self.batch, self.axis)?;
        let inner = ids.rank() - self.batch;
        require(self.axis + inner <= updates.rank(), "the updates lack the axes of the indices")?;
        let places = (0..self.batch).chain(self.axis..self.axis + inner);
        for (of_ids, of_updates) in places.enumerate() {
            if ids.shape[of_ids] != updates.shape[of_updates] {
                return refuse(format!("axis {of_updates} of the updates and axis {of_ids} of the indices differ in size"));
            }
        }
        one(updates.dtype, scattered(updates, self.axis, inner, &self.size))
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (updates, ids, shape) = (args[0], args[1], extents(&results[0]));
        if let Data::Int(values) = &updates.data {
            let mut sums = Tensor::zeros(DType::I64, &shape);
            for (at, index) in each_index(&updates.shape).enumerate() {
                let to = sums.offset(&source(self.axis, self.batch, shape[self.axis], ids, &index));
                let sum = sums.ints()[to].wrapping_add(values[at]);
                sums.set(to, Literal::from_i64(DType::I64, sum));
            }
            return vec![Tensor::ints_of(updates.dtype, &shape, sums.ints().iter().copied())];
        }
        let mut result = Tensor::zeros(DType::F64, &shape);
        for (at, index) in each_index(&updates.shape).enumerate() {
            let to = result.offset(&source(self.axis, self.batch, shape[self.axis], ids, &index));
            let sum = result.floats()[to] + updates.floats()[at];
            result.set(to, Literal::from_f64(DType::F64, sum));
        }
        vec![Tensor::floats_of(updates.dtype, &shape, result.floats().iter().map(|sum| round_to(updates.dtype, *sum)))]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer), Adj::Zero(Reason::Index)];
        }
        let updates = cx.give(0, |cx| {
            let (d, ids) = (cx.adjoint(0), cx.arg(1));
            cx.node(Gather { axis: self.axis, batch: self.batch }, &[d, ids])
        });
        vec![updates, Adj::Zero(Reason::Index)]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(ScatterAdd { size: (with.dim)(&self.size)?, ..self.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut list = vec![("axis", Attribute::position(self.axis)), ("size", Attribute::Dim(self.size.clone()))];
        if self.batch > 0 {
            list.push(("batch", Attribute::position(self.batch)));
        }
        list
    }

    /// A choice where each place has one update at most.
    fn lower(&self, args: &[&Type], results: &[&Type]) -> Definition {
        let (updates, ids, rank) = (args[0], args[1], results[0].rank());
        let inner = ids.rank() - self.batch;
        let sizes = &ids.shape[self.batch..];
        let single = sizes.iter().all(|size| size.is(1));
        let along = if single { vec![Ix::constant(0); inner] } else { reduced_axes(rank, inner) };
        let id_place = (0..self.batch).map(axis).chain(along.iter().cloned()).collect();
        let behind = (self.axis + 1..rank).map(axis);
        let update_place = (0..self.axis).map(axis).chain(along.iter().cloned()).chain(behind).collect();
        let place = clamped(Expr::operand(1, id_place, ids.dtype), ids.dtype, &self.size);
        let value = Expr::operand(0, update_place, updates.dtype);
        if !single {
            return Definition::Scatter { axis: self.axis, axes: sizes.to_vec(), place, value };
        }
        let here = Box::new(Expr::Position(ids.dtype, axis(self.axis)));
        let here = Expr::Compare(CompareOp::Eq, here, Box::new(place));
        let zero = Expr::Literal(Literal::zero(updates.dtype));
        Definition::Map(Expr::Select(Box::new(here), Box::new(value), Box::new(zero)))
    }

    fn cases() -> Vec<Case> {
        let sample = |axis, batch, size: i64, updates: &[i64], ids: &[i64]| {
            let op = ScatterAdd { axis, batch, size: Dim::from(size) };
            case(op, size, &[f32s(updates), typed(DType::I32, ids)])
        };
        vec![
            sample(0, 0, 5, &[3, 2], &[3]),
            sample(1, 0, 4, &[2, 2, 2, 3], &[2, 2]),
            sample(1, 1, 4, &[3, 2], &[3, 2]),
            sample(1, 1, 4, &[3], &[3]),
            sample(1, 1, 4, &[3, 1, 2], &[3, 1]),
            case(ScatterAdd { axis: 0, batch: 0, size: 3.into() }, 3, &[typed(DType::I32, &[7]), typed(DType::I64, &[7])]),
            case(ScatterAdd { axis: 0, batch: 0, size: 3.into() }, 3, &[typed(DType::I8, &[9]), typed(DType::I32, &[9])]),
        ]
    }
}

/// `min(max(id, 0), size - 1)`
fn clamped(id: Expr, dtype: DType, size: &Dim) -> Expr {
    let zero = Expr::Literal(Literal::zero(dtype));
    let last = Expr::Position(dtype, Ix::constant(size.clone()).plus(-1));
    let above = Expr::Binary(BinaryOp::Max, Box::new(id), Box::new(zero));
    Expr::Binary(BinaryOp::Min, Box::new(above), Box::new(last))
}
