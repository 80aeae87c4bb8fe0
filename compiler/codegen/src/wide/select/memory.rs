//! Loads and stores. No access touches a byte beyond the elements it names: a buffer may end at the
//! end of a page. Lanes that don't count are masked off, which the processor doesn't read or write.

use super::emit::{Reg, Simd, Src};
use super::fold::{fills_register, mask_kind};
use super::{Address, Select, is_float, is_scalar, is_wide, len_of};
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{Cond, GPR, VECTOR};
use crate::wide::opcode;
use mlc_kernel::lane::{Mem, Tail, Ty, V};
use regalloc2::VReg;

/// Which lanes an access touches.
#[derive(Clone, Copy)]
enum Lanes {
    All,
    Masked(VReg),
}

impl Select<'_> {
    pub(super) fn load(&mut self, ptr: V, disp: i32, mem: Mem, tail: Tail, ty: Ty) -> VReg {
        let address = self.address(ptr, disp);
        if is_scalar(ty) {
            return match tail {
                Tail::Value(count) => self.load_if_counted(count, address, mem, ty),
                Tail::Full | Tail::Const(_) => self.load_scalar(address, mem, ty),
            };
        }
        if mem.bytes() == 1 {
            return self.load_bytes(address, mem, tail, ty);
        }
        let len = len_of(ty);
        let wide = is_wide(ty);
        let lanes = self.lanes(tail, mem, ty);
        match (lanes, self.isa.has_masks()) {
            (Lanes::All, _) => self.load_full(address, ty),
            (Lanes::Masked(mask), true) => {
                let simd = Simd::new(opcode::load(wide), len, Reg::Def(VECTOR), Reg::No, Src::Memory(address));
                self.simd(simd.masked(mask, true))
            }
            (Lanes::Masked(mask), false) => self.simd3(opcode::masked_load(wide), len, mask, Src::Memory(address)),
        }
    }

    pub(super) fn store(&mut self, ptr: V, disp: i32, mem: Mem, tail: Tail, value: V) {
        let ty = self.ty(value);
        let address = self.address(ptr, disp);
        if is_scalar(ty) {
            return match tail {
                Tail::Value(count) => self.store_if_counted(count, address, mem, value),
                Tail::Full | Tail::Const(_) => {
                    let value = self.reg(value);
                    self.store_scalar(address, mem, value);
                }
            };
        }
        let value = self.reg(value);
        if mem.bytes() == 1 {
            return self.store_bytes(address, tail, value, ty);
        }
        let (wide, len) = (is_wide(ty), len_of(ty));
        let lanes = self.lanes(tail, mem, ty);
        let row = opcode::store(wide);
        let simd = Simd::new(row, len, Reg::Use(value), Reg::No, Src::Memory(address));
        let simd = match (lanes, self.isa.has_masks()) {
            (Lanes::All, _) => simd,
            (Lanes::Masked(mask), true) => simd.masked(mask, false),
            (Lanes::Masked(mask), false) => Simd { row: opcode::masked_store(wide), vvvv: Reg::Use(mask), ..simd },
        };
        self.emit(simd);
    }

    pub(super) fn prefetch(&mut self, ptr: V, disp: i32, write: bool) {
        let address = self.address(ptr, disp);
        self.prefetch_line(Src::Memory(address), write);
    }

    fn lanes(&mut self, tail: Tail, mem: Mem, ty: Ty) -> Lanes {
        match tail {
            Tail::Full if fills_register(ty) => Lanes::All,
            Tail::Full => Lanes::Masked(self.first_lanes(ty.lanes, ty)),
            Tail::Const(count) => Lanes::Masked(self.first_lanes(count, ty)),
            Tail::Value(count) => match mask_kind(self.isa, ty, mem) {
                Some(kind) => Lanes::Masked(self.counted_lanes(count, kind)),
                None => Lanes::All,
            },
        }
    }

    /// All elements of a register, or a scalar.
    pub(super) fn load_full(&mut self, address: Address, ty: Ty) -> VReg {
        if is_scalar(ty) {
            let mem = match (is_float(ty), is_wide(ty)) {
                (true, false) => Mem::F32,
                (true, true) => Mem::F64,
                (false, false) => Mem::I32,
                (false, true) => Mem::I64,
            };
            return self.load_scalar(address, mem, ty);
        }
        self.simd2(opcode::load(is_wide(ty)), len_of(ty), Src::Memory(address))
    }

    fn load_scalar(&mut self, address: Address, mem: Mem, ty: Ty) -> VReg {
        let from = Src::Memory(address);
        match mem {
            Mem::F32 | Mem::F64 => {
                let row = opcode::load_scalar(is_wide(ty));
                let simd = Simd::new(row, Len::L128, Reg::Def(VECTOR), Reg::No, from);
                self.simd(simd.unit(mem.bytes() as i32))
            }
            Mem::I32 => self.general(false, 0x8b, Reg::Def(GPR), from, Imm::No),
            Mem::I64 => self.general(true, 0x8b, Reg::Def(GPR), from, Imm::No),
            Mem::U8 => self.general_0f(false, 0xb6, Reg::Def(GPR), from),
            Mem::I8 => self.general_0f(false, 0xbe, Reg::Def(GPR), from),
        }
    }

    fn store_scalar(&mut self, address: Address, mem: Mem, value: VReg) {
        let to = Src::Memory(address);
        match mem {
            Mem::F32 | Mem::F64 => {
                let row = opcode::store_scalar(mem == Mem::F64);
                let simd = Simd::new(row, Len::L128, Reg::Use(value), Reg::No, to);
                self.emit(simd.unit(mem.bytes() as i32));
            }
            Mem::I32 => self.effect(false, 0x89, Reg::Use(value), to, Imm::No),
            Mem::I64 => self.effect(true, 0x89, Reg::Use(value), to, Imm::No),
            Mem::U8 | Mem::I8 => self.store_low_byte(value, address),
        }
    }

    /// A scalar if `count` is above 0, else 0.
    fn load_if_counted(&mut self, count: V, address: Address, mem: Mem, ty: Ty) -> VReg {
        let count = self.reg(count);
        self.compare_number(count, 0, true);
        self.choice(
            Cond::Greater,
            self.class(ty),
            |this| this.load_scalar(address, mem, ty),
            |this| if is_float(ty) { this.zero(Len::L128) } else { this.number(0) },
        )
    }

    fn store_if_counted(&mut self, count: V, address: Address, mem: Mem, value: V) {
        let (number, value) = (self.reg(count), self.reg(value));
        self.compare_number(number, 0, true);
        self.when(Cond::Greater, |this| this.store_scalar(address, mem, value));
    }
}
