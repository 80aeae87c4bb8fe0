//! Instructions with operands for the allocator.

use super::{Address, Select};
use crate::error::bug;
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{Form, Place, Slot};
use crate::wide::opcode::Row;
use regalloc2::{Operand, RegClass, VReg};
use smallvec::{SmallVec, smallvec};

/// What stands in a register field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reg {
    No,
    Number(u8),
    Use(VReg),
    /// A new value.
    Def(RegClass),
    /// A new value in the place of an old one.
    Reuse(VReg),
}

/// What stands in the field that may be memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Src {
    Use(VReg),
    Def(RegClass),
    Reuse(VReg),
    Memory(Address),
    /// One element of memory for all lanes.
    Broadcast(Address),
    /// A constant behind the code.
    Pool(u32),
    /// One element behind the code for all lanes.
    PoolElement(u32),
}

/// A vector instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simd {
    pub(super) row: Row,
    pub(super) len: Len,
    pub(super) reg: Reg,
    pub(super) vvvv: Reg,
    pub(super) rm: Src,
    pub(super) mask: Option<VReg>,
    pub(super) zero: bool,
    /// Bytes of the memory operand, if it isn't as long as the register or one broadcast element.
    pub(super) unit: Option<i32>,
    pub(super) imm: Option<u8>,
    /// Whose number is in the immediate.
    pub(super) imm_reg: Option<VReg>,
}

impl Simd {
    /// `reg = row(vvvv, rm)`
    pub(super) fn new(row: Row, len: Len, reg: Reg, vvvv: Reg, rm: Src) -> Simd {
        Simd { row, len, reg, vvvv, rm, mask: None, zero: false, unit: None, imm: None, imm_reg: None }
    }

    pub(super) fn imm(self, imm: u8) -> Simd {
        Simd { imm: Some(imm), ..self }
    }

    pub(super) fn unit(self, bytes: i32) -> Simd {
        Simd { unit: Some(bytes), ..self }
    }

    /// Only the elements of `mask` are read, written, or kept; the rest of a register becomes 0.
    pub(super) fn masked(self, mask: VReg, zero: bool) -> Simd {
        Simd { mask: Some(mask), zero, ..self }
    }
}

/// Operands of an instruction as they are collected.
#[derive(Default)]
struct Operands {
    list: SmallVec<[Operand; 4]>,
    result: Option<VReg>,
}

impl Operands {
    fn push(&mut self, operand: Operand) -> u8 {
        self.list.push(operand);
        self.list.len() as u8 - 1
    }

    fn used(&mut self, v: VReg) -> u8 {
        self.push(Operand::reg_use(v))
    }

    fn defined(&mut self, v: VReg) -> u8 {
        self.result = Some(v);
        self.push(Operand::reg_def(v))
    }

    fn reused(&mut self, old: VReg, new: VReg) -> u8 {
        let old = self.used(old);
        self.result = Some(new);
        self.push(Operand::reg_reuse_def(new, usize::from(old)))
    }
}

impl Select<'_> {
    fn slot(&mut self, operands: &mut Operands, reg: Reg) -> Slot {
        Slot::Operand(match reg {
            Reg::No => return Slot::No,
            Reg::Number(n) => return Slot::Number(n),
            Reg::Use(v) => operands.used(v),
            Reg::Def(class) => operands.defined(self.code.register(class)),
            Reg::Reuse(v) => operands.reused(v, self.code.register(v.class())),
        })
    }

    fn place(&mut self, operands: &mut Operands, rm: Src) -> Place {
        match rm {
            Src::Use(v) => Place::Operand(operands.used(v)),
            Src::Def(class) => Place::Operand(operands.defined(self.code.register(class))),
            Src::Reuse(v) => Place::Operand(operands.reused(v, self.code.register(v.class()))),
            Src::Memory(Address { base, index, disp }) | Src::Broadcast(Address { base, index, disp }) => {
                let base = operands.used(base);
                Place::Memory { base, index: index.map(|(v, scale)| (operands.used(v), scale)), disp }
            }
            Src::Pool(at) | Src::PoolElement(at) => Place::Pool(at),
        }
    }

    /// Emits a vector instruction; the register that it writes, if it writes one.
    pub(super) fn emit(&mut self, simd: Simd) -> Option<VReg> {
        let mut operands = Operands::default();
        let reg = self.slot(&mut operands, simd.reg);
        let vvvv = self.slot(&mut operands, simd.vvvv);
        let rm = self.place(&mut operands, simd.rm);
        let mask = simd.mask.map(|v| operands.used(v));
        let imm_reg = simd.imm_reg.map(|v| operands.used(v));
        let broadcast = matches!(simd.rm, Src::Broadcast(_) | Src::PoolElement(_));
        let element = if simd.row.evex_w { 8 } else { 4 };
        let unit = simd.unit.unwrap_or(if broadcast { element } else { simd.len.bytes() });
        let Simd { row, len, zero, imm, .. } = simd;
        self.push(Form::Simd { row, len, reg, vvvv, rm, mask, zero, broadcast, unit, imm, imm_reg }, operands.list);
        operands.result
    }

    /// [`Select::emit`] of an instruction with a result.
    pub(super) fn simd(&mut self, simd: Simd) -> VReg {
        match self.emit(simd) {
            Some(v) => v,
            None => bug("a vector instruction without a result"),
        }
    }

    /// `row(a, b)` into a new vector register.
    pub(super) fn simd3(&mut self, row: Row, len: Len, a: VReg, b: Src) -> VReg {
        self.simd(Simd::new(row, len, Reg::Def(crate::wide::inst::VECTOR), Reg::Use(a), b))
    }

    /// `row(a)` into a new vector register.
    pub(super) fn simd2(&mut self, row: Row, len: Len, a: Src) -> VReg {
        self.simd(Simd::new(row, len, Reg::Def(crate::wide::inst::VECTOR), Reg::No, a))
    }

    fn general_with(
        &mut self,
        (wide, two_bytes, opcode, byte_regs): (bool, bool, u8, bool),
        reg: Reg,
        rm: Src,
        imm: Imm,
    ) -> Option<VReg> {
        let mut operands = Operands::default();
        let reg = self.slot(&mut operands, reg);
        let rm = self.place(&mut operands, rm);
        self.push(Form::General { wide, two_bytes, opcode, reg, rm, byte_regs, imm }, operands.list);
        operands.result
    }

    /// An instruction of general registers with a result.
    pub(super) fn general(&mut self, wide: bool, opcode: u8, reg: Reg, rm: Src, imm: Imm) -> VReg {
        match self.general_with((wide, false, opcode, false), reg, rm, imm) {
            Some(v) => v,
            None => bug("an instruction without a result"),
        }
    }

    /// One with an opcode behind `0F`.
    pub(super) fn general_0f(&mut self, wide: bool, opcode: u8, reg: Reg, rm: Src) -> VReg {
        match self.general_with((wide, true, opcode, false), reg, rm, Imm::No) {
            Some(v) => v,
            None => bug("an instruction without a result"),
        }
    }

    /// One that writes flags or memory alone.
    pub(super) fn effect(&mut self, wide: bool, opcode: u8, reg: Reg, rm: Src, imm: Imm) {
        self.general_with((wide, false, opcode, false), reg, rm, imm);
    }

    /// `prefetcht1`: the line of memory into the second cache; or `prefetchw`: into the first, to be written.
    pub(super) fn prefetch_line(&mut self, at: Src, write: bool) {
        let (opcode, how) = if write { (0x0d, 1) } else { (0x18, 2) };
        self.general_with((false, true, opcode, false), Reg::Number(how), at, Imm::No);
    }

    /// The flag of a condition as 0 or 1.
    pub(super) fn flag(&mut self, condition: crate::wide::inst::Cond) -> VReg {
        let gpr = crate::wide::inst::GPR;
        let set = (false, true, 0x90 | condition as u8, true);
        let Some(byte) = self.general_with(set, Reg::Number(0), Src::Def(gpr), Imm::No) else {
            bug("an instruction without a result")
        };
        let extend = (false, true, 0xb6, true);
        match self.general_with(extend, Reg::Def(gpr), Src::Use(byte), Imm::No) {
            Some(v) => v,
            None => bug("an instruction without a result"),
        }
    }

    /// Stores the low byte of a register.
    pub(super) fn store_low_byte(&mut self, value: VReg, to: Address) {
        self.general_with((false, false, 0x88, true), Reg::Use(value), Src::Memory(to), Imm::No);
    }

    /// A number in a register.
    pub(super) fn number(&mut self, number: i64) -> VReg {
        let v = self.code.register(crate::wide::inst::GPR);
        self.push(Form::Constant(number), smallvec![Operand::reg_def(v)]);
        v
    }
}
