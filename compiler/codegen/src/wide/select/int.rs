//! Integer arithmetic and comparisons. Nothing traps.

use super::emit::{Reg, Simd, Src};
use super::{Address, Select, is_scalar, is_wide, len_of};
use crate::error::bug;
use crate::wide::assemble::{Imm, Len};
use crate::wide::inst::{Cond, Form, GPR, MASK, VECTOR, gpr};
use crate::wide::opcode;
use mlc_kernel::lane::{Cmp, IBinary, Shift, Ty, V};
use regalloc2::{Operand, VReg};
use smallvec::smallvec;

const RAX: u8 = 0;
const RDX: u8 = 2;

impl Select<'_> {
    pub(super) fn int_binary(&mut self, op: IBinary, a: V, b: V, ty: Ty) -> VReg {
        if is_scalar(ty) { self.scalar_int(op, a, b, ty) } else { self.vector_int(op, a, b, ty) }
    }

    // ---- scalars

    fn scalar_int(&mut self, op: IBinary, a: V, b: V, ty: Ty) -> VReg {
        let wide = is_wide(ty);
        let commutes = matches!(op, IBinary::Add | IBinary::Mul | IBinary::And | IBinary::Or | IBinary::Xor);
        let (a, b) = if commutes && self.small(a).is_some() { (b, a) } else { (a, b) };
        match op {
            IBinary::Add => self.add(a, b, wide),
            IBinary::Sub => match self.small(b).and_then(i32::checked_neg) {
                Some(disp) => {
                    let address = Address { base: self.reg(a), index: None, disp };
                    self.general(wide, 0x8d, Reg::Def(GPR), Src::Memory(address), Imm::No)
                }
                None => self.two(0x2b, 5, a, b, wide),
            },
            IBinary::And => self.two(0x23, 4, a, b, wide),
            IBinary::Or => self.two(0x0b, 1, a, b, wide),
            IBinary::Xor => self.two(0x33, 6, a, b, wide),
            IBinary::Mul => match self.small(b) {
                Some(number) => {
                    let a = self.reg(a);
                    self.general(wide, 0x69, Reg::Def(GPR), Src::Use(a), Imm::Word(number))
                }
                None => {
                    let (a, b) = (self.reg(a), self.reg(b));
                    self.general_0f(wide, 0xaf, Reg::Reuse(a), Src::Use(b))
                }
            },
            IBinary::MulHighU => {
                let (a, b) = (self.reg(a), self.reg(b));
                let (a, b) = (self.zero_extended(a), self.zero_extended(b));
                let product = self.general_0f(true, 0xaf, Reg::Reuse(a), Src::Use(b));
                self.shift_reg(SHIFT_RIGHT_U, product, 32, true)
            }
            IBinary::Min => self.pick(Cond::Less, a, b, wide),
            IBinary::Max => self.pick(Cond::Greater, a, b, wide),
            IBinary::DivFloor => self.floor_div(a, b, ty).0,
            IBinary::ModFloor => self.floor_div(a, b, ty).1,
        }
    }

    fn add(&mut self, a: V, b: V, wide: bool) -> VReg {
        let base = self.reg(a);
        let address = match self.small(b) {
            Some(disp) => Address { base, index: None, disp },
            None => Address { base, index: Some((self.reg(b), 0)), disp: 0 },
        };
        self.general(wide, 0x8d, Reg::Def(GPR), Src::Memory(address), Imm::No)
    }

    /// `a op b` in the place of `a`; `group` names the op where `b` is a number.
    fn two(&mut self, opcode: u8, group: u8, a: V, b: V, wide: bool) -> VReg {
        let old = self.reg(a);
        match self.small(b) {
            Some(number) => self.general(wide, 0x81, Reg::Number(group), Src::Reuse(old), Imm::Word(number)),
            None => {
                let b = self.reg(b);
                self.general(wide, opcode, Reg::Reuse(old), Src::Use(b), Imm::No)
            }
        }
    }

    fn zero_extended(&mut self, v: VReg) -> VReg {
        self.general(false, 0x8b, Reg::Def(GPR), Src::Use(v), Imm::No)
    }

    fn shift_reg(&mut self, group: u8, v: VReg, bits: u8, wide: bool) -> VReg {
        self.general(wide, 0xc1, Reg::Number(group), Src::Reuse(v), Imm::Byte(bits as i8))
    }

    /// Sets the flags for `a` against `b`.
    pub(super) fn compare(&mut self, a: V, b: V, wide: bool) {
        let left = self.reg(a);
        match self.small(b) {
            Some(number) => self.compare_number(left, number, wide),
            None => {
                let right = self.reg(b);
                self.effect(wide, 0x3b, Reg::Use(left), Src::Use(right), Imm::No);
            }
        }
    }

    pub(super) fn compare_number(&mut self, v: VReg, number: i32, wide: bool) {
        match i8::try_from(number) {
            Ok(byte) => self.effect(wide, 0x83, Reg::Number(7), Src::Use(v), Imm::Byte(byte)),
            Err(_) => self.effect(wide, 0x81, Reg::Number(7), Src::Use(v), Imm::Word(number)),
        }
    }

    /// `condition ? yes : no` by the flags.
    pub(super) fn conditional(&mut self, condition: Cond, yes: VReg, no: VReg) -> VReg {
        self.general_0f(true, 0x40 | condition as u8, Reg::Reuse(no), Src::Use(yes))
    }

    fn pick(&mut self, condition: Cond, a: V, b: V, wide: bool) -> VReg {
        let (left, right) = (self.reg(a), self.reg(b));
        self.effect(wide, 0x3b, Reg::Use(left), Src::Use(right), Imm::No);
        self.conditional(condition, left, right)
    }

    /// Quotient and remainder as 64-bit numbers.
    fn divide(&mut self, a: VReg, b: VReg) -> (VReg, VReg) {
        let (low, high) = (gpr(RAX), gpr(RDX));
        let signs = self.code.register(GPR);
        self.push(Form::SignExtend, smallvec![Operand::reg_fixed_use(a, low), Operand::reg_fixed_def(signs, high)]);
        let (quotient, rest) = (self.code.register(GPR), self.code.register(GPR));
        let operands = smallvec![
            Operand::reg_fixed_use(a, low),
            Operand::reg_fixed_use(signs, high),
            Operand::reg_use(b),
            Operand::reg_fixed_def(quotient, low),
            Operand::reg_fixed_def(rest, high),
        ];
        let form = Form::General {
            wide: true,
            two_bytes: false,
            opcode: 0xf7,
            reg: crate::wide::inst::Slot::Number(7),
            rm: crate::wide::inst::Place::Operand(2),
            byte_regs: false,
            imm: Imm::No,
        };
        self.push(form, operands);
        (quotient, rest)
    }

    /// `(floor(a / b), a - b·floor(a / b))`, and zeros if `b` is 0. The instruction traps on 0 and on
    /// `MIN / -1`: it gets 1 in their place, and `a / -1` is `-a`, wrapping.
    fn floor_div(&mut self, a: V, b: V, ty: Ty) -> (VReg, VReg) {
        let divisor = self.number_of(b);
        let (mut x, mut y) = (self.reg(a), self.reg(b));
        if !is_wide(ty) {
            // In 64 bits nothing overflows.
            (x, y) = (self.sign_extended(x), self.sign_extended(y));
        }
        if divisor.is_some_and(|number| number > 0) {
            let (quotient, rest) = self.divide(x, y);
            // The remainder's sign as a mask.
            let copy = self.copied(rest);
            let below = self.shift_reg(SHIFT_RIGHT_S, copy, 63, true);
            let quotient = self.general(true, 0x03, Reg::Reuse(quotient), Src::Use(below), Imm::No);
            let more = self.general(true, 0x23, Reg::Reuse(below), Src::Use(y), Imm::No);
            return (quotient, self.general(true, 0x03, Reg::Reuse(rest), Src::Use(more), Imm::No));
        }
        let (zero, one) = (self.number(0), self.number(1));
        let next = Address { base: y, index: None, disp: 1 };
        let next = self.general(true, 0x8d, Reg::Def(GPR), Src::Memory(next), Imm::No);
        // Unsigned `y + 1 <= 1`: 0 or -1.
        self.compare_number(next, 1, true);
        let safe = self.conditional(Cond::BelowEqual, one, y);
        let (quotient, rest) = self.divide(x, safe);
        let copy = self.copied(rest);
        let signs = self.general(true, 0x33, Reg::Reuse(copy), Src::Use(safe), Imm::No);
        let signs = self.shift_reg(SHIFT_RIGHT_S, signs, 63, true);
        self.compare_number(rest, 0, true);
        let below = self.conditional(Cond::Equal, zero, signs);
        let quotient = self.general(true, 0x03, Reg::Reuse(quotient), Src::Use(below), Imm::No);
        let more = self.general(true, 0x23, Reg::Reuse(below), Src::Use(safe), Imm::No);
        let rest = self.general(true, 0x03, Reg::Reuse(rest), Src::Use(more), Imm::No);
        let negated = self.copied(x);
        let negated = self.negated(negated);
        self.compare_number(y, -1, true);
        let quotient = self.conditional(Cond::Equal, negated, quotient);
        self.compare_number(y, 0, true);
        (self.conditional(Cond::Equal, zero, quotient), rest)
    }

    fn copied(&mut self, v: VReg) -> VReg {
        self.general(true, 0x8b, Reg::Def(GPR), Src::Use(v), Imm::No)
    }

    pub(super) fn sign_extended(&mut self, v: VReg) -> VReg {
        self.general(true, 0x63, Reg::Def(GPR), Src::Use(v), Imm::No)
    }

    /// All bits of 0 or 1.
    pub(super) fn negated(&mut self, v: VReg) -> VReg {
        self.general(true, 0xf7, Reg::Number(3), Src::Reuse(v), Imm::No)
    }

    // ---- vectors

    fn vector_int(&mut self, op: IBinary, a: V, b: V, ty: Ty) -> VReg {
        let (wide, len, masks) = (is_wide(ty), len_of(ty), self.isa.has_masks());
        let row = match op {
            IBinary::Add => opcode::padd(wide),
            IBinary::Sub => opcode::psub(wide),
            IBinary::And => opcode::pand(wide),
            IBinary::Or => opcode::por(wide),
            IBinary::Xor => opcode::pxor(wide),
            IBinary::Mul if !wide => opcode::PMULLD,
            IBinary::Mul if masks => opcode::PMULLQ,
            IBinary::Min if !wide || masks => opcode::pmins(wide),
            IBinary::Max if !wide || masks => opcode::pmaxs(wide),
            IBinary::Mul => return self.wide_product(a, b, len),
            IBinary::Min | IBinary::Max => {
                let (a, b) = (self.reg(a), self.reg(b));
                let above = self.simd3(opcode::pcmpgt(true), len, a, Src::Use(b));
                let (yes, no) = if op == IBinary::Max { (a, b) } else { (b, a) };
                return self.blend(above, Src::Use(yes), no, ty);
            }
            IBinary::MulHighU => return self.high_product(a, b, len),
            IBinary::DivFloor | IBinary::ModFloor => bug("divisions are of scalars"),
        };
        let commutes = op != IBinary::Sub;
        let (a, b) = if commutes && self.in_memory(a) && !self.in_memory(b) { (b, a) } else { (a, b) };
        let a = self.reg(a);
        let b = self.packed(b);
        self.simd3(row, len, a, b)
    }

    fn shifted(&mut self, group: u8, v: VReg, bits: u8, wide: bool, len: Len) -> VReg {
        let row = if wide && group == opcode::SHIFT_RIGHT_S { opcode::PSRAQ } else { opcode::pshift(wide) };
        self.simd(Simd::new(row, len, Reg::Number(group), Reg::Def(VECTOR), Src::Use(v)).imm(bits))
    }

    /// 64-bit products of three 32-bit ones.
    fn wide_product(&mut self, a: V, b: V, len: Len) -> VReg {
        let (a, b) = (self.reg(a), self.reg(b));
        let low = self.simd3(opcode::PMULUDQ, len, a, Src::Use(b));
        let a_high = self.shifted(opcode::SHIFT_RIGHT_U, a, 32, true, len);
        let b_high = self.shifted(opcode::SHIFT_RIGHT_U, b, 32, true, len);
        let left = self.simd3(opcode::PMULUDQ, len, a_high, Src::Use(b));
        let right = self.simd3(opcode::PMULUDQ, len, b_high, Src::Use(a));
        let sum = self.simd3(opcode::padd(true), len, left, Src::Use(right));
        let sum = self.shifted(opcode::SHIFT_LEFT, sum, 32, true, len);
        self.simd3(opcode::padd(true), len, low, Src::Use(sum))
    }

    /// High halves of 32-bit products, of even and of odd elements.
    fn high_product(&mut self, a: V, b: V, len: Len) -> VReg {
        let lanes = (len.bytes() / 8) as u8;
        let (a, b) = (self.reg(a), self.reg(b));
        let even = self.simd3(opcode::PMULUDQ, len, a, Src::Use(b));
        let a_odd = self.shifted(opcode::SHIFT_RIGHT_U, a, 32, true, len);
        let b_odd = self.shifted(opcode::SHIFT_RIGHT_U, b, 32, true, len);
        let odd = self.simd3(opcode::PMULUDQ, len, a_odd, Src::Use(b_odd));
        let even = self.shifted(opcode::SHIFT_RIGHT_U, even, 32, true, len);
        let high = self.pattern(0xffff_ffff_0000_0000, Ty::new(mlc_kernel::lane::Elem::I64, lanes));
        let odd = self.simd3(opcode::pand(true), len, odd, high);
        self.simd3(opcode::por(true), len, even, Src::Use(odd))
    }

    pub(super) fn shift(&mut self, shift: Shift, a: V, bits: u8, ty: Ty) -> VReg {
        let (wide, len) = (is_wide(ty), len_of(ty));
        let a = self.reg(a);
        if is_scalar(ty) {
            let group = match shift {
                Shift::Left => SHIFT_LEFT,
                Shift::RightU => SHIFT_RIGHT_U,
                Shift::RightS => SHIFT_RIGHT_S,
            };
            return self.shift_reg(group, a, bits, wide);
        }
        match shift {
            Shift::Left => self.shifted(opcode::SHIFT_LEFT, a, bits, wide, len),
            Shift::RightU => self.shifted(opcode::SHIFT_RIGHT_U, a, bits, wide, len),
            Shift::RightS if wide && !self.isa.has_masks() => {
                // The sign goes along as a number's highest bit, and is then spread by a subtraction.
                let moved = self.shifted(opcode::SHIFT_RIGHT_U, a, bits, true, len);
                let sign = self.pattern((1 << 63) >> bits, ty);
                let flipped = self.simd3(opcode::pxor(true), len, moved, sign);
                self.simd3(opcode::psub(true), len, flipped, sign)
            }
            Shift::RightS => self.shifted(opcode::SHIFT_RIGHT_S, a, bits, wide, len),
        }
    }

    pub(super) fn int_compare(&mut self, cmp: Cmp, a: V, b: V) -> VReg {
        let ty = self.ty(a);
        let (wide, len) = (is_wide(ty), len_of(ty));
        if is_scalar(ty) {
            self.compare(a, b, wide);
            return self.flag(match cmp {
                Cmp::Eq => Cond::Equal,
                Cmp::Ne => Cond::NotEqual,
                Cmp::Lt => Cond::Less,
                Cmp::Le => Cond::LessEqual,
                Cmp::Gt => Cond::Greater,
                Cmp::Ge => Cond::GreaterEqual,
            });
        }
        if self.isa.has_masks() {
            let predicate = match cmp {
                Cmp::Eq => 0,
                Cmp::Lt => 1,
                Cmp::Le => 2,
                Cmp::Ne => 4,
                Cmp::Ge => 5,
                Cmp::Gt => 6,
            };
            let a = self.reg(a);
            let b = self.packed(b);
            return self.simd(Simd::new(opcode::pcmp(wide), len, Reg::Def(MASK), Reg::Use(a), b).imm(predicate));
        }
        let (a, b) = (self.reg(a), self.reg(b));
        let (row, a, b, negate) = match cmp {
            Cmp::Eq => (opcode::pcmpeq(wide), a, b, false),
            Cmp::Ne => (opcode::pcmpeq(wide), a, b, true),
            Cmp::Gt => (opcode::pcmpgt(wide), a, b, false),
            Cmp::Le => (opcode::pcmpgt(wide), a, b, true),
            Cmp::Lt => (opcode::pcmpgt(wide), b, a, false),
            Cmp::Ge => (opcode::pcmpgt(wide), b, a, true),
        };
        let mask = self.simd3(row, len, a, Src::Use(b));
        if negate { self.lanes_not(mask, ty) } else { mask }
    }
}

/// The extensions of a general shift's opcode.
const SHIFT_LEFT: u8 = 4;
const SHIFT_RIGHT_U: u8 = 5;
const SHIFT_RIGHT_S: u8 = 7;
