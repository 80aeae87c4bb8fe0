//! What leaves a loop, and when.

use super::body::{Body, Varies};
use super::sums::{Linearity, linearity, peeled};
use crate::cost::{Typical, is_dear};
use crate::graph::{Epoch, Node, NodeId, Value};
use crate::ops::{Class, Op};

/// What leaves the loop.
pub(super) struct Choice {
    /// Nodes done for all rows before the loop; what the body still needs of them it gets as slices.
    pub early: Vec<bool>,
    /// Nodes done for all rows after the loop.
    pub late: Vec<bool>,
    /// Nodes done after the loop on sums, or on rows to give sums.
    pub peeled: Vec<bool>,
    /// Values that the loop must stack for that.
    pub stacked: Vec<bool>,
    /// Values that are the same in all iterations and are worth to be made before.
    pub hoisted: Vec<Value>,
}

impl Choice {
    /// Whether anything leaves.
    pub fn any(&self) -> bool {
        !self.hoisted.is_empty() || [&self.early, &self.late, &self.peeled].into_iter().flatten().any(|flag| *flag)
    }
}

/// The choice for a loop.
pub(super) fn choose(body: &Body<'_>, typical: &Typical) -> Choice {
    let nodes = body.region.nodes.len();
    let mut chooser = Chooser {
        body,
        typical,
        early_ok: early_ok(body),
        choice: Choice {
            early: vec![false; nodes],
            late: vec![false; nodes],
            peeled: vec![false; nodes],
            stacked: vec![false; body.region.values.len()],
            hoisted: Vec::new(),
        },
    };
    // The branch of a condition is no loop: what is moved out of it would always run.
    if body.op.has_count() && body.op.trip.bound().is(1) {
        return chooser.choice;
    }
    chooser.choice.hoisted = hoisted(body, typical);
    chooser.choice.peeled = peeled(body, typical);
    if !body.is_counted() {
        chooser.projections();
    }
    chooser.operands();
    chooser.sums_of_rows();
    if !body.is_counted() {
        chooser.epilogues();
    }
    chooser.choice
}

struct Chooser<'a> {
    body: &'a Body<'a>,
    typical: &'a Typical,
    /// Nodes that can be done for all rows before the loop.
    early_ok: Vec<bool>,
    choice: Choice,
}

fn early_ok(body: &Body<'_>) -> Vec<bool> {
    let mut ok = vec![false; body.region.nodes.len()];
    for (at, node) in body.region.nodes.iter().enumerate() {
        let given = |arg: &Value| match body.producer(*arg) {
            Some(id) => body.of(*arg) == Varies::Never || ok[id.index()],
            None => true,
        };
        ok[at] = body.node_varies(node) == Varies::ByRow && body.liftable[at] && node.args.iter().all(given);
    }
    ok
}

impl Chooser<'_> {
    fn node(&self, at: usize) -> &Node {
        &self.body.region.nodes[at]
    }

    /// Contractions with an invariant, and reads of an invariant table: early if the loop does not
    /// decide on their operand, late if the loop does not need their result.
    fn projections(&mut self) {
        let late_ok = self.late_ok();
        for (at, late_ok) in late_ok.iter().enumerate() {
            let node = self.node(at);
            if self.choice.peeled[at] || node.epoch != Epoch::default() || !self.is_projection(node) {
                continue;
            }
            if self.early_ok[at] {
                self.mark_early(NodeId(at as u32));
            } else if *late_ok {
                self.choice.late[at] = true;
            }
        }
        // With a late node goes all that reads it.
        for (at, late_ok) in late_ok.into_iter().enumerate() {
            let reads_late = |arg: &Value| self.body.producer(*arg).is_some_and(|id| self.choice.late[id.index()]);
            if late_ok && !self.choice.peeled[at] && self.node(at).args.iter().any(reads_late) {
                self.choice.late[at] = true;
            }
        }
    }

    fn is_projection(&self, node: &Node) -> bool {
        let varies: Vec<bool> = node.args.iter().map(|arg| self.body.of(*arg) != Varies::Never).collect();
        match (&node.op, varies.as_slice()) {
            (Op::Contract(op), [left, right]) => {
                let (rows, fixed) = match (left, right) {
                    (true, false) => (&op.left, &op.right),
                    (false, true) => (&op.right, &op.left),
                    _ => return false,
                };
                let shape = &self.body.region.ty(node.results[0]).shape;
                let free = |of: &[u32], other: &[u32]| {
                    let letters = op.out.iter().zip(shape);
                    self.typical.product(
                        letters
                            .filter(|(letter, _)| of.contains(letter) && !other.contains(letter))
                            .map(|(_, size)| size),
                    )
                };
                free(rows, fixed).min(free(fixed, rows)) < EFFICIENT
            }
            (Op::Conv(_), [left, right]) => left != right,
            (Op::Gather(_), [table, ids]) => !table && *ids,
            _ => false,
        }
    }

    /// Nodes that can be done for all rows after the loop, with all that reads them.
    fn late_ok(&self) -> Vec<bool> {
        let body = self.body;
        let mut ok = vec![false; body.region.nodes.len()];
        for (at, node) in body.region.nodes.iter().enumerate().rev() {
            let behind = |result: &Value| {
                let readers = &body.readers[result.index()];
                !body.feeds_core[result.index()]
                    && readers.iter().all(|id| ok[id.index()] || self.choice.peeled[id.index()])
            };
            ok[at] = body.node_varies(node) == Varies::ByCarry && body.liftable[at] && node.results.iter().all(behind);
        }
        ok
    }

    fn mark_early(&mut self, id: NodeId) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut self.choice.early[id.index()], true) {
                let body = self.body;
                let varying = body.varying_args(&body.region.nodes[id.index()]);
                open.extend(varying.into_iter().filter_map(|arg| body.producer(arg)));
            }
        }
    }

    /// Gets all rows of what late nodes and sums of products read.
    fn operands(&mut self) {
        let body = self.body;
        for (at, node) in body.region.nodes.iter().enumerate().rev() {
            let product = self.choice.peeled[at] && linearity(body, node) == Linearity::Product;
            if product || self.choice.late[at] {
                body.varying_args(node).into_iter().for_each(|arg| self.need_rows(arg));
            }
        }
    }

    /// Whether all rows of a value are there outside.
    fn has_rows(&self, value: Value) -> bool {
        let node = self.body.producer(value);
        let moved = node.is_some_and(|id| self.choice.early[id.index()] || self.choice.late[id.index()]);
        moved || self.body.is_row_param(value) || self.choice.stacked[value.index()] || self.body.stacked[value.index()]
    }

    fn need_rows(&mut self, value: Value) {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            if self.has_rows(value) {
                continue;
            }
            match self.body.producer(value) {
                Some(id) if self.early_ok[id.index()] => self.mark_early(id),
                Some(id) if self.is_cheaper_outside(id, value) => {
                    self.choice.late[id.index()] = true;
                    open.extend(self.body.varying_args(self.node(id.index())));
                }
                _ => self.choice.stacked[value.index()] = true,
            }
        }
    }

    /// Whether stacking the operands takes less than stacking the value.
    fn is_cheaper_outside(&self, id: NodeId, value: Value) -> bool {
        let node = self.node(id.index());
        let simple = matches!(node.op.info().class, Class::View | Class::Alias | Class::Elementwise);
        let bytes = |value: Value| self.typical.bytes(self.body.region.ty(value));
        let new = self.body.varying_args(node).into_iter().filter(|arg| !self.has_rows(*arg));
        let new = new.fold(0i64, |sum, arg| sum.saturating_add(bytes(arg)));
        simple && self.body.liftable[id.index()] && new < bytes(value)
    }

    /// Sums of what has its rows outside anyway, by itself or as a part of a concatenation.
    fn sums_of_rows(&mut self) {
        let body = self.body;
        for result in body.op.sum_results() {
            let Some(id) = body.producer(body.region.results[result]) else { continue };
            let node = &body.region.nodes[id.index()];
            let reduces = linearity(body, node) == Linearity::Sum && matches!(node.op, Op::Reduce(_));
            let is_there = |arg: &Value| {
                self.has_rows(*arg) || !body.is_counted() && body.wholes(*arg).any(|(whole, ..)| self.has_rows(whole))
            };
            if reduces && node.args.iter().all(is_there) {
                let value = node.results[0].index();
                let alone = body.readers[value].is_empty() && !body.stacked[value] && !body.feeds_core[value];
                self.choice.peeled[id.index()] |= alone && !self.choice.late[id.index()];
            }
        }
    }

    /// Cheap nodes behind early ones go with them if the body then gets less than before.
    fn epilogues(&mut self) {
        let body = self.body;
        for (at, node) in body.region.nodes.iter().enumerate() {
            let class = node.op.info().class;
            let simple = matches!(class, Class::Elementwise | Class::View | Class::Alias);
            if self.choice.early[at] || !simple || !self.early_ok[at] || node.epoch != Epoch::default() {
                continue;
            }
            let bytes = |value: Value| self.typical.bytes(body.region.ty(value));
            let early = |value: Value| body.producer(value).is_some_and(|id| self.choice.early[id.index()]);
            let args = body.varying_args(node);
            if !args.iter().all(|arg| early(*arg) || body.is_row_param(*arg)) {
                continue;
            }
            let spared = args.into_iter().filter(|arg| early(*arg)).filter(|arg| {
                body.readers[arg.index()].iter().all(|id| id.index() == at || self.choice.early[id.index()])
            });
            let spared = spared.fold(0i64, |sum, arg| sum.saturating_add(bytes(arg)));
            let made = node.results.iter().fold(0i64, |sum, result| sum.saturating_add(bytes(*result)));
            self.choice.early[at] = made < spared;
        }
    }
}

/// A contraction whose two free extents are both so large gains nothing from more rows.
const EFFICIENT: i64 = 256;

/// Values made of invariants that are made once, before the loop: real work always, elementwise ops
/// if reading the result takes no more than reading what it is made of. Numbers, views and scalars
/// of a few operations are made anew, inside the kernels that use them.
fn hoisted(body: &Body<'_>, typical: &Typical) -> Vec<Value> {
    let bytes = |value: Value| typical.bytes(body.region.ty(value));
    let mut read = vec![0i64; body.region.values.len()];
    for param in &body.region.params {
        read[param.index()] = bytes(*param);
    }
    let mut hoisted = Vec::new();
    for node in body.region.nodes.iter().filter(|node| !body.varying(node)) {
        let operands = node.args.iter().fold(0i64, |sum, arg| sum.saturating_add(read[arg.index()]));
        let worth = match node.op.info().class {
            Class::Source => false,
            Class::View | Class::Alias => false,
            Class::Elementwise => {
                let result = node.results[0];
                is_dear(&node.op) || body.region.ty(result).rank() > 0 && operands >= bytes(result)
            }
            Class::Reduce | Class::Contraction | Class::Window | Class::Gather | Class::Scatter => true,
            Class::Random | Class::Loop | Class::Call | Class::Foreign => true,
        };
        for result in &node.results {
            read[result.index()] = if worth { bytes(*result) } else { operands };
            if worth {
                hoisted.push(*result);
            }
        }
    }
    hoisted
}
