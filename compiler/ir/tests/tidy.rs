//! Loops said shorter: what each rule leaves, with the same results.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::cells::{f32s, spread};
use common::{Numbers, UNIT, entry};
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::interp::run;
use mlc_ir::ops::Op;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::size::SizeOf;
use mlc_ir::ops::slice::Slice;
use mlc_ir::passes::{PIPELINE, dce, loops, run_pipeline};
use mlc_ir::print::graph_text;
use mlc_ir::region_ops::{Loop, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_ir::verify::verify;

const N: i64 = 3;
const T: i64 = 4;

fn exact() -> Trip {
    Trip::Exact(Dim::from(T))
}

fn body() -> Builder {
    let mut b = Builder::new("body");
    b.param(Type::scalar(DType::I64));
    b
}

fn finish(graph: &mut Graph, b: Builder, results: Vec<Value>) {
    let region = graph.add_region(b.finish(results));
    graph.entries = vec![entry(graph, region)];
    verify(graph).unwrap();
}

/// The graph after the pass and after all, with the same results as before; the loop that is left.
fn tidied(graph: &Graph, symbols: &[i64]) -> (Graph, Option<Loop>) {
    let args: Vec<Tensor> = {
        let mut numbers = Numbers(11);
        let region = graph.region(graph.entries[0].region);
        region
            .params
            .iter()
            .map(|param| {
                let ty = region.ty(*param);
                let shape: Vec<Dim> = ty.shape.iter().map(|dim| dim.eval(symbols).unwrap().into()).collect();
                numbers.tensor(&Type::new(ty.dtype, shape), UNIT)
            })
            .collect()
    };
    let expected = run(graph, graph.entries[0].region, &args, symbols);
    let short = dce(&loops(graph));
    for graph in [&short, &run_pipeline(graph, PIPELINE, |_, _| ())] {
        verify(graph).unwrap();
        let found = run(graph, graph.entries[0].region, &args, symbols);
        for (found, expected) in found.iter().zip(&expected) {
            common::assert_close(found, expected, 1e-6, &graph_text(graph));
        }
    }
    let main = short.region(short.entries[0].region);
    let op = main.nodes.iter().find_map(|node| if let Op::Loop(op) = &node.op { Some(op.clone()) } else { None });
    (short, op)
}

#[test]
fn carries_that_stay_and_operands_that_repeat_are_invariants() {
    let mut graph = Graph::new();
    let mut b = body();
    let [h, same, x, y, z] = [0; 5].map(|_| b.param(f32s(&[N])));
    let position = b.param(Type::scalar(DType::I32));
    let [w, v, zero] = [0; 3].map(|_| b.param(f32s(&[N])));
    let number = b.add1(mlc_ir::ops::cast::Cast { dtype: DType::F32 }, &[position]);
    let number = b.broadcast_scalar(number, &[N.into()]);
    let mut sum = h;
    for value in [same, x, y, z, w, v, zero, number] {
        sum = b.binary(BinaryOp::Add, sum, value);
    }
    let new = b.unary(UnaryOp::Tanh, sum);
    let inner = graph.add_region(b.finish(vec![new, same, new, x, new, w, w]));
    let mut b = Builder::new("main");
    let [h, same, w] = [0; 3].map(|_| b.param(f32s(&[N])));
    let rows = b.param(f32s(&[T, N]));
    let repeated = b.add1(Broadcast { shape: vec![T.into(), N.into()], axes: vec![1] }, &[w]);
    let positions = b.add1(Iota { shape: vec![T.into()], axis: 0, dtype: DType::I32 }, &[]);
    let zero = b.full(DType::F32, 0.0, &[N.into()]);
    let op = Loop { carries: 2, slices: 4, invariants: 3, stacks: 3, sums: 2, ..Loop::new(exact()) };
    let args = [h, same, rows, rows, repeated, positions, w, w, zero];
    let results = b.add_loop(&graph, op, &args, inner);
    finish(&mut graph, b, results.to_vec());
    let (short, left) = tidied(&graph, &[]);
    // h; rows; w (which is also what repeats) and what was a carry; new; the sum of w.
    let expected = Loop { carries: 1, slices: 1, invariants: 2, stacks: 1, sums: 1, ..Loop::new(exact()) };
    assert_eq!(left.unwrap(), expected, "{}", graph_text(&short));
}

#[test]
fn one_iteration_is_the_body() {
    let mut graph = Graph::new();
    let mut b = body();
    let [h, x] = [0; 2].map(|_| b.param(f32s(&[N])));
    let new = b.binary(BinaryOp::Mul, h, x);
    let inner = graph.add_region(b.finish(vec![new, x, new]));
    let mut b = Builder::new("main");
    let (h, rows) = (b.param(f32s(&[N])), b.param(f32s(&[1, N])));
    let op = Loop { carries: 1, slices: 1, stacks: 1, sums: 1, ..Loop::new(Trip::Exact(Dim::one())) };
    let results = b.add_loop(&graph, op, &[h, rows], inner);
    finish(&mut graph, b, results.to_vec());
    assert_eq!(tidied(&graph, &[]).1, None);
}

/// A loop with a count: of it is left what is given, for a count that is `count` of the bound.
fn counted(count: impl Fn(&mut Builder, &Dim) -> Value) -> (Graph, Option<Loop>) {
    let mut graph = Graph::new();
    let bound = Dim::from(graph.symbol("T"));
    let mut b = body();
    let [h, x] = [0; 2].map(|_| b.param(f32s(&[N])));
    let new = b.binary(BinaryOp::Mul, h, x);
    let inner = graph.add_region(b.finish(vec![new, new, x]));
    let mut b = Builder::new("main");
    let h = b.param(f32s(&[N]));
    let rows = b.param(stacked(&bound, &f32s(&[N])));
    let count = count(&mut b, &bound);
    let op = Loop { carries: 1, slices: 1, stacks: 1, sums: 1, ..Loop::new(Trip::UpTo(bound)) };
    let results = b.add_loop(&graph, op, &[count, h, rows], inner);
    finish(&mut graph, b, results.to_vec());
    tidied(&graph, &[5])
}

#[test]
fn counts_that_are_known_are_no_counts() {
    let number = |value: i64| move |b: &mut Builder, _: &Dim| b.literal(Literal::from_i64(DType::I64, value));
    assert_eq!(counted(number(0)).1, None);
    assert_eq!(counted(number(-3)).1, None);
    assert!(counted(number(2)).1.unwrap().has_count());
    let whole = |b: &mut Builder, bound: &Dim| b.add1(SizeOf { size: bound.clone(), dtype: DType::I64 }, &[]);
    assert!(!counted(whole).1.unwrap().has_count());
}

/// `rows[-1]` of a recurrence is its last state: without other readers the rows are not made.
#[test]
fn the_last_row_is_the_end_of_the_carry() {
    for rev in [false, true] {
        let mut graph = Graph::new();
        let bound = Dim::from(graph.symbol("T"));
        let mut b = body();
        let [h, x] = [0; 2].map(|_| b.param(f32s(&[N])));
        let sum = b.binary(BinaryOp::Add, h, x);
        let new = b.unary(UnaryOp::Tanh, sum);
        let inner = graph.add_region(b.finish(vec![new, new]));
        let mut b = Builder::new("main");
        let h = b.param(f32s(&[N]));
        let rows = b.param(stacked(&bound, &f32s(&[N])));
        let op = Loop { carries: 1, slices: 1, stacks: 1, rev, ..Loop::new(Trip::Exact(bound.clone())) };
        let ends = b.add_loop(&graph, op, &[h, rows], inner)[1];
        let last = if rev { Dim::zero() } else { bound.sub(&Dim::one()).unwrap() };
        let slice = Slice { starts: vec![last, 0.into()], sizes: vec![1.into(), N.into()], steps: vec![1, 1] };
        let row = b.add1(slice, &[ends]);
        finish(&mut graph, b, vec![row]);
        let (short, left) = tidied(&graph, &[4]);
        assert_eq!(left.unwrap().stacks, 0, "{}", graph_text(&short));
    }
}

/// A loop that may stop early keeps its rows: those behind the end are zero.
#[test]
fn rows_of_loops_that_stop_are_theirs() {
    let mut graph = Graph::new();
    let mut b = body();
    let [h, x, limit] = [0; 3].map(|_| b.param(f32s(&[])));
    let new = b.binary(BinaryOp::Add, h, x);
    let stop = b.compare(CompareOp::Gt, new, limit);
    let inner = graph.add_region(b.finish(vec![stop, new, x, new]));
    let mut b = Builder::new("main");
    let (h, rows, limit) = (b.param(f32s(&[])), b.param(f32s(&[T])), b.param(f32s(&[])));
    let op = Loop { until: true, carries: 1, slices: 1, invariants: 1, stacks: 2, ..Loop::new(exact()) };
    let results = b.add_loop(&graph, op, &[h, rows, limit], inner);
    let wide = spread(&mut b, results[1], results[2], &[]);
    let ends = b.binary(BinaryOp::Add, results[2], wide);
    finish(&mut graph, b, vec![results[0], ends, results[3]]);
    assert_eq!(tidied(&graph, &[]).1.unwrap().stacks, 2);
}

/// What a carry was before each iteration is what it was after the one before.
#[test]
fn a_carry_is_stacked_once() {
    for (rev, symbolic, constant) in
        [(false, true, true), (true, false, true), (false, false, false), (true, true, false)]
    {
        let mut graph = Graph::new();
        let bound = if symbolic { Dim::from(graph.symbol("T")) } else { Dim::from(T) };
        let mut b = body();
        let [h, x] = [0; 2].map(|_| b.param(f32s(&[N])));
        let sum = b.binary(BinaryOp::Add, h, x);
        let new = b.unary(UnaryOp::Tanh, sum);
        let inner = graph.add_region(b.finish(vec![new, h, new]));
        let mut b = Builder::new("main");
        let first = b.param(f32s(&[N]));
        let rows = b.param(stacked(&bound, &f32s(&[N])));
        let half = b.full(DType::F32, 0.5, &[N.into()]);
        let first = if constant { half } else { first };
        let op = Loop { carries: 1, slices: 1, stacks: 2, rev, ..Loop::new(Trip::Exact(bound)) };
        let results = b.add_loop(&graph, op, &[first, rows], inner);
        finish(&mut graph, b, results.to_vec());
        for symbols in if symbolic { vec![1, 4] } else { vec![T] } {
            let (short, left) = tidied(&graph, &[symbols]);
            assert_eq!(left.unwrap().stacks, 1, "{}", graph_text(&short));
        }
    }
}
