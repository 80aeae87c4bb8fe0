//! Building Lane code with value numbering and hoisting at insertion: a pure op goes to the
//! outermost open block in which its operands are known, and equal ops are one value. So what doesn't
//! depend on a loop ends up before it, without a pass.

use crate::lane::{Block, Convert, Elem, IBinary, Inst, Lane, Mem, Op, Shift, Tail, Ty, V};
use rustc_hash::FxHashMap;
use smallvec::smallvec;

#[derive(Default)]
struct Open {
    insts: Vec<Inst>,
    known: FxHashMap<Op, V>,
    /// Loads from memory that this kernel writes: forgotten at each store.
    fragile: Vec<Op>,
    /// What loops made, by what they were made from.
    made: FxHashMap<Vec<V>, Vec<V>>,
    looped: Option<PendingLoop>,
}

struct PendingLoop {
    index: V,
    low: V,
    high: V,
    init: Vec<V>,
    params: Vec<V>,
}

/// A Lane body under construction.
pub struct LaneBuilder {
    types: Vec<Ty>,
    depth: Vec<usize>,
    constants: FxHashMap<V, i64>,
    blocks: Vec<Open>,
}

/// Whether other code of the kernel writes the memory that a load reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Nobody writes it: the load may be hoisted and shared.
    Constant,
    /// It is written: the load stays where it is.
    Written,
}

/// The type of sizes and indices.
pub const I64: Ty = Ty { elem: Elem::I64, lanes: 1, bits: 64 };
/// The type of addresses.
pub const PTR: Ty = Ty { elem: Elem::Ptr, lanes: 1, bits: 64 };

impl Default for LaneBuilder {
    fn default() -> LaneBuilder {
        LaneBuilder::new()
    }
}

impl LaneBuilder {
    /// An empty body.
    pub fn new() -> LaneBuilder {
        LaneBuilder {
            types: Vec::new(),
            depth: Vec::new(),
            constants: FxHashMap::default(),
            blocks: vec![Open::default()],
        }
    }

    /// The type of a value.
    pub fn ty(&self, v: V) -> Ty {
        self.types[v.index()]
    }

    /// How many loops around its definition a value knows.
    pub fn depth_of(&self, v: V) -> usize {
        self.depth[v.index()]
    }

    fn value(&mut self, ty: Ty, depth: usize) -> V {
        self.types.push(ty);
        self.depth.push(depth);
        V(self.types.len() as u32 - 1)
    }

    fn deepest(&self, operands: &[V]) -> usize {
        operands.iter().map(|v| self.depth[v.index()]).max().unwrap_or(0)
    }

    /// `op` of type `ty`, shared and hoisted.
    pub fn def(&mut self, op: Op, ty: Ty) -> V {
        let depth = self.deepest(&operands(&op));
        self.def_at(depth, op, ty)
    }

    fn def_at(&mut self, depth: usize, op: Op, ty: Ty) -> V {
        if let Some(known) = self.blocks[depth].known.get(&op).filter(|v| self.types[v.index()] == ty) {
            return *known;
        }
        let result = self.value(ty, depth);
        self.blocks[depth].known.insert(op.clone(), result);
        self.blocks[depth].insts.push(Inst::Def { result, op });
        result
    }

    /// A load.
    pub fn load(&mut self, (ptr, disp): (V, i32), mem: Mem, lanes: u8, tail: Tail, memory: Memory) -> V {
        let op = Op::Load { ptr, disp, mem, tail };
        let ty = Ty::new(mem.elem(), lanes);
        match memory {
            Memory::Constant => self.def(op, ty),
            Memory::Written => {
                let depth = self.blocks.len() - 1;
                self.blocks[depth].fragile.push(op.clone());
                self.def_at(depth, op, ty)
            }
        }
    }

    /// A store.
    pub fn store(&mut self, (ptr, disp): (V, i32), mem: Mem, tail: Tail, value: V) {
        for block in &mut self.blocks {
            for op in std::mem::take(&mut block.fragile) {
                block.known.remove(&op);
            }
        }
        self.top().insts.push(Inst::Store { ptr, disp, mem, tail, value });
    }

    /// A hint that memory will be read, or written over.
    pub fn prefetch(&mut self, (ptr, disp): (V, i32), write: bool) {
        self.top().insts.push(Inst::Prefetch { ptr, disp, write });
    }

    fn top(&mut self) -> &mut Open {
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
    }

    /// Opens `for index in low..high` with carried values; returns the index and the carried values in the body.
    pub fn open_loop(&mut self, low: V, high: V, init: Vec<V>) -> (V, Vec<V>) {
        let depth = self.blocks.len();
        let index = self.value(I64, depth);
        let params: Vec<V> = init
            .iter()
            .map(|v| self.types[v.index()])
            .collect::<Vec<_>>()
            .into_iter()
            .map(|ty| self.value(ty, depth))
            .collect();
        let looped = Some(PendingLoop { index, low, high, init, params: params.clone() });
        self.blocks.push(Open { looped, ..Open::default() });
        (index, params)
    }

    /// Closes the innermost loop; returns the carried values after it.
    pub fn close_loop(&mut self, next: Vec<V>) -> Vec<V> {
        let Some(Open { insts, looped: Some(looped), .. }) = self.blocks.pop() else {
            mlc_ir::internal_error("lane", "a loop is closed that was not opened")
        };
        let depth = self.blocks.len() - 1;
        let results: Vec<V> = looped
            .params
            .iter()
            .map(|p| self.types[p.index()])
            .collect::<Vec<_>>()
            .into_iter()
            .map(|ty| self.value(ty, depth))
            .collect();
        let PendingLoop { index, low, high, init, params } = looped;
        let body = Block { insts };
        self.top().insts.push(Inst::Loop {
            index,
            low,
            high,
            step: 1,
            init,
            params,
            body,
            next,
            results: results.clone(),
        });
        results
    }

    /// What a loop has made of some values that [`LaneBuilder::note_made`] was told of, if that is known here.
    pub fn made(&self, from: &[V]) -> Option<Vec<V>> {
        self.blocks.iter().find_map(|block| block.made.get(from).cloned())
    }

    /// Remembers what a loop made of some values and of nothing else.
    pub fn note_made(&mut self, from: Vec<V>, made: Vec<V>) {
        self.top().made.insert(from, made);
    }

    /// The finished kernel.
    pub fn finish(mut self, name: String, frame_words: u32, scratch_bytes: u32) -> Lane {
        let Some(Open { insts, looped: None, .. }) = self.blocks.pop() else {
            mlc_ir::internal_error("lane", "a loop is still open at the end of a kernel")
        };
        Lane { name, types: self.types, body: Block { insts }, frame_words, scratch_bytes }
    }

    // ---- sizes and indices

    /// A number.
    pub fn index(&mut self, value: i64) -> V {
        let v = self.def(Op::Const(smallvec![value as u64]), I64);
        self.constants.insert(v, value);
        v
    }

    /// The number a value is, if it is one.
    pub fn as_const(&self, v: V) -> Option<i64> {
        self.constants.get(&v).copied()
    }

    /// An op on indices, folded where both are numbers.
    pub fn index_op(&mut self, op: IBinary, a: V, b: V) -> V {
        if let (Some(x), Some(y)) = (self.as_const(a), self.as_const(b))
            && let Some(value) = fold(op, x, y)
        {
            return self.index(value);
        }
        match (op, self.as_const(a), self.as_const(b)) {
            (IBinary::Add, Some(0), _) => return b,
            (IBinary::Add | IBinary::Sub, _, Some(0)) => return a,
            (IBinary::Mul | IBinary::DivFloor, _, Some(1)) => return a,
            (IBinary::Mul, Some(1), _) => return b,
            (IBinary::Mul, _, Some(k)) if k > 0 && k & (k - 1) == 0 => {
                return self.def(Op::Shift(Shift::Left, a, k.trailing_zeros() as u8), I64);
            }
            (IBinary::DivFloor, _, Some(k)) if k > 0 && k & (k - 1) == 0 => {
                return self.def(Op::Shift(Shift::RightS, a, k.trailing_zeros() as u8), I64);
            }
            (IBinary::ModFloor, _, Some(k)) if k > 0 && k & (k - 1) == 0 => {
                let mask = self.index(k - 1);
                return self.def(Op::IBinary(IBinary::And, a, mask), I64);
            }
            _ => {}
        }
        self.def(Op::IBinary(op, a, b), I64)
    }

    /// `v · k`.
    pub fn scale(&mut self, v: V, k: i64) -> V {
        let k = self.index(k);
        self.index_op(IBinary::Mul, v, k)
    }

    // ---- numbers

    /// Equal bits in every lane.
    pub fn bits(&mut self, ty: Ty, bits: u64) -> V {
        self.def(Op::Const(smallvec![bits]), ty)
    }

    /// A float constant.
    pub fn float(&mut self, ty: Ty, value: f64) -> V {
        match ty.elem {
            Elem::F32 => self.bits(ty, u64::from((value as f32).to_bits())),
            Elem::F64 => self.bits(ty, value.to_bits()),
            Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask => {
                mlc_ir::internal_error("lane", "a float constant of another element")
            }
        }
    }

    /// An integer constant.
    pub fn int(&mut self, ty: Ty, value: i64) -> V {
        let bits = if ty.elem == Elem::I32 { u64::from(value as i32 as u32) } else { value as u64 };
        self.bits(ty, bits)
    }

    /// A conversion.
    pub fn convert(&mut self, convert: Convert, v: V) -> V {
        let from = self.ty(v);
        let elem = match convert {
            Convert::F32F64 | Convert::I32F64 | Convert::I64F64 | Convert::I64BitsF64 => Elem::F64,
            Convert::F64F32 | Convert::I32F32 | Convert::I64F32 | Convert::I32BitsF32 => Elem::F32,
            Convert::F32I32 | Convert::F64I32 | Convert::I64I32 | Convert::F32BitsI32 => Elem::I32,
            Convert::F32I64 | Convert::F64I64 | Convert::I32I64 | Convert::F64BitsI64 => Elem::I64,
            Convert::MaskInt if from.bits == 64 => Elem::I64,
            Convert::MaskInt => Elem::I32,
        };
        self.def(Op::Convert(convert, v), Ty::new(elem, from.lanes))
    }
}

fn fold(op: IBinary, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        IBinary::Add => a.wrapping_add(b),
        IBinary::Sub => a.wrapping_sub(b),
        IBinary::Mul => a.wrapping_mul(b),
        IBinary::Min => a.min(b),
        IBinary::Max => a.max(b),
        IBinary::DivFloor if b > 0 => a.div_euclid(b),
        IBinary::ModFloor if b > 0 => a.rem_euclid(b),
        IBinary::DivFloor | IBinary::ModFloor | IBinary::And | IBinary::Or | IBinary::Xor | IBinary::MulHighU => {
            return None;
        }
    })
}

/// The values an op reads.
pub fn operands(op: &Op) -> smallvec::SmallVec<[V; 4]> {
    match op {
        Op::Const(_) | Op::FrameSize(_) | Op::FramePtr(_) | Op::ScratchPtr | Op::TileLow | Op::TileHigh => smallvec![],
        Op::Load { ptr, tail, .. } => match tail {
            Tail::Value(count) => smallvec![*ptr, *count],
            Tail::Full | Tail::Const(_) => smallvec![*ptr],
        },
        Op::FUnary(_, a)
        | Op::MaskNot(a)
        | Op::Convert(_, a)
        | Op::Splat(a)
        | Op::Extract(a, _)
        | Op::Shift(_, a, _) => {
            smallvec![*a]
        }
        Op::PtrAdd(a, b)
        | Op::FBinary(_, a, b)
        | Op::IBinary(_, a, b)
        | Op::FCmp(_, a, b)
        | Op::ICmp(_, a, b)
        | Op::MaskAnd(a, b)
        | Op::MaskOr(a, b) => smallvec![*a, *b],
        Op::MulAdd(a, b, c) | Op::Select(a, b, c) => smallvec![*a, *b, *c],
        Op::Pack(parts) => parts.clone(),
    }
}
