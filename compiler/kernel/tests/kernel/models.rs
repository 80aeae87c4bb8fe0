//! Whole training steps: fused kernels on the Lane interpreter against reference evaluation.

use crate::common::{Rng, assert_close, assert_same_bits, bytes, concrete, lowered, lowered_with, tensor};
use crate::random_graphs::other_schedule;
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Entry, Global, GlobalId, GlobalKind, Graph, Input, Output, SpanId};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::scalar::BinaryOp;
use mlc_ir::tensor::{Tensor, extents};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::fuse::Fuse;
use mlc_kernel::lower::{Choices, LoweredProgram};
use mlc_kernel::run::{Memory, Outcome, Tiles, run_tiles};

/// Seed, step, epoch, number of steps.
const SCALARS: [i64; 5] = [7, 3, 0, 10, 3];

#[test]
fn every_kernel_of_a_training_step_is_well_formed() {
    lowered(&mlc_benches::cnn_step(32));
}

/// One tensor for each input: images up to 255, second moments not negative.
fn inputs(graph: &Graph, sizes: &[i64]) -> Vec<Tensor> {
    let mut rng = Rng(21);
    let region = graph.region(graph.entries[0].region);
    let mut make = |ty: &Type, input: &Input| match input {
        Input::Arg(_) => rng.tensor(ty, 0.0, 255.0, 10),
        Input::Global(id) if graph.globals[id.0 as usize].path.starts_with("v.") => rng.tensor(ty, 0.0, 1e-3, 1),
        Input::Global(_) => rng.tensor(ty, -0.1, 0.1, 1),
        Input::Seed => Tensor::from_i64(&[], &[SCALARS[0]]),
        Input::Step => Tensor::from_i64(&[], &[SCALARS[1]]),
        Input::Epoch => Tensor::from_i64(&[], &[SCALARS[2]]),
        Input::TotalSteps => Tensor::from_i64(&[], &[SCALARS[3]]),
        Input::Done => Tensor::from_i64(&[], &[SCALARS[4]]),
    };
    let params = region.params.iter().zip(&graph.entries[0].inputs);
    params.map(|(param, input)| make(&concrete(region.ty(*param), sizes), input)).collect()
}

/// Runs entry 0; results and new globals in the order of the region's results.
fn run(graph: &Graph, program: &LoweredProgram, sizes: &[i64], inputs: &[Tensor], tiles: Tiles) -> Vec<Tensor> {
    let region = graph.region(graph.entries[0].region);
    let entry = &graph.entries[0];
    let mut memory = Memory { scalars: SCALARS, globals: vec![Vec::new(); graph.globals.len()], ..Memory::default() };
    for (input, tensor) in entry.inputs.iter().zip(inputs) {
        match input {
            Input::Arg(_) => memory.args.push(bytes(tensor)),
            Input::Global(id) => memory.globals[id.0 as usize] = bytes(tensor),
            Input::Seed | Input::Step | Input::Done | Input::Epoch | Input::TotalSteps => {}
        }
    }
    let types: Vec<Type> = region.results.iter().map(|value| concrete(region.ty(*value), sizes)).collect();
    for (ty, output) in types.iter().zip(&entry.outputs) {
        if let Output::Result(_) = output {
            memory.results.push(vec![0; (ty.elements().unwrap().as_const().unwrap() * ty.dtype.bytes()) as usize]);
        }
    }
    let arguments = memory.args.clone();
    assert_eq!(run_tiles(&program.program, 0, sizes, &mut memory, tiles), Outcome::Done);
    assert!(memory.args == arguments, "arguments are not written");
    let mut results = memory.results.iter();
    let mut tensors = Vec::new();
    for (ty, output) in types.iter().zip(&entry.outputs) {
        let bytes = match output {
            Output::Result(_) => results.next().unwrap(),
            Output::Global(id) => &memory.globals[id.0 as usize],
            Output::Fault(_) => continue,
        };
        tensors.push(tensor(bytes, ty.dtype, &extents(ty)));
    }
    tensors
}

fn names(graph: &Graph) -> Vec<String> {
    let name = |output: &Output| match output {
        Output::Result(name) => name.to_string(),
        Output::Global(id) => graph.globals[id.0 as usize].path.to_string(),
        Output::Fault(_) => "a fault".to_string(),
    };
    graph.entries[0].outputs.iter().map(name).collect()
}

#[test]
fn a_training_step_agrees_with_reference_evaluation() {
    let graph = mlc_benches::cnn_step(32);
    let program = lowered(&graph);
    for batch in [2, 3] {
        let inputs = inputs(&graph, &[batch]);
        let expected = mlc_ir::interp::run(&graph, graph.entries[0].region, &inputs, &[batch]);
        let found = run(&graph, &program, &[batch], &inputs, Tiles::Together);
        for ((name, a), b) in names(&graph).iter().zip(&found).zip(&expected) {
            assert_close(a, b, 2e-5, &format!("{name} at B = {batch}"));
        }
    }
}

#[test]
fn a_training_step_has_the_same_bits_however_it_is_lowered() {
    let graph = mlc_benches::cnn_step(32);
    let inputs = inputs(&graph, &[2]);
    let program = lowered(&graph);
    let expected = run(&graph, &program, &[2], &inputs, Tiles::Together);
    let same = |program: &LoweredProgram, tiles: Tiles, what: &str| {
        let found = run(&graph, program, &[2], &inputs, tiles);
        for ((name, a), b) in names(&graph).iter().zip(&found).zip(&expected) {
            assert_same_bits(a, b, &format!("{name}, {what}"));
        }
    };
    // Each tile finds NaN in its scratch: nothing leaks from one to the next.
    same(&program, Tiles::Backwards, "tiles backwards");
    same(&lowered_with(&graph, Choices { fuse: Fuse::Nothing, ..Choices::default() }), Tiles::Together, "unfused");
    let choices = Choices { schedule: &|nest, chosen| other_schedule(nest, chosen, 5), ..Choices::default() };
    same(&lowered_with(&graph, choices), Tiles::OneByOne, "another schedule");
    // Typical sizes guide the schedule and the plan alone.
    same(&lowered(&mlc_benches::cnn_step(1)), Tiles::Together, "typical batch 1");
}

fn global(graph: &mut Graph, path: &str, ty: &Type) -> GlobalId {
    let id = GlobalId(graph.globals.len() as u32);
    graph.globals.push(Global { path: path.into(), kind: GlobalKind::Param, ty: ty.clone(), span: SpanId(0) });
    id
}

/// Two weights, updated with one another's old values and with a norm of the new first one: what is
/// written in place must not be read later by what wants the old value, and not be missing when
/// something wants the new one.
#[test]
fn updates_in_place_read_what_they_should() {
    for kept in [0, 1] {
        update_in_place(kept);
    }
}

/// The product is a result if `kept` is 1; else only the norm reads it.
fn update_in_place(kept: usize) {
    let mut graph = Graph::new();
    let ty = Type::new(DType::F32, vec![6.into(), 5.into()]);
    let (first, second) = (global(&mut graph, "a", &ty), global(&mut graph, "b", &ty));
    let mut b = Builder::new("step");
    let (x, a, w) = (b.param(ty.clone()), b.param(ty.clone()), b.param(ty.clone()));
    let moved = b.binary(BinaryOp::Add, a, x);
    let scaled = b.binary(BinaryOp::Mul, moved, x);
    let norm = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[scaled]);
    let norm = b.broadcast_scalar(norm, &ty.shape);
    let rows = b.add1(Reduce { kind: ReduceKind::Max, axes: vec![1] }, &[a]);
    let rows = b.add1(Broadcast { shape: ty.shape.clone(), axes: vec![0] }, &[rows]);
    let other = b.binary(BinaryOp::Sub, w, rows);
    let other = b.binary(BinaryOp::Div, other, norm);
    let results = [vec![scaled; kept], vec![moved, other]].concat();
    let region = b.finish(results);
    let region = graph.add_region(region);
    let inputs_of = vec![Input::Arg("x".into()), Input::Global(first), Input::Global(second)];
    let scaled = vec![Output::Result("scaled".into()); kept];
    let outputs = [scaled, vec![Output::Global(first), Output::Global(second)]].concat();
    let (checks, typical) = (Vec::new(), Vec::new());
    graph.entries.push(Entry { name: "step".into(), region, inputs: inputs_of, outputs, checks, typical });
    mlc_ir::verify::expect(&graph, "test");
    let inputs = inputs(&graph, &[]);
    let expected = mlc_ir::interp::run(&graph, region, &inputs, &[]);
    let found = run(&graph, &lowered(&graph), &[], &inputs, Tiles::Together);
    for ((name, a), b) in names(&graph).iter().zip(&found).zip(&expected) {
        assert_close(a, b, 1e-5, name);
    }
}
