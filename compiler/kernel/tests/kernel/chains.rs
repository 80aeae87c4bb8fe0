//! Kernels that are run unit by unit: what is, and that no order of units changes a bit.

use crate::common::{Rng, assert_same_bits, assert_within, concrete, entry, lowered, run_lane_tiles, run_reference};
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::print::plan_stage_text;
use mlc_kernel::run::Tiles;

/// A graph of one argument `[B, …]`.
fn graph(shape: &[i64], make: impl Fn(&mut Builder, Value) -> Value) -> Graph {
    let mut graph = Graph::new();
    let rows = graph.symbol("B");
    let mut b = Builder::new("main");
    let shape: Vec<Dim> = std::iter::once(Dim::from(rows)).chain(shape.iter().map(|n| Dim::from(*n))).collect();
    let x = b.param(Type::new(DType::F32, shape));
    let result = make(&mut b, x);
    entry(graph, b, vec![result], &[(rows, 4)])
}

/// A reduction over the last axis, repeated along it.
fn over_rows(b: &mut Builder, x: Value, kind: ReduceKind) -> Value {
    let shape = b.ty(x).shape.clone();
    let last = shape.len() - 1;
    let least = b.add1(Reduce { kind, axes: vec![last] }, &[x]);
    b.add1(Broadcast { shape, axes: (0..last).collect() }, &[least])
}

fn softmax(b: &mut Builder, x: Value) -> Value {
    let most = over_rows(b, x, ReduceKind::Max);
    let less = b.binary(BinaryOp::Sub, x, most);
    let exp = b.unary(UnaryOp::Exp, less);
    let sum = over_rows(b, exp, ReduceKind::Sum);
    b.binary(BinaryOp::Div, exp, sum)
}

/// Each element and the sum of the row that lies across.
fn across(b: &mut Builder, x: Value) -> Value {
    let shape = b.ty(x).shape.clone();
    let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![3] }, &[x]);
    let sum = b.add1(Transpose { perm: vec![0, 2, 1] }, &[sum]);
    let sum = b.add1(Broadcast { shape, axes: vec![0, 1, 2] }, &[sum]);
    let exp = b.unary(UnaryOp::Exp, x);
    b.binary(BinaryOp::Mul, exp, sum)
}

/// Runs a graph in every order of units; gives how many kernels each of its chains has.
fn chains(graph: &Graph) -> Vec<usize> {
    let program = lowered(graph);
    for rows in [1, 3] {
        let ty = concrete(
            graph.region(graph.entries[0].region).ty(graph.region(graph.entries[0].region).params[0]),
            &[rows],
        );
        let args: Vec<Tensor> = vec![Rng(7).tensor(&ty, -2.0, 2.0, 1)];
        let whole = run_lane_tiles(graph, &program, &[rows], &args, Tiles::Together);
        assert_within(&whole[0], &run_reference(graph, &[rows], &args)[0], 1e-5, 1.0, "the reference");
        for tiles in [Tiles::OneByOne, Tiles::Backwards] {
            let other = run_lane_tiles(graph, &program, &[rows], &args, tiles);
            assert_same_bits(&other[0], &whole[0], &format!("{tiles:?}"));
        }
    }
    program.program.entries[0].chains().iter().map(|chain| chain.runs.len()).collect()
}

#[test]
fn a_softmax_goes_through_its_rows_once() {
    let graph = graph(&[24, 64], softmax);
    let text = plan_stage_text(&graph, &lowered(&graph), 0);
    assert_eq!(chains(&graph), [4], "{text}");
    assert!(text.contains("24*B units, "), "{text}");
}

#[test]
fn what_reads_the_rows_of_others_waits_for_all_of_them() {
    assert_eq!(chains(&graph(&[24, 24, 8], across)), [0usize; 0]);
}
