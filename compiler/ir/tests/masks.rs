//! Truth values of the forward pass: which a step keeps, and as what.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::cells::{f32s, project};
use common::{entry, weighted};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::Op;
use mlc_ir::ops::select::Select;
use mlc_ir::print::graph_text;
use mlc_ir::scalar::{BinaryOp, CompareOp};

const WIDTH: i64 = 256;

type Activation = fn(&mut Builder, Value) -> Value;

fn leaky(b: &mut Builder, x: Value) -> Value {
    let ty = b.ty(x).clone();
    let (zero, slope) = (b.full(ty.dtype, 0.0, &ty.shape), b.full(ty.dtype, 0.1, &ty.shape));
    let positive = b.compare(CompareOp::Gt, x, zero);
    let less = b.binary(BinaryOp::Mul, x, slope);
    b.add1(Select, &[positive, x, less])
}

fn relu(b: &mut Builder, x: Value) -> Value {
    let ty = b.ty(x).clone();
    let zero = b.full(ty.dtype, 0.0, &ty.shape);
    b.binary(BinaryOp::Max, x, zero)
}

/// Two products with an activation behind the first, of which only its sums go on where `summed`; the loss and
/// the gradients by the weights.
fn network(rows: i64, activation: Activation, summed: bool) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("main");
    let x = b.param(f32s(&[rows, 4]));
    let first = b.param(f32s(&[4, WIDTH]));
    let second = b.param(f32s(&[WIDTH, 2]));
    let h = project(&mut b, x, first);
    let h = activation(&mut b, h);
    let mut loss = weighted(&mut b, h);
    let mut wrt = vec![first];
    if !summed {
        let y = project(&mut b, h, second);
        loss = weighted(&mut b, y);
        wrt.push(second);
    }
    let mut results = vec![loss];
    results.extend(gradient(&mut graph, &mut b, loss, &wrt).into_iter().map(Result::unwrap));
    let region = graph.add_region(b.finish(results));
    graph.entries = vec![entry(&graph, region)];
    graph
}

/// The step after all passes; how often it makes bits of truth values.
fn passed(graph: &Graph) -> (Graph, usize) {
    let short = common::passed(graph);
    let nodes = &short.region(short.entries[0].region).nodes;
    let count = nodes.iter().filter(|node| matches!(node.op, Op::PackBits(_))).count();
    (short, count)
}

/// Whether gradients read the result of the first product or what is made of it element by element, but for
/// what the second product reads.
fn keeps_numbers(graph: &Graph) -> bool {
    let region = graph.region(graph.entries[0].region);
    let first = region.nodes.iter().find(|node| matches!(node.op, Op::Contract(_))).unwrap().results[0];
    let reads = |node: &&mlc_ir::graph::Node| node.args.contains(&first);
    let gradient = |node: &mlc_ir::graph::Node| node.made_by == mlc_ir::autodiff::PASS || node.epoch.0 > 0;
    region.nodes.iter().filter(reads).any(gradient)
}

#[test]
fn large_masks_are_bits_and_the_numbers_are_not_kept() {
    // 1,027 rows end in the middle of a byte.
    for rows in [1024, 1027] {
        let graph = network(rows, leaky, false);
        let (short, bits) = passed(&graph);
        assert_eq!(bits, 1, "{}", graph_text(&short));
        assert!(!keeps_numbers(&short), "{}", graph_text(&short));
    }
}

#[test]
fn small_masks_are_not() {
    let (_, bits) = passed(&network(64, leaky, false));
    assert_eq!(bits, 0);
}

#[test]
fn what_is_kept_anyway_tells_the_mask() {
    let (short, bits) = passed(&network(1024, relu, false));
    assert_eq!(bits, 0, "the second product's gradient needs its operand: {}", graph_text(&short));
    assert!(!keeps_numbers(&short), "{}", graph_text(&short));
}

#[test]
fn a_test_that_only_the_gradient_makes_is_kept_as_bits() {
    let (short, bits) = passed(&network(1024, relu, true));
    assert_eq!(bits, 1, "{}", graph_text(&short));
    assert!(!keeps_numbers(&short), "{}", graph_text(&short));
}
