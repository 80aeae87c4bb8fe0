//! Drops what no result needs: nodes, and results, carries, slices and invariants of loops and
//! calls. This is what keeps the values a gradient asked for out of programs without gradients.

use crate::graph::{Graph, Node, Region, RegionId, Value};
use crate::ops::{Op, Types};
use crate::passes::compact;
use crate::region_ops::{Call, Loop};
use crate::rewrite::Cursor;

/// The pass: once for each level of nesting at most, until nothing changes.
pub fn dce(graph: &Graph) -> Graph {
    let mut graph = compact(graph);
    loop {
        let next = compact(&once(&graph));
        if size(&next) == size(&graph) {
            return next;
        }
        graph = next;
    }
}

/// What shrinks as long as the pass finds something.
fn size(graph: &Graph) -> usize {
    graph.regions.iter().map(|region| region.nodes.len() + region.values.len() + region.results.len()).sum()
}

fn once(graph: &Graph) -> Graph {
    let mut new = graph.clone();
    for at in 0..graph.regions.len() {
        let region = trimmed(&mut new, &graph.regions[at]);
        new.regions[at] = region;
    }
    new
}

/// Which values of a region `results` need. Of a loop or a call they need what those of its results need that they do.
fn needed_values(graph: &Graph, region: &Region, results: &[Value]) -> Vec<bool> {
    let mut needed = vec![false; region.values.len()];
    results.iter().for_each(|value| needed[value.index()] = true);
    for node in region.nodes.iter().rev() {
        let kept: Vec<bool> = node.results.iter().map(|result| needed[result.index()]).collect();
        if !kept.contains(&true) {
            continue;
        }
        let args = match &node.op {
            Op::Loop(op) => {
                let (_, params) = live_in_loop(graph, op, graph.region(node.regions[0]), &kept);
                loop_args(op, &params)
            }
            Op::Call(_) if node.regions.len() == 1 => live_in_call(graph, graph.region(node.regions[0]), &kept),
            _ => vec![true; node.args.len()],
        };
        for (arg, is_needed) in node.args.iter().zip(args) {
            needed[arg.index()] |= is_needed;
        }
    }
    needed
}

/// A region without what its results do not need.
fn trimmed(graph: &mut Graph, region: &Region) -> Region {
    trimmed_part(graph, region, &region.params, &region.results)
}

/// The part of a region that `results` need, with some of its parameters; loops and calls in it compute no more than
/// what is needed of them.
pub(crate) fn trimmed_part(graph: &mut Graph, region: &Region, params: &[Value], results: &[Value]) -> Region {
    let needed = needed_values(graph, region, results);
    let mut cursor = Cursor::empty(region);
    for param in params {
        let value = cursor.b.param(region.ty(*param).clone());
        cursor.set(*param, value);
    }
    for node in &region.nodes {
        let kept: Vec<bool> = node.results.iter().map(|result| needed[result.index()]).collect();
        match &node.op {
            _ if !kept.contains(&true) => {}
            Op::Loop(op) => trim_loop(graph, &mut cursor, node, op, &kept),
            Op::Call(op) if node.regions.len() == 1 => trim_call(graph, &mut cursor, node, op, &kept),
            _ => cursor.copy(node),
        }
    }
    cursor.finish(results)
}

/// Which parameters of a region `results` need.
pub(crate) fn params_of(graph: &Graph, region: &Region, results: &[Value]) -> Vec<bool> {
    let needed = needed_values(graph, region, results);
    region.params.iter().map(|param| needed[param.index()]).collect()
}

/// The values whose flag is set.
fn chosen<T: Copy>(values: &[T], flags: &[bool]) -> Vec<T> {
    values.iter().zip(flags).filter(|(_, flag)| **flag).map(|(value, _)| *value).collect()
}

fn count(flags: &[bool]) -> u32 {
    flags.iter().filter(|flag| **flag).count() as u32
}

/// Which results of a loop's body stay, and which of its parameters they need: a carry stays if it
/// is used behind the loop or feeds something that stays.
fn live_in_loop(graph: &Graph, op: &Loop, body: &Region, kept: &[bool]) -> (Vec<bool>, Vec<bool>) {
    let mut results = kept.to_vec();
    if op.until {
        results[0] = true;
    }
    loop {
        let mut params = params_of(graph, body, &chosen(&body.results, &results));
        params[0] = true;
        let mut changed = false;
        for (param, result) in op.carry_params().zip(op.carry_results()) {
            changed |= params[param] && !results[result];
            results[result] |= params[param];
            params[param] = results[result];
        }
        if !changed {
            return (results, params);
        }
    }
}

fn trim_loop(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Loop, kept: &[bool]) {
    let body = graph.region(node.regions[0]).clone();
    let (results, params) = live_in_loop(graph, op, &body, kept);
    if results.iter().chain(&params).all(|stays| *stays) {
        return cursor.copy(node);
    }
    let smaller = Loop {
        carries: count(&params[op.carry_params()]),
        slices: count(&params[op.slice_params()]),
        invariants: count(&params[op.invariant_params()]),
        stacks: count(&results[op.stack_results()]),
        sums: count(&results[op.sum_results()]),
        ..op.clone()
    };
    let new_body = trimmed_part(graph, &body, &chosen(&body.params, &params), &chosen(&body.results, &results));
    let id = graph.add_region(new_body);
    let args: Vec<Value> = chosen(&node.args, &loop_args(op, &params)).iter().map(|arg| cursor.get(*arg)).collect();
    replace(cursor, node, smaller, id, &args, &results);
}

/// Which operands of a loop stay with its parameters; a carry's parameter and result stay or go together.
fn loop_args(op: &Loop, params: &[bool]) -> Vec<bool> {
    let mut args = vec![true; op.carry_args().start];
    args.extend(&params[1..]);
    args
}

fn live_in_call(graph: &Graph, body: &Region, kept: &[bool]) -> Vec<bool> {
    params_of(graph, body, &chosen(&body.results, kept))
}

fn trim_call(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Call, kept: &[bool]) {
    let body = graph.region(node.regions[0]).clone();
    let params = live_in_call(graph, &body, kept);
    if kept.iter().chain(&params).all(|stays| *stays) {
        return cursor.copy(node);
    }
    let new_body = trimmed_part(graph, &body, &chosen(&body.params, &params), &chosen(&body.results, kept));
    let id = graph.add_region(new_body);
    let args: Vec<Value> = chosen(&node.args, &params).iter().map(|arg| cursor.get(*arg)).collect();
    replace(cursor, node, op.clone(), id, &args, kept);
}

/// Writes the smaller region op.
fn replace(cursor: &mut Cursor<'_>, node: &Node, op: impl Into<Op>, body: RegionId, args: &[Value], kept: &[bool]) {
    let mut copy = node.clone();
    copy.op = op.into();
    copy.regions = smallvec::smallvec![body];
    let old = chosen(&node.results, kept);
    let types: Types = old.iter().map(|value| cursor.old.ty(*value).clone()).collect();
    let new = cursor.b.copy(&copy, args, types);
    for (old, new) in old.into_iter().zip(new) {
        cursor.set(old, new);
    }
}
