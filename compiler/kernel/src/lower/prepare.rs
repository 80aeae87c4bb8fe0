//! The graph as lowering wants its loops: a sum over the iterations is a carry that starts at 0, so
//! that the kernel that makes a term also adds it. A sum of sums is one: what an iteration sums up,
//! itself in a loop or in a kernel, goes on from what the iterations before gave.

use mlc_ir::builder::Builder;
use mlc_ir::graph::{Epoch, Graph, Node, Region, RegionId, Value};
use mlc_ir::ops::{Op, Types};
use mlc_ir::passes::windows;
use mlc_ir::region_ops::Loop;
use mlc_ir::rewrite::Cursor;
use mlc_ir::scalar::BinaryOp;
use std::collections::{BTreeMap, BTreeSet};

/// The same program without sums, and with windows added to where they lie.
pub(super) fn prepare(graph: &Graph) -> Graph {
    windows(&without_sums(graph))
}

fn without_sums(graph: &Graph) -> Graph {
    let mut new = graph.clone();
    for entry in &graph.entries {
        if let Some(region) = prepared(&mut new, graph.region(entry.region)) {
            new.regions[entry.region.index()] = region;
        }
    }
    new
}

/// The region, if it has loops.
fn prepared(graph: &mut Graph, region: &Region) -> Option<Region> {
    if !region.nodes.iter().any(|node| matches!(node.op, Op::Loop(_))) {
        return None;
    }
    let mut cursor = Cursor::new(region);
    for node in &region.nodes {
        match &node.op {
            Op::Loop(op) => put_loop(graph, &mut cursor, node, op, &[]),
            _ => cursor.copy(node),
        }
    }
    Some(cursor.finish(&region.results))
}

/// `starts` are what sums go on from, if not from 0.
fn put_loop(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Loop, starts: &[Option<Value>]) {
    let body = graph.region(node.regions[0]).clone();
    let body = with_sums_carried(graph, op, &body);
    let body = graph.add_region(body);
    let mut args = cursor.args(node).to_vec();
    for carry in op.carry_args() {
        let epoch = Epoch(u32::MAX - (graph.regions.len() * CARRIES + carry) as u32);
        if let Some(own) = own_number(cursor, node.args[carry], epoch) {
            args[carry] = own;
        }
    }
    cursor.at(node, node.made_by);
    let start = |(number, sum): (usize, usize)| {
        starts.get(number).copied().flatten().unwrap_or_else(|| {
            let ty = cursor.old.ty(node.results[sum]);
            cursor.b.full(ty.dtype, 0.0, &ty.shape)
        })
    };
    let starts: Vec<Value> = op.sum_results().enumerate().map(start).collect();
    let carries = op.carry_args().end;
    args.splice(carries..carries, starts);
    let new = Loop { carries: op.carries + op.sums, sums: 0, ..op.clone() };
    write(cursor, node, op, new, body, &args);
}

/// More than a loop has carries.
const CARRIES: usize = 1 << 12;

/// A number in every element, made anew: the first value of a carry is then nobody else's, and is
/// written where the carry lives.
fn own_number(cursor: &mut Cursor<'_>, value: Value, epoch: Epoch) -> Option<Value> {
    let node = cursor.old.producer(value)?;
    let args = match &node.op {
        Op::Constant(_) => Vec::new(),
        Op::Broadcast(_) => vec![own_number(cursor, node.args[0], epoch)?],
        _ => return None,
    };
    let types = cursor.types(node);
    Some(cursor.b.copy(&Node { epoch, ..node.clone() }, &args, types)[0])
}

/// Writes the new loop; its results stand for those of the old one.
fn write(cursor: &mut Cursor<'_>, node: &Node, old: &Loop, new: Loop, body: RegionId, args: &[Value]) {
    let order: Vec<usize> = reordered(old);
    let types: Types = order.iter().map(|result| cursor.old.ty(node.results[*result]).clone()).collect();
    let copy = Node { op: new.into(), regions: smallvec::smallvec![body], ..node.clone() };
    let values = cursor.b.copy(&copy, args, types);
    for (result, value) in order.into_iter().zip(values) {
        cursor.set(node.results[result], value);
    }
}

/// The results of a loop in the order of the one without sums: sums stand behind the carries.
fn reordered(op: &Loop) -> Vec<usize> {
    let head = 0..op.carry_results().end;
    head.chain(op.sum_results()).chain(op.stack_results()).collect()
}

fn with_sums_carried(graph: &mut Graph, op: &Loop, body: &Region) -> Region {
    let mut cursor = Cursor::empty(body);
    cursor.b = Builder::new(&body.name);
    let mut totals = Vec::new();
    for (at, param) in body.params.iter().enumerate() {
        if at == op.carry_params().end {
            totals = sum_params(&mut cursor, op, body);
        }
        let value = cursor.b.param(body.ty(*param).clone());
        cursor.set(*param, value);
    }
    if body.params.len() == op.carry_params().end {
        totals = sum_params(&mut cursor, op, body);
    }
    let mut going_on = GoingOn::new(op, body, &totals);
    for node in &body.nodes {
        match &node.op {
            Op::Loop(inner) => {
                let starts: Vec<Option<Value>> =
                    inner.sum_results().map(|sum| going_on.take(node.results[sum])).collect();
                put_loop(graph, &mut cursor, node, inner, &starts);
            }
            Op::Accumulate(_) if is_zero(body, node.args[0]) => match going_on.take(node.results[0]) {
                Some(total) => {
                    let mut args = cursor.args(node);
                    args[0] = total;
                    let results = cursor.b.copy(node, &args, cursor.types(node));
                    cursor.put(node, &results);
                }
                None => cursor.copy(node),
            },
            _ => cursor.copy(node),
        }
    }
    let mut results: Vec<Value> = reordered(op).into_iter().map(|result| cursor.get(body.results[result])).collect();
    for (position, (total, sum)) in totals.into_iter().zip(op.sum_results()).enumerate() {
        if !going_on.taken.contains(&body.results[sum]) {
            let at = op.carry_results().end + position;
            results[at] = cursor.b.binary(BinaryOp::Add, total, results[at]);
        }
    }
    cursor.b.finish(results)
}

/// The sums of a body that are used for nothing else, with what the iterations before gave.
struct GoingOn {
    totals: BTreeMap<Value, Value>,
    /// Those that are summed up from there on.
    taken: BTreeSet<Value>,
}

impl GoingOn {
    fn new(op: &Loop, body: &Region, totals: &[Value]) -> GoingOn {
        let mut uses = vec![0; body.values.len()];
        let args = body.nodes.iter().flat_map(|node| &node.args);
        args.chain(&body.results).for_each(|value| uses[value.index()] += 1);
        let sums = op.sum_results().map(|sum| body.results[sum]).zip(totals.iter().copied());
        GoingOn { totals: sums.filter(|(sum, _)| uses[sum.index()] == 1).collect(), taken: BTreeSet::new() }
    }

    fn take(&mut self, sum: Value) -> Option<Value> {
        let total = self.totals.get(&sum).copied();
        self.taken.extend(total.map(|_| sum));
        total
    }
}

/// Whether every element is the number 0.
fn is_zero(region: &Region, value: Value) -> bool {
    let Some(node) = region.producer(value) else { return false };
    match &node.op {
        Op::Constant(op) => op.value.as_f64() == 0.0,
        Op::Broadcast(_) => is_zero(region, node.args[0]),
        _ => false,
    }
}

fn sum_params(cursor: &mut Cursor<'_>, op: &Loop, body: &Region) -> Vec<Value> {
    op.sum_results().map(|sum| cursor.b.param(body.ty(body.results[sum]).clone())).collect()
}
