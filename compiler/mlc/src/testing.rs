//! `test` blocks: run by the reference interpreter.
//!
//! `check_grad` reads every f32 as f64. It compares, along a fixed direction, the gradient that the compiler makes with a
//! central difference; only if they differ it looks at each parameter alone, to name the wrong one.

mod gradients;

use mlc_ir::graph::Graph;
use mlc_ir::interp;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::{Check, Computed, Program, Test, TestedIndex};
use mlc_rt_exe::show;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// What a check comes to, or what is wrong.
type Outcome<T> = Result<T, Box<Diagnostic>>;

/// Runs a test: what doesn't hold in it. What it prints goes to `out`.
pub fn run(program: &Program, test: &Test, out: &mut dyn FnMut(&str)) -> Vec<Diagnostic> {
    let graphs = Graphs { plain: &program.graph, double: interp::to_f64(&program.graph) };
    test.checks.iter().filter_map(|check| one(&graphs, check, out).err()).map(|wrong| *wrong).collect()
}

/// A program as it is written, and with f64 for f32.
struct Graphs<'a> {
    plain: &'a Graph,
    double: Graph,
}

fn one(graphs: &Graphs<'_>, check: &Check, out: &mut dyn FnMut(&str)) -> Outcome<()> {
    match check {
        Check::Print { text, value: None } => out(&format!("{text}\n")),
        Check::Print { text, value: Some(value) } => {
            evaluate(graphs.plain, value)?.iter().for_each(|tensor| out(&printed(text, tensor)));
        }
        Check::Assert { condition, message, span } => {
            let holds = evaluate(graphs.plain, condition)?.first().is_some_and(|result| result.ints() == [1]);
            if !holds {
                return Err(Box::new(Diagnostic::error(Code::E0214, *span, message.clone())));
            }
        }
        Check::Grad { values, function, names, tolerance, span } => {
            let args = evaluate(&graphs.double, values)?;
            results(&graphs.double, function, &args)?;
            if let Some(wrong) = gradients::check(&graphs.double, function.region, &args, *tolerance) {
                return Err(Box::new(wrong.diagnostic(names, *span)));
            }
        }
    }
    Ok(())
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

/// What takes a seed and a step, at seed 0 and step 0.
fn evaluate(graph: &Graph, computed: &Computed) -> Outcome<Vec<Tensor>> {
    let zero = Tensor::from_i64(&[], &[0]);
    results(graph, computed, &[zero.clone(), zero])
}

/// The results, if no index is out of range.
fn results(graph: &Graph, computed: &Computed, args: &[Tensor]) -> Outcome<Vec<Tensor>> {
    let mut results = interp::run(graph, computed.region, args, &vec![1; graph.symbols.len()]);
    let first_bad = results.split_off(results.len() - computed.indices.len());
    let is_bad = |first: &Tensor| first.ints() != [i64::from(i32::MAX)];
    match first_bad.iter().zip(&computed.indices).find(|(first, _)| is_bad(first)) {
        Some((_, index)) => Err(Box::new(out_of_range(index))),
        None => Ok(results),
    }
}

fn out_of_range(index: &TestedIndex) -> Diagnostic {
    let range =
        index.bound.map_or_else(String::new, |bound| format!(": must be from 0 to {}", bound.saturating_sub(1)));
    Diagnostic::error(Code::E0305, index.span, format!("an index is out of range{range}")).note(index.text.clone())
}
