//! Recurrent cells, by hand: bodies of loops with the operands they need.

use super::weighted;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::slice::Slice;
use mlc_ir::region_ops::{Loop, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};

/// Sizes of a cell; any may be a symbol.
#[derive(Clone)]
pub struct Sizes {
    pub steps: Dim,
    pub batch: Dim,
}

pub const INPUT: i64 = 3;
pub const HIDDEN: i64 = 4;
pub const WORDS: i64 = 5;
pub const SOURCE: i64 = 3;

impl Sizes {
    fn rows(&self, size: i64) -> Type {
        Type::new(DType::F32, vec![self.batch.clone(), size.into()])
    }
}

pub fn f32s(shape: &[i64]) -> Type {
    Type::new(DType::F32, shape.iter().map(|size| Dim::from(*size)).collect::<Vec<_>>())
}

/// The cells.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    Rnn,
    Lstm,
    Gru,
    Decoder,
}

pub const ALL: [Cell; 4] = [Cell::Rnn, Cell::Lstm, Cell::Gru, Cell::Decoder];

pub fn project(b: &mut Builder, x: Value, w: Value) -> Value {
    b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w])
}

fn add(b: &mut Builder, x: Value, y: Value) -> Value {
    b.binary(BinaryOp::Add, x, y)
}

fn mul(b: &mut Builder, x: Value, y: Value) -> Value {
    b.binary(BinaryOp::Mul, x, y)
}

pub fn spread(b: &mut Builder, x: Value, like: Value, axes: &[usize]) -> Value {
    let shape = b.ty(like).shape.clone();
    b.add1(Broadcast { shape, axes: axes.to_vec() }, &[x])
}

fn sigmoid(b: &mut Builder, x: Value) -> Value {
    let ty = b.ty(x).clone();
    let (half, one) = (b.full(ty.dtype, 0.5, &ty.shape), b.full(ty.dtype, 0.5, &ty.shape));
    let scaled = mul(b, x, half);
    let t = b.unary(UnaryOp::Tanh, scaled);
    let t = mul(b, t, half);
    add(b, t, one)
}

/// Columns `at * HIDDEN ..` of gates.
fn gate(b: &mut Builder, z: Value, at: i64) -> Value {
    let rows = b.ty(z).shape[0].clone();
    let op =
        Slice { starts: vec![0.into(), (at * HIDDEN).into()], sizes: vec![rows, HIDDEN.into()], steps: vec![1, 1] };
    b.add1(op, &[z])
}

impl Cell {
    fn carries(self, sizes: &Sizes) -> Vec<Type> {
        match self {
            Cell::Rnn | Cell::Gru | Cell::Decoder => vec![sizes.rows(HIDDEN)],
            Cell::Lstm => vec![sizes.rows(HIDDEN); 2],
        }
    }

    fn row(self, sizes: &Sizes) -> Type {
        match self {
            Cell::Decoder => Type::new(DType::I32, vec![sizes.batch.clone()]),
            Cell::Rnn | Cell::Lstm | Cell::Gru => sizes.rows(INPUT),
        }
    }

    fn invariants(self, sizes: &Sizes) -> Vec<Type> {
        let gates = match self {
            Cell::Rnn | Cell::Decoder => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        };
        let mut list = vec![f32s(&[INPUT, gates * HIDDEN]), f32s(&[HIDDEN, gates * HIDDEN]), f32s(&[gates * HIDDEN])];
        if let Cell::Decoder = self {
            // Memory; its projection, the query's, the score; the context's projection; words in and out.
            list.push(Type::new(DType::F32, vec![sizes.batch.clone(), SOURCE.into(), HIDDEN.into()]));
            list.extend([f32s(&[HIDDEN, HIDDEN]), f32s(&[HIDDEN, HIDDEN]), f32s(&[HIDDEN])]);
            list.extend([f32s(&[HIDDEN, HIDDEN]), f32s(&[WORDS, INPUT]), f32s(&[HIDDEN, WORDS])]);
        }
        list
    }

    fn body(self, graph: &mut Graph, sizes: &Sizes) -> RegionId {
        let mut b = Builder::new("cell");
        b.param(Type::scalar(DType::I64));
        let carries: Vec<Value> = self.carries(sizes).into_iter().map(|ty| b.param(ty)).collect();
        let x = b.param(self.row(sizes));
        let weights: Vec<Value> = self.invariants(sizes).into_iter().map(|ty| b.param(ty)).collect();
        let results = self.step(&mut b, &carries, x, &weights);
        graph.add_region(b.finish(results))
    }

    fn step(self, b: &mut Builder, carries: &[Value], x: Value, weights: &[Value]) -> Vec<Value> {
        let h = carries[0];
        let (w, u, bias) = (weights[0], weights[1], weights[2]);
        if let Cell::Decoder = self {
            let word = b.add1(Gather { axis: 0, batch: 0 }, &[weights[8], x]);
            let context = attend(b, h, &weights[3..7]);
            let z = gates(b, word, h, [w, u, bias]);
            let pull = project(b, context, weights[7]);
            let z = add(b, z, pull);
            let new = b.unary(UnaryOp::Tanh, z);
            let logits = project(b, new, weights[9]);
            return vec![new, logits];
        }
        match self {
            Cell::Rnn | Cell::Decoder => {
                let z = gates(b, x, h, [w, u, bias]);
                let new = b.unary(UnaryOp::Tanh, z);
                vec![new, new]
            }
            Cell::Lstm => {
                let z = gates(b, x, h, [w, u, bias]);
                let [i, f, o] = [0, 1, 2].map(|at| {
                    let z = gate(b, z, at);
                    sigmoid(b, z)
                });
                let g = gate(b, z, 3);
                let g = b.unary(UnaryOp::Tanh, g);
                let (kept, new) = (mul(b, f, carries[1]), mul(b, i, g));
                let c = add(b, kept, new);
                let t = b.unary(UnaryOp::Tanh, c);
                let h = mul(b, o, t);
                vec![h, c, h]
            }
            Cell::Gru => {
                let from_x = project(b, x, w);
                let bias = spread(b, bias, from_x, &[1]);
                let from_x = add(b, from_x, bias);
                let from_h = project(b, h, u);
                let [r, z] = [0, 1].map(|at| {
                    let (x, h) = (gate(b, from_x, at), gate(b, from_h, at));
                    let sum = add(b, x, h);
                    sigmoid(b, sum)
                });
                let (x, n) = (gate(b, from_x, 2), gate(b, from_h, 2));
                let n = mul(b, r, n);
                let n = add(b, x, n);
                let n = b.unary(UnaryOp::Tanh, n);
                let change = b.binary(BinaryOp::Sub, n, h);
                let change = mul(b, z, change);
                let new = add(b, h, change);
                vec![new, new]
            }
        }
    }

    /// A region of the loss of a loop over the cell; all parameters are operands of the loop.
    pub fn main(self, graph: &mut Graph, sizes: &Sizes, rev: bool) -> (Builder, Value) {
        let body = self.body(graph, sizes);
        let mut b = Builder::new("main");
        let mut args: Vec<Value> = self.carries(sizes).into_iter().map(|ty| b.param(ty)).collect();
        let carries = args.len() as u32;
        args.push(b.param(stacked(&sizes.steps, &self.row(sizes))));
        args.extend(self.invariants(sizes).into_iter().map(|ty| b.param(ty)));
        let op = Loop {
            rev,
            carries,
            slices: 1,
            invariants: args.len() as u32 - carries - 1,
            stacks: 1,
            ..Loop::new(Trip::Exact(sizes.steps.clone()))
        };
        let results = b.add_loop(graph, op, &args, body);
        let parts: Vec<Value> = results.iter().map(|value| weighted(&mut b, *value)).collect();
        let zero = b.full(DType::F32, 0.0, &[]);
        let loss = parts.into_iter().fold(zero, |sum, part| add(&mut b, sum, part));
        (b, loss)
    }
}

/// `x·w + h·u + bias`
fn gates(b: &mut Builder, x: Value, h: Value, [w, u, bias]: [Value; 3]) -> Value {
    let (from_x, from_h) = (project(b, x, w), project(b, h, u));
    let bias = spread(b, bias, from_x, &[1]);
    let z = add(b, from_x, from_h);
    add(b, z, bias)
}

/// The context that a query reads from a memory `[B, S, H]`: additive attention.
fn attend(b: &mut Builder, h: Value, weights: &[Value]) -> Value {
    let (memory, keys, query, score) = (weights[0], weights[1], weights[2], weights[3]);
    let keys = b.add1(Contract { left: vec![0, 1, 2], right: vec![2, 3], out: vec![0, 1, 3] }, &[memory, keys]);
    let query = project(b, h, query);
    let query = spread(b, query, keys, &[0, 2]);
    let energy = add(b, keys, query);
    let energy = b.unary(UnaryOp::Tanh, energy);
    let scores = b.add1(Contract { left: vec![0, 1, 2], right: vec![2], out: vec![0, 1] }, &[energy, score]);
    let most = b.add1(Reduce { kind: ReduceKind::Max, axes: vec![1] }, &[scores]);
    let most = spread(b, most, scores, &[0]);
    let scores = b.binary(BinaryOp::Sub, scores, most);
    let scores = b.unary(UnaryOp::Exp, scores);
    let total = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![1] }, &[scores]);
    let total = spread(b, total, scores, &[0]);
    let attention = b.binary(BinaryOp::Div, scores, total);
    b.add1(Contract { left: vec![0, 1], right: vec![0, 1, 2], out: vec![0, 2] }, &[attention, memory])
}
