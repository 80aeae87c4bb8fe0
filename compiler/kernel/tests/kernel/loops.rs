//! Loops: kernels in bodies on the Lane interpreter against reference evaluation.

use crate::common::{
    Rng, assert_same_bits, assert_within, bytes, concrete, each_case, entry, lowered, lowered_with, run_lane,
    run_lane_tiles, run_reference,
};
use crate::random_graphs::other_schedule;
use crate::random_loops::graph;
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Entry, Fault, Global, GlobalId, GlobalKind, Graph, Input, Output, SpanId};
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::slice_at::SliceAt;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::region_ops::{Loop, Trip};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::fuse::Fuse;
use mlc_kernel::lower::Choices;
use mlc_kernel::print::plan_stage_text;
use mlc_kernel::program::Step;
use mlc_kernel::run::{Memory, Outcome, Tiles};

#[test]
fn loops_agree_with_reference_evaluation() {
    each_case((1..=300).map(|seed| (format!("graph {seed}"), seed)), |seed| {
        let (graph, cases) = graph(seed, seed % 2 == 0);
        let program = lowered(&graph);
        for (size, args) in &cases {
            let expected = run_reference(&graph, &[*size], args);
            let found = run_lane(&graph, &program, &[*size], args);
            for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert_within(a, b, 1e-3, 1.0, &format!("result {number} at {size}"));
            }
        }
    });
}

#[test]
fn loops_have_the_same_bits_however_they_are_lowered() {
    each_case((1..=150).map(|seed| (format!("graph {seed}"), seed)), |seed| {
        let (graph, cases) = graph(seed, seed % 2 == 0);
        let program = lowered(&graph);
        let unfused = lowered_with(&graph, Choices { fuse: Fuse::Nothing, ..Choices::default() });
        let choices = Choices { schedule: &|nest, chosen| other_schedule(nest, chosen, seed), ..Choices::default() };
        let other = lowered_with(&graph, choices);
        for (size, args) in &cases {
            let expected = run_lane(&graph, &program, &[*size], args);
            let same = |found: Vec<Tensor>, what: &str| {
                for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                    assert_same_bits(a, b, &format!("{what}, result {number} at {size}"));
                }
            };
            same(run_lane(&graph, &unfused, &[*size], args), "unfused");
            same(run_lane(&graph, &other, &[*size], args), "another schedule");
            same(run_lane_tiles(&graph, &program, &[*size], args, Tiles::Backwards), "tiles backwards");
        }
    });
}

/// Each iteration writes a row of a buffer from the row before: forward and backward, and with the
/// rows added to instead, no iteration touches more than rows.
fn rows_of_a_buffer(accumulate: bool) -> Graph {
    let mut graph = Graph::new();
    let rows = Dim::from(graph.symbol("T"));
    let width = Dim::from(8);
    let buffer = Type::new(DType::F32, vec![rows.clone(), width.clone()]);
    let vector = Type::new(DType::F32, vec![width.clone()]);
    let sizes = vec![Dim::one(), width.clone()];
    let mut b = Builder::new("fill");
    let p = b.param(Type::scalar(DType::I64));
    let [old, x, scale] = [&buffer, &vector, &vector].map(|ty| b.param(ty.clone()));
    let (zero, one) = [0, 1].map(|n| b.literal(Literal::from_i64(DType::I64, n))).into();
    let before = b.binary(BinaryOp::Sub, p, one);
    let last = b.add1(SliceAt { sizes: sizes.clone() }, &[old, before, zero]);
    let last = b.add1(Reshape { shape: vec![width.clone()] }, &[last]);
    let product = b.binary(BinaryOp::Mul, last, scale);
    let sum = b.binary(BinaryOp::Add, product, x);
    let new = b.unary(UnaryOp::Tanh, sum);
    let mut new = b.add1(Reshape { shape: sizes.clone() }, &[new]);
    if accumulate {
        let here = b.add1(SliceAt { sizes }, &[old, p, zero]);
        new = b.binary(BinaryOp::Add, here, new);
    }
    let next = b.add1(UpdateSlice, &[old, new, p, zero]);
    let body = graph.add_region(b.finish(vec![next]));
    let mut b = Builder::new("main");
    let [start, xs, scale] = [&buffer, &buffer, &vector].map(|ty| b.param(ty.clone()));
    let trip = Trip::Exact(rows);
    let op = Loop { carries: 1, slices: 1, invariants: 1, ..Loop::new(trip) };
    let first = b.unary(UnaryOp::Tanh, start);
    let filled = b.add_loop(&graph, op, &[first, xs, scale], body)[0];
    let squares = b.binary(BinaryOp::Mul, filled, filled);
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[squares]);
    let gradients = gradient(&mut graph, &mut b, loss, &[start, xs, scale]);
    let results = [filled, loss].into_iter().chain(gradients.into_iter().map(Result::unwrap)).collect();
    entry(graph, b, results, &[(Sym(0), 16)])
}

/// What grows with a symbol in bodies of loops.
fn growing(steps: &[Step], inside: bool) -> usize {
    let grows = |dim: &Dim| usize::from(inside && dim.as_const().is_none());
    let step = |step: &Step| match step {
        Step::Run { work, .. } => grows(work),
        Step::Chain(chain) => grows(&chain.work),
        Step::Copy { bytes, .. } => grows(bytes),
        Step::Loop(looped) => growing(&looped.body, true) + growing(&looped.turn, true),
        Step::Bands(bands) => growing(&bands.body, inside),
        Step::Call { .. } | Step::Fault { .. } | Step::Absent => 0,
    };
    steps.iter().map(step).sum()
}

#[test]
fn a_row_of_a_buffer_costs_a_row() {
    for accumulate in [false, true] {
        let graph = rows_of_a_buffer(accumulate);
        let program = lowered(&graph);
        let steps = &program.program.entries[0].steps;
        assert_eq!(growing(steps, false), 0, "{}", plan_stage_text(&program.graph, &program, 0));
        for size in [1, 2, 7] {
            let region = graph.region(graph.entries[0].region);
            let mut rng = Rng(size as u64);
            let types = region.params.iter().map(|param| concrete(region.ty(*param), &[size]));
            let args: Vec<Tensor> = types.map(|ty| rng.tensor(&ty, -1.0, 1.0, 1)).collect();
            let expected = run_reference(&graph, &[size], &args);
            let found = run_lane(&graph, &program, &[size], &args);
            for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert_within(a, b, 1e-5, 1.0, &format!("result {number} at {size}"));
            }
        }
    }
}

const CACHE: i64 = 6;

/// Writes `x` into a row of a state, once or in a loop of rows, with a check of the place before.
fn state_step(looped: bool) -> Graph {
    let mut graph = Graph::new();
    let width = Dim::from(8);
    let ty = Type::new(DType::F32, vec![CACHE.into(), width.clone()]);
    let row = Type::new(DType::F32, vec![1.into(), width]);
    let state = GlobalId(0);
    graph.globals.push(Global { path: "cache".into(), kind: GlobalKind::State, ty: ty.clone(), span: SpanId(0) });
    let mut b = Builder::new("write");
    let position = b.param(Type::scalar(DType::I64));
    let (old, x) = (b.param(ty.clone()), b.param(row.clone()));
    let zero = b.literal(Literal::from_i64(DType::I64, 0));
    let new = b.add1(UpdateSlice, &[old, x, position, zero]);
    let body = graph.add_region(b.finish(vec![new]));
    let mut b = Builder::new("main");
    let [old, x] = [&ty, &row].map(|ty| b.param(ty.clone()));
    let at = b.param(Type::scalar(DType::I64));
    let zero = b.literal(Literal::from_i64(DType::I64, 0));
    let new = if looped {
        let trip = Trip::UpTo(CACHE.into());
        let op = Loop { carries: 1, invariants: 1, ..Loop::new(trip) };
        b.add_loop(&graph, op, &[at, old, x], body)[0]
    } else {
        b.add1(UpdateSlice, &[old, x, at, zero])
    };
    let limit = b.literal(Literal::from_i64(DType::I64, CACHE));
    let fine = b.compare(CompareOp::Lt, at, limit);
    let [first, none] = [0, i64::from(i32::MAX)].map(|n| b.literal(Literal::from_i64(DType::I32, n)));
    let fault = b.add1(Select, &[fine, none, first]);
    let axes = vec![0, 1];
    let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[new]);
    let region = graph.add_region(b.finish(vec![new, sum, fault]));
    let check =
        Fault { checked: mlc_ir::graph::Checked::Index, span: SpanId(0), text: String::new(), bound: CACHE.into() };
    graph.entries.push(Entry {
        name: "main".into(),
        region,
        inputs: vec![Input::Global(state), Input::Arg("x".into()), Input::Arg("at".into())],
        outputs: vec![Output::Global(state), Output::Result("sum".into()), Output::Fault(check)],
        checks: Vec::new(),
        typical: Vec::new(),
    });
    mlc_ir::verify::expect(&graph, "test");
    graph
}

#[test]
fn a_state_is_written_where_it_is_and_not_before_the_last_check() {
    for looped in [false, true] {
        let graph = state_step(looped);
        let program = lowered(&graph);
        let text = plan_stage_text(&program.graph, &program, 0);
        assert!(!text.contains("copy"), "{text}");
        let fault = text.find("fault 0").unwrap();
        assert!(fault < text.find("run k1").unwrap() && !text[..fault].contains("global0"), "{text}");
        let old = Rng(4).tensor(&Type::new(DType::F32, vec![CACHE.into(), 8.into()]), -1.0, 1.0, 1);
        let x = Rng(5).tensor(&Type::new(DType::F32, vec![1.into(), 8.into()]), -1.0, 1.0, 1);
        for at in [0, 3, CACHE - 1, CACHE] {
            let number = Tensor::from_i64(&[], &[at]);
            let expected = run_reference(&graph, &[], &[old.clone(), x.clone(), number.clone()]);
            let mut memory = Memory {
                args: vec![bytes(&x), bytes(&number)],
                results: vec![vec![0; 4]],
                globals: vec![bytes(&old)],
                ..Memory::default()
            };
            let outcome = mlc_kernel::run::run(&program.program, 0, &[], &mut memory);
            if at == CACHE {
                assert_eq!(outcome, Outcome::Fault { index: 0, element: 0 });
                assert_eq!(memory.globals[0], bytes(&old));
            } else {
                assert_eq!(outcome, Outcome::Done);
                assert_eq!(memory.globals[0], bytes(&expected[0]), "{looped} at {at}");
            }
        }
    }
}

/// Each row of a stack is read, a window of it written, and put back: as a layer does with its state.
#[test]
fn a_window_of_a_row_of_a_stack_costs_a_window() {
    let mut graph = Graph::new();
    let length = Dim::from(graph.symbol("T"));
    let width = Dim::from(8);
    let row = Type::new(DType::F32, vec![length.clone(), width.clone()]);
    let stack = Type::new(DType::F32, vec![3.into(), length.clone(), width.clone()]);
    let number = Type::scalar(DType::I64);
    let mut b = Builder::new("layer");
    let p = b.param(number.clone());
    let [old, x, at] = [&stack, &Type::new(DType::F32, vec![width.clone()]), &number].map(|ty| b.param(ty.clone()));
    let zero = b.literal(Literal::from_i64(DType::I64, 0));
    let mine = b.add1(Gather { axis: 0, batch: 0 }, &[old, p]);
    let before = b.add1(SliceAt { sizes: vec![1.into(), width.clone()] }, &[mine, at, zero]);
    let x = b.add1(Reshape { shape: vec![1.into(), width] }, &[x]);
    let sum = b.binary(BinaryOp::Add, before, x);
    let mine = b.add1(UpdateSlice, &[mine, sum, at, zero]);
    let mine = b.add1(UpdateSlice, &[mine, x, zero, zero]);
    let shape = [vec![Dim::one()], row.shape.clone()].concat();
    let mine = b.add1(Reshape { shape }, &[mine]);
    let new = b.add1(UpdateSlice, &[old, mine, p, zero, zero]);
    let body = graph.add_region(b.finish(vec![new]));
    let mut b = Builder::new("main");
    let [start, x, at] = [&stack, &Type::new(DType::F32, vec![8.into()]), &number].map(|ty| b.param(ty.clone()));
    let trip = Trip::Exact(3.into());
    let op = Loop { carries: 1, invariants: 2, ..Loop::new(trip) };
    let first = b.unary(UnaryOp::Tanh, start);
    let new = b.add_loop(&graph, op, &[first, x, at], body)[0];
    let graph = entry(graph, b, vec![new], &[(Sym(0), 16)]);
    let program = lowered(&graph);
    let text = plan_stage_text(&program.graph, &program, 0);
    assert_eq!(growing(&program.program.entries[0].steps, false), 0, "{text}");
    assert!(!text.contains("copy"), "{text}");
    let mut rng = Rng(8);
    let args = [
        rng.tensor(&concrete(&stack, &[4]), -1.0, 1.0, 1),
        rng.tensor(&Type::new(DType::F32, vec![8.into()]), -1.0, 1.0, 1),
        Tensor::from_i64(&[], &[2]),
    ];
    let (found, expected) = (run_lane(&graph, &program, &[4], &args), run_reference(&graph, &[4], &args));
    assert_within(&found[0], &expected[0], 1e-5, 1.0, "stack");
}

/// How often a loop runs changes neither its kernels nor its steps.
#[test]
fn long_loops_are_no_more_code() {
    let code = |trip: i64| {
        let mut graph = Graph::new();
        let row = Type::new(DType::F32, vec![8.into()]);
        let mut b = Builder::new("body");
        b.param(Type::scalar(DType::I64));
        let (carry, x) = (b.param(row.clone()), b.param(row.clone()));
        let sum = b.binary(BinaryOp::Add, carry, x);
        let next = b.unary(UnaryOp::Tanh, sum);
        let body = graph.add_region(b.finish(vec![next, next]));
        let mut b = Builder::new("main");
        let (start, xs) = (b.param(row), b.param(Type::new(DType::F32, vec![trip.into(), 8.into()])));
        let trip = Trip::Exact(trip.into());
        let op = Loop { carries: 1, slices: 1, stacks: 1, ..Loop::new(trip) };
        let results = b.add_loop(&graph, op, &[start, xs], body);
        let squares = b.binary(BinaryOp::Mul, results[1], results[1]);
        let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[squares]);
        let gradients = gradient(&mut graph, &mut b, loss, &[start, xs]);
        let results = gradients.into_iter().map(Result::unwrap).collect();
        let program = lowered(&entry(graph, b, results, &[])).program;
        let steps = |steps: &[Step]| steps.iter().filter(|step| matches!(step, Step::Loop(_))).count();
        (program.kernels.len(), program.entries[0].steps.len(), steps(&program.entries[0].steps))
    };
    assert_eq!(code(40), code(40_000));
}
