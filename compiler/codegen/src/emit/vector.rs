//! Constants, and vectors from scalars and back.

use super::{EmitCx, types};
use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Value, types as clif};
use mlc_kernel::lane::{Elem, Ty, V};

impl EmitCx<'_> {
    pub(super) fn constant(&mut self, bits: &[u64], ty: Ty) -> Value {
        match bits {
            [] => bug("a constant without a value"),
            &[bits, ..] if ty.lanes == 1 => self.scalar_constant(bits, ty),
            bits => self.vector_constant(bits, ty),
        }
    }

    fn scalar_constant(&mut self, bits: u64, ty: Ty) -> Value {
        match ty.elem {
            Elem::F32 => self.b.ins().f32const(Ieee32::with_bits(bits as u32)),
            Elem::F64 => self.b.ins().f64const(Ieee64::with_bits(bits)),
            Elem::I32 => self.b.ins().iconst(clif::I32, i64::from(bits as u32)),
            Elem::I64 | Elem::Ptr => self.b.ins().iconst(clif::I64, bits as i64),
            Elem::Mask => self.b.ins().iconst(clif::I8, i64::from(bits != 0)),
        }
    }

    fn vector_constant(&mut self, bits: &[u64], ty: Ty) -> Value {
        let width = usize::from(ty.bits / 8);
        let mut bytes = [0u8; 16];
        for (lane, chunk) in bytes.chunks_mut(width).take(usize::from(ty.lanes)).enumerate() {
            let element = if bits.len() == 1 { bits[0] } else { bits[lane] };
            let element = if ty.elem == Elem::Mask && element != 0 { u64::MAX } else { element };
            chunk.copy_from_slice(&element.to_le_bytes()[..width]);
        }
        let data = self.b.func.dfg.constants.insert(bytes.as_slice().into());
        self.b.ins().vconst(types::vector(ty), data)
    }

    /// A splat of a loaded scalar becomes one broadcasting load.
    pub(super) fn splat(&mut self, a: V, ty: Ty) -> Value {
        let scalar = self.lane_of(a, ty);
        self.b.ins().splat(types::vector(ty), scalar)
    }

    pub(super) fn extract(&mut self, a: V, lane: u8) -> Value {
        let (ty, a) = (self.ty(a), self.get(a));
        let element = self.b.ins().extractlane(a, lane);
        if ty.elem == Elem::Mask { self.b.ins().icmp_imm_s(IntCC::NotEqual, element, 0) } else { element }
    }

    pub(super) fn pack(&mut self, scalars: &[V], ty: Ty) -> Value {
        let Some((&first, rest)) = scalars.split_first() else { bug("a pack of nothing") };
        let first = self.lane_of(first, ty);
        let mut vector = self.b.ins().scalar_to_vector(types::vector(ty), first);
        for (lane, &scalar) in (1u8..).zip(rest) {
            let scalar = self.lane_of(scalar, ty);
            vector = self.b.ins().insertlane(vector, scalar, lane);
        }
        vector
    }

    /// A scalar in the form that lanes of `ty` have.
    fn lane_of(&mut self, scalar: V, ty: Ty) -> Value {
        let value = self.get(scalar);
        if ty.elem == Elem::Mask { self.mask_lane(value, ty) } else { value }
    }
}
