//! Loops in segments, whose backward pass keeps what each segment begins with and computes the passes of a
//! segment again: an outer loop over the segments, of which each pass is a recomputing call of an inner
//! loop over its passes.

use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::{Graph, Region, Value};
use crate::ops::Types;
use crate::ops::reshape::Reshape;
use crate::region_ops::{Call, Loop, Part, Remat, Trip, stacked};
use crate::rewrite::Cursor;
use crate::scalar::{BinaryOp, Literal};
use crate::ty::DType;

/// The passes of a segment that leave least to keep of a loop of so many: what segments begin with, and what the
/// passes of one begin with. `None` where no segments are equally long.
pub fn passes_of_segment(passes: i64) -> Option<i64> {
    let mut best: Option<(i64, i64)> = None;
    let mut each = 2;
    while each * 2 <= passes {
        let kept = each + passes / each;
        if passes % each == 0 && best.is_none_or(|(least, _)| kept < least) {
            best = Some((kept, each));
        }
        each += 1;
    }
    best.map(|(_, each)| each)
}

/// Adds a loop in segments of `each` passes, which divides its trip; gives its results. The loop runs to its end, has
/// no sums and is not in reverse.
pub fn add_segmented(
    graph: &mut Graph,
    b: &mut Builder,
    (op, each): (&Loop, i64),
    args: &[Value],
    body: &Region,
) -> Vec<Value> {
    let segments = match op.trip.bound().exact_div(&Dim::from(each)) {
        Ok(segments) if !op.has_count() && !op.until && !op.rev && op.sums == 0 => segments,
        _ => crate::internal_error("segmented", "a loop that can't be in segments"),
    };
    let segment = segment(graph, (op, each), body);
    let segment = graph.add_region(segment);
    let outer_body = called(graph, segment);
    let outer_body = graph.add_region(outer_body);
    let outer = Loop { trip: Trip::Exact(segments.clone()), part: Part::Segments(each), ..op.clone() };
    let mut args = args.to_vec();
    for arg in &mut args[op.slice_args()] {
        let shape = [segments.clone(), Dim::from(each)].into_iter().chain(b.ty(*arg).shape[1..].iter().cloned());
        let shape = shape.collect();
        *arg = b.add1(Reshape { shape }, &[*arg]);
    }
    let mut results = b.add_loop(graph, outer, &args, outer_body).to_vec();
    for result in &mut results[op.stack_results()] {
        let rest = b.ty(*result).shape[2..].iter().cloned();
        let shape = std::iter::once(op.trip.bound().clone()).chain(rest).collect();
        *result = b.add1(Reshape { shape }, &[*result]);
    }
    results
}

/// The passes of a segment: takes its number, carries, its rows of the slices, and invariants.
fn segment(graph: &mut Graph, (op, each): (&Loop, i64), body: &Region) -> Region {
    let trip = Dim::from(each);
    let inner_body = graph.add_region(within_segment(body));
    let inner =
        Loop { trip: Trip::Exact(trip.clone()), invariants: op.invariants + 1, part: Part::Segment, ..op.clone() };
    let mut b = Builder::new(&body.name);
    let types: Types = body.params.iter().map(|param| body.ty(*param).clone()).collect();
    let params: Vec<Value> = (0..types.len())
        .map(|at| b.param(if op.slice_params().contains(&at) { stacked(&trip, &types[at]) } else { types[at].clone() }))
        .collect();
    let passes = b.literal(Literal::from_i64(DType::I64, each));
    let first = b.binary(BinaryOp::Mul, params[0], passes);
    let args = [&params[1..], &[first]].concat();
    let results = b.add_loop(graph, inner, &args, inner_body).to_vec();
    b.finish(results)
}

/// A body that takes its position in a segment, and as a last invariant where that begins.
fn within_segment(body: &Region) -> Region {
    let mut cursor = Cursor::empty(body);
    cursor.b = Builder::new(&body.name);
    let params: Vec<Value> = body.params.iter().map(|param| cursor.b.param(body.ty(*param).clone())).collect();
    let first = cursor.b.param(body.ty(body.params[0]).clone());
    let position = cursor.b.binary(BinaryOp::Add, first, params[0]);
    cursor.set(body.params[0], position);
    for (old, new) in body.params.iter().zip(&params).skip(1) {
        cursor.set(*old, *new);
    }
    body.nodes.iter().for_each(|node| cursor.copy(node));
    cursor.finish(&body.results)
}

/// A region that consists of one recomputing call of another.
pub(crate) fn called(graph: &mut Graph, region: crate::graph::RegionId) -> Region {
    let inner = graph.region(region);
    let mut b = Builder::new(&inner.name);
    let types: Types = inner.params.iter().map(|param| inner.ty(*param).clone()).collect();
    let params: Vec<Value> = types.into_iter().map(|ty| b.param(ty)).collect();
    let results = b.add_call(graph, Call { remat: Remat::Recompute }, &params, &[region]);
    b.finish(results.to_vec())
}

#[cfg(test)]
mod tests {
    use super::passes_of_segment;

    #[test]
    fn segments_are_about_a_root_long() {
        let found = [3, 4, 5, 12, 28, 97, 100, 784].map(passes_of_segment);
        assert_eq!(found, [None, Some(2), None, Some(3), Some(4), None, Some(10), Some(28)]);
    }
}
