//! Asking early for the memory that follows a reduction: what a register block reads and writes behind its
//! sums (a weight and its moments under an optimizer's update, a residual, the result) lies in short
//! stretches of many rows, which processors don't foresee. The lines are asked for a few at a time between
//! the terms, and are there when the last one is summed.

use super::Stmt;
use super::block::{Columns, RegisterBlock};
use super::builder::TreeBuilder;
use crate::expr::{Address, Expr};
use crate::nest::{Reduction, axis_coef};
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix};

/// Bytes that memory moves at once.
const LINE: i64 = 64;

/// Turns of a chain beyond which what follows it is a small part of the work.
const TURNS: i64 = 256;

/// Turns of a chain whose number is not known.
const FEW_TURNS: i64 = 8;

/// Lines asked for in a turn at most.
const AT_ONCE: i64 = 24;

/// What is asked for between the terms of a register block, for one of the turns of their loop.
#[derive(Clone)]
pub(super) struct Ahead {
    /// The buffer, its line number `line` as an element, and whether it will be written over.
    lines: Vec<(usize, Ix, bool)>,
    line: AxisId,
    /// Lines of each.
    count: i64,
}

impl TreeBuilder<'_> {
    /// What the register block needs behind its sums.
    pub(super) fn ahead(&mut self, block: &RegisterBlock<'_>) -> Option<Ahead> {
        let (Some(Columns { axis, base, vectors, segment }), Some((row_axis, first, rows))) =
            (&block.columns, &block.rows)
        else {
            return None;
        };
        let contraction = matches!(self.nest.reduce, Some(Reduction::Dot { .. }));
        if !contraction || *rows == 1 || segment.piece.is_some() || segment.partial || self.schedule.lanes == 1 {
            return None;
        }
        let wanted = self.read_and_written(*row_axis, *axis);
        let bytes = self.nest.buffers[wanted.first()?.0].dtype.bytes();
        let alike = |(buffer, ..): &(usize, Ix, bool)| self.nest.buffers[*buffer].dtype.bytes() == bytes;
        if !wanted.iter().all(alike) {
            return None;
        }
        let step = LINE / bytes;
        let beside = power_of_two((vectors * self.schedule.lanes + step - 1) / step);
        let line = self.var();
        self.at[*row_axis] = first.clone().add(Ix::axis(line).floor_div(beside));
        self.at[*axis] = base.clone().add(Ix::axis(line).modulo(beside).times(step));
        let lines = wanted.into_iter().map(|(buffer, at, write)| (buffer, self.here_ix(&at), write)).collect();
        Some(Ahead { lines, line, count: rows * beside })
    }

    /// The elements that are read or written behind the reduction one by one along an axis, others for other
    /// values of `row`; each place once.
    fn read_and_written(&self, row: usize, axis: usize) -> Vec<(usize, Ix, bool)> {
        let mut places: Vec<(usize, Ix, bool)> = Vec::new();
        let mut note = |buffer: usize, at: &Ix, write: bool| {
            let factor = |axis: usize| axis_coef(at, AxisId(axis as u32));
            let along = factor(axis) == Some(1) && !matches!(factor(row), Some(0) | None);
            if along && !places.iter().any(|(other, place, _)| *other == buffer && place == at) {
                places.push((buffer, at.clone(), write));
            }
        };
        for value in self.nest.lets.iter().chain(self.nest.stores.iter().map(|store| &store.value)) {
            value.each(&mut |expr| {
                if let Expr::Load { buffer, at: Address::Linear(at) } = expr {
                    note(*buffer, at, false);
                }
            });
        }
        self.nest.stores.iter().for_each(|store| note(store.buffer, &store.at, true));
        places
    }
}

impl Ahead {
    /// The requests of turn `turn` of a loop of so many turns. In a longer one they are made again.
    pub(super) fn requests(&self, turn: AxisId, turns: &Dim) -> Vec<Stmt> {
        let turns = turns.as_const().unwrap_or(FEW_TURNS);
        if !(2..=TURNS).contains(&turns) {
            return Vec::new();
        }
        let count = power_of_two(self.count);
        let each = (self.count + turns - 1) / turns;
        if each * self.lines.len() as i64 > AT_ONCE {
            return Vec::new();
        }
        let mut stmts = Vec::new();
        for at_once in 0..each {
            let number = Ix::axis(turn).times(each).plus(at_once).modulo(count);
            for (buffer, at, write) in &self.lines {
                let place = at.substitute(&|axis| if axis == self.line { number.clone() } else { Ix::axis(axis) });
                stmts.push(Stmt::Prefetch { buffer: *buffer, at: place, write: *write });
            }
        }
        stmts
    }
}

/// The least power of two from a positive number on: remainders by it take one instruction.
fn power_of_two(n: i64) -> i64 {
    i64::from(n.clamp(1, 1 << 20).unsigned_abs().next_power_of_two() as u32)
}
