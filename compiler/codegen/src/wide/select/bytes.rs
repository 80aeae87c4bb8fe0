//! Loads and stores of bytes, which are i32 lanes in registers.

use super::emit::{Reg, Simd, Src};
use super::{Address, Select, len_of};
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{Cond, GPR, VECTOR};
use crate::wide::opcode;
use mlc_kernel::lane::{Mem, Tail, Ty, V};
use regalloc2::VReg;

impl Address {
    fn plus(self, bytes: i32) -> Address {
        Address { disp: self.disp + bytes, ..self }
    }
}

impl Select<'_> {
    /// Bytes as i32 lanes, the lanes that don't count 0.
    pub(super) fn load_bytes(&mut self, address: Address, mem: Mem, tail: Tail, ty: Ty) -> VReg {
        if self.isa.has_masks() {
            let len = len_of(ty);
            let simd = Simd::new(extended(mem), len, Reg::Def(VECTOR), Reg::No, Src::Memory(address));
            let simd = simd.unit(len.bytes() / 4);
            return match self.byte_mask(tail, ty) {
                None => self.simd(simd),
                Some(mask) => self.simd(simd.masked(mask, true)),
            };
        }
        match tail {
            Tail::Full => self.load_some_bytes(address, mem, ty.lanes, ty),
            Tail::Const(count) => self.load_some_bytes(address, mem, count, ty),
            Tail::Value(count) => {
                let count = self.reg(count);
                self.load_counted_bytes(count, address, mem, ty.lanes, ty)
            }
        }
    }

    /// None if all lanes of the register count.
    fn byte_mask(&mut self, tail: Tail, ty: Ty) -> Option<VReg> {
        match tail {
            Tail::Full if super::fold::fills_register(ty) => None,
            Tail::Full => Some(self.first_lanes(ty.lanes, ty)),
            Tail::Const(count) => Some(self.first_lanes(count, ty)),
            Tail::Value(count) => Some(self.counted_lanes(count, super::MaskKind::Bits)),
        }
    }

    /// The first `count` bytes, in the largest pieces.
    fn load_some_bytes(&mut self, address: Address, mem: Mem, count: u8, ty: Ty) -> VReg {
        let mut bytes: Option<VReg> = None;
        for (at, size) in pieces(count) {
            let from = Src::Memory(address.plus(i32::from(at)));
            bytes = Some(match (bytes, size) {
                (None, 8 | 4) => {
                    let simd = Simd::new(opcode::from_gpr(size == 8), Len::L128, Reg::Def(VECTOR), Reg::No, from);
                    self.simd(simd.unit(i32::from(size)))
                }
                (old, _) => {
                    let old = match old {
                        Some(old) => old,
                        None => self.zero(Len::L128),
                    };
                    let row = match size {
                        8 | 4 => opcode::pinsr(size == 8),
                        2 => opcode::PINSRW,
                        _ => opcode::PINSRB,
                    };
                    let simd = Simd::new(row, Len::L128, Reg::Def(VECTOR), Reg::Use(old), from);
                    self.simd(simd.unit(i32::from(size)).imm(at / size))
                }
            });
        }
        match bytes {
            Some(bytes) => self.simd2(extended(mem), len_of(ty), Src::Use(bytes)),
            None => self.zero(len_of(ty)),
        }
    }

    fn load_counted_bytes(&mut self, count: VReg, address: Address, mem: Mem, candidate: u8, ty: Ty) -> VReg {
        if candidate == 0 {
            return self.zero(len_of(ty));
        }
        self.compare_number(count, i32::from(candidate), true);
        self.choice(
            Cond::Equal,
            VECTOR,
            |this| this.load_some_bytes(address, mem, candidate, ty),
            |this| this.load_counted_bytes(count, address, mem, candidate - 1, ty),
        )
    }

    /// The low bytes of i32 lanes.
    pub(super) fn store_bytes(&mut self, address: Address, tail: Tail, value: VReg, ty: Ty) {
        if self.isa.has_masks() {
            let len = len_of(ty);
            let simd = Simd::new(opcode::PMOVDB, len, Reg::Use(value), Reg::No, Src::Memory(address));
            let simd = simd.unit(len.bytes() / 4);
            match self.byte_mask(tail, ty) {
                None => self.emit(simd),
                Some(mask) => self.emit(simd.masked(mask, false)),
            };
            return;
        }
        let bytes = self.packed_bytes(value, ty);
        match tail {
            Tail::Full => self.store_some_bytes(address, ty.lanes, bytes),
            Tail::Const(count) => self.store_some_bytes(address, count, bytes),
            Tail::Value(count) => self.store_counted_bytes(count, address, bytes, ty.lanes),
        }
    }

    /// The low bytes of up to eight lanes, side by side.
    fn packed_bytes(&mut self, value: VReg, ty: Ty) -> VReg {
        let mut low_bytes = [0x80u8; 16];
        for (lane, byte) in low_bytes.iter_mut().take(4).enumerate() {
            *byte = lane as u8 * 4;
        }
        let order = Src::Pool(self.code.constant(&low_bytes));
        let low = self.simd3(opcode::PSHUFB, Len::L128, value, order);
        if len_of(ty) == Len::L128 {
            return low;
        }
        let high = Simd::new(opcode::EXTRACT_128, Len::L256, Reg::Use(value), Reg::No, Src::Def(VECTOR)).imm(1);
        let high = self.simd(high);
        let high = self.simd3(opcode::PSHUFB, Len::L128, high, order);
        // The four bytes of `high` into the second quarter.
        let simd = Simd::new(opcode::INSERTPS, Len::L128, Reg::Def(VECTOR), Reg::Use(low), Src::Use(high));
        self.simd(simd.imm(1 << 4))
    }

    fn store_some_bytes(&mut self, address: Address, count: u8, bytes: VReg) {
        for (at, size) in pieces(count) {
            let to = Src::Memory(address.plus(i32::from(at)));
            let (row, imm) = match size {
                8 if at == 0 => (opcode::to_gpr(true), None),
                8 | 4 => (opcode::pextr(size == 8), Some(at / size)),
                2 => (opcode::PEXTRW, Some(at / size)),
                _ => (opcode::PEXTRB, Some(at)),
            };
            let simd = Simd::new(row, Len::L128, Reg::Use(bytes), Reg::No, to).unit(i32::from(size));
            self.emit(Simd { imm, ..simd });
        }
    }

    fn store_counted_bytes(&mut self, count: V, address: Address, bytes: VReg, lanes: u8) {
        let count = self.reg(count);
        for candidate in 1..=lanes {
            self.compare_number(count, i32::from(candidate), true);
            self.when(Cond::Equal, |this| this.store_some_bytes(address, candidate, bytes));
        }
    }

    /// The low 32 or 64 bits of a vector register in a general one.
    pub(super) fn low_to_gpr(&mut self, v: VReg, wide: bool) -> VReg {
        self.simd(Simd::new(opcode::to_gpr(wide), Len::L128, Reg::Use(v), Reg::No, Src::Def(GPR)))
    }

    /// A general register as the first element of a vector, zeros above.
    pub(super) fn gpr_to_low(&mut self, v: VReg, wide: bool) -> VReg {
        self.simd2(opcode::from_gpr(wide), Len::L128, Src::Use(v))
    }

    /// `v >> bits`, zeros in.
    pub(super) fn shifted_right(&mut self, v: VReg, bits: u8) -> VReg {
        if bits == 0 {
            return v;
        }
        self.general(true, 0xc1, Reg::Number(5), Src::Reuse(v), Imm::Byte(bits as i8))
    }
}

/// How bytes become i32 lanes.
fn extended(mem: Mem) -> opcode::Row {
    if mem == Mem::I8 { opcode::PMOVSXBD } else { opcode::PMOVZXBD }
}

/// Positions and sizes of the pieces of 8, 4, 2 and 1 that make up `count` bytes.
fn pieces(count: u8) -> impl Iterator<Item = (u8, u8)> {
    let mut at = 0;
    [8, 4, 2, 1].into_iter().filter_map(move |size| {
        let here = at;
        let fits = count - at >= size;
        at += if fits { size } else { 0 };
        fits.then_some((here, size))
    })
}
