//! What lies behind the holes of bodies under construction, for gradients taken in them.

use super::cut;
use crate::graph::{Graph, NodeId, Region, Value};

/// What the holes of a region under construction stand for, as far as that is known.
#[derive(Clone, Debug, Default)]
pub struct Holes {
    /// Of the bodies that are open, the outermost first.
    pub stand_ins: Vec<StandIn>,
    /// Loops whose carries are meant as they are behind their first passes.
    pub prefixes: Vec<Prefix>,
}

/// A hole that has the value of something computed before.
#[derive(Clone, Copy, Debug)]
pub struct StandIn {
    /// The hole.
    pub hole: Value,
    /// What it stands for, of the hole's type.
    pub value: Value,
    /// How many nodes there were when the hole was made: those that use it are behind them.
    pub mark: usize,
}

/// The first passes of a loop, by themselves. Adjoints of its carries are theirs behind these passes, and those of
/// rows that later passes stacked must be zero.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    /// The loop, a node of the region under construction.
    pub node: NodeId,
    /// How many passes, i64; the loop runs at least so many.
    pub passes: Value,
}

impl Holes {
    /// The holes that were made when there were `nodes` nodes, the outermost first.
    pub(super) fn made_at(&self, nodes: usize) -> impl DoubleEndedIterator<Item = &StandIn> {
        self.stand_ins.iter().filter(move |stands| stands.mark == nodes)
    }

    /// How many passes of the loop at `id` are meant, if not all.
    pub(super) fn passes(&self, id: NodeId) -> Option<Value> {
        self.prefixes.iter().find(|prefix| prefix.node == id).map(|prefix| prefix.passes)
    }
}

/// Which values of a region a gradient leads to `starts` from, by its first `nodes` nodes and from holes on.
pub fn reached(graph: &Graph, region: &Region, nodes: usize, starts: &[Value]) -> Vec<bool> {
    cut::reached(graph, region, nodes, starts)
}
