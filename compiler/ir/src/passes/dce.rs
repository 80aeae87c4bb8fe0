//! Drops what no result needs: nodes, and results, carries, slices and invariants of loops and
//! calls. This is what keeps the values a gradient asked for out of programs without gradients.

use crate::flow::{Flow, producer};
use crate::graph::{Graph, Node, NodeId, Region, RegionId, Value};
use crate::ops::{Op, Types};
use crate::passes::compact;
use crate::region_ops::{Call, Loop};
use crate::rewrite::{Cursor, needed_params, part};
use petgraph::visit::{Dfs, Reversed};

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

/// Nodes that a result of the region depends on.
fn live(region: &Region) -> Vec<bool> {
    let flow = Flow::new(region);
    let backwards = Reversed(&flow);
    let mut search = Dfs::empty(backwards);
    let mut live = vec![false; region.nodes.len()];
    for id in region.results.iter().filter_map(|value| producer(region, *value)) {
        search.move_to(id);
        while let Some(NodeId(at)) = search.next(backwards) {
            live[at as usize] = true;
        }
    }
    live
}

fn trimmed(graph: &mut Graph, region: &Region) -> Region {
    let live = live(region);
    let mut used = vec![false; region.values.len()];
    let readers = region.nodes.iter().zip(&live).filter(|(_, live)| **live).flat_map(|(node, _)| &node.args);
    readers.chain(&region.results).for_each(|value| used[value.index()] = true);
    let mut cursor = Cursor::new(region);
    for (node, _) in region.nodes.iter().zip(&live).filter(|(_, live)| **live) {
        let kept: Vec<bool> = node.results.iter().map(|result| used[result.index()]).collect();
        match &node.op {
            Op::Loop(op) => trim_loop(graph, &mut cursor, node, op, &kept),
            Op::Call(op) if node.regions.len() == 1 => trim_call(graph, &mut cursor, node, op, &kept),
            _ => cursor.copy(node),
        }
    }
    cursor.finish(&region.results)
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
fn live_in_loop(op: &Loop, body: &Region, kept: &[bool]) -> (Vec<bool>, Vec<bool>) {
    let mut results = kept.to_vec();
    if op.until {
        results[0] = true;
    }
    loop {
        let mut params = needed_params(body, &chosen(&body.results, &results));
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
    let (results, params) = live_in_loop(op, &body, kept);
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
    let new_body = part(&body, &body.name, &chosen(&body.params, &params), &chosen(&body.results, &results));
    let id = graph.add_region(new_body);
    // A carry's parameter and result stay or go together, so the operands follow the parameters.
    let mut args = cursor.args(node).to_vec();
    let mut staying = vec![true; op.carry_args().start];
    staying.extend(&params[1..]);
    args = chosen(&args, &staying);
    replace(cursor, node, smaller, id, &args, &results);
}

fn trim_call(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Call, kept: &[bool]) {
    let body = graph.region(node.regions[0]).clone();
    let params = needed_params(&body, &chosen(&body.results, kept));
    if kept.iter().chain(&params).all(|stays| *stays) {
        return cursor.copy(node);
    }
    let new_body = part(&body, &body.name, &chosen(&body.params, &params), &chosen(&body.results, kept));
    let id = graph.add_region(new_body);
    let args = chosen(&cursor.args(node), &params);
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
