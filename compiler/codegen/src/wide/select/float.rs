//! Float arithmetic and comparisons.

use super::emit::{Reg, Simd, Src};
use super::{Select, is_scalar, is_wide, len_of};
use crate::wide::assemble::Imm;
use crate::wide::inst::{GPR, MASK, VECTOR};
use crate::wide::opcode::{self, Fma, Row};
use mlc_kernel::lane::{Cmp, FBinary, FUnary, Ty, V};
use regalloc2::VReg;

impl Select<'_> {
    /// A float instruction, whose memory operand is one element if it is scalar.
    fn float(&mut self, row: Row, ty: Ty, reg: Reg, vvvv: Reg, rm: Src) -> Simd {
        let simd = Simd::new(row, len_of(ty), reg, vvvv, rm);
        if is_scalar(ty) { simd.unit(i32::from(ty.bits / 8)) } else { simd }
    }

    pub(super) fn float_unary(&mut self, op: FUnary, a: V, ty: Ty) -> VReg {
        let (wide, scalar) = (is_wide(ty), is_scalar(ty));
        let sign = 1u64 << (ty.bits - 1);
        let a = self.reg(a);
        let rounding = match op {
            FUnary::Neg => {
                let sign = self.pattern(sign, ty);
                return self.simd3(opcode::pxor(wide), len_of(ty), a, sign);
            }
            FUnary::Abs => {
                let rest = self.pattern(sign - 1, ty);
                return self.simd3(opcode::pand(wide), len_of(ty), a, rest);
            }
            FUnary::Sqrt => None,
            // With bit 3: no exception for a result that isn't exact.
            FUnary::Nearest => Some(8),
            FUnary::Floor => Some(9),
            FUnary::Ceil => Some(10),
            FUnary::Trunc => Some(11),
        };
        let row = match rounding {
            None => opcode::float(opcode::SQRT, wide, scalar),
            Some(_) => opcode::round(wide, scalar),
        };
        let vvvv = if scalar { Reg::Use(a) } else { Reg::No };
        let simd = self.float(row, ty, Reg::Def(VECTOR), vvvv, Src::Use(a));
        self.simd(Simd { imm: rounding, ..simd })
    }

    pub(super) fn float_binary(&mut self, op: FBinary, a: V, b: V, ty: Ty) -> VReg {
        let (opcode, commutes) = match op {
            FBinary::Add => (opcode::ADD, true),
            FBinary::Mul => (opcode::MUL, true),
            FBinary::Sub => (opcode::SUB, false),
            FBinary::Div => (opcode::DIV, false),
            FBinary::Min => (opcode::MIN, false),
            FBinary::Max => (opcode::MAX, false),
        };
        let (a, b) = if commutes && self.in_memory(a) && !self.in_memory(b) { (b, a) } else { (a, b) };
        let a = self.reg(a);
        let b = self.float_operand(b);
        let simd = self.float(opcode::float(opcode, is_wide(ty), is_scalar(ty)), ty, Reg::Def(VECTOR), Reg::Use(a), b);
        self.simd(simd)
    }

    /// `a · b + c`, in the place of the addend where that isn't needed any more: a sum in a loop stays
    /// in its register.
    pub(super) fn mul_add(&mut self, a: V, b: V, c: V, ty: Ty) -> VReg {
        let (a, b) = if self.in_memory(a) { (b, a) } else { (a, b) };
        let last = |this: &Self, v: V| this.uses[v.index()] == 1;
        let in_factor = self.in_memory(c) || !last(self, c) && (last(self, a) || last(self, b)) && !self.in_memory(b);
        let (form, replaced, other, rm) = if in_factor {
            let (replaced, other) = if last(self, b) && !last(self, a) && !self.in_memory(b) { (b, a) } else { (a, b) };
            (Fma::Factor213, replaced, other, c)
        } else {
            (Fma::Addend231, c, a, b)
        };
        let (replaced, other) = (self.reg(replaced), self.reg(other));
        let rm = self.float_operand(rm);
        let row = opcode::fma(form, is_wide(ty), is_scalar(ty));
        let simd = self.float(row, ty, Reg::Reuse(replaced), Reg::Use(other), rm);
        self.simd(simd)
    }

    pub(super) fn float_compare(&mut self, cmp: Cmp, a: V, b: V) -> VReg {
        // Quiet: a NaN raises nothing.
        let predicate = match cmp {
            Cmp::Eq => 0x00,
            Cmp::Ne => 0x04,
            Cmp::Lt => 0x11,
            Cmp::Le => 0x12,
            Cmp::Gt => 0x1e,
            Cmp::Ge => 0x1d,
        };
        let ty = self.ty(a);
        let a = self.reg(a);
        let b = self.float_operand(b);
        let class = if self.isa.has_masks() { MASK } else { VECTOR };
        let row = opcode::float(opcode::COMPARE, is_wide(ty), is_scalar(ty));
        let simd = self.float(row, ty, Reg::Def(class), Reg::Use(a), b);
        let mask = self.simd(simd.imm(predicate));
        if is_scalar(ty) { self.low_bit(mask) } else { mask }
    }

    /// The first lane of a mask as 0 or 1.
    fn low_bit(&mut self, mask: VReg) -> VReg {
        let bits = if mask.class() == MASK {
            let row = opcode::K_TO_GPR;
            self.simd(Simd::new(row, crate::wide::assemble::Len::L128, Reg::Def(GPR), Reg::No, Src::Use(mask)))
        } else {
            self.low_to_gpr(mask, false)
        };
        self.general(false, 0x83, Reg::Number(4), Src::Reuse(bits), Imm::Byte(1))
    }
}
