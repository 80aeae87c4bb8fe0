//! Every sample call of every op: lowered kernels on the Lane interpreter against reference evaluation.

use crate::common::{
    Rng, assert_close, assert_same_bits, each_case, entry, lowered, run_lane, run_lane_tiles, run_reference,
};
use mlc_ir::builder::Builder;
use mlc_ir::graph::Graph;
use mlc_ir::ops::{Case, Op};
use mlc_kernel::run::Tiles;

#[test]
fn kernels_agree_with_reference_evaluation() {
    let cases = Op::cases().into_iter().enumerate();
    let named =
        cases.map(|(number, case)| (format!("case {number}: {:?} of {:?}", case.op, case.args), (number, case)));
    each_case(named, |(number, case)| check(number, &case));
}

fn check(number: usize, case: &Case) {
    let mut rng = Rng(number as u64);
    let mut builder = Builder::new("case");
    let params: Vec<_> = case.args.iter().map(|ty| builder.param(ty.clone())).collect();
    let results = builder.add(case.op.clone(), &params).to_vec();
    let graph = entry(Graph::new(), builder, results, &[]);
    let domain = case.domain;
    let args: Vec<_> = case.args.iter().map(|ty| rng.tensor(ty, domain.low, domain.high, domain.bound)).collect();
    let expected = run_reference(&graph, &[], &args);
    let program = lowered(&graph);
    let actual = run_lane(&graph, &program, &[], &args);
    for (a, e) in actual.iter().zip(&expected) {
        assert_close(a, e, 1e-6, "against reference evaluation");
    }
    let backwards = run_lane_tiles(&graph, &program, &[], &args, Tiles::Backwards);
    backwards.iter().zip(&actual).for_each(|(a, b)| assert_same_bits(a, b, "tiles backwards"));
}
