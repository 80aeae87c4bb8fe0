//! Kernels written by hand.

use mlc_kernel::lane::{Block, Elem, Inst, Lane, Mem, Op, Tail, Ty, V};
use smallvec::smallvec;

pub const INDEX: Ty = Ty { elem: Elem::I64, lanes: 1, bits: 64 };
pub const ADDRESS: Ty = Ty { elem: Elem::Ptr, lanes: 1, bits: 64 };

/// A kernel under construction.
pub struct Build {
    lane: Lane,
    blocks: Vec<Vec<Inst>>,
}

impl Build {
    pub fn new(name: &str, frame_words: u32) -> Build {
        let lane = Lane { name: name.into(), types: vec![], body: Block::default(), frame_words, scratch_bytes: 0 };
        Build { lane, blocks: vec![vec![]] }
    }

    pub fn scratch(&mut self, bytes: u32) -> V {
        self.lane.scratch_bytes = bytes;
        self.def(ADDRESS, Op::ScratchPtr)
    }

    pub fn finish(mut self) -> Lane {
        self.lane.body = self.pop();
        assert!(self.blocks.is_empty());
        self.lane
    }

    pub fn ty(&self, v: V) -> Ty {
        self.lane.types[v.index()]
    }

    pub fn value(&mut self, ty: Ty) -> V {
        self.lane.types.push(ty);
        V(self.lane.types.len() as u32 - 1)
    }

    pub fn inst(&mut self, inst: Inst) {
        self.blocks.last_mut().unwrap().push(inst);
    }

    pub fn def(&mut self, ty: Ty, op: Op) -> V {
        let result = self.value(ty);
        self.inst(Inst::Def { result, op });
        result
    }

    pub fn int(&mut self, number: i64) -> V {
        self.def(INDEX, Op::Const(smallvec![number as u64]))
    }

    pub fn ptr(&mut self, word: u32) -> V {
        self.def(ADDRESS, Op::FramePtr(word))
    }

    pub fn size(&mut self, word: u32) -> V {
        self.def(INDEX, Op::FrameSize(word))
    }

    pub fn load(&mut self, mem: Mem, lanes: u8, ptr: V, disp: i32, tail: Tail) -> V {
        self.def(Ty::new(mem.elem(), lanes), Op::Load { ptr, disp, mem, tail })
    }

    pub fn store(&mut self, mem: Mem, ptr: V, disp: i32, tail: Tail, value: V) {
        self.inst(Inst::Store { ptr, disp, mem, tail, value });
    }

    /// `ptr + index * bytes`
    pub fn element(&mut self, ptr: V, index: V, bytes: i64) -> V {
        let bytes = self.int(bytes);
        let offset = self.def(INDEX, Op::IBinary(mlc_kernel::lane::IBinary::Mul, index, bytes));
        self.def(ADDRESS, Op::PtrAdd(ptr, offset))
    }

    pub fn push(&mut self) {
        self.blocks.push(vec![]);
    }

    pub fn pop(&mut self) -> Block {
        Block { insts: self.blocks.pop().unwrap() }
    }

    /// A loop whose body gets the index and the carried values, and returns the next ones.
    pub fn repeat(
        &mut self,
        (low, high, step): (V, V, i64),
        init: &[V],
        body: impl FnOnce(&mut Build, V, &[V]) -> Vec<V>,
    ) -> Vec<V> {
        let index = self.value(INDEX);
        let types: Vec<Ty> = init.iter().map(|&v| self.ty(v)).collect();
        let params: Vec<V> = types.iter().map(|&ty| self.value(ty)).collect();
        let results: Vec<V> = types.iter().map(|&ty| self.value(ty)).collect();
        self.push();
        let next = body(self, index, &params);
        let body = self.pop();
        let (init, out) = (init.to_vec(), results.clone());
        self.inst(Inst::Loop { index, low, high, step, init, params, body, next, results });
        out
    }
}
