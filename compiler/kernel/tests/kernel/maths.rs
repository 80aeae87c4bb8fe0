//! How exact the functions of kernels are, on the Lane interpreter: f32 against f64 functions of the
//! standard library, f64 against golden values of 400 digits.
//!
//! In units of the last place (of the exact value, rounded; denormals have that of the least normal
//! number's binade): exp, log and tanh at most 2 everywhere. sqrt is exact. f32 sin, cos, erf and pow at
//! most 1 for arguments up to 1e5. f64 sin and cos up to 1e5: within 4 ulp or 2e-16, whichever is more.
//! f64 erf within 4 ulp. f64 pow within 2 + 2·|y·log x| ulp.

use crate::common::{Rng, entry, lowered, run_lane};
use crate::golden;
use mlc_ir::builder::Builder;
use mlc_ir::graph::Graph;
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};

fn apply(
    dtype: DType,
    args: &[Vec<f64>],
    build: impl Fn(&mut Builder, &[mlc_ir::graph::Value]) -> mlc_ir::graph::Value,
) -> Vec<f64> {
    let count = args[0].len();
    let mut b = Builder::new("maths");
    let params: Vec<_> = args.iter().map(|_| b.param(Type::new(dtype, vec![(count as i64).into()]))).collect();
    let result = build(&mut b, &params);
    let graph = entry(Graph::new(), b, vec![result], &[]);
    let args: Vec<Tensor> =
        args.iter().map(|values| Tensor::floats_of(dtype, &[count], values.iter().copied())).collect();
    run_lane(&graph, &lowered(&graph), &[], &args)[0].floats().to_vec()
}

fn unary(dtype: DType, op: UnaryOp, x: &[f64]) -> Vec<f64> {
    apply(dtype, &[x.to_vec()], |b, args| b.unary(op, args[0]))
}

fn pow(dtype: DType, x: &[f64], y: &[f64]) -> Vec<f64> {
    apply(dtype, &[x.to_vec(), y.to_vec()], |b, args| b.binary(BinaryOp::Pow, args[0], args[1]))
}

/// The distance of two f32 in numbers between `found` and the exact value.
fn ulps_f32(found: f64, exact: f64) -> f64 {
    if found == exact || found.is_nan() && exact.is_nan() {
        return 0.0;
    }
    if exact.abs() >= f64::from(f32::MAX) * (1.0 + 1e-7) && found.is_infinite() && found.signum() == exact.signum() {
        return 0.0;
    }
    let exponent = exact.abs().log2().floor().clamp(-126.0, 127.0);
    (found - exact).abs() / (exponent - 23.0).exp2()
}

fn ulps_f64(found: f64, exact: f64) -> f64 {
    if found == exact || found.is_nan() && exact.is_nan() {
        return 0.0;
    }
    // The order of floats is that of their bits.
    let number =
        |x: f64| if x.is_sign_negative() { -((x.to_bits() << 1 >> 1) as i128) } else { i128::from(x.to_bits()) };
    (number(found) - number(exact)).unsigned_abs() as f64
}

/// Every exponent of f32 with several fractions and both signs, denormals, and the special values.
fn dense_f32() -> Vec<f64> {
    let mut rng = Rng(11);
    let mut all = vec![
        0,
        0x8000_0000,
        1,
        0x8000_0001,
        0x007f_ffff,
        0x0080_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
    ];
    for exponent in 0..255u32 {
        for fraction in (0..24).map(|_| rng.below(1 << 23) as u32).chain([0, 1, (1 << 23) - 1]) {
            let bits = exponent << 23 | fraction;
            all.extend([bits, bits | 0x8000_0000]);
        }
    }
    all.into_iter().map(|bits| f64::from(f32::from_bits(bits))).collect()
}

/// Numbers in a range, close to one another.
fn within(low: f64, high: f64, count: usize) -> Vec<f64> {
    let mut rng = Rng(12);
    (0..count).map(|_| f64::from((low + (high - low) * rng.next()) as f32)).collect()
}

fn check_f32(op: UnaryOp, x: &[f64], exact: impl Fn(f64) -> f64, most: f64) {
    let found = unary(DType::F32, op, x);
    let worst = x.iter().zip(&found).map(|(x, y)| (ulps_f32(*y, exact(*x)), *x, *y));
    let (ulps, x, y) = worst.fold((0.0, 0.0, 0.0), |a, b| if b.0 > a.0 || b.0.is_nan() { b } else { a });
    assert!(ulps <= most, "{op:?} of {x:e} is {y:e}, not {:e}: {ulps} ulp", exact(x));
}

fn check_f64(op: UnaryOp, golden: &[(u64, u64)], most: impl Fn(f64, f64) -> bool) {
    let x: Vec<f64> = golden.iter().map(|(x, _)| f64::from_bits(*x)).collect();
    let found = unary(DType::F64, op, &x);
    let wrong: Vec<String> = (golden.iter().zip(&x).zip(&found))
        .map(|(((_, exact), x), found)| (x, *found, f64::from_bits(*exact)))
        .filter(|(_, found, exact)| !most(*found, *exact))
        .map(|(x, found, exact)| format!("{op:?} of {x:e} is {found:e}, not {exact:e}: {} ulp", ulps_f64(found, exact)))
        .collect();
    assert!(wrong.is_empty(), "{} values\n{}", wrong.len(), wrong[..wrong.len().min(8)].join("\n"));
}

fn two_ulp(found: f64, exact: f64) -> bool {
    ulps_f64(found, exact) <= 2.0
}

#[test]
fn exp_of_f32() {
    check_f32(UnaryOp::Exp, &dense_f32(), f64::exp, 2.0);
    check_f32(UnaryOp::Exp, &within(-104.0, 89.0, 20_000), f64::exp, 2.0);
    check_f32(UnaryOp::Exp, &within(-1.0, 1.0, 10_000), f64::exp, 2.0);
}

#[test]
fn log_of_f32() {
    check_f32(UnaryOp::Log, &dense_f32(), f64::ln, 2.0);
    check_f32(UnaryOp::Log, &within(0.5, 2.0, 20_000), f64::ln, 2.0);
    check_f32(UnaryOp::Log, &within(0.999, 1.001, 5_000), f64::ln, 2.0);
}

#[test]
fn tanh_of_f32() {
    check_f32(UnaryOp::Tanh, &dense_f32(), f64::tanh, 2.0);
    check_f32(UnaryOp::Tanh, &within(-10.0, 10.0, 20_000), f64::tanh, 2.0);
    check_f32(UnaryOp::Tanh, &within(-0.7, 0.7, 10_000), f64::tanh, 2.0);
}

#[test]
fn sqrt_is_exact() {
    let x = dense_f32();
    let found = unary(DType::F32, UnaryOp::Sqrt, &x);
    for (x, y) in x.iter().zip(&found) {
        let exact = f64::from((*x as f32).sqrt());
        assert!(y.to_bits() == exact.to_bits() || y.is_nan() && exact.is_nan(), "sqrt of {x:e} is {y:e}");
    }
    let found = unary(DType::F64, UnaryOp::Sqrt, &x);
    for (x, y) in x.iter().zip(&found) {
        assert!(y.to_bits() == x.sqrt().to_bits() || y.is_nan() && x.sqrt().is_nan(), "sqrt of {x:e} is {y:e}");
    }
}

#[test]
fn sin_and_cos_of_f32() {
    let mut x: Vec<f64> = dense_f32().into_iter().filter(|x| x.abs() <= 1e5).collect();
    x.extend(within(-100.0, 100.0, 5_000));
    check_f32(UnaryOp::Sin, &x, f64::sin, 1.0);
    check_f32(UnaryOp::Cos, &x, f64::cos, 1.0);
}

#[test]
fn erf_of_f32() {
    let exact: Vec<(f64, f64)> = golden::ERF.iter().map(|(x, y)| (f64::from_bits(*x), f64::from_bits(*y))).collect();
    let narrow: Vec<f64> = exact.iter().map(|(x, _)| f64::from(*x as f32)).collect();
    let found = unary(DType::F32, UnaryOp::Erf, &narrow);
    for (((x, y), narrow), found) in exact.iter().zip(&narrow).zip(&found) {
        // The argument's own rounding, by the derivative.
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        assert!(ulps_f32(*found, y + slope * (narrow - x)) <= 1.0, "erf of {narrow:e} is {found:e}");
    }
}

#[test]
fn pow_of_f32() {
    let mut rng = Rng(13);
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for _ in 0..4_000 {
        pairs.push(((rng.next() * 20.0 - 10.0).exp(), rng.next() * 8.0 - 4.0));
        pairs.push((-rng.next() * 3.0, (rng.next() * 20.0 - 10.0).floor()));
    }
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1e-40,
        1e30,
    ];
    pairs.extend(special.iter().flat_map(|x| special.iter().map(|y| (*x, *y))));
    let round = |x: f64| f64::from(x as f32);
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().map(|(x, y)| (round(x), round(y))).unzip();
    let found = pow(DType::F32, &x, &y);
    let wrong: Vec<String> = (x.iter().zip(&y).zip(&found))
        .filter(|((x, y), found)| {
            ulps_f32(**found, x.powf(**y)).max(f64::from(u8::from(found.is_nan() != x.powf(**y).is_nan())) * 9.0) > 1.0
        })
        .map(|((x, y), found)| format!("{x:e} to the power of {y:e} is {found:e}, not {:e}", x.powf(*y)))
        .collect();
    assert!(wrong.is_empty(), "{} values\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn functions_of_f64() {
    check_f64(UnaryOp::Exp, &golden::EXP, two_ulp);
    check_f64(UnaryOp::Log, &golden::LOG, two_ulp);
    check_f64(UnaryOp::Tanh, &golden::TANH, two_ulp);
    let near = |found: f64, exact: f64| ulps_f64(found, exact) <= 4.0 || (found - exact).abs() <= 2e-16;
    check_f64(UnaryOp::Sin, &golden::SIN, near);
    check_f64(UnaryOp::Cos, &golden::COS, near);
    check_f64(UnaryOp::Erf, &golden::ERF, |found, exact| ulps_f64(found, exact) <= 4.0);
}

#[test]
fn pow_of_f64() {
    let column =
        |f: fn(&(u64, u64, u64)) -> u64| golden::POW.iter().map(|row| f64::from_bits(f(row))).collect::<Vec<_>>();
    let (x, y, exact) = (column(|r| r.0), column(|r| r.1), column(|r| r.2));
    let found = pow(DType::F64, &x, &y);
    for (((x, y), exact), found) in x.iter().zip(&y).zip(&exact).zip(&found) {
        let most = 2.0 + 2.0 * (y * x.abs().ln()).abs();
        let ulps = ulps_f64(*found, *exact);
        assert!(ulps <= most, "{x:e} to the power of {y:e} is {found:e}, not {exact:e}: {ulps} ulp of {most}");
    }
}

#[test]
fn special_values() {
    let inf = f64::INFINITY;
    for dtype in [DType::F32, DType::F64] {
        let of = |op: UnaryOp, x: f64| unary(dtype, op, &[x, x, x, x, x])[4];
        let same = |found: f64, expected: f64, what: &str| {
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{what} of {dtype} is {found:?}, not {expected:?}");
        };
        same(of(UnaryOp::Exp, 0.0), 1.0, "exp 0");
        same(of(UnaryOp::Exp, -0.0), 1.0, "exp -0");
        same(of(UnaryOp::Exp, inf), inf, "exp inf");
        same(of(UnaryOp::Exp, -inf), 0.0, "exp -inf");
        same(of(UnaryOp::Exp, 1000.0), inf, "exp 1000");
        same(of(UnaryOp::Exp, -1000.0), 0.0, "exp -1000");
        same(of(UnaryOp::Log, 1.0), 0.0, "log 1");
        same(of(UnaryOp::Log, 0.0), -inf, "log 0");
        same(of(UnaryOp::Log, -0.0), -inf, "log -0");
        same(of(UnaryOp::Log, inf), inf, "log inf");
        same(of(UnaryOp::Log, -1.0), f64::NAN, "log -1");
        same(of(UnaryOp::Log, -inf), f64::NAN, "log -inf");
        same(of(UnaryOp::Tanh, inf), 1.0, "tanh inf");
        same(of(UnaryOp::Tanh, -inf), -1.0, "tanh -inf");
        same(of(UnaryOp::Tanh, -0.0), -0.0, "tanh -0");
        same(of(UnaryOp::Sqrt, -0.0), -0.0, "sqrt -0");
        same(of(UnaryOp::Sqrt, -1.0), f64::NAN, "sqrt -1");
        same(of(UnaryOp::Sin, -0.0), -0.0, "sin -0");
        same(of(UnaryOp::Sin, inf), f64::NAN, "sin inf");
        same(of(UnaryOp::Cos, inf), f64::NAN, "cos inf");
        same(of(UnaryOp::Cos, -0.0), 1.0, "cos -0");
        same(of(UnaryOp::Erf, inf), 1.0, "erf inf");
        same(of(UnaryOp::Erf, -inf), -1.0, "erf -inf");
        same(of(UnaryOp::Erf, -0.0), -0.0, "erf -0");
        for op in [UnaryOp::Exp, UnaryOp::Log, UnaryOp::Tanh, UnaryOp::Sqrt, UnaryOp::Sin, UnaryOp::Cos, UnaryOp::Erf] {
            same(of(op, f64::NAN), f64::NAN, &format!("{op:?} NaN"));
        }
    }
}
