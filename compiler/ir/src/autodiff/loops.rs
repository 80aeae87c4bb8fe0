//! The gradient of a loop: the forward loop stacks what the backward loop needs, the backward loop
//! runs the other way.
//!
//! Forward body `f(p, c, x, inv) -> (c', y, s)`; backward body
//! `g(p, c'_adj, [kept values, x, y_adj], [inv, s_adj]) -> (c_adj, x_adj, inv_adj)`, where adjoints
//! of slices are stacks and adjoints of invariants are sums. A stop condition is not differentiated;
//! the backward loop runs as often as the forward loop did.

use super::linear::{Keep, Linear, depends};
use super::{Adj, Reason};
use crate::builder::Builder;
use crate::graph::{Graph, NodeId, Region, Value};
use crate::ops::Types;
use crate::region_ops::{Loop, Trip, stacked};
use crate::rewrite::reaching;

/// Adjoints of the operands of the loop at `id`, from what it gives behind the first `passes` passes, or behind all.
pub(super) fn vjp(
    graph: &mut Graph,
    b: &mut Builder,
    (id, op): (NodeId, &Loop),
    passes: Option<Value>,
    adjoints: &[Option<Value>],
    wanted: &[bool],
) -> Vec<Adj> {
    let body_id = b.region().nodes[id.index()].regions[0];
    let body = graph.region(body_id).clone();
    let roles = Roles::new(op, &body, adjoints, wanted);
    let mut linear = Linear::new(graph, &body, &roles.seeded, &roles.wanted);
    let plan = Plan::new(graph, op, &mut linear, &roles);
    let rows = widen(graph, b, id, op, &mut linear, &plan);
    let results = backward(graph, b, (id, op), passes, &linear, &plan, &rows, adjoints);
    plan.adjoints(op, wanted.len(), &results)
}

/// Which results of the body have an adjoint, and which parameters need one.
struct Roles {
    seeded: Vec<bool>,
    wanted: Vec<bool>,
}

impl Roles {
    fn new(op: &Loop, body: &Region, adjoints: &[Option<Value>], wanted: &[bool]) -> Roles {
        let mut needs = vec![false; body.params.len()];
        let operands = op.carry_args().start..wanted.len();
        for (param, arg) in operands.enumerate() {
            needs[1 + param] = wanted[arg];
        }
        // A carry is active if its start is, or what it becomes is.
        loop {
            let starts = super::linear::chosen(&body.params, &needs);
            let active = depends(body, &starts);
            let more = op.carry_params().zip(op.carry_results()).filter(|(param, result)| {
                !needs[*param] && active[body.results[*result].index()] && body.ty(body.params[*param]).dtype.is_float()
            });
            let more: Vec<usize> = more.map(|(param, _)| param).collect();
            if more.is_empty() {
                return Roles::seeded(op, body, adjoints, needs, &active);
            }
            more.into_iter().for_each(|param| needs[param] = true);
        }
    }

    /// An active carry has an adjoint if its result has, or if it reaches a result that has.
    fn seeded(op: &Loop, body: &Region, adjoints: &[Option<Value>], needs: Vec<bool>, active: &[bool]) -> Roles {
        // Where there may be no pass the result is the start, whatever a pass would make of it.
        let stays = |at: usize| {
            op.has_count() && op.carry_results().contains(&at) && {
                needs[op.carry_params().start + at - op.carry_results().start]
            }
        };
        let has = |at: usize| adjoints[at].is_some() && (active[body.results[at].index()] || stays(at));
        let mut seeded: Vec<bool> = (0..body.results.len()).map(|at| !(op.until && at == 0) && has(at)).collect();
        loop {
            let reaches = reaching(body, &super::linear::chosen(&body.results, &seeded));
            let more = op
                .carry_params()
                .zip(op.carry_results())
                .filter(|(param, result)| needs[*param] && !seeded[*result] && reaches[body.params[*param].index()]);
            let more: Vec<usize> = more.map(|(_, result)| result).collect();
            if more.is_empty() {
                break;
            }
            more.into_iter().for_each(|result| seeded[result] = true);
        }
        // Adjoints of carries that stay without one are not asked for.
        let mut wanted = needs;
        for (param, result) in op.carry_params().zip(op.carry_results()) {
            wanted[param] &= seeded[result];
            seeded[result] &= wanted[param];
        }
        Roles { seeded, wanted }
    }
}

/// What the backward loop is made of; positions are those of the forward body's parameters.
struct Plan {
    /// Carries with an adjoint: the parameter, and its adjoint in the body.
    carries: Vec<(usize, Value)>,
    /// Slices with an adjoint.
    slices: Vec<(usize, Value)>,
    /// Invariants with an adjoint.
    invariants: Vec<(usize, Value)>,
    /// Forward values that are stacked.
    residuals: Vec<Value>,
    /// Slices the backward body reads.
    read_slices: Vec<usize>,
    /// Invariants the backward body reads.
    read_invariants: Vec<usize>,
}

impl Plan {
    fn new(graph: &Graph, op: &Loop, linear: &mut Linear, roles: &Roles) -> Plan {
        let found = |linear: &Linear, range: std::ops::Range<usize>| -> Vec<(usize, Value)> {
            range.filter_map(|param| linear.adjoints[param].map(|adjoint| (param, adjoint))).collect()
        };
        let mut carries = Vec::new();
        for param in op.carry_params().filter(|param| roles.wanted[*param]) {
            let adjoint = linear.adjoints[param].unwrap_or_else(|| linear.zero(param));
            carries.push((param, adjoint));
        }
        let (slices, invariants) = (found(linear, op.slice_params()), found(linear, op.invariant_params()));
        let outputs: Vec<Value> = [&carries, &slices, &invariants].into_iter().flatten().map(|(_, adj)| *adj).collect();
        let all = 0..op.invariant_params().end;
        let free: Vec<bool> = all.clone().map(|param| !op.carry_params().contains(&param)).collect();
        let fixed: Vec<bool> = all.map(|param| param == 0 || op.invariant_params().contains(&param)).collect();
        let keep = Keep { nothing: false, free: &free, fixed: &fixed, kept: op.stack_results(), as_bits: true };
        let residuals = linear.residuals(graph, &outputs, &keep);
        let reads = |range: std::ops::Range<usize>| -> Vec<usize> {
            let candidates: Vec<Value> = range.clone().map(|param| linear.param(param)).collect();
            let used = linear.read(&residuals, &outputs, &candidates);
            range.zip(used).filter(|(_, used)| *used).map(|(param, _)| param).collect()
        };
        let (read_slices, read_invariants) = (reads(op.slice_params()), reads(op.invariant_params()));
        Plan { carries, slices, invariants, residuals, read_slices, read_invariants }
    }

    fn outputs(&self) -> Vec<Value> {
        [&self.carries, &self.slices, &self.invariants].into_iter().flatten().map(|(_, adjoint)| *adjoint).collect()
    }

    /// The adjoints of the forward loop's operands from the results of the backward loop.
    fn adjoints(&self, op: &Loop, operands: usize, results: &[Value]) -> Vec<Adj> {
        let mut adjoints = vec![Adj::Zero(Reason::NoPath); operands];
        let shift = op.carry_args().start;
        let params = [&self.carries, &self.slices, &self.invariants].into_iter().flatten().map(|(param, _)| *param);
        for (param, result) in params.zip(results) {
            adjoints[param - 1 + shift] = Adj::Value(*result);
        }
        if op.has_count() {
            adjoints[0] = Adj::Zero(Reason::Integer);
        }
        adjoints
    }
}

/// Makes the forward loop stack the residuals it does not stack yet; gives the stacks.
fn widen(graph: &mut Graph, b: &mut Builder, id: NodeId, op: &Loop, linear: &mut Linear, plan: &Plan) -> Vec<Value> {
    let node = b.region().nodes[id.index()].clone();
    let stacks = op.stack_results();
    let known = |value: &Value| stacks.clone().find(|stack| linear.results()[*stack] == *value);
    let new: Vec<Value> = plan.residuals.iter().filter(|value| known(value).is_none()).copied().collect();
    let mut added = Vec::new();
    if !new.is_empty() {
        let mut results = linear.results().to_vec();
        results.splice(stacks.end..stacks.end, new.iter().copied());
        let body = graph.add_region(linear.forward(&linear.region().name, &results));
        let types: Types = new.iter().map(|value| stacked(op.trip.bound(), linear.region().ty(*value))).collect();
        let wider = Loop { stacks: op.stacks + new.len() as u32, ..op.clone() };
        added = b.widen(id, wider, &[body], stacks.end, types);
    }
    let mut added = added.into_iter();
    let rows = plan.residuals.iter().map(|value| match known(value) {
        Some(stack) => Some(node.results[stack]),
        None => added.next(),
    });
    rows.flatten().collect()
}

/// Adds the backward loop; gives its results.
#[expect(clippy::too_many_arguments, reason = "one piece of the rule, split off for its length")]
fn backward(
    graph: &mut Graph,
    b: &mut Builder,
    (id, op): (NodeId, &Loop),
    passes: Option<Value>,
    linear: &Linear,
    plan: &Plan,
    rows: &[Value],
    adjoints: &[Option<Value>],
) -> Vec<Value> {
    let node = b.region().nodes[id.index()].clone();
    let shift = op.carry_args().start;
    let counted = passes.or(op.until.then(|| node.results[0])).or(op.has_count().then(|| node.args[0]));
    let (mut params, mut args) = (vec![linear.param(0)], Vec::from_iter(counted));
    for (param, _) in &plan.carries {
        let result = op.carry_results().start + param - 1;
        params.extend(linear.seeds[result]);
        args.push(adjoints[result].unwrap_or_else(|| zero(b, node.results[result])));
    }
    let start = params.len();
    params.extend(&plan.residuals);
    args.extend(rows);
    params.extend(plan.read_slices.iter().map(|param| linear.param(*param)));
    args.extend(plan.read_slices.iter().map(|param| node.args[param - 1 + shift]));
    seeds(op.stack_results(), linear, adjoints, &mut params, &mut args);
    let slices = (params.len() - start) as u32;
    params.extend(plan.read_invariants.iter().map(|param| linear.param(*param)));
    args.extend(plan.read_invariants.iter().map(|param| node.args[param - 1 + shift]));
    seeds(op.sum_results(), linear, adjoints, &mut params, &mut args);
    let bound = op.trip.bound().clone();
    let back = Loop {
        trip: if counted.is_some() { Trip::UpTo(bound) } else { Trip::Exact(bound) },
        rev: !op.rev,
        until: false,
        carries: plan.carries.len() as u32,
        slices,
        invariants: (params.len() - start) as u32 - slices,
        stacks: plan.slices.len() as u32,
        sums: plan.invariants.len() as u32,
        part: op.part,
    };
    let name = format!("{}_adj", linear.region().name);
    let body = graph.add_region(linear.backward(&name, &params, &plan.outputs()));
    b.add_loop(graph, back, &args, body).to_vec()
}

/// Parameters and operands for the adjoints of some of the results.
fn seeds(
    range: std::ops::Range<usize>,
    linear: &Linear,
    adjoints: &[Option<Value>],
    params: &mut Vec<Value>,
    args: &mut Vec<Value>,
) {
    for (seed, adjoint) in range.filter_map(|result| linear.seeds[result].zip(adjoints[result])) {
        params.push(seed);
        args.push(adjoint);
    }
}

fn zero(b: &mut Builder, like: Value) -> Value {
    let ty = b.ty(like).clone();
    b.full(ty.dtype, 0.0, &ty.shape)
}
