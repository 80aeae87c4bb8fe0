//! Functions of the prelude.

use crate::values::{f32s, near, value};
use mlc_ir::tensor::Tensor;

#[test]
fn softmax_of_minus_infinity_is_zero() {
    let inf = f32::NEG_INFINITY;
    let x = || [("x", f32s(&[2, 2], &[inf, inf, 0.0, 0.0]))];
    near(&value("(x: f32[B, 2]) -> f32[B, 2] { return softmax(x) }", &x()), &[0.0, 0.0, 0.5, 0.5]);
    let large = [("x", f32s(&[1, 2], &[1000.0, 999.0]))];
    near(&value("(x: f32[B, 2]) -> f32[B] { return logsumexp(x, axis: -1) }", &large), &[1000.31326]);
}

#[test]
fn cross_entropy_ignores_and_is_stable() {
    let call = |labels: &[i32]| {
        let args = [("x", f32s(&[2, 2], &[1000.0, 0.0, 0.0, 0.0])), ("y", Tensor::from_i32(&[2], labels))];
        value("(x: f32[B, 2], y: i32[B]) -> f32 { return cross_entropy(x, y) }", &args)
    };
    near(&call(&[0, 1]), &[std::f64::consts::LN_2 / 2.0]);
    near(&call(&[-1, 1]), &[std::f64::consts::LN_2]);
    near(&call(&[-1, -1]), &[0.0]);
    near(&call(&[1, -1]), &[1000.0]);
}

#[test]
fn activations() {
    let x = || [("x", f32s(&[3], &[-1.0, 0.0, 2.0]))];
    for (call, wanted) in [
        ("relu(x)", [0.0, 0.0, 2.0]),
        ("sigmoid(x)", [0.268_941, 0.5, 0.880_797]),
        ("gelu(x)", [-0.158_655, 0.0, 1.954_500]),
        ("silu(x)", [-0.268_941, 0.0, 1.761_594]),
        ("softplus(x)", [0.313_262, std::f64::consts::LN_2, 2.126_928]),
        ("leaky_relu(x, 0.1)", [-0.1, 0.0, 2.0]),
        ("elu(x)", [-0.632_121, 0.0, 2.0]),
        ("hard_sigmoid(x)", [1.0 / 3.0, 0.5, 5.0 / 6.0]),
        ("tanh(x)", [-0.761_594, 0.0, 0.964_028]),
        ("identity(x)", [-1.0, 0.0, 2.0]),
        ("dropout(x, 0.5)", [-1.0, 0.0, 2.0]),
    ] {
        near(&value(&format!("(x: f32[B]) -> f32[B] {{ return {call} }}"), &x()), &wanted);
    }
}
