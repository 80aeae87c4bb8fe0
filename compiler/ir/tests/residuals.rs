//! What a loop stacks for its backward pass, in bytes for each iteration.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::cells::{f32s, project, spread};
use common::{entry, weighted};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::ops::Op;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::random::Random;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::select::Select;
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::print::graph_text;
use mlc_ir::region_ops::{Call, Loop, Remat, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, CompareOp, Distribution, UnaryOp};
use mlc_ir::ty::{DType, Type};

const ROWS: i64 = 8;
const WIDTH: i64 = 4;
const LAYERS: i64 = 6;

fn scaled(b: &mut Builder, x: Value, factor: f64) -> Value {
    let ty = b.ty(x).clone();
    let factor = b.full(ty.dtype, factor, &ty.shape);
    b.binary(BinaryOp::Mul, x, factor)
}

/// `x / 2 · (1 + erf(x · 0.7))`
fn gelu(b: &mut Builder, x: Value) -> Value {
    let inner = scaled(b, x, 0.7);
    let erf = b.unary(UnaryOp::Erf, inner);
    let half = scaled(b, x, 0.5);
    let product = b.binary(BinaryOp::Mul, half, erf);
    b.binary(BinaryOp::Add, half, product)
}

fn softmax(b: &mut Builder, x: Value) -> Value {
    let most = b.add1(Reduce { kind: ReduceKind::Max, axes: vec![1] }, &[x]);
    let most = spread(b, most, x, &[0]);
    let shifted = b.binary(BinaryOp::Sub, x, most);
    let power = b.unary(UnaryOp::Exp, shifted);
    let total = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![1] }, &[power]);
    let total = spread(b, total, x, &[0]);
    b.binary(BinaryOp::Div, power, total)
}

/// Half of the elements, drawn anew for each site.
fn dropout(b: &mut Builder, x: Value, numbers: [Value; 3]) -> Value {
    let shape = b.ty(x).shape.clone();
    let op = Random { distribution: Distribution::Uniform, shape: shape.clone(), site: 7 };
    let draw = b.add1(op, &numbers);
    let (half, zero) = (b.full(DType::F32, 0.5, &shape), b.full(DType::F32, 0.0, &shape));
    let kept = b.add1(Compare { op: CompareOp::Lt }, &[draw, half]);
    b.add1(Select, &[kept, x, zero])
}

type Block = fn(&mut Builder, Value, Value, [Value; 3]) -> Value;

/// A loop over a stack of blocks `(x, w, seed, step, offset) -> x`, with the gradients by `x` and all `w`.
fn blocks(block: Block, remat: Option<Remat>) -> Graph {
    blocks_of(ROWS, WIDTH, block, remat)
}

/// Of so many rows of a width.
fn blocks_of(rows: i64, width: i64, block: Block, remat: Option<Remat>) -> Graph {
    let mut graph = Graph::new();
    let (row, number) = (f32s(&[rows, width]), Type::scalar(DType::I64));
    let types = [row.clone(), f32s(&[width, width]), number.clone(), number.clone(), number.clone()];
    let mut b = Builder::new("body");
    b.param(number.clone());
    let params = types.clone().map(|ty| b.param(ty));
    let result = match remat {
        None => block(&mut b, params[0], params[1], [params[2], params[3], params[4]]),
        Some(remat) => {
            let mut inner = Builder::new("block");
            let p = types.clone().map(|ty| inner.param(ty));
            let y = block(&mut inner, p[0], p[1], [p[2], p[3], p[4]]);
            let body = graph.add_region(inner.finish(vec![y]));
            b.add_call(&graph, Call { remat }, &params, &[body])[0]
        }
    };
    let body = graph.add_region(b.finish(vec![result]));
    let mut b = Builder::new("main");
    let x = b.param(row);
    let w = b.param(stacked(&Dim::from(LAYERS), &types[1]));
    let numbers = [0; 3].map(|_| b.param(number.clone()));
    let trip = Trip::Exact(Dim::from(LAYERS));
    let op = Loop { carries: 1, slices: 1, invariants: 3, ..Loop::new(trip) };
    let args: Vec<Value> = [x, w].into_iter().chain(numbers).collect();
    let y = b.add_loop(&graph, op, &args, body)[0];
    let loss = weighted(&mut b, y);
    let mut results = vec![loss];
    results.extend(gradient(&mut graph, &mut b, loss, &[x, w]).into_iter().map(Result::unwrap));
    let region = graph.add_region(b.finish(results));
    graph.entries = vec![entry(&graph, region)];
    run_pipeline(&graph, PIPELINE, |_, _| ())
}

/// Bytes that the forward loop stacks in each iteration.
fn kept(graph: &Graph) -> i64 {
    let main = graph.region(graph.entries[0].region);
    let forward = main.nodes.iter().find_map(|node| match &node.op {
        Op::Loop(op) if !op.rev => Some((op, node)),
        _ => None,
    });
    let (op, node) = forward.unwrap();
    let body = graph.region(node.regions[0]);
    let bytes = |at: usize| {
        let ty = body.ty(body.results[at]);
        ty.elements().unwrap().as_const().unwrap() * ty.dtype.bytes()
    };
    op.stack_results().map(bytes).sum()
}

const TENSOR: i64 = ROWS * WIDTH * 4;

fn check(block: Block, expected: i64, what: &str) {
    for remat in [None, Some(Remat::Keep)] {
        let graph = blocks(block, remat);
        assert_eq!(kept(&graph), expected, "{what}, {remat:?}:\n{}", graph_text(&graph));
    }
    let graph = blocks(block, Some(Remat::Recompute));
    assert_eq!(kept(&graph), TENSOR, "{what}: a checkpoint keeps the carry alone:\n{}", graph_text(&graph));
}

#[test]
fn gelu_keeps_its_operand_alone() {
    let block: Block = |b, x, w, _| {
        let z = project(b, x, w);
        let z = gelu(b, z);
        b.binary(BinaryOp::Add, x, z)
    };
    check(block, 2 * TENSOR, "the carry and what gelu is of");
}

#[test]
fn softmax_keeps_its_operand_and_two_columns() {
    let block: Block = |b, x, w, _| {
        let z = project(b, x, w);
        let p = softmax(b, z);
        b.binary(BinaryOp::Add, x, p)
    };
    check(block, 2 * TENSOR + 2 * ROWS * 4, "the carry, what softmax is of, the largest and the total of each row");
}

/// `softmax(z · zᵀ) · z`
fn attention(b: &mut Builder, x: Value, w: Value, _: [Value; 3]) -> Value {
    let z = project(b, x, w);
    let fit = b.add1(Contract { left: vec![0, 2], right: vec![1, 2], out: vec![0, 1] }, &[z, z]);
    let weights = softmax(b, fit);
    let seen = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[weights, z]);
    b.binary(BinaryOp::Add, x, seen)
}

#[test]
fn scores_that_leave_every_cache_are_made_again() {
    let (short, long, width) = (64, 2048, 32);
    let tensor = |rows: i64| rows * width * 4;
    let graph = blocks_of(long, width, attention, None);
    let expected = 2 * tensor(long) + 2 * long * 4;
    assert_eq!(kept(&graph), expected, "the carry, the projection and two columns:\n{}", graph_text(&graph));
    let graph = blocks_of(short, width, attention, None);
    let expected = 2 * tensor(short) + short * short * 4 + 2 * short * 4;
    assert_eq!(kept(&graph), expected, "few scores are kept besides:\n{}", graph_text(&graph));
}

#[test]
fn dropout_draws_again() {
    let block: Block = |b, x, w, numbers| {
        let z = project(b, x, w);
        let z = dropout(b, z, numbers);
        b.binary(BinaryOp::Add, x, z)
    };
    check(block, TENSOR, "the carry");
}

#[test]
fn relu_keeps_truth_values() {
    let block: Block = |b, x, w, _| {
        let z = project(b, x, w);
        let zero = b.full(DType::F32, 0.0, &[ROWS.into(), WIDTH.into()]);
        let z = b.binary(BinaryOp::Max, z, zero);
        b.binary(BinaryOp::Add, x, z)
    };
    check(block, TENSOR + ROWS * WIDTH, "the carry and where the maximum is positive");
}

#[test]
fn many_truth_values_are_bits() {
    let block: Block = |b, x, w, _| {
        let z = project(b, x, w);
        let shape = b.ty(z).shape.clone();
        let (zero, slope) = (b.full(DType::F32, 0.0, &shape), b.full(DType::F32, 0.1, &shape));
        let positive = b.compare(CompareOp::Gt, z, zero);
        let less = b.binary(BinaryOp::Mul, z, slope);
        b.add1(Select, &[positive, z, less])
    };
    let (rows, width) = (512, 512);
    let graph = blocks_of(rows, width, block, None);
    let expected = rows * width * 4 + rows * width / 8;
    assert_eq!(kept(&graph), expected, "the carry and a bit for each number:\n{}", graph_text(&graph));
}

/// A value that is stacked for the program is not stacked again.
#[test]
fn what_is_there_is_not_kept_twice() {
    let mut graph = Graph::new();
    let body = tanh_cell(&mut graph);
    let mut b = Builder::new("main");
    let (h, w) = (b.param(f32s(&[ROWS, WIDTH])), b.param(f32s(&[WIDTH, WIDTH])));
    let trip = Trip::Exact(Dim::from(LAYERS));
    let op = Loop { carries: 1, invariants: 1, stacks: 1, ..Loop::new(trip) };
    let rows = b.add_loop(&graph, op, &[h, w], body)[1];
    let loss = weighted(&mut b, rows);
    let mut results = vec![loss];
    results.extend(gradient(&mut graph, &mut b, loss, &[h, w]).into_iter().map(Result::unwrap));
    let region = graph.add_region(b.finish(results));
    graph.entries = vec![entry(&graph, region)];
    let graph = run_pipeline(&graph, PIPELINE, |_, _| ());
    assert_eq!(kept(&graph), TENSOR, "the carry behind, which is the next one before:\n{}", graph_text(&graph));
}

fn tanh_cell(graph: &mut Graph) -> RegionId {
    let mut b = Builder::new("cell");
    b.param(Type::scalar(DType::I64));
    let (h, w) = (b.param(f32s(&[ROWS, WIDTH])), b.param(f32s(&[WIDTH, WIDTH])));
    let z = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[h, w]);
    let y = b.unary(UnaryOp::Tanh, z);
    graph.add_region(b.finish(vec![y, y]))
}
