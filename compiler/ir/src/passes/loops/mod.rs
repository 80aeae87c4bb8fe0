//! Says loops shorter, with the same results: a loop of one iteration is its body, a count that is
//! known is no count, operands and results that say the same are one, what never changes is an
//! invariant, and what is made of numbers alone is made inside.

mod once;
mod tidy;

use super::regions::bottom_up;
use crate::dim::Dim;
use crate::graph::{Graph, Node, Region, Value};
use crate::ops::Op;
use crate::ops::reshape::Reshape;
use crate::ops::slice::Slice;
use crate::region_ops::{Loop, Trip};
use crate::rewrite::Cursor;

const PASS: &str = "loops";

/// The pass.
pub fn loops(graph: &Graph) -> Graph {
    bottom_up(graph, region)
}

fn region(graph: &mut Graph, region: &Region) -> Region {
    let mut cursor = Cursor::new(region);
    for node in &region.nodes {
        match &node.op {
            Op::Loop(op) => looped(graph, &mut cursor, node, op),
            Op::Slice(op) => match last_row(graph, &mut cursor, node, op) {
                Some(value) => cursor.put(node, &[value]),
                None => cursor.copy(node),
            },
            _ => cursor.copy(node),
        }
    }
    cursor.finish(&region.results)
}

fn looped(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Loop) {
    let mut args = cursor.args(node).to_vec();
    let mut op = op.clone();
    match known_trip(cursor, &op, &args) {
        Some(0) => return once::never(cursor, node, &op, &args),
        Some(_) => {
            op.trip = Trip::Exact(op.trip.bound().clone());
            args.remove(0);
        }
        None => {}
    }
    if op.trip == Trip::Exact(Dim::one()) {
        let body = graph.region(node.regions[0]).clone();
        return once::inline(cursor, node, &op, &body, &args);
    }
    tidy::tidy(graph, cursor, node, &op, &args);
}

/// How often a counted loop runs, if that is 0 or its bound.
fn known_trip(cursor: &Cursor<'_>, op: &Loop, args: &[Value]) -> Option<i64> {
    let count = args.first().filter(|_| op.has_count())?;
    let bound = op.trip.bound();
    match &cursor.b.region().producer(*count)?.op {
        Op::SizeOf(size) if size.size == *bound => Some(1),
        Op::Constant(count) => {
            let count = count.value.as_i64();
            let (_, most) = bound.range();
            (count <= 0).then_some(0).or((i128::from(count) >= most).then_some(1))
        }
        _ => None,
    }
}

/// The row that the last iteration wrote of a stack of a carry is the carry's end.
fn last_row(graph: &Graph, cursor: &mut Cursor<'_>, node: &Node, slice: &Slice) -> Option<Value> {
    let rows = cursor.get(node.args[0]);
    let looped = cursor.b.region().producer(rows)?;
    let Op::Loop(op) = &looped.op else { return None };
    let bound = op.trip.bound();
    let last = if op.rev { Dim::zero() } else { bound.sub(&Dim::one()).ok()? };
    let shape = &cursor.b.ty(rows).shape;
    let whole = slice.starts[1..].iter().all(|start| start.is(0)) && slice.sizes[1..] == shape[1..];
    if op.has_count() || op.until || !whole || slice.starts[0] != last || !slice.sizes[0].is(1) {
        return None;
    }
    let stack = looped.results.iter().position(|result| *result == rows)?;
    let body = graph.region(looped.regions[0]);
    if !op.stack_results().contains(&stack) {
        return None;
    }
    let carry = op.carry_results().find(|carry| body.results[*carry] == body.results[stack])?;
    let end = looped.results[carry];
    cursor.at(node, PASS);
    Some(cursor.b.add1(Reshape { shape: slice.sizes.clone() }, &[end]))
}
