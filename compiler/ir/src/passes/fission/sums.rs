//! Sums over iterations, taken apart: what is linear in a row can be done once, on the sum.
//!
//! `Σ_t f(x_t) = f(Σ_t x_t)` for ops that are linear in their varying operands, and a sum of
//! products of two varying operands is one contraction with one more summed letter. The rest stays
//! a sum of the loop.

use super::body::{Body, Varies};
use crate::cost::Typical;
use crate::graph::{Node, NodeId, Value};
use crate::ops::Op;
use crate::ops::conv::ConvRole;
use crate::ops::reduce::ReduceKind;
use crate::region_ops::stacked;
use crate::scalar::{BinaryOp, UnaryOp};

/// How the result of a node depends on its operands that vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linearity {
    /// Not linear.
    None,
    /// Linear in all of them together.
    Sum,
    /// A product of two, summed over something: one op on all rows.
    Product,
}

/// Of a node with varying operands.
pub(super) fn linearity(body: &Body<'_>, node: &Node) -> Linearity {
    let varies: Vec<bool> = node.args.iter().map(|arg| body.of(*arg) != Varies::Never).collect();
    let all = varies.iter().all(|varies| *varies);
    let linear = |holds: bool| if holds { Linearity::Sum } else { Linearity::None };
    match (&node.op, varies.as_slice()) {
        (Op::Unary(op), _) => linear(op.op == UnaryOp::Neg),
        (Op::Binary(op), [left, right]) => match op.op {
            BinaryOp::Add | BinaryOp::Sub => linear(all),
            BinaryOp::Mul => linear(!all),
            BinaryOp::Div => linear(*left && !right),
            _ => Linearity::None,
        },
        (Op::Select(_), [condition, ..]) => linear(!condition && varies[1] && varies[2]),
        (Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Reverse(_) | Op::CumSum(_), _) => {
            Linearity::Sum
        }
        (Op::Pad(op), _) => linear(op.fill.as_f64() == 0.0),
        (Op::Concat(_), _) => linear(all),
        (Op::Reduce(op), _) => linear(op.kind == ReduceKind::Sum),
        (Op::Contract(_), _) => {
            if all {
                Linearity::Product
            } else {
                Linearity::Sum
            }
        }
        (Op::Conv(op), _) if all && op.role == ConvRole::Weight => Linearity::Product,
        (Op::Conv(_), _) => linear(!all),
        (Op::Gather(_), [_, ids]) => linear(!ids),
        (Op::ScatterAdd(_), [_, ids]) => {
            if *ids {
                Linearity::Product
            } else {
                Linearity::Sum
            }
        }
        _ => Linearity::None,
    }
}

/// Nodes that are done outside, on sums or on all rows, instead of in each iteration.
pub(super) fn peeled(body: &Body<'_>, typical: &Typical) -> Vec<bool> {
    let anchored = anchored(body, typical);
    let mut peeled = vec![false; body.region.nodes.len()];
    let mut read_otherwise = vec![false; body.region.values.len()];
    for result in &body.region.results[..body.op.stack_results().end] {
        read_otherwise[result.index()] = true;
    }
    let mut summed = vec![false; body.region.values.len()];
    for result in body.op.sum_results() {
        summed[body.region.results[result].index()] = true;
    }
    for (at, node) in body.region.nodes.iter().enumerate().rev() {
        let only_summed = |value: &Value| {
            let readers = &body.readers[value.index()];
            let linear =
                |id: &NodeId| peeled[id.index()] && linearity(body, &body.region.nodes[id.index()]) == Linearity::Sum;
            !read_otherwise[value.index()]
                && (summed[value.index()] || !readers.is_empty())
                && readers.iter().all(linear)
        };
        // What goes on from a sum is added up where it stands.
        let stays = matches!(node.op, Op::Accumulate(_));
        peeled[at] = anchored[at] && !stays && node.results.iter().all(only_summed);
    }
    peeled
}

/// Whether taking a sum of the node apart spares each iteration a contraction or the like.
fn anchored(body: &Body<'_>, typical: &Typical) -> Vec<bool> {
    let mut anchored = vec![false; body.region.nodes.len()];
    for (at, node) in body.region.nodes.iter().enumerate() {
        let float = node.results.iter().all(|result| body.region.ty(*result).dtype.is_float());
        if !float || !body.varying(node) {
            continue;
        }
        let inner = |arg: &Value| body.producer(*arg).is_some_and(|id| anchored[id.index()]);
        anchored[at] = match linearity(body, node) {
            Linearity::None => matches!(node.op, Op::Accumulate(_)),
            Linearity::Product => pays(body, node, typical) && can_sum(body, node),
            Linearity::Sum => matches!(node.op, Op::Contract(_) | Op::Conv(_)) || node.args.iter().any(inner),
        };
    }
    anchored
}

/// Whether there is a rule that fits the types; tried on a region of its own.
fn can_sum(body: &Body<'_>, node: &Node) -> bool {
    use super::lift::{Operand, summed};
    let mut b = crate::builder::Builder::new("trial");
    let rows = body.op.trip.bound();
    let operand = |arg: &Value| {
        let ty = body.region.ty(*arg);
        match body.of(*arg) {
            Varies::Never => Operand::Same(b.param(ty.clone())),
            Varies::ByRow | Varies::ByCarry => Operand::Rows(b.param(stacked(rows, ty))),
        }
    };
    let operands: Vec<Operand> = node.args.iter().map(operand).collect();
    summed(&mut b, rows, &node.op, &operands).is_some()
}

/// Whether a product of rows is worth the stacks it needs: a product of two vectors is not.
fn pays(body: &Body<'_>, node: &Node, typical: &Typical) -> bool {
    let Op::Contract(op) = &node.op else { return true };
    let is_there = |value: &Value| body.stacked[value.index()] || body.of(*value) == Varies::ByRow;
    let new = body.varying_args(node).into_iter().filter(|value| !is_there(value));
    let stacked = new.fold(0i64, |sum, value| sum.saturating_add(typical.elements(body.region.ty(value))));
    let [left, right] = [0, 1].map(|at| body.region.ty(node.args[at]));
    let own = op.right.iter().zip(&right.shape).filter(|(letter, _)| !op.left.contains(letter)).map(|(_, size)| size);
    let work = typical.product(left.shape.iter().chain(own));
    work >= stacked
}
