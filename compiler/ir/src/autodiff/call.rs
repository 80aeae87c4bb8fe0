//! The gradient of a call: its own second region, or the first one differentiated. A checkpoint's
//! gradient is a call too, which computes the forward values again inside; that it takes the
//! incoming adjoints as operands keeps it from being scheduled early.

use super::linear::{Keep, Linear, chosen};
use super::{Adj, Reason};
use crate::builder::Builder;
use crate::graph::{Graph, NodeId, Value};
use crate::ops::Types;
use crate::region_ops::{Call, Remat};

/// Adjoints of the operands of the call at `id`.
pub(super) fn vjp(
    graph: &mut Graph,
    b: &mut Builder,
    id: NodeId,
    op: &Call,
    adjoints: &[Option<Value>],
    wanted: &[bool],
) -> Vec<Adj> {
    if b.region().nodes[id.index()].regions.len() > 1 {
        return custom(graph, b, id, adjoints);
    }
    let node = b.region().nodes[id.index()].clone();
    let body = graph.region(node.regions[0]).clone();
    let seeded: Vec<bool> = adjoints.iter().map(Option::is_some).collect();
    let mut linear = Linear::new(graph, &body, &seeded, wanted);
    let outputs: Vec<Value> = linear.adjoints.iter().flatten().copied().collect();
    let operands = node.args.len();
    let keep = Keep {
        nothing: op.remat == Remat::Recompute,
        free: &vec![true; operands],
        fixed: &vec![false; operands],
        kept: 0..linear.results().len(),
        // What is called is written out later, and what is kept of it then is chosen anew.
        as_bits: false,
    };
    let residuals = linear.residuals(graph, &outputs, &keep);
    let kept = widen(graph, b, id, op, &linear, &residuals);

    let operands: Vec<Value> = (0..node.args.len()).map(|at| linear.param(at)).collect();
    let read = linear.read(&residuals, &outputs, &operands);
    let mut params = chosen(&operands, &read);
    let mut args = chosen(&node.args, &read);
    params.extend(&residuals);
    args.extend(kept);
    params.extend(linear.seeds.iter().flatten());
    args.extend(adjoints.iter().flatten());
    let region = graph.add_region(linear.backward(&format!("{}_adj", body.name), &params, &outputs));
    let mut results = b.add_call(graph, op.clone(), &args, &[region]).into_iter();
    let adjoint = |found: &Option<Value>| match found.and_then(|_| results.next()) {
        Some(result) => Adj::Value(result),
        None => Adj::Zero(Reason::NoPath),
    };
    linear.adjoints.iter().map(adjoint).collect()
}

/// Makes the call give the residuals as further results.
fn widen(
    graph: &mut Graph,
    b: &mut Builder,
    id: NodeId,
    op: &Call,
    linear: &Linear,
    residuals: &[Value],
) -> Vec<Value> {
    let node = b.region().nodes[id.index()].clone();
    let known = |value: &Value| linear.results().iter().position(|result| result == value);
    let new: Vec<Value> = residuals.iter().filter(|value| known(value).is_none()).copied().collect();
    let mut added = Vec::new();
    if !new.is_empty() {
        let results = [linear.results(), &new].concat();
        let body = graph.add_region(linear.forward(&linear.region().name, &results));
        let types: Types = new.iter().map(|value| linear.region().ty(*value).clone()).collect();
        added = b.widen(id, op.clone(), &[body], node.results.len(), types);
    }
    let mut added = added.into_iter();
    let kept = residuals.iter().map(|value| match known(value) {
        Some(result) => Some(node.results[result]),
        None => added.next(),
    });
    kept.flatten().collect()
}

/// A call of the gradient that the program gives; results without an adjoint get zeros.
fn custom(graph: &Graph, b: &mut Builder, id: NodeId, adjoints: &[Option<Value>]) -> Vec<Adj> {
    let node = b.region().nodes[id.index()].clone();
    let mut args: Vec<Value> = node.args.iter().chain(&node.results).copied().collect();
    for (result, adjoint) in node.results.iter().zip(adjoints) {
        let ty = b.ty(*result).clone();
        if ty.dtype.is_float() {
            args.push(adjoint.unwrap_or_else(|| b.full(ty.dtype, 0.0, &ty.shape)));
        }
    }
    let mut results = b.add_call(graph, Call { remat: Remat::Keep }, &args, &node.regions[1..2]).into_iter();
    let adjoint = |arg: &Value| match b.ty(*arg).dtype.is_float() {
        true => results.next().map_or(Adj::Zero(Reason::NoPath), Adj::Value),
        false => Adj::Zero(Reason::Integer),
    };
    node.args.iter().map(adjoint).collect()
}
