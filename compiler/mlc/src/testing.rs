//! `test` blocks: run by the reference interpreter, with every f32 read as f64.
//!
//! `check_grad` compares, along a fixed direction, the gradient that the compiler makes with a
//! central difference; only if they differ it looks at each parameter alone, to name the wrong one.

mod gradients;

use mlc_ir::graph::{Graph, RegionId};
use mlc_ir::interp;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::{Check, Program, Test};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// Runs a test: what doesn't hold in it.
pub fn run(program: &Program, test: &Test) -> Vec<Diagnostic> {
    let double = interp::to_f64(&program.graph);
    test.checks.iter().filter_map(|check| one(&double, check)).collect()
}

fn one(graph: &Graph, check: &Check) -> Option<Diagnostic> {
    match check {
        Check::Assert { condition, message, span } => {
            let holds = evaluate(graph, *condition).first().is_some_and(|result| result.ints() == [1]);
            (!holds).then(|| Diagnostic::error(Code::E0214, *span, message.clone()))
        }
        Check::Grad { values, function, names, tolerance, span } => {
            let args = evaluate(graph, *values);
            gradients::check(graph, *function, &args, *tolerance).map(|wrong| wrong.diagnostic(names, *span))
        }
    }
}

/// A region that takes a seed and a step, at seed 0 and step 0.
fn evaluate(graph: &Graph, region: RegionId) -> Vec<Tensor> {
    let zero = Tensor::from_i64(&[], &[0]);
    interp::run(graph, region, &[zero.clone(), zero], &vec![1; graph.symbols.len()])
}
