//! Masks and selection by them.

use super::emit::{Reg, Simd, Src};
use super::{MaskKind, Select, Val, is_scalar, is_wide, len_of};
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{Cond, GPR, MASK, VECTOR};
use crate::wide::opcode;
use mlc_kernel::lane::{Elem, Ty, V};
use regalloc2::VReg;

/// Both or either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
}

impl Select<'_> {
    /// An instruction between mask registers; those of two operands say so in their length.
    fn mask3(&mut self, row: opcode::Row, a: VReg, b: VReg) -> VReg {
        self.simd(Simd::new(row, Len::L256, Reg::Def(MASK), Reg::Use(a), Src::Use(b)))
    }

    pub(super) fn mask_binary(&mut self, op: Logic, a: V, b: V, ty: Ty) -> VReg {
        let (a, b) = (self.reg(a), self.reg(b));
        match (op, is_scalar(ty), self.isa.has_masks()) {
            (Logic::And, true, _) => self.general(false, 0x23, Reg::Reuse(a), Src::Use(b), Imm::No),
            (Logic::Or, true, _) => self.general(false, 0x0b, Reg::Reuse(a), Src::Use(b), Imm::No),
            (Logic::And, false, true) => self.mask3(opcode::KAND, a, b),
            (Logic::Or, false, true) => self.mask3(opcode::KOR, a, b),
            (Logic::And, false, false) => self.simd3(opcode::pand(false), len_of(ty), a, Src::Use(b)),
            (Logic::Or, false, false) => self.simd3(opcode::por(false), len_of(ty), a, Src::Use(b)),
        }
    }

    pub(super) fn mask_not(&mut self, a: V, ty: Ty) -> VReg {
        let a = self.reg(a);
        if is_scalar(ty) {
            return self.general(false, 0x83, Reg::Number(6), Src::Reuse(a), Imm::Byte(1));
        }
        if self.isa.has_masks() {
            return self.simd(Simd::new(opcode::KNOT, Len::L128, Reg::Def(MASK), Reg::No, Src::Use(a)));
        }
        self.lanes_not(a, ty)
    }

    pub(super) fn lanes_not(&mut self, a: VReg, ty: Ty) -> VReg {
        let ones = self.pattern(if is_wide(ty) { u64::MAX } else { u64::from(u32::MAX) }, ty);
        self.simd3(opcode::pxor(false), len_of(ty), a, ones)
    }

    /// A scalar mask as the mask of a register of `ty`.
    pub(super) fn spread(&mut self, mask: V, ty: Ty) -> VReg {
        let bit = self.reg(mask);
        let bits = self.negated(bit);
        if self.isa.has_masks() {
            return self.mask_from(bits);
        }
        let low = self.gpr_to_low(bits, false);
        self.simd2(opcode::broadcast(false), len_of(ty), Src::Use(low))
    }

    fn mask_from(&mut self, bits: VReg) -> VReg {
        self.simd(Simd::new(opcode::K_FROM_GPR, Len::L128, Reg::Def(MASK), Reg::No, Src::Use(bits)))
    }

    pub(super) fn mask_constant(&mut self, bits: &[u64], ty: Ty) -> VReg {
        if self.isa.has_masks() {
            let lane = |lane: usize| u64::from(bits[if bits.len() == 1 { 0 } else { lane }] != 0) << lane;
            let number = (0..usize::from(ty.lanes)).map(lane).sum::<u64>();
            let number = self.number(number as i64);
            return self.mask_from(number);
        }
        let elem = if is_wide(ty) { Elem::I64 } else { Elem::I32 };
        let ones: Vec<u64> = bits
            .iter()
            .map(|it| match (*it != 0, is_wide(ty)) {
                (false, _) => 0,
                (true, true) => u64::MAX,
                (true, false) => u64::from(u32::MAX),
            })
            .collect();
        let lanes: Vec<u64> =
            (0..usize::from(ty.lanes)).map(|lane| ones[if ones.len() == 1 { 0 } else { lane }]).collect();
        self.constant_lanes(&lanes, Ty::new(elem, ty.lanes))
    }

    pub(super) fn select(&mut self, mask: V, a: V, b: V, ty: Ty) -> VReg {
        let by_scalar = is_scalar(self.ty(mask));
        if self.class(ty) == GPR {
            let (yes, no, mask) = (self.reg(a), self.reg(b), self.reg(mask));
            self.effect(false, 0x85, Reg::Use(mask), Src::Use(mask), Imm::No);
            return self.conditional(Cond::NotEqual, yes, no);
        }
        if self.class(ty) == MASK {
            let mask = if by_scalar { self.spread(mask, ty) } else { self.reg(mask) };
            let (a, b) = (self.reg(a), self.reg(b));
            let yes = self.mask3(opcode::KAND, mask, a);
            let no = self.mask3(opcode::KANDN, mask, b);
            return self.mask3(opcode::KOR, yes, no);
        }
        let mask = if by_scalar { self.spread(mask, ty) } else { self.reg(mask) };
        let yes = if is_scalar(ty) { Src::Use(self.reg(a)) } else { self.packed(a) };
        let is_zero = matches!(self.value(b), Val::Const(bits) if bits.iter().all(|it| *it == 0));
        if self.isa.has_masks() && is_zero && !matches!(yes, Src::PoolElement(_) | Src::Broadcast(_)) {
            let simd = Simd::new(opcode::load(is_wide(ty)), len_of(ty), Reg::Def(VECTOR), Reg::No, yes);
            return self.simd(simd.masked(mask, true));
        }
        let no = self.reg(b);
        self.blend(mask, yes, no, ty)
    }

    /// `mask ? yes : no` of vectors.
    pub(super) fn blend(&mut self, mask: VReg, yes: Src, no: VReg, ty: Ty) -> VReg {
        let (wide, len) = (is_wide(ty), len_of(ty));
        if mask.class() == MASK {
            let simd = Simd::new(opcode::blendm(wide), len, Reg::Def(VECTOR), Reg::Use(no), yes);
            return self.simd(simd.masked(mask, false));
        }
        let simd = Simd::new(opcode::blendv(wide), len, Reg::Def(VECTOR), Reg::Use(no), yes);
        self.simd(Simd { imm_reg: Some(mask), ..simd })
    }

    /// 0 or 1 in lanes, or in a general register.
    pub(super) fn mask_int(&mut self, mask: V, ty: Ty) -> VReg {
        let mask = self.reg(mask);
        if is_scalar(ty) {
            return mask;
        }
        let (wide, len) = (is_wide(ty), len_of(ty));
        let lanes = self.mask_lanes(mask, wide, len);
        let row = opcode::pshift(wide);
        let simd =
            Simd::new(row, len, Reg::Number(opcode::SHIFT_RIGHT_U), Reg::Def(VECTOR), Src::Use(lanes)).imm(ty.bits - 1);
        self.simd(simd)
    }

    /// All ones or zeros in lanes.
    pub(super) fn mask_lanes(&mut self, mask: VReg, wide: bool, len: Len) -> VReg {
        if mask.class() == MASK { self.simd2(opcode::mask_to_lanes(wide), len, Src::Use(mask)) } else { mask }
    }

    // ---- the first lanes

    /// The mask of the first `count` lanes of `ty`.
    pub(super) fn first_lanes(&mut self, count: u8, ty: Ty) -> VReg {
        if !self.isa.has_masks() {
            let ones = if is_wide(ty) { u64::MAX } else { u64::from(u32::MAX) };
            let elem = if is_wide(ty) { Elem::I64 } else { Elem::I32 };
            let lanes: Vec<u64> = (0..ty.lanes).map(|lane| if lane < count { ones } else { 0 }).collect();
            return self.constant_lanes(&lanes, Ty::new(elem, ty.lanes));
        }
        if let Some(mask) = self.const_masks.get(&count) {
            return *mask;
        }
        let here = std::mem::replace(&mut self.current, self.start);
        let bits = self.number((1u64 << count).wrapping_sub(1) as i64);
        let mask = self.mask_from(bits);
        self.current = here;
        self.const_masks.insert(count, mask);
        mask
    }

    /// The mask of as many lanes as `count` says.
    pub(super) fn counted_lanes(&mut self, count: V, kind: MaskKind) -> VReg {
        if let Some(mask) = self.count_masks.get(&(count, kind)) {
            return *mask;
        }
        let number = self.reg(count);
        let mask = match kind {
            MaskKind::Bits => {
                let ones = self.number(-1);
                let simd = Simd::new(opcode::BZHI, Len::L128, Reg::Def(GPR), Reg::Use(number), Src::Use(ones));
                let bits = self.simd(simd);
                self.mask_from(bits)
            }
            MaskKind::Lanes(bytes, len) => {
                // 32 bytes of ones before 32 of zeros: the further from the middle, the more lanes.
                let mut table = [0u8; 64];
                table[..32].fill(0xff);
                let table = self.code.constant(&table);
                let middle = self.general(true, 0x8d, Reg::Def(GPR), Src::Pool(table), Imm::No);
                let copy = self.general(true, 0x8b, Reg::Def(GPR), Src::Use(number), Imm::No);
                let back = self.negated(copy);
                let scale = bytes.trailing_zeros() as u8;
                let at = super::Address { base: middle, index: Some((back, scale)), disp: 32 };
                self.simd2(opcode::load(false), len, Src::Memory(at))
            }
        };
        self.count_masks.insert((count, kind), mask);
        mask
    }
}
