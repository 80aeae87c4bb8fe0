//! Loads and stores. No access touches a byte beyond the elements it names: a buffer may end at the
//! end of a page.

use super::{EmitCx, MulAdd, types};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Type, Value, types as clif};
use mlc_kernel::lane::{Mem, Tail, Ty, V};

/// An address: a base and a displacement.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) ptr: Value,
    pub(super) disp: i32,
}

impl Place {
    pub(super) fn plus(self, bytes: i32) -> Place {
        Place { ptr: self.ptr, disp: self.disp + bytes }
    }
}

impl EmitCx<'_> {
    pub(super) fn load(&mut self, ptr: V, disp: i32, mem: Mem, tail: Tail, ty: Ty) -> Value {
        let place = Place { ptr: self.get(ptr), disp };
        match tail {
            Tail::Full if ty.lanes == 1 => self.load_scalar(place, mem),
            Tail::Full => self.load_lanes(place, mem, ty.lanes),
            Tail::Const(count) => self.load_lanes(place, mem, count),
            Tail::Value(count) if ty.lanes == 1 => {
                let (count, out) = (self.get(count), types::value(ty));
                self.load_by_count(count, 1, out, |cx, _| cx.load_scalar(place, mem))
            }
            Tail::Value(count) => {
                let (count, out) = (self.get(count), types::value(ty));
                self.load_by_count(count, ty.lanes, out, |cx, count| cx.load_lanes(place, mem, count))
            }
        }
    }

    pub(super) fn store(&mut self, ptr: V, disp: i32, mem: Mem, tail: Tail, value: V) {
        let place = Place { ptr: self.get(ptr), disp };
        let (ty, value) = (self.ty(value), self.get(value));
        match tail {
            Tail::Full if ty.lanes == 1 => self.store_scalar(place, mem, value),
            Tail::Full => self.store_lanes(place, mem, ty.lanes, value),
            Tail::Const(count) => self.store_lanes(place, mem, count, value),
            Tail::Value(count) if ty.lanes == 1 => {
                let count = self.get(count);
                self.store_by_count(count, 1, |cx, _| cx.store_scalar(place, mem, value));
            }
            Tail::Value(count) => {
                let count = self.get(count);
                self.store_by_count(count, ty.lanes, |cx, count| cx.store_lanes(place, mem, count, value));
            }
        }
    }

    fn load_scalar(&mut self, at: Place, mem: Mem) -> Value {
        match mem {
            Mem::U8 => self.load_byte(at),
            Mem::I8 => self.load_signed_byte(at),
            Mem::F32 | Mem::F64 | Mem::I32 | Mem::I64 => self.load_as(types::memory(mem).0, at),
        }
    }

    fn store_scalar(&mut self, at: Place, mem: Mem, value: Value) {
        if mem.bytes() == 1 { self.store_byte(at, value) } else { self.store_as(value, at) }
    }

    /// The first `count` elements, the other lanes 0.
    fn load_lanes(&mut self, at: Place, mem: Mem, count: u8) -> Value {
        let (element, vector) = types::memory(mem);
        match (mem.bytes(), count) {
            (1, _) => self.load_bytes(at, count, mem),
            (4, 4) => self.load_vector(at, clif::I32X4, vector),
            (8, 2) => self.load_vector(at, clif::I64X2, vector),
            (_, 1) => {
                let first = self.load_as(element, at);
                self.b.ins().scalar_to_vector(vector, first)
            }
            (_, 2) => self.load_low_half(at, vector),
            _ => {
                let half = self.load_low_half(at, vector);
                let third = self.load_as(element, at.plus(8));
                self.b.ins().insertlane(half, third, 2)
            }
        }
    }

    /// A vector, which at the level without fused multiply-adds, and thus without AVX, is loaded as integers. Loads
    /// of floats would become operands of `cmpps` and `cmppd`, which Cranelift makes without asking for their
    /// alignment and which fault on any but 16 bytes there.
    fn load_vector(&mut self, at: Place, bits: Type, vector: Type) -> Value {
        match self.mul_add {
            MulAdd::Fused => self.load_as(vector, at),
            MulAdd::Split => {
                let bits = self.load_as(bits, at);
                self.recast(bits, vector)
            }
        }
    }

    fn load_low_half(&mut self, at: Place, vector: Type) -> Value {
        let half = self.load_as(clif::F64, at);
        let half = self.b.ins().scalar_to_vector(clif::F64X2, half);
        self.recast(half, vector)
    }

    /// The first `count` lanes.
    fn store_lanes(&mut self, at: Place, mem: Mem, count: u8, value: Value) {
        match (mem.bytes(), count) {
            (1, _) => self.store_bytes(at, count, value),
            (4, 4) | (8, 2) => self.store_as(value, at),
            (_, 1) => self.store_lane(at, value, 0),
            (_, 2) => self.store_low_half(at, value),
            _ => {
                self.store_low_half(at, value);
                self.store_lane(at.plus(8), value, 2);
            }
        }
    }

    fn store_lane(&mut self, at: Place, value: Value, lane: u8) {
        let element = self.b.ins().extractlane(value, lane);
        self.store_as(element, at);
    }

    fn store_low_half(&mut self, at: Place, value: Value) {
        let pair = self.recast(value, clif::F64X2);
        self.store_lane(at, pair, 0);
    }

    /// The same 128 bits as another vector type.
    pub(super) fn recast(&mut self, value: Value, to: Type) -> Value {
        if self.b.func.dfg.value_type(value) == to {
            return value;
        }
        self.b.ins().bitcast(to, types::lane_order(), value)
    }

    pub(super) fn load_as(&mut self, ty: Type, at: Place) -> Value {
        self.b.ins().load(ty, types::access(), at.ptr, at.disp)
    }

    pub(super) fn store_as(&mut self, value: Value, at: Place) {
        self.b.ins().store(types::access(), value, at.ptr, at.disp);
    }

    /// `load(count)` for a count known when the code runs, under branches; zeros for 0.
    fn load_by_count(&mut self, count: Value, lanes: u8, out: Type, load: impl Fn(&mut Self, u8) -> Value) -> Value {
        let done = self.b.create_block();
        let result = self.b.append_block_param(done, out);
        for candidate in (1..=lanes).rev() {
            let other = self.enter_if_equal(count, candidate);
            let value = load(self, candidate);
            self.b.ins().jump(done, &[BlockArg::Value(value)]);
            self.b.switch_to_block(other);
        }
        let zero = self.zero(out);
        self.b.ins().jump(done, &[BlockArg::Value(zero)]);
        self.b.switch_to_block(done);
        result
    }

    /// `store(count)` for a count known when the code runs, under branches; nothing for 0.
    fn store_by_count(&mut self, count: Value, lanes: u8, store: impl Fn(&mut Self, u8)) {
        let done = self.b.create_block();
        for candidate in (1..=lanes).rev() {
            let other = self.enter_if_equal(count, candidate);
            store(self, candidate);
            self.b.ins().jump(done, &[]);
            self.b.switch_to_block(other);
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
    }

    /// Goes on in a block where `count == candidate`; returns the block for the rest.
    fn enter_if_equal(&mut self, count: Value, candidate: u8) -> cranelift_codegen::ir::Block {
        let (here, other) = (self.b.create_block(), self.b.create_block());
        let equal = self.b.ins().icmp_imm_s(IntCC::Equal, count, i64::from(candidate));
        self.b.ins().brif(equal, here, &[], other, &[]);
        self.b.switch_to_block(here);
        other
    }

    fn zero(&mut self, ty: Type) -> Value {
        match ty {
            clif::F32 => self.b.ins().f32const(0.0),
            clif::F64 => self.b.ins().f64const(0.0),
            ty if ty.is_int() => self.b.ins().iconst(ty, 0),
            ty => {
                let zeros = self.b.func.dfg.constants.insert([0u8; 16].as_slice().into());
                self.b.ins().vconst(ty, zeros)
            }
        }
    }
}
