//! Tree: the loops of a kernel. A [`Nest`] and a [`Schedule`] give one [`Tree`]; it says what is in
//! registers, what is unrolled and where vectors lie, and still speaks of buffers and index
//! expressions, not of addresses.

use crate::expr::ExprRef;
use crate::nest::{Buffer, Nest, ReducePlan, Reduction, logical_lanes};
use crate::schedule::{Schedule, Shape};
use mlc_ir::dim::Dim;
use mlc_ir::graph::SpanId;
use mlc_ir::index::{AxisId, Combine, Extreme, Ix};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;

/// A kernel as loops.
#[derive(Clone, Debug)]
pub struct Tree {
    /// As the nest's.
    pub name: String,
    /// As the nest's.
    pub span: SpanId,
    /// As the nest's.
    pub buffers: Vec<Buffer>,
    /// Elements of a vector.
    pub lanes: i64,
    /// Register tiles, by number.
    pub accs: Vec<Acc>,
    /// Memory tiles, by number.
    pub scratch: Vec<ScratchTile>,
    /// What [`Expr::Reduced`] and [`Expr::BestPosition`] mean.
    pub reduced: Option<Result>,
    /// The parts of the tile range, in order: each has its own body.
    pub parts: Vec<Part>,
}

/// What a reduction leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// In an accumulator.
    Acc(usize),
    /// Value and position in two accumulators.
    Best(usize, usize),
}

/// Memory for the registers of an accumulator between the blocks of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScratchTile {
    /// Whose registers.
    pub acc: usize,
    /// How many registers a slot holds.
    pub registers: i64,
    /// How many slots: register blocks whose chains are under way at the same time.
    pub slots: i64,
}

/// A run of tiles: their number is the product of the extents.
#[derive(Clone, Debug)]
pub struct Part {
    /// Loop variables of a tile, outermost first, with their extents.
    pub tiles: Vec<(AxisId, Dim)>,
    /// What one tile does.
    pub body: Vec<Stmt>,
}

/// An accumulator: one register value for each combination of the unrolled variables around its use.
#[derive(Clone, Debug)]
pub struct Acc {
    /// Unrolled variables that tell its registers apart.
    pub vars: Vec<AxisId>,
    /// Of an element.
    pub dtype: DType,
    /// Whether each is a vector.
    pub vector: bool,
}

/// How a loop runs.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// One turn after another.
    Serial,
    /// Written out.
    Unroll,
    /// In lanes; the extent is the number of lanes. `valid` of them count (all if absent).
    Vector {
        /// May be above the lanes, or below 1.
        valid: Option<Ix>,
    },
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// `for var in 0..extent`
    For {
        /// The variable.
        var: AxisId,
        /// Number of turns.
        extent: Dim,
        /// How it runs.
        how: How,
        /// What each turn does.
        body: Vec<Stmt>,
    },
    /// `acc = value`, for the registers of the variables around it.
    Init {
        /// Which.
        acc: usize,
        /// The value.
        value: Literal,
    },
    /// `acc = combine(acc, value)`; lanes that do not count keep theirs.
    Fold {
        /// Which.
        acc: usize,
        /// How.
        combine: Combine,
        /// What.
        value: ExprRef,
    },
    /// `acc = left · right + acc`, rounded once; lanes that do not count add 0.
    MulAdd {
        /// Which.
        acc: usize,
        /// One factor.
        left: ExprRef,
        /// The other.
        right: ExprRef,
    },
    /// Keeps the better value and its position.
    Best {
        /// The value's accumulator.
        acc: usize,
        /// The position's accumulator (i32).
        position: usize,
        /// Which is better.
        extreme: Extreme,
        /// The value.
        value: ExprRef,
        /// Its position.
        at: Ix,
    },
    /// Combines `parts` vectors of `from` and their lanes by halving into the scalar `into`.
    Halve {
        /// A vector accumulator whose one variable is unrolled.
        from: usize,
        /// Its number of vectors.
        parts: i64,
        /// A scalar accumulator.
        into: usize,
        /// How.
        combine: Combine,
    },
    /// `scratch[slot] = 0`
    Clear {
        /// Which.
        scratch: usize,
        /// Which slot.
        slot: Ix,
    },
    /// `scratch[slot] = scratch[slot] + acc`
    Flush {
        /// Which.
        scratch: usize,
        /// Which slot.
        slot: Ix,
    },
    /// `acc = scratch[slot]`
    Recall {
        /// Which.
        scratch: usize,
        /// Which slot.
        slot: Ix,
    },
    /// A value at this element that later statements name.
    Let {
        /// Its number.
        number: usize,
        /// What.
        value: ExprRef,
    },
    /// Ends the life of an accumulator's registers.
    Release {
        /// Which.
        acc: usize,
    },
    /// Writes an element.
    Store {
        /// Which buffer.
        buffer: usize,
        /// The element's row-major number.
        at: Ix,
        /// What.
        value: ExprRef,
    },
}

/// The least or neutral value of a combination.
pub fn identity(combine: Combine, dtype: DType) -> Literal {
    match (combine, dtype) {
        (Combine::Sum, _) => Literal::zero(dtype),
        (Combine::Prod, _) => Literal::from_i64(dtype, 1),
        (Combine::Max, DType::F32 | DType::F64) => Literal::from_f64(dtype, f64::NEG_INFINITY),
        (Combine::Min, DType::F32 | DType::F64) => Literal::from_f64(dtype, f64::INFINITY),
        (Combine::Max, DType::I32) => Literal::from_i64(dtype, i64::from(i32::MIN)),
        (Combine::Min, DType::I32) => Literal::from_i64(dtype, i64::from(i32::MAX)),
        (Combine::Max, DType::I64) => Literal::from_i64(dtype, i64::MIN),
        (Combine::Min, DType::I64) => Literal::from_i64(dtype, i64::MAX),
        (Combine::Max, DType::U8 | DType::Bool) => Literal::zero(dtype),
        (Combine::Min, DType::U8) => Literal::from_i64(dtype, 255),
        (Combine::Min, DType::Bool) => Literal::from_i64(dtype, 1),
    }
}

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
        registers: Registers { row: AxisId(0), unrolled: AxisId(0), lane: AxisId(0), init: Vec::new(), breaks: None },
    };
    let parts = match schedule.shape {
        Shape::Map => builder.map(),
        Shape::Block => builder.block(),
        Shape::Lanes => builder.lanes(),
    };
    Tree {
        name: nest.name.clone(),
        span: nest.span,
        buffers: nest.buffers.clone(),
        lanes: schedule.lanes,
        accs: builder.accs,
        scratch: builder.scratch,
        reduced: builder.reduced,
        parts,
    }
}

/// A stretch of an axis cut into equal blocks: block `var` starts at `start + var·length`.
#[derive(Clone, Debug)]
struct Segment {
    start: Dim,
    count: Dim,
    /// Elements of a block.
    length: Dim,
    /// Elements that count, if fewer than the block's vectors hold.
    partial: bool,
}

/// What register blocks share.
#[derive(Clone)]
struct Registers {
    row: AxisId,
    unrolled: AxisId,
    lane: AxisId,
    /// First values of the accumulators.
    init: Vec<Stmt>,
    /// Where the chain breaks, and the scratch tile of its sums.
    breaks: Option<Breaks>,
}

/// A chain in blocks.
#[derive(Clone, Copy)]
struct Breaks {
    /// Position of the axis that blocks cut, among the reduced ones.
    axis: usize,
    /// Its values in a block.
    count: i64,
    scratch: usize,
}

/// A block of a chain: `length` values from `start` of the axis that blocks cut.
struct ChainBlock {
    start: Ix,
    length: Dim,
}

/// The columns of a register block: vectors along an axis.
#[derive(Clone)]
struct Columns<'s> {
    axis: usize,
    base: Ix,
    vectors: i64,
    segment: &'s Segment,
}

/// A register block.
#[derive(Clone)]
struct RegisterBlock<'s> {
    columns: Option<Columns<'s>>,
    /// Axis, first row, number of rows.
    rows: Option<(usize, Ix, i64)>,
    /// Its slot of a scratch tile.
    slot: Ix,
}

struct TreeBuilder<'a> {
    nest: &'a Nest,
    schedule: &'a Schedule,
    /// Each nest axis in terms of loop variables.
    at: Vec<Ix>,
    next: u32,
    accs: Vec<Acc>,
    scratch: Vec<ScratchTile>,
    reduced: Option<Result>,
    registers: Registers,
}

impl TreeBuilder<'_> {
    fn var(&mut self) -> AxisId {
        self.next += 1;
        AxisId(self.next - 1)
    }

    fn acc(&mut self, vars: Vec<AxisId>, dtype: DType, vector: bool) -> usize {
        self.accs.push(Acc { vars, dtype, vector });
        self.accs.len() - 1
    }

    /// An expression of the nest in terms of loop variables.
    fn here(&self, expr: &ExprRef) -> ExprRef {
        expr.substitute(&|AxisId(axis)| self.at[axis as usize].clone())
    }

    fn here_ix(&self, ix: &Ix) -> Ix {
        ix.substitute(&|AxisId(axis)| self.at[axis as usize].clone())
    }

    /// Lets and stores at the current element.
    fn epilogue(&self) -> Vec<Stmt> {
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
    fn around(&mut self, axes: &[usize], body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
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

    fn extent(&self, axis: usize) -> Dim {
        let par = self.nest.par.len();
        if axis < par { self.nest.par[axis].clone() } else { self.nest.red[axis - par].clone() }
    }

    /// Binds the tile axes to variables of their own.
    fn tile_vars(&mut self) -> Vec<(AxisId, Dim)> {
        let mut tiles = Vec::new();
        for axis in self.schedule.tiles.clone() {
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
    fn inner_axes(&self, without: &[usize]) -> Vec<usize> {
        (0..self.nest.par.len()).filter(|axis| !self.schedule.tiles.contains(axis) && !without.contains(axis)).collect()
    }

    // ---- maps

    fn map(&mut self) -> Vec<Part> {
        let Some(vector) = self.schedule.vector else {
            return vec![Part { tiles: Vec::new(), body: self.epilogue() }];
        };
        let extent = self.extent(vector);
        if self.nest.par.len() > 1 {
            let tiles = self.tile_vars();
            let inner = self.inner_axes(&[vector]);
            let body = self.around(&inner, &mut |this| {
                let segments = this.segments(&extent, this.schedule.vectors);
                segments.iter().flat_map(|segment| this.map_segment(vector, segment, &Ix::constant(0))).collect()
            });
            return vec![Part { tiles, body }];
        }
        let mut parts = Vec::new();
        for chunk in cut(&extent, self.schedule.chunk) {
            let var = self.var();
            let start = if chunk.count.is(1) {
                Ix::constant(chunk.start.clone())
            } else {
                Ix::axis(var).scaled(&chunk.length).plus(chunk.start.clone())
            };
            let tiles = if chunk.count.is(1) { Vec::new() } else { vec![(var, chunk.count.clone())] };
            let segments = self.segments(&chunk.length, self.schedule.vectors);
            let body = segments.iter().flat_map(|segment| self.map_segment(vector, segment, &start)).collect();
            parts.push(Part { tiles, body });
        }
        parts
    }

    fn map_segment(&mut self, axis: usize, segment: &Segment, start: &Ix) -> Vec<Stmt> {
        self.blocks(segment, &mut |this, base, vectors| {
            this.vectors(axis, &start.clone().add(base), vectors, segment, &mut |this| this.epilogue())
        })
    }

    // ---- loops over blocks of an axis

    /// Cuts an extent into blocks of `vectors` full vectors and what is left.
    fn segments(&self, extent: &Dim, vectors: i64) -> Vec<Segment> {
        let lanes = self.schedule.lanes;
        let block = lanes * vectors;
        let Some(total) = extent.as_const() else {
            let full = floor_div(extent, block);
            let start = mul(&full, block);
            let rest = sub(extent, &start);
            let count = floor_div(&add(&rest, lanes - 1), lanes);
            return vec![
                Segment { start: Dim::zero(), count: full, length: Dim::from(block), partial: false },
                Segment { start, count, length: Dim::from(lanes), partial: lanes > 1 },
            ];
        };
        let mut segments = Vec::new();
        if total / block > 0 {
            let count = Dim::from(total / block);
            segments.push(Segment { start: Dim::zero(), count, length: Dim::from(block), partial: false });
        }
        if total % block > 0 {
            let (start, length) = (Dim::from(total / block * block), Dim::from(total % block));
            segments.push(Segment { start, count: Dim::one(), length, partial: total % lanes != 0 });
        }
        segments
    }

    /// The loop over a segment's blocks; `body` gets the first element of the block and the number of its vectors.
    fn blocks(&mut self, segment: &Segment, body: &mut dyn FnMut(&mut Self, Ix, i64) -> Vec<Stmt>) -> Vec<Stmt> {
        let length = segment.length.as_const().unwrap_or(self.schedule.lanes);
        let vectors = (length + self.schedule.lanes - 1) / self.schedule.lanes;
        let start = Ix::constant(segment.start.clone());
        if segment.count.is(1) {
            return body(self, start, vectors);
        }
        let var = self.var();
        let base = Ix::axis(var).times(length).add(start);
        let body = body(self, base, vectors);
        vec![Stmt::For { var, extent: segment.count.clone(), how: How::Serial, body }]
    }

    /// The vectors of one block side by side, `axis` bound to their elements.
    fn vectors(
        &mut self,
        axis: usize,
        base: &Ix,
        vectors: i64,
        segment: &Segment,
        body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let (unrolled, lane) = (self.var(), self.var());
        self.vectors_with(axis, base, vectors, segment, (unrolled, lane), body)
    }

    fn vectors_with(
        &mut self,
        axis: usize,
        base: &Ix,
        vectors: i64,
        segment: &Segment,
        (unrolled, lane): (AxisId, AxisId),
        body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let lanes = self.schedule.lanes;
        let offset = Ix::axis(unrolled).times(lanes);
        self.at[axis] = base.clone().add(offset.clone()).add(Ix::axis(lane));
        let valid = segment.partial.then(|| match segment.count.is(1) && segment.length.as_const().is_some() {
            true => Ix::constant(segment.length.clone()).sub(offset),
            false => Ix::constant(self.extent(axis)).sub(base.clone()).sub(offset),
        });
        let body = body(self);
        let vector = if lanes == 1 {
            self.scalar_lane(lane, body)
        } else {
            vec![Stmt::For { var: lane, extent: Dim::from(lanes), how: How::Vector { valid }, body }]
        };
        vec![Stmt::For { var: unrolled, extent: Dim::from(vectors), how: How::Unroll, body: vector }]
    }

    fn scalar_lane(&self, lane: AxisId, body: Vec<Stmt>) -> Vec<Stmt> {
        vec![Stmt::For { var: lane, extent: Dim::one(), how: How::Unroll, body }]
    }

    // ---- blocks of outputs in registers

    fn block(&mut self) -> Vec<Part> {
        self.registers = self.registers();
        let Some(vector) = self.schedule.vector else {
            let body = self.block_body(&RegisterBlock { columns: None, rows: None, slot: Ix::constant(0) });
            return vec![Part { tiles: Vec::new(), body }];
        };
        let segments = self.segments(&self.extent(vector), self.schedule.vectors);
        let row = self.schedule.rows.map(|(axis, _)| axis);
        let without: Vec<usize> = row.into_iter().chain([vector]).collect();
        let inner = self.inner_axes(&without);
        if !self.schedule.tile_blocks {
            let tiles = self.tile_vars();
            let body = self.around(&inner, &mut |this| {
                segments.iter().flat_map(|segment| this.block_segment(vector, segment, None)).collect()
            });
            return vec![Part { tiles, body }];
        }
        let mut parts = Vec::new();
        for segment in &segments {
            let mut tiles = self.tile_vars();
            let block = (!segment.count.is(1)).then(|| self.var());
            tiles.extend(block.map(|var| (var, segment.count.clone())));
            let body = self.around(&inner, &mut |this| this.block_segment(vector, segment, block));
            parts.push(Part { tiles, body });
        }
        parts
    }

    /// All blocks of a segment of the vector axis, or the one that a tile variable names.
    fn block_segment(&mut self, axis: usize, segment: &Segment, tile: Option<AxisId>) -> Vec<Stmt> {
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
        let Some(breaks) = self.registers.breaks.filter(|_| self.schedule.side_by_side) else {
            return self.each_row_block(columns, &mut |this, block| this.block_body(block));
        };
        let mut stmts = self.each_row_block(columns, &mut |this, block| this.clear(block, breaks));
        stmts.extend(self.blocks_of_chain(breaks, &mut |this, part| {
            this.each_row_block(columns, &mut |this, block| this.block_of_chain(block, breaks, part))
        }));
        stmts.extend(self.each_row_block(columns, &mut |this, block| this.finish_block(block)));
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
        for part in cut_rows(&self.extent(axis), rows) {
            let count = part.length.as_const().unwrap_or(1);
            let (var, one) = (self.var(), part.count.is(1));
            let number = if one { Ix::constant(0) } else { Ix::axis(var) };
            let first = number.clone().times(count).plus(part.start.clone());
            self.at[axis] = first.clone().add(Ix::axis(self.registers.row));
            let slot = if self.schedule.side_by_side { number.plus(slots) } else { Ix::constant(0) };
            let inside = body(self, &RegisterBlock { columns: columns.clone(), rows: Some((axis, first, count)), slot });
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
    fn over(&mut self, block: &RegisterBlock<'_>, body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
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
        let mut stmts = match self.registers.breaks {
            Some(breaks) => {
                let mut stmts = self.clear(block, breaks);
                stmts.extend(self.blocks_of_chain(breaks, &mut |this, part| this.block_of_chain(block, breaks, part)));
                stmts
            }
            None => {
                let mut stmts = self.init(block);
                let axes: Vec<usize> = (self.nest.par.len()..self.nest.par.len() + self.nest.red.len()).collect();
                stmts.extend(self.chain(&axes, &mut |this, body| this.over(block, body)));
                stmts
            }
        };
        stmts.extend(self.finish_block(block));
        stmts
    }

    fn init(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let init = self.registers.init.clone();
        self.over(block, &mut |_| init.clone())
    }

    fn clear(&mut self, block: &RegisterBlock<'_>, breaks: Breaks) -> Vec<Stmt> {
        let slot = block.slot.clone();
        self.over(block, &mut |_| vec![Stmt::Clear { scratch: breaks.scratch, slot: slot.clone() }])
    }

    /// The sums of a block of terms, from 0, added to what the blocks before gave.
    fn block_of_chain(&mut self, block: &RegisterBlock<'_>, breaks: Breaks, part: &ChainBlock) -> Vec<Stmt> {
        let par = self.nest.par.len();
        let inner: Vec<usize> = (par + breaks.axis + 1..par + self.nest.red.len()).collect();
        let mut stmts = self.init(block);
        let mut over = |this: &mut Self, body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>| this.over(block, body);
        stmts.extend(self.chain_part(par + breaks.axis, &part.start, &part.length, &inner, &mut over));
        let slot = block.slot.clone();
        stmts.extend(self.over(block, &mut |_| vec![Stmt::Flush { scratch: breaks.scratch, slot: slot.clone() }]));
        stmts.extend(self.release());
        stmts
    }

    /// What follows the reduction.
    fn finish_block(&mut self, block: &RegisterBlock<'_>) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        if let Some(Breaks { scratch, .. }) = self.registers.breaks {
            let slot = block.slot.clone();
            stmts.extend(self.over(block, &mut |_| vec![Stmt::Recall { scratch, slot: slot.clone() }]));
        }
        stmts.extend(self.over(block, &mut |this| this.epilogue()));
        stmts.extend(self.release());
        stmts
    }

    fn release(&self) -> Vec<Stmt> {
        (0..self.accs.len()).map(|acc| Stmt::Release { acc }).collect()
    }

    /// The loop over the blocks of a chain.
    fn blocks_of_chain(
        &mut self,
        breaks: Breaks,
        body: &mut dyn FnMut(&mut Self, &ChainBlock) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let par = self.nest.par.len();
        let outer: Vec<usize> = (par..par + breaks.axis).collect();
        let extent = self.extent(par + breaks.axis);
        self.around(&outer, &mut |this| {
            let mut stmts = Vec::new();
            for part in cut(&extent, breaks.count) {
                let var = this.var();
                let mut start = Ix::constant(part.start.clone());
                if !part.count.is(1) {
                    start = start.add(Ix::axis(var).scaled(&part.length));
                }
                let body = body(this, &ChainBlock { start, length: part.length });
                if part.count.is(1) {
                    stmts.extend(body);
                } else {
                    stmts.push(Stmt::For { var, extent: part.count, how: How::Serial, body });
                }
            }
            stmts
        })
    }

    /// The variables and accumulators of register blocks, shared by all of them.
    fn registers(&mut self) -> Registers {
        let (row, unrolled, lane) = (self.var(), self.var(), self.var());
        let mut vars = Vec::new();
        vars.extend(self.schedule.rows.map(|_| row));
        vars.extend(self.schedule.vector.map(|_| unrolled));
        let vector = self.schedule.vector.is_some() && self.schedule.lanes > 1;
        let (init, breaks) = self.start(&vars, vector);
        Registers { row, unrolled, lane, init, breaks }
    }

    /// Makes the accumulators; returns their first values, and the chain's breaks if it has any.
    fn start(&mut self, vars: &[AxisId], vector: bool) -> (Vec<Stmt>, Option<Breaks>) {
        let init = |acc: usize, value: Literal| Stmt::Init { acc, value };
        match &self.nest.reduce {
            None => (Vec::new(), None),
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

    /// The axis and count of the chain's blocks with a scratch tile for them, unless one block is all.
    fn breaks(&mut self, acc: usize) -> Option<Breaks> {
        let Some(ReducePlan::Chain { axis, count }) = self.nest.plan().filter(|_| !self.nest.red.is_empty()) else {
            return None;
        };
        if axis == 0 && self.nest.red[0].as_const().is_some_and(|extent| extent <= count) {
            return None;
        }
        let (rows, slots) = match self.schedule.rows {
            None => (1, 1),
            Some((axis, rows)) => (rows, self.extent(axis).as_const().map_or(1, |extent| extent / rows + 1)),
        };
        let slots = if self.schedule.side_by_side { slots } else { 1 };
        self.scratch.push(ScratchTile { acc, registers: rows * self.schedule.vectors, slots });
        Some(Breaks { axis, count, scratch: self.scratch.len() - 1 })
    }

    /// Terms of all `axes` in order, one turn of the innermost loop unrolled a few times.
    fn chain(
        &mut self,
        axes: &[usize],
        over: &mut dyn FnMut(&mut Self, &mut dyn FnMut(&mut Self) -> Vec<Stmt>) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let Some((last, outer)) = axes.split_last() else { return over(self, &mut |this| this.term()) };
        let last = *last;
        self.around(outer, &mut |this| {
            let extent = this.extent(last);
            this.unrolled(last, &Ix::constant(0), &extent, &mut |this| over(this, &mut |this| this.term()))
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
            }
            if part.count.is(1) {
                stmts.extend(inside);
            } else {
                stmts.push(Stmt::For { var: outer, extent: part.count, how: How::Serial, body: inside });
            }
        }
        stmts
    }

    fn chain_part(
        &mut self,
        axis: usize,
        start: &Ix,
        length: &Dim,
        inner: &[usize],
        over: &mut dyn FnMut(&mut Self, &mut dyn FnMut(&mut Self) -> Vec<Stmt>) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        if inner.is_empty() {
            return self.unrolled(axis, start, length, &mut |this| over(this, &mut |this| this.term()));
        }
        if length.is(1) {
            self.at[axis] = start.clone();
            return self.chain(inner, over);
        }
        let var = self.var();
        self.at[axis] = start.clone().add(Ix::axis(var));
        let body = self.chain(inner, over);
        vec![Stmt::For { var, extent: length.clone(), how: How::Serial, body }]
    }

    /// One term into the accumulator of this element.
    fn term(&mut self) -> Vec<Stmt> {
        let acc = match self.reduced {
            Some(Result::Acc(acc) | Result::Best(acc, _)) => acc,
            None => mlc_ir::internal_error("tree", "a term without a reduction"),
        };
        self.term_into(acc)
    }

    fn term_into(&mut self, acc: usize) -> Vec<Stmt> {
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

    // ---- one output at a time, terms dealt to lanes

    fn lanes(&mut self) -> Vec<Part> {
        let tiles = self.tile_vars();
        let inner = self.inner_axes(&[]);
        let body = self.around(&inner, &mut |this| this.lanes_body());
        vec![Part { tiles, body }]
    }

    fn lanes_body(&mut self) -> Vec<Stmt> {
        let (dtype, combine) = match &self.nest.reduce {
            Some(Reduction::Fold { dtype, combine, .. }) => (*dtype, *combine),
            Some(Reduction::Dot { dtype, .. }) => (*dtype, Combine::Sum),
            Some(Reduction::Best { .. }) | None => mlc_ir::internal_error("tree", "this reduction is not dealt to lanes"),
        };
        let axis = self.nest.par.len() + self.nest.red.len() - 1;
        let extent = self.extent(axis);
        let logical = logical_lanes(dtype);
        let lanes = self.schedule.lanes;
        let parts = extent.as_const().map_or(logical, |extent| extent.clamp(1, logical));
        let parts = i64::from(((parts + lanes - 1) / lanes).clamp(1, 64).unsigned_abs().next_power_of_two() as i32);
        let unrolled = self.var();
        let acc = self.acc(vec![unrolled], dtype, lanes > 1);
        let into = self.acc(Vec::new(), dtype, false);
        self.reduced = Some(Result::Acc(into));
        let unroll = |body: Vec<Stmt>| Stmt::For { var: unrolled, extent: Dim::from(parts), how: How::Unroll, body };
        let init = vec![Stmt::Init { acc, value: identity(combine, dtype) }];
        let mut stmts = vec![unroll(init)];
        let outer: Vec<usize> = (self.nest.par.len()..axis).collect();
        stmts.extend(self.around(&outer, &mut |this| {
            let mut stmts = Vec::new();
            for part in cut(&extent, logical) {
                let turn = this.var();
                let lane = this.var();
                let first = Ix::constant(part.start.clone());
                let first = if part.count.is(1) { first } else { first.add(Ix::axis(turn).times(logical)) };
                let offset = Ix::axis(unrolled).times(lanes);
                this.at[axis] = first.add(offset.clone()).add(Ix::axis(lane));
                let partial = part.length.as_const() != Some(logical);
                let valid = partial.then(|| Ix::constant(part.length.clone()).sub(offset));
                let term = this.term_into(acc);
                let body = vec![unroll(vec![Stmt::For {
                    var: lane,
                    extent: Dim::from(lanes),
                    how: How::Vector { valid },
                    body: term,
                }])];
                if part.count.is(1) {
                    stmts.extend(body);
                } else {
                    stmts.push(Stmt::For { var: turn, extent: part.count, how: How::Serial, body });
                }
            }
            stmts
        }));
        stmts.push(Stmt::Halve { from: acc, parts, into, combine });
        stmts.extend(self.epilogue());
        stmts.extend((0..self.accs.len()).map(|acc| Stmt::Release { acc }));
        stmts
    }
}

/// Blocks of `length`, then the rest as one shorter block (of 0 elements if the extent is symbolic and divides).
fn cut(extent: &Dim, length: i64) -> Vec<Segment> {
    let segment = |start: Dim, count: Dim, length: Dim| Segment { start, count, length, partial: false };
    match extent.as_const() {
        Some(total) => {
            let mut segments = Vec::new();
            if total / length > 0 {
                segments.push(segment(Dim::zero(), Dim::from(total / length), Dim::from(length)));
            }
            if total % length > 0 {
                segments.push(segment(Dim::from(total / length * length), Dim::one(), Dim::from(total % length)));
            }
            segments
        }
        None => {
            let full = floor_div(extent, length);
            let start = mul(&full, length);
            let rest = sub(extent, &start);
            vec![segment(Dim::zero(), full, Dim::from(length)), segment(start, Dim::one(), rest)]
        }
    }
}

/// Blocks of `length`, then the rest: one shorter block if its length is a number, single elements if not.
fn cut_rows(extent: &Dim, length: i64) -> Vec<Segment> {
    let mut segments = cut(extent, length);
    if extent.as_const().is_none() {
        if length == 1 {
            segments.truncate(1);
        } else if let Some(rest) = segments.last_mut() {
            std::mem::swap(&mut rest.count, &mut rest.length);
        }
    }
    segments
}

fn checked(result: std::result::Result<Dim, mlc_ir::dim::SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("tree", &format!("a size that was checked before: {error:?}")),
    }
}

fn add(a: &Dim, b: i64) -> Dim {
    checked(a.add(&Dim::from(b)))
}

fn sub(a: &Dim, b: &Dim) -> Dim {
    checked(a.sub(b))
}

fn mul(a: &Dim, b: i64) -> Dim {
    checked(a.mul(&Dim::from(b)))
}

fn floor_div(a: &Dim, b: i64) -> Dim {
    checked(a.floor_div(b))
}
