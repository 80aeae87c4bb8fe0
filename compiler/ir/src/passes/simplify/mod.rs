//! Local algebra: what can be said shorter with the same result.
//!
//! Every rule looks at one node whose operands are simplified already, and keeps the bits of its
//! results, but for three: constants are folded by the reference (which is within the tolerance of
//! the op), the sum of a repeated value becomes a product, and in sums of what is padded with zeros
//! a -0 stays what it is. Floats are not reassociated; `x + 0`
//! stays, because it is not `x` for -0; `x * 0` stays, because of NaN. Equal nodes are merged by the
//! builder as they are written.

mod arith;
mod fold;
mod parts;
mod repeats;
mod views;

use crate::builder::Builder;
use crate::graph::{Graph, Node, Region, Value};
use crate::ops::Op;
use crate::passes::uses;
use crate::rewrite::Cursor;
use crate::scalar::Literal;
use std::collections::BTreeSet;

const PASS: &str = "simplify";

/// The pass.
pub fn simplify(graph: &Graph) -> Graph {
    Graph { regions: graph.regions.iter().map(region).collect(), ..graph.clone() }
}

fn region(region: &Region) -> Region {
    let mut cursor = Cursor::new(region);
    let is_first = parts::first_terms(region);
    let mut first_terms = BTreeSet::new();
    for (node, is_first) in region.nodes.iter().zip(is_first) {
        let args = cursor.args(node);
        cursor.at(node, PASS);
        match rule(&mut cursor.b, &node.op, &args) {
            Some(value) => cursor.put(node, &[value]),
            None => cursor.copy(node),
        }
        if !parts::is_sum(node) {
            continue;
        }
        let sum = cursor.get(node.results[0]);
        if is_first {
            first_terms.insert(sum);
        } else if let Some(sum) = parts::sum(&mut cursor.b, sum, &first_terms) {
            cursor.set(node.results[0], sum);
        }
    }
    cursor.finish(&region.results)
}

/// Adds a node unless it can be said shorter.
fn emit(b: &mut Builder, op: impl Into<Op>, args: &[Value]) -> Value {
    let op = op.into();
    match rule(b, &op, args) {
        Some(value) => value,
        None => b.add1(op, args),
    }
}

/// A shorter form of a node with one result.
fn rule(b: &mut Builder, op: &Op, args: &[Value]) -> Option<Value> {
    fold::rule(b, op, args).or_else(|| repeats::elementwise(b, op, args)).or_else(|| match op {
        Op::Unary(op) => arith::unary(b, op.op, args[0]),
        Op::Binary(op) => arith::binary(b, op.op, args[0], args[1]),
        Op::Select(_) => arith::select(b, args[0], args[1], args[2]),
        Op::Cast(op) => arith::cast(b, op.dtype, args[0]),
        Op::Reduce(op) => arith::reduce(b, op, args[0]),
        Op::Broadcast(op) => views::broadcast(b, op, args[0]),
        Op::Transpose(op) => views::transpose(b, op, args[0]),
        Op::Reshape(op) => views::reshape(b, op, args[0]),
        Op::Slice(op) => views::slice(b, op, args[0]),
        Op::Pad(op) => views::pad(op, args[0]),
        Op::Concat(_) if args.len() == 1 => Some(args[0]),
        Op::Reverse(op) if op.axes.is_empty() => Some(args[0]),
        _ => None,
    })
}

/// The node that makes a value.
fn made(b: &Builder, value: Value) -> Option<Node> {
    b.region().producer(value).cloned()
}

/// The number that every element of a value is.
fn splat(b: &Builder, value: Value) -> Option<Literal> {
    uses::splat(b.region(), value)
}

/// The scalar that every element of a value is, if it is one repeated.
fn scalar_of(b: &Builder, value: Value) -> Option<Value> {
    let node = b.region().producer(value)?;
    match &node.op {
        Op::Broadcast(op) if op.axes.is_empty() => Some(node.args[0]),
        _ => None,
    }
}
