//! Which values are made of some others. Results of loops and calls are told apart: each is made of what its own
//! computation in the body reads.

use crate::graph::{Graph, Node, Region, Value};
use crate::ops::Op;
use crate::region_ops::Loop;

/// Whether each value is made of one of `starts`, by the nodes behind the first `mark`.
pub fn made_of_parts(graph: &Graph, region: &Region, mark: usize, starts: &[Value]) -> Vec<bool> {
    let mut made = vec![false; region.values.len()];
    for start in starts {
        made[start.index()] = true;
    }
    for node in &region.nodes[mark.min(region.nodes.len())..] {
        let args: Vec<bool> = node.args.iter().map(|arg| made[arg.index()]).collect();
        if args.contains(&true) {
            for (result, is_made) in node.results.iter().zip(results_of(graph, node, &args)) {
                made[result.index()] |= is_made;
            }
        }
    }
    made
}

/// Which results of a node are made of the operands with a flag.
fn results_of(graph: &Graph, node: &Node, args: &[bool]) -> Vec<bool> {
    match &node.op {
        Op::Loop(op) => loop_results(graph, op, graph.region(node.regions[0]), args),
        Op::Call(_) if node.regions.len() == 1 => body_results(graph, graph.region(node.regions[0]), args),
        _ => vec![true; node.results.len()],
    }
}

fn body_results(graph: &Graph, body: &Region, params: &[bool]) -> Vec<bool> {
    let starts: Vec<Value> =
        body.params.iter().zip(params).filter(|(_, flag)| **flag).map(|(param, _)| *param).collect();
    let made = made_of_parts(graph, body, 0, &starts);
    body.results.iter().map(|result| made[result.index()]).collect()
}

fn loop_results(graph: &Graph, op: &Loop, body: &Region, args: &[bool]) -> Vec<bool> {
    let all = vec![true; op.sum_results().end];
    if op.has_count() && args[0] {
        return all;
    }
    let mut params = vec![false];
    params.extend(&args[op.carry_args().start..]);
    loop {
        let mut results = body_results(graph, body, &params);
        if op.until && results[0] {
            return all;
        }
        let mut changed = false;
        for (param, result) in op.carry_params().zip(op.carry_results()) {
            changed |= results[result] && !params[param];
            // Where there is no pass the result is the start.
            results[result] |= params[param];
            params[param] = results[result];
        }
        if !changed {
            return results;
        }
    }
}
