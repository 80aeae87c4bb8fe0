//! The walk that makes a tree: which loop variables stand for which axes, and the statements at the
//! innermost point.

use super::ahead::Ahead;
use super::block::Registers;
use super::pieces::Piece;
use super::{Acc, How, Result, ScratchTile, Stmt, Tree};
use crate::expr::ExprRef;
use crate::nest::Nest;
use crate::schedule::{Schedule, Shape, Tile};
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix};
use mlc_ir::ty::DType;

/// The loops of a nest under a schedule.
pub fn build(nest: &Nest, schedule: &Schedule) -> Tree {
    let axes = nest.par.len() + nest.red.len();
    let mut builder = TreeBuilder {
        nest,
        schedule,
        at: (0..axes as u32).map(|axis| Ix::axis(AxisId(axis))).collect(),
        next: axes as u32,
        accs: Vec::new(),
        scratch: Vec::new(),
        reduced: None,
        piece: None,
        registers: Registers {
            row: AxisId(0),
            unrolled: AxisId(0),
            lane: AxisId(0),
            init: Vec::new(),
            breaks: None,
            rows: None,
        },
        ahead: None,
        stream_sums: None,
    };
    let parts = match schedule.shape {
        Shape::Map => builder.map(),
        Shape::Block => builder.block(),
        Shape::Lanes => builder.lanes(),
        Shape::Scan => builder.scan(),
        Shape::Sort => builder.sort(),
        Shape::Scatter => builder.scatter(),
    };
    Tree {
        name: nest.name.clone(),
        spans: nest.spans.clone(),
        buffers: nest.buffers.clone(),
        lanes: schedule.lanes,
        element_bits: schedule.element_bits,
        accs: builder.accs,
        scratch: builder.scratch,
        reduced: builder.reduced,
        parts,
    }
}

/// A tree under construction.
pub(super) struct TreeBuilder<'a> {
    pub(super) nest: &'a Nest,
    pub(super) schedule: &'a Schedule,
    /// Each nest axis in terms of loop variables.
    pub(super) at: Vec<Ix>,
    next: u32,
    pub(super) accs: Vec<Acc>,
    pub(super) scratch: Vec<ScratchTile>,
    pub(super) reduced: Option<Result>,
    /// The piece of the vector axis at hand.
    pub(super) piece: Option<Piece>,
    pub(super) registers: Registers,
    /// What is asked for between the terms of the register block at hand.
    pub(super) ahead: Option<Ahead>,
    /// Scratch tiles of streams.
    pub(super) stream_sums: Option<[usize; 2]>,
}

impl TreeBuilder<'_> {
    pub(super) fn var(&mut self) -> AxisId {
        self.next += 1;
        AxisId(self.next - 1)
    }

    pub(super) fn acc(&mut self, vars: Vec<AxisId>, dtype: DType, vector: bool) -> usize {
        self.accs.push(Acc { vars, dtype, vector });
        self.accs.len() - 1
    }

    /// An expression of the nest in terms of loop variables.
    pub(super) fn here(&self, expr: &ExprRef) -> ExprRef {
        let at = |AxisId(axis): AxisId| self.at[axis as usize].clone();
        match self.piece {
            Some(piece) => piece.within(expr).substitute(&at),
            None => expr.substitute(&at),
        }
    }

    pub(super) fn here_ix(&self, ix: &Ix) -> Ix {
        ix.substitute(&|AxisId(axis)| self.at[axis as usize].clone())
    }

    /// Lets and stores at the current element.
    pub(super) fn epilogue(&self) -> Vec<Stmt> {
        let lets = self.nest.lets.iter().enumerate();
        let lets = lets.map(|(number, value)| Stmt::Let { number, value: self.here(value) });
        let stores = self.nest.stores.iter().map(|store| Stmt::Store {
            buffer: store.buffer,
            at: self.here_ix(&store.at),
            value: self.here(&store.value),
        });
        lets.chain(stores).collect()
    }

    /// Serial loops over axes, outermost first, around what `body` makes.
    pub(super) fn around(&mut self, axes: &[usize], body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
        let Some((axis, rest)) = axes.split_first() else { return body(self) };
        let extent = self.extent(*axis);
        if extent.is(1) {
            self.at[*axis] = Ix::constant(0);
            return self.around(rest, body);
        }
        let var = self.var();
        self.at[*axis] = Ix::axis(var);
        let body = self.around(rest, body);
        vec![Stmt::For { var, extent, how: How::Serial, body }]
    }

    pub(super) fn extent(&self, axis: usize) -> Dim {
        let par = self.nest.par.len();
        if axis < par { self.nest.par[axis].clone() } else { self.nest.red[axis - par].clone() }
    }

    /// Binds the tile axes to variables of their own.
    pub(super) fn tile_vars(&mut self) -> Vec<(AxisId, Dim)> {
        let mut tiles = Vec::new();
        for tile in self.schedule.tiles.clone() {
            let Tile::Axis(axis) = tile else { continue };
            let extent = self.extent(axis);
            if extent.is(1) {
                self.at[axis] = Ix::constant(0);
                continue;
            }
            let var = self.var();
            self.at[axis] = Ix::axis(var);
            tiles.push((var, extent));
        }
        tiles
    }

    /// The parallel axes that are neither tiles nor listed.
    pub(super) fn inner_axes(&self, without: &[usize]) -> Vec<usize> {
        (0..self.nest.par.len()).filter(|axis| !self.schedule.is_tiled(*axis) && !without.contains(axis)).collect()
    }
}
