//! exp, tanh, erf, sin and cos of f64.
//!
//! exp: Cody–Waite reduction by ln 2, Taylor polynomial, scaled in two steps so that overflow and
//! denormals come out right. tanh: Cephes' rational form near 0, 1 - 2 / (e^2x + 1) beyond. sin, cos: reduction
//! by pi/2 in three parts, Taylor polynomials on [-pi/4, pi/4]. erf: exp(-x²) times a series of positive
//! terms up to 2, a continued fraction beyond.

use super::{LN2_HIGH_F64, LN2_LOW_F64};
use crate::lane::{Cmp, FBinary, FUnary, IBinary, Op, V};
use crate::to_lane::Emit;

impl Emit<'_> {
    pub(super) fn exp_f64(&mut self, x: V) -> V {
        let clamped = self.at_least(x, -746.0);
        let clamped = self.at_most(clamped, 710.0);
        let log2e = self.f(x, std::f64::consts::LOG2_E);
        let n = self.fmul(clamped, log2e);
        let n = self.b.def(Op::FUnary(FUnary::Nearest, n), self.b.ty(x));
        let (high, low) = (self.f(x, -LN2_HIGH_F64), self.f(x, -LN2_LOW_F64));
        let r = self.fma(n, high, clamped);
        let r = self.fma(n, low, r);
        let coefficients: Vec<f64> = (0..=13).rev().map(|k| 1.0 / factorial(k)).collect();
        let p = self.polynomial(r, &coefficients);
        let shifted = self.shifted(n);
        self.scaled(p, shifted)
    }

    pub(super) fn tanh_f64(&mut self, x: V) -> V {
        let magnitude = self.fabs(x);
        let z = self.fmul(x, x);
        let p = self.polynomial(
            z,
            &[-9.643_991_794_250_522_386_28e-1, -9.928_772_310_019_185_865_64e1, -1.614_687_684_417_084_479_52e3],
        );
        let q = self.polynomial(
            z,
            &[1.0, 1.128_116_784_916_329_314_02e2, 2.235_488_390_601_004_485_83e3, 4.844_063_053_251_254_860_48e3],
        );
        let ratio = self.fdiv(p, q);
        let cube = self.fmul(z, ratio);
        let near = self.fma(cube, magnitude, magnitude);
        let twice = self.fadd(magnitude, magnitude);
        let e = self.exp(twice);
        let (one, two) = (self.f(x, 1.0), self.f(x, 2.0));
        let denominator = self.fadd(e, one);
        let quotient = self.fdiv(two, denominator);
        let far = self.fsub(one, quotient);
        let value = self.near_or_far(magnitude, 0.625, near, far);
        self.signed_as(value, x)
    }

    /// x - n·pi/2 and n, with |x - n·pi/2| <= pi/4.
    fn quarter_turns(&mut self, x: V) -> (V, V) {
        let ty = self.b.ty(x);
        let factor = self.f(x, std::f64::consts::FRAC_2_PI);
        let n = self.fmul(x, factor);
        let n = self.b.def(Op::FUnary(FUnary::Nearest, n), ty);
        // pi/2 in three parts of 33 bits (Cody and Waite; the constants of the FreeBSD libm).
        let mut r = x;
        for part in
            [1.570_796_326_734_125_614_17e+00, 6.077_100_506_303_965_976_60e-11, 2.022_266_248_795_950_631_54e-21]
        {
            let part = self.f(x, -part);
            r = self.fma(n, part, r);
        }
        (r, n)
    }

    fn sin_cos_parts(&mut self, x: V) -> (V, V, V) {
        let (r, n) = self.quarter_turns(x);
        let z = self.fmul(r, r);
        let sine: Vec<f64> = (0..9).rev().map(|k| if k % 2 == 0 { 1.0 } else { -1.0 } / factorial(2 * k + 1)).collect();
        let cosine: Vec<f64> = (0..10).rev().map(|k| if k % 2 == 0 { 1.0 } else { -1.0 } / factorial(2 * k)).collect();
        let sine = self.polynomial(z, &sine);
        let sine = self.fmul(sine, r);
        let cosine = self.polynomial(z, &cosine);
        (sine, cosine, n)
    }

    /// `sine` or `cosine` by the number of quarter turns, with its sign.
    fn by_quadrant(&mut self, sine: V, cosine: V, n: V) -> V {
        let shifted = self.shifted(n);
        let q = self.bits_of(shifted);
        let odd = self.int_with(IBinary::And, q, 1);
        let odd = self.icmp(Cmp::Ne, odd, 0);
        let value = self.pick(odd, cosine, sine);
        let upper = self.int_with(IBinary::And, q, 2);
        let upper = self.icmp(Cmp::Ne, upper, 0);
        let negated = self.negated(value);
        self.pick(upper, negated, value)
    }

    pub(super) fn sin_f64(&mut self, x: V) -> V {
        let (sine, cosine, n) = self.sin_cos_parts(x);
        let value = self.by_quadrant(sine, cosine, n);
        // The reduction would lose the sign of -0.
        let zero = self.f(x, 0.0);
        let is_zero = self.fcmp(Cmp::Eq, x, zero);
        self.pick(is_zero, x, value)
    }

    pub(super) fn cos_f64(&mut self, x: V) -> V {
        let (sine, cosine, n) = self.sin_cos_parts(x);
        let one = self.f(x, 1.0);
        let n = self.fadd(n, one);
        self.by_quadrant(sine, cosine, n)
    }

    pub(super) fn erf_f64(&mut self, x: V) -> V {
        let ty = self.b.ty(x);
        let magnitude = self.b.def(Op::FUnary(FUnary::Abs, x), ty);
        let (zero, two, six) = (self.f(x, 0.0), self.f(x, 2.0), self.f(x, 6.0));
        // exp(-x²), with what the square loses: exp(-high)·(1 - low).
        let least = self.b.def(Op::FBinary(FBinary::Min, magnitude, six), ty);
        let square = self.fmul(least, least);
        let minus = self.negated(square);
        let low = self.fma(least, least, minus);
        let low = self.negated(low);
        let e = self.exp(minus);
        let e = self.fma(e, low, e);
        // erf x = 2/sqrt(pi) · exp(-x²) · Σ 2^k x^(2k+1) / (1·3·…·(2k+1)): all terms have one sign.
        let near = self.b.def(Op::FBinary(FBinary::Min, magnitude, two), ty);
        let z = self.fmul(near, near);
        let mut series = vec![std::f64::consts::FRAC_2_SQRT_PI];
        for k in 1..36 {
            series.push(series[k - 1] * 2.0 / (2 * k + 1) as f64);
        }
        series.reverse();
        let near = {
            let sum = self.polynomial(z, &series);
            let sum = self.fmul(sum, near);
            self.fmul(sum, e)
        };
        // erfc x = exp(-x²)/sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + …))))
        let far = self.b.def(Op::FBinary(FBinary::Max, least, two), ty);
        let mut fraction = far;
        for k in (1..=40).rev() {
            let k = self.f(x, f64::from(k) * 0.5);
            let quotient = self.fdiv(k, fraction);
            fraction = self.fadd(far, quotient);
        }
        let root = self.f(x, std::f64::consts::FRAC_2_SQRT_PI * 0.5);
        let e = self.fmul(e, root);
        let complement = self.fdiv(e, fraction);
        let one = self.f(x, 1.0);
        let far = self.fsub(one, complement);
        let is_near = self.fcmp(Cmp::Lt, magnitude, two);
        let value = self.pick(is_near, near, far);
        let minus = self.negated(value);
        let negative = self.fcmp(Cmp::Lt, x, zero);
        let value = self.pick(negative, minus, value);
        let is_zero = self.fcmp(Cmp::Eq, x, zero);
        let value = self.pick(is_zero, x, value);
        let nan = self.fcmp(Cmp::Ne, x, x);
        self.pick(nan, x, value)
    }
}

fn factorial(n: i32) -> f64 {
    (1..=n).map(f64::from).product()
}
