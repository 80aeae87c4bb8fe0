//! What leaves loops changes no result, and leaves them where it should.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::bodies::{B, CARRIES, D, INVARIANTS, SLICES, Shape, ids};
use common::cells::{self, Cell, Sizes};
use common::{Numbers, UNIT, assert_close, entry, weighted};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::interp::{run, to_f64};
use mlc_ir::ops::Op;
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::print::graph_text;
use mlc_ir::region_ops::Trip;
use mlc_ir::scalar::BinaryOp;
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_ir::verify::verify;

/// A random loop, the loss of its results and the gradients by all floats.
fn random_loop(graph: &mut Graph, shape: &Shape, seed: u64, gradients: u32) -> RegionId {
    let mut numbers = Numbers(seed);
    for _ in 0..8 {
        numbers.next();
    }
    let body = shape.body(graph, &mut numbers);
    let rows = |ty: Type| mlc_ir::region_ops::stacked(shape.trip.bound(), &ty);
    let mut b = Builder::new("main");
    let mut args = Vec::new();
    if let Trip::UpTo(_) = shape.trip {
        args.push(b.param(Type::scalar(DType::I64)));
    }
    args.extend(CARRIES.map(|kind| b.param(kind.ty())));
    args.extend(SLICES.map(|kind| b.param(rows(kind.ty()))));
    args.push(b.param(rows(ids())));
    args.extend(INVARIANTS.map(|kind| b.param(kind.ty())));
    let outcome = b.add_loop(graph, shape.op(), &args, body);
    let floats: Vec<Value> = outcome.iter().copied().filter(|value| b.ty(*value).dtype.is_float()).collect();
    let mut results = outcome.to_vec();
    let mut loss = total(&mut b, &floats);
    for _ in 0..gradients {
        let wrt: Vec<Value> = args.iter().copied().filter(|arg| b.ty(*arg).dtype.is_float()).collect();
        let found: Vec<Value> = gradient(graph, &mut b, loss, &wrt).into_iter().filter_map(Result::ok).collect();
        loss = total(&mut b, &found);
        results.extend(found);
    }
    results.push(loss);
    graph.add_region(b.finish(results))
}

fn total(b: &mut Builder, values: &[Value]) -> Value {
    let parts: Vec<Value> = values.iter().map(|value| weighted(b, *value)).collect();
    let first = b.full(DType::F32, 0.0, &[]);
    parts.into_iter().fold(first, |sum, part| b.binary(BinaryOp::Add, sum, part))
}

fn operands(graph: &Graph, region: RegionId, symbols: &[i64], count: i64, seed: u64) -> Vec<Tensor> {
    let mut numbers = Numbers(seed);
    let region = graph.region(region);
    let concrete = |ty: &Type| {
        Type::new(ty.dtype, ty.shape.iter().map(|dim| dim.eval(symbols).unwrap().into()).collect::<Vec<Dim>>())
    };
    let tensor = |param: &Value| match region.ty(*param) {
        ty if *ty == Type::scalar(DType::I64) => Tensor::from_i64(&[], &[count]),
        ty if ty.dtype.is_float() => numbers.tensor(&concrete(ty), UNIT),
        ty => numbers.tensor(&concrete(ty), mlc_ir::ops::Domain { bound: D, ..UNIT }),
    };
    region.params.iter().map(tensor).collect()
}

/// The same results, in f64, with all passes and without.
fn passes_keep(graph: &Graph, symbols: &[i64], count: i64, what: &str) {
    verify(graph).unwrap();
    let wide = to_f64(graph);
    let region = wide.entries[0].region;
    let mut args = operands(&wide, region, symbols, count, 3);
    spoil(&wide, region, count, &mut args);
    let expected = run(&wide, region, &args, symbols);
    let optimised = run_pipeline(&wide, PIPELINE, |_, _| ());
    let found = run(&optimised, optimised.entries[0].region, &args, symbols);
    assert_eq!(found.len(), expected.len());
    for (at, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert_close(a, b, 1e-8, &format!("{what}: result {at}"));
    }
}

/// Puts NaN into the rows of slices that a count leaves out.
fn spoil(graph: &Graph, region: RegionId, count: i64, args: &mut [Tensor]) {
    let node = graph.region(region).nodes.iter().find(|node| matches!(node.op, Op::Loop(_)));
    let Some((Op::Loop(op), node)) = node.map(|node| (&node.op, node)) else { return };
    if !op.has_count() {
        return;
    }
    for at in op.slice_args() {
        let param = graph.region(region).params.iter().position(|param| *param == node.args[at]);
        let arg = &mut args[param.unwrap()];
        let row = arg.len() / arg.shape[0];
        if arg.dtype.is_float() {
            let values = arg.floats().iter().enumerate();
            let values = values.map(|(i, value)| if (i / row) as i64 >= count { f64::NAN } else { *value });
            *arg = Tensor::floats_of(arg.dtype, &arg.shape.clone(), values.collect::<Vec<_>>());
        }
    }
}

fn random_loops(shape: impl Fn(&mut Graph, u64) -> (Shape, i64), seeds: std::ops::Range<u64>, gradients: u32) {
    for seed in seeds {
        let mut graph = Graph::new();
        let (shape, count) = shape(&mut graph, seed);
        let region = random_loop(&mut graph, &shape, seed, gradients);
        graph.entries = vec![entry(&graph, region)];
        let symbols = vec![4; graph.symbols.len()];
        passes_keep(&graph, &symbols, count, &format!("{shape:?} {seed}"));
    }
}

#[test]
fn random_loops_keep_their_results() {
    let shape = |_: &mut Graph, seed: u64| {
        let trip = Trip::Exact(Dim::from(1 + (seed % 4) as i64));
        (
            Shape {
                trip,
                rev: seed.is_multiple_of(3),
                until: false,
                nodes: 8 + (seed % 20) as usize,
                nested: seed.is_multiple_of(5),
            },
            0,
        )
    };
    random_loops(shape, 0..120, 1);
}

#[test]
fn random_loops_of_symbolic_length() {
    let shape = |graph: &mut Graph, seed: u64| {
        let trip = Trip::Exact(graph.symbol("T").into());
        (Shape { trip, rev: seed.is_multiple_of(2), until: false, nodes: 20, nested: seed.is_multiple_of(4) }, 0)
    };
    random_loops(shape, 200..230, 1);
}

#[test]
fn random_loops_with_a_count() {
    let shape = |_: &mut Graph, seed: u64| {
        let trip = Trip::UpTo(Dim::from(5));
        let nodes = 6 + (seed % 20) as usize;
        (
            Shape { trip, rev: seed.is_multiple_of(2), until: false, nodes, nested: seed.is_multiple_of(4) },
            (seed % 7) as i64,
        )
    };
    random_loops(shape, 300..360, 1);
}

#[test]
fn random_loops_that_stop() {
    let shape = |_: &mut Graph, seed: u64| {
        let trip = if seed.is_multiple_of(2) { Trip::UpTo(Dim::from(5)) } else { Trip::Exact(Dim::from(4)) };
        (Shape { trip, rev: false, until: true, nodes: 18, nested: false }, (seed % 7) as i64)
    };
    random_loops(shape, 400..440, 1);
}

#[test]
fn random_loops_twice_differentiated() {
    let shape = |_: &mut Graph, seed: u64| {
        let trip = if seed.is_multiple_of(3) { Trip::UpTo(Dim::from(4)) } else { Trip::Exact(Dim::from(3)) };
        (Shape { trip, rev: seed.is_multiple_of(2), until: false, nodes: 9, nested: seed.is_multiple_of(4) }, 2)
    };
    random_loops(shape, 500..530, 2);
}

/// How many nodes of some ops the bodies of all loops have, in the order of the regions.
fn inside(graph: &Graph, ops: &[&str]) -> Vec<usize> {
    let main = graph.entries[0].region.index();
    let bodies = graph.regions.iter().enumerate().filter(|(at, _)| *at != main);
    bodies.map(|(_, body)| body.nodes.iter().filter(|node| ops.contains(&node.op.info().name)).count()).collect()
}

fn numbers() -> Sizes {
    Sizes { steps: 5.into(), batch: B.into() }
}

fn symbols(graph: &mut Graph) -> Sizes {
    Sizes { steps: graph.symbol("T").into(), batch: graph.symbol("B").into() }
}

/// A cell with its loss and, `order` times, the gradients of the sum of what was found before.
fn cell(graph: &mut Graph, cell: Cell, sizes: &Sizes, rev: bool, order: u32) {
    let (mut b, mut loss) = cell.main(graph, sizes, rev);
    let params = b.region().params.clone();
    let wrt: Vec<Value> = params.into_iter().filter(|param| b.ty(*param).dtype.is_float()).collect();
    let mut results = vec![loss];
    for _ in 0..order {
        let found: Vec<Value> = gradient(graph, &mut b, loss, &wrt).into_iter().filter_map(Result::ok).collect();
        loss = total(&mut b, &found);
        results.extend(found);
    }
    let region = graph.add_region(b.finish(results));
    graph.entries = vec![entry(graph, region)];
}

#[test]
fn cells_keep_their_results() {
    for kind in cells::ALL {
        for rev in [false, true] {
            for order in 0..3 {
                let mut graph = Graph::new();
                cell(&mut graph, kind, &numbers(), rev, order);
                passes_keep(&graph, &[], 0, &format!("{kind:?}, rev {rev}, {order} times differentiated"));
            }
            let mut graph = Graph::new();
            let sizes = symbols(&mut graph);
            cell(&mut graph, kind, &sizes, rev, 1);
            passes_keep(&graph, &[4, 2], 0, &format!("{kind:?}, rev {rev}, symbols"));
        }
    }
}

/// What is left in a loop is the recurrence: input and output projections, look-ups, what is made of
/// invariants and all gradients of weights are outside.
#[test]
fn projections_and_weight_gradients_leave_loops() {
    let work = ["contract", "gather", "scatter_add"];
    let left = |kind: Cell, order: u32| {
        let mut graph = Graph::new();
        let sizes = symbols(&mut graph);
        cell(&mut graph, kind, &sizes, false, order);
        let optimised = run_pipeline(&graph, PIPELINE, |_, _| ());
        let text = graph_text(&optimised);
        for node in optimised.regions.iter().flat_map(|region| &region.nodes) {
            if let Op::Loop(op) = &node.op {
                let sums = if let Cell::Decoder = kind { op.sums <= 1 } else { op.sums == 0 };
                assert!(sums, "{kind:?}: a loop adds up what one contraction gives:\n{text}");
            }
        }
        (inside(&optimised, &work), text)
    };
    for kind in [Cell::Rnn, Cell::Lstm, Cell::Gru] {
        let (forward, text) = left(kind, 0);
        assert_eq!(forward, [1], "{kind:?}: only h · U is left:\n{text}");
        let (both, text) = left(kind, 1);
        assert_eq!(both, [1, 1], "{kind:?}: only h · U and its adjoint are left:\n{text}");
    }
    // Query, score, context, the context's projection, h · U; and the adjoint of each.
    let (both, text) = left(Cell::Decoder, 1);
    assert_eq!(both, [5, 5], "{text}");
}
