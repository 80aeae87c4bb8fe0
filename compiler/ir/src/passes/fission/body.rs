//! What the nodes of a loop's body depend on, and what depends on them.

use super::lift::{self, Operand};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::{Def, Node, NodeId, Region, Value};
use crate::ops::Op;
use crate::region_ops::Loop;
use crate::rewrite::reaching;

/// How a value of a body differs between iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Varies {
    /// Not at all: made of invariants.
    Never,
    /// By the position and rows of slices: known before the loop runs.
    ByRow,
    /// By what earlier iterations did.
    ByCarry,
}

/// The body of a loop, looked at.
pub(super) struct Body<'a> {
    pub op: &'a Loop,
    pub region: &'a Region,
    /// Of each value.
    pub varies: Vec<Varies>,
    /// Whether a value is needed for a carry or the stop condition.
    pub feeds_core: Vec<bool>,
    /// The nodes that read a value.
    pub readers: Vec<Vec<NodeId>>,
    /// Whether a value is one of the body's stacks.
    pub stacked: Vec<bool>,
    /// Whether the op can be done for all rows at once, for each node that varies.
    pub liftable: Vec<bool>,
}

impl<'a> Body<'a> {
    pub fn new(op: &'a Loop, region: &'a Region) -> Body<'a> {
        let mut readers = vec![Vec::new(); region.values.len()];
        for (at, node) in region.nodes.iter().enumerate() {
            for arg in &node.args {
                let list: &mut Vec<NodeId> = &mut readers[arg.index()];
                if list.last() != Some(&NodeId(at as u32)) {
                    list.push(NodeId(at as u32));
                }
            }
        }
        let mut stacked = vec![false; region.values.len()];
        for stack in op.stack_results() {
            stacked[region.results[stack].index()] = true;
        }
        let mut body = Body {
            op,
            region,
            varies: varies(op, region),
            feeds_core: reaching(region, &region.results[..op.carry_results().end]),
            readers,
            stacked,
            liftable: Vec::new(),
        };
        body.liftable = region.nodes.iter().map(|node| body.varying(node) && body.can_lift(node)).collect();
        body
    }

    /// Whether the loop may run fewer iterations than its stacks have rows.
    pub fn is_counted(&self) -> bool {
        self.op.has_count() || self.op.until
    }

    pub fn of(&self, value: Value) -> Varies {
        self.varies[value.index()]
    }

    /// Whether the results of a node differ between iterations.
    pub fn varying(&self, node: &Node) -> bool {
        node.args.iter().any(|arg| self.of(*arg) != Varies::Never)
    }

    /// By what the results of a node differ.
    pub fn node_varies(&self, node: &Node) -> Varies {
        node.args.iter().map(|arg| self.of(*arg)).max().unwrap_or(Varies::Never)
    }

    /// The node that makes a value.
    pub fn producer(&self, value: Value) -> Option<NodeId> {
        crate::flow::producer(self.region, value)
    }

    /// The operands of a node that differ between iterations, each once.
    pub fn varying_args(&self, node: &Node) -> Vec<Value> {
        let mut args: Vec<Value> = node.args.iter().copied().filter(|arg| self.of(*arg) != Varies::Never).collect();
        args.sort_unstable();
        args.dedup();
        args
    }

    /// Whether a value is the position or a row of a slice.
    pub fn is_row_param(&self, value: Value) -> bool {
        matches!(self.region.values[value.index()].def, Def::Param(_)) && self.of(value) == Varies::ByRow
    }

    /// Concatenations that a value is a part of: the whole, the axis, and where along it the part begins.
    pub fn wholes(&self, value: Value) -> impl Iterator<Item = (Value, usize, Dim)> {
        self.readers[value.index()].iter().filter_map(move |id| {
            let node = &self.region.nodes[id.index()];
            let Op::Concat(op) = &node.op else { return None };
            let before = node.args.iter().take_while(|arg| **arg != value);
            let mut start = Dim::zero();
            for arg in before {
                start = start.add(&self.region.ty(*arg).shape[op.axis]).ok()?;
            }
            Some((node.results[0], op.axis, start))
        })
    }

    /// Tried on a region of its own.
    fn can_lift(&self, node: &Node) -> bool {
        let mut b = Builder::new("trial");
        let rows = self.op.trip.bound();
        let operand = |arg: &Value| {
            let ty = self.region.ty(*arg);
            match self.of(*arg) {
                Varies::Never => Operand::Same(b.param(ty.clone())),
                Varies::ByRow | Varies::ByCarry => Operand::Rows(b.param(crate::region_ops::stacked(rows, ty))),
            }
        };
        let operands: Vec<Operand> = node.args.iter().map(operand).collect();
        lift::rows(&mut b, rows, &node.op, &operands).is_some()
    }
}

fn varies(op: &Loop, region: &Region) -> Vec<Varies> {
    let mut varies = vec![Varies::Never; region.values.len()];
    for (at, param) in region.params.iter().enumerate() {
        varies[param.index()] = match at {
            at if op.carry_params().contains(&at) => Varies::ByCarry,
            at if at == 0 || op.slice_params().contains(&at) => Varies::ByRow,
            _ => Varies::Never,
        };
    }
    for node in &region.nodes {
        let most = node.args.iter().map(|arg| varies[arg.index()]).max().unwrap_or(Varies::Never);
        for result in &node.results {
            varies[result.index()] = most;
        }
    }
    varies
}
