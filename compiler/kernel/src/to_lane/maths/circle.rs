//! sin and cos of f32, for arguments of any size.

use crate::lane::{Cmp, Convert, IBinary, Shift, V};
use crate::to_lane::Emit;

/// Bits of 1/(2π) from 30·k - 24 bits behind the point on, four words for each k: what a number of
/// that size is multiplied by. The bits before are whole turns.
const TURNS: [[u32; 4]; 5] = [
    [0x0000_0028, 0xbe60_db93, 0x9105_4a7f, 0x09d5_f47d],
    [0x2f98_36e4, 0xe441_529f, 0xc275_7d1f, 0x534d_dc0d],
    [0x3910_54a7, 0xf09d_5f47, 0xd4d3_7703, 0x6d8a_5664],
    [0xfc27_57d1, 0xf534_ddc0, 0xdb62_9599, 0x3c43_9041],
    [0x7d4d_3770, 0x36d8_a566, 0x4f10_e410, 0x7f94_58ea],
];
/// Bits from one row of [`TURNS`] to the next.
const ROW_BITS: i64 = 30;
/// π/2 in two parts, the upper of 8 bits.
const QUARTER_HIGH: f64 = 1.570_312_5;
const QUARTER_LOW: f64 = std::f64::consts::FRAC_PI_2 - QUARTER_HIGH;

impl Emit<'_> {
    pub(super) fn sin_f32(&mut self, x: V) -> V {
        let bits = self.bits_of(x);
        let sign = self.sign_bit(bits);
        let (r, quarter) = self.quarter_turns_f32(x);
        self.circle(x, r, quarter, Some(sign))
    }

    pub(super) fn cos_f32(&mut self, x: V) -> V {
        let (r, quarter) = self.quarter_turns_f32(x);
        let quarter = self.int_with(IBinary::Add, quarter, 1);
        self.circle(x, r, quarter, None)
    }

    /// |x| as r + n·π/2 with r between -π/4 and π/4, and n modulo 4.
    ///
    /// Payne and Hanek's reduction in integers: of the product of the mantissa and 1/(2π) only the 96
    /// bits count that are neither whole turns nor too small to matter. The closest that an f32 comes to
    /// a multiple of π/2 is about 2^-30, so 64 bits of the fraction are enough.
    fn quarter_turns_f32(&mut self, x: V) -> (V, V) {
        let magnitude = self.fabs(x);
        let bits = self.bits_of(magnitude);
        let mantissa = self.int_with(IBinary::And, bits, 0x007f_ffff);
        let mantissa = self.int_with(IBinary::Or, mantissa, 0x0080_0000);
        let exponent = self.shift(Shift::RightU, bits, 23);
        let window = self.turn_bits(exponent);
        // The fraction of a turn, in units of 2^-32 and 2^-64; what is carried from the second into the
        // first is added as a float.
        let upper = self.int_op(IBinary::Mul, mantissa, window[0]);
        let carried = self.int_op(IBinary::MulHighU, mantissa, window[1]);
        let upper = self.int_op(IBinary::Add, upper, carried);
        let lower = self.int_op(IBinary::Mul, mantissa, window[1]);
        let least = self.int_op(IBinary::MulHighU, mantissa, window[2]);
        let least = self.b.convert(Convert::I32F32, least);

        let n = self.int_with(IBinary::Add, upper, 0x2000_0000);
        let n = self.shift(Shift::RightU, n, 30);
        // Without the quarters, signed, and rounded by what follows: 16 + 14 + 32 bits, all signed, so that
        // nothing cancels when they are added.
        let rest = self.shift(Shift::Left, upper, 2);
        let rest = self.shift(Shift::RightS, rest, 2);
        let up = self.shift(Shift::RightU, lower, 31);
        let rest = self.int_op(IBinary::Add, rest, up);
        let second = self.shift(Shift::Left, rest, 16);
        let second = self.shift(Shift::RightS, second, 16);
        let first = self.int_op(IBinary::Sub, rest, second);
        let first = self.shift(Shift::RightS, first, 16);
        let [first, second, third] = [first, second, lower].map(|part| self.b.convert(Convert::I32F32, part));
        let third = self.fadd(third, least);
        // Times π/2. The product of the first part and the upper 8 bits is exact.
        let unit = (-30f64).exp2();
        let (high, low) = (self.f(x, QUARTER_HIGH * unit * 65536.0), self.f(x, QUARTER_LOW * unit * 65536.0));
        let quarter = self.f(x, std::f64::consts::FRAC_PI_2 * unit);
        let tiny = self.f(x, std::f64::consts::FRAC_PI_2 * unit * (-32f64).exp2());
        let r = self.fmul(third, tiny);
        let r = self.fma(second, quarter, r);
        let r = self.fma(first, low, r);
        let r = self.fma(first, high, r);

        let is_small = self.icmp(Cmp::Le, bits, i64::from(std::f32::consts::FRAC_PI_4.to_bits()));
        let zero = self.i(n, 0);
        (self.pick(is_small, magnitude, r), self.pick(is_small, zero, n))
    }

    /// The 96 bits of 1/(2π) that a number of this (biased) exponent is multiplied by; of any number below
    /// 1/2 something.
    fn turn_bits(&mut self, exponent: V) -> [V; 3] {
        let at = self.int_with(IBinary::Sub, exponent, 126);
        let mut words = TURNS[0].map(|word| self.i(at, i64::from(word)));
        let mut power = self.int_with(IBinary::Add, at, 127);
        for (row, turns) in (1i64..).zip(&TURNS[1..]) {
            let reached = self.icmp(Cmp::Ge, at, row * ROW_BITS);
            for (word, turn) in words.iter_mut().zip(turns) {
                let turn = self.i(at, i64::from(*turn));
                *word = self.pick(reached, turn, *word);
            }
            let here = self.int_with(IBinary::Add, at, 127 - row * ROW_BITS);
            power = self.pick(reached, here, power);
        }
        // Shifted left by what is left over, by a product with 2^that.
        let power = self.shift(Shift::Left, power, 23);
        let power = self.float_of(power);
        let power = self.b.convert(Convert::F32I32, power);
        [0, 1, 2].map(|k| {
            let shifted = self.int_op(IBinary::Mul, words[k], power);
            let next = self.int_op(IBinary::MulHighU, words[k + 1], power);
            self.int_op(IBinary::Or, shifted, next)
        })
    }

    /// sin of r + quarter·π/2, its sign turned by `sign`; NaN if x is infinite or NaN.
    ///
    /// sin r = r + r³·s(r²), relative error 2^-27.9; cos r = 1 - r²/2 + r⁴·c(r²), relative error 2^-33.
    fn circle(&mut self, x: V, r: V, quarter: V, sign: Option<V>) -> V {
        let z = self.fmul(r, r);
        let s = self.polynomial(z, &[-0.000_195_182_86, 0.008_332_189, -0.166_666_55]);
        let s = self.fmul(s, z);
        let sine = self.fma(s, r, r);
        let c = self.polynomial(z, &[2.443_232_7e-5, -0.001_388_731, 0.041_666_646, -0.5, 1.0]);
        let odd = self.int_with(IBinary::And, quarter, 1);
        let odd = self.icmp(Cmp::Ne, odd, 0);
        let value = self.pick(odd, c, sine);
        let turned = self.int_with(IBinary::And, quarter, 2);
        let mut turned = self.shift(Shift::Left, turned, 30);
        if let Some(sign) = sign {
            turned = self.int_op(IBinary::Xor, turned, sign);
        }
        let bits = self.bits_of(value);
        let bits = self.int_op(IBinary::Xor, bits, turned);
        let value = self.float_of(bits);
        let (magnitude, infinity) = (self.fabs(x), self.f(x, f64::INFINITY));
        let fine = self.fcmp(Cmp::Lt, magnitude, infinity);
        let nan = self.f(x, f64::NAN);
        self.pick(fine, value, nan)
    }
}
