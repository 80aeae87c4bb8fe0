//! Vectors whose elements would not be equally wide.

use crate::common::{Rng, assert_within, concrete, entry, lowered, run_lane_tiles, run_reference};
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::Graph;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::select::Select;
use mlc_ir::scalar::CompareOp;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::run::Tiles;

#[test]
fn numbers_chosen_by_wider_ones() {
    for (of, number) in [(DType::F64, DType::I32), (DType::F32, DType::I64)] {
        let mut graph = Graph::new();
        let rows = graph.symbol("B");
        let mut b = Builder::new("main");
        let shape = vec![Dim::from(rows), Dim::from(37)];
        let x = b.param(Type::new(of, shape.clone()));
        let [zero, one, two] = [(of, 0.0), (number, 1.0), (number, 2.0)].map(|(dtype, n)| b.full(dtype, n, &shape));
        let negative = b.add1(Compare { op: CompareOp::Lt }, &[x, zero]);
        let chosen = b.add1(Select, &[negative, one, two]);
        let y = b.add1(Cast { dtype: of }, &[chosen]);
        let graph = entry(graph, b, vec![y], &[(rows, 4)]);
        let args = vec![Rng(3).tensor(&concrete(&Type::new(of, shape), &[3]), -1.0, 1.0, 1)];
        let got = run_lane_tiles(&graph, &lowered(&graph), &[3], &args, Tiles::Together);
        assert_within(&got[0], &run_reference(&graph, &[3], &args)[0], 0.0, 1.0, "the reference");
    }
}
