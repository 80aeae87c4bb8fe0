//! Concatenations of many short parts: their code grows as their number does, and they are what they were.

use crate::common::{Rng, assert_same_bits, entry, lowered, run_lane, run_reference};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::slice::Slice;
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};

/// A concatenation of parts with one coordinate each along `axis`.
#[derive(Clone, Copy, Debug)]
struct Parts {
    count: i64,
    axis: usize,
    /// Whether parts are computed, or views of what is given.
    computed: bool,
    /// Whether some are taken more than once.
    repeated: bool,
    gradient: bool,
}

fn shape(axis: usize, along: i64, across: &Dim) -> Vec<Dim> {
    let mut shape = vec![across.clone(); 2];
    shape[axis] = Dim::from(along);
    shape
}

fn graph(parts: Parts) -> Graph {
    let Parts { count, axis, .. } = parts;
    let (mut graph, mut b) = (Graph::new(), Builder::new("main"));
    let across = Dim::from(graph.symbol("B"));
    let x = b.param(Type::new(DType::F32, shape(axis, count, &across)));
    let bound = if parts.repeated { count / 2 } else { count };
    let part = |b: &mut Builder, at: i64| -> Value {
        let mut starts = vec![Dim::zero(); 2];
        // Odd factors reach all coordinates of a power of two, in another order.
        starts[axis] = Dim::from(at * 5 % bound);
        let part = b.add1(Slice { starts, sizes: shape(axis, 1, &across), steps: vec![1, 1] }, &[x]);
        if parts.computed { b.unary([UnaryOp::Abs, UnaryOp::Neg][at as usize % 2], part) } else { part }
    };
    let values: Vec<Value> = (0..count).map(|at| part(&mut b, at)).collect();
    let y = b.add1(Concat { axis }, &values);
    let mut results = vec![y];
    if parts.gradient {
        let cube = b.binary(BinaryOp::Mul, y, y);
        let cube = b.binary(BinaryOp::Mul, cube, y);
        let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[cube]);
        results = gradient(&mut graph, &mut b, loss, &[x]).into_iter().map(Result::unwrap).collect();
    }
    entry(graph, b, results, &[])
}

fn passed(graph: &Graph) -> Graph {
    run_pipeline(graph, PIPELINE, |_, _| ())
}

fn each(count: i64, check: impl Fn(Parts)) {
    for number in 0..16 {
        let [axis, computed, repeated, gradient] = [1, 2, 4, 8].map(|bit| number & bit != 0);
        check(Parts { count, axis: usize::from(axis), computed, repeated, gradient });
    }
}

#[test]
fn code_grows_with_the_number_of_parts() {
    let values = |parts: Parts| -> usize {
        let program = lowered(&passed(&graph(parts))).program;
        program.kernels.iter().map(|kernel| kernel.types.len()).sum()
    };
    each(16, |parts| {
        let (few, many) = (values(parts), values(Parts { count: 256, ..parts }));
        println!("{parts:?}: {few}, {many}");
        // Sixteen times as many, and kernels of their own that put them together.
        assert!(many < 24 * few.max(500), "{parts:?}: {few} values become {many}");
        assert!(few < 400 * 16, "{parts:?}: {few} values");
    });
}

#[test]
fn many_parts_are_what_the_reference_says() {
    for count in [16, 32, 64] {
        each(count, |parts| {
            let graph = graph(parts);
            let after = passed(&graph);
            let program = lowered(&after);
            for batch in [5, 8] {
                let shape =
                    mlc_ir::tensor::extents(&Type::new(DType::F32, shape(parts.axis, count, &Dim::from(batch))));
                let mut rng = Rng(batch as u64);
                // Odd quarters: no order of sums changes a bit, and nothing is a zero with a sign.
                let odd = || (2 * rng.below(32)) as f64 / 4.0 - 7.75;
                let numbers: Vec<f64> = std::iter::repeat_with(odd).take(shape.iter().product()).collect();
                let args = [Tensor::floats_of(DType::F32, &shape, numbers)];
                let lane = run_lane(&after, &program, &[batch], &args);
                let reference = run_reference(&graph, &[batch], &args);
                assert_same_bits(&lane[0], &reference[0], &format!("{parts:?}, batch {batch}"));
            }
        });
    }
}
