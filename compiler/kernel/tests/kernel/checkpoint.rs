//! What a backward pass keeps, in bytes of the planned arena.

use crate::common::entry;
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::region_ops::{Call, Loop, Remat, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::lower;
use mlc_kernel::schedule::Machine;

pub const LAYERS: usize = 12;
pub const ROWS: i64 = 64;
pub const WIDTH: i64 = 32;
const INNER: i64 = 128;

fn f32s(shape: &[i64]) -> Type {
    Type::new(DType::F32, shape.iter().map(|size| Dim::from(*size)).collect::<Vec<_>>())
}

fn matmul(b: &mut Builder, x: Value, w: Value) -> Value {
    b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w])
}

fn scaled(b: &mut Builder, x: Value, factor: f64) -> Value {
    let ty = b.ty(x).clone();
    let factor = b.full(ty.dtype, factor, &ty.shape);
    b.binary(BinaryOp::Mul, x, factor)
}

/// `x / 2 · (1 + tanh(0.8 · (x + 0.045 · x³)))`
pub fn gelu(b: &mut Builder, x: Value) -> Value {
    let square = b.binary(BinaryOp::Mul, x, x);
    let cube = b.binary(BinaryOp::Mul, square, x);
    let cube = scaled(b, cube, 0.045);
    let inner = b.binary(BinaryOp::Add, x, cube);
    let inner = scaled(b, inner, 0.8);
    let tanh = b.unary(UnaryOp::Tanh, inner);
    let half = scaled(b, x, 0.5);
    let product = b.binary(BinaryOp::Mul, half, tanh);
    b.binary(BinaryOp::Add, half, product)
}

fn softmax(b: &mut Builder, x: Value) -> Value {
    let shape = b.ty(x).shape.clone();
    let along = |b: &mut Builder, kind: ReduceKind, x: Value| {
        let value = b.add1(Reduce { kind, axes: vec![1] }, &[x]);
        b.add1(Broadcast { shape: shape.clone(), axes: vec![0] }, &[value])
    };
    let most = along(b, ReduceKind::Max, x);
    let shifted = b.binary(BinaryOp::Sub, x, most);
    let power = b.unary(UnaryOp::Exp, shifted);
    let total = along(b, ReduceKind::Sum, power);
    b.binary(BinaryOp::Div, power, total)
}

/// `x + gelu(x · w) · v`
pub fn dense(b: &mut Builder, x: Value, weights: &[Value]) -> Value {
    let z = matmul(b, x, weights[0]);
    let z = gelu(b, z);
    let z = matmul(b, z, weights[1]);
    b.binary(BinaryOp::Add, x, z)
}

/// `x + softmax(x · w · xᵀ) · x · v`, then [`dense`].
pub fn attention(b: &mut Builder, x: Value, weights: &[Value]) -> Value {
    let query = matmul(b, x, weights[2]);
    let scores = b.add1(Contract { left: vec![0, 1], right: vec![2, 1], out: vec![0, 2] }, &[query, x]);
    let attention = softmax(b, scores);
    let value = matmul(b, x, weights[3]);
    let read = matmul(b, attention, value);
    let x = b.binary(BinaryOp::Add, x, read);
    dense(b, x, weights)
}

pub type Block = fn(&mut Builder, Value, &[Value]) -> Value;

fn weights() -> [Type; 4] {
    [f32s(&[WIDTH, INNER]), f32s(&[INNER, WIDTH]), f32s(&[WIDTH, WIDTH]), f32s(&[WIDTH, WIDTH])]
}

/// Layers one behind the other, each a call or (without `remat`) plain nodes, with all gradients.
pub fn stack(block: Block, count: usize, remat: Option<Remat>) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("main");
    let mut x = b.param(f32s(&[ROWS, WIDTH]));
    let mut wrt = Vec::new();
    for _ in 0..LAYERS {
        let own: Vec<Value> = weights()[..count].iter().map(|ty| b.param(ty.clone())).collect();
        wrt.extend(&own);
        x = match remat {
            None => block(&mut b, x, &own),
            Some(remat) => {
                let mut body = Builder::new("block");
                let params: Vec<Value> = [x].iter().chain(&own).map(|v| body.param(b.ty(*v).clone())).collect();
                let result = block(&mut body, params[0], &params[1..]);
                let body = graph.add_region(body.finish(vec![result]));
                let args: Vec<Value> = [x].into_iter().chain(own).collect();
                b.add_call(&graph, Call { remat }, &args, &[body])[0]
            }
        };
    }
    let square = b.binary(BinaryOp::Mul, x, x);
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[square]);
    let mut results = vec![loss];
    results.extend(gradient(&mut graph, &mut b, loss, &wrt).into_iter().map(Result::unwrap));
    entry(graph, b, results, &[])
}

/// The same layers as a loop over their weights' rows.
fn looped(block: Block, count: usize, remat: Remat) -> Graph {
    let mut graph = Graph::new();
    let types: Vec<Type> = [f32s(&[ROWS, WIDTH])].into_iter().chain(weights()[..count].iter().cloned()).collect();
    let mut inner = Builder::new("block");
    let params: Vec<Value> = types.iter().map(|ty| inner.param(ty.clone())).collect();
    let result = block(&mut inner, params[0], &params[1..]);
    let inner = graph.add_region(inner.finish(vec![result]));
    let mut body = Builder::new("layer");
    body.param(Type::scalar(DType::I64));
    let params: Vec<Value> = types.iter().map(|ty| body.param(ty.clone())).collect();
    let result = body.add_call(&graph, Call { remat }, &params, &[inner])[0];
    let body = graph.add_region(body.finish(vec![result]));
    let mut b = Builder::new("main");
    let layers = Dim::from(LAYERS as i64);
    let mut args = vec![b.param(types[0].clone())];
    args.extend(types[1..].iter().map(|ty| b.param(stacked(&layers, ty))));
    let trip = Trip::Exact(layers);
    let slices = count as u32;
    let op = Loop { carries: 1, slices, ..Loop::new(trip) };
    let x = b.add_loop(&graph, op, &args, body)[0];
    let square = b.binary(BinaryOp::Mul, x, x);
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[square]);
    let mut results = vec![loss];
    results.extend(gradient(&mut graph, &mut b, loss, &args[1..]).into_iter().map(Result::unwrap));
    entry(graph, b, results, &[])
}

fn arena(graph: &Graph) -> i64 {
    let graph = run_pipeline(graph, PIPELINE, |_, _| ());
    let program = lower(&graph, &Machine::LANES_128).program;
    program.entries[0].plan.eval(&[]).unwrap().1
}

#[test]
fn a_checkpoint_keeps_operands_alone() {
    for (block, count, name) in [(dense as Block, 2, "dense"), (attention as Block, 4, "attention")] {
        let plain = arena(&stack(block, count, None));
        let kept = arena(&stack(block, count, Some(Remat::Keep)));
        let recomputed = arena(&stack(block, count, Some(Remat::Recompute)));
        println!("{name}: plain {plain}, kept {kept}, recomputed {recomputed}");
        // Twelve rows of 64 × 32 that each layer starts from, and what one layer needs.
        let operands = LAYERS as i64 * ROWS * WIDTH * 4;
        assert!(recomputed <= operands + 8 * ROWS * INNER * 4, "{name}: {recomputed}");
        assert!(recomputed * 3 < kept && recomputed * 3 < plain, "{name}: {recomputed} of {kept} and {plain}");
    }
}

#[test]
fn a_checkpoint_in_a_loop_stacks_the_carry_alone() {
    for (block, count, name) in [(dense as Block, 2, "dense"), (attention as Block, 4, "attention")] {
        let kept = arena(&looped(block, count, Remat::Keep));
        let recomputed = arena(&looped(block, count, Remat::Recompute));
        println!("{name}: kept {kept}, recomputed {recomputed}");
        let carries = LAYERS as i64 * ROWS * WIDTH * 4;
        assert!(recomputed <= carries + 8 * ROWS * INNER * 4, "{name}: {recomputed}");
        assert!(recomputed * 2 < kept, "{name}: {recomputed} of {kept}");
    }
}
