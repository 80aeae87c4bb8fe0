//! Sorting and running sums.

use crate::slopes::slope;
use crate::values::{f32s, near, six, value};
use mlc_ir::tensor::Tensor;

#[test]
fn elements_in_order() {
    let nan = f32::NAN;
    let x = || [("x", f32s(&[2, 4], &[3.0, 1.0, 2.0, 1.0, nan, 0.0, f32::NEG_INFINITY, -0.0]))];
    let of = |body: &str| {
        let found = value(&format!("(x: f32[B, N]) -> {body} }}"), &x());
        found.into_iter().map(|value| if value.is_nan() { 99.0 } else { value }).collect::<Vec<f64>>()
    };
    let low = f64::NEG_INFINITY;
    near(&of("f32[B, N] { y, i = sort(x, axis: -1); return y"), &[1.0, 1.0, 2.0, 3.0, low, 0.0, 0.0, 99.0]);
    near(&of("i32[B, N] { y, i = sort(x, over: N); return i"), &[1.0, 3.0, 2.0, 0.0, 2.0, 1.0, 3.0, 0.0]);
    near(&of("i32[B, N] { y, i = sort(x, axis: 0); return i"), &[0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    near(&of("f32[B, 2] requires N >= 2 { y, i = top_k(x, 2); return y"), &[3.0, 2.0, 99.0, 0.0]);
    near(&of("i32[B, 3] requires N >= 3 { y, i = top_k(x, 3); return i"), &[0.0, 2.0, 1.0, 0.0, 1.0, 3.0]);
    near(&of("f32[1, N] { y, i = top_k(where(x == x, x, 0), 1, axis: 0); return y"), &[3.0, 1.0, 2.0, 1.0]);
    let ids = [("i", Tensor::from_i32(&[3], &[2, 0, 1]))];
    near(&value("(i: i32[N]) -> i32[N] { y, at = sort(i, axis: 0); return at }", &ids), &[1.0, 2.0, 0.0]);
}

#[test]
fn running_sums_and_products() {
    let x = || [("x", six()), ("m", Tensor::from_bool(&[3], &[true, false, true]))];
    near(
        &value("(x: f32[B, N]) -> f32[B, N] { return cumsum(x, axis: -1) }", &x()[..1]),
        &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0],
    );
    near(
        &value("(x: f32[B, N]) -> f32[B, N] { return cumsum(x, over: B) }", &x()[..1]),
        &[1.0, 2.0, 3.0, 5.0, 7.0, 9.0],
    );
    near(
        &value("(x: f32[B, N]) -> f32[B, N] { return cumprod(x, over: N) }", &x()[..1]),
        &[1.0, 2.0, 6.0, 4.0, 20.0, 120.0],
    );
    near(&value("(m: bool[N]) -> i32[N] { return cumsum(m, axis: 0) }", &x()[1..]), &[1.0, 1.0, 2.0]);
    let i = [("i", Tensor::from_i32(&[3], &[2, 3, 4]))];
    near(&value("(i: i32[N]) -> i32[N] { return cumprod(i, axis: 0) }", &i), &[2.0, 6.0, 24.0]);
}

#[test]
fn gradients_of_orders_and_running_values() {
    let weights = "cast(iota(4) + 1, f32)";
    near(&slope("4", "3 1 2 1", &format!("sum(sort(y, axis: 0)[0] * {weights})")), &[4.0, 1.0, 3.0, 2.0]);
    near(&slope("4", "3 1 3 2", &format!("sum(top_k(y, 3)[0] * {weights}[:3])")), &[1.0, 0.0, 2.0, 3.0]);
    near(&slope("4", "3 1 3 2", &format!("sum(cumsum(y, axis: 0) * {weights})")), &[10.0, 9.0, 7.0, 4.0]);
    // Products with a zero in them: d y[k] / d x[i] is the product of the others.
    near(&slope("4", "2 0 3 4", "sum(cumprod(y, axis: 0))"), &[1.0, 2.0 + 6.0 + 24.0, 0.0, 0.0]);
    near(&slope("4", "2 0 3 0", "sum(broadcast(prod(y), [2])) / 2"), &[0.0; 4]);
    near(&slope("4", "2 0 3 4", "sum(broadcast(prod(y), [2])) / 2"), &[0.0, 24.0, 0.0, 0.0]);
    // Ties: the lowest index; of two operands the second.
    near(&slope("4", "2 3 3 1", "max(y)"), &[0.0, 1.0, 0.0, 0.0]);
    near(&slope("4", "2 1 3 1", "min(y)"), &[0.0, 1.0, 0.0, 0.0]);
    near(&slope("2", "2 2", "maximum(y[0], y[1]) + 10 * minimum(y[0], y[1])"), &[0.0, 11.0]);
    near(&slope("3", "-1 0 1", "sum(abs(y))"), &[-1.0, 0.0, 1.0]);
    near(&slope("3", "-1 0 1", "sum(relu(y))"), &[0.0, 0.0, 1.0]);
    near(&slope("3", "-inf -inf -inf", "sum(softmax(y))"), &[0.0; 3]);
    near(&slope("1, 4, 1", "1 5 5 2", "sum(max_pool(y, 4))"), &[0.0, 1.0, 0.0, 0.0]);
}
