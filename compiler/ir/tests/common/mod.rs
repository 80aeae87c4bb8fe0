//! What the tests share: random operands and small graphs.
#![allow(dead_code, reason = "every test crate uses a part")]

pub mod bodies;
pub mod cells;

use mlc_ir::builder::Builder;
use mlc_ir::graph::{Entry, Graph, Input, Output, RegionId, Value};
use mlc_ir::interp::run;
use mlc_ir::ops::{Case, Domain};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::print::graph_text;
use mlc_ir::tensor::{Tensor, extents};
use mlc_ir::ty::{DType, Type};

/// A small generator of numbers in `0..1`.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn tensor(&mut self, ty: &Type, domain: Domain) -> Tensor {
        let shape = extents(ty);
        let count = shape.iter().product::<usize>();
        if ty.dtype.is_float() {
            Tensor::floats_of(
                ty.dtype,
                &shape,
                (0..count).map(|_| domain.low + (domain.high - domain.low) * self.next()),
            )
        } else {
            let (least, bound) = match ty.dtype {
                DType::Bool => (0, 2),
                DType::I8 => (-128, 256),
                _ => (0, domain.bound),
            };
            Tensor::ints_of(ty.dtype, &shape, (0..count).map(|_| least + (self.next() * bound as f64) as i64))
        }
    }
}

pub const UNIT: Domain = Domain { low: -1.0, high: 1.0, bound: 2 };

/// The graph after all passes, which gives what it did before for random operands of its first entry, each
/// of which has something in it.
pub fn passed(graph: &Graph) -> Graph {
    let mut numbers = Numbers(5);
    let main = graph.entries[0].region;
    let region = graph.region(main);
    let args: Vec<Tensor> = region.params.iter().map(|param| numbers.tensor(region.ty(*param), UNIT)).collect();
    let short = run_pipeline(graph, PIPELINE, |_, _| ());
    let (expected, found) = (run(graph, main, &args, &[]), run(&short, short.entries[0].region, &args, &[]));
    for (found, expected) in found.iter().zip(&expected) {
        let text = || graph_text(&short);
        assert_close(found, expected, 1e-6, &text());
        assert!(expected.floats().iter().any(|value| *value != 0.0), "nothing to compare:\n{}", text());
    }
    short
}

pub fn operands(case: &Case, seed: u64) -> Vec<Tensor> {
    let mut numbers = Numbers(seed);
    case.args.iter().map(|ty| numbers.tensor(ty, case.domain)).collect()
}

/// A region with one node.
pub fn single(case: &Case) -> (Graph, RegionId) {
    let mut graph = Graph::new();
    let mut b = Builder::new("single");
    let args: Vec<Value> = case.args.iter().map(|ty| b.param(ty.clone())).collect();
    let results = b.add(case.op.clone(), &args);
    let id = graph.add_region(b.finish(results.to_vec()));
    (graph, id)
}

/// An entry whose inputs are arguments and whose outputs are results.
pub fn entry(graph: &Graph, region: RegionId) -> Entry {
    let body = graph.region(region);
    Entry {
        name: body.name.clone(),
        region,
        inputs: (0..body.params.len()).map(|at| Input::Arg(format!("x{at}"))).collect(),
        outputs: (0..body.results.len()).map(|at| Output::Result(format!("y{at}"))).collect(),
        checks: Vec::new(),
        typical: Vec::new(),
    }
}

pub fn assert_close(a: &Tensor, b: &Tensor, tolerance: f64, what: &str) {
    assert_eq!((a.dtype, &a.shape), (b.dtype, &b.shape), "{what}");
    if !a.dtype.is_float() {
        assert_eq!(a.ints(), b.ints(), "{what}");
        return;
    }
    for (x, y) in a.floats().iter().zip(b.floats()) {
        let same = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * (1.0 + x.abs().max(y.abs()));
        assert!(same, "{what}: {x} and {y}");
    }
}

/// The sum of `value` times fixed weights: a scalar that sees every element.
pub fn weighted(b: &mut Builder, value: Value) -> Value {
    use mlc_ir::ops::{iota::Iota, reduce::Reduce, reduce::ReduceKind};
    use mlc_ir::scalar::{BinaryOp, UnaryOp};
    let ty = b.ty(value).clone();
    let mut product = value;
    for axis in 0..ty.rank() {
        let position = b.add1(Iota { shape: ty.shape.clone(), axis, dtype: DType::I32 }, &[]);
        let position = b.add1(mlc_ir::ops::cast::Cast { dtype: ty.dtype }, &[position]);
        let offset = b.full(ty.dtype, 0.7 * (axis as f64 + 1.0), &ty.shape);
        let phase = b.binary(BinaryOp::Add, position, offset);
        let weight = b.unary(UnaryOp::Sin, phase);
        product = b.binary(BinaryOp::Mul, product, weight);
    }
    if ty.rank() == 0 {
        return product;
    }
    b.add1(Reduce { kind: ReduceKind::Sum, axes: (0..ty.rank()).collect() }, &[product])
}
