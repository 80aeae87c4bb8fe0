//! Accumulators: registers, scratch tiles, and the combination of lanes by halving.

use super::Emit;
use super::builder::{Memory, PTR};
use super::values::{Val, register};
use crate::expr::ExprRef;
use crate::lane::{Cmp, Elem, FBinary, FUnary, IBinary, Mem, Op, Tail, Ty, V};
use mlc_ir::index::{Combine, Extreme, Ix};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;

/// The memory element that keeps all bits of a register's.
fn whole(ty: Ty) -> Mem {
    match ty.elem {
        Elem::F32 => Mem::F32,
        Elem::F64 => Mem::F64,
        Elem::I32 => Mem::I32,
        Elem::I64 => Mem::I64,
        Elem::Ptr | Elem::Mask => mlc_ir::internal_error("lane", "an accumulator of addresses or masks"),
    }
}

impl Emit<'_> {
    fn key(&self, acc: usize) -> super::AccKey {
        let number = |var| match self.vars.get(var) {
            Some(super::Var::Const(value)) => *value,
            _ => mlc_ir::internal_error("lane", "an accumulator outside of its unrolled loops"),
        };
        (acc, self.tree.accs[acc].vars.iter().map(number).collect())
    }

    fn acc_ty(&self, acc: usize) -> Ty {
        let acc = &self.tree.accs[acc];
        Ty::new(register(acc.dtype), if acc.vector { self.tree.lanes as u8 } else { 1 })
    }

    fn acc(&self, acc: usize) -> V {
        match self.accs.get(&self.key(acc)) {
            Some(v) => *v,
            None => mlc_ir::internal_error("lane", "an accumulator is read before it is written"),
        }
    }

    fn set_acc(&mut self, acc: usize, v: V) {
        let key = self.key(acc);
        self.accs.insert(key, v);
    }

    pub(super) fn init(&mut self, acc: usize, value: Literal) {
        let ty = self.acc_ty(acc);
        let v = self.b.bits(ty, value.bits);
        self.set_acc(acc, v);
    }

    /// A value in the registers of an accumulator: bools as 0 and 1.
    fn for_acc(&mut self, acc: usize, value: &ExprRef) -> V {
        let value = self.expr(value);
        let vector = self.tree.accs[acc].vector;
        self.memory_value(value, vector)
    }

    /// Lanes that don't count keep what they had.
    fn keep_invalid(&mut self, acc: usize, new: V) -> V {
        if !self.halved.contains(&acc) {
            return new;
        }
        let (old, ty) = (self.acc(acc), self.acc_ty(acc));
        match self.valid_mask(ty) {
            Some(mask) => self.b.def(Op::Select(mask, new, old), ty),
            None => new,
        }
    }

    pub(super) fn fold(&mut self, acc: usize, combine: Combine, value: &ExprRef) {
        let value = self.for_acc(acc, value);
        let old = self.acc(acc);
        let new = self.combine(combine, self.tree.accs[acc].dtype, old, value);
        let new = self.keep_invalid(acc, new);
        self.set_acc(acc, new);
        self.memo.clear();
    }

    pub(super) fn set(&mut self, acc: usize, value: &ExprRef) {
        let value = self.for_acc(acc, value);
        self.set_acc(acc, value);
        self.memo.clear();
    }

    pub(super) fn mul_add(&mut self, acc: usize, left: &ExprRef, right: &ExprRef) {
        let (left, right) = (self.for_acc(acc, left), self.for_acc(acc, right));
        let (old, ty) = (self.acc(acc), self.acc_ty(acc));
        let new = match ty.elem {
            Elem::F32 | Elem::F64 => self.b.def(Op::MulAdd(left, right, old), ty),
            Elem::I32 | Elem::I64 => {
                let product = self.b.def(Op::IBinary(IBinary::Mul, left, right), ty);
                self.b.def(Op::IBinary(IBinary::Add, old, product), ty)
            }
            Elem::Ptr | Elem::Mask => mlc_ir::internal_error("lane", "a product of addresses or masks"),
        };
        let new = self.keep_invalid(acc, new);
        self.set_acc(acc, new);
        self.memo.clear();
    }

    /// Two values put together.
    pub(super) fn combine(&mut self, combine: Combine, dtype: DType, a: V, b: V) -> V {
        let ty = self.b.ty(a);
        let int = |op| Op::IBinary(op, a, b);
        let op = match (combine, dtype.is_float()) {
            (Combine::Sum, true) => Op::FBinary(FBinary::Add, a, b),
            (Combine::Prod, true) => Op::FBinary(FBinary::Mul, a, b),
            (Combine::Max, true) => return self.extreme(FBinary::Max, a, b),
            (Combine::Min, true) => return self.extreme(FBinary::Min, a, b),
            (Combine::Sum, false) => int(IBinary::Add),
            (Combine::Prod, false) => int(IBinary::Mul),
            (Combine::Max, false) => int(IBinary::Max),
            (Combine::Min, false) => int(IBinary::Min),
        };
        self.b.def(op, ty)
    }

    /// The larger or smaller of two floats; NaN if either is; at a tie the second.
    pub(super) fn extreme(&mut self, op: FBinary, a: V, b: V) -> V {
        let ty = self.b.ty(a);
        let best = self.b.def(Op::FBinary(op, a, b), ty);
        // `op` gives `b` where a NaN takes part: only a NaN in `a` is left to see to.
        let nan = self.b.def(Op::FCmp(Cmp::Ne, a, a), Ty::mask_of(ty));
        self.b.def(Op::Select(nan, a, best), ty)
    }

    pub(super) fn best(&mut self, acc: usize, position: usize, extreme: Extreme, value: &ExprRef, at: &Ix) {
        let value = self.for_acc(acc, value);
        let (old, ty) = (self.acc(acc), self.acc_ty(acc));
        let better = self.better(extreme, value, old, ty);
        let new = self.b.def(Op::Select(better, value, old), ty);
        let at = self.position_value(at, DType::I32);
        let position_ty = self.acc_ty(position);
        let at = self.memory_value(at, self.tree.accs[position].vector);
        let old_at = self.acc(position);
        let new_at = self.b.def(Op::Select(better, at, old_at), position_ty);
        self.set_acc(acc, new);
        self.set_acc(position, new_at);
        self.memo.clear();
    }

    /// Whether `value` beats `old`: strictly better, or the first NaN.
    fn better(&mut self, extreme: Extreme, value: V, old: V, ty: Ty) -> V {
        let cmp = match extreme {
            Extreme::Max => Cmp::Gt,
            Extreme::Min => Cmp::Lt,
        };
        let mask = Ty::mask_of(ty);
        match ty.elem {
            Elem::F32 | Elem::F64 => {
                let beats = self.b.def(Op::FCmp(cmp, value, old), mask);
                let nan = self.b.def(Op::FCmp(Cmp::Ne, value, value), mask);
                let first = self.b.def(Op::FCmp(Cmp::Eq, old, old), mask);
                let first_nan = self.b.def(Op::MaskAnd(nan, first), mask);
                self.b.def(Op::MaskOr(beats, first_nan), mask)
            }
            Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask => self.b.def(Op::ICmp(cmp, value, old), mask),
        }
    }

    // ---- halving

    pub(super) fn halve(&mut self, from: usize, parts: i64, into: usize, combine: Combine) {
        let dtype = self.tree.accs[from].dtype;
        let mut values: Vec<V> = (0..parts).map(|part| self.accs[&(from, vec![part])]).collect();
        while values.len() > 1 {
            let half = values.len() / 2;
            values = (0..half).map(|i| self.combine(combine, dtype, values[i], values[i + half])).collect();
        }
        let ty = self.b.ty(values[0]);
        let scalar = Ty { lanes: 1, ..ty };
        let mut lanes: Vec<V> = match ty.lanes {
            1 => values,
            count => (0..count).map(|lane| self.b.def(Op::Extract(values[0], lane), scalar)).collect(),
        };
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            lanes = (0..half).map(|i| self.combine(combine, dtype, lanes[i], lanes[i + half])).collect();
        }
        self.set_acc(into, lanes[0]);
    }

    // ---- scratch tiles

    fn register_bytes(&self, scratch: usize) -> i64 {
        let ty = self.acc_ty(self.tree.scratch[scratch].acc);
        i64::from(ty.lanes) * i64::from(ty.bits / 8)
    }

    /// Where a scratch tile begins; behind the last one: the bytes of all.
    pub(super) fn scratch_start(&self, scratch: usize) -> i64 {
        let tiles = self.tree.scratch[..scratch].iter().enumerate();
        tiles.map(|(i, tile)| tile.slots * tile.registers * self.register_bytes(i)).sum()
    }

    /// The place of this register in a slot, its memory element and its lanes.
    fn scratch_address(&mut self, scratch: usize, slot: &Ix) -> ((V, i32), Mem, u8) {
        let tile = self.tree.scratch[scratch];
        let (_, key) = self.key(tile.acc);
        let number = self.scratch[scratch].iter().position(|known| *known == key).unwrap_or_else(|| {
            self.scratch[scratch].push(key);
            self.scratch[scratch].len() - 1
        });
        let mem = whole(self.acc_ty(tile.acc));
        let bytes = self.register_bytes(scratch);
        let elements = bytes / mem.bytes();
        let Some(slot) = self.lin(slot) else { mlc_ir::internal_error("lane", "a scratch slot along lanes") };
        let first = self.scratch_start(scratch) / mem.bytes() + number as i64 * elements;
        let at = super::Lin::number(first).plus(&slot, tile.registers * elements);
        let base = self.b.def(Op::ScratchPtr, PTR);
        (self.address(base, &at, mem), mem, (elements) as u8)
    }

    pub(super) fn clear(&mut self, scratch: usize, slot: &Ix) {
        let ty = self.acc_ty(self.tree.scratch[scratch].acc);
        let (address, mem, _) = self.scratch_address(scratch, slot);
        let zero = self.b.bits(ty, 0);
        self.b.store(address, mem, Tail::Full, zero);
    }

    pub(super) fn fill(&mut self, scratch: usize, slot: &Ix, value: &ExprRef) {
        let value = self.for_acc(self.tree.scratch[scratch].acc, value);
        let (address, mem, _) = self.scratch_address(scratch, slot);
        self.b.store(address, mem, Tail::Full, value);
        self.memo.clear();
    }

    pub(super) fn flush(&mut self, scratch: usize, slot: &Ix) {
        let (address, mem, _) = self.scratch_address(scratch, slot);
        let sum = self.with_scratch(scratch, slot);
        self.b.store(address, mem, Tail::Full, sum);
    }

    pub(super) fn total(&mut self, scratch: usize, slot: &Ix) {
        let sum = self.with_scratch(scratch, slot);
        self.set_acc(self.tree.scratch[scratch].acc, sum);
    }

    /// What a slot holds and the accumulator, together.
    fn with_scratch(&mut self, scratch: usize, slot: &Ix) -> V {
        let acc = self.tree.scratch[scratch].acc;
        let ty = self.acc_ty(acc);
        let (address, mem, lanes) = self.scratch_address(scratch, slot);
        let total = self.b.load(address, mem, lanes, Tail::Full, Memory::Written);
        let part = self.acc(acc);
        self.b.def(Op::FBinary(FBinary::Add, total, part), ty)
    }

    pub(super) fn save(&mut self, scratch: usize, slot: &Ix) {
        let (address, mem, _) = self.scratch_address(scratch, slot);
        let value = self.acc(self.tree.scratch[scratch].acc);
        self.b.store(address, mem, Tail::Full, value);
    }

    pub(super) fn recall(&mut self, scratch: usize, slot: &Ix) {
        let (address, mem, lanes) = self.scratch_address(scratch, slot);
        let total = self.b.load(address, mem, lanes, Tail::Full, Memory::Written);
        self.set_acc(self.tree.scratch[scratch].acc, total);
    }

    /// The value of the nest's reduction at this element.
    pub(super) fn reduced(&mut self) -> Val {
        let Some(crate::tree::Result::Acc(acc) | crate::tree::Result::Best(acc, _)) = self.tree.reduced else {
            mlc_ir::internal_error("lane", "the value of a reduction without one")
        };
        let (v, dtype) = (self.acc(acc), self.tree.accs[acc].dtype);
        // Sums of bytes are taken in the whole register.
        let v = self.low_byte(v, dtype);
        self.register_value(v, dtype)
    }

    /// The position that a search found.
    pub(super) fn best_position(&mut self, dtype: DType) -> Val {
        let Some(crate::tree::Result::Best(_, position)) = self.tree.reduced else {
            mlc_ir::internal_error("lane", "a position without a search")
        };
        let value = Val { v: self.acc(position), dtype: DType::I32 };
        self.cast(value, dtype)
    }

    /// -x for floats.
    pub(super) fn negated(&mut self, v: V) -> V {
        let ty = self.b.ty(v);
        self.b.def(Op::FUnary(FUnary::Neg, v), ty)
    }
}
