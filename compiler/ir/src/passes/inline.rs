//! Puts the bodies of calls in their place and drops `stop_gradient`: both are for autodiff, which
//! is done. Nodes of a recomputing call get an epoch of their own, so that they are never merged
//! with the values they recompute; they stand where the call stood, behind the adjoint it takes.

use crate::builder::Builder;
use crate::graph::{Epoch, Graph, Region, Value};
use crate::ops::{Op, Types};
use crate::passes::compact;
use crate::region_ops::Remat;

/// The pass.
pub fn inline(graph: &Graph) -> Graph {
    let mut pass = Inline { graph, last: last_epoch(graph) };
    let regions = graph.regions.iter().map(|region| pass.region(region)).collect();
    compact(&Graph { regions, ..graph.clone() })
}

struct Inline<'a> {
    graph: &'a Graph,
    last: Epoch,
}

fn last_epoch(graph: &Graph) -> Epoch {
    graph.regions.iter().flat_map(|region| &region.nodes).map(|node| node.epoch).max().unwrap_or_default()
}

impl Inline<'_> {
    fn region(&mut self, region: &Region) -> Region {
        let mut b = Builder::new(&region.name);
        let params: Vec<Value> = region.params.iter().map(|param| b.param(region.ty(*param).clone())).collect();
        let results = self.nodes(&mut b, region, &params, Epoch::default());
        b.finish(results)
    }

    /// Writes the nodes of a region and gives its results; `epoch` is for nodes that have none.
    fn nodes(&mut self, b: &mut Builder, region: &Region, params: &[Value], epoch: Epoch) -> Vec<Value> {
        let mut new = vec![None; region.values.len()];
        for (param, value) in region.params.iter().zip(params) {
            new[param.index()] = Some(*value);
        }
        let get = |new: &[Option<Value>], value: Value| match new[value.index()] {
            Some(value) => value,
            None => crate::internal_error("inline", "a value is used before it is written"),
        };
        for node in &region.nodes {
            let args: Vec<Value> = node.args.iter().map(|arg| get(&new, *arg)).collect();
            let values: Vec<Value> = match &node.op {
                Op::StopGradient(_) => args,
                Op::Call(op) => {
                    let inner = match op.remat {
                        Remat::Keep => epoch,
                        Remat::Recompute => self.fresh(),
                    };
                    let graph = self.graph;
                    self.nodes(b, graph.region(node.regions[0]), &args, inner)
                }
                _ => {
                    let mut copy = node.clone();
                    copy.epoch = if epoch == Epoch::default() { node.epoch } else { epoch };
                    let types: Types = node.results.iter().map(|result| region.ty(*result).clone()).collect();
                    b.copy(&copy, &args, types).to_vec()
                }
            };
            for (old, value) in node.results.iter().zip(values) {
                new[old.index()] = Some(value);
            }
        }
        region.results.iter().map(|result| get(&new, *result)).collect()
    }

    fn fresh(&mut self) -> Epoch {
        self.last.0 += 1;
        self.last
    }
}
