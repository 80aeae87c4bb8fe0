//! Symbolic sizes mean the same as numbers; passes and printing.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{Numbers, UNIT, assert_close, entry};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::index_eval;
use mlc_ir::interp::run;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::pad::Pad;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::reverse::Reverse;
use mlc_ir::ops::size::SizeOf;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::print::graph_text;
use mlc_ir::scalar::{BinaryOp, Literal, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_ir::verify::verify;

fn f32s(shape: Vec<Dim>) -> Type {
    Type::new(DType::F32, shape)
}

/// A little network with its gradients: convolution, pooling, projection, views, a mean over B.
fn network(graph: &mut Graph, batch: Dim, width: Dim) -> RegionId {
    let mut b = Builder::new("network");
    let x = b.param(f32s(vec![batch.clone(), width.clone(), 2.into()]));
    let w = b.param(f32s(vec![3.into(), 2.into(), 4.into()]));
    let p = b.param(f32s(vec![4.into(), 3.into()]));
    let geometry = Geometry { strides: vec![2], pads: vec![(1, 1)], dilations: vec![1], groups: 1 };
    let y = b.add1(Conv { role: ConvRole::Output, geometry, extents: vec![] }, &[x, w]);
    let y = b.unary(UnaryOp::Tanh, y);
    let pooled = b.add(WindowMax { size: vec![2], strides: vec![1], pads: vec![(0, 0)] }, &[y])[0];
    let length = b.ty(pooled).shape[1].clone();
    let front = Slice {
        starts: vec![0.into(), 0.into(), 0.into()],
        sizes: vec![batch.clone(), 2.into(), 4.into()],
        steps: vec![1, 1, 1],
    };
    let front = b.add1(front, &[pooled]);
    let both = b.add1(Concat { axis: 1 }, &[pooled, front]);
    let both = b.add1(Reverse { axes: vec![1] }, &[both]);
    let fill = Literal::from_f64(DType::F32, 0.5);
    let both = b.add1(Pad { low: vec![0, 1, 0], high: vec![0, 0, 0], interior: vec![0, 1, 0], fill }, &[both]);
    let both = b.add1(Transpose { perm: vec![1, 0, 2] }, &[both]);
    let rows = b.ty(both).shape[0].mul(&batch).unwrap();
    let flat = b.add1(Reshape { shape: vec![rows, 4.into()] }, &[both]);
    let out = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[flat, p]);
    let best = b.add1(Reduce { kind: ReduceKind::Max, axes: vec![0] }, &[out]);
    let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[out]);
    let size = b.add1(SizeOf { size: length.mul(&batch).unwrap(), dtype: DType::F32 }, &[]);
    let mean = b.binary(BinaryOp::Div, sum, size);
    let best = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[best]);
    let one = b.full(DType::F32, 1.0, &[]);
    let best = b.binary(BinaryOp::Mul, best, one);
    let loss = b.binary(BinaryOp::Add, mean, best);
    let mut results = vec![loss];
    results.extend(gradient(graph, &mut b, loss, &[x, w, p]).into_iter().map(Result::unwrap));
    graph.add_region(b.finish(results))
}

fn symbolic() -> Graph {
    let mut graph = Graph::new();
    let (batch, width) = (graph.symbol("B"), graph.symbol("S"));
    let region = network(&mut graph, batch.into(), width.into());
    graph.entries = vec![entry(&graph, region)];
    graph
}

fn inputs(batch: i64, width: i64) -> Vec<Tensor> {
    let mut numbers = Numbers(77);
    let shapes =
        [vec![batch.into(), width.into(), 2.into()], vec![3.into(), 2.into(), 4.into()], vec![4.into(), 3.into()]];
    shapes.into_iter().map(|shape| numbers.tensor(&f32s(shape), UNIT)).collect()
}

fn agree(a: &[Tensor], b: &[Tensor], what: &str) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert_close(a, b, 1e-5, what));
}

#[test]
fn symbols_mean_numbers() {
    let graph = symbolic();
    verify(&graph).unwrap();
    for (batch, width) in [(1, 5), (2, 6), (3, 9)] {
        let mut numbers = Graph::new();
        let region = network(&mut numbers, batch.into(), width.into());
        verify(&numbers).unwrap();
        let args = inputs(batch, width);
        let one = run(&graph, graph.entries[0].region, &args, &[batch, width]);
        agree(&one, &run(&numbers, region, &args, &[]), &format!("B = {batch}, S = {width}"));
    }
}

/// Every node's index form with symbols, at several sizes, against the reference.
#[test]
fn index_forms_of_symbolic_sizes() {
    let graph = symbolic();
    let region = graph.region(graph.entries[0].region);
    for symbols in [[1, 5], [2, 6], [3, 9]] {
        let mut b = Builder::resume(region.clone());
        let all: Vec<Value> = (0..b.region().values.len() as u32).map(Value).collect();
        b.made_by = "test";
        let mut whole = graph.clone();
        let id = whole.add_region(b.finish(all));
        let values = run(&whole, id, &inputs(symbols[0], symbols[1]), &symbols);
        for node in &region.nodes {
            let args: Vec<&Tensor> = node.args.iter().map(|arg| &values[arg.index()]).collect();
            let arg_types: Vec<&Type> = node.args.iter().map(|arg| region.ty(*arg)).collect();
            let result_types: Vec<&Type> = node.results.iter().map(|value| region.ty(*value)).collect();
            let definition = node.op.primitive().unwrap().lower(&arg_types, &result_types);
            let types: Vec<Type> = node.results.iter().map(|value| values[value.index()].ty()).collect();
            let formed = index_eval::eval(&definition, &args, &types, &symbols);
            for (value, formed) in node.results.iter().zip(&formed) {
                assert_close(&values[value.index()], formed, 1e-5, &format!("{:?} at {symbols:?}", node.op));
            }
        }
    }
}

#[test]
fn passes_change_no_result() {
    let graph = symbolic();
    let mut stages = Vec::new();
    let optimised = run_pipeline(&graph, PIPELINE, |name, graph| stages.push((name, graph.regions[0].nodes.len())));
    assert_eq!(stages.len(), PIPELINE.len());
    assert!(stages[3].1 < graph.regions[graph.entries[0].region.index()].nodes.len(), "{stages:?}");
    let args = inputs(2, 7);
    let before = run(&graph, graph.entries[0].region, &args, &[2, 7]);
    agree(&run(&optimised, optimised.entries[0].region, &args, &[2, 7]), &before, "optimised");
}

#[test]
fn equal_graphs_print_alike() {
    let text = graph_text(&symbolic());
    assert_eq!(text, graph_text(&symbolic()));
    assert!(text.starts_with("entry network(%0 x0: f32[B, S, 2], %1 x1: f32[3, 2, 4], %2 x2: f32[4, 3]) {"), "{text}");
    assert!(text.contains("%3 = conv(%0, %1) {strides [2], pads [(1, 1)]} : f32[B, floor((S + 1) / 2), 4]"), "{text}");
}

#[test]
fn unpadded_convolutions_have_no_conditions() {
    let geometry = Geometry { strides: vec![2, 1], pads: vec![(0, 0), (0, 0)], dilations: vec![1, 1], groups: 1 };
    let mut graph = Graph::new();
    let size: Dim = graph.symbol("S").into();
    let x = f32s(vec![1.into(), size, 8.into(), 2.into()]);
    let w = f32s(vec![3.into(), 3.into(), 2.into(), 2.into()]);
    let op: mlc_ir::ops::Op = Conv { role: ConvRole::Output, geometry, extents: vec![] }.into();
    let types = op.primitive().unwrap().infer(&[&x, &w]).unwrap();
    let form = op.primitive().unwrap().lower(&[&x, &w], &[&types[0]]);
    assert!(!format!("{form:?}").contains("NotNegative"), "{form:?}");
}

#[test]
fn the_verifier_names_the_place() {
    let mut graph = symbolic();
    let region = graph.entries[0].region;
    let first = graph.regions[region.index()].nodes[0].results[0];
    graph.regions[region.index()].values[first.index()].ty.shape[0] = 7.into();
    let broken = verify(&graph).unwrap_err().to_string();
    assert!(broken.starts_with("entry network: region network: node 0 (conv): its results are"), "{broken}");
}

#[test]
fn simplification_keeps_what_floats_need() {
    let mut graph = Graph::new();
    let mut b = Builder::new("rules");
    let x = b.param(f32s(vec![4.into()]));
    let (zero, one) = (b.full(DType::F32, 0.0, &[4.into()]), b.full(DType::F32, 1.0, &[4.into()]));
    let plus_zero = b.binary(BinaryOp::Add, x, zero);
    let times_zero = b.binary(BinaryOp::Mul, x, zero);
    let times_one = b.binary(BinaryOp::Mul, one, x);
    let negated = b.unary(UnaryOp::Neg, x);
    let twice = b.unary(UnaryOp::Neg, negated);
    let two = b.binary(BinaryOp::Add, one, one);
    let half = b.binary(BinaryOp::Div, x, two);
    let wide = b.add1(Broadcast { shape: vec![3.into(), 4.into()], axes: vec![1] }, &[x]);
    let wider = b.add1(Broadcast { shape: vec![2.into(), 3.into(), 4.into()], axes: vec![1, 2] }, &[wide]);
    let region = b.finish(vec![plus_zero, times_zero, times_one, twice, half, wider]);
    let id = graph.add_region(region);
    graph.entries = vec![entry(&graph, id)];
    let text = graph_text(&run_pipeline(&graph, PIPELINE, |_, _| ()));
    assert_eq!(text.matches("= add(").count(), 1, "{text}");
    assert_eq!(text.matches("= mul(").count(), 2, "{text}");
    assert!(text.contains("result y2 = %0") && text.contains("result y3 = %0"), "{text}");
    assert!(text.contains("constant() {value 0.5}"), "{text}");
    assert!(text.contains("broadcast(%0) {axes [2]} : f32[2, 3, 4]"), "{text}");
}
