//! Truth values that a forward pass leaves to a backward pass: which they are, and how they are kept.
//!
//! A gradient that is let through or not asks for a truth value of the forward pass: whether a number was
//! positive, an element was dropped. Where it is kept, and there are many of its kind, it is a bit: a
//! thirty-second of the number.

use crate::autodiff;
use crate::builder::Builder;
use crate::cost::Typical;
use crate::graph::{Epoch, Region, Value};
use crate::ops::pack_bits::{BITS, PackBits};
use crate::ops::unpack_bits::UnpackBits;
use crate::ops::{Class, Op};
use crate::ty::{DType, Type};

/// Truth values from which on bits are worth a kernel more: the numbers they stand for fill a near cache.
const MANY: i64 = 1 << 18;

/// The axis along which truth values are kept as bits, if they are: not the last, along which vectors lie, and
/// one whose last byte is not mostly empty.
fn bits_along(typical: &Typical, ty: &Type) -> Option<usize> {
    if ty.dtype != DType::Bool || typical.elements(ty) < MANY {
        return None;
    }
    let unused = |axis: &usize| (-typical.size(&ty.shape[*axis])).rem_euclid(BITS);
    let inner = (0..ty.rank().checked_sub(1)?).rev();
    inner.filter(|axis| unused(axis) * 4 <= typical.size(&ty.shape[*axis])).min_by_key(unused)
}

/// Bytes that a value takes if it is kept.
pub(crate) fn kept_bytes(typical: &Typical, ty: &Type) -> i64 {
    let bytes = typical.bytes(ty);
    if bits_along(typical, ty).is_some() { bytes / BITS } else { bytes }
}

/// A value as it is kept: bits, where they are worth it.
pub(crate) fn packed(b: &mut Builder, typical: &Typical, value: Value) -> Option<Value> {
    let axis = bits_along(typical, b.ty(value))?;
    Some(b.add1(PackBits { axis }, &[value]))
}

/// The truth values of type `ty` that were kept as `value`, bits if it is of the type `bits`.
pub(crate) fn unpacked(b: &mut Builder, ty: &Type, bits: &Type, value: Value) -> Value {
    match ty.shape.iter().zip(&bits.shape).position(|(whole, short)| whole != short) {
        Some(axis) => b.add1(UnpackBits { axis, size: ty.shape[axis].clone() }, &[value]),
        None => value,
    }
}

/// Which nodes from `start` on are tests of what stands before, or the numbers in them.
pub(crate) fn tests(region: &Region, start: usize) -> Vec<bool> {
    let behind = &region.nodes[start..];
    let mut known = vec![true; region.values.len()];
    behind.iter().flat_map(|node| &node.results).for_each(|result| known[result.index()] = false);
    let mut can_move = vec![false; behind.len()];
    for (at, node) in behind.iter().enumerate() {
        let [result] = node.results[..] else { continue };
        let class = node.op.info().class;
        let is_number = matches!(node.op, Op::Constant(_) | Op::Broadcast(_));
        let is_test = class == Class::Elementwise && region.ty(result).dtype == DType::Bool;
        let of_gradient = node.made_by == autodiff::PASS && node.epoch == Epoch::default();
        can_move[at] = of_gradient && (is_number || is_test) && node.args.iter().all(|arg| known[arg.index()]);
        known[result.index()] |= can_move[at];
    }
    // Numbers move only with the tests that need them.
    let mut wanted = vec![false; region.values.len()];
    let mut moved = vec![false; behind.len()];
    for (at, node) in behind.iter().enumerate().rev().filter(|(at, _)| can_move[*at]) {
        let is_number = matches!(node.op, Op::Constant(_) | Op::Broadcast(_));
        moved[at] = !is_number || node.results.iter().any(|result| wanted[result.index()]);
        if moved[at] {
            node.args.iter().for_each(|arg| wanted[arg.index()] = true);
        }
    }
    moved
}
