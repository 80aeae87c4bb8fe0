//! The second region of a call: the gradient that a program gives for the operands it names, and the
//! automatic one for what the body reads besides, the weights of layers that it is given.

use crate::autodiff::backprop;
use crate::builder::Builder;
use crate::graph::{Graph, Region, RegionId, Value};
use crate::rewrite::{Cursor, needed};

/// A gradient, evaluated in the flat region in which its call will be cut out.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// What stands there for the first operands of the call.
    pub args: Vec<Value>,
    /// What stands there for the first results of the call.
    pub results: Vec<Value>,
    /// What stands there for the adjoints of those results that are floats.
    pub adjoints: Vec<Value>,
    /// The adjoints of those operands that are floats.
    pub gives: Vec<Value>,
}

/// A call that is to be cut out of a flat region.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// For dumps.
    pub name: &'a str,
    /// All operands, and values of the flat region that the body knows them by.
    pub args: &'a [Value],
    /// All results.
    pub results: &'a [Value],
    /// Operands whose adjoints are wanted behind those that the program gives.
    pub weights: &'a [Value],
}

/// `(args…, results…, adjoints of float results…)` to the adjoints that are given, then those of the weights. Also
/// gives which weights have none: for these the region has zeros.
pub fn second_region(graph: &mut Graph, flat: &Region, cut: Cut<'_>, given: &Given) -> (RegionId, Vec<bool>) {
    let mut cursor = Cursor::empty(flat);
    cursor.b = Builder::new(cut.name);
    let params = |cursor: &mut Cursor<'_>, values: &[Value]| -> Vec<Value> {
        values.iter().map(|value| cursor.b.param(flat.ty(*value).clone())).collect()
    };
    let args = params(&mut cursor, cut.args);
    let results = params(&mut cursor, cut.results);
    let floats: Vec<Value> = cut.results.iter().copied().filter(|value| flat.ty(*value).dtype.is_float()).collect();
    let adjoints = params(&mut cursor, &floats);
    let stands = cut.args.iter().zip(&args);
    let stands = stands.chain(given.args.iter().zip(&args)).chain(given.results.iter().zip(&results));
    for (old, new) in stands.chain(given.adjoints.iter().zip(&adjoints)) {
        cursor.set(*old, *new);
    }
    let known: Vec<Value> =
        [cut.args, &given.args, &given.results, &given.adjoints].into_iter().flatten().copied().collect();
    let seeds: &[Value] = if cut.weights.is_empty() { &[] } else { &floats };
    let wanted: Vec<Value> = given.gives.iter().chain(seeds).copied().collect();
    for id in needed(flat, &known, &wanted) {
        cursor.copy_missing(&flat.nodes[id.index()]);
    }
    let gives: Vec<Value> = given.gives.iter().map(|value| cursor.get(*value)).collect();
    let seeds: Vec<(Value, Value)> = seeds.iter().map(|value| cursor.get(*value)).zip(adjoints).collect();
    let wrt: Vec<Value> = cut.weights.iter().map(|weight| cursor.get(*weight)).collect();
    let found = backprop(graph, &mut cursor.b, &seeds, &wrt);
    let missing = found.iter().map(Option::is_none).collect();
    let zero = |b: &mut Builder, like: &Value| {
        let ty = b.ty(*like).clone();
        b.full(ty.dtype, 0.0, &ty.shape)
    };
    let found: Vec<Value> =
        found.iter().zip(&wrt).map(|(found, weight)| found.unwrap_or_else(|| zero(&mut cursor.b, weight))).collect();
    let region = cursor.b.finish([gives, found].concat());
    (graph.add_region(region), missing)
}
