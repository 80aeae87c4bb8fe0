//! What follows a product for each element: the same bits whether it is written out for the registers of a block or
//! for those of one row at a time, and not as long as the block.

use crate::common::{Rng, assert_same_bits, concrete, entry, run_lane};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lane::{Block, Inst};
use mlc_kernel::lower::lower;
use mlc_kernel::schedule::Machine;

const TYPICAL: [(Sym, i64); 1] = [(Sym(0), 14)];
const MACHINES: [Machine; 3] = [Machine::LANES_128, Machine::LANES_256, Machine::LANES_512];

fn graph(make: impl FnOnce(&mut Builder) -> Vec<Value>) -> Graph {
    let mut graph = Graph::new();
    graph.symbols.push("B".into());
    let mut b = Builder::new("main");
    let results = make(&mut b);
    entry(graph, b, results, &TYPICAL)
}

fn float(shape: &[Dim]) -> Type {
    Type::new(DType::F32, shape.to_vec())
}

/// `tanh(y) * exp(y)`
fn ending(b: &mut Builder, y: Value) -> Value {
    let (tanh, exp) = (b.unary(UnaryOp::Tanh, y), b.unary(UnaryOp::Exp, y));
    b.binary(BinaryOp::Mul, tanh, exp)
}

fn product(b: &mut Builder, rows: &Dim, terms: i64, columns: i64) -> Value {
    let x = b.param(float(&[rows.clone(), terms.into()]));
    let w = b.param(float(&[terms.into(), columns.into()]));
    b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w])
}

/// A product and what follows it.
fn ended(rows: &Dim, terms: i64, columns: i64) -> Graph {
    graph(|b| {
        let y = product(b, rows, terms, columns);
        vec![y, ending(b, y)]
    })
}

fn run(graph: &Graph, machine: &Machine, sizes: &[i64], args: &[Tensor]) -> Vec<Tensor> {
    run_lane(graph, &lower(graph, machine), sizes, args)
}

#[test]
fn endings_have_the_bits_of_a_kernel_of_their_own() {
    let symbolic = [1, 2, 7, 13].map(|rows| (Dim::from(Sym(0)), rows));
    let constant = [2, 3, 11, 12, 13, 25, 26, 40].map(|rows| (Dim::from(rows), rows));
    for (rows, count) in symbolic.into_iter().chain(constant) {
        // Whole blocks, tails of all kinds, and chains that go through memory besides.
        for (terms, columns) in [(9, 8), (64, 33), (70, 64), (3, 70), (600, 20), (1100, 37)] {
            let ended = ended(&rows, terms, columns);
            let alone = graph(|b| vec![product(b, &rows, terms, columns)]);
            let after = graph(|b| {
                let y = b.param(float(&[rows.clone(), columns.into()]));
                vec![ending(b, y)]
            });
            let region = ended.region(ended.entries[0].region);
            let mut rng = Rng(terms as u64);
            let args: Vec<Tensor> = region
                .params
                .iter()
                .map(|value| rng.tensor(&concrete(region.ty(*value), &[count]), -1.0, 1.0, 1))
                .collect();
            for machine in &MACHINES {
                let together = run(&ended, machine, &[count], &args);
                let alone = run(&alone, machine, &[count], &args);
                let after = run(&after, machine, &[count], &alone);
                let what = format!("{count} x {terms} x {columns}");
                assert_same_bits(&together[0], &alone[0], &what);
                assert_same_bits(&together[1], &after[0], &what);
            }
        }
    }
}

fn instructions(block: &Block) -> usize {
    let inside = |inst: &Inst| match inst {
        Inst::Def { .. } | Inst::Store { .. } | Inst::Prefetch { .. } => 1,
        Inst::If { then, otherwise, .. } => instructions(then) + instructions(otherwise),
        Inst::Loop { body, .. } => instructions(body),
    };
    block.insts.iter().map(inside).sum()
}

/// Twelve rows of two vectors: an ending for each register would be twelve times as long.
#[test]
fn long_endings_are_written_once_a_row() {
    let length = |rows: i64| {
        let lowered = lower(&ended(&rows.into(), 64, 32), &Machine::LANES_512);
        lowered.program.kernels.iter().map(|kernel| instructions(&kernel.body)).sum::<usize>()
    };
    let (row, block) = (length(1), length(12));
    assert!(block < 3 * row, "{row} and {block} instructions");
}
