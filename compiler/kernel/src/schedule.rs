//! Schedule: how a nest is run. Data, chosen by a small cost model from the nest and a [`Machine`];
//! no choice changes a bit of the result, since the order of sums is the nest's.

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
    /// Fused multiply-adds a cycle.
    pub fma_per_cycle: i64,
    /// Loads a cycle.
    pub loads_per_cycle: i64,
    /// Instructions a cycle.
    pub issue: i64,
    /// Whether a multiply-add takes the place of its addend.
    pub in_place: bool,
}

impl Machine {
    /// x86-64-v3 through 128-bit lanes.
    pub const LANES_128: Machine = Machine {
        vector_bits: 128,
        vector_registers: 16,
        fma_per_cycle: 2,
        loads_per_cycle: 2,
        issue: 6,
        in_place: false,
    };

    /// x86-64-v3.
    pub const LANES_256: Machine = Machine {
        vector_bits: 256,
        vector_registers: 16,
        fma_per_cycle: 2,
        loads_per_cycle: 2,
        issue: 6,
        in_place: true,
    };

    /// x86-64-v4.
    pub const LANES_512: Machine = Machine {
        vector_bits: 512,
        vector_registers: 32,
        fma_per_cycle: 2,
        loads_per_cycle: 2,
        issue: 6,
        in_place: true,
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
    /// Rows of a tile of a `Block`, a multiple of those of a register block; all of them if absent.
    pub tile_rows: Option<i64>,
    /// Whether the register blocks of a tile go through a long chain side by side, block of terms by
    /// block of terms, so that what they read stays in a near cache.
    pub side_by_side: bool,
    /// Turns of the innermost reduced loop that are unrolled.
    pub unroll: i64,
    /// Parallel axes, outermost first, that make up tiles.
    pub tiles: Vec<usize>,
    /// Whether blocks of the vector axis are tiles too.
    pub tile_blocks: bool,
    /// Elements of one tile of a one-axis map.
    pub chunk: i64,
    /// Vectors of a tile whose single rows are gone through a few terms at a time, all vectors for these;
    /// 0: a register block goes through its chain.
    pub stream: i64,
}

/// Tiles from which on there are enough of them.
const ENOUGH_TILES: i64 = 64;

/// Terms from which on register blocks go through a chain side by side.
const LONG_CHAIN: i64 = 1024;

/// Register blocks side by side at most.
const SIDE_BY_SIDE: i64 = 128;

/// Elements of a tile of a one-axis map.
const CHUNK: i64 = 4096;

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
        Some(ReducePlan::Chain { .. }) => Shape::Block,
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
        tile_rows: None,
        side_by_side: false,
        unroll: 1,
        tiles: Vec::new(),
        tile_blocks: false,
        chunk: CHUNK,
        stream: 0,
    };
    match shape {
        Shape::Map => {
            schedule.rows = strips(nest, schedule.lanes);
            schedule.vectors = if schedule.rows.is_some() { 1 } else { 2 };
        }
        Shape::Lanes | Shape::Scan | Shape::Sort | Shape::Scatter => {}
        Shape::Block => choose_block(nest, machine, typical, &mut schedule),
    }
    choose_tiles(nest, &mut schedule);
    schedule.tile_rows = tile_rows(nest, &schedule, typical);
    schedule.stream = stream(nest, &schedule);
    schedule.tile_blocks |= schedule.stream > 0;
    schedule
}

/// Bytes of an operand that stay in a thread's own cache.
const OWN_CACHE: i64 = 512 << 10;

/// Register blocks of a tile for which its vectors are worth reading.
const FEW_BLOCKS: i64 = 4;

/// Terms below which what is read behind a chain takes longer than the chain.
const SHORT_CHAIN: i64 = 256;

/// The rows of a tile, where not all of them are one. An operand that no cache holds is read again for the
/// vectors of every tile: then as many rows as stay near. And behind short chains that read one element of
/// something for each output, as an optimizer's update does, those of a register block: tiles one after
/// another then go along whole rows of it.
fn tile_rows(nest: &Nest, schedule: &Schedule, typical: &[(Sym, i64)]) -> Option<i64> {
    let Some(Reduction::Dot { left, right, dtype }) = nest.reduce.as_ref().filter(|_| schedule.shape == Shape::Block)
    else {
        return None;
    };
    let ((axis, rows), vector) = (schedule.rows?, schedule.vector?);
    let extent = size_at(&nest.par[axis], typical);
    let terms = nest.red.iter().map(|dim| size_at(dim, typical)).fold(1, i64::saturating_mul);
    let row_bytes = terms.saturating_mul(dtype.bytes());
    let vectors = if depends(left, AxisId(vector as u32)) { left } else { right };
    let columns: Vec<usize> =
        (0..nest.par.len()).filter(|other| *other != axis && depends(vectors, AxisId(*other as u32))).collect();
    let size = |axes: &mut dyn Iterator<Item = usize>| {
        axes.map(|other| size_at(&nest.par[other], typical)).fold(1, i64::saturating_mul)
    };
    let others = if depends(left, AxisId(vector as u32)) { right } else { left };
    let of_batch = |other: &usize| depends(others, AxisId(*other as u32));
    if columns.iter().any(of_batch) {
        let columns = size(&mut columns.iter().copied().filter(|other| !of_batch(other)));
        return rows_of_a_batch(nest.par[axis].as_const()?, rows, columns.max(terms).saturating_mul(dtype.bytes()));
    }
    let columns = size(&mut columns.into_iter());
    let wide = size_at(&nest.par[vector], typical) < columns;
    let wanted = if terms <= SHORT_CHAIN && columns.saturating_mul(row_bytes) <= FAR && reads_behind(nest, axis) {
        rows
    } else if extent.saturating_mul(row_bytes) > FAR && OWN_CACHE / row_bytes >= FEW_BLOCKS * rows {
        OWN_CACHE / row_bytes / rows * rows
    } else {
        return None;
    };
    (wide && wanted < extent).then_some(wanted)
}

/// Bytes of the rows, of results or terms, that one element of a batch has at most without being cut.
const WHOLE: i64 = 256 << 10;

/// Bytes of them in a tile, where they are cut.
const TILE: i64 = 128 << 10;

/// The rows of a tile of a contraction that is made for each element of a batch, as those of an attention are
/// for each head: few enough for what is computed of them to stay near, and all tiles alike.
fn rows_of_a_batch(extent: i64, rows: i64, row_bytes: i64) -> Option<i64> {
    if extent.saturating_mul(row_bytes) <= WHOLE {
        return None;
    }
    let most = (TILE / row_bytes).max(2 * rows);
    let mut tile = extent;
    while tile > most && tile % 2 == 0 {
        tile /= 2;
    }
    (tile <= most && tile >= rows).then_some(tile)
}

/// Whether what follows the reduction reads other elements for other values of an axis.
fn reads_behind(nest: &Nest, axis: usize) -> bool {
    let axis = AxisId(axis as u32);
    let mut roots = nest.lets.iter().chain(nest.stores.iter().map(|store| &store.value));
    roots.any(|root| depends_in_memory(root, axis))
}

fn depends_in_memory(root: &Expr, axis: AxisId) -> bool {
    let mut found = false;
    root.each(&mut |e| found |= matches!(e, Expr::Load { .. }) && changes(e, axis));
    found
}

/// Bytes of an operand that no cache holds from one call to the next.
const FAR: i64 = 4 << 20;

/// Vectors of a stream: at least some pages of memory in a row, and some tiles for threads.
const STREAM: (i64, i64) = (8, 64);
const STREAM_TILES: i64 = 4;

/// The vectors of a stream, if single rows are products with something that is read from memory each time.
fn stream(nest: &Nest, schedule: &Schedule) -> i64 {
    let Some(Reduction::Dot { left, right, .. }) = nest.reduce.as_ref().filter(|_| schedule.shape == Shape::Block)
    else {
        return 0;
    };
    let Some(vector) = schedule.vector else { return 0 };
    let single = schedule.rows.is_none_or(|(axis, _)| nest.par[axis].as_const().is_none());
    let Some(extent) = nest.par[vector].as_const().filter(|_| single && nest.red.len() == 1) else { return 0 };
    let operand = if depends(left, AxisId(vector as u32)) { left } else { right };
    let Expr::Load { buffer, .. } = &**operand else { return 0 };
    let source = &nest.buffers[*buffer];
    let bytes = Dim::product(&source.shape).ok().and_then(|n| n.as_const());
    let far = bytes.is_some_and(|elements| elements.saturating_mul(source.dtype.bytes()) >= FAR);
    let vectors = extent / schedule.lanes;
    let fits = schedule.lanes > 1 && vectors >= STREAM.0 * STREAM_TILES;
    if far && fits { (vectors / STREAM_TILES).min(STREAM.1) } else { 0 }
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

fn choose_block(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &mut Schedule) {
    let Some(vector) = schedule.vector else { return };
    let extent = size_at(&nest.par[vector], typical);
    let total = (extent + schedule.lanes - 1) / schedule.lanes;
    let Some(Reduction::Dot { left, right, .. }) = &nest.reduce else {
        let registers = if matches!(nest.reduce, Some(Reduction::Best { .. })) { 4 } else { 8 };
        schedule.vectors = registers.min(total).max(1);
        schedule.unroll = 1;
        return;
    };
    schedule.unroll = 4;
    let candidates = (0..nest.par.len()).filter(|axis| *axis != vector);
    let reuses = |axis: &usize| {
        let id = AxisId(*axis as u32);
        !nest.par[*axis].is(1)
            && (!depends(left, id) || !depends(right, id))
            && (depends(left, id) || depends(right, id))
    };
    // The innermost axis that fills a block: its elements are close to one another. Best one along which
    // the vectors stay the same.
    let vectors = if depends(left, AxisId(vector as u32)) { left } else { right };
    let row_axis = candidates.filter(reuses).max_by_key(|axis| {
        let same = !depends(vectors, AxisId(*axis as u32));
        let size = size_at(&nest.par[*axis], typical);
        (same && size > 1, size.min(4), *axis)
    });
    let (rows, vectors) = best_block(machine, row_axis.map(|axis| &nest.par[axis]), typical, total);
    schedule.rows = row_axis.filter(|_| rows > 1).map(|axis| (axis, rows));
    schedule.vectors = vectors;
    let terms = nest.red.iter().map(|dim| size_at(dim, typical)).fold(1, i64::saturating_mul);
    let blocks = schedule.rows.and_then(|(axis, rows)| Some(nest.par[axis].as_const()? / rows));
    schedule.side_by_side = terms >= LONG_CHAIN && blocks.is_some_and(|blocks| (2..=SIDE_BY_SIDE).contains(&blocks));
}

/// The block with the fewest estimated cycles for all outputs of one row axis and the vector axis.
fn best_block(machine: &Machine, row: Option<&Dim>, typical: &[(Sym, i64)], total: i64) -> (i64, i64) {
    let row_extent = row.map_or(1, |dim| size_at(dim, typical));
    let symbolic = row.is_some_and(|dim| dim.as_const().is_none());
    let mut best = (i64::MAX, (1, 1));
    for vectors in 1..=8.min(total) {
        for rows in 1..=12.min(row_extent) {
            if rows * vectors + vectors + 1 > machine.vector_registers {
                continue;
            }
            let tail = row_extent % rows;
            let row_cost = |vectors: i64| {
                let tail_cost = match (tail, symbolic) {
                    (0, _) => 0,
                    (_, true) => tail * block_cost(machine, 1, vectors),
                    (_, false) => block_cost(machine, tail, vectors),
                };
                row_extent / rows * block_cost(machine, rows, vectors) + tail_cost
            };
            let cost =
                total / vectors * row_cost(vectors) + if total % vectors > 0 { row_cost(total % vectors) } else { 0 };
            if cost < best.0 {
                best = (cost, (rows, vectors));
            }
        }
    }
    best.1
}

/// Estimated cycles, times 60, of one term of a block: the tightest of arithmetic, loads and issue.
pub(crate) fn block_cost(machine: &Machine, rows: i64, vectors: i64) -> i64 {
    let fma = rows * vectors * 60 / machine.fma_per_cycle;
    let latency = 4 * 60;
    let loads = (rows + vectors) * 60 / machine.loads_per_cycle;
    // A multiply-add that may not overwrite its addend costs a move as well.
    let moves = if machine.in_place { 0 } else { rows * vectors };
    let issue = (moves + rows * vectors + rows + vectors + 3) * 60 / machine.issue;
    // Of blocks that are equally good the one with the fewest loads, which are not all as near as hoped.
    fma.max(latency).max(loads).max(issue) + loads / 8
}

/// Symbols count as 1: there have to be enough tiles for a batch of one as well.
fn choose_tiles(nest: &Nest, schedule: &mut Schedule) {
    let whole = match &nest.reduce {
        Some(Reduction::Scan { axis, .. } | Reduction::Scatter { axis, .. }) => Some(*axis),
        Some(Reduction::Order { .. }) => nest.par.len().checked_sub(1),
        _ => None,
    };
    let inner = |axis: usize| {
        whole == Some(axis)
            || schedule.shape != Shape::Lanes && Some(axis) == schedule.vector
            || schedule.rows.is_some_and(|(row, _)| row == axis)
    };
    let mut count = 1i64;
    for axis in (0..nest.par.len()).filter(|axis| !inner(*axis)) {
        if count >= ENOUGH_TILES {
            break;
        }
        schedule.tiles.push(axis);
        count = count.saturating_mul(size_at(&nest.par[axis], &[]));
    }
    schedule.tile_blocks = schedule.shape == Shape::Block && count < 16;
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
    nest.lets.iter().for_each(&mut *f);
    nest.stores.iter().for_each(|store| f(&store.value));
}
