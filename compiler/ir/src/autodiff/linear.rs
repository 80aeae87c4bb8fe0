//! The gradient of a whole region, split into what runs forward and what runs backward.

use super::keep::{Price, cheapest};
use super::{active, backprop};
use crate::builder::Builder;
use crate::cost::{Typical, is_repeatable, is_roomy};
use crate::graph::{Def, Graph, NodeId, Region, Value};
use crate::masks;
use crate::rewrite::{Cursor, needed, part};
use std::ops::Range;

/// A region with the adjoint nodes of its results appended.
pub(super) struct Linear {
    b: Builder,
    /// Whether each node is of the region itself, or a test of what it makes.
    forward: Vec<bool>,
    params: Vec<Value>,
    results: Vec<Value>,
    /// For each result that has an adjoint: the parameter that stands for it.
    pub seeds: Vec<Option<Value>>,
    /// For each parameter: its adjoint, if it was asked for and there is one.
    pub adjoints: Vec<Option<Value>>,
    /// Bits that are kept, and the truth values that the backward part reads.
    bits: Vec<(Value, Value)>,
}

/// What the backward part has of the forward part at which cost.
pub(super) struct Keep<'a> {
    /// Whether all is made again from the parameters.
    pub nothing: bool,
    /// Parameters that are there anyway.
    pub free: &'a [bool],
    /// Parameters that are always the same, so that what is made of them alone is not kept.
    pub fixed: &'a [bool],
    /// Results that are kept anyway.
    pub kept: Range<usize>,
    /// Whether truth values are kept as bits, where they are many.
    pub as_bits: bool,
}

impl Linear {
    /// Appends adjoints: `seeded` says which results have one, `wanted` which parameters need one.
    pub fn new(graph: &mut Graph, region: &Region, seeded: &[bool], wanted: &[bool]) -> Linear {
        let mut b = Builder::resume(region.clone());
        let forward = region.nodes.len();
        let mut seeds = vec![None; seeded.len()];
        let mut pairs = Vec::new();
        for (at, value) in region.results.iter().enumerate() {
            if seeded[at] {
                let seed = b.param(region.ty(*value).clone());
                seeds[at] = Some(seed);
                pairs.push((*value, seed));
            }
        }
        let wrt: Vec<Value> = chosen(&region.params, wanted);
        let mut found = backprop(graph, &mut b, &pairs, &wrt).into_iter();
        let adjoints = wanted.iter().map(|wanted| if *wanted { found.next().flatten() } else { None }).collect();
        let (params, results) = (region.params.clone(), region.results.clone());
        let tests = masks::tests(b.region(), forward);
        let forward = std::iter::repeat_n(true, forward).chain(tests).collect();
        Linear { b, forward, params, results, seeds, adjoints, bits: Vec::new() }
    }

    /// A zero for a parameter whose adjoint was not found.
    pub fn zero(&mut self, param: usize) -> Value {
        let ty = self.b.ty(self.params[param]).clone();
        self.b.full(ty.dtype, 0.0, &ty.shape)
    }

    /// The region with all nodes.
    pub fn region(&self) -> &Region {
        self.b.region()
    }

    /// The forward values that are to be kept for `outputs` of the backward part, apart from free
    /// parameters, in order.
    pub fn residuals(&mut self, graph: &Graph, outputs: &[Value], keep: &Keep<'_>) -> Vec<Value> {
        let typical = Typical::of(graph);
        let mut residuals = self.cheapest(&typical, outputs, keep);
        let kept = keep.kept.clone().map(|result| self.results[result]).collect::<Vec<_>>();
        for value in residuals.iter_mut().filter(|value| keep.as_bits && !kept.contains(value)) {
            if let Some(bits) = masks::packed(&mut self.b, &typical, *value) {
                self.bits.push((bits, std::mem::replace(value, bits)));
            }
        }
        residuals
    }

    fn cheapest(&self, typical: &Typical, outputs: &[Value], keep: &Keep<'_>) -> Vec<Value> {
        let region = self.region();
        let varies: Vec<bool> = varying(region, &self.forward, &chosen(&self.params, keep.fixed));
        let mut kept = vec![false; region.values.len()];
        for result in keep.kept.clone() {
            kept[self.results[result].index()] = true;
        }
        let price = |value: Value| match region.values[value.index()].def {
            // Behind the forward parameters come the seeds.
            Def::Param(at) if keep.free.get(at as usize).is_none_or(|free| *free) => Price::Nothing,
            Def::Param(_) | Def::Hole => Price::Bytes,
            Def::Node(id, _) => {
                let node = &region.nodes[id.index()];
                if keep.nothing || !varies[value.index()] {
                    Price::Again
                } else if kept[value.index()] {
                    Price::Kept
                } else if is_repeatable(&node.op) || is_roomy(region, node, typical) {
                    Price::Again
                } else {
                    Price::Bytes
                }
            }
        };
        let bytes = |value: Value| match keep.as_bits {
            true => masks::kept_bytes(typical, region.ty(value)),
            false => typical.bytes(region.ty(value)),
        };
        cheapest(region, &self.read_forward(outputs), bytes, price)
    }

    fn is_forward(&self, node: NodeId) -> bool {
        self.forward.get(node.index()).copied().unwrap_or(false)
    }

    /// The forward values that nodes of the backward part read.
    fn read_forward(&self, outputs: &[Value]) -> Vec<Value> {
        let region = self.region();
        let mut read = Vec::new();
        let mut seen = vec![false; region.values.len()];
        let mut open: Vec<Value> = outputs.to_vec();
        while let Some(value) = open.pop() {
            if std::mem::replace(&mut seen[value.index()], true) {
                continue;
            }
            match region.values[value.index()].def {
                Def::Node(id, _) if !self.is_forward(id) => open.extend(&region.nodes[id.index()].args),
                Def::Node(..) | Def::Param(_) | Def::Hole => read.push(value),
            }
        }
        read
    }

    /// The forward part with more results.
    pub fn forward(&self, name: &str, results: &[Value]) -> Region {
        part(self.region(), name, &self.params, results)
    }

    /// The backward part.
    pub fn backward(&self, name: &str, params: &[Value], outputs: &[Value]) -> Region {
        let mut cursor = Cursor::empty(self.region());
        cursor.b = Builder::new(name);
        for param in params {
            let value = cursor.b.param(self.region().ty(*param).clone());
            cursor.set(*param, value);
        }
        for (bits, truths) in self.bits.iter().filter(|(bits, _)| params.contains(bits)) {
            let given = cursor.get(*bits);
            let value = masks::unpacked(&mut cursor.b, self.region().ty(*truths), self.region().ty(*bits), given);
            cursor.set(*truths, value);
        }
        cursor.copy_needed(&self.given(params), outputs);
        cursor.finish(outputs)
    }

    /// What is known where `given` is: truth values for their bits.
    fn given(&self, given: &[Value]) -> Vec<Value> {
        let truths = self.bits.iter().filter(|(bits, _)| given.contains(bits)).map(|(_, truths)| *truths);
        given.iter().copied().chain(truths).collect()
    }

    /// Which of `candidates` the nodes for `outputs` read when `given` are there.
    pub fn read(&self, given: &[Value], outputs: &[Value], candidates: &[Value]) -> Vec<bool> {
        let region = self.region();
        let mut used = vec![false; region.values.len()];
        for value in outputs {
            used[value.index()] = true;
        }
        for id in needed(region, &self.given(given), outputs) {
            for arg in &region.nodes[id.index()].args {
                used[arg.index()] = true;
            }
        }
        candidates.iter().map(|value| used[value.index()]).collect()
    }

    /// Parameter `at`.
    pub fn param(&self, at: usize) -> Value {
        self.params[at]
    }

    /// The results of the region itself.
    pub fn results(&self) -> &[Value] {
        &self.results
    }
}

/// The values whose flag is set.
pub(super) fn chosen(values: &[Value], flags: &[bool]) -> Vec<Value> {
    values.iter().zip(flags).filter(|(_, flag)| **flag).map(|(value, _)| *value).collect()
}

/// Values of the forward part that are made of more than `fixed` parameters.
fn varying(region: &Region, forward: &[bool], fixed: &[Value]) -> Vec<bool> {
    let mut varies = vec![false; region.values.len()];
    for param in &region.params {
        varies[param.index()] = !fixed.contains(param);
    }
    for (node, _) in region.nodes.iter().zip(forward).filter(|(_, forward)| **forward) {
        let depends = node.args.iter().any(|arg| varies[arg.index()]);
        for result in &node.results {
            varies[result.index()] = depends;
        }
    }
    varies
}

/// Which values depend on floats of `starts`; for whole regions.
pub(super) fn depends(region: &Region, starts: &[Value]) -> Vec<bool> {
    active(region, region.nodes.len(), starts)
}
