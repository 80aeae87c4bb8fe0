//! What follows the reduction of a register block: written out for every register where it is short, else for
//! the registers of one row, in a loop over the rows.

use super::block::RegisterBlock;
use super::builder::TreeBuilder;
use super::{Acc, How, Result, ScratchTile, Stmt};
use crate::expr::Expr;
use crate::nest::Nest;
use crate::schedule::SCRATCH;
use mlc_ir::dim::Dim;
use mlc_ir::index::Ix;
use mlc_ir::scalar::{BinaryOp, UnaryOp};

/// Operators for one element from which on what follows is long. That the sums go through memory costs a store and
/// a load of a vector each, which is little beside so many operators or beside the terms of a chain.
const LONG: usize = 24;
const LONG_BEHIND_MANY_TERMS: usize = 12;
const MANY_TERMS: i128 = 64;

/// Operators that a function counts for: about what its polynomial has.
const FUNCTION: usize = 24;

impl TreeBuilder<'_> {
    /// Lets and stores for all registers of a block, which are free then.
    pub(super) fn finish_block(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        match (self.reduced, &block.rows) {
            (Some(Result::Acc(acc)), Some((_, _, count @ 2..))) if is_long(self.nest) => {
                let registers = block.columns.as_ref().map_or(1, |columns| columns.vectors);
                let tile = ScratchTile { acc, registers, slots: *count };
                if self.has_room(tile) { self.row_by_row(tile, block) } else { self.written_out(block) }
            }
            _ => self.written_out(block),
        }
    }

    /// Whether a thread's memory holds one more tile.
    fn has_room(&self, more: ScratchTile) -> bool {
        let bytes = |tile: &ScratchTile| {
            let Acc { dtype, vector, .. } = &self.accs[tile.acc];
            let lanes = if *vector { self.schedule.lanes } else { 1 };
            tile.registers * tile.slots * lanes * dtype.bytes()
        };
        self.scratch.iter().chain([&more]).map(bytes).sum::<i64>() <= SCRATCH
    }

    fn written_out(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let mut stmts = self.over(block, &mut |this| this.epilogue());
        stmts.extend(self.release());
        stmts
    }

    fn row_by_row(&mut self, tile: ScratchTile, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let Some((axis, first, count)) = block.rows.clone() else { return self.written_out(block) };
        self.scratch.push(tile);
        let scratch = self.scratch.len() - 1;
        // Registers are numbered as they come, row after row, so those of a row fill its slot.
        let mut stmts = self.over(block, &mut |_| vec![Stmt::Save { scratch, slot: Ix::constant(0) }]);
        stmts.extend(self.release());
        let row = self.var();
        let one = RegisterBlock { rows: Some((axis, first.add(Ix::axis(row)), 1)), ..block.clone() };
        let mut body = self.over(&one, &mut |_| vec![Stmt::Recall { scratch, slot: Ix::axis(row) }]);
        body.extend(self.written_out(&one));
        stmts.push(Stmt::For { var: row, extent: Dim::from(count), how: How::Serial, body });
        stmts
    }
}

fn is_long(nest: &Nest) -> bool {
    // Of the smallest sizes: a chain over nothing but the rows of a batch may be short.
    let terms = nest.red.iter().map(|extent| extent.range().0).fold(1, i128::saturating_mul);
    operators(nest) >= if terms >= MANY_TERMS { LONG_BEHIND_MANY_TERMS } else { LONG }
}

/// About how many operators the lets and stores of an element have.
fn operators(nest: &Nest) -> usize {
    let mut count = 0;
    for value in nest.lets.iter().chain(nest.stores.iter().map(|store| &store.value)) {
        value.each(&mut |expr| {
            count += match expr {
                Expr::Unary(UnaryOp::Exp | UnaryOp::Log | UnaryOp::Sin | UnaryOp::Cos, _)
                | Expr::Unary(UnaryOp::Tanh | UnaryOp::Erf, _)
                | Expr::Binary(BinaryOp::Pow, ..)
                | Expr::Random { .. } => FUNCTION,
                Expr::Unary(..) | Expr::Binary(..) | Expr::Compare(..) | Expr::Select(..) | Expr::Cast(..) => 1,
                Expr::Literal(_)
                | Expr::Size(..)
                | Expr::Position(..)
                | Expr::Test(_)
                | Expr::Load { .. }
                | Expr::Reduced
                | Expr::BestPosition(_)
                | Expr::Let(_) => 0,
            };
        });
    }
    count
}
