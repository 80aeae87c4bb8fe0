//! One op for all iterations at once: the batching rules, one for each class of ops.
//!
//! | class | rule |
//! |---|---|
//! | elementwise, view, alias, reduction | one more axis in front |
//! | contraction | merged into the first letter, or one more letter: common, free, or summed ([`summed`]) |
//! | convolution, window | merged into the batch axis |
//! | gather, scatter | one more common or index axis |
//! | random draws, windows at run-time places, loops, calls | refused |

use crate::builder::Builder;
use crate::dim::Dim;
use crate::graph::Value;
use crate::ops::Op;
use crate::ops::arg_reduce::ArgReduce;
use crate::ops::broadcast::Broadcast;
use crate::ops::concat::Concat;
use crate::ops::contract::Contract;
use crate::ops::conv::ConvRole;
use crate::ops::cum_sum::CumSum;
use crate::ops::gather::Gather;
use crate::ops::pad::Pad;
use crate::ops::recur::Recur;
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::ops::reshape::Reshape;
use crate::ops::reverse::Reverse;
use crate::ops::scatter_add::ScatterAdd;
use crate::ops::slice::Slice;
use crate::ops::transpose::Transpose;
use smallvec::{SmallVec, smallvec};

/// What stands outside for a value of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// The same in all iterations.
    Same(Value),
    /// All its rows, along axis 0.
    Rows(Value),
}

type Values = SmallVec<[Value; 2]>;

/// All rows of the results of an op; `None` where there is no rule, or none that fits the types.
pub(super) fn rows(b: &mut Builder, rows: &Dim, op: &Op, args: &[Operand]) -> Option<Values> {
    Lift { b, rows, args }.rows(op)
}

/// The sum over the rows of a product: contractions, kernel gradients and scatters, with the rows as
/// the outermost axis that is summed. Operands must be zero in rows that do not count.
pub(super) fn summed(b: &mut Builder, rows: &Dim, op: &Op, args: &[Operand]) -> Option<Value> {
    Lift { b, rows, args }.summed(op)
}

/// The sum over all rows.
pub(super) fn total(b: &mut Builder, rows: Value) -> Value {
    b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[rows])
}

/// All rows of an operand.
pub(super) fn all_rows(b: &mut Builder, rows: &Dim, operand: Operand) -> Value {
    match operand {
        Operand::Rows(rows) => rows,
        Operand::Same(value) => {
            let shape: Vec<Dim> = [rows].into_iter().chain(&b.ty(value).shape).cloned().collect();
            let axes = (1..shape.len()).collect();
            b.add1(Broadcast { shape, axes }, &[value])
        }
    }
}

struct Lift<'a> {
    b: &'a mut Builder,
    rows: &'a Dim,
    args: &'a [Operand],
}

impl Lift<'_> {
    fn rows(mut self, op: &Op) -> Option<Values> {
        match op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select(_) | Op::Cast(_) | Op::StopGradient(_) => {
                self.each(op.clone())
            }
            Op::Broadcast(op) => {
                let axes = [0].into_iter().chain(op.axes.iter().map(|axis| axis + 1)).collect();
                self.each(Broadcast { shape: self.widened(&op.shape), axes })
            }
            Op::Reshape(op) => self.each(Reshape { shape: self.widened(&op.shape) }),
            Op::Transpose(op) => {
                let perm = [0].into_iter().chain(op.perm.iter().map(|axis| axis + 1)).collect();
                self.each(Transpose { perm })
            }
            Op::Slice(op) => {
                let starts = [Dim::zero()].into_iter().chain(op.starts.iter().cloned()).collect();
                let steps = [1].into_iter().chain(op.steps.iter().copied()).collect();
                self.each(Slice { starts, sizes: self.widened(&op.sizes), steps })
            }
            Op::Pad(op) => {
                let widened = |amounts: &[i64]| [0].into_iter().chain(amounts.iter().copied()).collect();
                let (low, high, interior) = (widened(&op.low), widened(&op.high), widened(&op.interior));
                self.each(Pad { low, high, interior, fill: op.fill })
            }
            Op::Reverse(op) => self.each(Reverse { axes: behind(&op.axes) }),
            Op::Concat(op) => self.each(Concat { axis: op.axis + 1 }),
            Op::Reduce(op) => self.each(Reduce { kind: op.kind, axes: behind(&op.axes) }),
            Op::ArgReduce(op) => self.each(ArgReduce { extreme: op.extreme, axis: op.axis + 1 }),
            Op::ArgSort(op) => self.each(op.clone()),
            Op::CumSum(op) => self.each(CumSum { axis: op.axis + 1, from: op.from }),
            Op::Recur(op) => self.each(Recur { axis: op.axis + 1, from: op.from }),
            Op::Contract(contract) => {
                let merges = match self.args {
                    [Operand::Rows(_), Operand::Same(_)] => leads(&contract.left, &contract.right, &contract.out),
                    [Operand::Same(_), Operand::Rows(_)] => leads(&contract.right, &contract.left, &contract.out),
                    _ => false,
                };
                if merges { self.merged(op) } else { self.contraction(contract, true) }
            }
            Op::Conv(conv) => {
                // The batch axis is the first one of images; kernels have none.
                let images = match conv.role {
                    ConvRole::Output => matches!(self.args, [Operand::Rows(_), Operand::Same(_)]),
                    ConvRole::Input => matches!(self.args, [Operand::Same(_), Operand::Rows(_)]),
                    ConvRole::Weight => false,
                };
                if images { self.merged(op) } else { None }
            }
            Op::WindowMax(_) | Op::WindowPick(_) | Op::WindowUnpick(_) => self.merged_all(op),
            Op::Gather(op) => self.gather(op),
            Op::ScatterAdd(op) => self.scatter(op),
            _ => None,
        }
    }

    fn summed(mut self, op: &Op) -> Option<Value> {
        match op {
            Op::Contract(contract) if !leads(&contract.left, &contract.out, &contract.right) => {
                self.contraction(contract, false).map(|values| values[0])
            }
            Op::Contract(_) => {
                let (left, right) = (self.all(0), self.all(1));
                let merged = [self.merge(left)?, self.merge(right)?];
                self.add(op.clone(), &merged).map(|values| values[0])
            }
            Op::Conv(conv) if conv.role == ConvRole::Weight => {
                let (left, right) = (self.all(0), self.all(1));
                let merged = [self.merge(left)?, self.merge(right)?];
                self.add(op.clone(), &merged).map(|values| values[0])
            }
            Op::ScatterAdd(scatter) => {
                // The rows become the first axis of indices.
                let (updates, ids) = (self.all(0), self.all(1));
                let updates = self.moved(updates, scatter.axis)?;
                let ids = self.moved(ids, scatter.batch)?;
                self.add(scatter.clone(), &[updates, ids]).map(|values| values[0])
            }
            Op::Reduce(reduce) if reduce.kind == ReduceKind::Sum => {
                let Operand::Rows(rows) = self.args[0] else { return None };
                let axes = [0].into_iter().chain(behind(&reduce.axes)).collect();
                self.add(Reduce { kind: ReduceKind::Sum, axes }, &[rows]).map(|values| values[0])
            }
            _ => None,
        }
    }

    fn add(&mut self, op: impl Into<Op>, args: &[Value]) -> Option<Values> {
        let op = op.into();
        self.b.infer(&op, args).ok()?;
        Some(self.b.add(op, args))
    }

    fn widened(&self, shape: &[Dim]) -> Vec<Dim> {
        [self.rows].into_iter().chain(shape).cloned().collect()
    }

    /// All rows of operand `at`.
    fn all(&mut self, at: usize) -> Value {
        all_rows(self.b, self.rows, self.args[at])
    }

    /// The op on all rows of all operands.
    fn each(&mut self, op: impl Into<Op>) -> Option<Values> {
        let args: Vec<Value> = (0..self.args.len()).map(|at| self.all(at)).collect();
        self.add(op, &args)
    }

    /// With the rows as one more letter of the operands that have rows, and of the result if `kept`.
    fn contraction(&mut self, op: &Contract, kept: bool) -> Option<Values> {
        let letter = op.left.iter().chain(&op.right).max().map_or(0, |most| most + 1);
        let with = |letters: &[u32]| [letter].into_iter().chain(letters.iter().copied()).collect::<Vec<_>>();
        let (mut new, mut args) = (op.clone(), Vec::with_capacity(2));
        for (letters, operand) in [&mut new.left, &mut new.right].into_iter().zip(self.args) {
            match operand {
                Operand::Rows(rows) => {
                    *letters = with(letters);
                    args.push(*rows);
                }
                Operand::Same(value) => args.push(*value),
            }
        }
        if kept {
            new.out = with(&op.out);
        }
        self.add(new, &args)
    }

    /// `[rows, n, …]` as `[rows * n, …]`.
    fn merge(&mut self, value: Value) -> Option<Value> {
        let ty = self.b.ty(value);
        let batch = ty.shape[0].mul(ty.shape.get(1)?).ok()?;
        let shape = [batch].into_iter().chain(ty.shape[2..].iter().cloned()).collect();
        self.add(Reshape { shape }, &[value]).map(|values| values[0])
    }

    /// The op with the rows merged into the batch axis of the operands that have rows.
    fn merged(&mut self, op: &Op) -> Option<Values> {
        let mut args = Vec::with_capacity(self.args.len());
        let mut batch = None;
        for at in 0..self.args.len() {
            args.push(match self.args[at] {
                Operand::Rows(rows) => {
                    batch = self.b.ty(rows).shape.get(1).cloned();
                    self.merge(rows)?
                }
                Operand::Same(value) => value,
            });
        }
        let front = [self.rows.clone(), batch?];
        let mut split = Values::new();
        for result in self.add(op.clone(), &args)? {
            let shape = front.iter().chain(&self.b.ty(result).shape[1..]).cloned().collect();
            split.extend(self.add(Reshape { shape }, &[result])?);
        }
        Some(split)
    }

    fn merged_all(&mut self, op: &Op) -> Option<Values> {
        let args: Vec<Operand> = (0..self.args.len()).map(|at| Operand::Rows(self.all(at))).collect();
        Lift { b: self.b, rows: self.rows, args: &args }.merged(op)
    }

    fn gather(&mut self, op: &Gather) -> Option<Values> {
        match *self.args {
            [Operand::Same(x), Operand::Rows(ids)] => {
                // The rows become the first index axis, which the result has in the place of `axis`.
                let ids = self.moved(ids, op.batch)?;
                let gathered = self.add(op.clone(), &[x, ids])?[0];
                self.in_front(gathered, op.axis).map(|value| smallvec![value])
            }
            [Operand::Rows(x), Operand::Same(ids)] if op.batch == 0 => {
                self.add(Gather { axis: op.axis + 1, batch: 0 }, &[x, ids])
            }
            _ => self.each(Gather { axis: op.axis + 1, batch: op.batch + 1 }),
        }
    }

    fn scatter(&mut self, op: &ScatterAdd) -> Option<Values> {
        match *self.args {
            [Operand::Rows(updates), Operand::Same(ids)] if op.batch == 0 => {
                self.add(ScatterAdd { axis: op.axis + 1, batch: 0, size: op.size.clone() }, &[updates, ids])
            }
            _ => self.each(ScatterAdd { axis: op.axis + 1, batch: op.batch + 1, size: op.size.clone() }),
        }
    }

    /// Axis 0 put at `place`.
    fn moved(&mut self, value: Value, place: usize) -> Option<Value> {
        let rank = self.b.ty(value).rank();
        let perm: Vec<usize> = (1..=place).chain([0]).chain(place + 1..rank).collect();
        if perm.is_sorted() { Some(value) } else { self.add(Transpose { perm }, &[value]).map(|values| values[0]) }
    }

    /// Axis `place` put in front.
    fn in_front(&mut self, value: Value, place: usize) -> Option<Value> {
        let rank = self.b.ty(value).rank();
        let perm: Vec<usize> = [place].into_iter().chain(0..place).chain(place + 1..rank).collect();
        if perm.is_sorted() { Some(value) } else { self.add(Transpose { perm }, &[value]).map(|values| values[0]) }
    }
}

/// Whether the first letter of one list is the first of `of` too and does not occur in `not`: then
/// rows in front of it are more of the same.
fn leads(one: &[u32], not: &[u32], of: &[u32]) -> bool {
    one.first().is_some_and(|letter| of.first() == Some(letter) && !not.contains(letter))
}

fn behind(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis + 1).collect()
}
