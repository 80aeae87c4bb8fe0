//! Integer arithmetic and comparisons. Nothing traps.

use super::{EmitCx, types};
use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::V128Imm;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types as clif};
use mlc_kernel::lane::{Cmp, IBinary, Shift, V};

impl EmitCx<'_> {
    pub(super) fn int_binary(&mut self, op: IBinary, a: V, b: V) -> Value {
        let ty = self.ty(a);
        let (x, y) = (self.get(a), self.get(b));
        match op {
            IBinary::Add => self.b.ins().iadd(x, y),
            IBinary::Sub => self.b.ins().isub(x, y),
            IBinary::Mul => self.b.ins().imul(x, y),
            IBinary::And => self.b.ins().band(x, y),
            IBinary::Or => self.b.ins().bor(x, y),
            IBinary::Xor => self.b.ins().bxor(x, y),
            IBinary::MulHighU if ty.bits != 32 => bug("MulHighU is for 32-bit elements"),
            IBinary::MulHighU if ty.lanes == 1 => self.mul_high_scalar(x, y),
            IBinary::MulHighU => self.mul_high_vector(x, y),
            IBinary::DivFloor => floor_div(&mut self.b, types::scalar(ty), x, y).0,
            IBinary::ModFloor => floor_div(&mut self.b, types::scalar(ty), x, y).1,
            IBinary::Min => self.b.ins().smin(x, y),
            IBinary::Max => self.b.ins().smax(x, y),
        }
    }

    fn mul_high_scalar(&mut self, x: Value, y: Value) -> Value {
        let x = self.b.ins().uextend(clif::I64, x);
        let y = self.b.ins().uextend(clif::I64, y);
        let product = self.b.ins().imul(x, y);
        let high = self.b.ins().ushr_imm_u(product, 32);
        self.b.ins().ireduce(clif::I32, high)
    }

    /// Vectors have no `umulhi`: two products of widened halves (`pmuludq`), and their odd words.
    fn mul_high_vector(&mut self, x: Value, y: Value) -> Value {
        let (x_low, x_high) = (self.b.ins().uwiden_low(x), self.b.ins().uwiden_high(x));
        let (y_low, y_high) = (self.b.ins().uwiden_low(y), self.b.ins().uwiden_high(y));
        let low = self.b.ins().imul(x_low, y_low);
        let high = self.b.ins().imul(x_high, y_high);
        let low = self.b.ins().bitcast(clif::I8X16, types::lane_order(), low);
        let high = self.b.ins().bitcast(clif::I8X16, types::lane_order(), high);
        const ODD_WORDS: [u8; 16] = [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31];
        let odd_words = self.b.func.dfg.immediates.push(V128Imm(ODD_WORDS).into());
        let words = self.b.ins().shuffle(low, high, odd_words);
        self.b.ins().bitcast(clif::I32X4, types::lane_order(), words)
    }

    pub(super) fn int_shift(&mut self, shift: Shift, a: V, bits: u8) -> Value {
        let a = self.get(a);
        let bits = self.b.ins().iconst(clif::I32, i64::from(bits));
        match shift {
            Shift::Left => self.b.ins().ishl(a, bits),
            Shift::RightU => self.b.ins().ushr(a, bits),
            Shift::RightS => self.b.ins().sshr(a, bits),
        }
    }

    pub(super) fn int_compare(&mut self, cmp: Cmp, a: V, b: V) -> Value {
        let condition = match cmp {
            Cmp::Eq => IntCC::Equal,
            Cmp::Ne => IntCC::NotEqual,
            Cmp::Lt => IntCC::SignedLessThan,
            Cmp::Le => IntCC::SignedLessThanOrEqual,
            Cmp::Gt => IntCC::SignedGreaterThan,
            Cmp::Ge => IntCC::SignedGreaterThanOrEqual,
        };
        let (a, b) = (self.get(a), self.get(b));
        self.b.ins().icmp(condition, a, b)
    }
}

/// `(floor(x / y), x - y·floor(x / y))`, and `(0, 0)` if `y` is 0. `sdiv` traps on 0 and on
/// `MIN / -1`, so it gets 1 in their place; `x / -1` is `-x`, wrapping. With a constant `y` the
/// selects fold away.
fn floor_div(b: &mut cranelift_frontend::FunctionBuilder<'_>, ty: Type, x: Value, y: Value) -> (Value, Value) {
    let is_zero = b.ins().icmp_imm_s(IntCC::Equal, y, 0);
    let is_minus_one = b.ins().icmp_imm_s(IntCC::Equal, y, -1);
    let special = b.ins().bor(is_zero, is_minus_one);
    let one = b.ins().iconst(ty, 1);
    let zero = b.ins().iconst(ty, 0);
    let divisor = b.ins().select(special, one, y);

    let toward_zero = b.ins().sdiv(x, divisor);
    let product = b.ins().imul(toward_zero, divisor);
    let rest = b.ins().isub(x, product);
    let signs = b.ins().bxor(rest, divisor);
    let signs_differ = b.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
    let inexact = b.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
    let below = b.ins().band(signs_differ, inexact);
    let one_less = b.ins().iadd_imm_s(toward_zero, -1);
    let quotient = b.ins().select(below, one_less, toward_zero);
    let moved_rest = b.ins().iadd(rest, divisor);
    let remainder = b.ins().select(below, moved_rest, rest);

    let negated = b.ins().ineg(x);
    let quotient = b.ins().select(is_minus_one, negated, quotient);
    // With 1 in place of 0 or -1 the remainder is already 0.
    (b.ins().select(is_zero, zero, quotient), remainder)
}
