//! Powers: of f32 by a logarithm in two floats, of f64 as e^(b·log a).

use crate::lane::{Cmp, FUnary, IBinary, Op, V};
use crate::to_lane::Emit;

/// 2 / (3·ln 2), times which the sum of [`Emit::log2_f32`] is a logarithm of base 2.
const SCALE: f64 = 0.961_796_693_925_975_604_91;

/// A number as the sum of two floats, the second below half a unit of the first's last place.
#[derive(Clone, Copy)]
struct Pair {
    high: V,
    low: V,
}

impl Emit<'_> {
    /// a^b for a >= 0 but for a power 0, and bases 1 under infinite powers.
    pub(super) fn power_f64(&mut self, a: V, b: V) -> V {
        let log = self.log(a);
        let product = self.fmul(b, log);
        self.exp(product)
    }

    /// a^b for a >= 0 but for a power 0.
    ///
    /// 2^(b·log2 a), the logarithm and the product in two floats; 2^r = 1 + r·p(r) with relative error 2^-28.3.
    pub(super) fn power_f32(&mut self, a: V, b: V) -> V {
        let log = self.log2_f32(a);
        // Far enough for every base but 1 to over- or underflow, and no product is infinite.
        let limited = self.at_least(b, -1e18);
        let limited = self.at_most(limited, 1e18);
        let product = self.product(limited, log.high);
        let low = self.fmul(limited, log.low);
        let low = self.fadd(product.low, low);
        let high = self.at_least(product.high, -200.0);
        let high = self.at_most(high, 200.0);
        let shifted = self.shifted(high);
        let n = self.unshifted(shifted);
        let r = self.fsub(high, n);
        let r = self.fadd(r, low);
        // Beyond the limits `low` is no small part of what is left.
        let r = self.at_least(r, -1.0);
        let r = self.at_most(r, 1.0);
        let p = self.polynomial(
            r,
            &[
                0.000_153_267_81,
                0.001_339_102_5,
                0.009_618_506,
                0.055_503_596,
                0.240_226_48,
                std::f64::consts::LN_2,
                1.0,
            ],
        );
        let value = self.scaled(p, shifted);
        let (zero, infinity) = (self.f(a, 0.0), self.f(a, f64::INFINITY));
        let (is_zero, is_infinite) = (self.fcmp(Cmp::Eq, a, zero), self.fcmp(Cmp::Eq, a, infinity));
        let extreme = self.b.def(Op::MaskOr(is_zero, is_infinite), self.b.ty(is_zero));
        let inverse = self.pick(is_zero, infinity, zero);
        let grows = self.fcmp(Cmp::Gt, b, zero);
        let at_extreme = self.pick(grows, a, inverse);
        let value = self.pick(extreme, at_extreme, value);
        let (known, sum) = (self.fcmp(Cmp::Eq, a, a), self.fadd(a, b));
        let known_power = self.fcmp(Cmp::Eq, b, b);
        let known = self.both(known, known_power);
        self.pick(known, value, sum)
    }

    /// log2 a for finite a > 0, within 2^-36.
    ///
    /// a = 2^e·z with z in [sqrt(1/2), sqrt 2); s = (z - 1) / (z + 1);
    /// log z = (2/3)·s·(3 + s² + s⁴·r(s²)), r with relative error 2^-43 of the whole. All but r in two floats, as in
    /// FreeBSD's e_powf.c.
    fn log2_f32(&mut self, a: V) -> Pair {
        let (e, z) = self.split_exponent(a);
        let one = self.f(a, 1.0);
        let f = self.fsub(z, one);
        let divisor = self.ordered_sum(one, z);
        let inverse = self.fdiv(one, divisor.high);
        let s = self.fmul(f, inverse);
        // What the quotient lacks.
        let back = self.product(s, divisor.high);
        let rest = self.fsub(f, back.high);
        let rest = self.fsub(rest, back.low);
        let small = self.fmul(s, divisor.low);
        let rest = self.fsub(rest, small);
        let s = Pair { high: s, low: self.fmul(rest, inverse) };

        let square = self.product(s.high, s.high);
        let twice = self.fadd(s.high, s.high);
        let cross = self.fmul(twice, s.low);
        let square = Pair { high: square.high, low: self.fadd(square.low, cross) };
        let r = self.polynomial(square.high, &[0.293_391_94, 0.332_694_23, 0.428_579_6, 0.599_999_96]);
        let fourth = self.fmul(square.high, square.high);
        let r = self.fmul(r, fourth);
        let three = self.f(a, 3.0);
        let sum = self.ordered_sum(three, square.high);
        let low = self.fadd(square.low, r);
        let low = self.fadd(sum.low, low);
        let sum = self.ordered_sum(sum.high, low);

        let log = self.pair_product(s, sum);
        let scale = f64::from(SCALE as f32);
        let scale = Pair { high: self.f(a, scale), low: self.f(a, SCALE - scale) };
        let log = self.pair_product(log, scale);
        let sum = self.ordered_sum(e, log.high);
        let low = self.fadd(sum.low, log.low);
        self.ordered_sum(sum.high, low)
    }

    /// a + b exactly, if a is 0 or its exponent not below b's (Dekker).
    fn ordered_sum(&mut self, a: V, b: V) -> Pair {
        let high = self.fadd(a, b);
        let taken = self.fsub(high, a);
        Pair { high, low: self.fsub(b, taken) }
    }

    /// a·b exactly (Dekker), unless it over- or underflows. No `MulAdd`: it may round twice.
    fn product(&mut self, a: V, b: V) -> Pair {
        let high = self.fmul(a, b);
        let (x, y) = (self.halves(a), self.halves(b));
        let low = self.fmul(x.high, y.high);
        let mut low = self.fsub(low, high);
        for (p, q) in [(x.high, y.low), (x.low, y.high), (x.low, y.low)] {
            let part = self.fmul(p, q);
            low = self.fadd(low, part);
        }
        Pair { high, low }
    }

    /// a·b up to the product of the low parts.
    fn pair_product(&mut self, a: Pair, b: Pair) -> Pair {
        let product = self.product(a.high, b.high);
        let (left, right) = (self.fmul(a.high, b.low), self.fmul(a.low, b.high));
        let cross = self.fadd(left, right);
        Pair { high: product.high, low: self.fadd(product.low, cross) }
    }

    /// The upper 12 bits of the mantissa, and the others.
    fn halves(&mut self, a: V) -> Pair {
        let bits = self.bits_of(a);
        let bits = self.int_with(IBinary::And, bits, -4096);
        let high = self.float_of(bits);
        Pair { high, low: self.fsub(a, high) }
    }

    /// `value`, a power of |a|, as the power of a.
    pub(super) fn power_edges(&mut self, a: V, b: V, value: V) -> V {
        let (zero, one, half) = (self.f(a, 0.0), self.f(a, 1.0), self.f(a, 0.5));
        let magnitude = self.fabs(a);
        let ty = self.b.ty(a);
        let whole = self.b.def(Op::FUnary(FUnary::Floor, b), ty);
        let is_whole = self.fcmp(Cmp::Eq, whole, b);
        let halved = self.fmul(b, half);
        let even = self.b.def(Op::FUnary(FUnary::Floor, halved), ty);
        let is_odd = self.fcmp(Cmp::Ne, even, halved);
        let (is_unit, is_number) = (self.fcmp(Cmp::Eq, magnitude, one), self.fcmp(Cmp::Eq, b, b));
        let unit = self.both(is_unit, is_number);
        let value = self.pick(unit, one, value);
        let minus = self.negated(value);
        let bits = self.bits_of(a);
        let signed = self.icmp(Cmp::Lt, bits, 0);
        let is_odd = self.both(is_odd, is_whole);
        let turned = self.both(signed, is_odd);
        let value = self.pick(turned, minus, value);
        let (nan, infinity) = (self.f(a, f64::NAN), self.f(a, f64::NEG_INFINITY));
        let below = self.fcmp(Cmp::Lt, a, zero);
        let finite = self.fcmp(Cmp::Gt, a, infinity);
        let below = self.both(below, finite);
        let broken = self.b.def(Op::MaskNot(is_whole), self.b.ty(is_whole));
        let senseless = self.both(below, broken);
        let value = self.pick(senseless, nan, value);
        let (zero_power, of_one) = (self.fcmp(Cmp::Eq, b, zero), self.fcmp(Cmp::Eq, a, one));
        let value = self.pick(zero_power, one, value);
        self.pick(of_one, one, value)
    }
}
