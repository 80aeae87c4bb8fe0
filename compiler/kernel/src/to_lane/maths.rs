//! exp, log, tanh, sin, cos, erf, pow as polynomials of lane ops; the same code for every emitter.
//!
//! exp: Cody–Waite reduction by ln 2, Taylor polynomial, scaled in two steps so that overflow and
//! denormals come out right. log: exponent by bits, then the series in s = f / (2 + f) with the
//! coefficients of the FreeBSD libm (Lg1…). tanh: Cephes' rational form near 0, 1 - 2 / (e^2x + 1) beyond.
//! sin, cos: reduction by pi/2 in three parts, Taylor polynomials on [-pi/4, pi/4], f64 only; good to
//! 1e-15 for |x| up to 1e5, less beyond. erf: exp(-x²) times a series of positive terms up to 2, a continued fraction
//! beyond, f64 only, within 4 ulp.
//! f32 and f64 exp, log and tanh are within 2 ulp; f32 sin, cos, erf and pow go through f64 and are
//! correctly rounded but for rare cases; f64 pow is within |y·log x| ulp.

#![expect(clippy::excessive_precision, reason = "coefficients stand as their sources print them")]

use super::Emit;
use crate::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Op, Shift, Ty, V};

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

    fn fcmp(&mut self, cmp: Cmp, a: V, b: V) -> V {
        self.b.def(Op::FCmp(cmp, a, b), Ty::mask_of(self.b.ty(a)))
    }

    fn pick(&mut self, mask: V, a: V, b: V) -> V {
        self.b.def(Op::Select(mask, a, b), self.b.ty(a))
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

    /// 2^n for an integral float within the exponent's range.
    fn power_of_two(&mut self, n: V) -> V {
        let format = self.format(n);
        let wide = format.int == Elem::I64;
        let n = self.b.convert(if wide { Convert::F64I64 } else { Convert::F32I32 }, n);
        let ty = self.b.ty(n);
        let bias = self.b.int(ty, format.bias);
        let biased = self.b.def(Op::IBinary(IBinary::Add, n, bias), ty);
        let bits = self.b.def(Op::Shift(Shift::Left, biased, format.mantissa), ty);
        self.b.convert(if wide { Convert::I64BitsF64 } else { Convert::I32BitsF32 }, bits)
    }

    pub(super) fn exp(&mut self, x: V) -> V {
        let wide = self.b.ty(x).elem == Elem::F64;
        let (least, most) = if wide { (-746.0, 710.0) } else { (-104.0, 89.0) };
        let (least, most) = (self.f(x, least), self.f(x, most));
        let ty = self.b.ty(x);
        let clamped = self.b.def(Op::FBinary(FBinary::Max, x, least), ty);
        let clamped = self.b.def(Op::FBinary(FBinary::Min, clamped, most), ty);
        let log2e = self.f(x, std::f64::consts::LOG2_E);
        let n = self.fmul(clamped, log2e);
        let n = self.b.def(Op::FUnary(FUnary::Nearest, n), ty);
        let (high, low) = if wide { (LN2_HIGH_F64, LN2_LOW_F64) } else { (LN2_HIGH_F32, LN2_LOW_F32) };
        let (high, low) = (self.f(x, -high), self.f(x, -low));
        let r = self.fma(n, high, clamped);
        let r = self.fma(n, low, r);
        let terms = if wide { 13 } else { 7 };
        let coefficients: Vec<f64> = (0..=terms).rev().map(|k| 1.0 / factorial(k)).collect();
        let p = self.polynomial(r, &coefficients);
        // Two factors, neither of which over- or underflows.
        let half = self.f(x, 0.5);
        let first = self.fmul(n, half);
        let first = self.b.def(Op::FUnary(FUnary::Trunc, first), ty);
        let second = self.fsub(n, first);
        let (first, second) = (self.power_of_two(first), self.power_of_two(second));
        let scaled = self.fmul(p, first);
        let scaled = self.fmul(scaled, second);
        let nan = self.fcmp(Cmp::Ne, x, x);
        self.pick(nan, x, scaled)
    }

    pub(super) fn log(&mut self, x: V) -> V {
        let format = self.format(x);
        let wide = format.int == Elem::I64;
        let least_normal = self.f(x, if wide { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) });
        let denormal = self.fcmp(Cmp::Lt, x, least_normal);
        let up = self.f(x, if wide { 18_014_398_509_481_984.0 } else { 33_554_432.0 });
        let scaled = self.fmul(x, up);
        let m = self.pick(denormal, scaled, x);
        let (zero, down) = (self.f(x, 0.0), self.f(x, if wide { -54.0 } else { -25.0 }));
        let shift = self.pick(denormal, down, zero);
        // Split m = 2^e · z with z in [sqrt(1/2), sqrt 2): the offset makes the exponent round at sqrt(1/2).
        let bits = self.b.convert(if wide { Convert::F64BitsI64 } else { Convert::F32BitsI32 }, m);
        let ity = self.b.ty(bits);
        let root: i64 = if wide { 0x3fe6_a09e_667f_3bcd } else { 0x3f35_04f3 };
        let one_bits: i64 = if wide { 0x3ff0_0000_0000_0000 } else { 0x3f80_0000 };
        let offset = self.b.int(ity, one_bits - root);
        let moved = self.b.def(Op::IBinary(IBinary::Add, bits, offset), ity);
        let e = self.b.def(Op::Shift(Shift::RightS, moved, format.mantissa), ity);
        let bias = self.b.int(ity, format.bias);
        let e = self.b.def(Op::IBinary(IBinary::Sub, e, bias), ity);
        let exponent_bits = self.b.def(Op::Shift(Shift::Left, e, format.mantissa), ity);
        let z = self.b.def(Op::IBinary(IBinary::Sub, bits, exponent_bits), ity);
        let z = self.b.convert(if wide { Convert::I64BitsF64 } else { Convert::I32BitsF32 }, z);
        let e = self.small_int_to_float(e, wide);
        let e = self.fadd(e, shift);
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
        // 2^52 + 2^51 + v has v in its low bits.
        let ty = self.b.ty(v);
        let magic = self.b.int(ty, 0x4338_0000_0000_0000);
        let bits = self.b.def(Op::IBinary(IBinary::Add, v, magic), ty);
        let float = self.b.convert(Convert::I64BitsF64, bits);
        let magic = self.f(float, 6_755_399_441_055_744.0);
        self.fsub(float, magic)
    }

    pub(super) fn tanh(&mut self, x: V) -> V {
        let ty = self.b.ty(x);
        let wide = ty.elem == Elem::F64;
        let magnitude = self.b.def(Op::FUnary(FUnary::Abs, x), ty);
        let z = self.fmul(x, x);
        let ratio = if wide {
            let p = self.polynomial(
                z,
                &[-9.643_991_794_250_522_386_28e-1, -9.928_772_310_019_185_865_64e1, -1.614_687_684_417_084_479_52e3],
            );
            let q = self.polynomial(
                z,
                &[1.0, 1.128_116_784_916_329_314_02e2, 2.235_488_390_601_004_485_83e3, 4.844_063_053_251_254_860_48e3],
            );
            self.fdiv(p, q)
        } else {
            self.polynomial(
                z,
                &[-5.704_988_73e-3, 2.063_908_88e-2, -5.373_971_56e-2, 1.333_144_22e-1, -3.333_328_19e-1],
            )
        };
        // Added to 0, so that the product is not -0: tanh -0 is -0.
        let zero = self.f(x, 0.0);
        let cube = self.fma(z, ratio, zero);
        let near = self.fma(cube, x, x);
        let twice = self.fadd(magnitude, magnitude);
        let e = self.exp(twice);
        let (one, two) = (self.f(x, 1.0), self.f(x, 2.0));
        let denominator = self.fadd(e, one);
        let quotient = self.fdiv(two, denominator);
        let far = self.fsub(one, quotient);
        let minus = self.negated(far);
        let negative = self.fcmp(Cmp::Lt, x, zero);
        let far = self.pick(negative, minus, far);
        let border = self.f(x, 0.625);
        let is_near = self.fcmp(Cmp::Lt, magnitude, border);
        self.pick(is_near, near, far)
    }

    // ---- through f64, one lane at a time

    /// A function that is written for f64 scalars.
    pub(super) fn through_f64(&mut self, v: V, function: &mut dyn FnMut(&mut Self, V) -> V) -> V {
        self.lanes_through_f64(&[v], &mut |this, args| function(this, args[0]))
    }

    fn lanes_through_f64(&mut self, args: &[V], function: &mut dyn FnMut(&mut Self, &[V]) -> V) -> V {
        let ty = self.b.ty(args[0]);
        let scalar = Ty { lanes: 1, ..ty };
        let narrow = ty.elem == Elem::F32;
        let mut lanes = Vec::new();
        for lane in 0..ty.lanes {
            let mut one = Vec::new();
            for arg in args {
                let v = if ty.lanes == 1 { *arg } else { self.b.def(Op::Extract(*arg, lane), scalar) };
                one.push(if narrow { self.b.convert(Convert::F32F64, v) } else { v });
            }
            let result = function(self, &one);
            lanes.push(if narrow { self.b.convert(Convert::F64F32, result) } else { result });
        }
        if ty.lanes == 1 { lanes[0] } else { self.b.def(Op::Pack(lanes.into_iter().collect()), ty) }
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
        let q = self.b.convert(Convert::F64I64, n);
        let ty = self.b.ty(q);
        let (one, two, zero) = (self.b.int(ty, 1), self.b.int(ty, 2), self.b.int(ty, 0));
        let odd = self.b.def(Op::IBinary(IBinary::And, q, one), ty);
        let odd = self.b.def(Op::ICmp(Cmp::Ne, odd, zero), Ty::mask_of(ty));
        let value = self.pick(odd, cosine, sine);
        let upper = self.b.def(Op::IBinary(IBinary::And, q, two), ty);
        let upper = self.b.def(Op::ICmp(Cmp::Ne, upper, zero), Ty::mask_of(ty));
        let negated = self.negated(value);
        self.pick(upper, negated, value)
    }

    pub(super) fn sin(&mut self, x: V) -> V {
        let (sine, cosine, n) = self.sin_cos_parts(x);
        let value = self.by_quadrant(sine, cosine, n);
        // The reduction would lose the sign of -0.
        let zero = self.f(x, 0.0);
        let is_zero = self.fcmp(Cmp::Eq, x, zero);
        self.pick(is_zero, x, value)
    }

    pub(super) fn cos(&mut self, x: V) -> V {
        let (sine, cosine, n) = self.sin_cos_parts(x);
        let one = self.f(x, 1.0);
        let n = self.fadd(n, one);
        self.by_quadrant(sine, cosine, n)
    }

    pub(super) fn erf(&mut self, x: V) -> V {
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

    pub(super) fn pow_any(&mut self, a: V, b: V) -> V {
        self.lanes_through_f64(&[a, b], &mut |this, args| this.pow(args[0], args[1]))
    }

    /// a^b: e^(b·log|a|), with the sign of an odd power of a negative number (or -0); NaN for powers of a
    /// finite negative number that are not whole. 1 for every power of 1, the power 0 of anything, and the infinite
    /// powers of -1.
    fn pow(&mut self, a: V, b: V) -> V {
        let ty = self.b.ty(a);
        let (zero, one, half) = (self.f(a, 0.0), self.f(a, 1.0), self.f(a, 0.5));
        let magnitude = self.b.def(Op::FUnary(FUnary::Abs, a), ty);
        let log = self.log(magnitude);
        let product = self.fmul(b, log);
        let value = self.exp(product);
        let whole = self.b.def(Op::FUnary(FUnary::Floor, b), ty);
        let is_whole = self.fcmp(Cmp::Eq, whole, b);
        let halved = self.fmul(b, half);
        let even = self.b.def(Op::FUnary(FUnary::Floor, halved), ty);
        let is_odd = self.fcmp(Cmp::Ne, even, halved);
        let (is_unit, is_number) = (self.fcmp(Cmp::Eq, magnitude, one), self.fcmp(Cmp::Eq, b, b));
        let unit = self.b.def(Op::MaskAnd(is_unit, is_number), self.b.ty(is_unit));
        let value = self.pick(unit, one, value);
        let minus = self.negated(value);
        let bits = self.b.convert(Convert::F64BitsI64, a);
        let int_zero = self.b.int(self.b.ty(bits), 0);
        let signed = self.b.def(Op::ICmp(Cmp::Lt, bits, int_zero), self.b.ty(is_odd));
        let is_odd = self.b.def(Op::MaskAnd(is_odd, is_whole), self.b.ty(is_odd));
        let turned = self.b.def(Op::MaskAnd(signed, is_odd), self.b.ty(is_odd));
        let value = self.pick(turned, minus, value);
        let (nan, infinity) = (self.f(a, f64::NAN), self.f(a, f64::NEG_INFINITY));
        let below = self.fcmp(Cmp::Lt, a, zero);
        let finite = self.fcmp(Cmp::Gt, a, infinity);
        let below = self.b.def(Op::MaskAnd(below, finite), self.b.ty(below));
        let broken = self.b.def(Op::MaskNot(is_whole), self.b.ty(is_whole));
        let senseless = self.b.def(Op::MaskAnd(below, broken), self.b.ty(below));
        let value = self.pick(senseless, nan, value);
        let (zero_power, of_one) = (self.fcmp(Cmp::Eq, b, zero), self.fcmp(Cmp::Eq, a, one));
        let value = self.pick(zero_power, one, value);
        self.pick(of_one, one, value)
    }
}

fn factorial(n: i32) -> f64 {
    (1..=n).map(f64::from).product()
}
