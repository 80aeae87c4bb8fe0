//! Masks and selection by them.

use super::{EmitCx, types};
use cranelift_codegen::ir::{InstBuilder, Value};
use mlc_kernel::lane::{Elem, Ty, V};

impl EmitCx<'_> {
    pub(super) fn mask_not(&mut self, mask: V) -> Value {
        let value = self.get(mask);
        if self.ty(mask).lanes == 1 { self.b.ins().bxor_imm_u(value, 1) } else { self.b.ins().bnot(value) }
    }

    pub(super) fn select(&mut self, mask: V, a: V, b: V) -> Value {
        let (mask_ty, ty) = (self.ty(mask), self.ty(a));
        let (mask, a, b) = (self.get(mask), self.get(a), self.get(b));
        if mask_ty.lanes == 1 {
            return self.b.ins().select(mask, a, b);
        }
        // On integers the mask needs no cast, and Cranelift sees the comparison: one blend.
        match ty.elem {
            Elem::F32 | Elem::F64 => {
                let (a, b) = (self.int_lanes(a, ty), self.int_lanes(b, ty));
                let chosen = self.b.ins().bitselect(mask, a, b);
                self.b.ins().bitcast(types::vector(ty), types::lane_order(), chosen)
            }
            Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask => self.b.ins().bitselect(mask, a, b),
        }
    }

    fn int_lanes(&mut self, value: Value, ty: Ty) -> Value {
        self.b.ins().bitcast(types::int_vector(ty), types::lane_order(), value)
    }

    /// A scalar mask as an integer lane of `ty`: all ones or all zeros.
    pub(super) fn mask_lane(&mut self, mask: Value, ty: Ty) -> Value {
        let bit = self.b.ins().uextend(types::int_scalar(ty), mask);
        self.b.ins().ineg(bit)
    }
}
