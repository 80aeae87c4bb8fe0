//! What several op families share: checks of operands in plain words, and shorthands for index forms.

use super::{Case, Domain, InferError, Op, Types};
use crate::dim::Dim;
use crate::index::{AxisId, Cond, Expr, Ix, result_axes};
use crate::scalar::Literal;
use crate::ty::{DType, Type};
use smallvec::smallvec;

/// One result.
pub(super) fn one(dtype: DType, shape: impl Into<Vec<Dim>>) -> Result<Types, InferError> {
    Ok(smallvec![Type::new(dtype, shape)])
}

/// A refusal.
pub(super) fn refuse<T>(text: impl Into<String>) -> Result<T, InferError> {
    Err(InferError(text.into()))
}

/// Exactly `N` operands.
pub(super) fn operands<'a, const N: usize>(args: &[&'a Type]) -> Result<[&'a Type; N], InferError> {
    match <[&Type; N]>::try_from(args) {
        Ok(args) => Ok(args),
        Err(_) => refuse(format!("it takes {N} operands and got {}", args.len())),
    }
}

/// Refuses unless `holds`.
pub(super) fn require(holds: bool, text: &str) -> Result<(), InferError> {
    if holds { Ok(()) } else { refuse(text) }
}

/// The axis is one of the operand's.
pub(super) fn require_axis(axis: usize, rank: usize) -> Result<(), InferError> {
    if axis < rank { Ok(()) } else { refuse(format!("there is no axis {axis} in an operand of {rank} axes")) }
}

/// The axes exist and rise strictly.
pub(super) fn require_axes(axes: &[usize], rank: usize) -> Result<(), InferError> {
    axes.iter().try_for_each(|axis| require_axis(*axis, rank))?;
    require(axes.windows(2).all(|pair| pair[0] < pair[1]), "axes must rise and not repeat")
}

/// Equal dtypes and shapes.
pub(super) fn require_same(a: &Type, b: &Type) -> Result<(), InferError> {
    if a.dtype != b.dtype {
        return refuse(format!("the operands are {} and {}", a.dtype, b.dtype));
    }
    require_same_shape(a, b)
}

/// Equal shapes.
pub(super) fn require_same_shape(a: &Type, b: &Type) -> Result<(), InferError> {
    if a.rank() != b.rank() {
        return refuse(format!("the operands have {} and {} axes", a.rank(), b.rank()));
    }
    match a.shape.iter().zip(&b.shape).position(|(a, b)| a != b) {
        Some(axis) => refuse(format!("the operands differ in the size of axis {axis}")),
        None => Ok(()),
    }
}

/// Whether `dim >= 0` for all values of its symbols.
pub(super) fn never_negative(dim: &Dim) -> bool {
    dim.range().0 >= 0
}

/// Whether `dim < 0` for all values of its symbols.
pub(super) fn always_negative(dim: &Dim) -> bool {
    dim.range().1 < 0
}

/// Axis `n` as an index expression.
pub(super) fn axis(n: usize) -> Ix {
    Ix::axis(AxisId(n as u32))
}

/// The element of operand `arg` at the result's own index.
pub(super) fn same_element(arg: u32, ty: &Type) -> Expr {
    Expr::operand(arg, result_axes(ty.rank()), ty.dtype)
}

/// The element of operand `arg` at `index`, or `fill` where a condition fails.
pub(super) fn guarded(arg: u32, index: Vec<Ix>, within: Vec<Cond>, fill: Literal) -> Expr {
    match Expr::operand(arg, index, fill.dtype) {
        Expr::Operand { arg, index, .. } => {
            let within = within.into_iter().filter(|cond| !cond.is_true()).collect();
            Expr::Operand { arg, index, within, fill }
        }
        other => other,
    }
}

/// A sample call with floats between -2 and 2 and integers below `bound`.
pub(super) fn case(op: impl Into<Op>, bound: i64, args: &[Type]) -> Case {
    case_in(op, Domain { low: -2.0, high: 2.0, bound }, args)
}

/// A sample call.
pub(super) fn case_in(op: impl Into<Op>, domain: Domain, args: &[Type]) -> Case {
    Case { op: op.into(), args: args.to_vec(), domain }
}

/// `f32` with these extents.
pub(super) fn f32s(shape: &[i64]) -> Type {
    typed(DType::F32, shape)
}

/// A dtype with these extents.
pub(super) fn typed(dtype: DType, shape: &[i64]) -> Type {
    Type::new(dtype, shape.iter().map(|extent| Dim::from(*extent)).collect::<Vec<_>>())
}

/// Sizes from numbers.
pub(super) fn dims(shape: &[i64]) -> Vec<Dim> {
    shape.iter().map(|extent| Dim::from(*extent)).collect()
}
