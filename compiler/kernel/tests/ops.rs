//! Every sample call of every op: lowered kernels on the Lane interpreter against reference evaluation.

mod common;

use common::*;
use mlc_ir::builder::Builder;
use mlc_ir::graph::Graph;
use mlc_ir::ops::Op;

#[test]
fn kernels_agree_with_reference_evaluation() {
    let mut rng = Rng(7);
    let mut failures = Vec::new();
    for (number, case) in Op::cases().into_iter().enumerate() {
        let what = format!("case {number}: {:?} of {:?}", case.op, case.args);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut builder = Builder::new("case");
            let params: Vec<_> = case.args.iter().map(|ty| builder.param(ty.clone())).collect();
            let results = builder.add(case.op.clone(), &params).to_vec();
            let graph = entry(Graph::new(), builder, results, &[]);
            let domain = case.domain;
            let args: Vec<_> =
                case.args.iter().map(|ty| random(ty, domain.low, domain.high, domain.bound, &mut rng)).collect();
            let expected = mlc_ir::interp::run(&graph, graph.entries[0].region, &args, &[]);
            let actual = run_lane(&graph, &lowered(&graph), &[], &args);
            for (a, e) in actual.iter().zip(&expected) {
                assert_close(a, e, 1e-6, &what);
            }
        }));
        if let Err(panic) = result {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failures.push(format!("{what}\n    {}", text.chars().take(600).collect::<String>()));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
