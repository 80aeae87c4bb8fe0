//! exp, log, tanh, sin, cos, erf, pow as polynomials of lane ops; the same code for every emitter, in
//! vectors of any number of lanes.
//!
//! f32 functions are computed in f32 lanes, at most 2 ulp from exact for every argument, denormals and
//! huge ones included, with and without FMA: products that must be exact have factors with few bits, so
//! that it doesn't matter whether `MulAdd` rounds once or twice. f64 exp, log and tanh are within 2 ulp, erf
//! within 4, sin and cos good to 1e-15 for |x| up to 1e5 and less beyond, pow within |y·log x| ulp.
//!
//! The coefficients of f32 polynomials are minimax: Lawson's iteration (weighted least squares whose
//! weights follow the error) on Chebyshev points, relative to the function's value, then rounded one after another,
//! lowest order first, the rest fitted anew. Their errors, given with each, are below 2^-25.

#![expect(clippy::excessive_precision, reason = "coefficients stand as their sources print them")]

mod circle;
mod double;
mod logarithm;
mod power;
mod single;

use super::Emit;
use crate::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Op, Shift, Ty, V};

/// 1.5·2^23: added to a small number it leaves the nearest integer in the low bits.
const MAGIC_F32: f64 = 12_582_912.0;
/// 1.5·2^52
const MAGIC_F64: f64 = 6_755_399_441_055_744.0;
const LN2_HIGH_F32: f64 = 0.693_359_375;
const LN2_LOW_F32: f64 = -2.121_944_4e-4;
const LN2_HIGH_F64: f64 = 6.931_471_803_691_238_164_90e-01;
const LN2_LOW_F64: f64 = 1.908_214_929_270_587_700_02e-10;

/// What differs between the two float widths.
struct Format {
    mantissa: u8,
    bias: i64,
    int: Elem,
}

impl Emit<'_> {
    pub(super) fn exp(&mut self, x: V) -> V {
        if self.is_double(x) { self.exp_f64(x) } else { self.exp_f32(x) }
    }

    pub(super) fn tanh(&mut self, x: V) -> V {
        if self.is_double(x) { self.tanh_f64(x) } else { self.tanh_f32(x) }
    }

    pub(super) fn erf(&mut self, x: V) -> V {
        if self.is_double(x) { self.erf_f64(x) } else { self.erf_f32(x) }
    }

    pub(super) fn sin(&mut self, x: V) -> V {
        if self.is_double(x) { self.sin_f64(x) } else { self.sin_f32(x) }
    }

    pub(super) fn cos(&mut self, x: V) -> V {
        if self.is_double(x) { self.cos_f64(x) } else { self.cos_f32(x) }
    }

    /// a^b, with the sign of an odd power of a negative number (or -0); NaN for powers of a finite
    /// negative number that are not whole. 1 for every power of 1, the power 0 of anything, and the infinite
    /// powers of -1.
    pub(super) fn pow(&mut self, a: V, b: V) -> V {
        let magnitude = self.fabs(a);
        let value = if self.is_double(a) { self.power_f64(magnitude, b) } else { self.power_f32(magnitude, b) };
        self.power_edges(a, b, value)
    }

    /// A function that is written for f64, of each lane by itself.
    pub(super) fn through_f64(&mut self, v: V, function: &mut dyn FnMut(&mut Self, V) -> V) -> V {
        let ty = self.b.ty(v);
        let scalar = Ty { lanes: 1, ..ty };
        let narrow = ty.elem == Elem::F32;
        let mut lanes = Vec::new();
        for lane in 0..ty.lanes {
            let one = if ty.lanes == 1 { v } else { self.b.def(Op::Extract(v, lane), scalar) };
            let one = if narrow { self.b.convert(Convert::F32F64, one) } else { one };
            let result = function(self, one);
            lanes.push(if narrow { self.b.convert(Convert::F64F32, result) } else { result });
        }
        if ty.lanes == 1 { lanes[0] } else { self.b.def(Op::Pack(lanes.into_iter().collect()), ty) }
    }

    // ---- what they are made of

    fn is_double(&self, v: V) -> bool {
        self.b.ty(v).elem == Elem::F64
    }

    fn format(&self, v: V) -> Format {
        match self.b.ty(v).elem {
            Elem::F64 => Format { mantissa: 52, bias: 1023, int: Elem::I64 },
            Elem::F32 => Format { mantissa: 23, bias: 127, int: Elem::I32 },
            Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask => {
                mlc_ir::internal_error("lane", "a mathematical function of something that is no float")
            }
        }
    }

    fn f(&mut self, like: V, value: f64) -> V {
        let ty = self.b.ty(like);
        self.b.float(ty, value)
    }

    fn fadd(&mut self, a: V, b: V) -> V {
        self.b.def(Op::FBinary(FBinary::Add, a, b), self.b.ty(a))
    }

    fn fsub(&mut self, a: V, b: V) -> V {
        self.b.def(Op::FBinary(FBinary::Sub, a, b), self.b.ty(a))
    }

    fn fmul(&mut self, a: V, b: V) -> V {
        self.b.def(Op::FBinary(FBinary::Mul, a, b), self.b.ty(a))
    }

    fn fdiv(&mut self, a: V, b: V) -> V {
        self.b.def(Op::FBinary(FBinary::Div, a, b), self.b.ty(a))
    }

    fn fma(&mut self, a: V, b: V, c: V) -> V {
        self.b.def(Op::MulAdd(a, b, c), self.b.ty(a))
    }

    fn fabs(&mut self, a: V) -> V {
        self.b.def(Op::FUnary(FUnary::Abs, a), self.b.ty(a))
    }

    /// The smaller; NaN stays.
    fn at_most(&mut self, x: V, most: f64) -> V {
        let most = self.f(x, most);
        self.b.def(Op::FBinary(FBinary::Min, most, x), self.b.ty(x))
    }

    /// The larger; NaN stays.
    fn at_least(&mut self, x: V, least: f64) -> V {
        let least = self.f(x, least);
        self.b.def(Op::FBinary(FBinary::Max, least, x), self.b.ty(x))
    }

    fn fcmp(&mut self, cmp: Cmp, a: V, b: V) -> V {
        self.b.def(Op::FCmp(cmp, a, b), Ty::mask_of(self.b.ty(a)))
    }

    fn both(&mut self, a: V, b: V) -> V {
        self.b.def(Op::MaskAnd(a, b), self.b.ty(a))
    }

    fn pick(&mut self, mask: V, a: V, b: V) -> V {
        self.b.def(Op::Select(mask, a, b), self.b.ty(a))
    }

    fn i(&mut self, like: V, value: i64) -> V {
        let ty = self.b.ty(like);
        self.b.int(ty, value)
    }

    fn int_op(&mut self, op: IBinary, a: V, b: V) -> V {
        self.b.def(Op::IBinary(op, a, b), self.b.ty(a))
    }

    fn int_with(&mut self, op: IBinary, a: V, constant: i64) -> V {
        let constant = self.i(a, constant);
        self.int_op(op, a, constant)
    }

    fn shift(&mut self, how: Shift, a: V, by: u8) -> V {
        self.b.def(Op::Shift(how, a, by), self.b.ty(a))
    }

    fn icmp(&mut self, cmp: Cmp, a: V, constant: i64) -> V {
        let constant = self.i(a, constant);
        self.b.def(Op::ICmp(cmp, a, constant), Ty::mask_of(self.b.ty(a)))
    }

    fn bits_of(&mut self, v: V) -> V {
        self.b.convert(if self.is_double(v) { Convert::F64BitsI64 } else { Convert::F32BitsI32 }, v)
    }

    fn float_of(&mut self, bits: V) -> V {
        let double = self.b.ty(bits).elem == Elem::I64;
        self.b.convert(if double { Convert::I64BitsF64 } else { Convert::I32BitsF32 }, bits)
    }

    /// Horner's rule, highest coefficient first.
    fn polynomial(&mut self, x: V, coefficients: &[f64]) -> V {
        let mut sum = self.f(x, coefficients[0]);
        for c in &coefficients[1..] {
            let c = self.f(x, *c);
            sum = self.fma(sum, x, c);
        }
        sum
    }

    /// x + 1.5·2^23 (f64: 1.5·2^52), for small x: the nearest integer is in the low bits.
    fn shifted(&mut self, x: V) -> V {
        let magic = self.f(x, if self.is_double(x) { MAGIC_F64 } else { MAGIC_F32 });
        self.fadd(x, magic)
    }

    /// The integer in a [`Self::shifted`] float.
    fn unshifted(&mut self, shifted: V) -> V {
        let magic = self.f(shifted, if self.is_double(shifted) { MAGIC_F64 } else { MAGIC_F32 });
        self.fsub(shifted, magic)
    }

    /// p·2^n for a shifted n within twice the exponent's bias, in two steps, so that only the result may
    /// over- or underflow.
    fn scaled(&mut self, p: V, shifted: V) -> V {
        let format = self.format(p);
        let magic = if self.is_double(p) { MAGIC_F64.to_bits() } else { u64::from((MAGIC_F32 as f32).to_bits()) };
        let bits = self.bits_of(shifted);
        let n = self.int_with(IBinary::Sub, bits, magic as i64 - 2 * format.bias);
        let first = self.shift(Shift::RightU, n, 1);
        let second = self.int_op(IBinary::Sub, n, first);
        let mut value = p;
        for exponent in [first, second] {
            let bits = self.shift(Shift::Left, exponent, format.mantissa);
            let factor = self.float_of(bits);
            value = self.fmul(value, factor);
        }
        value
    }

    /// `magnitude`, whose sign bit is 0 unless it is NaN, with the sign of `x`.
    fn signed_as(&mut self, magnitude: V, x: V) -> V {
        let bits = self.bits_of(x);
        let sign = self.sign_bit(bits);
        let bits = self.bits_of(magnitude);
        let bits = self.int_op(IBinary::Or, bits, sign);
        self.float_of(bits)
    }

    fn sign_bit(&mut self, bits: V) -> V {
        let sign = if self.b.ty(bits).elem == Elem::I64 { i64::MIN } else { i64::from(i32::MIN) };
        self.int_with(IBinary::And, bits, sign)
    }

    /// `far` from the border on, else (and for NaN) `near`.
    fn near_or_far(&mut self, magnitude: V, border: f64, near: V, far: V) -> V {
        let border = self.f(magnitude, border);
        let is_far = self.fcmp(Cmp::Ge, magnitude, border);
        self.pick(is_far, far, near)
    }
}
