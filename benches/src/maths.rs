//! Functions of f32 as kernels, and how far from exact they are.

use mlc_ir::builder::Builder;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};

/// The functions of one argument that are polynomials in kernels.
pub const FUNCTIONS: [UnaryOp; 6] =
    [UnaryOp::Exp, UnaryOp::Log, UnaryOp::Tanh, UnaryOp::Erf, UnaryOp::Sin, UnaryOp::Cos];

/// How far a result may be from exact, in units of its last place.
pub const MOST_ULPS: f64 = 2.0;

/// A graph that applies a function to `count` elements; entry 0.
pub fn unary(op: UnaryOp, count: usize) -> Graph {
    map(1, count, |b, args| b.unary(op, args[0]))
}

/// A graph that raises `count` elements to powers; entry 0.
pub fn pow(count: usize) -> Graph {
    map(2, count, |b, args| b.binary(BinaryOp::Pow, args[0], args[1]))
}

fn map(arguments: usize, count: usize, build: impl Fn(&mut Builder, &[Value]) -> Value) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("maths");
    let params: Vec<Value> =
        (0..arguments).map(|_| b.param(Type::new(DType::F32, vec![(count as i64).into()]))).collect();
    let result = build(&mut b, &params);
    let region = graph.add_region(b.finish(vec![result]));
    let inputs = (0..arguments).map(|i| Input::Arg(format!("x{i}"))).collect();
    let outputs = vec![Output::Result("y".into())];
    graph.entries.push(Entry { name: "f".into(), region, inputs, outputs, checks: Vec::new(), typical: Vec::new() });
    graph
}

/// The function of an f32, to about the precision of f64.
pub fn exact(op: UnaryOp, x: f32) -> f64 {
    let x = f64::from(x);
    match op {
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Erf => erf(x),
        other => panic!("{other:?} is no polynomial"),
    }
}

/// 1 / (1 + exp(-x)), to about the precision of f64.
pub fn sigmoid(x: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(x)).exp())
}

/// The error function: 2/sqrt(pi)·exp(-x²)·Σ 2^k·x^(2k+1) / (1·3·…·(2k+1)), whose terms have one sign.
/// From 6 on it is 1 in f64.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() < 1e-10 {
        return x * std::f64::consts::FRAC_2_SQRT_PI;
    }
    if x.abs() >= 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut k) = (x, x, 0.0);
    while term.abs() > sum.abs() * 1e-17 {
        k += 1.0;
        term *= 2.0 * x * x / (2.0 * k + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// How far `found` is from the exact value, in units of the last place of an f32 in its binade (of
/// the least normal numbers, for denormals). An infinity is right where the exact value rounds to it.
pub fn ulps(found: f32, exact: f64) -> f64 {
    let found = f64::from(found);
    if found == exact || found.is_nan() && exact.is_nan() {
        return 0.0;
    }
    if found.is_nan() || exact.is_nan() {
        return f64::INFINITY;
    }
    // Half a unit above the largest f32.
    if exact.abs() >= 3.402_823_567_797_336_6e38 && found.is_infinite() && found.signum() == exact.signum() {
        return 0.0;
    }
    let exponent = ((exact.to_bits() >> 52 & 0x7ff) as i64 - 1023).clamp(-126, 127);
    (found - exact).abs() * f64::from_bits(((1023 + 23 - exponent) as u64) << 52)
}

/// Numbers that look random, the same every time.
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// In 0..1.
    fn unit(&mut self) -> f64 {
        f64::from(self.bits()) / 4_294_967_296.0
    }
}

/// Every exponent of f32 with several fractions and both signs, denormals and special values, and
/// more where the functions are not constant.
pub fn arguments() -> Vec<f32> {
    let mut numbers = Numbers(11);
    let mut all = vec![0, 1, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000];
    for exponent in 0..255u32 {
        let fractions: Vec<u32> = (0..24).map(|_| numbers.bits() >> 9).chain([0, 1, (1 << 23) - 1]).collect();
        all.extend(fractions.iter().map(|fraction| exponent << 23 | fraction));
    }
    let mut all: Vec<f32> = all.into_iter().flat_map(|bits| [bits, bits | 0x8000_0000]).map(f32::from_bits).collect();
    for (low, high, count) in [
        (-104.0, 89.0, 8000),
        (-1.0, 1.0, 8000),
        (0.5, 2.0, 4000),
        (0.999, 1.001, 2000),
        (-10.0, 10.0, 8000),
        (-1e4, 1e4, 4000),
    ] {
        all.extend((0..count).map(|_| (low + (high - low) * numbers.unit()) as f32));
    }
    // Around the multiples of pi/2.
    for n in -500..=500i32 {
        let x = (f64::from(n) * std::f64::consts::FRAC_PI_2) as f32;
        all.extend([x, x.next_up(), x.next_down()]);
    }
    all
}

/// Bases and powers: any bits, powers that neither over- nor underflow, bases near 1, whole powers, and all pairs
/// of special values.
pub fn powers(count: usize) -> (Vec<f32>, Vec<f32>) {
    let mut numbers = Numbers(13);
    let special = [
        0.0,
        1.0,
        0.5,
        2.0,
        3.0,
        f32::INFINITY,
        f32::NAN,
        1e-40,
        1e30,
        f32::MAX,
        f32::MIN_POSITIVE,
        1.0 + f32::EPSILON,
        1.0 - f32::EPSILON,
        16_777_217.0,
        8_388_607.5,
        4_294_967_295.0,
    ];
    let special: Vec<f32> = special.iter().flat_map(|x| [*x, -*x]).collect();
    let mut pairs: Vec<(f32, f32)> = special.iter().flat_map(|x| special.iter().map(|y| (*x, *y))).collect();
    for _ in 0..count {
        let (x, y) = (f32::from_bits(numbers.bits()), f32::from_bits(numbers.bits()));
        pairs.push((x, y));
        let near = (1.0 + (numbers.unit() - 0.5) * 0.5) as f32;
        for base in [x.abs(), near] {
            let power = (numbers.unit() * 320.0 - 160.0) / f64::from(base).log2();
            pairs.push((base, power as f32));
        }
        pairs.push((x, (numbers.unit() * 64.0 - 32.0).floor() as f32));
    }
    pairs.into_iter().unzip()
}
