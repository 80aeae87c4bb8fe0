//! Loop fission: what a loop does in each iteration, but could do for all at once, leaves it.
//!
//! A body has three parts. *Early* nodes depend on slices and invariants alone; *late* ones are not
//! needed for a carry; the rest is the core, the recurrence itself. Early and late nodes become ops
//! with a leading axis before and behind the loop where that pays: always contractions with an
//! invariant (an input projection is one contraction instead of `T`), and sums of products (a weight
//! gradient is one contraction, with the iterations as its outermost summed axis). Nodes made of
//! invariants alone are done once, before.
//!
//! What the core needs of early nodes it gets as slices, what late nodes need of the core is
//! stacked. Rows that a counted loop does not run count as zero: what is computed of other rows is
//! masked before it is summed, and nothing of such a loop is done for rows that may never be.
//! Recomputed nodes stay where they are, except in sums: the program wants them late and small. What a
//! sum over the passes of a segment gives is added up by the loop over the segments.

mod blocks;
mod body;
mod choose;
mod lift;
mod masks;
mod sums;

use super::regions::bottom_up;
use crate::cost::Typical;
use crate::dim::Dim;
use crate::graph::{Epoch, Graph, Node, Value};
use crate::ops::iota::Iota;
use crate::ops::slice::Slice;
use crate::ops::{Op, Types};
use crate::region_ops::Loop;
use crate::rewrite::{Cursor, part};
use crate::ty::DType;
use body::{Body, Varies};
use choose::{Choice, choose};
use lift::Operand;
use sums::{Linearity, linearity};

const PASS: &str = "fission";

/// The pass.
pub fn fission(graph: &Graph) -> Graph {
    let typical = Typical::of(graph);
    bottom_up(graph, |graph, region| {
        let mut cursor = Cursor::new(region);
        for node in &region.nodes {
            match &node.op {
                Op::Loop(op) => split(graph, &mut cursor, node, op, &typical),
                _ => cursor.copy(node),
            }
        }
        cursor.finish(&region.results)
    })
}

fn split(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Loop, typical: &Typical) {
    let region = graph.region(node.regions[0]).clone();
    let body = Body::new(op, &region);
    let choice = choose(&body, typical);
    if !choice.any() {
        return cursor.copy(node);
    }
    let args = cursor.args(node).to_vec();
    let outside = vec![None; region.values.len()];
    let sums = vec![None; region.values.len()];
    let made = (node.span, node.epoch);
    let mut split = Split { cursor, body: &body, choice, args, outside, sums, made, count: None, typical };
    split.before();
    let results = split.core(graph, node);
    split.behind();
    let values = split.results(&results);
    cursor.put(node, &values);
}

struct Split<'a, 'b, 'c> {
    cursor: &'a mut Cursor<'b>,
    body: &'a Body<'c>,
    choice: Choice,
    /// Operands of the loop, outside.
    args: Vec<Value>,
    /// What is there outside of each value of the body.
    outside: Vec<Option<Operand>>,
    /// Sums over the iterations of values of the body.
    sums: Vec<Option<Value>>,
    made: (crate::graph::SpanId, Epoch),
    /// The number of iterations that ran, of a counted loop.
    count: Option<Value>,
    typical: &'a Typical,
}

/// What the loop without the moved nodes gives.
struct Core {
    /// One for each result that stays, by its old position.
    kept: Vec<Option<Value>>,
}

impl Split<'_, '_, '_> {
    /// Operands and early nodes.
    fn before(&mut self) {
        let (op, region) = (self.body.op, self.body.region);
        self.at_loop();
        let iota = Iota { shape: vec![op.trip.bound().clone()], axis: 0, dtype: DType::I64 };
        let positions = self.cursor.b.add1(iota, &[]);
        self.outside[region.params[0].index()] = Some(Operand::Rows(positions));
        for (arg, param) in op.slice_args().zip(op.slice_params()) {
            self.outside[region.params[param].index()] = Some(Operand::Rows(self.args[arg]));
        }
        for (arg, param) in op.invariant_args().zip(op.invariant_params()) {
            self.outside[region.params[param].index()] = Some(Operand::Same(self.args[arg]));
        }
        for (at, node) in region.nodes.iter().enumerate() {
            if !self.body.varying(node) {
                self.same(node);
            } else if self.choice.early[at] {
                self.lift(node);
            }
        }
    }

    /// New nodes look as if they came from the place of the loop.
    fn at_loop(&mut self) {
        let b = &mut self.cursor.b;
        (b.span, b.made_by, b.epoch) = (self.made.0, PASS, self.made.1);
    }

    /// New nodes look as if they came from the place of a node of the body; in a loop that is done again they are
    /// what is done again.
    fn at_node(&mut self, node: &Node) {
        self.cursor.at(node, PASS);
        if node.epoch == Epoch::default() {
            self.cursor.b.epoch = self.made.1;
        }
    }

    fn operands(&self, node: &Node) -> Vec<Operand> {
        let operand = |arg: &Value| match self.outside[arg.index()] {
            Some(operand) => operand,
            None => crate::internal_error(PASS, "an operand of a moved node is not there"),
        };
        node.args.iter().map(operand).collect()
    }

    /// Copies a node made of invariants.
    fn same(&mut self, node: &Node) {
        let args: Vec<Value> = node.args.iter().map(|arg| self.value(*arg)).collect();
        let types: Types = node.results.iter().map(|result| self.body.region.ty(*result).clone()).collect();
        for (old, new) in node.results.iter().zip(self.cursor.b.copy(node, &args, types)) {
            self.outside[old.index()] = Some(Operand::Same(new));
        }
    }

    /// What stands outside for a value that is the same in all iterations.
    fn value(&self, value: Value) -> Value {
        match self.outside[value.index()] {
            Some(Operand::Same(value)) => value,
            Some(Operand::Rows(_)) | None => crate::internal_error(PASS, "an invariant is not there"),
        }
    }

    /// Does a node for all rows.
    fn lift(&mut self, node: &Node) {
        let operands = self.operands(node);
        self.at_node(node);
        let Some(results) = lift::rows(&mut self.cursor.b, self.body.op.trip.bound(), &node.op, &operands) else {
            crate::internal_error(PASS, "a node has no batching rule after all");
        };
        for (old, new) in node.results.iter().zip(results) {
            self.outside[old.index()] = Some(Operand::Rows(new));
        }
    }

    /// Whether a result of the body is made outside.
    fn leaves(&self, at: usize) -> bool {
        let (op, value) = (self.body.op, self.body.region.results[at]);
        let moved = |flags: &[bool]| self.body.producer(value).is_some_and(|id| flags[id.index()]);
        let peeled = op.sum_results().contains(&at) && moved(&self.choice.peeled);
        let rows = !self.body.is_counted() && at >= op.carry_results().end;
        peeled || rows && (moved(&self.choice.early) || moved(&self.choice.late) || self.is_cut(value))
    }

    /// Whether a value is a row of a slice.
    fn is_cut(&self, value: Value) -> bool {
        self.body.is_row_param(value) && value != self.body.region.params[0]
    }

    /// Values of which the loop must give the sum.
    fn sums_inside(&self) -> Vec<Value> {
        let mut inside = Vec::new();
        for (at, node) in self.body.region.nodes.iter().enumerate() {
            if self.choice.peeled[at] && linearity(self.body, node) == Linearity::Sum {
                inside.extend(self.body.varying_args(node).into_iter().filter(|arg| !self.is_summed_outside(*arg)));
            }
        }
        inside.sort_unstable();
        inside.dedup();
        inside
    }

    /// Whether the sum of a value is made outside, of other sums or of rows.
    fn is_summed_outside(&self, value: Value) -> bool {
        let moved = |flags: &[bool]| self.body.producer(value).is_some_and(|id| flags[id.index()]);
        moved(&self.choice.peeled)
            || self.has_rows(value)
            || self.body.wholes(value).any(|(whole, ..)| self.has_rows(whole))
    }

    fn has_rows(&self, value: Value) -> bool {
        let moved = |flags: &[bool]| self.body.producer(value).is_some_and(|id| flags[id.index()]);
        moved(&self.choice.early)
            || moved(&self.choice.late)
            || self.is_cut(value)
            || self.choice.stacked[value.index()]
            || self.body.stacked[value.index()]
    }

    /// The loop without what was moved.
    fn core(&mut self, graph: &mut Graph, node: &Node) -> Core {
        let (op, region) = (self.body.op, self.body.region);
        let (mut params, mut args) = (region.params[..op.slice_params().end].to_vec(), self.args.clone());
        args.truncate(op.slice_args().end);
        let early = region.nodes.iter().enumerate().filter(|(at, _)| self.choice.early[*at]);
        for value in early.flat_map(|(_, node)| node.results.iter().copied()) {
            if let Some(Operand::Rows(rows)) = self.outside[value.index()] {
                params.push(value);
                args.push(rows);
            }
        }
        let slices = (params.len() - op.slice_params().start) as u32;
        params.extend(&region.params[op.invariant_params()]);
        args.extend(&self.args[op.invariant_args()]);
        for value in &self.choice.hoisted {
            params.push(*value);
            args.push(self.value(*value));
        }
        let invariants = (params.len() - op.slice_params().start) as u32 - slices;

        let mut results: Vec<Value> = region.results[..op.carry_results().end].to_vec();
        let mut stacks: Vec<Value> = Vec::new();
        let mut sums: Vec<Value> = self.sums_inside();
        let staying = |range: std::ops::Range<usize>| range.filter(|at| !self.leaves(*at)).map(|at| region.results[at]);
        stacks.extend(staying(op.stack_results()));
        stacks.extend(self.choice.stacked.iter().enumerate().filter(|(_, on)| **on).map(|(at, _)| Value(at as u32)));
        sums.extend(staying(op.sum_results()));
        for list in [&mut stacks, &mut sums] {
            list.sort_unstable();
            list.dedup();
        }
        results.extend(&stacks);
        results.extend(&sums);
        let counts = (stacks.len() as u32, sums.len() as u32);
        let inner = graph.add_region(part(region, &region.name, &params, &results));
        let new = Loop { slices, invariants, stacks: counts.0, sums: counts.1, ..op.clone() };
        self.at_loop();
        let outer = self.cursor.b.add_loop(graph, new.clone(), &args, inner);

        if self.body.is_counted() {
            self.count = Some(if op.until { outer[0] } else { self.args[0] });
        }
        for (value, rows) in stacks.iter().zip(&outer[new.stack_results()]) {
            let known = &mut self.outside[value.index()];
            // Of what is there before the loop only the rows that ran are stacked.
            if known.is_none() {
                *known = Some(Operand::Rows(*rows));
            }
        }
        for (value, sum) in sums.iter().zip(&outer[new.sum_results()]) {
            self.sums[value.index()] = Some(*sum);
        }
        let place = |list: &[Value], at: usize| list.iter().position(|value| *value == region.results[at]);
        let kept = (0..node.results.len()).map(|at| {
            if at < op.carry_results().end {
                Some(outer[at])
            } else if self.leaves(at) {
                None
            } else if op.stack_results().contains(&at) {
                place(&stacks, at).map(|stack| outer[new.stack_results().start + stack])
            } else {
                place(&sums, at).map(|sum| outer[new.sum_results().start + sum])
            }
        });
        Core { kept: kept.collect() }
    }

    /// Late nodes and sums.
    fn behind(&mut self) {
        let region = self.body.region;
        for (at, node) in region.nodes.iter().enumerate() {
            if self.choice.late[at] {
                self.lift(node);
            }
            if self.choice.peeled[at] {
                node.args.iter().for_each(|arg| self.cut_out(*arg));
                let sum = self.peel(node);
                self.sums[node.results[0].index()] = Some(sum);
            }
        }
    }

    /// Takes the rows of a value that has none outside from those of a concatenation that it is a part of.
    fn cut_out(&mut self, value: Value) {
        if self.outside[value.index()].is_some() || self.body.of(value) == Varies::Never {
            return;
        }
        for (whole, axis, start) in self.body.wholes(value) {
            if let Some(Operand::Rows(rows)) = self.outside[whole.index()] {
                let sizes: Vec<Dim> = std::iter::once(self.body.op.trip.bound().clone())
                    .chain(self.body.region.ty(value).shape.iter().cloned())
                    .collect();
                let mut starts = vec![Dim::zero(); sizes.len()];
                starts[axis + 1] = start;
                self.at_loop();
                let op = Slice { starts, steps: vec![1; sizes.len()], sizes };
                let part = self.cursor.b.add1(op, &[rows]);
                self.outside[value.index()] = Some(Operand::Rows(part));
                return;
            }
        }
    }

    /// The sum over the iterations of a peeled node.
    fn peel(&mut self, node: &Node) -> Value {
        let is_there = |arg: &Value| self.has_rows(*arg) || matches!(self.outside[arg.index()], Some(Operand::Rows(_)));
        let reduces = matches!(node.op, Op::Reduce(_)) && node.args.iter().all(is_there);
        if linearity(self.body, node) == Linearity::Product || reduces {
            let mut operands = self.operands(node);
            for (operand, arg) in operands.iter_mut().zip(&node.args) {
                // An index of an update that is zero may be any.
                if self.body.region.ty(*arg).dtype.is_float() {
                    let rows = lift::all_rows(&mut self.cursor.b, self.body.op.trip.bound(), *operand);
                    *operand = Operand::Rows(self.masked(*arg, rows));
                }
            }
            self.at_node(node);
            return match lift::summed(&mut self.cursor.b, self.body.op.trip.bound(), &node.op, &operands) {
                Some(sum) => blocks::in_blocks(&mut self.cursor.b, self.body.op, sum, self.typical),
                None => crate::internal_error(PASS, "a sum of products has no rule after all"),
            };
        }
        let args: Vec<Value> = node.args.iter().map(|arg| self.sum(*arg)).collect();
        self.at_node(node);
        self.cursor.b.add1(node.op.clone(), &args)
    }

    /// The sum over the iterations of an operand of a linear node; an invariant as it is.
    fn sum(&mut self, value: Value) -> Value {
        if self.body.of(value) == Varies::Never {
            return self.value(value);
        }
        if let Some(sum) = self.sums[value.index()] {
            return sum;
        }
        let Some(Operand::Rows(rows)) = self.outside[value.index()] else {
            crate::internal_error(PASS, "a sum is not there");
        };
        let rows = self.masked(value, rows);
        self.at_loop();
        let sum = lift::total(&mut self.cursor.b, rows);
        blocks::in_blocks(&mut self.cursor.b, self.body.op, sum, self.typical)
    }

    /// The old loop's results.
    fn results(&mut self, core: &Core) -> Vec<Value> {
        let (op, region) = (self.body.op, self.body.region);
        let mut results = Vec::with_capacity(core.kept.len());
        for (at, kept) in core.kept.iter().enumerate() {
            results.push(match kept {
                Some(value) => *value,
                None if op.stack_results().contains(&at) => match self.outside[region.results[at].index()] {
                    Some(Operand::Rows(rows)) => rows,
                    Some(Operand::Same(_)) | None => crate::internal_error(PASS, "a stack is not there"),
                },
                None => self.sum(region.results[at]),
            });
        }
        results
    }
}
