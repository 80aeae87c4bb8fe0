//! Gradients of a function against central differences.

use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::interp;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// Width of a difference: about the third root of the rounding error of f64.
const EPSILON: f64 = 1e-6;
/// Differences below this are rounding.
const ABSOLUTE: f64 = 1e-5;

/// A gradient that is not what the difference says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wrong {
    /// Which parameter; absent if none is wrong alone.
    param: Option<usize>,
    gradient: f64,
    difference: f64,
    /// The slopes before and behind the point, where they differ.
    kink: Option<(f64, f64)>,
}

impl Wrong {
    /// For people.
    pub fn diagnostic(&self, names: &[String], span: Span) -> Diagnostic {
        let what = match self.param.and_then(|param| names.get(param)) {
            Some(name) => format!("the gradient by `{name}` does not agree with finite differences"),
            None => "the gradients together do not agree with finite differences".to_string(),
        };
        let error = Diagnostic::error(Code::E0213, span, what)
            .label(format!("gradient {:.9e}, difference {:.9e}", self.gradient, self.difference))
            .note("both along one fixed direction, in f64, over results weighted by another");
        let Some((before, behind)) = self.kink else { return error };
        error
            .note(format!("there is no derivative at this point: the slope before it is {before:.3e}, behind it {behind:.3e}"))
            .help("`relu`, `abs` and `max` have such points, and zero biases or equal elements lie on them: take others, `normal([2, 3], seed: 7)`")
    }
}

/// Checks all parameters together, and each alone if that fails.
pub fn check(graph: &Graph, function: RegionId, args: &[Tensor], tolerance: f64) -> Option<Wrong> {
    let check = GradientCheck::new(graph, function, args);
    let whole = check.along(None, tolerance)?;
    let alone = (0..args.len()).filter(|&param| args[param].dtype.is_float());
    Some(alone.filter_map(|param| check.along(Some(param), tolerance)).next().unwrap_or(whole))
}

struct GradientCheck<'a> {
    graph: Graph,
    /// The function's results as one number.
    value: RegionId,
    args: &'a [Tensor],
    /// One for each argument; zeros for what isn't a float.
    directions: Vec<Tensor>,
    gradients: Vec<Option<Tensor>>,
}

impl GradientCheck<'_> {
    fn new<'a>(graph: &Graph, function: RegionId, args: &'a [Tensor]) -> GradientCheck<'a> {
        let mut graph = graph.clone();
        let mut builder = Builder::resume(graph.region(function).clone());
        let value = project(&mut builder);
        let floats: Vec<Value> =
            params(&builder).into_iter().filter(|&param| builder.ty(param).dtype.is_float()).collect();
        let plain = graph.add_region(Builder::resume(builder.region().clone()).finish(vec![value]));
        let found = gradient(&mut graph, &mut builder, value, &floats);
        let reached: Vec<Value> = found.iter().filter_map(|gradient| gradient.ok()).collect();
        let with_gradient = graph.add_region(builder.finish(reached));
        let mut results = run(&graph, with_gradient, args).into_iter();
        let mut found = found.iter().map(|gradient| gradient.is_ok());
        let gradients = args
            .iter()
            .map(|arg| (arg.dtype.is_float() && found.next() == Some(true)).then(|| results.next()).flatten())
            .collect();
        let directions = args.iter().enumerate().map(|(param, arg)| direction(param, arg)).collect();
        GradientCheck { graph, value: plain, args, directions, gradients }
    }

    /// The difference along one parameter's direction, or all of them, if it is not the gradient's.
    fn along(&self, param: Option<usize>, tolerance: f64) -> Option<Wrong> {
        let takes_part = |at: usize| param.is_none_or(|param| param == at);
        let slopes = self.gradients.iter().zip(&self.directions).enumerate();
        let gradient: f64 = slopes
            .filter(|(at, _)| takes_part(*at))
            .filter_map(|(_, (gradient, direction))| Some(dot(gradient.as_ref()?, direction)))
            .sum();
        let (before, behind) = (self.at(-EPSILON, &takes_part), self.at(EPSILON, &takes_part));
        let difference = (behind - before) / (2.0 * EPSILON);
        let agrees = (gradient - difference).abs() <= ABSOLUTE + tolerance * difference.abs();
        (!agrees).then(|| {
            let here = self.at(0.0, &takes_part);
            let (left, right) = ((here - before) / EPSILON, (behind - here) / EPSILON);
            let is_kink = (left - right).abs() > ABSOLUTE + tolerance * left.abs().max(right.abs());
            Wrong { param, gradient, difference, kink: is_kink.then_some((left, right)) }
        })
    }

    /// The value with the arguments moved along their directions.
    fn at(&self, distance: f64, takes_part: &dyn Fn(usize) -> bool) -> f64 {
        let args = self.args.iter().zip(&self.directions).enumerate();
        let moved: Vec<Tensor> =
            args.map(|(at, (arg, direction))| {
                if takes_part(at) && arg.dtype.is_float() { shifted(arg, direction, distance) } else { arg.clone() }
            })
            .collect();
        run(&self.graph, self.value, &moved)[0].floats()[0]
    }
}

/// Adds to the region the sum of its float results, each element with a weight of its own.
fn project(builder: &mut Builder) -> Value {
    let results: Vec<Value> = builder.region().results.clone();
    let mut sum = None;
    for result in results {
        let ty = builder.ty(result).clone();
        if !ty.dtype.is_float() {
            continue;
        }
        let mut weighted = result;
        for axis in 0..ty.rank() {
            let place = builder.add1(Iota { shape: ty.shape.clone(), axis, dtype: mlc_ir::ty::DType::I32 }, &[]);
            let place = builder.add1(mlc_ir::ops::cast::Cast { dtype: ty.dtype }, &[place]);
            let shift = builder.full(ty.dtype, 1.0 + axis as f64, &ty.shape);
            let place = builder.binary(BinaryOp::Add, place, shift);
            let weight = builder.unary(UnaryOp::Cos, place);
            weighted = builder.binary(BinaryOp::Mul, weighted, weight);
        }
        let axes = (0..ty.rank()).collect();
        let part = builder.add1(Reduce { kind: ReduceKind::Sum, axes }, &[weighted]);
        sum = Some(match sum {
            Some(sum) => builder.binary(BinaryOp::Add, sum, part),
            None => part,
        });
    }
    sum.unwrap_or_else(|| builder.full(mlc_ir::ty::DType::F64, 0.0, &[]))
}

fn params(builder: &Builder) -> Vec<Value> {
    builder.region().params.clone()
}

fn run(graph: &Graph, region: RegionId, args: &[Tensor]) -> Vec<Tensor> {
    interp::run(graph, region, args, &vec![1; graph.symbols.len()])
}

/// Numbers between -1 and 1, different for each parameter and element.
fn direction(param: usize, arg: &Tensor) -> Tensor {
    let values = (0..arg.len()).map(|at| ((at as f64 + 1.0) * (param as f64 + 2.0).sqrt()).sin());
    Tensor::from_f64(&arg.shape, &values.collect::<Vec<f64>>())
}

fn shifted(arg: &Tensor, direction: &Tensor, distance: f64) -> Tensor {
    let values = arg.floats().iter().zip(direction.floats()).map(|(x, d)| x + distance * d);
    Tensor::from_f64(&arg.shape, &values.collect::<Vec<f64>>())
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    a.floats().iter().zip(b.floats()).map(|(a, b)| a * b).sum()
}
