//! What is decided rather than derived: ties, NaN, slopes where there is none, ends of ranges.

mod common;

use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::index::Extreme;
use mlc_ir::interp::run;
use mlc_ir::ops::arg_reduce::ArgReduce;
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};

/// The result for `x` and the gradient of the sum of its elements.
fn result_and_slope(x: &[f32], op: impl Fn(&mut Builder, Value) -> Value) -> (Vec<f64>, Vec<f64>) {
    let shape = vec![(x.len() as i64).into()];
    let mut graph = Graph::new();
    let mut b = Builder::new("main");
    let param = b.param(Type::new(DType::F32, shape));
    let y = op(&mut b, param);
    let axes = (0..b.ty(y).rank()).collect();
    let loss = b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[y]);
    let slope = gradient(&mut graph, &mut b, loss, &[param])[0].unwrap_or(param);
    let region = graph.add_region(b.finish(vec![y, slope]));
    let out = run(&graph, region, &[Tensor::from_f32(&[x.len()], x)], &[]);
    (out[0].floats().to_vec(), out[1].floats().to_vec())
}

#[test]
fn a_tie_of_two_goes_to_the_second() {
    let relu = |b: &mut Builder, x: Value| {
        let shape = b.ty(x).shape.clone();
        let zero = b.full(DType::F32, 0.0, &shape);
        b.binary(BinaryOp::Max, x, zero)
    };
    let (y, slope) = result_and_slope(&[-1.0, 0.0, 2.0], relu);
    assert_eq!((y, slope), (vec![0.0, 0.0, 2.0], vec![0.0, 0.0, 1.0]));
    let (y, _) = result_and_slope(&[f32::NAN], relu);
    assert!(y[0].is_nan());
}

#[test]
fn a_tie_of_many_goes_to_the_first() {
    for kind in [ReduceKind::Max, ReduceKind::Min] {
        let (_, slope) = result_and_slope(&[3.0, 3.0, 3.0], |b, x| b.add1(Reduce { kind, axes: vec![0] }, &[x]));
        assert_eq!(slope, [1.0, 0.0, 0.0]);
    }
    let (y, slope) =
        result_and_slope(&[1.0, f32::NAN, 5.0], |b, x| b.add1(Reduce { kind: ReduceKind::Max, axes: vec![0] }, &[x]));
    assert!(y[0].is_nan());
    assert_eq!(slope, [0.0, 1.0, 0.0]);
}

#[test]
fn products_of_zeros() {
    let product = |b: &mut Builder, x: Value| b.add1(Reduce { kind: ReduceKind::Prod, axes: vec![0] }, &[x]);
    assert_eq!(result_and_slope(&[2.0, 0.0, 5.0], product).1, [0.0, 10.0, 0.0]);
    assert_eq!(result_and_slope(&[0.0, 0.0, 5.0], product).1, [0.0, 0.0, 0.0]);
}

#[test]
fn the_slope_of_abs_at_zero_is_zero() {
    let (_, slope) = result_and_slope(&[-2.0, 0.0, 2.0], |b, x| b.unary(UnaryOp::Abs, x));
    assert_eq!(slope, [-1.0, 0.0, 1.0]);
}

#[test]
fn powers_at_zero() {
    let with = |exponent: f64| {
        move |b: &mut Builder, x: Value| {
            let shape = b.ty(x).shape.clone();
            let exponent = b.full(DType::F32, exponent, &shape);
            b.binary(BinaryOp::Pow, x, exponent)
        }
    };
    assert_eq!(result_and_slope(&[0.0, -3.0], with(2.0)), (vec![0.0, 9.0], vec![0.0, -6.0]));
    assert_eq!(result_and_slope(&[0.0], with(0.0)), (vec![1.0], vec![0.0]));
}

fn evaluate(ty: Type, x: Tensor, op: impl Fn(&mut Builder, Value) -> Vec<Value>) -> Vec<Tensor> {
    let mut graph = Graph::new();
    let mut b = Builder::new("main");
    let param = b.param(ty);
    let results = op(&mut b, param);
    let region = graph.add_region(b.finish(results));
    run(&graph, region, &[x], &[])
}

#[test]
fn windows_take_the_first_and_nan_before_all() {
    let x = Tensor::from_f32(&[1, 6, 1], &[1.0, 1.0, 0.0, f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    let op = WindowMax { size: vec![2], strides: vec![2], pads: vec![(0, 0)] };
    let out = evaluate(x.ty(), x, |b, x| b.add(op.clone(), &[x]).to_vec());
    assert_eq!(out[1].ints(), [0, 1, 0]);
    assert!(out[0].floats()[1].is_nan());
    assert_eq!(out[0].floats()[2], f64::NEG_INFINITY);
}

#[test]
fn argmax_takes_the_first_and_nan_before_all() {
    let x = Tensor::from_f32(&[2, 4], &[1.0, 7.0, 7.0, 0.0, 1.0, f32::NAN, 9.0, f32::NAN]);
    let out = evaluate(x.ty(), x, |b, x| vec![b.add1(ArgReduce { extreme: Extreme::Max, axis: 1 }, &[x])]);
    assert_eq!(out[0].ints(), [1, 1]);
}

#[test]
fn indices_are_clamped() {
    let ids = Tensor::from_i32(&[3], &[-4, 1, 99]);
    let out = evaluate(ids.ty(), ids, |b, ids| {
        let table = b.add1(mlc_ir::ops::iota::Iota { shape: vec![5.into()], axis: 0, dtype: DType::I64 }, &[]);
        vec![b.add1(Gather { axis: 0, batch: 0 }, &[table, ids])]
    });
    assert_eq!(out[0].ints(), [0, 1, 4]);
}

#[test]
fn integer_division_rounds_down_and_by_zero_is_zero() {
    let a = Tensor::from_i32(&[5], &[7, -7, 7, -7, 7]);
    let b = [2i64, 2, -2, -2, 0];
    let divide = |op: BinaryOp| -> Vec<i64> {
        a.ints().iter().zip(b).map(|(a, b)| mlc_ir::ops::binary::integer(op, *a, b)).collect()
    };
    assert_eq!(divide(BinaryOp::FloorDiv), [3, -4, -4, 3, 0]);
    assert_eq!(divide(BinaryOp::Rem), [1, 1, -1, -1, 0]);
}

#[test]
fn conversions_saturate_and_wrap() {
    let x = Tensor::from_f64(&[4], &[3e10, -3e10, f64::NAN, -2.7]);
    assert_eq!(x.cast(DType::I32).ints(), [i64::from(i32::MAX), i64::from(i32::MIN), 0, -2]);
    assert_eq!(x.cast(DType::U8).ints(), [255, 0, 0, 0]);
    assert_eq!(x.cast(DType::I8).ints(), [127, -128, 0, -2]);
    let wide = Tensor::from_i64(&[2], &[1 << 33 | 5, -1]);
    assert_eq!(wide.cast(DType::I32).ints(), [5, -1]);
    assert_eq!(wide.cast(DType::U8).ints(), [5, 255]);
    assert_eq!(wide.cast(DType::I8).ints(), [5, -1]);
}

#[test]
fn the_error_function() {
    let known = [
        (0.5, 0.520_499_877_813_046_5),
        (1.0, 0.842_700_792_949_714_9),
        (2.9, 0.999_958_902_121_900_5),
        (3.1, 0.999_988_351_342_632_8),
        (5.0, 0.999_999_999_998_462_5),
    ];
    for (x, y) in known {
        assert!((mlc_ir::ops::unary::float(UnaryOp::Erf, x) - y).abs() < 2e-15, "{x}");
        assert_eq!(mlc_ir::ops::unary::float(UnaryOp::Erf, -x), -mlc_ir::ops::unary::float(UnaryOp::Erf, x));
    }
}
