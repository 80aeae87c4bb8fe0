//! Blocks of outputs in registers: rows by vectors, terms one after another in the order of the plan.

use super::builder::TreeBuilder;
use super::cut::{Segment, cut, cut_rows};
use super::terms::{Breaks, ChainBlock};
use super::{How, Part, Result, Stmt, identity};
use crate::expr::Expr;
use crate::nest::Reduction;
use crate::schedule::Tile;
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Combine, Extreme, Ix};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;

/// What register blocks share.
#[derive(Clone)]
pub(super) struct Registers {
    pub(super) row: AxisId,
    pub(super) unrolled: AxisId,
    pub(super) lane: AxisId,
    /// First values of the accumulators.
    pub(super) init: Vec<Stmt>,
    /// Where the chain breaks, and the scratch tile of its sums.
    pub(super) breaks: Option<Breaks>,
    /// First and number of the rows of the tile at hand.
    pub(super) rows: Option<(Ix, Dim)>,
}

/// The columns of a register block: vectors along an axis.
#[derive(Clone)]
pub(super) struct Columns<'s> {
    pub(super) axis: usize,
    pub(super) base: Ix,
    pub(super) vectors: i64,
    pub(super) segment: &'s Segment,
}

/// A register block.
#[derive(Clone)]
pub(super) struct RegisterBlock<'s> {
    pub(super) columns: Option<Columns<'s>>,
    /// Axis, first row, number of rows.
    pub(super) rows: Option<(usize, Ix, i64)>,
    /// Its slot of a scratch tile.
    pub(super) slot: Ix,
}

fn is_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value) if value.as_f64() == 0.0)
}

impl TreeBuilder<'_> {
    pub(super) fn block(&mut self) -> Vec<Part> {
        self.registers = self.registers();
        let Some(vector) = self.schedule.vector else {
            let body = self.block_body(&RegisterBlock { columns: None, rows: None, slot: Ix::constant(0) });
            return vec![Part { tiles: Vec::new(), body }];
        };
        let width = if self.schedule.stream > 0 { self.schedule.stream } else { self.schedule.vectors };
        let segments = self.axis_segments(vector, width);
        let outside = if self.axes_beside().is_empty() { self.schedule.inner_axes(self.nest) } else { Vec::new() };
        let mut parts = Vec::new();
        for chunk in self.row_chunks() {
            if !self.schedule.tiles.contains(&Tile::Blocks) {
                let (tiles, _) = self.block_tiles(&chunk, &Dim::one());
                let body = self.around(&outside, &mut |this| {
                    segments.iter().flat_map(|segment| this.block_segment(vector, segment, None)).collect()
                });
                parts.push(Part { tiles, body });
                continue;
            }
            for segment in &segments {
                let (tiles, block) = self.block_tiles(&chunk, &segment.count);
                let body = self.around(&outside, &mut |this| this.block_segment(vector, segment, block));
                parts.push(Part { tiles, body });
            }
        }
        parts
    }

    /// The chunks of the row axis that are tiles, or all of it as one.
    fn row_chunks(&self) -> Vec<Segment> {
        let Some((axis, _)) = self.schedule.rows else { return vec![Segment::all(&Dim::one())] };
        let extent = self.extent(axis);
        match self.schedule.tile_rows() {
            Some(rows) => cut(&extent, rows),
            None => vec![Segment::all(&extent)],
        }
    }

    /// The variables of a tile of a chunk of rows and one of some blocks of columns; gives that of the block as well,
    /// if there is more than one.
    fn block_tiles(&mut self, chunk: &Segment, blocks: &Dim) -> (Vec<(AxisId, Dim)>, Option<AxisId>) {
        let (mut tiles, mut block) = (Vec::new(), None);
        let mut first = Ix::constant(chunk.start.clone());
        for tile in self.schedule.tiles.clone() {
            let extent = match tile {
                Tile::Axis(axis) => self.extent(axis),
                Tile::Rows(_) => chunk.count.clone(),
                Tile::Blocks => blocks.clone(),
            };
            let var = (!extent.is(1)).then(|| self.var());
            let at = var.map_or(Ix::constant(0), Ix::axis);
            match tile {
                Tile::Axis(axis) => self.at[axis] = at,
                Tile::Rows(_) => first = first.add(at.scaled(&chunk.length)),
                Tile::Blocks => block = var,
            }
            tiles.extend(var.map(|var| (var, extent)));
        }
        self.registers.rows = Some((first, chunk.length.clone()));
        (tiles, block)
    }

    /// All blocks of a segment of the vector axis, or the one that a tile variable names.
    fn block_segment(&mut self, axis: usize, segment: &Segment, tile: Option<AxisId>) -> Vec<Stmt> {
        self.piece = segment.piece;
        let stmts = self.segment_blocks(axis, segment, tile);
        self.piece = None;
        stmts
    }

    fn segment_blocks(&mut self, axis: usize, segment: &Segment, tile: Option<AxisId>) -> Vec<Stmt> {
        let Some(var) = tile else {
            return self.blocks(segment, &mut |this, base, vectors| {
                this.row_blocks(&Columns { axis, base, vectors, segment })
            });
        };
        let length = segment.length.as_const().unwrap_or(self.schedule.lanes);
        let base = Ix::axis(var).times(length).plus(segment.start.clone());
        let vectors = (length + self.schedule.lanes - 1) / self.schedule.lanes;
        self.row_blocks(&Columns { axis, base, vectors, segment })
    }

    /// The register blocks of some columns: one after another, or side by side through the blocks of
    /// their chains, so that what a block of terms reads is read once for all of them.
    fn row_blocks(&mut self, columns: &Columns<'_>) -> Vec<Stmt> {
        if self.schedule.stream > 0 {
            return self.each_row_block(columns, &mut |this, block| match block.rows {
                Some((_, _, 2..)) => this.column_blocks(block),
                _ => this.stream(block),
            });
        }
        let Some(breaks) = self.registers.breaks.filter(|_| self.schedule.side_by_side) else {
            return self.each_row_block(columns, &mut |this, block| this.block_body(block));
        };
        let mut stmts = self.side_by_side(columns, &mut |this, block| this.clear(block, breaks));
        let mut ended = false;
        stmts.extend(self.blocks_of_chain(breaks, &mut |this, part| {
            ended |= part.last;
            this.side_by_side(columns, &mut |this, block| this.block_of_chain(block, breaks, part))
        }));
        if !ended {
            stmts.extend(self.side_by_side(columns, &mut |this, block| this.recalled(block, breaks)));
        }
        stmts
    }

    /// The axes whose loops are within the blocks of a chain.
    fn axes_beside(&self) -> Vec<usize> {
        let in_blocks = self.registers.breaks.is_some() && self.schedule.stream == 0;
        if in_blocks { self.schedule.axes_beside(self.nest) } else { Vec::new() }
    }

    /// Every register block of a tile's columns, at all values of the axes that are gone through beside one another.
    fn side_by_side(
        &mut self,
        columns: &Columns<'_>,
        body: &mut dyn FnMut(&mut Self, &RegisterBlock<'_>) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let axes = self.axes_beside();
        let extents: Vec<Dim> = axes.iter().map(|axis| self.extent(*axis)).collect();
        self.around(&axes, &mut |this| {
            let at: Vec<Ix> = axes.iter().map(|axis| this.at[*axis].clone()).collect();
            let before = Ix::row_major(&at, &extents).times(this.schedule.most_row_blocks(this.nest));
            this.each_row_block(columns, &mut |this, block| {
                let block = RegisterBlock { slot: block.slot.clone().add(before.clone()), ..block.clone() };
                body(this, &block)
            })
        })
    }

    /// The register blocks beside one another that make up a wide one.
    fn column_blocks(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let Some(Columns { axis, base, segment, .. }) = &block.columns else { return self.block_body(block) };
        let mut stmts = Vec::new();
        for part in &self.segments(&segment.length, self.schedule.vectors) {
            stmts.extend(self.blocks(part, &mut |this, offset, vectors| {
                let columns = Columns { axis: *axis, base: base.clone().add(offset), vectors, segment: part };
                this.block_body(&RegisterBlock { columns: Some(columns), ..block.clone() })
            }));
        }
        stmts
    }

    fn each_row_block(
        &mut self,
        columns: &Columns<'_>,
        body: &mut dyn FnMut(&mut Self, &RegisterBlock<'_>) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let columns = Some(columns.clone());
        let Some((axis, rows)) = self.schedule.rows else {
            return body(self, &RegisterBlock { columns, rows: None, slot: Ix::constant(0) });
        };
        let mut stmts = Vec::new();
        let mut slots = 0;
        let (start, length) = match &self.registers.rows {
            Some((start, length)) => (start.clone(), length.clone()),
            None => (Ix::constant(0), self.extent(axis)),
        };
        for part in cut_rows(&length, rows) {
            let count = part.length.as_const().unwrap_or(1);
            let (var, one) = (self.var(), part.count.is(1));
            let number = if one { Ix::constant(0) } else { Ix::axis(var) };
            let first = number.clone().times(count).add(start.clone()).plus(part.start.clone());
            self.at[axis] = first.clone().add(Ix::axis(self.registers.row));
            let slot = if self.schedule.side_by_side { number.plus(slots) } else { Ix::constant(0) };
            let inside =
                body(self, &RegisterBlock { columns: columns.clone(), rows: Some((axis, first, count)), slot });
            slots += part.count.as_const().unwrap_or(1);
            if one {
                stmts.extend(inside);
            } else {
                stmts.push(Stmt::For { var, extent: part.count, how: How::Serial, body: inside });
            }
        }
        stmts
    }

    /// `body` for each register of a block.
    pub(super) fn over(
        &mut self,
        block: &RegisterBlock<'_>,
        body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let Registers { row, unrolled, lane, .. } = self.registers;
        if let Some((axis, first, _)) = &block.rows {
            self.at[*axis] = first.clone().add(Ix::axis(row));
        }
        let inner = match &block.columns {
            Some(Columns { axis, base, vectors, segment }) => {
                self.vectors_with(*axis, base, *vectors, segment, (unrolled, lane), body)
            }
            None => body(self),
        };
        match block.rows {
            None => inner,
            Some((_, _, count)) => {
                vec![Stmt::For { var: row, extent: Dim::from(count), how: How::Unroll, body: inner }]
            }
        }
    }

    /// One register block: clear, reduce, epilogue.
    fn block_body(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        self.ahead = self.ahead(block);
        let stmts = self.block_terms(block);
        self.ahead = None;
        stmts
    }

    fn block_terms(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        match self.registers.breaks {
            Some(breaks) => {
                let mut stmts = self.clear(block, breaks);
                let mut ended = false;
                stmts.extend(self.blocks_of_chain(breaks, &mut |this, part| {
                    ended |= part.last;
                    this.block_of_chain(block, breaks, part)
                }));
                if !ended {
                    stmts.extend(self.recalled(block, breaks));
                }
                stmts
            }
            None => {
                let mut stmts = self.init(block);
                let axes: Vec<usize> = (self.nest.par.len()..self.nest.par.len() + self.nest.red.len()).collect();
                stmts.extend(self.chain(&axes, block));
                stmts.extend(self.finish_block(block));
                stmts
            }
        }
    }

    fn init(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let init = self.registers.init.clone();
        self.over(block, &mut |_| init.clone())
    }

    pub(super) fn clear(&mut self, block: &RegisterBlock<'_>, breaks: Breaks) -> Vec<Stmt> {
        let (scratch, slot) = (breaks.scratch, block.slot.clone());
        let start = self.nest.blocks.as_ref().map(|blocks| &blocks.start).filter(|start| !is_zero(start));
        self.over(block, &mut |this| {
            let slot = slot.clone();
            vec![match start {
                Some(start) => Stmt::Fill { scratch, slot, value: this.here(start) },
                None => Stmt::Clear { scratch, slot },
            }]
        })
    }

    /// The sums of a block of terms, from 0, added to what the blocks before gave; behind the last one,
    /// what follows.
    fn block_of_chain(&mut self, block: &RegisterBlock<'_>, breaks: Breaks, part: &ChainBlock) -> Vec<Stmt> {
        let par = self.nest.par.len();
        let inner: Vec<usize> = (par + breaks.axis + 1..par + self.nest.red.len()).collect();
        let mut stmts = self.init(block);
        stmts.extend(self.chain_part(par + breaks.axis, &part.start, &part.length, &inner, block));
        let (scratch, slot) = (breaks.scratch, block.slot.clone());
        if part.last {
            stmts.extend(self.over(block, &mut |_| vec![Stmt::Total { scratch, slot: slot.clone() }]));
            stmts.extend(self.finish_block(block));
        } else {
            stmts.extend(self.over(block, &mut |_| vec![Stmt::Flush { scratch, slot: slot.clone() }]));
            stmts.extend(self.release());
        }
        stmts
    }

    /// What follows the reduction, whose sums are in a scratch tile.
    fn recalled(&mut self, block: &RegisterBlock<'_>, breaks: Breaks) -> Vec<Stmt> {
        let (scratch, slot) = (breaks.scratch, block.slot.clone());
        let mut stmts = self.over(block, &mut |_| vec![Stmt::Recall { scratch, slot: slot.clone() }]);
        stmts.extend(self.finish_block(block));
        stmts
    }

    pub(super) fn release(&self) -> Vec<Stmt> {
        (0..self.accs.len()).map(|acc| Stmt::Release { acc }).collect()
    }

    /// The variables and accumulators of register blocks, shared by all of them.
    fn registers(&mut self) -> Registers {
        let (row, unrolled, lane) = (self.var(), self.var(), self.var());
        let mut vars = Vec::new();
        vars.extend(self.schedule.rows.map(|_| row));
        vars.extend(self.schedule.vector.map(|_| unrolled));
        let vector = self.schedule.vector.is_some() && self.schedule.lanes > 1;
        let (init, breaks) = self.start(&vars, vector);
        Registers { row, unrolled, lane, init, breaks, rows: None }
    }

    /// Makes the accumulators; returns their first values, and the chain's breaks if it has any.
    fn start(&mut self, vars: &[AxisId], vector: bool) -> (Vec<Stmt>, Option<Breaks>) {
        let init = |acc: usize, value: Literal| Stmt::Init { acc, value };
        match &self.nest.reduce {
            None => (Vec::new(), None),
            Some(Reduction::Scan { .. } | Reduction::Order { .. } | Reduction::Scatter { .. }) => {
                mlc_ir::internal_error("tree", "work along a parallel axis has no block of registers")
            }
            Some(Reduction::Best { extreme, dtype, .. }) => {
                let combine = match extreme {
                    Extreme::Max => Combine::Max,
                    Extreme::Min => Combine::Min,
                };
                let value = self.acc(vars.to_vec(), *dtype, vector);
                let position = self.acc(vars.to_vec(), DType::I32, vector);
                self.reduced = Some(Result::Best(value, position));
                (vec![init(value, identity(combine, *dtype)), init(position, Literal::zero(DType::I32))], None)
            }
            Some(Reduction::Fold { combine, dtype, .. }) => {
                let acc = self.acc(vars.to_vec(), *dtype, vector);
                let sums = *combine == Combine::Sum && dtype.is_float();
                let breaks = if sums { self.breaks(acc) } else { None };
                self.reduced = Some(Result::Acc(acc));
                (vec![init(acc, identity(*combine, *dtype))], breaks)
            }
            Some(Reduction::Dot { dtype, .. }) => {
                let acc = self.acc(vars.to_vec(), *dtype, vector);
                let breaks = if dtype.is_float() { self.breaks(acc) } else { None };
                self.reduced = Some(Result::Acc(acc));
                (vec![init(acc, Literal::zero(*dtype))], breaks)
            }
        }
    }
}
