//! Tree: the loops of a kernel. A [`crate::nest::Nest`] and a [`crate::schedule::Schedule`] give one [`Tree`]; it says what is in
//! registers, what is unrolled and where vectors lie, and still speaks of buffers and index
//! expressions, not of addresses.

mod ahead;
mod block;
mod builder;
mod cut;
mod finish;
mod lanes;
mod map;
mod pieces;
mod rows;
mod stream;
mod terms;

pub use builder::build;

use crate::expr::{ExprRef, Index};
use crate::nest::Buffer;
use mlc_ir::dim::Dim;
use mlc_ir::graph::SpanId;
use mlc_ir::index::{AxisId, Combine, Extreme, Ix, SortOrder};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;

/// A kernel as loops.
#[derive(Clone, Debug)]
pub struct Tree {
    /// As the nest's.
    pub name: String,
    /// As the nest's.
    pub spans: Vec<SpanId>,
    /// As the nest's.
    pub buffers: Vec<Buffer>,
    /// Elements of a vector.
    pub lanes: i64,
    /// Bits of each.
    pub element_bits: i64,
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

/// Memory for the registers of an accumulator between the blocks of a chain, or between the chain and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScratchTile {
    /// Whose registers.
    pub acc: usize,
    /// How many registers a slot holds.
    pub registers: i64,
    /// How many slots: register blocks whose chains are under way at the same time, or rows of a block.
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
    /// `acc = value`, which may read the accumulator as the reduced value.
    Set {
        /// Which.
        acc: usize,
        /// The value.
        value: ExprRef,
    },
    /// Adds to an element whose place data names.
    Add {
        /// Which buffer.
        buffer: usize,
        /// One index for each axis.
        index: Vec<Index>,
        /// What is added.
        value: ExprRef,
    },
    /// Writes the coordinates of a row's elements in their order.
    Sort {
        /// The buffer of the elements.
        keys: usize,
        /// The buffer of the coordinates (i32).
        into: usize,
        /// One like it, for what is sorted in part.
        spare: usize,
        /// The row-major number of the row's first element.
        row: Ix,
        /// Elements of the row.
        extent: Dim,
        /// Which come first.
        order: SortOrder,
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
    /// `scratch[slot] = value`, for the registers of the variables around it.
    Fill {
        /// Which.
        scratch: usize,
        /// Which slot.
        slot: Ix,
        /// The value.
        value: ExprRef,
    },
    /// `scratch[slot] = scratch[slot] + acc`
    Flush {
        /// Which.
        scratch: usize,
        /// Which slot.
        slot: Ix,
    },
    /// `acc = scratch[slot] + acc`
    Total {
        /// Which.
        scratch: usize,
        /// Which slot.
        slot: Ix,
    },
    /// `scratch[slot] = acc`
    Save {
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
    /// Asks for the line of memory that an element is in. The element may lie outside of the buffer.
    Prefetch {
        /// Which buffer.
        buffer: usize,
        /// The element's row-major number.
        at: Ix,
        /// Whether it will be written over rather than read.
        write: bool,
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
    match (combine, dtype.integers()) {
        (Combine::Sum, _) => Literal::zero(dtype),
        (Combine::Prod, _) => Literal::from_i64(dtype, 1),
        (Combine::Max, None) => Literal::from_f64(dtype, f64::NEG_INFINITY),
        (Combine::Min, None) => Literal::from_f64(dtype, f64::INFINITY),
        (Combine::Max, Some((least, _))) => Literal::from_i64(dtype, least),
        (Combine::Min, Some((_, greatest))) => Literal::from_i64(dtype, greatest),
    }
}
