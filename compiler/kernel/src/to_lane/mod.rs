//! Tree→Lane: loops are unrolled, vectors get lanes and tails, index expressions become addresses,
//! mathematical functions become polynomials. Done once, for both emitters.

pub mod address;
pub mod builder;
mod loads;
mod maths;
mod operators;
mod random;
mod reduce;
mod sort;
mod values;

use crate::expr::{Expr, ExprRef};
use crate::lane::{Cmp, IBinary, Lane, Mem, Op, Tail, Ty, V};
use crate::nest::Source;
use crate::tree::{How, Part, Stmt, Tree};
use address::{Lin, Var};
use builder::{I64, LaneBuilder, Memory, PTR};
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix};
use mlc_ir::ty::DType;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use values::Val;

/// A kernel and what its frame holds.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The code.
    pub lane: Lane,
    /// One for each word of the frame.
    pub frame: Vec<FrameWord>,
    /// Number of tiles.
    pub tiles: Dim,
}

/// A word of a kernel's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameWord {
    /// The address of a buffer.
    Buffer(Source),
    /// A size.
    Size(Dim),
}

/// How many lanes of the vector at hand count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Valid {
    All,
    First(i64),
    /// A number known at run time.
    Count {
        /// From 0 to the number of lanes.
        count: V,
        /// Elements from lane 0 on, less one: above the lanes where more follow, below 0 if lane 0 is
        /// already behind the end.
        last: V,
    },
}

/// The register key of an accumulator: its number and the values of its unrolled variables.
type AccKey = (usize, Vec<i64>);

struct Emit<'a> {
    tree: &'a Tree,
    b: LaneBuilder,
    frame: Vec<FrameWord>,
    vars: FxHashMap<AxisId, Var>,
    /// The vector variable, if code is for vectors at the moment, and the lanes that count.
    vector: Option<(AxisId, Valid)>,
    accs: BTreeMap<AccKey, V>,
    /// Registers of a scratch tile's slot, in the order of their first use.
    scratch: Vec<Vec<Vec<i64>>>,
    lets: FxHashMap<usize, Val>,
    memo: FxHashMap<*const Expr, Val>,
    /// Buffers that this kernel writes.
    written: Vec<Source>,
    /// Accumulators whose lanes are combined, so that lanes that don't count must stay out.
    halved: Vec<usize>,
}

/// The memory element of a dtype.
pub fn mem(dtype: DType) -> Mem {
    match dtype {
        DType::F32 => Mem::F32,
        DType::F64 => Mem::F64,
        DType::I32 => Mem::I32,
        DType::I64 => Mem::I64,
        DType::U8 | DType::Bool => Mem::U8,
        DType::I8 => Mem::I8,
    }
}

/// Lowers a kernel.
pub fn lower(tree: &Tree) -> Lowered {
    let mut written = Vec::new();
    let mut halved = Vec::new();
    for part in &tree.parts {
        scan(&part.body, &mut |stmt| match stmt {
            Stmt::Store { buffer, .. } => written.push(tree.buffers[*buffer].source),
            Stmt::Add { buffer, .. } => written.push(tree.buffers[*buffer].source),
            Stmt::Sort { into, spare, .. } => {
                written.extend([tree.buffers[*into].source, tree.buffers[*spare].source]);
            }
            Stmt::Halve { from, .. } => halved.push(*from),
            _ => {}
        });
    }
    let mut emit = Emit {
        tree,
        b: LaneBuilder::new(),
        frame: Vec::new(),
        vars: FxHashMap::default(),
        vector: None,
        accs: BTreeMap::new(),
        scratch: vec![Vec::new(); tree.scratch.len()],
        lets: FxHashMap::default(),
        memo: FxHashMap::default(),
        written,
        halved,
    };
    let tiles = emit.parts();
    let (words, scratch) = (emit.frame.len() as u32, emit.scratch_start(tree.scratch.len()) as u32);
    Lowered { lane: emit.b.finish(tree.name.clone(), words, scratch), frame: emit.frame, tiles }
}

/// Calls `f` for each statement, outer ones first.
fn scan(stmts: &[Stmt], f: &mut dyn FnMut(&Stmt)) {
    for stmt in stmts {
        f(stmt);
        if let Stmt::For { body, .. } = stmt {
            scan(body, f);
        }
    }
}

fn checked(result: Result<Dim, mlc_ir::dim::SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("lane", &format!("a size that was checked before: {error:?}")),
    }
}

impl Emit<'_> {
    /// All parts of the tile range; returns the number of tiles.
    fn parts(&mut self) -> Dim {
        let parts = &self.tree.parts;
        let mut start = Dim::zero();
        for part in parts {
            let count = checked(Dim::product(part.tiles.iter().map(|(_, extent)| extent)));
            let end = checked(start.add(&count));
            self.part(part, &start, &end, parts.len() == 1);
            start = end;
        }
        start
    }

    fn part(&mut self, part: &Part, start: &Dim, end: &Dim, only: bool) {
        let (mut low, mut high) = (self.b.def(Op::TileLow, I64), self.b.def(Op::TileHigh, I64));
        if !only {
            let (start, end) = (self.size(start), self.size(end));
            low = self.b.index_op(IBinary::Max, low, start);
            high = self.b.index_op(IBinary::Min, high, end);
            low = self.b.index_op(IBinary::Sub, low, start);
            high = self.b.index_op(IBinary::Sub, high, start);
        }
        let (tile, _) = self.b.open_loop(low, high, Vec::new());
        self.decode(tile, &part.tiles);
        self.stmts(&part.body);
        self.b.close_loop(Vec::new());
        self.accs.clear();
    }

    /// Binds the tile variables to the digits of the tile's number.
    fn decode(&mut self, tile: V, vars: &[(AxisId, Dim)]) {
        let mut rest = tile;
        for (position, (var, extent)) in vars.iter().enumerate().rev() {
            if position == 0 {
                self.vars.insert(*var, Var::Scalar(rest));
                break;
            }
            let extent = self.size(extent);
            let digit = self.b.index_op(IBinary::ModFloor, rest, extent);
            self.vars.insert(*var, Var::Scalar(digit));
            rest = self.b.index_op(IBinary::DivFloor, rest, extent);
        }
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::For { var, extent, how, body } => self.for_loop(*var, extent, how, body),
            Stmt::Init { acc, value } => self.init(*acc, *value),
            Stmt::Fold { acc, combine, value } => self.fold(*acc, *combine, value),
            Stmt::Set { acc, value } => self.set(*acc, value),
            Stmt::Add { buffer, index, value } => self.add_at(*buffer, index, value),
            Stmt::Sort { keys, into, spare, row, extent, order } => {
                self.sort(&sort::Row { keys: *keys, into: *into, spare: *spare, first: row, extent, order: *order });
            }
            Stmt::MulAdd { acc, left, right } => self.mul_add(*acc, left, right),
            Stmt::Best { acc, position, extreme, value, at } => self.best(*acc, *position, *extreme, value, at),
            Stmt::Halve { from, parts, into, combine } => self.halve(*from, *parts, *into, *combine),
            Stmt::Clear { scratch, slot } => self.clear(*scratch, slot),
            Stmt::Fill { scratch, slot, value } => self.fill(*scratch, slot, value),
            Stmt::Flush { scratch, slot } => self.flush(*scratch, slot),
            Stmt::Total { scratch, slot } => self.total(*scratch, slot),
            Stmt::Save { scratch, slot } => self.save(*scratch, slot),
            Stmt::Recall { scratch, slot } => self.recall(*scratch, slot),
            Stmt::Release { acc } => self.accs.retain(|(other, _), _| other != acc),
            Stmt::Let { number, value } => {
                let value = self.expr(value);
                self.lets.insert(*number, value);
            }
            Stmt::Prefetch { buffer, at, write } => self.prefetch(*buffer, at, *write),
            Stmt::Store { buffer, at, value } => self.store(*buffer, at, value),
        }
    }

    fn for_loop(&mut self, var: AxisId, extent: &Dim, how: &How, body: &[Stmt]) {
        match how {
            How::Unroll => {
                for turn in 0..extent.as_const().unwrap_or(0) {
                    self.vars.insert(var, Var::Const(turn));
                    self.stmts(body);
                }
            }
            How::Vector { valid } => self.vector_loop(var, valid.as_ref(), body),
            How::Serial if extent.is(1) => {
                self.vars.insert(var, Var::Const(0));
                self.stmts(body);
            }
            How::Serial if extent.is(0) => {}
            How::Serial => self.serial_loop(var, extent, body),
        }
        self.vars.remove(&var);
    }

    fn serial_loop(&mut self, var: AxisId, extent: &Dim, body: &[Stmt]) {
        let mut updated = Vec::new();
        let mut fresh = Vec::new();
        scan(body, &mut |stmt| match stmt {
            Stmt::Fold { acc, .. } | Stmt::MulAdd { acc, .. } | Stmt::Set { acc, .. } => updated.push(*acc),
            Stmt::Best { acc, position, .. } => updated.extend([*acc, *position]),
            Stmt::Init { acc, .. } => fresh.push(*acc),
            Stmt::Recall { scratch, .. } => fresh.push(self.tree.scratch[*scratch].acc),
            _ => {}
        });
        let carried: Vec<AccKey> =
            self.accs.keys().filter(|(acc, _)| updated.contains(acc) && !fresh.contains(acc)).cloned().collect();
        let (low, high) = (self.b.index(0), self.size(extent));
        let init = carried.iter().map(|key| self.accs[key]).collect();
        let (index, params) = self.b.open_loop(low, high, init);
        self.vars.insert(var, Var::Scalar(index));
        for (key, param) in carried.iter().zip(params) {
            self.accs.insert(key.clone(), param);
        }
        self.stmts(body);
        let next = carried.iter().map(|key| self.accs[key]).collect();
        let results = self.b.close_loop(next);
        for (key, result) in carried.into_iter().zip(results) {
            self.accs.insert(key, result);
        }
    }

    fn vector_loop(&mut self, var: AxisId, valid: Option<&Ix>, body: &[Stmt]) {
        let lanes = self.tree.lanes;
        let valid = match valid {
            None => Valid::All,
            Some(ix) => {
                let Some(lin) = self.lin(ix) else { mlc_ir::internal_error("lane", "lanes counted along lanes") };
                let count = self.scalar(&lin);
                match self.b.as_const(count) {
                    Some(count) if count <= 0 => return,
                    Some(count) if count >= lanes => Valid::All,
                    Some(count) => Valid::First(count),
                    None => {
                        let one = self.b.index(1);
                        let last = self.b.index_op(IBinary::Sub, count, one);
                        Valid::Count { count: self.clamped(count, 0, lanes), last }
                    }
                }
            }
        };
        self.vector = Some((var, valid));
        let lane = if lanes > 1 { Var::Lane } else { self.only_lane(valid) };
        self.vars.insert(var, lane);
        self.stmts(body);
        self.vector = None;
    }

    /// Lane 0 of scalar code: where it may not count, an element that exists.
    fn only_lane(&mut self, valid: Valid) -> Var {
        match valid {
            Valid::All | Valid::First(_) => Var::Const(0),
            Valid::Count { .. } => self.one_lane(0, valid),
        }
    }

    /// The number of one lane, moved to the last that counts, so that its element exists.
    fn one_lane(&mut self, lane: i64, valid: Valid) -> Var {
        match valid {
            Valid::All => Var::Const(lane),
            Valid::First(count) => Var::Const(lane.min(count - 1)),
            Valid::Count { last, .. } => {
                let lane = self.b.index(lane);
                let lane = self.b.index_op(IBinary::Min, lane, last);
                Var::OneLane(Lin { terms: vec![(lane, 1)], ..Lin::default() })
            }
        }
    }

    fn clamped(&mut self, v: V, low: i64, high: i64) -> V {
        let (low, high) = (self.b.index(low), self.b.index(high));
        let v = self.b.index_op(IBinary::Max, v, low);
        self.b.index_op(IBinary::Min, v, high)
    }

    fn tail(&self) -> Tail {
        match self.vector {
            None | Some((_, Valid::All)) => Tail::Full,
            Some((_, Valid::First(count))) => Tail::Const(count as u8),
            Some((_, Valid::Count { count, .. })) => Tail::Value(count),
        }
    }

    /// Which lanes count, as a mask for values of `ty`; `None` if all do.
    fn valid_mask(&mut self, ty: Ty) -> Option<V> {
        let (_, valid) = self.vector?;
        let count = match valid {
            Valid::All => return None,
            Valid::First(count) => self.b.index(count),
            Valid::Count { count, .. } => count,
        };
        let elem = if ty.bits == 64 { crate::lane::Elem::I64 } else { crate::lane::Elem::I32 };
        let lane_ty = Ty::new(elem, ty.lanes);
        let numbers = self.b.def(Op::Const((0..u64::from(ty.lanes)).collect()), lane_ty);
        let count =
            if elem == crate::lane::Elem::I32 { self.b.convert(crate::lane::Convert::I64I32, count) } else { count };
        let count = if ty.lanes > 1 { self.b.def(Op::Splat(count), lane_ty) } else { count };
        Some(self.b.def(Op::ICmp(Cmp::Lt, numbers, count), Ty::mask_of(lane_ty)))
    }

    // ---- memory

    fn word(&mut self, word: FrameWord) -> u32 {
        let at = self.frame.iter().position(|other| *other == word).unwrap_or_else(|| {
            self.frame.push(word);
            self.frame.len() - 1
        });
        at as u32
    }

    fn frame_size(&mut self, dim: &Dim) -> V {
        let word = self.word(FrameWord::Size(dim.clone()));
        self.b.def(Op::FrameSize(word), I64)
    }

    fn base(&mut self, buffer: usize) -> V {
        let word = self.word(FrameWord::Buffer(self.tree.buffers[buffer].source));
        self.b.def(Op::FramePtr(word), PTR)
    }

    fn memory(&self, buffer: usize) -> Memory {
        if self.written.contains(&self.tree.buffers[buffer].source) { Memory::Written } else { Memory::Constant }
    }

    fn prefetch(&mut self, buffer: usize, at: &Ix, write: bool) {
        let Some(lin) = self.lin(at).filter(|lin| lin.lane == 0) else {
            mlc_ir::internal_error("lane", "lines are asked for one by one")
        };
        let base = self.base(buffer);
        let address = self.address(base, &lin, mem(self.tree.buffers[buffer].dtype));
        self.b.prefetch(address, write);
    }

    fn store(&mut self, buffer: usize, at: &Ix, value: &ExprRef) {
        let dtype = self.tree.buffers[buffer].dtype;
        let value = self.expr(value);
        let vector = self.vector.is_some() && self.tree.lanes > 1;
        let value = self.memory_value(value, vector);
        let Some(lin) = self.lin(at).filter(|lin| lin.lane == i64::from(vector)) else {
            mlc_ir::internal_error("lane", "a store that does not walk its buffer")
        };
        let base = self.base(buffer);
        let address = self.address(base, &lin, mem(dtype));
        let tail = if vector { self.tail() } else { Tail::Full };
        self.b.store(address, mem(dtype), tail, value);
        self.memo.clear();
    }
}
