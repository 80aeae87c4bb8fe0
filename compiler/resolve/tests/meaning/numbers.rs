//! Numbers and definite results (rules 2, 3, 30).

use crate::common::outcome;
use crate::values::{f32s, near, value};
use mlc_ir::tensor::Tensor;

#[test]
fn arithmetic_and_literals() {
    let x = || [("x", f32s(&[3], &[1.0, 2.0, -3.0]))];
    near(&value("(x: f32[B]) -> f32[B] { return x * 2 + 1 }", &x()), &[3.0, 5.0, -5.0]);
    near(&value("(x: f32[B]) -> f32[B] { return -x ** 2 / 4 }", &x()), &[-0.25, -1.0, -2.25]);
    near(&value("(x: f32[B]) -> f32[B] { return x % 2 }", &x()), &[1.0, 0.0, 1.0]);
    near(&value("(x: f32[B]) -> f32[B] { return where(x > 0 and not x > 1, 10, x) }", &x()), &[10.0, 2.0, -3.0]);
    near(&value("(x: f32[B]) -> i32 { return sum(x > 0) }", &x()), &[2.0]);
    near(&value("(x: f32[B]) -> f32 { return mean(x > 0) }", &x()), &[2.0 / 3.0]);
    near(&value("(x: f32[B]) -> f32[B] { return x / B }", &x()), &[1.0 / 3.0, 2.0 / 3.0, -1.0]);
    near(&value("(x: f32[B]) -> f32[B] { return x / sqrt(B + 1) }", &x()), &[0.5, 1.0, -1.5]);
    near(&value("(x: f32[B]) -> f32[B] { a = 2; a += 3; return x * a }", &x()), &[5.0, 10.0, -15.0]);
    near(&value("(x: f32[B]) -> f32[B] { return x + zeros([B]) + ones([B]) }", &x()), &[2.0, 3.0, -2.0]);
    near(&value("(x: f32[B]) -> f32[B] { return x * iota(B) }", &x()), &[0.0, 2.0, -6.0]);
    near(&value("(x: f32[B]) -> f32[B] { return if sum(x) >= 0 then x else -x }", &x()), &[1.0, 2.0, -3.0]);
    near(&value("(x: f32[B]) -> f32[B] { return x |> clamp(-1, 1) }", &x()), &[1.0, 1.0, -1.0]);
}

#[test]
fn integers() {
    let x = || [("x", Tensor::from_i32(&[4], &[7, -7, 8, 0]))];
    near(&value("(x: i32[B]) -> i32[B] { return floor(x / 2) }", &x()), &[3.0, -4.0, 4.0, 0.0]);
    near(&value("(x: i32[B]) -> i32[B] { return ceil(x / 2) }", &x()), &[4.0, -3.0, 4.0, 0.0]);
    near(&value("(x: i32[B]) -> i32[B] { return x % 3 }", &x()), &[1.0, 2.0, 2.0, 0.0]);
    near(&value("(x: i32[B]) -> f32[B] { return cast(x, f32) / 2 }", &x()), &[3.5, -3.5, 4.0, 0.0]);
    near(&value("(x: i32[B]) -> i32[B] { return x * (12 / 4) }", &x()), &[21.0, -21.0, 24.0, 0.0]);
}

#[test]
fn definite_results() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = || [("x", f32s(&[2, 3], &[1.0, nan, 3.0, 2.0, 2.0, 1.0]))];
    near(&value("(x: f32[B, N]) -> i32[B] { return argmax(x, over: N) }", &x()), &[1.0, 0.0]);
    near(&value("(x: f32[B, N]) -> i32[B] { return argmin(x, over: N) }", &x()), &[1.0, 2.0]);
    near(&value("(x: f32[B, N]) -> bool[B] { m = max(x, over: N); return m == m }", &x()), &[0.0, 1.0]);
    near(&value("(x: f32[B, N]) -> bool[B] { m = min(x, over: N); return m == m }", &x()), &[0.0, 1.0]);
    near(&value("(x: f32[B, N]) -> i32 { return sum(x < 2 or x >= 2) }", &x()), &[5.0]);
    near(&value("(x: f32[B, N]) -> i32 { return sum(x != x) }", &x()), &[1.0]);
    near(
        &value("(x: f32[B, N]) -> bool[B, N] { m = maximum(x, 2); return m == m }", &x()),
        &[1.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    );
    let wide = [("x", f32s(&[6], &[nan, inf, -inf, 3e9, -1.9, 255.9]))];
    near(
        &value("(x: f32[N]) -> i32[N] { return cast(x, i32) }", &wide),
        &[0.0, 2147483647.0, -2147483648.0, 2147483647.0, -1.0, 255.0],
    );
    near(&value("(x: f32[N]) -> u8[N] { return cast(x, u8) }", &wide), &[0.0, 255.0, 0.0, 255.0, 0.0, 255.0]);
    near(&value("(x: f32[N]) -> i8[N] { return cast(x, i8) }", &wide), &[0.0, 127.0, -128.0, 127.0, -1.0, 127.0]);
    let bytes = [("a", Tensor::from_i8(&[3], &[-128, 100, -7]))];
    near(&value("(a: i8[N]) -> i8[N] { return 2 * a - 1 }", &bytes), &[-1.0, -57.0, -15.0]);
    near(&value("(a: i8[N]) -> i8[N] { return -a }", &bytes), &[-128.0, -100.0, 7.0]);
    near(&value("(a: i8[N]) -> f32[N] { return cast(a, f32) / 2 }", &bytes), &[-64.0, 50.0, -3.5]);
    near(
        &value("(a: i8[N]) -> i32[N] { return iota(200)[a + 7] }", &[("a", Tensor::from_i8(&[2], &[-7, 90]))]),
        &[0.0, 97.0],
    );
    let i = [("i", Tensor::from_i32(&[4], &[7, -7, 0, 3])), ("j", Tensor::from_i32(&[4], &[-2, 2, 0, 0]))];
    near(&value("(i: i32[N], j: i32[N]) -> i32[N] { return floor(i / j) }", &i), &[-4.0, -4.0, 0.0, 0.0]);
    near(&value("(i: i32[N], j: i32[N]) -> i32[N] { return ceil(i / j) }", &i), &[-3.0, -3.0, 0.0, 0.0]);
    near(&value("(i: i32[N], j: i32[N]) -> i32[N] { return i % j }", &i), &[-1.0, 1.0, 0.0, 0.0]);
    near(
        &value("(i: i32[N]) -> f32[N, 4] { return one_hot(i, 4) }", &i[..1]),
        &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    );
}

#[test]
fn lines_between_run_time_numbers() {
    let at = || [("a", f32s(&[], &[1.0])), ("b", f32s(&[], &[3.0]))];
    near(&value("(a: f32, b: f32) -> f32[5] { return linspace(a, b, 5) }", &at()), &[1.0, 1.5, 2.0, 2.5, 3.0]);
    near(&value("(a: f32, b: f32) -> f32[3] { return linspace(0, b, 3) }", &at()), &[0.0, 1.5, 3.0]);
    near(&value("(a: f32, b: f32) -> f32[1] { return linspace(a, b, 1) }", &at()), &[1.0]);
    near(&value("(a: f32, b: f32) -> f32 { return neg(a) + neg(2) }", &at()), &[-3.0]);
}

#[test]
fn assertions_and_closeness() {
    let text = "
test \"sums\" {
    x = iota(4)
    assert sum(x) == 6, \"six\"
    assert close(softmax(cast(x, f32) * 0), 0.25)
}";
    let program = outcome("t.dl", text).program();
    assert_eq!(program.tests[0].checks.len(), 2);
    let graph = mlc_ir::interp::to_f64(&program.graph);
    for check in &program.tests[0].checks {
        let mlc_resolve::program::Check::Assert { condition, .. } = check else { panic!("an assertion") };
        let zero = Tensor::from_i64(&[], &[0]);
        let holds = mlc_ir::interp::run(&graph, condition.region, &[zero.clone(), zero], &[]);
        assert_eq!(holds[0].ints(), [1]);
    }
}

#[test]
fn lists_of_numbers() {
    let x = || [("x", f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]))];
    near(&value("(x: f32[B, 2]) -> f32[B, 2] { a: f32[2] = [10, 0.5]; return x + a }", &x()), &[11.0, 2.5, 13.0, 4.5]);
    near(
        &value("(x: f32[B, 2]) -> f32[B, 2] { a: f32[2, 2] = [[0, 1], [1, 0]]; return x @ a }", &x()),
        &[2.0, 1.0, 4.0, 3.0],
    );
    near(
        &value("(x: f32[B, 2]) -> f32[B, 2] { a: bool[2] = [true, false]; return where(a, x, 0) }", &x()),
        &[1.0, 0.0, 3.0, 0.0],
    );
    near(&value("(x: f32[B, 2]) -> i32[3] { a: i32[3] = [3, -1, 2]; return a }", &x()), &[3.0, -1.0, 2.0]);
    near(&value("(x: f32[B, 2]) -> f32[2] { a: f32[2] = [B, 2 * B]; return a }", &x()), &[2.0, 4.0]);
}

#[test]
fn declared_shapes() {
    let x = || [("x", f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]))];
    near(&value("(x: f32[B, D]) -> f32[B, D] { a: f32[B, D] = ones(); return x + a }", &x()), &[2.0, 3.0, 4.0, 5.0]);
}
