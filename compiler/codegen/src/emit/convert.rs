//! Conversions.

use super::{EmitCx, types};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types as clif};
use mlc_kernel::lane::{Convert, Ty, V};

impl EmitCx<'_> {
    pub(super) fn convert(&mut self, convert: Convert, a: V, to: Ty) -> Value {
        let from = self.ty(a);
        let a = self.get(a);
        let out = types::value(to);
        match convert {
            Convert::F32F64 => self.b.ins().fpromote(out, a),
            Convert::F64F32 => self.b.ins().fdemote(out, a),
            Convert::F32I32 | Convert::F64I32 | Convert::F32I64 => self.b.ins().fcvt_to_sint_sat(out, a),
            Convert::F64I64 if to.lanes == 1 => self.b.ins().fcvt_to_sint_sat(out, a),
            Convert::F64I64 => self.each_lane(a, out, |cx, x| cx.b.ins().fcvt_to_sint_sat(clif::I64, x)),
            Convert::I32F32 | Convert::I32F64 | Convert::I64F32 | Convert::I64F64 => {
                self.b.ins().fcvt_from_sint(out, a)
            }
            Convert::I32I64 => self.b.ins().sextend(out, a),
            Convert::I64I32 => self.b.ins().ireduce(out, a),
            Convert::F32BitsI32 | Convert::I32BitsF32 | Convert::F64BitsI64 | Convert::I64BitsF64 => {
                self.b.ins().bitcast(out, types::lane_order(), a)
            }
            Convert::MaskInt => self.mask_to_int(a, from, out),
        }
    }

    fn mask_to_int(&mut self, mask: Value, from: Ty, out: Type) -> Value {
        if from.lanes == 1 {
            return self.b.ins().uextend(out, mask);
        }
        let last_bit = self.b.ins().iconst(clif::I32, i64::from(from.bits) - 1);
        self.b.ins().ushr(mask, last_bit)
    }

    /// For conversions that x86-64 has for scalars alone: each of two 64-bit lanes by itself.
    fn each_lane(&mut self, a: Value, out: Type, convert: impl Fn(&mut Self, Value) -> Value) -> Value {
        let low = self.b.ins().extractlane(a, 0);
        let low = convert(self, low);
        let high = self.b.ins().extractlane(a, 1);
        let high = convert(self, high);
        let pair = self.b.ins().scalar_to_vector(out, low);
        self.b.ins().insertlane(pair, high, 1)
    }
}
