//! What the benches share: models built by hand, and running a compiled entry kernel by kernel.

pub mod fma;
pub mod maths;
pub mod running;

use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::scalar::{BinaryOp, CompareOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use std::time::Instant;

/// Seconds of a call, the least of several that take a fifth of a second in all. Before them is one that
/// makes what is kept and touches memory.
pub fn resident(mut call: impl FnMut()) -> f64 {
    call();
    let (start, mut best) = (Instant::now(), f64::MAX);
    while start.elapsed().as_secs_f64() < 0.2 {
        let call_start = Instant::now();
        call();
        best = best.min(call_start.elapsed().as_secs_f64());
    }
    best
}

fn dims(sizes: &[i64]) -> Vec<Dim> {
    sizes.iter().map(|s| Dim::from(*s)).collect()
}

fn with_batch(batch: &Dim, sizes: &[i64]) -> Vec<Dim> {
    std::iter::once(batch.clone()).chain(dims(sizes)).collect()
}

fn conv(b: &mut Builder, x: Value, w: Value, bias: Value) -> Value {
    let geometry = Geometry { strides: vec![1, 1], pads: vec![(0, 0); 2], dilations: vec![1, 1], groups: 1 };
    let y = b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w]);
    add_bias(b, y, bias)
}

fn add_bias(b: &mut Builder, x: Value, bias: Value) -> Value {
    let shape = b.ty(x).shape.clone();
    let axes = vec![shape.len() - 1];
    let bias = b.add1(Broadcast { shape, axes }, &[bias]);
    b.binary(BinaryOp::Add, x, bias)
}

fn relu(b: &mut Builder, x: Value) -> Value {
    let shape = b.ty(x).shape.clone();
    let zero = b.full(DType::F32, 0.0, &shape);
    b.binary(BinaryOp::Max, x, zero)
}

fn pool(b: &mut Builder, x: Value) -> Value {
    b.add1(WindowMax { size: vec![2, 2], strides: vec![2, 2], pads: vec![(0, 0); 2] }, &[x])
}

fn linear(b: &mut Builder, x: Value, w: Value, bias: Value) -> Value {
    let y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
    add_bias(b, y, bias)
}

fn cross_entropy(b: &mut Builder, logits: Value, label: Value, batch: &Dim) -> Value {
    let shape = b.ty(logits).shape.clone();
    let rows =
        |b: &mut Builder, v: Value, shape: &[Dim]| b.add1(Broadcast { shape: shape.to_vec(), axes: vec![0] }, &[v]);
    let most = b.add1(Reduce { kind: ReduceKind::Max, axes: vec![1] }, &[logits]);
    let most = rows(b, most, &shape);
    let shifted = b.binary(BinaryOp::Sub, logits, most);
    let exp = b.unary(UnaryOp::Exp, shifted);
    let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![1] }, &[exp]);
    let log = b.unary(UnaryOp::Log, sum);
    let log = rows(b, log, &shape);
    let log_p = b.binary(BinaryOp::Sub, shifted, log);
    let column = b.add1(Iota { shape: shape.clone(), axis: 1, dtype: DType::I32 }, &[]);
    let label = rows(b, label, &shape);
    let hit = b.add1(Compare { op: CompareOp::Eq }, &[column, label]);
    let zero = b.full(DType::F32, 0.0, &shape);
    let picked = b.add1(Select, &[hit, log_p, zero]);
    let total = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[picked]);
    let count = b.add1(mlc_ir::ops::size::SizeOf { size: batch.clone(), dtype: DType::F32 }, &[]);
    let mean = b.binary(BinaryOp::Div, total, count);
    b.unary(UnaryOp::Neg, mean)
}

/// The two-convolution classifier: shapes of its weights.
pub const CNN_WEIGHTS: [&[i64]; 8] =
    [&[3, 3, 1, 32], &[32], &[3, 3, 32, 64], &[64], &[1600, 128], &[128], &[128, 10], &[10]];

/// Layers of ten nodes, one on another, with the gradients of their weights; entry 0.
pub fn layers(count: usize) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("layers");
    let mut x = b.param(Type::new(DType::F32, dims(&[4, 8])));
    let mut weights = Vec::new();
    for _ in 0..count {
        let w = b.param(Type::new(DType::F32, dims(&[8, 8])));
        let mut y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
        for at in 1..10 {
            y = match at % 3 {
                0 => b.binary(BinaryOp::Add, y, x),
                1 => b.unary(UnaryOp::Tanh, y),
                _ => b.binary(BinaryOp::Mul, y, x),
            };
        }
        weights.push(w);
        x = y;
    }
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[x]);
    let mut results = vec![loss];
    for gradient in mlc_ir::autodiff::gradient(&mut graph, &mut b, loss, &weights) {
        let Ok(gradient) = gradient else { panic!("a weight has no gradient") };
        results.push(gradient);
    }
    let outputs = (0..results.len()).map(|n| Output::Result(format!("r{n}"))).collect();
    let region = b.finish(results);
    let inputs = (0..region.params.len()).map(|n| Input::Arg(format!("a{n}"))).collect();
    let region = graph.add_region(region);
    let (name, checks, typical) = ("layers".into(), Vec::new(), Vec::new());
    graph.entries.push(Entry { name, region, inputs, outputs, checks, typical });
    graph
}

/// Training step of the two-convolution classifier with plain Adam; entry 0. Globals: weights, then
/// their first and second moments.
pub fn cnn_step(typical: i64) -> Graph {
    let mut graph = Graph::new();
    let batch = graph.symbol("B");
    let b_dim = Dim::from(batch);
    let mut b = Builder::new("cnn.step");
    let mut inputs = vec![Input::Arg("image".into()), Input::Arg("label".into())];
    let image = b.param(Type::new(DType::F32, with_batch(&b_dim, &[28, 28, 1])));
    let label = b.param(Type::new(DType::I32, vec![b_dim.clone()]));
    let mut globals = Vec::new();
    for part in ["", "m.", "v."] {
        for (i, shape) in CNN_WEIGHTS.iter().enumerate() {
            let ty = Type::new(DType::F32, dims(shape));
            let id = mlc_ir::graph::GlobalId(graph.globals.len() as u32);
            graph.globals.push(mlc_ir::graph::Global {
                path: format!("{part}w{i}").into(),
                kind: mlc_ir::graph::GlobalKind::Param,
                ty: ty.clone(),
                span: mlc_ir::graph::SpanId(0),
            });
            inputs.push(Input::Global(id));
            globals.push(b.param(ty));
        }
    }
    let step = b.param(Type::scalar(DType::I64));
    inputs.push(Input::Step);
    let w = &globals[..8];
    let shape = b.ty(image).shape.clone();
    let scale = b.full(DType::F32, 255.0, &shape);
    let x = b.binary(BinaryOp::Div, image, scale);
    let x = conv(&mut b, x, w[0], w[1]);
    let x = relu(&mut b, x);
    let x = pool(&mut b, x);
    let x = conv(&mut b, x, w[2], w[3]);
    let x = relu(&mut b, x);
    let x = pool(&mut b, x);
    let x = b.add1(Reshape { shape: with_batch(&b_dim, &[1600]) }, &[x]);
    let x = linear(&mut b, x, w[4], w[5]);
    let x = relu(&mut b, x);
    let logits = linear(&mut b, x, w[6], w[7]);
    let loss = cross_entropy(&mut b, logits, label, &b_dim);
    let gradients = mlc_ir::autodiff::gradient(&mut graph, &mut b, loss, w);
    let mut results = vec![loss];
    let mut outputs = vec![Output::Result("loss".into())];
    let t = b.add1(Cast { dtype: DType::F32 }, &[step]);
    for (i, gradient) in gradients.into_iter().enumerate() {
        let Ok(g) = gradient else { panic!("weight {i} has no gradient") };
        let updated = adam(&mut b, globals[i], g, globals[8 + i], globals[16 + i], t);
        for (slot, value) in updated.into_iter().enumerate() {
            results.push(value);
            outputs.push(Output::Global(mlc_ir::graph::GlobalId((slot * 8 + i) as u32)));
        }
    }
    let region = b.finish(results);
    let region = graph.add_region(region);
    let typical = vec![(batch, typical)];
    graph.entries.push(Entry { name: "step".into(), region, inputs, outputs, checks: Vec::new(), typical });
    mlc_ir::passes::run_pipeline(&graph, mlc_ir::passes::PIPELINE, |_, _| {})
}

fn adam(b: &mut Builder, w: Value, g: Value, m: Value, v: Value, t: Value) -> [Value; 3] {
    let shape = b.ty(w).shape.clone();
    let full = |b: &mut Builder, x: f64| b.full(DType::F32, x, &shape);
    let mix = |b: &mut Builder, beta: f64, old: Value, new: Value| {
        let (keep, take) = (full(b, beta), full(b, 1.0 - beta));
        let (old, new) = (b.binary(BinaryOp::Mul, keep, old), b.binary(BinaryOp::Mul, take, new));
        b.binary(BinaryOp::Add, old, new)
    };
    let unbiased = |b: &mut Builder, beta: f64, x: Value| {
        let (beta, one) = (b.full(DType::F32, beta, &[]), b.full(DType::F32, 1.0, &[]));
        let power = b.binary(BinaryOp::Pow, beta, t);
        let rest = b.binary(BinaryOp::Sub, one, power);
        let rest = b.broadcast_scalar(rest, &shape);
        b.binary(BinaryOp::Div, x, rest)
    };
    let m = mix(b, 0.9, m, g);
    let square = b.binary(BinaryOp::Mul, g, g);
    let v = mix(b, 0.999, v, square);
    let (mh, vh) = (unbiased(b, 0.9, m), unbiased(b, 0.999, v));
    let root = b.unary(UnaryOp::Sqrt, vh);
    let eps = full(b, 1e-8);
    let root = b.binary(BinaryOp::Add, root, eps);
    let change = b.binary(BinaryOp::Div, mh, root);
    let rate = full(b, 1e-3);
    let change = b.binary(BinaryOp::Mul, rate, change);
    [b.binary(BinaryOp::Sub, w, change), m, v]
}
