//! Kernels that are run unit by unit: what is, and that no order of units changes a bit.

use crate::common::{Rng, assert_same_bits, assert_within, concrete, entry, lowered, run_lane_tiles, run_reference};
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::ops::window_max::WindowMax;
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
    let region = graph.region(graph.entries[0].region);
    for rows in [1, 3] {
        let mut rng = Rng(7);
        let argument = |param: &Value| rng.tensor(&concrete(region.ty(*param), &[rows]), -2.0, 2.0, 1);
        let args: Vec<Tensor> = region.params.iter().map(argument).collect();
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

/// Softmax of the products of all pairs of rows, times the rows, for each of 4 heads.
fn attention(b: &mut Builder, x: Value) -> Value {
    let fit = Contract { left: vec![0, 1, 2, 4], right: vec![0, 1, 3, 4], out: vec![0, 1, 2, 3] };
    let fit = b.add1(fit, &[x, x]);
    let scale = b.full(DType::F32, 0.1, &b.ty(fit).shape.clone());
    let fit = b.binary(BinaryOp::Mul, fit, scale);
    let weights = softmax(b, fit);
    b.add1(Contract { left: vec![0, 1, 2, 3], right: vec![0, 1, 3, 4], out: vec![0, 1, 2, 4] }, &[weights, x])
}

#[test]
fn the_scores_of_an_attention_are_never_stored_as_a_whole() {
    let (heads, rows, width) = (4, 64, 64);
    let graph = graph(&[heads, rows, width], attention);
    let program = lowered(&graph);
    let text = plan_stage_text(&graph, &program, 0);
    assert_eq!(chains(&graph), [8], "two copies into panels, two products, four kernels of the softmax: {text}");
    let entry = &program.program.entries[0];
    assert!(entry.plan.buffers.is_empty(), "{text}");
    let near = entry.chains()[0].near;
    assert!((rows * rows * 4..4 * rows * rows * 4).contains(&near), "a head's scores are {near} bytes: {text}");
}

/// A convolution of pictures with 4 channels into 8, and the greatest of each 2 by 2 elements.
fn pooled(side: i64) -> Graph {
    let mut graph = Graph::new();
    let rows = graph.symbol("B");
    let mut b = Builder::new("main");
    let x = b.param(Type::new(DType::F32, vec![Dim::from(rows), Dim::from(side), Dim::from(side), Dim::from(4)]));
    let w = b.param(Type::new(DType::F32, [3, 3, 4, 8].map(Dim::from).to_vec()));
    let geometry = Geometry { strides: vec![1, 1], pads: vec![(0, 0); 2], dilations: vec![1, 1], groups: 1 };
    let y = b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w]);
    let y = b.unary(UnaryOp::Tanh, y);
    let y = b.add1(WindowMax { size: vec![2, 2], strides: vec![2, 2], pads: vec![(0, 0); 2] }, &[y]);
    entry(graph, b, vec![y], &[(rows, 4)])
}

#[test]
fn a_pooling_takes_the_rows_of_its_convolution_at_once() {
    let graph = pooled(18);
    let text = plan_stage_text(&graph, &lowered(&graph), 0);
    let (kernels, rows) = (chains(&graph), "8*B units, ");
    assert!(kernels.len() == 1 && kernels[0] >= 2 && text.contains(rows), "{text}");
}

/// A softmax, and between its kernels sums across its rows, which are added at the end.
#[test]
fn what_is_in_the_way_runs_before() {
    let graph = graph(&[24, 64], |b, x| {
        let most = over_rows(b, x, ReduceKind::Max);
        let less = b.binary(BinaryOp::Sub, x, most);
        let exp = b.unary(UnaryOp::Exp, less);
        let other = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![1] }, &[x]);
        let other = b.add1(Broadcast { shape: b.ty(x).shape.clone(), axes: vec![0, 2] }, &[other]);
        let sum = over_rows(b, exp, ReduceKind::Sum);
        let share = b.binary(BinaryOp::Div, exp, sum);
        b.binary(BinaryOp::Add, share, other)
    });
    let text = plan_stage_text(&graph, &lowered(&graph), 0);
    assert_eq!(chains(&graph), [4], "{text}");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text}"));
    assert!(at("run k") < at(" units, "), "{text}");
}
