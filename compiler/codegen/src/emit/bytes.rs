//! Loads and stores of bytes, which are i32 lanes in registers.

use super::memory::Place;
use super::{EmitCx, types};
use cranelift_codegen::ir::immediates::V128Imm;
use cranelift_codegen::ir::{InstBuilder, Value, types as clif};
use mlc_kernel::lane::Mem;

impl EmitCx<'_> {
    pub(super) fn load_byte(&mut self, at: Place) -> Value {
        self.b.ins().uload8(clif::I32, types::access(), at.ptr, at.disp)
    }

    pub(super) fn load_signed_byte(&mut self, at: Place) -> Value {
        self.b.ins().sload8(clif::I32, types::access(), at.ptr, at.disp)
    }

    pub(super) fn store_byte(&mut self, at: Place, value: Value) {
        self.b.ins().istore8(types::access(), value, at.ptr, at.disp);
    }

    /// The first `count` bytes as i32 lanes, the other lanes 0.
    pub(super) fn load_bytes(&mut self, at: Place, count: u8, mem: Mem) -> Value {
        let word = self.load_word(at, count);
        let word = self.b.ins().scalar_to_vector(clif::I32X4, word);
        let bytes = self.recast(word, clif::I8X16);
        if mem == Mem::I8 {
            let halves = self.b.ins().swiden_low(bytes);
            return self.b.ins().swiden_low(halves);
        }
        let halves = self.b.ins().uwiden_low(bytes);
        self.b.ins().uwiden_low(halves)
    }

    /// One to four bytes as the low bytes of an i32.
    fn load_word(&mut self, at: Place, count: u8) -> Value {
        match count {
            1 => self.load_byte(at),
            2 => self.b.ins().uload16(clif::I32, types::access(), at.ptr, at.disp),
            3 => {
                let low = self.b.ins().uload16(clif::I32, types::access(), at.ptr, at.disp);
                let high = self.load_byte(at.plus(2));
                let high = self.b.ins().ishl_imm_u(high, 16);
                self.b.ins().bor(low, high)
            }
            _ => self.load_as(clif::I32, at),
        }
    }

    /// The low bytes of the first `count` i32 lanes.
    pub(super) fn store_bytes(&mut self, at: Place, count: u8, value: Value) {
        let bytes = self.recast(value, clif::I8X16);
        const LOW_BYTES: [u8; 16] = [0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12];
        let low_bytes = self.b.func.dfg.immediates.push(V128Imm(LOW_BYTES).into());
        let packed = self.b.ins().shuffle(bytes, bytes, low_bytes);
        let packed = self.recast(packed, clif::I32X4);
        let word = self.b.ins().extractlane(packed, 0);
        match count {
            1 => self.store_byte(at, word),
            2 => self.store_half_word(at, word),
            3 => {
                self.store_half_word(at, word);
                let third = self.b.ins().ushr_imm_u(word, 16);
                self.store_byte(at.plus(2), third);
            }
            _ => self.store_as(word, at),
        }
    }

    fn store_half_word(&mut self, at: Place, word: Value) {
        self.b.ins().istore16(types::access(), word, at.ptr, at.disp);
    }
}
