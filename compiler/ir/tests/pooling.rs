//! Poolings: what clamps and convolutions before them become, with the same results.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::cells::{f32s, spread};
use common::{entry, weighted};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Node, Region, Value};
use mlc_ir::ops::Op;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::scalar::BinaryOp;
use mlc_ir::ty::DType;

const CHANNELS: i64 = 3;

/// How a map is pooled.
#[derive(Clone, Copy)]
struct Pooling {
    size: i64,
    stride: i64,
    pad: i64,
}

const PLAIN: Pooling = Pooling { size: 2, stride: 2, pad: 0 };

fn pooled(b: &mut Builder, x: Value, Pooling { size, stride, pad }: Pooling) -> Value {
    let op = WindowMax { size: vec![size; 2], strides: vec![stride; 2], pads: vec![(pad, pad); 2] };
    b.add(op, &[x])[0]
}

fn clamped(b: &mut Builder, op: BinaryOp, x: Value, bound: f64) -> Value {
    let ty = b.ty(x).clone();
    let bound = b.full(ty.dtype, bound, &ty.shape);
    b.binary(op, x, bound)
}

fn relu(b: &mut Builder, x: Value) -> Value {
    clamped(b, BinaryOp::Max, x, 0.0)
}

/// A 3 by 3 convolution with stride `stride` and a bias over pictures of `side`, and what `rest` makes of it:
/// the loss and the gradients by pictures, weights and bias, and by what `rest` names.
fn network(side: i64, stride: i64, rest: impl Fn(&mut Builder, Value) -> (Value, Vec<Value>)) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("main");
    let x = b.param(f32s(&[2, side, side, 2]));
    let w = b.param(f32s(&[3, 3, 2, CHANNELS]));
    let bias = b.param(f32s(&[CHANNELS]));
    let geometry = Geometry { strides: vec![stride; 2], pads: vec![(0, 1); 2], dilations: vec![1; 2], groups: 1 };
    let y = b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w]);
    let bias_map = spread(&mut b, bias, y, &[3]);
    let y = b.binary(BinaryOp::Add, y, bias_map);
    let (result, others) = rest(&mut b, y);
    let loss = weighted(&mut b, result);
    let wrt: Vec<Value> = [x, w, bias].into_iter().chain(others).collect();
    let mut results = vec![loss, result];
    results.extend(gradient(&mut graph, &mut b, loss, &wrt).into_iter().map(Result::unwrap));
    let region = graph.add_region(b.finish(results));
    graph.entries = vec![entry(&graph, region)];
    graph
}

/// The region after all passes.
fn passed(graph: &Graph) -> Region {
    let short = common::passed(graph);
    short.region(short.entries[0].region).clone()
}

fn sides(region: &Region, is: impl Fn(&Op) -> bool) -> Vec<i64> {
    let nodes = region.nodes.iter().filter(|node| is(&node.op));
    nodes.map(|node| region.ty(node.results[0]).shape[1].as_const().unwrap()).collect()
}

fn is_convolution(op: &Op) -> bool {
    matches!(op, Op::Conv(op) if op.role == ConvRole::Output)
}

fn is_clamp(op: &Op) -> bool {
    matches!(op, Op::Binary(op) if matches!(op.op, BinaryOp::Max | BinaryOp::Min))
}

/// The nodes that read the map that convolution and bias make.
fn readers_of_map(region: &Region) -> Vec<&Node> {
    let conv = region.nodes.iter().find(|node| is_convolution(&node.op)).unwrap();
    let reads = |value: Value| region.nodes.iter().filter(move |node| node.args.contains(&value));
    let sum = reads(conv.results[0]).next().unwrap();
    reads(sum.results[0]).collect()
}

#[test]
fn a_clamp_moves_behind_the_pooling_and_only_the_pooling_reads_the_map() {
    let graph = network(9, 1, |b, y| {
        let y = relu(b, y);
        (pooled(b, y, PLAIN), Vec::new())
    });
    let region = passed(&graph);
    let readers = readers_of_map(&region);
    assert!(matches!(readers[..], [Node { op: Op::WindowMax(_), .. }]), "{readers:?}");
    assert_eq!(sides(&region, is_clamp), [4]);
}

#[test]
fn limits_from_both_sides_move_and_windows_may_overlap() {
    for pooling in [PLAIN, Pooling { size: 3, stride: 2, pad: 1 }, Pooling { size: 3, stride: 1, pad: 0 }] {
        let graph = network(8, 1, |b, y| {
            let y = relu(b, y);
            let y = clamped(b, BinaryOp::Min, y, 0.4);
            (pooled(b, y, pooling), Vec::new())
        });
        let region = passed(&graph);
        let readers = readers_of_map(&region);
        assert!(matches!(readers[..], [Node { op: Op::WindowMax(_), .. }]), "{readers:?}");
    }
}

#[test]
fn a_clamp_whose_own_gradient_is_wanted_stays() {
    let graph = network(9, 1, |b, y| {
        let y = relu(b, y);
        (pooled(b, y, PLAIN), vec![y])
    });
    assert_eq!(sides(&passed(&graph), is_clamp), [8]);
}

#[test]
fn a_clamp_that_something_else_reads_is_there_twice() {
    let graph = network(9, 1, |b, y| {
        let y = relu(b, y);
        let pooled = pooled(b, y, PLAIN);
        let whole = weighted(b, y);
        let whole = b.broadcast_scalar(whole, &b.ty(pooled).shape.clone());
        (b.binary(BinaryOp::Mul, pooled, whole), Vec::new())
    });
    passed(&graph);
}

#[test]
fn what_no_window_reads_is_not_computed() {
    for (side, stride, pooling, map, used) in [
        (12, 1, PLAIN, 11, 10),
        (23, 2, PLAIN, 11, 10),
        (13, 1, Pooling { size: 3, stride: 3, pad: 0 }, 12, 12),
        (12, 1, Pooling { size: 3, stride: 3, pad: 0 }, 11, 9),
        (12, 1, Pooling { size: 2, stride: 3, pad: 0 }, 11, 11),
        (13, 1, Pooling { size: 2, stride: 3, pad: 0 }, 12, 11),
        (17, 1, Pooling { size: 3, stride: 4, pad: 1 }, 16, 14),
    ] {
        let graph = network(side, stride, |b, y| {
            assert_eq!(b.ty(y).shape[1], Dim::from(map));
            let y = relu(b, y);
            (pooled(b, y, pooling), Vec::new())
        });
        let region = passed(&graph);
        assert_eq!(sides(&region, is_convolution), [used]);
        assert_eq!(sides(&region, |op| matches!(op, Op::WindowUnpick(_))), [used]);
    }
}

#[test]
fn what_a_slice_leaves_is_not_computed() {
    let graph = network(12, 1, |b, y| {
        let y = relu(b, y);
        let slice = |rows: i64| Slice {
            starts: vec![Dim::zero(), Dim::from(2), Dim::zero(), Dim::zero()],
            sizes: [2, rows, 4, CHANNELS].map(Dim::from).to_vec(),
            steps: vec![1, 2, 2, 1],
        };
        (b.add1(slice(3), &[y]), Vec::new())
    });
    let region = passed(&graph);
    let conv = region.nodes.iter().find(|node| is_convolution(&node.op)).unwrap();
    assert_eq!(region.ty(conv.results[0]).shape, [2, 7, 7, CHANNELS].map(Dim::from).to_vec());
}

#[test]
fn a_map_that_is_a_result_is_whole() {
    let graph = network(12, 1, |b, y| {
        let pooled = pooled(b, y, PLAIN);
        let first = weighted(b, y);
        let first = b.broadcast_scalar(first, &b.ty(pooled).shape.clone());
        (b.binary(BinaryOp::Add, pooled, first), Vec::new())
    });
    assert_eq!(sides(&passed(&graph), is_convolution), [11]);
}

#[test]
fn bounds_that_are_no_numbers_stay() {
    let graph = network(9, 1, |b, y| {
        let ty = b.ty(y).clone();
        let half = b.full(DType::F32, 0.5, &ty.shape);
        let half = b.binary(BinaryOp::Mul, y, half);
        let y = b.binary(BinaryOp::Max, y, half);
        (pooled(b, y, PLAIN), Vec::new())
    });
    assert_eq!(sides(&passed(&graph), is_clamp), [8]);
}
