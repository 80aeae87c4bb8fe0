//! Gradient checks of a program against central differences, in the reference interpreter.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use mlc_ir::builder::Builder;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::interp::{directional_check, run, to_f64};
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::DType;
use mlc_resolve::program::{Check, Program};

/// Fails if a gradient check of the program does; there must be one.
pub fn check_gradients(program: &Program) {
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    let graph = to_f64(&program.graph);
    let mut count = 0;
    for check in program.tests.iter().flat_map(|test| &test.checks) {
        let Check::Grad { values, function, .. } = check else { continue };
        let zero = Tensor::from_i64(&[], &[0]);
        let symbols = vec![1; graph.symbols.len()];
        let args = run(&graph, values.region, &[zero.clone(), zero], &symbols);
        let (graph, loss) = projected(&graph, function.region);
        for seed in 1..4 {
            let direction = directional_check(&graph, loss, &args, &symbols, seed);
            assert!(direction.agrees(), "{direction:?}");
            assert!(direction.difference != 0.0, "the check says nothing");
        }
        count += 1;
    }
    assert!(count > 0, "there is no gradient check");
}

/// A region with the sum of the float results, each element weighted.
fn projected(graph: &Graph, function: RegionId) -> (Graph, RegionId) {
    let mut graph = graph.clone();
    let mut b = Builder::resume(graph.region(function).clone());
    let results: Vec<Value> = b.region().results.clone();
    let mut sum = b.full(DType::F64, 0.0, &[]);
    for result in results {
        let ty = b.ty(result).clone();
        if !ty.dtype.is_float() {
            continue;
        }
        let mut weighted = result;
        for axis in 0..ty.rank() {
            let place = b.add1(Iota { shape: ty.shape.clone(), axis, dtype: DType::I32 }, &[]);
            let place = b.add1(mlc_ir::ops::cast::Cast { dtype: ty.dtype }, &[place]);
            let shift = b.full(ty.dtype, 1.0 + axis as f64, &ty.shape);
            let place = b.binary(BinaryOp::Add, place, shift);
            let weight = b.unary(UnaryOp::Cos, place);
            weighted = b.binary(BinaryOp::Mul, weighted, weight);
        }
        let part = b.add1(Reduce { kind: ReduceKind::Sum, axes: (0..ty.rank()).collect() }, &[weighted]);
        sum = b.binary(BinaryOp::Add, sum, part);
    }
    let region = b.finish(vec![sum]);
    let id = graph.add_region(region);
    (graph, id)
}
