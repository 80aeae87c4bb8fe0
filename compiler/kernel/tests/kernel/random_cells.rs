//! Random recurrent cells over the examples of a batch, with gradients: loops that can be run in bands
//! of examples, and some that can't.

use crate::random_loops::{Rng, argument};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Entry, Graph, Input, Output, Region, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::select::Select;
use mlc_ir::ops::slice::Slice;
use mlc_ir::region_ops::{Loop, Trip};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};

/// Units of a state: no multiple of a register's.
const UNITS: i64 = 19;
const STEPS: i64 = 3;

fn floats(shape: &[Dim]) -> Type {
    Type::new(DType::F32, shape.to_vec())
}

/// A cell of two states, one input and one weight.
fn cell(rng: &mut Rng, batch: &Dim, meets: bool) -> (Region, usize) {
    let shape = [batch.clone(), Dim::from(UNITS)];
    let mut b = Builder::new("cell");
    b.param(Type::scalar(DType::I64));
    let mut pool: Vec<Value> = (0..3).map(|_| b.param(floats(&shape))).collect();
    let weight = b.param(floats(&[Dim::from(UNITS), Dim::from(2 * UNITS)]));
    let mut wide: Vec<Value> = Vec::new();
    for step in 0..4 + rng.below(8) {
        let (x, y) = (rng.recent(&pool), rng.recent(&pool));
        let new = match if step == 0 { 0 } else { rng.below(9) } {
            0 => {
                let product = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, weight]);
                wide.push(product);
                continue;
            }
            1 => {
                wide.push(b.add1(Concat { axis: 1 }, &[x, y]));
                continue;
            }
            2 | 3 if !wide.is_empty() => {
                let start = [0, 7, UNITS][rng.below(3)];
                let op = Slice { starts: vec![0.into(), start.into()], sizes: shape.to_vec(), steps: vec![1, 1] };
                b.add1(op, &[rng.recent(&wide)])
            }
            4 => {
                let zero = b.full(DType::F32, 0.0, &shape);
                let positive = b.compare(CompareOp::Gt, x, zero);
                b.add1(Select, &[positive, y, x])
            }
            5 => {
                let most = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![1] }, &[x]);
                b.add1(Broadcast { shape: shape.to_vec(), axes: vec![0] }, &[most])
            }
            6 if meets => {
                let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[x]);
                b.add1(Broadcast { shape: shape.to_vec(), axes: vec![1] }, &[sum])
            }
            7 => b.binary(BinaryOp::Add, x, y),
            _ => b.binary(BinaryOp::Mul, x, y),
        };
        pool.push(b.unary(UnaryOp::Tanh, new));
    }
    let stacks = rng.below(3);
    let results = (0..2 + stacks).map(|_| rng.recent(&pool)).collect();
    (b.finish(results), stacks)
}

/// A graph with one entry whose arguments are tensors of its one symbol's examples, numbers of examples,
/// and the arguments for each. Of a third of the seeds examples may meet.
pub fn graph(seed: u64) -> (Graph, Vec<(i64, Vec<Tensor>)>) {
    let mut graph = Graph::new();
    let symbol: Sym = graph.symbol("B");
    let batch = Dim::from(symbol);
    let mut rng = Rng::new(seed);
    let (body, stacks) = cell(&mut rng, &batch, seed.is_multiple_of(3));
    let body = graph.add_region(body);
    let mut b = Builder::new("main");
    let state = floats(&[batch.clone(), Dim::from(UNITS)]);
    let params = [
        b.param(state.clone()),
        b.param(state.clone()),
        b.param(floats(&[Dim::from(STEPS), batch.clone(), Dim::from(UNITS)])),
        b.param(floats(&[Dim::from(UNITS), Dim::from(2 * UNITS)])),
    ];
    let op = Loop {
        rev: rng.below(2) == 0,
        carries: 2,
        slices: 1,
        invariants: 1,
        stacks: stacks as u32,
        ..Loop::new(Trip::Exact(Dim::from(STEPS)))
    };
    let mut results = b.add_loop(&graph, op, &params, body).to_vec();
    let mut loss = b.literal(Literal::zero(DType::F32));
    for value in results.clone() {
        let axes = (0..b.ty(value).rank()).collect();
        let squares = b.binary(BinaryOp::Mul, value, value);
        let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[squares]);
        loss = b.binary(BinaryOp::Add, loss, sum);
    }
    results.extend(gradient(&mut graph, &mut b, loss, &params).into_iter().filter_map(Result::ok));
    let id = graph.add_region(b.finish(results));
    let region = graph.region(id).clone();
    let entry = Entry {
        name: "main".into(),
        region: id,
        inputs: (0..region.params.len()).map(|at| Input::Arg(format!("a{at}"))).collect(),
        outputs: (0..region.results.len()).map(|at| Output::Result(format!("r{at}"))).collect(),
        checks: Vec::new(),
        typical: vec![(symbol, 16)],
    };
    graph.entries.push(entry);
    let graph = mlc_ir::passes::run_pipeline(&graph, mlc_ir::passes::PIPELINE, |_, _| {});
    let types: Vec<Type> = params.iter().map(|param| region.ty(*param).clone()).collect();
    let cases = [1, 5, 33].map(|size| (size, types.iter().map(|ty| argument(ty, size, &mut rng)).collect()));
    (graph, cases.to_vec())
}
