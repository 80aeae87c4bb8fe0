//! How exact the functions of kernels are, on the Lane interpreter: f32 against f64 functions of the
//! standard library, f64 against golden values of 400 digits.
//!
//! In units of the last place (of the exact value, rounded; denormals have that of the least normal
//! number's binade): f32 functions at most 2 everywhere, huge arguments included; f64 exp, log and tanh at
//! most 2. sqrt is exact. f64 sin and cos up to 1e5: within 4 ulp or 2e-16, whichever is more. f64 erf
//! within 4 ulp. f64 pow within 2 + 2·|y·log x| ulp.
//!
//! The same for compiled code at every level: `codegen/tests/codegen/maths.rs`.

use crate::common::{entry, lowered, run_lane};
use crate::golden;
use mlc_benches::maths;
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

fn ulps_f64(found: f64, exact: f64) -> f64 {
    if found == exact || found.is_nan() && exact.is_nan() {
        return 0.0;
    }
    // The order of floats is that of their bits.
    let number =
        |x: f64| if x.is_sign_negative() { -((x.to_bits() << 1 >> 1) as i128) } else { i128::from(x.to_bits()) };
    (number(found) - number(exact)).unsigned_abs() as f64
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
fn sqrt_is_exact() {
    let x: Vec<f64> = maths::arguments().into_iter().map(f64::from).collect();
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
fn functions_of_f32() {
    let arguments = maths::arguments();
    let wide: Vec<f64> = arguments.iter().map(|x| f64::from(*x)).collect();
    for op in maths::FUNCTIONS {
        let found = unary(DType::F32, op, &wide);
        for (x, found) in arguments.iter().zip(&found) {
            let exact = maths::exact(op, *x);
            let ulps = maths::ulps(*found as f32, exact);
            assert!(ulps <= maths::MOST_ULPS, "{op:?} of {x:e} is {found:e}, not {exact:e}: {ulps} ulp");
        }
    }
}

#[test]
fn the_reference_of_erf() {
    for (x, exact) in &golden::ERF {
        let x = f64::from_bits(*x);
        let narrow = x as f32;
        // The argument's own rounding, by the derivative.
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        let exact = f64::from_bits(*exact) + slope * (f64::from(narrow) - x);
        let found = maths::exact(UnaryOp::Erf, narrow);
        assert!((found - exact).abs() <= 1e-12 * exact.abs(), "erf of {narrow:e} is {found:e}, not {exact:e}");
    }
}

#[test]
fn pow_of_f32() {
    let (x, y) = maths::powers(4_000);
    let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let found = pow(DType::F32, &wide(&x), &wide(&y));
    let wrong: Vec<String> = (x.iter().zip(&y).zip(&found))
        .map(|((x, y), found)| (x, y, *found, f64::from(*x).powf(f64::from(*y))))
        .filter(|(.., found, exact)| {
            let signs = *found == 0.0 && *exact == 0.0 && found.is_sign_negative() != exact.is_sign_negative();
            signs || maths::ulps(*found as f32, *exact) > maths::MOST_ULPS
        })
        .map(|(x, y, found, exact)| format!("{x:e} to the power of {y:e} is {found:e}, not {exact:e}"))
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
