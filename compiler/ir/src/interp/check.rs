//! Gradients against differences.

use super::run;
use crate::autodiff::gradient;
use crate::builder::Builder;
use crate::graph::{Graph, RegionId, Value};
use crate::tensor::Tensor;

/// A gradient and a difference quotient along one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction {
    /// `gradient · direction`
    pub gradient: f64,
    /// `(f(x + eps·direction) - f(x - eps·direction)) / (2·eps)`
    pub difference: f64,
}

impl Direction {
    /// Whether they agree to `1e-5` or `1e-3` of the difference.
    pub fn agrees(&self) -> bool {
        (self.gradient - self.difference).abs() <= 1e-5 + 1e-3 * self.difference.abs()
    }
}

/// Compares the gradient of a region's first result, a float scalar, by its float parameters with a
/// central difference (`eps` 1e-6) along a random direction. The graph should be in f64
/// ([`super::to_f64`]). Deterministic for a seed.
pub fn directional_check(graph: &Graph, region: RegionId, args: &[Tensor], symbols: &[i64], seed: u64) -> Direction {
    let direction: Vec<Option<Tensor>> = directions(args, seed);
    let moved = |eps: f64| {
        let shifted = args.iter().zip(&direction).map(|(arg, by)| match by {
            Some(by) => shift(arg, by, eps),
            None => arg.clone(),
        });
        run(graph, region, &shifted.collect::<Vec<_>>(), symbols)[0].floats()[0]
    };
    let difference = (moved(EPS) - moved(-EPS)) / (2.0 * EPS);
    let (with_gradient, id) = with_gradient(graph, region);
    let gradients = run(&with_gradient, id, args, symbols);
    let along = direction.iter().flatten().zip(&gradients);
    Direction { gradient: along.map(|(by, gradient)| dot(by, gradient)).sum(), difference }
}

const EPS: f64 = 1e-6;

/// A region with the gradients by the float parameters as results; zeros where there is none.
fn with_gradient(graph: &Graph, region: RegionId) -> (Graph, RegionId) {
    let mut graph = graph.clone();
    let old = graph.region(region).clone();
    let (loss, params) = (old.results[0], old.params.clone());
    let mut b = Builder::resume(old);
    let wrt: Vec<Value> = params.into_iter().filter(|param| b.ty(*param).dtype.is_float()).collect();
    let found = gradient(&mut graph, &mut b, loss, &wrt);
    let mut results = Vec::with_capacity(wrt.len());
    for (value, gradient) in wrt.iter().zip(found) {
        let ty = b.ty(*value).clone();
        results.push(gradient.unwrap_or_else(|_| b.full(ty.dtype, 0.0, &ty.shape)));
    }
    let id = graph.add_region(b.finish(results));
    (graph, id)
}

/// Numbers in `-1..1` for each float argument, from a small generator.
fn directions(args: &[Tensor], seed: u64) -> Vec<Option<Tensor>> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    args.iter()
        .map(|arg| {
            arg.dtype.is_float().then(|| Tensor::floats_of(arg.dtype, &arg.shape, (0..arg.len()).map(|_| next())))
        })
        .collect()
}

fn shift(arg: &Tensor, by: &Tensor, eps: f64) -> Tensor {
    Tensor::floats_of(arg.dtype, &arg.shape, arg.floats().iter().zip(by.floats()).map(|(x, d)| x + eps * d))
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    a.floats().iter().zip(b.floats()).map(|(a, b)| a * b).sum()
}
