//! Why there is no gradient: where the paths from a value to the loss end.

use super::{Adj, Cut, Holes, Reason, VjpCx};
use crate::builder::Builder;
use crate::graph::{Graph, Node, Region, SpanId, Value};
use crate::ops::Op;
use crate::region_ops::Loop;

/// Explains why `loss` has no gradient by `value`, among the first `nodes` nodes of the region: the
/// first node on a path between them that stops it.
pub(super) fn explain(graph: &Graph, region: &Region, holes: &Holes, nodes: usize, loss: Value, value: Value) -> Cut {
    let walk = Walk { graph, region, holes, nodes };
    let needed = walk.needed(&[loss]);
    if !needed[value.index()] {
        return Cut { at: None };
    }
    let (_, stops) = walk.follow(&[value], &needed);
    Cut { at: stops.first().copied() }
}

/// As the public function of that name.
pub(super) fn reached(graph: &Graph, region: &Region, nodes: usize, starts: &[Value]) -> Vec<bool> {
    let walk = Walk { graph, region, holes: &Holes::default(), nodes };
    walk.follow(starts, &vec![true; region.values.len()]).0
}

struct Walk<'a> {
    graph: &'a Graph,
    region: &'a Region,
    holes: &'a Holes,
    nodes: usize,
}

impl Walk<'_> {
    /// Values that the targets are computed from.
    fn needed(&self, targets: &[Value]) -> Vec<bool> {
        let mut needed = vec![false; self.region.values.len()];
        for target in targets {
            needed[target.index()] = true;
        }
        self.leave(self.nodes, &mut needed);
        for (at, node) in self.region.nodes[..self.nodes].iter().enumerate().rev() {
            if node.results.iter().any(|result| needed[result.index()]) {
                for arg in &node.args {
                    needed[arg.index()] = true;
                }
            }
            self.leave(at, &mut needed);
        }
        needed
    }

    /// What the holes made before node `at` stand for is needed if they are.
    fn leave(&self, at: usize, needed: &mut [bool]) {
        for stands in self.holes.made_at(at).rev() {
            needed[stands.value.index()] |= needed[stands.hole.index()];
        }
    }

    /// Values that a gradient passes to from `starts`, and where needed paths end.
    fn follow(&self, starts: &[Value], needed: &[bool]) -> (Vec<bool>, Vec<(SpanId, Reason)>) {
        let mut passes = vec![false; self.region.values.len()];
        for start in starts {
            passes[start.index()] = true;
        }
        let mut stops = Vec::new();
        for (number, node) in self.region.nodes[..self.nodes].iter().enumerate() {
            self.enter(number, &mut passes);
            if !node.results.iter().any(|result| needed[result.index()]) {
                continue;
            }
            for (at, arg) in node.args.iter().enumerate() {
                if !passes[arg.index()] {
                    continue;
                }
                match self.stop(node, at) {
                    Some(stop) => stops.push(stop),
                    None => {
                        for result in &node.results {
                            passes[result.index()] |= self.region.ty(*result).dtype.is_float();
                        }
                    }
                }
            }
        }
        self.enter(self.nodes, &mut passes);
        (passes, stops)
    }

    /// A gradient passes to the holes made before node `at` if it passes to what they stand for.
    fn enter(&self, at: usize, passes: &mut [bool]) {
        for stands in self.holes.made_at(at) {
            passes[stands.hole.index()] |= passes[stands.value.index()];
        }
    }

    /// Whether the second region of a call has an adjoint for operand `at`.
    fn is_given(&self, node: &Node, at: usize) -> bool {
        let is_float = |arg: &Value| self.region.ty(*arg).dtype.is_float();
        let before = node.args[..at].iter().filter(|arg| is_float(arg)).count();
        let given = node.regions.get(1).map_or(0, |second| self.graph.region(*second).results.len());
        is_float(&node.args[at]) && before < given
    }

    /// Why no gradient passes from the results of a node to operand `at`, and where.
    fn stop(&self, node: &Node, at: usize) -> Option<(SpanId, Reason)> {
        let param = match &node.op {
            Op::Call(_) if self.is_given(node, at) => return None,
            Op::Call(_) => at,
            Op::Loop(op) if at < op.carry_args().start => return Some((node.span, Reason::Integer)),
            // Where there may be no pass the result is the start.
            Op::Loop(op)
                if op.has_count()
                    && op.carry_args().contains(&at)
                    && self.region.ty(node.args[at]).dtype.is_float() =>
            {
                return None;
            }
            Op::Loop(op) => at + 1 - op.carry_args().start,
            Op::Foreign(_) => return Some((node.span, Reason::Foreign)),
            op => return reason(op, self.region, node, at).map(|reason| (node.span, reason)),
        };
        let body = self.graph.region(node.regions[0]);
        let walk = Walk { graph: self.graph, region: body, holes: &Holes::default(), nodes: body.nodes.len() };
        walk.through(&node.op, param).map(|stop| stop.unwrap_or((node.span, Reason::NoPath)))
    }

    /// `None` if a gradient passes from a result to parameter `param`; else where it stops, if anywhere.
    fn through(&self, op: &Op, param: usize) -> Option<Option<(SpanId, Reason)>> {
        let needed = self.needed(&self.region.results);
        let mut starts = vec![self.region.params[param]];
        loop {
            let (passes, stops) = self.follow(&starts, &needed);
            if self.region.results.iter().any(|result| passes[result.index()]) {
                return None;
            }
            let carried = match op {
                Op::Loop(op) => self.carried(op, &passes, &starts),
                _ => Vec::new(),
            };
            if carried.is_empty() {
                return Some(stops.first().copied());
            }
            starts.extend(carried);
        }
    }

    /// Carries whose result is reached but whose parameter is not yet.
    fn carried(&self, op: &Loop, passes: &[bool], starts: &[Value]) -> Vec<Value> {
        let pairs = op.carry_params().zip(op.carry_results());
        let reached = pairs.filter(|(_, result)| passes[self.region.results[*result].index()]);
        let params = reached.map(|(param, _)| self.region.params[param]);
        params.filter(|param| !starts.contains(param)).collect()
    }
}

/// The answer of a primitive's gradient rule for operand `at`, tried on a region of its own.
fn reason(op: &Op, region: &Region, node: &Node, at: usize) -> Option<Reason> {
    let mut b = Builder::new("trial");
    let args: Vec<Value> = node.args.iter().map(|arg| b.param(region.ty(*arg).clone())).collect();
    let results = b.add(op.clone(), &args);
    let floats = results.iter().any(|result| b.ty(*result).dtype.is_float());
    let adjoints: Vec<Option<Value>> = results
        .iter()
        .map(|result| {
            let ty = b.ty(*result).clone();
            ty.dtype.is_float().then(|| b.param(ty))
        })
        .collect();
    let wanted = vec![floats; args.len()];
    let primitive = op.primitive()?;
    match primitive.vjp(&mut VjpCx::new(&mut b, &args, &results, &adjoints, &wanted)).get(at) {
        Some(Adj::Zero(reason)) => Some(*reason),
        Some(Adj::Value(_)) | None => None,
    }
}
