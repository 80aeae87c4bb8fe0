//! Reading at places that data names.

use super::scatter_add::ScatterAdd;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Definition, Expr, Index};
use crate::scalar::Literal;
use crate::tensor::{Tensor, extents};
use crate::ty::{DType, Type};

/// `(x, ids: i32 or i64) -> x[..axis] ++ ids[batch..] ++ x[axis + 1..]`: the first `batch` axes of
/// both are common, `axis >= batch`. Ids are clamped into range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis of `x` that is indexed.
    pub axis: usize,
    /// How many leading axes both operands share.
    pub batch: usize,
}

impl Primitive for Gather {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "gather",
            class: Class::Gather,
            doc: "`y[b, i, j, k] = x[b, i, ids[b, j], k]`, with ids clamped into range.",
            arity: Arity::Exactly(2),
            tolerance_ulp: 0,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [x, ids] = operands(args)?;
        require_axis(self.axis, x.rank())?;
        require_ids(ids, self.batch, self.axis)?;
        if let Some(axis) = (0..self.batch).find(|axis| x.shape[*axis] != ids.shape[*axis]) {
            return refuse(format!("the operand and the indices differ in the size of axis {axis}"));
        }
        let inner = ids.shape[self.batch..].iter();
        one(x.dtype, x.shape[..self.axis].iter().chain(inner).chain(&x.shape[self.axis + 1..]).cloned().collect::<Vec<_>>())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (x, ids) = (args[0], args[1]);
        let from = |index: &[usize]| Some(x.offset(&source(self.axis, self.batch, x.shape[self.axis], ids, index)));
        vec![x.pick(&extents(&results[0]), Literal::zero(x.dtype), from)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let x = cx.ty(cx.arg(0));
        let data = if x.dtype.is_float() {
            cx.give(0, |cx| {
                let (d, ids) = (cx.adjoint(0), cx.arg(1));
                cx.node(ScatterAdd { axis: self.axis, batch: self.batch, size: x.shape[self.axis].clone() }, &[d, ids])
            })
        } else {
            Adj::Zero(Reason::Integer)
        };
        vec![data, Adj::Zero(Reason::Index)]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut list = vec![("axis", Attribute::position(self.axis))];
        if self.batch > 0 {
            list.push(("batch", Attribute::position(self.batch)));
        }
        list
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let (x, ids) = (args[0], args[1]);
        let inner = ids.rank() - self.batch;
        let id_place = (0..self.batch).chain(self.axis..self.axis + inner).map(axis).collect();
        let value = Box::new(Expr::operand(1, id_place, ids.dtype));
        let mut index: Vec<Index> = (0..self.axis).map(|n| Index::At(axis(n))).collect();
        index.push(Index::Data { value, bound: x.shape[self.axis].clone() });
        index.extend((self.axis + 1..x.rank()).map(|n| Index::At(axis(n - 1 + inner))));
        Definition::Map(Expr::Operand { arg: 0, index, within: Vec::new(), fill: Literal::zero(x.dtype) })
    }

    fn cases() -> Vec<Case> {
        let sample = |axis, batch, x: &[i64], ids: &[i64], bound| {
            case(Gather { axis, batch }, bound, &[f32s(x), typed(DType::I32, ids)])
        };
        vec![
            sample(0, 0, &[5, 2], &[3], 5),
            sample(1, 0, &[2, 4, 3], &[2, 2], 4),
            sample(1, 1, &[3, 4], &[3, 2], 4),
            sample(1, 1, &[3, 4], &[3], 4),
            sample(0, 0, &[4], &[], 9),
            case(Gather { axis: 0, batch: 0 }, 6, &[typed(DType::I32, &[4]), typed(DType::I64, &[5])]),
        ]
    }
}

/// The checks of indices that gather and scatter-add share.
pub(super) fn require_ids(ids: &Type, batch: usize, axis: usize) -> Result<(), InferError> {
    require(matches!(ids.dtype, DType::I32 | DType::I64), "indices are i32 or i64")?;
    require(batch <= axis, "the indexed axis lies behind the common ones")?;
    require(batch <= ids.rank(), "the indices lack a common axis")
}

/// Where element `index` of the gathered tensor comes from.
pub(super) fn source(axis: usize, batch: usize, extent: usize, ids: &Tensor, index: &[usize]) -> Vec<usize> {
    let inner = ids.shape.len() - batch;
    let id = ids.ints()[ids.offset(&[&index[..batch], &index[axis..axis + inner]].concat())];
    let id = id.clamp(0, (extent as i64 - 1).max(0)) as usize;
    [&index[..axis], &[id], &index[axis + inner..]].concat()
}

/// Shape of the scattered tensor from that of the updates.
pub(super) fn scattered(updates: &Type, axis: usize, inner: usize, size: &Dim) -> Vec<Dim> {
    let (before, behind) = (&updates.shape[..axis], &updates.shape[axis + inner..]);
    before.iter().chain([size]).chain(behind).cloned().collect()
}
