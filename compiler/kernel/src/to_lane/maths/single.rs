//! exp, tanh and erf of f32.

use super::{LN2_HIGH_F32, LN2_LOW_F32, MAGIC_F32};
use crate::lane::{IBinary, Shift, V};
use crate::to_lane::Emit;

impl Emit<'_> {
    /// e^x = 2^n·p: p between sqrt(1/2) and sqrt 2, and n shifted.
    ///
    /// Cody and Waite's reduction r = x - n·ln 2 with ln 2 in two parts, the upper of 10 bits; then
    /// e^r = 1 + r + r²·q(r), relative error of q 2^-28.2.
    fn reduced_exp(&mut self, x: V) -> (V, V) {
        let (log2e, magic) = (self.f(x, std::f64::consts::LOG2_E), self.f(x, MAGIC_F32));
        let shifted = self.fma(x, log2e, magic);
        let n = self.unshifted(shifted);
        let (high, low) = (self.f(x, -LN2_HIGH_F32), self.f(x, -LN2_LOW_F32));
        let r = self.fma(n, high, x);
        let r = self.fma(n, low, r);
        let q = self.polynomial(r, &[0.001_381_893_9, 0.008_368_704, 0.041_668_29, 0.166_665_21, 0.499_999_94]);
        let square = self.fmul(r, r);
        let p = self.fma(square, q, r);
        let one = self.f(x, 1.0);
        (self.fadd(p, one), shifted)
    }

    /// p·2^n where that is known to be a normal number; anything for NaN.
    fn scaled_within(&mut self, p: V, shifted: V) -> V {
        let bits = self.bits_of(shifted);
        let n = self.shift(Shift::Left, bits, 23);
        let bits = self.bits_of(p);
        let bits = self.int_op(IBinary::Add, bits, n);
        self.float_of(bits)
    }

    pub(super) fn exp_f32(&mut self, x: V) -> V {
        let x = self.at_least(x, -104.0);
        let x = self.at_most(x, 89.0);
        let (p, shifted) = self.reduced_exp(x);
        self.scaled(p, shifted)
    }

    /// Below 0.625 x + x³·p(x²), relative error 2^-27.7; from there on 1 - 2 / (e^2x + 1).
    pub(super) fn tanh_f32(&mut self, x: V) -> V {
        let magnitude = self.fabs(x);
        let z = self.fmul(x, x);
        let p = self.polynomial(z, &[-0.005_692_296, 0.020_628_167, -0.053_736_515, 0.133_314_06, -0.333_332_8]);
        let p = self.fmul(p, z);
        let near = self.fma(p, magnitude, magnitude);
        let limited = self.at_most(magnitude, 10.0);
        let twice = self.fadd(limited, limited);
        let (p, shifted) = self.reduced_exp(twice);
        let e = self.scaled_within(p, shifted);
        let (one, two) = (self.f(x, 1.0), self.f(x, 2.0));
        let denominator = self.fadd(e, one);
        let quotient = self.fdiv(two, denominator);
        let far = self.fsub(one, quotient);
        let value = self.near_or_far(magnitude, 0.625, near, far);
        self.signed_as(value, x)
    }

    /// Below 1 x + x·p(x²), relative error 2^-29.4; from there on 1 - exp(t·q(t) - t), where
    /// log(erfc t) = t·q(t) - t: an error of 2^-31 of the result. 1 from 4 on.
    pub(super) fn erf_f32(&mut self, x: V) -> V {
        let magnitude = self.fabs(x);
        let z = self.fmul(x, x);
        let p = self.polynomial(
            z,
            &[7.806_903e-5, -0.000_799_785_3, 0.005_187_162, -0.026_853_347, 0.112_835_79, -0.376_126_26, 0.128_379_17],
        );
        let near = self.fma(p, magnitude, magnitude);
        let t = self.at_most(magnitude, 4.0);
        let q = self.polynomial(
            t,
            &[
                -1.413_166e-5,
                0.000_352_313_13,
                -0.003_764_595_8,
                0.024_025_403,
                -0.106_549_02,
                -0.634_958_3,
                -0.128_697_16,
            ],
        );
        let minus = self.negated(t);
        let q = self.fma(q, t, minus);
        let (p, shifted) = self.reduced_exp(q);
        let complement = self.scaled_within(p, shifted);
        let one = self.f(x, 1.0);
        let far = self.fsub(one, complement);
        let value = self.near_or_far(magnitude, 1.0, near, far);
        self.signed_as(value, x)
    }
}
