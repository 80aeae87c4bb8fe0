//! What C functions return is a fault of the entry that calls them, wherever in it they are called:
//! loops hand the first status that is not 0 on to their end. Gradients that are C functions appear
//! when all others have been taken, so this is a pass, and not the work of whoever adds the call.

use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::{Checked, Fault, Graph, Node, Output, Region, SpanId, Value};
use crate::ops::select::Select;
use crate::ops::{Op, Types};
use crate::passes::dce;
use crate::region_ops::Loop;
use crate::rewrite::Cursor;
use crate::scalar::{BinaryOp, CompareOp, Literal};
use crate::ty::{DType, Type};
use std::sync::Arc;

const PASS: &str = "statuses";

/// The pass. Calls whose results nobody uses are dropped before.
pub fn statuses(graph: &Graph) -> Graph {
    let is_foreign = |node: &Node| matches!(node.op, Op::Foreign(_));
    if !graph.regions.iter().any(|region| region.nodes.iter().any(is_foreign)) {
        return graph.clone();
    }
    let mut new = dce(graph);
    for at in 0..new.entries.len() {
        let id = new.entries[at].region;
        let old = new.region(id).clone();
        let (mut cursor, found) = lifted(&mut new, &old, Cursor::new(&old));
        let mut results: Vec<Value> = old.results.iter().map(|result| cursor.get(*result)).collect();
        for status in found {
            results.push(first_bad(&mut cursor.b, &status));
            let (checked, text) = (Checked::Status, status.symbol.to_string());
            new.entries[at].outputs.push(Output::Fault(Fault { checked, span: status.span, text, bound: Dim::zero() }));
        }
        new.regions[id.index()] = cursor.b.finish(results);
    }
    new
}

/// What a function returned, or the first of several calls that was not 0.
struct Status {
    value: Value,
    span: SpanId,
    symbol: Arc<str>,
}

/// As faults have it: the status, or i32::MAX if it is 0. What is i32::MAX itself becomes one less.
fn first_bad(b: &mut Builder, status: &Status) -> Value {
    (b.span, b.made_by) = (status.span, PASS);
    let zero = b.literal(Literal::zero(DType::I32));
    let none = b.literal(Literal::from_i64(DType::I32, i64::from(i32::MAX)));
    let most = b.literal(Literal::from_i64(DType::I32, i64::from(i32::MAX - 1)));
    let fine = b.compare(CompareOp::Eq, status.value, zero);
    let told = b.binary(BinaryOp::Min, status.value, most);
    b.add1(Select, &[fine, none, told])
}

/// Copies a region whose loops hand on what the functions in them returned.
fn lifted<'a>(graph: &mut Graph, region: &'a Region, mut cursor: Cursor<'a>) -> (Cursor<'a>, Vec<Status>) {
    let mut found = Vec::new();
    for node in &region.nodes {
        match &node.op {
            Op::Foreign(op) => {
                cursor.copy(node);
                let value = node.results.last().map(|status| cursor.get(*status));
                found.extend(value.map(|value| Status { value, span: node.span, symbol: op.symbol.clone() }));
            }
            Op::Loop(op) => found.extend(put_loop(graph, &mut cursor, node, op)),
            _ => cursor.copy(node),
        }
    }
    (cursor, found)
}

fn put_loop(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Loop) -> Vec<Status> {
    let body = graph.region(node.regions[0]).clone();
    let count = calls(graph, &body);
    if count == 0 {
        cursor.copy(node);
        return Vec::new();
    }
    let mut widened = Cursor::empty(&body);
    let mut carried = Vec::new();
    for at in 0..=body.params.len() {
        if at == op.carry_params().end {
            carried = (0..count).map(|_| widened.b.param(Type::scalar(DType::I32))).collect();
        }
        if let Some(param) = body.params.get(at) {
            let value = widened.b.param(body.ty(*param).clone());
            widened.set(*param, value);
        }
    }
    let (mut inside, mut found) = lifted(graph, &body, widened);
    let mut results: Vec<Value> = body.results.iter().map(|result| inside.get(*result)).collect();
    let next = found.iter().zip(&carried).map(|(status, carried)| either(&mut inside.b, node, *carried, status.value));
    let next: Vec<Value> = next.collect();
    results.splice(op.carry_results().end..op.carry_results().end, next);
    let id = graph.add_region(inside.b.finish(results));

    let mut args = cursor.args(node).to_vec();
    let zero = cursor.b.literal(Literal::zero(DType::I32));
    args.splice(op.carry_args().end..op.carry_args().end, vec![zero; count]);
    let mut types: Types = cursor.types(node);
    types.insert_many(op.carry_results().end, vec![Type::scalar(DType::I32); count]);
    let wider = Loop { carries: op.carries + count as u32, ..op.clone() };
    let copy = Node { op: wider.into(), regions: smallvec::smallvec![id], ..node.clone() };
    let mut values = cursor.b.copy(&copy, &args, types).to_vec();
    let statuses: Vec<Value> = values.drain(op.carry_results().end..op.carry_results().end + count).collect();
    cursor.put(node, &values);
    found.iter_mut().zip(statuses).for_each(|(status, value)| status.value = value);
    found
}

/// The number of places in a region that call C functions.
fn calls(graph: &Graph, region: &Region) -> usize {
    let here = region.nodes.iter().map(|node| match node.op {
        Op::Foreign(_) => 1,
        Op::Loop(_) => calls(graph, graph.region(node.regions[0])),
        _ => 0,
    });
    here.sum()
}

/// The first of two statuses that is not 0.
fn either(b: &mut Builder, node: &Node, first: Value, then: Value) -> Value {
    (b.span, b.made_by) = (node.span, PASS);
    let zero = b.literal(Literal::zero(DType::I32));
    let fine = b.compare(CompareOp::Eq, first, zero);
    b.add1(Select, &[fine, then, first])
}
