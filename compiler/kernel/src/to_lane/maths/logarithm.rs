//! log, of both float widths, and the exponent of a float.

use super::{LN2_HIGH_F32, LN2_HIGH_F64, LN2_LOW_F32, LN2_LOW_F64, MAGIC_F64};
use crate::lane::{Cmp, Convert, Elem, IBinary, Shift, V};
use crate::to_lane::Emit;

impl Emit<'_> {
    /// x = 2^e·z for a finite x > 0, denormal or not: e as a float, and z in [sqrt(1/2), sqrt 2).
    pub(super) fn split_exponent(&mut self, x: V) -> (V, V) {
        let format = self.format(x);
        let wide = format.int == Elem::I64;
        let least_normal = self.f(x, if wide { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) });
        let denormal = self.fcmp(Cmp::Lt, x, least_normal);
        let up = self.f(x, if wide { 18_014_398_509_481_984.0 } else { 33_554_432.0 });
        let scaled = self.fmul(x, up);
        let m = self.pick(denormal, scaled, x);
        let (zero, down) = (self.f(x, 0.0), self.f(x, if wide { -54.0 } else { -25.0 }));
        let shift = self.pick(denormal, down, zero);
        // The offset makes the exponent round at sqrt(1/2).
        let bits = self.bits_of(m);
        let root: i64 = if wide { 0x3fe6_a09e_667f_3bcd } else { 0x3f35_04f3 };
        let one_bits: i64 = if wide { 0x3ff0_0000_0000_0000 } else { 0x3f80_0000 };
        let moved = self.int_with(IBinary::Add, bits, one_bits - root);
        let e = self.shift(Shift::RightS, moved, format.mantissa);
        let e = self.int_with(IBinary::Sub, e, format.bias);
        let exponent_bits = self.shift(Shift::Left, e, format.mantissa);
        let z = self.int_op(IBinary::Sub, bits, exponent_bits);
        let z = self.float_of(z);
        let e = self.small_int_to_float(e, wide);
        (self.fadd(e, shift), z)
    }

    /// The series in s = f / (2 + f) with the coefficients of the FreeBSD libm (Lg1…).
    pub(in crate::to_lane) fn log(&mut self, x: V) -> V {
        let wide = self.is_double(x);
        let (e, z) = self.split_exponent(x);
        let one = self.f(x, 1.0);
        let f = self.fsub(z, one);
        let two = self.f(x, 2.0);
        let denominator = self.fadd(two, f);
        let s = self.fdiv(f, denominator);
        let s2 = self.fmul(s, s);
        let coefficients: &[f64] = if wide {
            &[
                1.479_819_860_511_658_591e-01,
                1.531_383_769_920_937_332e-01,
                1.818_357_216_161_805_012e-01,
                2.222_219_843_214_978_396e-01,
                2.857_142_874_366_239_149e-01,
                3.999_999_999_940_941_908e-01,
                6.666_666_666_666_735_130e-01,
            ]
        } else {
            &[0.242_790_79, 0.284_987_87, 0.400_009_72, 0.666_666_63]
        };
        let r = self.polynomial(s2, coefficients);
        let r = self.fmul(r, s2);
        let half = self.f(x, 0.5);
        let half_square = self.fmul(f, f);
        let half_square = self.fmul(half_square, half);
        let (high, low) = if wide { (LN2_HIGH_F64, LN2_LOW_F64) } else { (LN2_HIGH_F32, LN2_LOW_F32) };
        let (high, low) = (self.f(x, high), self.f(x, low));
        // e·ln2_high - ((f²/2 - (s·(f²/2 + R) + e·ln2_low)) - f)
        let sum = self.fadd(half_square, r);
        let low_part = self.fmul(e, low);
        let inner = self.fma(s, sum, low_part);
        let inner = self.fsub(half_square, inner);
        let inner = self.fsub(inner, f);
        let high_part = self.fmul(e, high);
        let value = self.fsub(high_part, inner);
        self.log_edges(x, value)
    }

    /// 0 gives -inf, below 0 and NaN give NaN, inf gives inf.
    fn log_edges(&mut self, x: V, value: V) -> V {
        let (zero, infinity) = (self.f(x, 0.0), self.f(x, f64::INFINITY));
        let (minus_infinity, nan) = (self.f(x, f64::NEG_INFINITY), self.f(x, f64::NAN));
        let is_infinite = self.fcmp(Cmp::Eq, x, infinity);
        let value = self.pick(is_infinite, infinity, value);
        let is_zero = self.fcmp(Cmp::Eq, x, zero);
        let value = self.pick(is_zero, minus_infinity, value);
        let fine = self.fcmp(Cmp::Ge, x, zero);
        self.pick(fine, value, nan)
    }

    /// An i32, or an i64 of small magnitude, as a float of the same width.
    fn small_int_to_float(&mut self, v: V, wide: bool) -> V {
        if !wide {
            return self.b.convert(Convert::I32F32, v);
        }
        let bits = self.int_with(IBinary::Add, v, MAGIC_F64.to_bits() as i64);
        let float = self.float_of(bits);
        self.unshifted(float)
    }
}
