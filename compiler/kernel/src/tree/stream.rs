//! Single rows of products with an operand that comes from far memory each time, as a batch of one goes
//! through a wide layer: a few terms at a time for all vectors of a tile, so that the operand is read in
//! long runs. The sums are kept in near memory meanwhile; the order in which each takes its terms stays.

use super::block::{Columns, RegisterBlock};
use super::builder::TreeBuilder;
use super::cut::cut_rows;
use super::terms::{Breaks, ChainBlock};
use super::{How, ScratchTile, Stmt};
use mlc_ir::dim::Dim;
use mlc_ir::index::Ix;

/// Terms at a time: as many runs are read side by side.
const TERMS: i64 = 8;

impl TreeBuilder<'_> {
    /// A row of a tile's columns.
    pub(super) fn stream(&mut self, row: &RegisterBlock<'_>) -> Vec<Stmt> {
        let [partial, total] = self.stream_sums();
        let Some(breaks) = self.registers.breaks else {
            let extent = self.extent(self.nest.par.len());
            let all = ChainBlock { start: Ix::constant(0), length: extent, last: true };
            let mut stmts = self.clear_all(row, partial);
            stmts.extend(self.terms(row, partial, &all));
            stmts.extend(self.finish_all(row, partial));
            return stmts;
        };
        let begun = Breaks { scratch: total, ..breaks };
        let mut stmts = self.each_vector(row, &mut |this, block| this.clear(block, begun));
        stmts.extend(self.blocks_of_chain(breaks, &mut |this, part| {
            let mut stmts = this.clear_all(row, partial);
            stmts.extend(this.terms(row, partial, part));
            stmts.extend(this.each_vector(row, &mut |this, block| {
                let slot = block.slot.clone();
                let mut stmts = this.recall(block, partial);
                stmts.extend(this.over(block, &mut |_| vec![Stmt::Flush { scratch: total, slot: slot.clone() }]));
                stmts.extend(this.release());
                stmts
            }));
            stmts
        }));
        stmts.extend(self.finish_all(row, total));
        stmts
    }

    /// Memory for two sums of each vector, of a block of terms and of all before it: the same for all streams of a
    /// kernel, which is done with one before the next.
    fn stream_sums(&mut self) -> [usize; 2] {
        if let Some(known) = self.stream_sums {
            return known;
        }
        let first = self.scratch.len();
        let sums = if self.registers.breaks.is_some() { 2 } else { 1 };
        let tile = ScratchTile { acc: 0, registers: 1, slots: self.schedule.stream };
        self.scratch.extend(std::iter::repeat_n(tile, sums));
        let known = [first, first + sums - 1];
        self.stream_sums = Some(known);
        known
    }

    /// A loop over the vectors; each is a register block whose slot is its number.
    fn each_vector(
        &mut self,
        row: &RegisterBlock<'_>,
        body: &mut dyn FnMut(&mut Self, &RegisterBlock<'_>) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let Some(Columns { axis, base, segment, .. }) = &row.columns else { return body(self, row) };
        let lanes = self.schedule.lanes;
        let mut stmts = Vec::new();
        let mut before = 0;
        for part in self.segments(&segment.length, 1) {
            let (var, one) = (self.var(), part.count.is(1));
            let number = if one { Ix::constant(before) } else { Ix::axis(var).plus(before) };
            let base = base.clone().add(number.clone().times(lanes));
            let columns = Columns { axis: *axis, base, vectors: 1, segment: &part };
            let inside = body(self, &RegisterBlock { columns: Some(columns), rows: row.rows.clone(), slot: number });
            before += part.count.as_const().unwrap_or(1);
            match one {
                true => stmts.extend(inside),
                false => stmts.push(Stmt::For { var, extent: part.count.clone(), how: How::Serial, body: inside }),
            }
        }
        stmts
    }

    fn clear_all(&mut self, row: &RegisterBlock<'_>, scratch: usize) -> Vec<Stmt> {
        self.each_vector(row, &mut |this, block| {
            let slot = block.slot.clone();
            this.over(block, &mut |_| vec![Stmt::Clear { scratch, slot: slot.clone() }])
        })
    }

    fn recall(&mut self, block: &RegisterBlock<'_>, scratch: usize) -> Vec<Stmt> {
        let slot = block.slot.clone();
        self.over(block, &mut |_| vec![Stmt::Recall { scratch, slot: slot.clone() }])
    }

    /// What follows the reduction.
    fn finish_all(&mut self, row: &RegisterBlock<'_>, scratch: usize) -> Vec<Stmt> {
        self.each_vector(row, &mut |this, block| {
            let mut stmts = this.recall(block, scratch);
            stmts.extend(this.over(block, &mut |this| this.epilogue()));
            stmts.extend(this.release());
            stmts
        })
    }

    /// The terms of a block of the chain.
    fn terms(&mut self, row: &RegisterBlock<'_>, scratch: usize, block: &ChainBlock) -> Vec<Stmt> {
        let axis = self.nest.par.len();
        let mut stmts = Vec::new();
        for part in cut_rows(&block.length, TERMS) {
            let turns = part.length.as_const().unwrap_or(1);
            let (outer, inner) = (self.var(), self.var());
            let mut first = block.start.clone().plus(part.start.clone());
            if !part.count.is(1) {
                first = first.add(Ix::axis(outer).times(turns));
            }
            let body = self.each_vector(row, &mut |this, block| {
                let slot = block.slot.clone();
                let mut stmts = this.recall(block, scratch);
                this.at[axis] = first.clone().add(Ix::axis(inner));
                let body = this.over(block, &mut |this| this.term());
                stmts.push(Stmt::For { var: inner, extent: Dim::from(turns), how: How::Unroll, body });
                stmts.extend(this.over(block, &mut |_| vec![Stmt::Save { scratch, slot: slot.clone() }]));
                stmts.extend(this.release());
                stmts
            });
            match part.count.is(1) {
                true => stmts.extend(body),
                false => stmts.push(Stmt::For { var: outer, extent: part.count, how: How::Serial, body }),
            }
        }
        stmts
    }
}
