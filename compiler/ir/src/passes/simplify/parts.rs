//! Sums of values that stand behind one another along an axis, with zeros around: a concatenation. The
//! gradients of slices are such sums.

use super::{made, splat};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::{Node, Region, Value};
use crate::ops::Op;
use crate::ops::concat::Concat;
use crate::ops::pad::Pad;
use crate::scalar::{BinaryOp, Literal};
use crate::ty::Type;
use std::collections::BTreeSet;

/// A part of an axis: of a value, or zeros.
#[derive(Clone)]
struct Part {
    size: Dim,
    value: Option<Value>,
}

/// The nodes of a region that are sums and the first terms of others, and nothing else.
pub(super) fn first_terms(region: &Region) -> Vec<bool> {
    let mut uses = vec![0u32; region.values.len()];
    let mut firsts = vec![0u32; region.values.len()];
    for node in &region.nodes {
        node.args.iter().for_each(|arg| uses[arg.index()] += 1);
        if is_sum(node) {
            firsts[node.args[0].index()] += 1;
        }
    }
    region.results.iter().for_each(|result| uses[result.index()] += 1);
    let alone = |value: &Value| uses[value.index()] == 1 && firsts[value.index()] == 1;
    region.nodes.iter().map(|node| is_sum(node) && node.results.iter().all(alone)).collect()
}

pub(super) fn is_sum(node: &Node) -> bool {
    matches!(&node.op, Op::Binary(op) if op.op == BinaryOp::Add)
}

/// `pad(x) + pad(y) + … + z + …` as `concat(x, y, …) + z + …`, where at each coordinate at most one of the first
/// terms is not a zero of the padding. `first_terms` are sums that nothing else reads.
pub(super) fn sum(b: &mut Builder, root: Value, first_terms: &BTreeSet<Value>) -> Option<Value> {
    let mut terms = Vec::new();
    let mut first = root;
    while let Some(node) = made(b, first).filter(|node| is_sum(node) && (first == root || first_terms.contains(&first)))
    {
        terms.push(node.args[1]);
        first = node.args[0];
    }
    let (axis, parts_of_first) = parts(b, first)?;
    let mut padded = vec![parts_of_first];
    for term in terms.iter().rev() {
        match parts(b, *term).filter(|(other, _)| *other == axis) {
            Some((_, parts)) => padded.push(parts),
            None => break,
        }
    }
    let (count, all) = disjoint(padded)?;
    let whole = b.ty(root).clone();
    let values: Vec<Value> = all.into_iter().map(|part| filled(b, &whole, axis, part)).collect();
    let joined = b.add1(Concat { axis }, &values);
    let rest = &terms[..terms.len() + 1 - count];
    Some(rest.iter().rev().fold(joined, |sum, term| b.binary(BinaryOp::Add, sum, *term)))
}

/// As many of the first terms as don't meet, at least two, in one.
fn disjoint(padded: Vec<Vec<Part>>) -> Option<(usize, Vec<Part>)> {
    let count = padded.len();
    // Halves of halves: the work grows as the number of terms does.
    if let Some(all) = balanced(&padded).filter(|_| count > 1) {
        return Some((count, all));
    }
    let mut terms = padded.into_iter();
    let mut all = terms.next()?;
    let mut taken = 1;
    for parts in terms {
        match merged(all.clone(), parts) {
            Some(more) => (all, taken) = (more, taken + 1),
            None => break,
        }
    }
    (taken > 1).then_some((taken, all))
}

fn balanced(padded: &[Vec<Part>]) -> Option<Vec<Part>> {
    match padded {
        [] => None,
        [one] => Some(one.clone()),
        several => {
            let (left, right) = several.split_at(several.len() / 2);
            merged(balanced(left)?, balanced(right)?)
        }
    }
}

/// What stands along the one axis of a padded value or a concatenation, at least one part of it zeros.
fn parts(b: &Builder, value: Value) -> Option<(usize, Vec<Part>)> {
    let node = made(b, value)?;
    match &node.op {
        Op::Pad(op) => padded(b, op, node.args[0]),
        Op::Concat(op) => {
            let part = |value: &Value| Part {
                size: b.ty(*value).shape[op.axis].clone(),
                value: (!splat(b, *value).is_some_and(is_zero)).then_some(*value),
            };
            let parts: Vec<Part> = node.args.iter().map(part).collect();
            parts.iter().any(|part| part.value.is_none()).then_some((op.axis, parts))
        }
        _ => None,
    }
}

fn padded(b: &Builder, op: &Pad, x: Value) -> Option<(usize, Vec<Part>)> {
    let adds = |axis: &usize| op.low[*axis] != 0 || op.high[*axis] != 0;
    let axis = (0..op.low.len()).find(adds)?;
    let plain = (0..op.low.len()).all(|at| op.interior[at] == 0 && (at == axis || !adds(&at)));
    if !plain || !is_zero(op.fill) || op.low[axis] < 0 || op.high[axis] < 0 {
        return None;
    }
    let zeros = |count: i64| (count > 0).then(|| Part { size: Dim::from(count), value: None });
    let whole = Part { size: b.ty(x).shape[axis].clone(), value: Some(x) };
    Some((axis, zeros(op.low[axis]).into_iter().chain([whole]).chain(zeros(op.high[axis])).collect()))
}

fn is_zero(literal: Literal) -> bool {
    literal.as_f64() == 0.0
}

/// Both at once; `None` if values meet, or sizes can't be compared.
fn merged(left: Vec<Part>, right: Vec<Part>) -> Option<Vec<Part>> {
    let (mut left, mut right) =
        (left.into_iter().rev().collect::<Vec<_>>(), right.into_iter().rev().collect::<Vec<_>>());
    let mut done = Vec::new();
    while let (Some(a), Some(b)) = (left.pop(), right.pop()) {
        let longer = a.size.sub(&b.size).ok()?.as_const()?;
        let (short, long, rest) = if longer > 0 { (b, a, &mut left) } else { (a, b, &mut right) };
        if long.value.is_some() && (longer != 0 || short.value.is_some()) {
            return None;
        }
        if longer != 0 {
            rest.push(Part { size: Dim::from(longer.abs()), value: None });
        }
        done.push(Part { value: short.value.or(long.value), size: short.size });
    }
    (left.is_empty() && right.is_empty()).then_some(done)
}

/// The value of a part; zeros as they are around it.
fn filled(b: &mut Builder, whole: &Type, axis: usize, part: Part) -> Value {
    let mut shape = whole.shape.clone();
    shape[axis] = part.size;
    part.value.unwrap_or_else(|| b.full(whole.dtype, 0.0, &shape))
}
