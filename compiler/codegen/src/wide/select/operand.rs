//! Lane values as operands: registers, memory, constants.

use super::emit::{Reg, Simd, Src};
use super::{Address, Select, Val, is_scalar, is_wide, len_of};
use crate::error::bug;
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{GPR, VECTOR};
use crate::wide::opcode;
use mlc_kernel::lane::{Elem, Ty, V};
use regalloc2::VReg;

impl Select<'_> {
    /// The value in a register.
    pub(super) fn reg(&mut self, v: V) -> VReg {
        let ty = self.ty(v);
        match self.value(v).clone() {
            Val::Reg(reg) => reg,
            Val::Const(bits) => self.constant_lanes(&bits, ty),
            Val::Address(address) => self.address_reg(address),
            Val::Load(address) => self.load_full(address, ty),
            Val::Broadcast(address) => self.broadcast_load(address, ty),
        }
    }

    fn address_reg(&mut self, address: Address) -> VReg {
        match address {
            Address { base, index: None, disp: 0 } => base,
            address => self.general(true, 0x8d, Reg::Def(GPR), Src::Memory(address), Imm::No),
        }
    }

    pub(super) fn broadcast_load(&mut self, address: Address, ty: Ty) -> VReg {
        let simd =
            Simd::new(opcode::broadcast(is_wide(ty)), len_of(ty), Reg::Def(VECTOR), Reg::No, Src::Memory(address));
        self.simd(simd.unit(i32::from(ty.bits / 8)))
    }

    /// Whether the value is an operand without a register of its own.
    pub(super) fn in_memory(&self, v: V) -> bool {
        matches!(self.value(v), Val::Const(_) | Val::Load(_) | Val::Broadcast(_))
    }

    /// The number that a scalar constant is, as far as immediates go.
    pub(super) fn small(&self, v: V) -> Option<i32> {
        let number = self.number_of(v)?;
        i32::try_from(number).ok()
    }

    /// The number that a scalar integer constant is.
    pub(super) fn number_of(&self, v: V) -> Option<i64> {
        let Val::Const(bits) = self.value(v) else { return None };
        let bits = *bits.first()?;
        Some(if self.ty(v).bits == 32 { i64::from(bits as i32) } else { bits as i64 })
    }

    /// An operand of a vector instruction that reads all of a register: `len` bytes of memory, or one
    /// element for all lanes.
    pub(super) fn packed(&mut self, v: V) -> Src {
        let ty = self.ty(v);
        match self.value(v).clone() {
            Val::Load(address) if !is_scalar(ty) => Src::Memory(address),
            Val::Broadcast(address) => Src::Broadcast(address),
            Val::Const(bits) => self.packed_constant(&bits, ty),
            _ => Src::Use(self.reg(v)),
        }
    }

    /// An operand of a float instruction: scalar or vector as its type is.
    pub(super) fn float_operand(&mut self, v: V) -> Src {
        let ty = self.ty(v);
        match self.value(v).clone() {
            Val::Load(address) if is_scalar(ty) => Src::Memory(address),
            Val::Const(bits) if is_scalar(ty) => {
                let bytes = element_bytes(bits[0], ty);
                Src::Pool(self.code.constant(&bytes))
            }
            _ => self.packed(v),
        }
    }

    /// Bits in every lane of a register of `ty`, for instructions that read all of it.
    pub(super) fn pattern(&mut self, bits: u64, ty: Ty) -> Src {
        self.packed_constant(&[bits], ty)
    }

    fn packed_constant(&mut self, bits: &[u64], ty: Ty) -> Src {
        let uniform = bits.iter().all(|it| *it == bits[0]);
        if uniform && self.isa.has_masks() {
            let bytes = element_bytes(bits[0], ty);
            return Src::PoolElement(self.code.constant(&bytes));
        }
        let lanes = (len_of(ty).bytes() / i32::from(ty.bits / 8)) as usize;
        let bytes: Vec<u8> = (0..lanes)
            .flat_map(|lane| {
                let bits = if bits.len() == 1 { bits[0] } else { bits.get(lane).copied().unwrap_or(0) };
                element_bytes(bits, ty)
            })
            .collect();
        Src::Pool(self.code.constant(&bytes))
    }

    pub(super) fn constant_lanes(&mut self, bits: &[u64], ty: Ty) -> VReg {
        let [first, ..] = bits else { bug("a constant without a value") };
        match (ty.elem, is_scalar(ty)) {
            (Elem::I32, true) => self.number(i64::from(*first as u32)),
            (Elem::I64 | Elem::Ptr, true) => self.number(*first as i64),
            (Elem::Mask, true) => self.number(i64::from(*first != 0)),
            (Elem::Mask, false) => self.mask_constant(bits, ty),
            _ if bits.iter().all(|it| *it == 0) => self.zero(len_of(ty)),
            (Elem::F32 | Elem::F64, true) => {
                let at = self.code.constant(&element_bytes(*first, ty));
                let row = opcode::load_scalar(is_wide(ty));
                self.simd2(row, Len::L128, Src::Pool(at))
            }
            _ => match self.packed_constant(bits, ty) {
                // One element in all lanes is an instruction of its own.
                Src::PoolElement(at) => self.simd2(opcode::broadcast(is_wide(ty)), len_of(ty), Src::Pool(at)),
                whole => self.simd2(opcode::load(is_wide(ty)), len_of(ty), whole),
            },
        }
    }

    /// Zeros. The operands of `x ^ x` are one register, whatever was in it.
    pub(super) fn zero(&mut self, len: Len) -> VReg {
        // Below 512 bits the rest becomes zero as well.
        let len = if len == Len::L512 { Len::L512 } else { Len::L128 };
        let v = self.code.register(VECTOR);
        let (slot, place) = (crate::wide::inst::Slot::Operand(0), crate::wide::inst::Place::Operand(0));
        let form = crate::wide::inst::Form::Simd {
            row: opcode::pxor(false),
            len,
            reg: slot,
            vvvv: slot,
            rm: place,
            mask: None,
            zero: false,
            broadcast: false,
            unit: 0,
            imm: None,
            imm_reg: None,
        };
        self.push(form, smallvec::smallvec![regalloc2::Operand::reg_def(v)]);
        v
    }

    /// The address in a pointer.
    pub(super) fn address(&mut self, ptr: V, disp: i32) -> Address {
        if let Val::Address(address) = *self.value(ptr)
            && let Some(disp) = address.disp.checked_add(disp)
        {
            return Address { disp, ..address };
        }
        Address { base: self.reg(ptr), index: None, disp }
    }

    /// `ptr + bytes`, left to its uses where the processor adds for nothing.
    pub(super) fn pointer(&mut self, ptr: V, bytes: V) -> Address {
        if let Some(number) = self.small(bytes) {
            return self.address(ptr, number);
        }
        let base = self.reg(ptr);
        let index = self.reg(bytes);
        let sum = Address { base, index: Some((index, 0)), disp: 0 };
        Address { base: self.address_reg(sum), index: None, disp: 0 }
    }
}

/// The bytes of an element's bits; a mask's are all ones or all zeros.
fn element_bytes(bits: u64, ty: Ty) -> Vec<u8> {
    let bits = if ty.elem == Elem::Mask && bits != 0 { u64::MAX } else { bits };
    bits.to_le_bytes()[..usize::from(ty.bits / 8)].to_vec()
}
