//! Schedule: how a nest is run. Data, chosen by a small cost model from the nest and a [`Machine`];
//! no choice changes a bit of the result, since the order of sums is the nest's.

mod block;
mod tiles;
mod windows;

pub(crate) use block::block_cost;
pub(crate) use tiles::{column_orders, tile_axes, traffic};

use crate::expr::{Address, Expr, ExprRef, Index};
use crate::nest::{Nest, ReducePlan, Reduction, axis_coef};
use crate::widths;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::index::{AxisId, Cond, Ix};

/// What the cost model knows of the processor.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Bits of a vector register.
    pub vector_bits: i64,
    /// Vector registers.
    pub vector_registers: i64,
    /// Those that multiply-adds take besides sums and what is read: for products that are added by an instruction of
    /// their own, and for copies of addends.
    pub product_registers: i64,
    /// Fused multiply-adds a cycle.
    pub fma_per_cycle: i64,
    /// Loads a cycle.
    pub loads_per_cycle: i64,
    /// Instructions a cycle.
    pub issue: i64,
    /// Whether a multiply-add takes the place of its addend.
    pub in_place: bool,
    /// Bytes of the cache that a core has for itself.
    pub own_cache: i64,
    /// Bytes a cycle that come from beyond it before multiply-adds have to wait.
    pub far_bytes: i64,
}

impl Machine {
    /// x86-64-v3 through 128-bit lanes.
    pub const LANES_128: Machine = Machine {
        vector_bits: 128,
        vector_registers: 16,
        product_registers: 4,
        fma_per_cycle: 2,
        loads_per_cycle: 2,
        issue: 6,
        in_place: false,
        own_cache: 512 << 10,
        far_bytes: 4,
    };

    /// x86-64-v3.
    pub const LANES_256: Machine = Machine {
        vector_bits: 256,
        vector_registers: 16,
        product_registers: 0,
        fma_per_cycle: 2,
        loads_per_cycle: 2,
        issue: 6,
        in_place: true,
        own_cache: 512 << 10,
        far_bytes: 4,
    };

    /// x86-64-v4.
    pub const LANES_512: Machine = Machine {
        vector_bits: 512,
        vector_registers: 32,
        product_registers: 0,
        fma_per_cycle: 2,
        loads_per_cycle: 2,
        issue: 6,
        in_place: true,
        own_cache: 1 << 20,
        far_bytes: 4,
    };
}

/// The ways a nest is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No reduction: a loop over elements.
    Map,
    /// A block of outputs in registers, terms one after another.
    Block,
    /// One output at a time, terms dealt to lanes.
    Lanes,
    /// One element after another along an axis, each from the one before.
    Scan,
    /// Whole rows put in order.
    Sort,
    /// Terms added one after another where they belong.
    Scatter,
}

/// What tiles are, one beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// The values of a parallel axis.
    Axis(usize),
    /// So many rows each of a `Block`, at least those of a register block. Without it all rows are in one tile.
    Rows(i64),
    /// Blocks of the vector axis of a `Block`, as wide as a register block or a stream.
    Blocks,
}

/// How a nest is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Which way.
    pub shape: Shape,
    /// Elements of a vector; 1: scalar code.
    pub lanes: i64,
    /// Bits of each: all that vary along a vector are equally wide.
    pub element_bits: i64,
    /// The axis that vectors lie along: the last parallel one for `Map` and `Block`, the last reduced
    /// one for `Lanes`. None for a single element.
    pub vector: Option<usize>,
    /// Vectors side by side in the register block.
    pub vectors: i64,
    /// The parallel axis of the block's rows, and how many; of a `Map`, that of strips.
    pub rows: Option<(usize, i64)>,
    /// Whether the register blocks of a tile go through a long chain side by side, block of terms by
    /// block of terms, so that what they read stays in a near cache.
    pub side_by_side: bool,
    /// Turns of the innermost reduced loop that are unrolled.
    pub unroll: i64,
    /// What tiles are, outermost first: those one after another differ in the last. Strips of a `Map` come behind.
    pub tiles: Vec<Tile>,
    /// Elements of one tile of a one-axis map.
    pub chunk: i64,
    /// Vectors of a tile whose single rows are gone through a few terms at a time, all vectors for these;
    /// 0: a register block goes through its chain.
    pub stream: i64,
}

impl Schedule {
    /// Whether the values of an axis are tiles.
    pub fn is_tiled(&self, axis: usize) -> bool {
        self.tiles.contains(&Tile::Axis(axis))
    }

    /// The parallel axes of a `Block` that are neither tiles nor in its register block, outermost first.
    pub(crate) fn inner_axes(&self, nest: &Nest) -> Vec<usize> {
        let rows = self.rows.map(|(axis, _)| axis);
        (0..nest.par.len())
            .filter(|axis| !self.is_tiled(*axis) && ![rows, self.vector].contains(&Some(*axis)))
            .collect()
    }

    /// Those of them that a tile goes through in every block of terms, beside its rows, and not around its chains:
    /// all, where they leave the columns as they are and so many register blocks may be under way, else none.
    pub(crate) fn axes_beside(&self, nest: &Nest) -> Vec<usize> {
        let (inner, vector) = (self.inner_axes(nest), self.vector.map(|axis| AxisId(axis as u32)));
        let (Some(Reduction::Dot { left, right, .. }), Some(vector), true) = (&nest.reduce, vector, self.side_by_side)
        else {
            return Vec::new();
        };
        let columns = if depends(left, vector) { left } else { right };
        let blocks = inner.iter().try_fold(self.most_row_blocks(nest), |blocks, axis| {
            nest.par[*axis].as_const().map(|extent| blocks.saturating_mul(extent))
        });
        let few = blocks.is_some_and(|blocks| blocks <= SIDE_BY_SIDE);
        let stay = inner.iter().all(|axis| !depends(columns, AxisId(*axis as u32)));
        if few && stay { inner } else { Vec::new() }
    }

    /// Register blocks at most that a tile goes through side by side.
    pub(crate) fn blocks_beside(&self, nest: &Nest) -> i64 {
        let extents = self.axes_beside(nest).into_iter().filter_map(|axis| nest.par[axis].as_const());
        extents.product::<i64>() * self.most_row_blocks(nest)
    }

    /// Register blocks at most of a tile's rows; 1 if nobody knows.
    pub(crate) fn most_row_blocks(&self, nest: &Nest) -> i64 {
        let Some((axis, rows)) = self.rows else { return 1 };
        let extent = nest.par[axis].as_const();
        let most = self.tile_rows().map_or(extent, |tile| Some(extent.map_or(tile, |extent| extent.min(tile))));
        most.map_or(1, |most| (most + rows - 1) / rows)
    }

    /// Whether tiles are those of another schedule of the same nest, which is what kernels that are run with it unit
    /// by unit hang on.
    pub fn has_tiles_of(&self, other: &Schedule) -> bool {
        let digits = |it: &Schedule| {
            let columns = it.tiles.contains(&Tile::Blocks).then_some(it.vectors);
            let strips = it.rows.filter(|_| it.shape == Shape::Map);
            (it.chunk, it.stream, columns, strips)
        };
        self.tiles == other.tiles && digits(self) == digits(other)
    }

    /// Rows of a tile; absent if they all are in one.
    pub fn tile_rows(&self) -> Option<i64> {
        self.tiles.iter().find_map(|tile| match tile {
            Tile::Rows(rows) => Some(*rows),
            Tile::Axis(_) | Tile::Blocks => None,
        })
    }
}

/// Bytes of memory that a thread has for the sums of a kernel: `SCRATCH_BYTES` of the runtime.
pub const SCRATCH: i64 = 256 << 10;

/// Register blocks side by side at most, whose sums are in that memory.
const SIDE_BY_SIDE: i64 = 128;

/// Bytes of an operand that no cache holds from one call to the next.
const FAR: i64 = 4 << 20;

/// Elements of a tile of a one-axis map.
pub(crate) const CHUNK: i64 = 4096;

/// The schedule of a nest.
pub fn choose(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)]) -> Schedule {
    let plan = nest.plan();
    let shape = match plan {
        None => match nest.reduce {
            Some(Reduction::Scan { .. }) => Shape::Scan,
            Some(Reduction::Order { .. }) => Shape::Sort,
            Some(Reduction::Scatter { .. }) => Shape::Scatter,
            _ => Shape::Map,
        },
        Some(ReducePlan::Lanes) => Shape::Lanes,
        Some(ReducePlan::Chain { .. } | ReducePlan::Blocks) => Shape::Block,
    };
    let vector = match shape {
        Shape::Map | Shape::Block => nest.par.len().checked_sub(1),
        Shape::Lanes => Some(nest.par.len() + nest.red.len() - 1),
        Shape::Scan | Shape::Sort => None,
        // Elements side by side behind the scattered axis have one coordinate.
        Shape::Scatter => nest.par.len().checked_sub(1),
    };
    let lanes = vector.map_or(1, |axis| widths::lanes_along(nest, AxisId(axis as u32), machine));
    let mut schedule = Schedule {
        shape,
        lanes,
        element_bits: if lanes > 1 { machine.vector_bits / lanes } else { 32 },
        vector,
        vectors: 1,
        rows: None,
        side_by_side: false,
        unroll: 1,
        tiles: Vec::new(),
        chunk: CHUNK,
        stream: 0,
    };
    match shape {
        Shape::Map => {
            schedule.rows = strips(nest, schedule.lanes);
            schedule.vectors = if schedule.rows.is_some() || draws(nest) { 1 } else { 2 };
        }
        Shape::Lanes | Shape::Scan | Shape::Sort | Shape::Scatter => {}
        Shape::Block => block::choose_block(nest, machine, typical, &mut schedule),
    }
    schedule.stream = block::stream(nest, &schedule);
    tiles::choose(nest, machine, typical, &mut schedule);
    windows::choose(nest, machine, typical, &schedule).unwrap_or(schedule)
}

/// Whether a nest draws random numbers: ten rounds of multiplications for each, which keep a processor busy for one
/// vector as well as for two.
fn draws(nest: &Nest) -> bool {
    let mut found = false;
    each_root(nest, &mut |root| root.each(&mut |e| found |= matches!(e, Expr::Random { .. })));
    found
}

/// Elements of a line of memory, of those that are read across vectors.
const LINE: i64 = 16;

/// The axis along which neighbours are read that vectors lie across, as in a transpose, and the rows of
/// a strip.
fn strips(nest: &Nest, lanes: i64) -> Option<(usize, i64)> {
    let vector = nest.par.len().checked_sub(1).filter(|_| lanes > 1)?;
    let mut found = None;
    each_root(nest, &mut |root| {
        root.each(&mut |e| {
            let Expr::Load { at: Address::Linear(ix), .. } = e else { return };
            let across = !matches!(axis_coef(ix, AxisId(vector as u32)), Some(0 | 1));
            let along = |axis: &usize| axis_coef(ix, AxisId(*axis as u32)) == Some(1);
            if across {
                found = found.or((0..vector).find(along));
            }
        });
    });
    let axis = found?;
    nest.par[axis].as_const().is_none_or(|extent| extent >= LINE).then_some((axis, LINE))
}

/// A size at the typical values of its symbols.
pub(crate) fn size_at(dim: &Dim, typical: &[(Sym, i64)]) -> i64 {
    dim.as_const().unwrap_or_else(|| {
        let mut values = vec![1; 64];
        for (sym, value) in typical {
            if let Some(slot) = values.get_mut(sym.0 as usize) {
                *slot = *value;
            }
        }
        dim.eval(&values).unwrap_or(1)
    })
}

/// Whether an expression's value changes along an axis.
pub fn depends(expr: &Expr, axis: AxisId) -> bool {
    let mut found = false;
    expr.each(&mut |e| found |= changes(e, axis));
    found
}

/// Whether an expression changes along an axis whatever its parts do.
pub(crate) fn changes(expr: &Expr, axis: AxisId) -> bool {
    match expr {
        Expr::Load { at, .. } => match at {
            Address::Linear(ix) => mentions(ix, axis),
            Address::Axes { index, within, .. } => {
                index.iter().filter_map(Index::affine).any(|ix| mentions(ix, axis))
                    || within.iter().any(|cond| cond_mentions(cond, axis))
            }
        },
        Expr::Position(_, ix) => mentions(ix, axis),
        Expr::Test(conds) => conds.iter().any(|cond| cond_mentions(cond, axis)),
        Expr::Random { element, .. } => mentions(element, axis),
        // What the reduction and the lets give differs along every axis of a vector.
        Expr::Reduced | Expr::BestPosition(_) | Expr::Let(_) => true,
        Expr::Literal(_)
        | Expr::Size(..)
        | Expr::Unary(..)
        | Expr::Binary(..)
        | Expr::Compare(..)
        | Expr::Select(..)
        | Expr::Cast(..) => false,
    }
}

/// Whether an index mentions an axis.
pub fn mentions(ix: &Ix, axis: AxisId) -> bool {
    axis_coef(ix, axis) != Some(0)
}

fn cond_mentions(cond: &Cond, axis: AxisId) -> bool {
    match cond {
        Cond::NotNegative(ix) | Cond::Zero(ix) => mentions(ix, axis),
    }
}

/// Calls `f` for each expression of a nest.
pub fn each_root(nest: &Nest, f: &mut dyn FnMut(&ExprRef)) {
    match &nest.reduce {
        Some(Reduction::Fold { value, .. } | Reduction::Best { value, .. } | Reduction::Order { value, .. }) => {
            f(value);
        }
        Some(Reduction::Scatter { place, value, .. }) => {
            f(place);
            f(value);
        }
        Some(Reduction::Scan { factor, value, .. }) => {
            factor.iter().for_each(&mut *f);
            f(value);
        }
        Some(Reduction::Dot { left, right, .. }) => {
            f(left);
            f(right);
        }
        None => {}
    }
    nest.blocks.iter().for_each(|blocks| f(&blocks.start));
    nest.lets.iter().for_each(&mut *f);
    nest.stores.iter().for_each(|store| f(&store.value));
}
