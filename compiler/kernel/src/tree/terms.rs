//! The terms of a register block: one after another in the order of the plan, a few turns of the innermost
//! loop written out, and long chains in blocks whose sums are put together.

use super::block::RegisterBlock;
use super::builder::TreeBuilder;
use super::cut::{cut, cut_rows};
use super::{How, Result, ScratchTile, Stmt};
use crate::nest::{ReducePlan, Reduction};
use mlc_ir::dim::Dim;
use mlc_ir::index::Ix;

/// A chain in blocks.
#[derive(Clone, Copy)]
pub(super) struct Breaks {
    /// Position of the axis that blocks cut, among the reduced ones.
    pub(super) axis: usize,
    pub(super) cut: Cut,
    pub(super) scratch: usize,
}

/// How an axis is cut into blocks.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// So many of its values make a block; the first one first.
    Each(i64),
    /// So many blocks; the last one first.
    Blocks(i64),
}

/// A block of a chain: `length` values from `start` of the axis that blocks cut.
pub(super) struct ChainBlock {
    pub(super) start: Ix,
    pub(super) length: Dim,
    /// Whether what follows the chain comes next.
    pub(super) last: bool,
}

impl TreeBuilder<'_> {
    /// The loop over the blocks of a chain. One that stands alone behind all others is told that it is the last.
    pub(super) fn blocks_of_chain(
        &mut self,
        breaks: Breaks,
        body: &mut dyn FnMut(&mut Self, &ChainBlock) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let par = self.nest.par.len();
        let outer: Vec<usize> = (par..par + breaks.axis).collect();
        let extent = self.extent(par + breaks.axis);
        let count = match breaks.cut {
            Cut::Each(count) => count,
            Cut::Blocks(count) => return self.blocks_from_the_last(&extent, count, body),
        };
        self.around(&outer, &mut |this| {
            let mut stmts = Vec::new();
            let parts = cut(&extent, count);
            let ends = outer.is_empty() && parts.last().is_some_and(|part| part.count.is(1));
            let behind = parts.len() - 1;
            for (number, part) in parts.into_iter().enumerate() {
                let last = ends && number == behind;
                let var = this.var();
                let mut start = Ix::constant(part.start.clone());
                if !part.count.is(1) {
                    start = start.add(Ix::axis(var).scaled(&part.length));
                }
                let body = body(this, &ChainBlock { start, length: part.length, last });
                if part.count.is(1) {
                    stmts.extend(body);
                } else {
                    stmts.push(Stmt::For { var, extent: part.count, how: How::Serial, body });
                }
            }
            stmts
        })
    }

    fn blocks_from_the_last(
        &mut self,
        extent: &Dim,
        count: i64,
        body: &mut dyn FnMut(&mut Self, &ChainBlock) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let Ok(length) = extent.exact_div(&Dim::from(count)) else {
            mlc_ir::internal_error("tree", "an axis without such a number of equal blocks")
        };
        if count == 1 {
            return body(self, &ChainBlock { start: Ix::constant(0), length, last: true });
        }
        let var = self.var();
        let before = Ix::constant(count - 1).sub(Ix::axis(var));
        let body = body(self, &ChainBlock { start: before.scaled(&length), length, last: false });
        vec![Stmt::For { var, extent: Dim::from(count), how: How::Serial, body }]
    }

    /// The axis and count of the chain's blocks with a scratch tile for them, unless one block is all.
    pub(super) fn breaks(&mut self, acc: usize) -> Option<Breaks> {
        let (axis, cut) = match self.nest.plan().filter(|_| !self.nest.red.is_empty())? {
            ReducePlan::Chain { axis, count } => {
                if axis == 0 && self.nest.red[0].as_const().is_some_and(|extent| extent <= count) {
                    return None;
                }
                (axis, Cut::Each(count))
            }
            ReducePlan::Blocks => (0, Cut::Blocks(self.nest.blocks.as_ref()?.count)),
            ReducePlan::Lanes => return None,
        };
        let rows = self.schedule.rows.map_or(1, |(_, rows)| rows);
        let slots = if self.schedule.side_by_side { self.schedule.blocks_beside(self.nest) } else { 1 };
        self.scratch.push(ScratchTile { acc, registers: rows * self.schedule.vectors, slots });
        Some(Breaks { axis, cut, scratch: self.scratch.len() - 1 })
    }

    /// Terms of all `axes` in order, one turn of the innermost loop unrolled a few times.
    pub(super) fn chain(&mut self, axes: &[usize], block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let Some((last, outer)) = axes.split_last() else { return self.over(block, &mut |this| this.term()) };
        let last = *last;
        self.around(outer, &mut |this| {
            let extent = this.extent(last);
            this.unrolled(last, &Ix::constant(0), &extent, &mut |this| this.over(block, &mut |this| this.term()))
        })
    }

    /// A loop over `extent` values of an axis from `start`, several turns written out.
    fn unrolled(
        &mut self,
        axis: usize,
        start: &Ix,
        extent: &Dim,
        body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let factor = self.schedule.unroll;
        let mut stmts = Vec::new();
        for part in cut_rows(extent, factor) {
            let turns = part.length.as_const().unwrap_or(1);
            let (outer, inner) = (self.var(), self.var());
            let mut first = start.clone().plus(part.start.clone());
            if !part.count.is(1) {
                first = first.add(Ix::axis(outer).times(turns));
            }
            self.at[axis] = if turns == 1 { first } else { first.add(Ix::axis(inner)) };
            let mut inside = body(self);
            if turns > 1 {
                inside = vec![Stmt::For { var: inner, extent: Dim::from(turns), how: How::Unroll, body: inside }];
                if let Some(ahead) = &self.ahead {
                    inside.extend(ahead.requests(outer, &part.count));
                }
            }
            if part.count.is(1) {
                stmts.extend(inside);
            } else {
                stmts.push(Stmt::For { var: outer, extent: part.count, how: How::Serial, body: inside });
            }
        }
        stmts
    }

    pub(super) fn chain_part(
        &mut self,
        axis: usize,
        start: &Ix,
        length: &Dim,
        inner: &[usize],
        block: &RegisterBlock<'_>,
    ) -> Vec<Stmt> {
        if inner.is_empty() {
            return self.unrolled(axis, start, length, &mut |this| this.over(block, &mut |this| this.term()));
        }
        if length.is(1) {
            self.at[axis] = start.clone();
            return self.chain(inner, block);
        }
        let var = self.var();
        self.at[axis] = start.clone().add(Ix::axis(var));
        let body = self.chain(inner, block);
        vec![Stmt::For { var, extent: length.clone(), how: How::Serial, body }]
    }

    /// One term into the accumulator of this element.
    pub(super) fn term(&mut self) -> Vec<Stmt> {
        let acc = match self.reduced {
            Some(Result::Acc(acc) | Result::Best(acc, _)) => acc,
            None => mlc_ir::internal_error("tree", "a term without a reduction"),
        };
        self.term_into(acc)
    }

    pub(super) fn term_into(&mut self, acc: usize) -> Vec<Stmt> {
        let stmt = match (&self.nest.reduce, self.reduced) {
            (Some(Reduction::Fold { combine, value, .. }), _) => {
                Stmt::Fold { acc, combine: *combine, value: self.here(value) }
            }
            (Some(Reduction::Dot { left, right, .. }), _) => {
                Stmt::MulAdd { acc, left: self.here(left), right: self.here(right) }
            }
            (Some(Reduction::Best { extreme, value, .. }), Some(Result::Best(acc, position))) => {
                let par = self.nest.par.len();
                let at = Ix::row_major(&self.at[par..], &self.nest.red);
                Stmt::Best { acc, position, extreme: *extreme, value: self.here(value), at }
            }
            _ => mlc_ir::internal_error("tree", "a term without a reduction"),
        };
        vec![stmt]
    }
}
