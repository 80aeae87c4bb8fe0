//! Loops in segments: the same bits, forwards and backwards, in less memory.

use crate::checkpoint::gelu;
use crate::common::{
    Rng, assert_close, assert_same_bits, concrete, entry, lowered, lowered_with, run_lane, run_reference,
};
use crate::random_graphs::other_schedule;
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Graph, Region, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::region_ops::{Call, Loop, Remat, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::segmented::{add_segmented, passes_of_segment};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::Choices;
use mlc_kernel::nest::Nest;
use mlc_kernel::schedule::Schedule;

const FEATURES: i64 = 3;
const UNITS: i64 = 16;

fn floats(shape: &[Dim]) -> Type {
    Type::new(DType::F32, shape)
}

/// A loop's body with the types of its operands.
struct Model {
    name: &'static str,
    /// Of the carry, then of rows of the slices, then of invariants.
    types: Vec<Type>,
    slices: usize,
    /// The next carry and a row of the stack.
    body: fn(&mut Builder, &[Value]) -> [Value; 2],
}

fn matmul(b: &mut Builder, x: Value, w: Value) -> Value {
    b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w])
}

fn spread(b: &mut Builder, x: Value, like: Value) -> Value {
    let shape = b.ty(like).shape.clone();
    let axes = (shape.len() - b.ty(x).rank()..shape.len()).collect();
    b.add1(Broadcast { shape: shape.to_vec(), axes }, &[x])
}

/// A recurrence whose weights, bias, gain and scale get sums over the passes, and that knows the position.
fn recurrence(b: &mut Builder, params: &[Value]) -> [Value; 2] {
    let [position, h, x, w, u, bias, gain, scale] = params else { panic!("parameters") };
    let projected = matmul(b, *x, *w);
    let handed = matmul(b, *h, *u);
    let z = b.binary(BinaryOp::Add, projected, handed);
    let bias = spread(b, *bias, z);
    let z = b.binary(BinaryOp::Add, z, bias);
    let place = b.add1(Cast { dtype: DType::F32 }, &[*position]);
    let place = b.binary(BinaryOp::Mul, place, *scale);
    let place = spread(b, place, z);
    let z = b.binary(BinaryOp::Add, z, place);
    let next = b.unary(UnaryOp::Tanh, z);
    let gain = spread(b, *gain, next);
    let next = b.binary(BinaryOp::Mul, next, gain);
    let twice = b.binary(BinaryOp::Mul, next, next);
    [next, twice]
}

/// Layers whose weights are rows.
fn layers(b: &mut Builder, params: &[Value]) -> [Value; 2] {
    let [_, x, up, down] = params else { panic!("parameters") };
    let z = matmul(b, *x, *up);
    let z = gelu(b, z);
    let z = matmul(b, z, *down);
    let next = b.binary(BinaryOp::Add, *x, z);
    [next, z]
}

fn models(rows: &Dim) -> [Model; 2] {
    let (features, units) = (Dim::from(FEATURES), Dim::from(UNITS));
    let state = floats(&[rows.clone(), units.clone()]);
    let vector = floats(std::slice::from_ref(&units));
    let square = floats(&[units.clone(), units.clone()]);
    let input = floats(&[rows.clone(), features.clone()]);
    let own = floats(&[features, units]);
    let recurrent = vec![state.clone(), input, own, square.clone(), vector.clone(), vector, floats(&[])];
    [
        Model { name: "recurrence", types: recurrent, slices: 1, body: recurrence },
        Model { name: "layers", types: vec![state, square.clone(), square], slices: 2, body: layers },
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Written,
    Segments,
    Both,
}

/// A loop of a model with all gradients.
fn looped(model: &Model, mut graph: Graph, passes: i64, form: Form, typical: &[(Sym, i64)]) -> Graph {
    let mut body = Builder::new(model.name);
    let mut params = vec![body.param(Type::scalar(DType::I64))];
    params.extend(model.types.iter().map(|ty| body.param(ty.clone())));
    let results = (model.body)(&mut body, &params);
    let mut body: Region = body.finish(results.to_vec());
    if form == Form::Both {
        let types: Vec<Type> = body.params.iter().map(|param| body.ty(*param).clone()).collect();
        let inner = graph.add_region(body);
        let mut outer = Builder::new(model.name);
        let params: Vec<Value> = types.into_iter().map(|ty| outer.param(ty)).collect();
        let results = outer.add_call(&graph, Call { remat: Remat::Recompute }, &params, &[inner]);
        body = outer.finish(results.to_vec());
    }
    let trip = Dim::from(passes);
    let op = Loop {
        carries: 1,
        slices: model.slices as u32,
        invariants: (model.types.len() - 1 - model.slices) as u32,
        stacks: 1,
        ..Loop::new(Trip::Exact(trip.clone()))
    };
    let mut b = Builder::new("main");
    let args: Vec<Value> = (0..)
        .zip(&model.types)
        .map(|(at, ty)| b.param(if op.slice_args().contains(&at) { stacked(&trip, ty) } else { ty.clone() }))
        .collect();
    let results = match form {
        Form::Written => {
            let body = graph.add_region(body);
            b.add_loop(&graph, op, &args, body).to_vec()
        }
        Form::Segments | Form::Both => {
            add_segmented(&mut graph, &mut b, (&op, passes_of_segment(passes).unwrap()), &args, &body)
        }
    };
    let sum = |b: &mut Builder, x: Value| {
        let square = b.binary(BinaryOp::Mul, x, x);
        let axes = (0..b.ty(x).rank()).collect();
        b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[square])
    };
    let (last, stack) = (sum(&mut b, results[0]), sum(&mut b, results[1]));
    let loss = b.binary(BinaryOp::Add, last, stack);
    let mut given = vec![loss];
    given.extend(gradient(&mut graph, &mut b, loss, &args).into_iter().map(Result::unwrap));
    entry(graph, b, given, typical)
}

fn arena(graph: &Graph, sizes: &[i64]) -> i64 {
    lowered(graph).program.entries[0].plan.eval(sizes).unwrap().1
}

fn check(rows: &Dim, graph: &Graph, sizes: &[i64]) {
    let typical: Vec<(Sym, i64)> = sizes.iter().map(|size| (Sym(0), *size)).collect();
    for model in models(rows) {
        // What takes no time to interpret.
        for passes in [4, 12, 30].into_iter().filter(|passes| passes * rows.eval(sizes).unwrap() <= 2400) {
            let raw = |form| looped(&model, graph.clone(), passes, form, &typical);
            let of = |form| run_pipeline(&raw(form), PIPELINE, |_, _| ());
            let written = of(Form::Written);
            let mut rng = Rng(passes as u64);
            let region = written.region(written.entries[0].region);
            let types = region.params.iter().map(|param| concrete(region.ty(*param), sizes));
            let args: Vec<Tensor> = types.map(|ty| rng.tensor(&ty, -0.4, 0.4, 1)).collect();
            let expected = run_lane(&written, &lowered(&written), sizes, &args);
            let all = arena(&written, sizes);
            let exact = run_reference(&raw(Form::Written), sizes, &args);
            expected.iter().zip(&exact).for_each(|(a, b)| assert_close(a, b, 1e-4, model.name));
            for form in [Form::Segments, Form::Both] {
                let what = format!("{} {passes} times {sizes:?} {form:?}", model.name);
                let graph = of(form);
                let found = run_lane(&graph, &lowered(&graph), sizes, &args);
                for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                    assert_same_bits(a, b, &format!("{what}, result {number}"));
                }
                // No way to go through sums that go on from others changes a bit.
                for seed in (0..6).filter(|_| passes == 12 && rows.eval(sizes).unwrap() < 100) {
                    let other = |nest: &Nest, schedule: Schedule| other_schedule(nest, schedule, seed);
                    let lowered = lowered_with(&graph, Choices { schedule: &other, ..Choices::default() });
                    let found = run_lane(&graph, &lowered, sizes, &args);
                    found
                        .iter()
                        .zip(&expected)
                        .for_each(|(a, b)| assert_same_bits(a, b, &format!("{what}, seed {seed}")));
                }
                let part = arena(&graph, sizes);
                println!("{what}: {part} of {all} bytes");
                // The stack that the loop gives and its adjoint are there whatever the loop keeps.
                let given = 2 * passes * rows.eval(sizes).unwrap() * UNITS * 4;
                assert!(passes < 30 || (part - given) * 2 < all - given, "{what}: {part} of {all} bytes");
            }
        }
    }
}

#[test]
fn segments_have_the_same_bits_at_any_batch() {
    let mut graph = Graph::new();
    let rows = Dim::from(graph.symbol("B"));
    for batch in [32, 3, 600] {
        check(&rows, &graph, &[batch]);
    }
}

#[test]
fn segments_have_the_same_bits_at_a_known_batch() {
    for batch in [5, 64] {
        check(&Dim::from(batch), &Graph::new(), &[]);
    }
}
