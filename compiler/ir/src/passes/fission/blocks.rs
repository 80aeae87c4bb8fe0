//! The order of sums over the iterations of a backward loop: that in which a loop over segments of them takes it, which
//! has only the rows of one segment at a time, the last one first.

use crate::builder::Builder;
use crate::cost::Typical;
use crate::graph::Value;
use crate::index::Definition;
use crate::ops::Op;
use crate::ops::accumulate::{Accumulate, Summed};
use crate::ops::reduce::ReduceKind;
use crate::region_ops::{Loop, Part, Trip};
use crate::segmented::passes_of_segment;
use crate::ty::Type;

/// A sum over all iterations, in blocks that are never of two segments.
pub(super) fn in_blocks(b: &mut Builder, op: &Loop, sum: Value, typical: &Typical) -> Value {
    let Some((passes, segment)) = segments(op) else { return sum };
    let Some(node) = b.region().producer(sum).cloned() else { return sum };
    let ty = b.ty(sum).clone();
    let of = match &node.op {
        Op::Contract(op) => Summed::Products(op.clone()),
        Op::Reduce(op) if op.kind == ReduceKind::Sum => Summed::Elements(op.axes.clone()),
        _ => return sum,
    };
    let Some(primitive) = node.op.primitive().filter(|_| ty.dtype.is_float()) else { return sum };
    let args: Vec<&Type> = node.args.iter().map(|arg| b.ty(*arg)).collect();
    let terms = match primitive.lower(&args, &[&ty]) {
        Definition::Dot { axes, .. } | Definition::Reduce { axes, .. } => typical.product(&axes),
        _ => return sum,
    };
    let blocks = passes / at_once(segment, (terms / passes).max(1));
    let start = b.full(ty.dtype, 0.0, &ty.shape);
    let args: Vec<Value> = [start].into_iter().chain(node.args).collect();
    b.add1(Accumulate { of, blocks }, &args)
}

/// The iterations of a backward loop, and those of its segments.
fn segments(op: &Loop) -> Option<(i64, i64)> {
    let Trip::Exact(trip) = &op.trip else { return None };
    let passes = trip.as_const().filter(|_| op.rev && !op.until)?;
    let segment = match op.part {
        Part::Whole => passes_of_segment(passes)?,
        Part::Segment => passes,
        Part::Segments(_) => return None,
    };
    Some((passes, segment))
}

/// Terms of a block at most, where one iteration has no more.
const TERMS: i64 = 512;

/// The iterations of a block: they divide a segment.
fn at_once(segment: i64, terms: i64) -> i64 {
    let fits = |each: &i64| segment % each == 0 && each.saturating_mul(terms) <= TERMS;
    (1..=segment).rev().find(fits).unwrap_or(1)
}
