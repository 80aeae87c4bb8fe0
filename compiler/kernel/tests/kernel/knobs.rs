//! Every way that `--tune` may choose gives the bits of the one that is estimated.

use crate::common::{Rng, assert_same_bits, entry, run_lane};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::scalar::UnaryOp;
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::knobs::{Knobs, blocks, is_open, walks};
use mlc_kernel::lower::{Choices, lower_with};
use mlc_kernel::nest::Nest;
use mlc_kernel::schedule::{Machine, Schedule};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// `tanh(x · w)` with a long chain; rows are a number or a symbol.
fn product(rows: Dim) -> Graph {
    let mut graph = Graph::new();
    graph.symbols.push("B".into());
    let mut b = Builder::new("main");
    let ty = |shape: Vec<Dim>| Type::new(DType::F32, shape);
    let x: Value = b.param(ty(vec![rows, 1100.into()]));
    let w = b.param(ty(vec![1100.into(), 40.into()]));
    let y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
    let y = b.unary(UnaryOp::Tanh, y);
    entry(graph, b, vec![y], &[(Sym(0), 14)])
}

#[test]
fn every_way_has_the_same_bits() {
    for (rows, machine) in [(Dim::from(14), Machine::LANES_256), (Dim::from(Sym(0)), Machine::LANES_512)] {
        let graph = product(rows);
        let mut rng = Rng(3);
        let region = graph.region(graph.entries[0].region);
        let tensor = |value: &Value| rng.tensor(&crate::common::concrete(region.ty(*value), &[14]), -1.0, 1.0, 1);
        let args: Vec<Tensor> = region.params.iter().map(tensor).collect();
        let run = |schedule: &(dyn Fn(&Nest, Schedule) -> Schedule + Sync)| {
            let lowered = lower_with(&graph, &machine, Choices { schedule, ..Choices::default() });
            run_lane(&graph, &lowered, &[14], &args)
        };
        let ways = Mutex::new(BTreeSet::new());
        let expected = run(&|nest, schedule| {
            if is_open(nest, &schedule) {
                let first = blocks(nest, &machine, &schedule);
                let around = |knobs: &Knobs| knobs.apply(nest, &machine, &schedule).unwrap();
                let mut all: Vec<Knobs> = walks(nest, &machine, &schedule);
                all.extend(walks(nest, &machine, &around(&first[0])));
                all.extend(first);
                ways.lock().unwrap().extend(all.iter().map(Knobs::to_string));
            }
            schedule
        });
        let ways = ways.into_inner().unwrap();
        assert!(ways.len() > 10, "{ways:?}");
        for way in &ways {
            let knobs: Knobs = way.parse().unwrap();
            let found = run(&|nest, schedule| {
                if is_open(nest, &schedule) { knobs.apply(nest, &machine, &schedule).unwrap() } else { schedule }
            });
            assert_same_bits(&found[0], &expected[0], way);
        }
    }
}

/// What no estimate would come to is refused, whoever wrote it.
#[test]
fn impossible_ways_are_refused() {
    let graph = product(14.into());
    let machine = Machine::LANES_256;
    let refuse = |nest: &Nest, schedule: Schedule| {
        if is_open(nest, &schedule) {
            let own = Knobs::of(&schedule);
            let wrong = [
                Knobs { rows: 0, ..own },
                Knobs { rows: 15, vectors: 1, ..own },
                Knobs { rows: 8, vectors: 2, ..own },
                Knobs { rows: 2, vectors: 6, ..own },
                Knobs { vectors: 0, ..own },
                Knobs { unroll: 0, ..own },
                Knobs { unroll: 64, ..own },
                Knobs { rows: 8, vectors: 1, side_by_side: true, ..own },
            ];
            for knobs in wrong {
                assert_eq!(knobs.apply(nest, &machine, &schedule), None, "{knobs}");
            }
            assert_eq!(own.apply(nest, &machine, &schedule).as_ref(), Some(&schedule));
        }
        schedule
    };
    lower_with(&graph, &machine, Choices { schedule: &refuse, ..Choices::default() });
}
