//! Random numbers in kernels.

use crate::common::entry;
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::random::Random;
use mlc_ir::scalar::{BinaryOp, Distribution};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lane::{Block, Inst};
use mlc_kernel::lower::lower;
use mlc_kernel::schedule::Machine;

const SHAPE: i64 = 40;

/// What so many inputs are, each times the same draws.
fn scaled(inputs: usize, distribution: Distribution) -> Graph {
    let mut b = Builder::new("main");
    let [seed, step, offset] = [(); 3].map(|()| b.param(Type::scalar(DType::I64)));
    let draws = b.add1(Random { distribution, shape: vec![SHAPE.into()], site: 5 }, &[seed, step, offset]);
    let results: Vec<Value> = (0..inputs)
        .map(|_| {
            let x = b.param(Type::new(DType::F32, vec![SHAPE.into()]));
            b.binary(BinaryOp::Mul, x, draws)
        })
        .collect();
    entry(Graph::new(), b, results, &[])
}

fn loops_of_rounds(block: &Block) -> usize {
    let inside = |inst: &Inst| match inst {
        Inst::Def { .. } | Inst::Store { .. } | Inst::Prefetch { .. } => 0,
        Inst::If { then, otherwise, .. } => loops_of_rounds(then) + loops_of_rounds(otherwise),
        Inst::Loop { body, params, .. } => loops_of_rounds(body) + usize::from(params.len() == 6),
    };
    block.insts.iter().map(inside).sum()
}

#[test]
fn values_that_share_draws_make_them_once() {
    for distribution in [Distribution::Uniform, Distribution::Normal] {
        let loops = |inputs| {
            let lowered = lower(&scaled(inputs, distribution), &Machine::LANES_512);
            assert_eq!(lowered.program.kernels.len(), 1);
            loops_of_rounds(&lowered.program.kernels[0].body)
        };
        assert!(loops(1) > 0);
        assert_eq!(loops(3), loops(1));
    }
}
