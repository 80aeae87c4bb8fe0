//! Loops and calls against the same computation written out, and their gradients against differences.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{Numbers, UNIT, assert_close, entry};
use mlc_ir::autodiff::{Reason, gradient};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Graph, RegionId, SpanId, Value};
use mlc_ir::interp::{directional_check, run, to_f64};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::slice::Slice;
use mlc_ir::passes::{PIPELINE, dce, run_pipeline};
use mlc_ir::print::graph_text;
use mlc_ir::region_ops::{Call, Loop, Remat, Trip};
use mlc_ir::scalar::{BinaryOp, CompareOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_ir::verify::verify;

fn f32s(shape: &[i64]) -> Type {
    Type::new(DType::F32, shape.iter().map(|size| Dim::from(*size)).collect::<Vec<_>>())
}

fn scan(trip: Trip, rev: bool) -> Loop {
    Loop { rev, carries: 1, slices: 1, invariants: 1, stacks: 1, sums: 1, ..Loop::new(trip) }
}

/// `h' = tanh(x + h · w)`, `y = h'·h'`, `s = x · h'`
fn step(b: &mut Builder, h: Value, x: Value, w: Value) -> [Value; 3] {
    let product = b.add1(Contract { left: vec![0], right: vec![0, 1], out: vec![1] }, &[h, w]);
    let sum = b.binary(BinaryOp::Add, x, product);
    let new = b.unary(UnaryOp::Tanh, sum);
    let square = b.binary(BinaryOp::Mul, new, new);
    let term = b.binary(BinaryOp::Mul, x, new);
    [new, square, term]
}

fn cell(graph: &mut Graph, n: i64) -> RegionId {
    let mut b = Builder::new("cell");
    b.param(Type::scalar(DType::I64));
    let [h, x, w] = [f32s(&[n]), f32s(&[n]), f32s(&[n, n])].map(|ty| b.param(ty));
    let results = step(&mut b, h, x, w);
    graph.add_region(b.finish(results.to_vec()))
}

fn total(b: &mut Builder, x: Value) -> Value {
    common::weighted(b, x)
}

fn add(b: &mut Builder, a: Value, c: Value) -> Value {
    b.binary(BinaryOp::Add, a, c)
}

const N: i64 = 3;
const T: i64 = 4;

fn params(b: &mut Builder, trip: Dim) -> [Value; 3] {
    let xs = Type::new(DType::F32, vec![trip, Dim::from(N)]);
    [f32s(&[N]), xs, f32s(&[N, N])].map(|ty| b.param(ty))
}

/// The loss of the loop's three results.
fn looped(graph: &mut Graph, trip: Trip, rev: bool) -> Builder {
    let body = cell(graph, N);
    let mut b = Builder::new("looped");
    let [h, xs, w] = params(&mut b, trip.bound().clone());
    let mut args = vec![h, xs, w];
    if let Trip::UpTo(_) = trip {
        args.insert(0, b.param(Type::scalar(DType::I64)));
    }
    let results = b.add_loop(graph, scan(trip, rev), &args, body);
    let parts: Vec<Value> = results.iter().map(|result| total(&mut b, *result)).collect();
    let sum = add(&mut b, parts[0], parts[1]);
    let loss = add(&mut b, sum, parts[2]);
    b.finish_with(loss)
}

trait FinishWith {
    fn finish_with(self, loss: Value) -> Builder;
}

impl FinishWith for Builder {
    fn finish_with(self, loss: Value) -> Builder {
        Builder::resume(self.finish(vec![loss]))
    }
}

fn unrolled(rev: bool) -> Builder {
    let mut b = Builder::new("unrolled");
    let [mut h, xs, w] = params(&mut b, Dim::from(T));
    let mut rows = vec![h; T as usize];
    let mut sum: Option<Value> = None;
    let order: Vec<i64> = if rev { (0..T).rev().collect() } else { (0..T).collect() };
    for t in order {
        let op =
            Slice { starts: vec![Dim::from(t), Dim::zero()], sizes: vec![Dim::one(), Dim::from(N)], steps: vec![1, 1] };
        let row = b.add1(op, &[xs]);
        let x = b.add1(Reshape { shape: vec![Dim::from(N)] }, &[row]);
        let [new, y, s] = step(&mut b, h, x, w);
        h = new;
        rows[t as usize] = b.add1(Reshape { shape: vec![Dim::one(), Dim::from(N)] }, &[y]);
        sum = Some(match sum {
            Some(sum) => add(&mut b, sum, s),
            None => s,
        });
    }
    let ys = b.add1(mlc_ir::ops::concat::Concat { axis: 0 }, &rows);
    let parts = [h, ys, sum.unwrap()].map(|value| total(&mut b, value));
    let sum = add(&mut b, parts[0], parts[1]);
    let loss = add(&mut b, sum, parts[2]);
    b.finish_with(loss)
}

fn with_gradients(graph: &mut Graph, mut b: Builder) -> RegionId {
    let loss = b.region().results[0];
    let wrt: Vec<Value> = b.region().params.clone().into_iter().filter(|p| b.ty(*p).dtype.is_float()).collect();
    let mut results = vec![loss];
    results.extend(gradient(graph, &mut b, loss, &wrt).into_iter().map(Result::unwrap));
    graph.add_region(b.finish(results))
}

fn inputs(graph: &Graph, region: RegionId, symbols: &[i64], seed: u64) -> Vec<Tensor> {
    let mut numbers = Numbers(seed);
    let region = graph.region(region);
    let concrete = |ty: &Type| {
        Type::new(ty.dtype, ty.shape.iter().map(|dim| dim.eval(symbols).unwrap().into()).collect::<Vec<Dim>>())
    };
    region.params.iter().map(|param| numbers.tensor(&concrete(region.ty(*param)), UNIT)).collect()
}

fn agree(a: &[Tensor], b: &[Tensor], what: &str) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert_close(a, b, 1e-5, what));
}

#[test]
fn a_loop_is_its_iterations_and_so_are_its_gradients() {
    for rev in [false, true] {
        let mut graph = Graph::new();
        let loop_builder = looped(&mut graph, Trip::Exact(Dim::from(T)), rev);
        let one = with_gradients(&mut graph, loop_builder);
        let other = with_gradients(&mut graph, unrolled(rev));
        verify(&graph).unwrap();
        let args = inputs(&graph, one, &[], 5);
        agree(&run(&graph, one, &args, &[]), &run(&graph, other, &args, &[]), &format!("rev {rev}"));
    }
}

#[test]
fn loops_agree_with_differences_twice() {
    let mut graph = Graph::new();
    let mut b = looped(&mut graph, Trip::Exact(Dim::from(T)), false);
    let loss = b.region().results[0];
    let first = graph.add_region(b.region().clone());
    let wrt = b.region().params.clone();
    let gradients = gradient(&mut graph, &mut b, loss, &wrt);
    let mut norm = b.full(DType::F32, 0.0, &[]);
    for value in gradients.into_iter().map(Result::unwrap) {
        let square = b.binary(BinaryOp::Mul, value, value);
        let axes = (0..b.ty(value).rank()).collect();
        let part = b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[square]);
        norm = add(&mut b, norm, part);
    }
    let second = graph.add_region(b.finish(vec![norm]));
    verify(&graph).unwrap();
    let wide = to_f64(&graph);
    verify(&wide).unwrap();
    for region in [first, second] {
        let args = inputs(&wide, region, &[], 9);
        let direction = directional_check(&wide, region, &args, &[], 4);
        assert!(direction.agrees(), "{direction:?}");
    }
}

#[test]
fn a_count_cuts_the_loop_short() {
    let mut graph = Graph::new();
    let bounded = looped(&mut graph, Trip::UpTo(Dim::from(T + 3)), false);
    let one = with_gradients(&mut graph, bounded);
    let other = with_gradients(&mut graph, unrolled(false));
    let mut args = inputs(&graph, other, &[], 5);
    let expected = run(&graph, other, &args, &[]);
    let long = Tensor::floats_of(
        DType::F32,
        &[(T + 3) as usize, N as usize],
        args[1].floats().iter().copied().chain(std::iter::repeat_n(0.5, 9)),
    );
    args[1] = long;
    // Parameter order: h, xs, w, count.
    let region = graph.region(one);
    let count = region.params.iter().position(|p| region.ty(*p).dtype == DType::I64).unwrap();
    args.insert(count, Tensor::from_i64(&[], &[T]));
    let results = run(&graph, one, &args, &[]);
    let rows = |tensor: &Tensor| tensor.floats()[..(T * N) as usize].to_vec();
    assert_close(&results[0], &expected[0], 1e-5, "loss");
    assert_close(&results[1], &expected[1], 1e-5, "gradient of the carry");
    assert_close(
        &Tensor::from_f64(&[(T * N) as usize], &rows(&results[2])),
        &Tensor::from_f64(&[(T * N) as usize], &rows(&expected[2])),
        1e-5,
        "gradient of the slices",
    );
    assert!(results[2].floats()[(T * N) as usize..].iter().all(|value| *value == 0.0));
    assert_close(&results[3], &expected[3], 1e-5, "gradient of the invariant");
}

/// Doubles until it is above a limit: `until` counts, and the gradient is 2^count.
#[test]
fn a_loop_stops_and_its_gradient_knows_when() {
    let mut graph = Graph::new();
    let mut b = Builder::new("double");
    b.param(Type::scalar(DType::I64));
    let c = b.param(f32s(&[]));
    let limit = b.param(f32s(&[]));
    let twice = b.binary(BinaryOp::Add, c, c);
    let stop = b.compare(CompareOp::Gt, twice, limit);
    let body = graph.add_region(b.finish(vec![stop, twice]));
    let mut b = Builder::new("main");
    let (x, limit) = (b.param(f32s(&[])), b.param(f32s(&[])));
    let trip = Trip::Exact(Dim::from(10));
    let op = Loop { until: true, carries: 1, invariants: 1, ..Loop::new(trip) };
    let results = b.add_loop(&graph, op, &[x, limit], body);
    let gradients = gradient(&mut graph, &mut b, results[1], &[x, limit]);
    assert!(gradients[1].is_err());
    let region = graph.add_region(b.finish(vec![results[0], results[1], gradients[0].unwrap()]));
    verify(&graph).unwrap();
    let args = [Tensor::from_f32(&[], &[1.5]), Tensor::from_f32(&[], &[10.0])];
    let out = run(&graph, region, &args, &[]);
    assert_eq!(out[0].ints(), [3]);
    assert_eq!(out[1].floats(), [12.0]);
    assert_eq!(out[2].floats(), [8.0]);
}

#[test]
fn symbolic_trips() {
    let mut graph = Graph::new();
    let t: Sym = graph.symbol("T");
    let builder = looped(&mut graph, Trip::Exact(Dim::from(t)), false);
    let one = with_gradients(&mut graph, builder);
    let other = with_gradients(&mut graph, unrolled(false));
    graph.entries = vec![entry(&graph, one)];
    verify(&graph).unwrap();
    let args = inputs(&graph, other, &[], 2);
    agree(&run(&graph, one, &args, &[T]), &run(&graph, other, &args, &[]), "symbolic");
}

/// What is kept for the backward pass is dropped where there is none, and nothing else changes.
#[test]
fn passes_keep_loops() {
    let mut graph = Graph::new();
    let builder = looped(&mut graph, Trip::Exact(Dim::from(T)), false);
    let region = with_gradients(&mut graph, builder);
    graph.entries = vec![entry(&graph, region)];
    let args = inputs(&graph, region, &[], 3);
    let expected = run(&graph, region, &args, &[]);
    let optimised = run_pipeline(&graph, PIPELINE, |_, _| ());
    agree(&run(&optimised, optimised.entries[0].region, &args, &[]), &expected, "optimised");

    let mut forward = graph.clone();
    forward.regions[region.index()].results.truncate(1);
    forward.entries = vec![entry(&forward, region)];
    let trimmed = dce(&forward);
    verify(&trimmed).unwrap();
    assert_eq!(trimmed.regions.len(), 2);
    let text = graph_text(&trimmed);
    assert!(text.contains("{trip 4, carries 1, slices 1, invariants 1, stacks 1, sums 1}"), "{text}");
    agree(&run(&trimmed, trimmed.entries[0].region, &args, &[]), &expected[..1], "trimmed");
}

/// The backward loop refers to `tanh`'s result, which is the carry, and to nothing of the sum before.
#[test]
fn little_is_kept() {
    let mut graph = Graph::new();
    let builder = looped(&mut graph, Trip::Exact(Dim::from(T)), false);
    let region = with_gradients(&mut graph, builder);
    graph.entries = vec![entry(&graph, region)];
    let text = graph_text(&dce(&graph));
    let stacked = "{trip 4, carries 1, slices 1, invariants 1, stacks 3, sums 1}";
    assert!(text.contains(stacked), "one stack for y, one for h, one for h':\n{text}");
}

fn call(graph: &mut Graph, remat: Remat) -> Builder {
    let mut b = Builder::new("block");
    let (x, w) = (b.param(f32s(&[N])), b.param(f32s(&[N, N])));
    let [new, square, _] = step(&mut b, x, x, w);
    let body = graph.add_region(b.finish(vec![new, square]));
    let mut b = Builder::new("main");
    let (x, w) = (b.param(f32s(&[N])), b.param(f32s(&[N, N])));
    let results = b.add_call(graph, Call { remat }, &[x, w], &[body]);
    let (one, two) = (total(&mut b, results[0]), total(&mut b, results[1]));
    let loss = add(&mut b, one, two);
    b.finish_with(loss)
}

#[test]
fn checkpoints_change_no_result() {
    let mut graph = Graph::new();
    let kept = call(&mut graph, Remat::Keep);
    let kept = with_gradients(&mut graph, kept);
    let recomputed = call(&mut graph, Remat::Recompute);
    let recomputed = with_gradients(&mut graph, recomputed);
    graph.entries = vec![entry(&graph, kept), entry(&graph, recomputed)];
    verify(&graph).unwrap();
    let args = inputs(&graph, kept, &[], 8);
    let expected = run(&graph, kept, &args, &[]);
    agree(&run(&graph, recomputed, &args, &[]), &expected, "checkpoint");
    let optimised = run_pipeline(&graph, PIPELINE, |_, _| ());
    for entry in &optimised.entries {
        agree(&run(&optimised, entry.region, &args, &[]), &expected, "inlined");
    }
    let text = graph_text(&optimised);
    assert_eq!(text.matches("= tanh(").count(), 3, "the checkpoint's is computed twice:\n{text}");
    let wide = to_f64(&graph);
    let plain = call(&mut graph, Remat::Recompute).region().clone();
    let mut wide_plain = to_f64(&Graph { regions: [graph.regions.clone(), vec![plain]].concat(), ..graph.clone() });
    let region = RegionId(wide_plain.regions.len() as u32 - 1);
    wide_plain.entries.clear();
    let args = inputs(&wide, kept, &[], 8);
    let direction = directional_check(&wide_plain, region, &args, &[], 1);
    assert!(direction.agrees(), "{direction:?}");
}

/// A gradient of its own is taken as it is: here three times the true one.
#[test]
fn custom_gradients() {
    let mut graph = Graph::new();
    let mut b = Builder::new("identity");
    let x = b.param(f32s(&[2]));
    let body = graph.add_region(b.finish(vec![x]));
    let mut b = Builder::new("triple");
    let (_x, _y, d) = (b.param(f32s(&[2])), b.param(f32s(&[2])), b.param(f32s(&[2])));
    let three = b.full(DType::F32, 3.0, &[Dim::from(2)]);
    let result = b.binary(BinaryOp::Mul, d, three);
    let rule = graph.add_region(b.finish(vec![result]));
    let mut b = Builder::new("main");
    let x = b.param(f32s(&[2]));
    let y = b.add_call(&graph, Call { remat: Remat::Keep }, &[x], &[body, rule])[0];
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[y]);
    let dx = gradient(&mut graph, &mut b, loss, &[x])[0].unwrap();
    let region = graph.add_region(b.finish(vec![dx]));
    verify(&graph).unwrap();
    assert_eq!(run(&graph, region, &[Tensor::from_f32(&[2], &[1.0, 2.0])], &[])[0].floats(), [3.0, 3.0]);
}

#[test]
fn cuts_say_where() {
    let mut graph = Graph::new();
    graph.places.extend((1..9).map(|line| mlc_ir::graph::Place { file: "a.dl".into(), line, column: 1 }));
    let mut b = Builder::new("main");
    let [x, y, z, unused] = [0; 4].map(|_| b.param(f32s(&[])));
    b.span = SpanId(3);
    let rounded = b.unary(UnaryOp::Round, x);
    b.span = SpanId(5);
    let stopped = b.add1(mlc_ir::ops::stop_gradient::StopGradient, &[y]);
    b.span = SpanId(6);
    let sum = add(&mut b, rounded, stopped);
    let loss = add(&mut b, sum, z);
    let found = gradient(&mut graph, &mut b, loss, &[x, y, z, unused]);
    assert_eq!(found[0].unwrap_err().at, Some((SpanId(3), Reason::Flat("round"))));
    assert_eq!(found[1].unwrap_err().at, Some((SpanId(5), Reason::StopGradient)));
    assert!(found[2].is_ok());
    assert_eq!(found[3].unwrap_err().at, None);
}

#[test]
fn cuts_inside_loops() {
    let mut graph = Graph::new();
    let mut b = Builder::new("count");
    b.param(Type::scalar(DType::I64));
    let (c, x) = (b.param(f32s(&[])), b.param(f32s(&[])));
    b.span = SpanId(2);
    let zero = b.full(DType::F32, 0.0, &[]);
    let positive = b.compare(CompareOp::Gt, x, zero);
    let one = b.add1(mlc_ir::ops::cast::Cast { dtype: DType::F32 }, &[positive]);
    let next = add(&mut b, c, one);
    let body = graph.add_region(b.finish(vec![next]));
    let mut b = Builder::new("main");
    let (start, x) = (b.param(f32s(&[])), b.param(f32s(&[])));
    let trip = Trip::Exact(Dim::from(3));
    let op = Loop { carries: 1, invariants: 1, ..Loop::new(trip) };
    let loss = b.add_loop(&graph, op, &[start, x], body)[0];
    let found = gradient(&mut graph, &mut b, loss, &[start, x]);
    assert!(found[0].is_ok());
    assert_eq!(found[1].unwrap_err().at, Some((SpanId(2), Reason::Comparison)));
}
