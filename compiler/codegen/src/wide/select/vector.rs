//! Vectors from scalars and back.

use super::emit::{Reg, Simd, Src};
use super::{Select, Val, is_float, is_scalar, is_wide, len_of};
use crate::error::bug;
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{GPR, VECTOR};
use crate::wide::opcode;
use mlc_kernel::lane::{Elem, Ty, V};
use regalloc2::VReg;

impl Select<'_> {
    pub(super) fn splat(&mut self, a: V, ty: Ty) -> VReg {
        if ty.elem == Elem::Mask {
            return self.spread(a, ty);
        }
        if let Val::Load(address) = *self.value(a) {
            return self.broadcast_load(address, ty);
        }
        let scalar = self.reg(a);
        self.splat_reg(scalar, ty)
    }

    fn splat_reg(&mut self, scalar: VReg, ty: Ty) -> VReg {
        let (wide, len) = (is_wide(ty), len_of(ty));
        let low = match (is_float(ty), self.isa.has_masks()) {
            (true, _) => scalar,
            (false, true) => return self.simd2(opcode::broadcast_gpr(wide), len, Src::Use(scalar)),
            (false, false) => self.gpr_to_low(scalar, wide),
        };
        self.simd2(opcode::broadcast(wide), len, Src::Use(low))
    }

    pub(super) fn extract(&mut self, a: V, lane: u8, ty: Ty) -> VReg {
        let from = self.ty(a);
        let v = self.reg(a);
        if ty.elem != Elem::Mask {
            return self.lane(v, lane, from);
        }
        let bits = if self.isa.has_masks() {
            self.simd(Simd::new(opcode::K_TO_GPR, Len::L128, Reg::Def(GPR), Reg::No, Src::Use(v)))
        } else {
            let row = opcode::signs(is_wide(from));
            self.simd(Simd::new(row, len_of(from), Reg::Def(GPR), Reg::No, Src::Use(v)))
        };
        let bits = self.shifted_right(bits, lane);
        self.general(false, 0x83, Reg::Number(4), Src::Reuse(bits), Imm::Byte(1))
    }

    /// One lane of a vector of type `from`, as a scalar.
    pub(super) fn lane(&mut self, v: VReg, lane: u8, from: Ty) -> VReg {
        let wide = is_wide(from);
        let in_quarter = if wide { 2 } else { 4 };
        let (quarter, place) = (lane / in_quarter, lane % in_quarter);
        let v = if quarter == 0 {
            v
        } else {
            let row = opcode::EXTRACT_128;
            self.simd(Simd::new(row, len_of(from), Reg::Use(v), Reg::No, Src::Def(VECTOR)).imm(quarter))
        };
        match (is_float(from), place) {
            (true, 0) => v,
            (true, _) => {
                let order = if wide { 0xee } else { place };
                self.simd(Simd::new(opcode::PSHUFD, Len::L128, Reg::Def(VECTOR), Reg::No, Src::Use(v)).imm(order))
            }
            (false, 0) => self.low_to_gpr(v, wide),
            (false, _) => {
                let row = opcode::pextr(wide);
                self.simd(Simd::new(row, Len::L128, Reg::Use(v), Reg::No, Src::Def(GPR)).imm(place))
            }
        }
    }

    pub(super) fn pack(&mut self, scalars: &[V], ty: Ty) -> VReg {
        if ty.elem == Elem::Mask {
            return self.pack_masks(scalars, ty);
        }
        // Loads of floats go straight into their lanes.
        if is_float(ty) && !is_wide(ty) {
            let lanes: Vec<Src> = scalars.iter().map(|&v| self.float_operand(v)).collect();
            return self.packed_singles(&lanes, ty);
        }
        let lanes: Vec<VReg> = scalars.iter().map(|&v| self.reg(v)).collect();
        self.packed_lanes(&lanes, ty)
    }

    /// A vector of scalars in registers.
    pub(super) fn packed_lanes(&mut self, lanes: &[VReg], ty: Ty) -> VReg {
        if is_float(ty) && !is_wide(ty) {
            let lanes: Vec<Src> = lanes.iter().map(|&v| Src::Use(v)).collect();
            return self.packed_singles(&lanes, ty);
        }
        let wide = is_wide(ty);
        let quarters: Vec<VReg> = lanes
            .chunks(if wide { 2 } else { 4 })
            .map(|lanes| {
                let (&first, rest) = lanes.split_first().unwrap_or_else(|| bug("a pack of nothing"));
                let mut quarter = if is_float(ty) { first } else { self.gpr_to_low(first, wide) };
                for (place, &lane) in (1u8..).zip(rest) {
                    quarter = if is_float(ty) {
                        self.simd3(opcode::UNPCKLPD, Len::L128, quarter, Src::Use(lane))
                    } else {
                        let row = opcode::pinsr(wide);
                        let simd = Simd::new(row, Len::L128, Reg::Def(VECTOR), Reg::Use(quarter), Src::Use(lane));
                        self.simd(simd.imm(place))
                    };
                }
                quarter
            })
            .collect();
        self.joined(&quarters, ty)
    }

    fn packed_singles(&mut self, lanes: &[Src], ty: Ty) -> VReg {
        let quarters: Vec<VReg> = lanes
            .chunks(4)
            .map(|lanes| {
                let mut quarter = match lanes[0] {
                    Src::Use(v) => v,
                    memory => {
                        let row = opcode::load_scalar(false);
                        self.simd(Simd::new(row, Len::L128, Reg::Def(VECTOR), Reg::No, memory).unit(4))
                    }
                };
                for (place, &lane) in (1u8..).zip(&lanes[1..]) {
                    let row = opcode::INSERTPS;
                    let simd = Simd::new(row, Len::L128, Reg::Def(VECTOR), Reg::Use(quarter), lane).unit(4);
                    quarter = self.simd(simd.imm(place << 4));
                }
                quarter
            })
            .collect();
        self.joined(&quarters, ty)
    }

    /// A vector of its quarters of 128 bits.
    fn joined(&mut self, quarters: &[VReg], ty: Ty) -> VReg {
        let (&first, rest) = quarters.split_first().unwrap_or_else(|| bug("a vector of nothing"));
        let mut whole = first;
        for (place, &quarter) in (1u8..).zip(rest) {
            let row = opcode::INSERT_128;
            let simd = Simd::new(row, len_of(ty), Reg::Def(VECTOR), Reg::Use(whole), Src::Use(quarter));
            whole = self.simd(simd.imm(place));
        }
        whole
    }

    fn pack_masks(&mut self, scalars: &[V], ty: Ty) -> VReg {
        if self.isa.has_masks() {
            let mut bits: Option<VReg> = None;
            for (lane, &scalar) in (0u8..).zip(scalars) {
                let bit = self.reg(scalar);
                let bit = if lane == 0 {
                    bit
                } else {
                    self.general(true, 0xc1, Reg::Number(4), Src::Reuse(bit), Imm::Byte(lane as i8))
                };
                bits = Some(match bits {
                    None => bit,
                    Some(bits) => self.general(true, 0x0b, Reg::Reuse(bits), Src::Use(bit), Imm::No),
                });
            }
            let bits = bits.unwrap_or_else(|| bug("a pack of nothing"));
            let row = opcode::K_FROM_GPR;
            return self.simd(Simd::new(row, Len::L128, Reg::Def(crate::wide::inst::MASK), Reg::No, Src::Use(bits)));
        }
        let elem = if is_wide(ty) { Elem::I64 } else { Elem::I32 };
        let lanes: Vec<VReg> = scalars
            .iter()
            .map(|&scalar| {
                let bit = self.reg(scalar);
                self.negated(bit)
            })
            .collect();
        debug_assert!(!is_scalar(ty));
        self.packed_lanes(&lanes, Ty::new(elem, ty.lanes))
    }
}
