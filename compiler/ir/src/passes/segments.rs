//! Where a forward pass can be cut into segments of which the backward pass may compute some again.
//!
//! A segment that is computed again ([`super::recompute`]) costs what goes into it instead of all that
//! is kept of it. Segments of an entry keep about equally much, and are cut where little crosses from
//! one into the next. The last one before a gradient is none: its values are wanted at once.

use super::remat::{Backward, Parts, last_reads, moves, starts};
use crate::cost::Typical;
use crate::flow::producer;
use crate::graph::{Graph, Node, Region, SpanId, Value};
use crate::index::Definition;
use crate::ops::Op;
use crate::ty::Type;
use std::ops::Range;

/// A stretch of nodes of an entry's region, gradients and updates of weights among them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The nodes.
    pub nodes: Range<usize>,
    /// Bytes that need not be kept if it is computed again.
    pub bytes: i64,
    /// Multiply-adds and other steps of doing so.
    pub work: i64,
}

/// The forward passes of an entry in about `count` segments, in order; without those that nothing is
/// saved by.
pub fn segments(graph: &Graph, entry: usize, count: usize) -> Vec<Segment> {
    let typical = Typical::of(graph);
    let region = graph.region(graph.entries[entry].region);
    let starts = starts(region);
    let Some(end) = starts.last().copied() else { return Vec::new() };
    let last_read = last_reads(region, end);
    let held = held(region, &starts, &typical);
    let mut weights = vec![0i64; end];
    for (value, at) in &held {
        weights[*at] = weights[*at].saturating_add(typical.bytes(region.ty(*value)));
    }
    let mut cuts = cuts(&weights, &crossing(region, &last_read, end, &typical), count);
    cuts.extend(&starts);
    cuts.sort_unstable();
    cuts.dedup();
    let from = std::iter::once(0).chain(cuts.iter().copied());
    let ranges = from.zip(cuts.iter().copied()).map(|(from, to)| from..to);
    let segment = |nodes: Range<usize>| {
        let saved = held.iter().filter(|(value, at)| nodes.contains(at) && last_read[value.index()] < nodes.end);
        let bytes = saved.map(|(value, _)| typical.bytes(region.ty(*value))).fold(0, i64::saturating_add);
        let work = region.nodes[nodes.clone()].iter().map(|node| work(graph, region, node, &typical));
        Segment { bytes, work: work.fold(0, i64::saturating_add), nodes }
    };
    ranges.filter(|nodes| !starts.contains(&nodes.end)).map(segment).filter(|segment| segment.bytes > 0).collect()
}

/// The places of what is not kept because parts of an entry are computed again, in order.
pub fn spared(graph: &Graph, parts: &Parts) -> Vec<SpanId> {
    let region = graph.region(graph.entries[parts.entry].region);
    let starts = starts(region);
    let last_read = last_reads(region, starts.last().copied().unwrap_or(0));
    let held = held(region, &starts, &Typical::of(graph));
    let within = |(value, at): &&(Value, usize)| {
        parts.nodes.iter().any(|nodes| nodes.contains(at) && last_read[value.index()] < nodes.end)
    };
    held.iter().filter(within).map(|(_, at)| region.nodes[*at].span).collect()
}

/// The number of values that the backward passes of an entry keep, each a segment of its own at most.
pub fn most_segments(graph: &Graph, entry: usize) -> usize {
    let region = graph.region(graph.entries[entry].region);
    held(region, &starts(region), &Typical::of(graph)).len()
}

/// What is kept if no segment is computed again, each with the node that makes it.
fn held(region: &Region, starts: &[usize], typical: &Typical) -> Vec<(Value, usize)> {
    let kept = starts.iter().flat_map(|start| Backward::new(region, *start, &[], typical).kept());
    let mut held: Vec<(Value, usize)> =
        kept.filter_map(|value| Some((value, producer(region, value)?.index()))).collect();
    held.sort_unstable();
    held.dedup();
    held
}

/// For each node the bytes that the forward passes carry over the place before it.
fn crossing(region: &Region, last_read: &[usize], end: usize, typical: &Typical) -> Vec<i64> {
    let mut steps = vec![0i64; end + 1];
    for (at, node) in region.nodes[..end].iter().enumerate().filter(|(_, node)| !moves(node)) {
        for result in node.results.iter().filter(|result| last_read[result.index()] > at) {
            let bytes = typical.bytes(region.ty(*result));
            steps[at + 1] = steps[at + 1].saturating_add(bytes);
            let behind = (last_read[result.index()] + 1).min(end);
            steps[behind] = steps[behind].saturating_sub(bytes);
        }
    }
    let mut sum = 0i64;
    for step in &mut steps {
        sum = sum.saturating_add(*step);
        *step = sum;
    }
    steps
}

/// Places that divide the weights into `count` about equal shares, each where least crosses nearby.
fn cuts(weights: &[i64], crossing: &[i64], count: usize) -> Vec<usize> {
    let total = weights.iter().copied().fold(0, i64::saturating_add) as f64;
    let share = total / count.max(1) as f64;
    let mut before = Vec::with_capacity(weights.len());
    let mut sum = 0i64;
    for weight in weights {
        before.push(sum as f64);
        sum = sum.saturating_add(*weight);
    }
    let cut = |number: usize| {
        let target = share * number as f64;
        let near = |at: &usize| (before[*at] - target).abs() * 4.0 <= share;
        let nearest =
            (1..weights.len()).min_by(|a, b| (before[*a] - target).abs().total_cmp(&(before[*b] - target).abs()));
        (1..weights.len()).filter(near).min_by_key(|at| (crossing[*at], std::cmp::Reverse(*at))).or(nearest)
    };
    (1..count).filter_map(cut).collect()
}

/// An estimate of what a node costs: its multiply-adds, or other terms.
fn work(graph: &Graph, region: &Region, node: &Node, typical: &Typical) -> i64 {
    let ty = |value: &Value| region.ty(*value);
    if let Op::Loop(op) = &node.op {
        let body = graph.region(node.regions[0]);
        let once = body.nodes.iter().map(|node| work(graph, body, node, typical)).fold(0, i64::saturating_add);
        return once.saturating_mul(typical.size(op.trip.bound()));
    }
    let (Some(op), Some(result)) = (node.op.primitive(), node.results.first()) else { return 0 };
    let (args, results): (Vec<&Type>, Vec<&Type>) =
        (node.args.iter().map(ty).collect(), node.results.iter().map(ty).collect());
    let terms = match op.lower(&args, &results) {
        Definition::Dot { axes, .. } | Definition::Reduce { axes, .. } | Definition::Best { axes, .. } => {
            typical.product(&axes)
        }
        Definition::Scatter { axes, .. } => typical.product(&axes),
        Definition::Alias => 0,
        _ => 1,
    };
    typical.elements(ty(result)).saturating_mul(terms)
}
