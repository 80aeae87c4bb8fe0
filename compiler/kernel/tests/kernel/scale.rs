//! Ten thousand nodes and two hundred loops are fused, planned and lowered in time that grows as they do.

use crate::common::{Rng, entry};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::region_ops::{Loop, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::fuse::{Fuse, fuse};
use mlc_kernel::lower::lower;
use mlc_kernel::plan::{Request, plan};
use mlc_kernel::schedule::Machine;
use std::time::{Duration, Instant};

fn f32s(shape: &[i64]) -> Type {
    Type::new(DType::F32, shape.iter().map(|size| Dim::from(*size)).collect::<Vec<_>>())
}

fn layer(b: &mut Builder, x: Value, w: Value, nodes: usize) -> Value {
    let mut y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
    for at in 1..nodes {
        y = match at % 3 {
            0 => b.binary(BinaryOp::Add, y, x),
            1 => b.unary(UnaryOp::Tanh, y),
            _ => b.binary(BinaryOp::Mul, y, x),
        };
    }
    y
}

/// Layers of ten nodes, and recurrences over such layers, with all gradients, after all passes.
fn model(layers: usize, loops: usize) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("main");
    let mut x = b.param(f32s(&[4, 8]));
    let mut wrt = Vec::new();
    for at in 0..layers + loops {
        let w = b.param(f32s(&[8, 8]));
        wrt.push(w);
        if at >= loops {
            x = layer(&mut b, x, w, 10);
            continue;
        }
        let mut cell = Builder::new("cell");
        cell.param(Type::scalar(DType::I64));
        let (h, row, inner) = (cell.param(f32s(&[4, 8])), cell.param(f32s(&[4, 8])), cell.param(f32s(&[8, 8])));
        let y = layer(&mut cell, h, inner, 10);
        let y = cell.binary(BinaryOp::Add, y, row);
        let body = graph.add_region(cell.finish(vec![y, y]));
        let trip = Trip::Exact(Dim::from(3));
        let op = Loop { carries: 1, slices: 1, invariants: 1, stacks: 1, ..Loop::new(trip) };
        let rows = b.param(stacked(&Dim::from(3), &f32s(&[4, 8])));
        let results = b.add_loop(&graph, op, &[x, rows, w], body);
        let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[results[1]]);
        x = b.binary(BinaryOp::Add, results[0], sum);
    }
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[x]);
    let mut results = vec![loss];
    results.extend(gradient(&mut graph, &mut b, loss, &wrt).into_iter().map(Result::unwrap));
    run_pipeline(&entry(graph, b, results, &[]), PIPELINE, |_, _| ())
}

fn timed<T>(what: &str, most: u64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    let time = start.elapsed();
    println!("{what}: {time:?}");
    assert!(time < Duration::from_secs(most), "{what}: {time:?}");
    result
}

#[test]
fn many_nodes_are_fused() {
    let graph = model(1000, 0);
    let region = graph.region(graph.entries[0].region);
    println!("{} nodes", region.nodes.len());
    timed("fuse", 10, || fuse(region, Fuse::ByClass));
}

#[test]
fn many_buffers_are_placed() {
    let mut rng = Rng(5);
    let request = |number: usize, from: usize, span: usize, rng: &mut Rng| {
        let bytes = Dim::from(64 * (1 + rng.below(50)) as i64);
        Request { name: format!("%{number}"), bytes, from, to: from + span }
    };
    // Most live shortly; in a backward pass half of all live at once.
    let short: Vec<Request> = (0..10_000).map(|at| request(at, at, rng.below(8), &mut rng)).collect();
    timed("short lives", 10, || plan(&short, &[]));
    let long: Vec<Request> = (0..4_000).map(|at| request(at, at, 8_000 - 2 * at, &mut rng)).collect();
    timed("nested lives", 10, || plan(&long, &[]));
}

#[test]
fn many_loops_are_lowered() {
    let graph = model(0, 200);
    timed("200 loops", 60, || lower(&graph, &Machine::LANES_128));
    let graph = model(300, 0);
    timed("300 layers", 60, || lower(&graph, &Machine::LANES_128));
}

/// Each value has two uses in one group: walks that see it twice would see the first 2^40 times.
#[test]
fn values_of_two_uses_are_seen_once() {
    let mut b = Builder::new("main");
    let mut x = b.param(f32s(&[4, 8]));
    for _ in 0..40 {
        let y = b.unary(UnaryOp::Tanh, x);
        x = b.binary(BinaryOp::Add, x, y);
    }
    let graph = entry(Graph::new(), b, vec![x], &[]);
    assert_eq!(lower(&graph, &Machine::LANES_256).program.kernels.len(), 1);
}
