//! `test` blocks: run by the reference interpreter, with every f32 read as f64.
//!
//! `check_grad` compares, along a fixed direction, the gradient that the compiler makes with a
//! central difference; only if they differ it looks at each parameter alone, to name the wrong one.

mod gradients;

use mlc_ir::graph::{Graph, RegionId};
use mlc_ir::interp;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::{Check, Program, Test};
use mlc_rt_exe::show;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// Runs a test: what doesn't hold in it. What it prints goes to `out`.
pub fn run(program: &Program, test: &Test, out: &mut dyn FnMut(&str)) -> Vec<Diagnostic> {
    let double = interp::to_f64(&program.graph);
    test.checks.iter().filter_map(|check| one(&double, check, out)).collect()
}

fn one(graph: &Graph, check: &Check, out: &mut dyn FnMut(&str)) -> Option<Diagnostic> {
    match check {
        Check::Print { text, value: None } => {
            out(&format!("{text}\n"));
            None
        }
        Check::Print { text, value: Some(region) } => {
            evaluate(graph, *region).iter().for_each(|tensor| out(&printed(text, tensor)));
            None
        }
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

/// As the runtime prints a tensor.
fn printed(name: &str, tensor: &Tensor) -> String {
    let shape: Vec<usize> = tensor.shape.clone();
    let text = if tensor.dtype.is_float() {
        let values = tensor.floats();
        show::array(&shape, &|i| values.get(i).map_or_else(String::new, |x| show::number(*x)))
    } else {
        let values = tensor.ints();
        show::array(&shape, &|i| values.get(i).map_or_else(String::new, i64::to_string))
    };
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let sizes = if shape.is_empty() { String::new() } else { format!("[{}]", sizes.join(", ")) };
    let gap = if shape.len() > 1 { "\n" } else { " " };
    format!("{name}: {}{sizes} ={gap}{text}\n", tensor.dtype.name())
}

/// A region that takes a seed and a step, at seed 0 and step 0.
fn evaluate(graph: &Graph, region: RegionId) -> Vec<Tensor> {
    let zero = Tensor::from_i64(&[], &[0]);
    interp::run(graph, region, &[zero.clone(), zero], &vec![1; graph.symbols.len()])
}
