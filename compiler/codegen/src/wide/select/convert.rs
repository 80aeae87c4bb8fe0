//! Conversions.

use super::emit::{Reg, Simd, Src};
use super::{Select, is_float, is_scalar, is_wide, len_of};
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{GPR, VECTOR};
use crate::wide::opcode;
use mlc_kernel::lane::{Cmp, Convert, Elem, Ty, V};
use regalloc2::VReg;

impl Select<'_> {
    pub(super) fn convert(&mut self, convert: Convert, a: V, to: Ty) -> VReg {
        let from = self.ty(a);
        if convert == Convert::MaskInt {
            return self.mask_int(a, to);
        }
        let v = self.reg(a);
        let scalar = is_scalar(to);
        match convert {
            Convert::MaskInt => v,
            Convert::F32F64 => self.simd3(opcode::CVTSS2SD, Len::L128, v, Src::Use(v)),
            Convert::F64F32 => self.simd3(opcode::CVTSD2SS, Len::L128, v, Src::Use(v)),
            Convert::F32I32 if scalar => {
                let lanes = self.int_lanes_of(v, from);
                self.low_to_gpr(lanes, false)
            }
            Convert::F32I32 => self.int_lanes_of(v, from),
            Convert::F64I64 if !scalar && self.isa.has_masks() => self.int_lanes_of(v, from),
            Convert::F64I64 if !scalar => self.each_lane(v, to, |this, x| this.int_of(x, true)),
            Convert::F64I64 => self.int_of(v, true),
            Convert::F32I64 => {
                let double = self.simd3(opcode::CVTSS2SD, Len::L128, v, Src::Use(v));
                self.int_of(double, true)
            }
            Convert::F64I32 => {
                let number = self.int_of(v, true);
                self.clamped(number)
            }
            Convert::I32F32 if !scalar => self.simd2(opcode::CVTDQ2PS, len_of(to), Src::Use(v)),
            Convert::I64F64 if !scalar && self.isa.has_masks() => self.simd2(opcode::CVTQQ2PD, len_of(to), Src::Use(v)),
            Convert::I64F64 if !scalar => self.each_lane(v, to, |this, x| this.float_of(x, true, true)),
            Convert::I32F32 | Convert::I32F64 | Convert::I64F32 | Convert::I64F64 => {
                self.float_of(v, is_wide(to), is_wide(from))
            }
            Convert::I32I64 => self.sign_extended(v),
            // The upper half of an i32 in a general register is anything.
            Convert::I64I32 => v,
            Convert::F32BitsI32 | Convert::F64BitsI64 if scalar => self.low_to_gpr(v, is_wide(from)),
            Convert::I32BitsF32 | Convert::I64BitsF64 if scalar => self.gpr_to_low(v, is_wide(from)),
            Convert::F32BitsI32 | Convert::F64BitsI64 | Convert::I32BitsF32 | Convert::I64BitsF64 => v,
        }
    }

    /// A general register as a scalar float.
    fn float_of(&mut self, v: VReg, to_wide: bool, from_wide: bool) -> VReg {
        // The instruction keeps the upper elements of this one: without it, it would wait for whatever
        // was in the register before.
        let zero = self.zero(Len::L128);
        self.simd3(opcode::from_int(to_wide, from_wide), Len::L128, zero, Src::Use(v))
    }

    /// Towards 0, saturating, NaN to 0, in lanes of equal width. The instruction gives `MIN` for all
    /// that doesn't fit: flipped it is `MAX`.
    fn int_lanes_of(&mut self, v: VReg, from: Ty) -> VReg {
        let (wide, len) = (is_wide(from), len_of(from));
        let row = if wide { opcode::CVTTPD2QQ } else { opcode::CVTTPS2DQ };
        let number = self.simd2(row, len, Src::Use(v));
        let bound = if wide { 2f64.powi(63).to_bits() } else { u64::from(2f32.powi(31).to_bits()) };
        let whole = Ty { lanes: (len.bytes() / i32::from(from.bits / 8)) as u8, ..from };
        let bound = self.pattern(bound, whole);
        let above = self.lanes_where(0x1d, v, bound, whole);
        let number = self.simd3(opcode::pxor(wide), len, number, Src::Use(above));
        let is_number = self.lanes_where(0x07, v, Src::Use(v), whole);
        self.simd3(opcode::pand(wide), len, number, Src::Use(is_number))
    }

    /// A float comparison by its predicate, as lanes of ones and zeros.
    fn lanes_where(&mut self, predicate: u8, a: VReg, b: Src, ty: Ty) -> VReg {
        let (wide, len) = (is_wide(ty), len_of(ty));
        let row = opcode::float(opcode::COMPARE, wide, false);
        let class = if self.isa.has_masks() { crate::wide::inst::MASK } else { VECTOR };
        let mask = self.simd(Simd::new(row, len, Reg::Def(class), Reg::Use(a), b).imm(predicate));
        self.mask_lanes(mask, wide, len)
    }

    /// A scalar double as an i64, towards 0, saturating, NaN to 0.
    fn int_of(&mut self, v: VReg, wide: bool) -> VReg {
        let row = opcode::to_int(wide);
        let number = self.simd(Simd::new(row, Len::L128, Reg::Def(GPR), Reg::No, Src::Use(v)));
        let ty = Ty { lanes: 2, ..Ty::new(Elem::F64, 2) };
        let bound = self.pattern(2f64.powi(63).to_bits(), ty);
        let above = self.lanes_where(0x1d, v, bound, ty);
        let above = self.low_to_gpr(above, true);
        let number = self.general(true, 0x33, Reg::Reuse(number), Src::Use(above), Imm::No);
        let is_number = self.lanes_where(0x07, v, Src::Use(v), ty);
        let is_number = self.low_to_gpr(is_number, true);
        self.general(true, 0x23, Reg::Reuse(number), Src::Use(is_number), Imm::No)
    }

    /// An i64 moved into the range of i32.
    fn clamped(&mut self, v: VReg) -> VReg {
        let mut v = v;
        for (bound, cmp) in [(i32::MAX, Cmp::Gt), (i32::MIN, Cmp::Lt)] {
            let limit = self.number(i64::from(bound));
            self.compare_number(v, bound, true);
            let condition =
                if cmp == Cmp::Gt { crate::wide::inst::Cond::Greater } else { crate::wide::inst::Cond::Less };
            v = self.conditional(condition, limit, v);
        }
        v
    }

    /// For conversions that AVX2 has for scalars alone: each 64-bit lane by itself.
    fn each_lane(&mut self, v: VReg, to: Ty, convert: impl Fn(&mut Self, VReg) -> VReg) -> VReg {
        let from = Ty { elem: if is_float(to) { Elem::I64 } else { Elem::F64 }, ..to };
        let lanes: Vec<VReg> = (0..to.lanes)
            .map(|lane| {
                let x = self.lane(v, lane, from);
                convert(self, x)
            })
            .collect();
        self.packed_lanes(&lanes, to)
    }
}
