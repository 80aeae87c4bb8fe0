//! Graphs of ten thousand nodes go through autodiff and all passes in about a second.

mod common;

use common::bodies::f32s;
use common::entry;
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::region_ops::{Call, Loop, Remat, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use std::time::{Duration, Instant};

fn project(b: &mut Builder, x: Value, w: Value) -> Value {
    b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w])
}

/// `tanh(x · w + x) · 0.5`, and so on.
fn layer(b: &mut Builder, x: Value, w: Value, nodes: usize) -> Value {
    let mut y = project(b, x, w);
    for at in 1..nodes {
        y = match at % 3 {
            0 => b.binary(BinaryOp::Add, y, x),
            1 => b.unary(UnaryOp::Tanh, y),
            _ => b.binary(BinaryOp::Mul, y, x),
        };
    }
    y
}

struct Model {
    graph: Graph,
    b: Builder,
    x: Value,
    wrt: Vec<Value>,
}

impl Model {
    fn new() -> Model {
        let mut b = Builder::new("main");
        let x = b.param(f32s(&[4, 8]));
        Model { graph: Graph::new(), b, x, wrt: Vec::new() }
    }

    fn weight(&mut self) -> Value {
        let w = self.b.param(f32s(&[8, 8]));
        self.wrt.push(w);
        w
    }

    fn layer(&mut self) {
        let w = self.weight();
        self.x = layer(&mut self.b, self.x, w, 10);
    }

    fn checkpoint(&mut self) {
        let w = self.weight();
        let mut b = Builder::new("block");
        let (x, inner) = (b.param(f32s(&[4, 8])), b.param(f32s(&[8, 8])));
        let y = layer(&mut b, x, inner, 10);
        let body = self.graph.add_region(b.finish(vec![y]));
        self.x = self.b.add_call(&self.graph, Call { remat: Remat::Recompute }, &[self.x, w], &[body])[0];
    }

    fn recurrence(&mut self) {
        let w = self.weight();
        let mut b = Builder::new("cell");
        b.param(Type::scalar(DType::I64));
        let (h, x, inner) = (b.param(f32s(&[4, 8])), b.param(f32s(&[4, 8])), b.param(f32s(&[8, 8])));
        let y = layer(&mut b, h, inner, 10);
        let y = b.binary(BinaryOp::Add, y, x);
        let body = self.graph.add_region(b.finish(vec![y, y]));
        let trip = Trip::Exact(Dim::from(3));
        let op = Loop { carries: 1, slices: 1, invariants: 1, stacks: 1, ..Loop::new(trip) };
        let rows = self.b.param(stacked(&Dim::from(3), &f32s(&[4, 8])));
        let results = self.b.add_loop(&self.graph, op, &[self.x, rows, w], body);
        let sum = self.b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[results[1]]);
        self.x = self.b.binary(BinaryOp::Add, results[0], sum);
    }

    /// The times of autodiff and of each pass.
    fn run(mut self) -> Vec<(&'static str, Duration)> {
        let mut times = Vec::new();
        let mut start = Instant::now();
        let loss = self.b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[self.x]);
        let mut results = vec![loss];
        results.extend(gradient(&mut self.graph, &mut self.b, loss, &self.wrt).into_iter().map(Result::unwrap));
        let region = self.graph.add_region(self.b.finish(results));
        self.graph.entries = vec![entry(&self.graph, region)];
        times.push(("autodiff", start.elapsed()));
        start = Instant::now();
        run_pipeline(&self.graph, PIPELINE, |name, _| {
            times.push((name, start.elapsed()));
            start = Instant::now();
        });
        times
    }
}

fn within(model: Model, what: &str) {
    let times = model.run();
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("{what}: {total:?}: {times:?}");
    assert!(total < Duration::from_secs(60), "{what}: {times:?}");
}

#[test]
fn many_layers() {
    let mut model = Model::new();
    (0..1000).for_each(|_| model.layer());
    within(model, "layers");
}

#[test]
fn many_checkpoints() {
    let mut model = Model::new();
    (0..1000).for_each(|_| model.checkpoint());
    within(model, "checkpoints");
}

#[test]
fn many_loops() {
    let mut model = Model::new();
    (0..200).for_each(|_| {
        model.recurrence();
        model.layer();
    });
    within(model, "loops");
}

/// One long chain, one value read by all, and all values added.
#[test]
fn wide_and_deep() {
    let mut model = Model::new();
    let first = model.weight();
    let mut parts = Vec::new();
    for _ in 0..3000 {
        let w = model.weight();
        let product = model.b.binary(BinaryOp::Mul, w, first);
        parts.push(model.b.unary(UnaryOp::Tanh, product));
    }
    let sum = parts.into_iter().reduce(|sum, part| model.b.binary(BinaryOp::Add, sum, part)).unwrap();
    model.x = sum;
    within(model, "wide");
}
