//! Small programs in the reference interpreter, with results computed by hand.

mod common;

#[path = "common/run.rs"]
mod run;

use common::{outcome, outcome_with};
use mlc_ir::graph::GlobalKind;
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::DType;
use run::{Machine, floats};

/// The result `out` of `f` of a model.
fn value(body: &str, args: &[(&str, Tensor)]) -> Vec<f64> {
    let program = outcome("t.dl", &format!("model M {{ @export fn f{body} }}")).program();
    let mut machine = Machine::new(program, 0);
    let entry = machine.function("f");
    let results = machine.call(entry, args);
    assert!(results.faults.iter().all(|fault| *fault == i64::from(i32::MAX)), "{:?}", results.faults);
    let out = &results.named["out"];
    if out.dtype.is_float() { out.floats().to_vec() } else { out.ints().iter().map(|value| *value as f64).collect() }
}

fn near(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{found:?} and {wanted:?}");
    for (a, b) in found.iter().zip(wanted) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()) || a == b, "{found:?} and {wanted:?}");
    }
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, values)
}

fn six() -> Tensor {
    f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
}

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
fn reductions_and_axis_names() {
    let x = || [("x", six())];
    near(&value("(x: f32[B, D]) -> f32[B] { return sum(x, over: D) }", &x()), &[6.0, 15.0]);
    near(&value("(x: f32[B, D]) -> f32[D] { return max(x, over: B) }", &x()), &[4.0, 5.0, 6.0]);
    near(&value("(x: f32[B, D]) -> f32 { return mean(x, over: (B, D)) }", &x()), &[3.5]);
    near(
        &value("(x: f32[B, 3]) -> f32[B, 3] { return x - mean(x, axis: -1, keep: true) }", &x()),
        &[-1.0, 0.0, 1.0, -1.0, 0.0, 1.0],
    );
    near(&value("(x: f32[B, D]) -> i32[B] { return argmax(-x, over: D) }", &x()), &[0.0, 0.0]);
    near(
        &value("(x: f32[B, D]) -> f32[D] { y = transpose(x); return sum(y * y, over: B) }", &x()),
        &[17.0, 29.0, 45.0],
    );
    near(&value("(x: f32[B, D]) -> f32[B] { return var(x, over: D) }", &x()), &[2.0 / 3.0, 2.0 / 3.0]);
}

#[test]
fn products_and_letters() {
    let x = || [("x", six()), ("w", f32s(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]))];
    near(&value("(x: f32[B, 3], w: f32[3, 2]) -> f32[B, 2] { return x @ w }", &x()), &[4.0, 5.0, 10.0, 11.0]);
    near(
        &value("(x: f32[B, 3], w: f32[3, 2]) -> f32[B, 2] { return einsum(\"b i, i o -> b o\", x, w) }", &x()),
        &[4.0, 5.0, 10.0, 11.0],
    );
    near(
        &value("(x: f32[B, 3], w: f32[3, 2]) -> f32[2] { return einsum(\"b i, i o -> o\", x, w) }", &x()),
        &[14.0, 16.0],
    );
    near(
        &value("(x: f32[B, 3]) -> f32[3, B] { return rearrange(x, \"b i -> i b\") }", &x()[..1]),
        &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0],
    );
    let parts = "(x: f32[B, 3]) -> f32[3, B] { return rearrange(x, \"... (i one) -> i (... one)\", one: 1) }";
    near(&value(parts, &x()[..1]), &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn indices() {
    let x = || [("x", six()), ("i", Tensor::from_i32(&[2], &[1, 0]))];
    near(&value("(x: f32[2, 3]) -> f32[2] { return x[:, -1] }", &x()[..1]), &[3.0, 6.0]);
    near(&value("(x: f32[B, D], i: i32[B]) -> f32[_, D] { return x[i] }", &x()), &[4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
    near(
        &value("(x: f32[B, D], i: i32[B]) -> f32[B] { return take_along(x, i[:, new], axis: -1)[:, 0] }", &x()),
        &[2.0, 4.0],
    );
    near(&value("(x: f32[B, 3]) -> f32[B, _] { return x[..., 0:3:2] }", &x()[..1]), &[1.0, 3.0, 4.0, 6.0]);
    near(&value("(x: f32[B, 3]) -> f32[3, _] { return x[0, :, new] }", &x()[..1]), &[1.0, 2.0, 3.0]);
    near(
        &value(
            "(x: f32[B, 3]) -> f32[B, 3] { a, b, c = split(x, 3, axis: -1); return concat([c, b, a], axis: 1) }",
            &x()[..1],
        ),
        &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0],
    );
    near(
        &value("(x: f32[B, 3]) -> f32[B, 5] { return pad(x, [(0, 0), (1, 1)], value: 9) }", &x()[..1]),
        &[9.0, 1.0, 2.0, 3.0, 9.0, 9.0, 4.0, 5.0, 6.0, 9.0],
    );
    near(
        &value("(x: f32[B, T]) -> f32[B, T] { return reverse(x, over: T) }", &x()[..1]),
        &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0],
    );
}

#[test]
fn windows_and_places_known_at_run_time() {
    let x = || [("x", six()), ("at", Tensor::from_i32(&[], &[1]))];
    near(&value("(x: f32[B, 3], at: i32) -> f32[B, 2] { return x[:, at:at + 2] }", &x()), &[2.0, 3.0, 5.0, 6.0]);
    near(
        &value("(x: f32[B, 3], at: i32) -> f32[B, 2] { return x[:, 2 * at - 1:2 * (at + 1) - 1] }", &x()),
        &[2.0, 3.0, 5.0, 6.0],
    );
    near(
        &value("(x: f32[B, D], at: i32) -> f32[B, 1] requires D >= 2 { return x[:, at - 1:at + 1:2] }", &x()),
        &[1.0, 4.0],
    );
    near(&value("(x: f32[B, 3], at: i32) -> f32 { return x[at, at + 1] }", &x()), &[6.0]);
    near(&value("(x: f32[B, 3], at: i32) -> f32[2] { return x[at, at:at + 2] }", &x()), &[5.0, 6.0]);
    near(&value("(x: f32[B, 3], at: i32) -> f32[B] { return x[:, at] }", &x()), &[2.0, 5.0]);
    near(
        &value("(x: f32[B, 3], at: i32) -> f32[B, 2] { return x[:, new, at:at + 2][:, 0] }", &x()),
        &[2.0, 3.0, 5.0, 6.0],
    );
}

#[test]
fn parts_are_assigned() {
    let x = || [("x", six()), ("at", Tensor::from_i32(&[], &[1])), ("i", Tensor::from_i32(&[3], &[2, 0, 2]))];
    let plain = |body: &str| value(&format!("(x: f32[B, 3]) -> f32[B, 3] {{ {body}; return x }}"), &x()[..1]);
    near(&plain("x[:, 0] = 9"), &[9.0, 2.0, 3.0, 9.0, 5.0, 6.0]);
    near(&plain("x[0] = x[1]"), &[4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
    near(&plain("x[..., -1] += 1"), &[1.0, 2.0, 4.0, 4.0, 5.0, 7.0]);
    near(&plain("x[:, 1:] *= 2"), &[1.0, 4.0, 6.0, 4.0, 10.0, 12.0]);
    near(&plain("x[:, 0:3:2] = -1"), &[-1.0, 2.0, -1.0, -1.0, 5.0, -1.0]);
    near(&plain("x[0:1, 0:3:2] -= 1"), &[0.0, 2.0, 2.0, 4.0, 5.0, 6.0]);
    near(&plain("x[:, :] = 0"), &[0.0; 6]);
    near(&plain("x[:, 1, new] = x[:, 0:1]"), &[1.0, 1.0, 3.0, 4.0, 4.0, 6.0]);
    near(&plain("x[0, 0], y = 7, 8"), &[7.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let x = x();
    let of = |args, body, given: &[usize]| {
        let given: Vec<_> = given.iter().map(|at| x[*at].clone()).collect();
        value(&format!("(x: f32[B, 3], {args}) -> f32[B, 3] {{ {body}; return x }}"), &given)
    };
    near(&of("at: i32", "x[at] = 0", &[0, 1]), &[1.0, 2.0, 3.0, 0.0, 0.0, 0.0]);
    near(&of("at: i32", "x[at, at + 1] /= 2", &[0, 1]), &[1.0, 2.0, 3.0, 4.0, 5.0, 3.0]);
    near(&of("at: i32", "x[:, at:at + 2] = x[:, 0:2]", &[0, 1]), &[1.0, 1.0, 2.0, 4.0, 4.0, 5.0]);
    near(&of("i: i32[K]", "x[:, i] = iota(K)", &[0, 2]), &[1.0, 2.0, 2.0, 1.0, 5.0, 2.0]);
    near(&of("i: i32[K]", "x[:, i] += 1", &[0, 2]), &[2.0, 2.0, 5.0, 5.0, 5.0, 8.0]);
    near(&of("i: i32[K]", "x[0, i] -= 1", &[0, 2]), &[0.0, 2.0, 1.0, 4.0, 5.0, 6.0]);
    near(&of("at: i32, i: i32[K]", "x[at, i] = 0", &[0, 1, 2]), &[1.0, 2.0, 3.0, 0.0, 5.0, 0.0]);
    let counts = value("(i: i32[K]) -> i32[4] { n = zeros([4]); n[i] += 1; return n }", &x[2..]);
    near(&counts, &[1.0, 0.0, 2.0, 0.0]);
    let rows = "(i: i32[2, 2]) -> f32[3] { y = zeros([3]); y[i] = 1.5; return y }";
    near(&value(rows, &[("i", Tensor::from_i32(&[2, 2], &[1, 1, 0, 1]))]), &[1.5, 1.5, 0.0]);
}

#[test]
fn gradients_of_parts() {
    // y = x with parts replaced; d sum(y * c) by x and v, by hand.
    let text = |body: &str| {
        format!(
            "model M {{ param x: f32[4] = 1; param v: f32[2] = 1; fn forward(at: i32, i: i32[2]) -> f32 {{ y = x * 1; {body}; return sum(y * [1, 2, 3, 4]) }} }}
             train t {{ net = M(); opt = sgd(lr: 0.0); step(at: i32, i: i32[2]) {{ minimize net(at, i) over net with opt }} }}"
        )
    };
    let slopes = |body: &str, i: [i32; 2]| {
        let text = text(body).replace("[1, 2, 3, 4]", "cast(iota(4) + 1, f32)");
        let mut machine = Machine::new(outcome("t.dl", &text).program(), 0);
        let grads = machine.program.trains[0].grads.expect("gradients");
        let results = machine.call(grads, &[("at", Tensor::from_i32(&[], &[1])), ("i", Tensor::from_i32(&[2], &i))]);
        [floats(&results, "x"), floats(&results, "v")].concat()
    };
    near(&slopes("y[0:2] = v", [0, 0]), &[0.0, 0.0, 3.0, 4.0, 1.0, 2.0]);
    near(&slopes("y[at:at + 2] = v", [0, 0]), &[1.0, 0.0, 0.0, 4.0, 2.0, 3.0]);
    near(&slopes("y[0:3:2] = v", [0, 0]), &[0.0, 2.0, 0.0, 4.0, 1.0, 3.0]);
    near(&slopes("y[i] = v", [3, 0]), &[0.0, 2.0, 3.0, 0.0, 4.0, 1.0]);
    near(&slopes("y[i] = v", [3, 3]), &[1.0, 2.0, 3.0, 0.0, 0.0, 4.0]);
    near(&slopes("y[i] += v", [3, 3]), &[1.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
    near(&slopes("y[at] *= v[0]", [0, 0]), &[1.0, 2.0, 3.0, 4.0, 2.0, 0.0]);
}

#[test]
fn a_window_out_of_range_is_a_fault() {
    let text = "model M { @export fn f(x: f32[N], at: i32) -> f32[N] requires N >= 2 { x[at:at + 2] = 0; return x } }";
    let program = outcome("t.dl", text).program();
    let mut machine = Machine::new(program, 0);
    let entry = machine.function("f");
    for (at, fault) in [(-1, 0), (0, i64::from(i32::MAX)), (1, i64::from(i32::MAX)), (2, 0)] {
        let args = [("x", f32s(&[3], &[5.0, 6.0, 7.0])), ("at", Tensor::from_i32(&[], &[at]))];
        assert_eq!(machine.call(entry, &args).faults, [fault], "{at}");
    }
}

#[test]
fn an_index_out_of_range_is_a_fault() {
    let program = outcome("t.dl", "model M { @export fn f(x: f32[N], i: i32[B]) -> f32[B] { return x[i] } }").program();
    let mut machine = Machine::new(program, 0);
    let entry = machine.function("f");
    let args = [("x", f32s(&[2], &[5.0, 6.0])), ("i", Tensor::from_i32(&[3], &[1, 2, -1]))];
    let results = machine.call(entry, &args);
    assert_eq!(results.faults, [1]);
}

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

/// The gradient of `loss` by a parameter `x` with these values.
fn slope(shape: &str, values: &str, loss: &str) -> Vec<f64> {
    let text = format!(
        "model M {{ param x: f32[{shape}] = 0; fn forward(v: f32[{shape}]) -> f32 {{ y = x + v; return {loss} }} }}
         train t {{ net = M(); opt = sgd(lr: 0.0); step(v: f32[{shape}]) {{ minimize net(v) over net with opt }} }}"
    );
    let mut machine = Machine::new(outcome("t.dl", &text).program(), 0);
    let grads = machine.program.trains[0].grads.expect("gradients");
    let sizes: Vec<usize> = shape.split(", ").map(|size| size.parse().expect("a size")).collect();
    let values: Vec<f32> = values.split(' ').map(|value| value.parse().expect("a number")).collect();
    floats(&machine.call(grads, &[("v", f32s(&sizes, &values))]), "x")
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
fn random_integers() {
    let draws = |body: &str, args: &[(&str, Tensor)]| value(body, args);
    let at = || [("lo", Tensor::from_i32(&[], &[-3])), ("hi", Tensor::from_i32(&[], &[5]))];
    let numbers = draws("(lo: i32, hi: i32) -> i32[400] { return randint([400], lo, hi) }", &at());
    for wanted in -3..5 {
        let share = numbers.iter().filter(|number| **number == f64::from(wanted)).count();
        assert!((20..90).contains(&share), "{wanted}: {share}");
    }
    assert!(numbers.iter().all(|number| (-3.0..5.0).contains(number)));
    let mut order = draws("(lo: i32) -> i32[100] { return permutation(100) + lo }", &at()[..1]);
    assert_ne!(order[..4], [-3.0, -2.0, -1.0, 0.0]);
    order.sort_by(f64::total_cmp);
    near(&order, &(-3..97).map(f64::from).collect::<Vec<_>>());
    let p = || [("p", f32s(&[4], &[0.0, 0.25, 0.75, 0.0]))];
    let picks = draws("(p: f32[4]) -> i32[400] { return sample(broadcast(p, [400, 4])) }", &p());
    let ones = picks.iter().filter(|pick| **pick == 1.0).count();
    assert!(picks.iter().all(|pick| *pick == 1.0 || *pick == 2.0) && (60..140).contains(&ones), "{ones}");
    near(&draws("(p: f32[4]) -> i32[2] { return sample(zeros([2, 4])) }", &p()), &[3.0, 3.0]);
    near(&draws("(p: f32[4]) -> i32 { return sample(p * p[1:2] * 0 + where(iota(4) == 2, 1.0, 0.0)) }", &p()), &[2.0]);
    let few = draws("(p: f32[4]) -> bool[1000] { return bernoulli([1000], p[1]) }", &p());
    assert!((180.0..320.0).contains(&few.iter().sum::<f64>()));
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
fn transposed_convolutions() {
    let x = || [("x", f32s(&[1, 3, 1], &[1.0, 2.0, 3.0])), ("w", f32s(&[2, 1, 1], &[10.0, 1.0]))];
    let of = |size: &str, more: &str| {
        let body = format!(
            "(x: f32[B, S, 1], w: f32[2, 1, 1]) -> f32[B, {size}, 1] {{ return conv(x, w, transposed: true{more}) }}"
        );
        value(&body, &x())
    };
    near(&of("S + 1", ""), &[10.0, 21.0, 32.0, 3.0]);
    near(&of("2 * S", ", stride: 2"), &[10.0, 1.0, 20.0, 2.0, 30.0, 3.0]);
    near(&of("2 * S - 1", ", stride: 2, pad: [(1, 0)]"), &[1.0, 20.0, 2.0, 30.0, 3.0]);
    near(&of("3 * S", ", stride: 3, pad: [(0, -1)]"), &[10.0, 1.0, 0.0, 20.0, 2.0, 0.0, 30.0, 3.0, 0.0]);
    near(&of("S + 2", ", dilation: 2"), &[10.0, 20.0, 31.0, 2.0, 3.0]);
}

/// A transposed convolution is the gradient of the convolution with the kernel's channels swapped, in
/// one, two and three dimensions, with groups.
#[test]
fn transposed_convolutions_are_adjoints() {
    for (shape, out, kernel, swap, how) in [
        ("2, 7, 4", "2, 3, 6", "3, 2, 6", "k i (g o) -> k o (g i)", "stride: 3, groups: 2, pad: [(1, 1)]"),
        (
            "1, 5, 6, 2",
            "1, 5, 3, 3",
            "3, 2, 2, 3",
            "k l i (g o) -> k l o (g i)",
            "stride: (1, 2), pad: [(1, 1), (0, 0)]",
        ),
        (
            "1, 3, 4, 5, 2",
            "1, 2, 3, 3, 4",
            "2, 2, 2, 1, 4",
            "k l m i (g o) -> k l m o (g i)",
            "dilation: (1, 1, 2), groups: 2",
        ),
    ] {
        let groups = if how.contains("groups") { 2 } else { 1 };
        let text = format!(
            "const N = 1
             model M {{
                param x: f32[{shape}] = normal(0, 1)
                param w: f32[{kernel}] = normal(0, 1)
                param y: f32[{out}] = normal(0, 1)
                fn forward(one: f32[N]) -> f32 {{ return sum(conv(x, w, {how}) * y) * one[0] }}
                @export fn back(one: f32[N]) -> f32[{shape}] {{
                    return conv(y, rearrange(w, \"{swap}\", g: {groups}), {how}, transposed: true)
                }}
             }}
             train t {{ net = M(); opt = sgd(lr: 0.0); step(one: f32[N]) {{ minimize net(one) over net with opt }} }}"
        );
        let mut machine = Machine::new(outcome("t.dl", &text).program(), 3);
        let grads = machine.program.trains[0].grads.expect("gradients");
        let one = [("one", f32s(&[1], &[1.0]))];
        let wanted = floats(&machine.call(grads, &one), "x");
        let entry = machine.function("back");
        near(&floats(&machine.call(entry, &one), "out"), &wanted);
    }
}

#[test]
fn windows_are_summed() {
    near(
        &slope("1, 4, 1", "1 5 5 2", "sum(window(y, \"sum\", size: 2, stride: 1, pad: [(1, 0)]) * 1)"),
        &[2.0, 2.0, 2.0, 1.0],
    );
    let x = [("x", f32s(&[1, 4, 1], &[1.0, 5.0, 6.0, 2.0]))];
    near(
        &value("(x: f32[B, 4, 1]) -> f32[B, 2, 1] { return window(x, \"sum\", size: 2, stride: 2) }", &x),
        &[6.0, 8.0],
    );
}

/// Labels follow their axis wherever it passes through (rule 7): each of these is refused if it is lost.
#[test]
fn labels_follow_their_axes() {
    let x = || [("x", f32s(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]))];
    let sums_of = |body: &str| value(&format!("(x: f32[B, i:T, j:T]) -> f32[B, T] {{ {body} }}"), &x());
    let plain = [3.0, 7.0, 11.0, 15.0];
    for body in [
        "return sum(x, over: j)",
        "return sum(x * 1 + 0, over: j)",
        "return sum(where(x > 0, x, 0), over: j)",
        "return sum(cast(cast(x, i32), f32), over: j)",
        "return sum(transpose(transpose(x)), over: j)",
        "return sum(rearrange(x, \"b i j -> b j i\"), over: j)",
        "return sum(reverse(x, over: j), over: j)",
        "return sum(concat([x, x], axis: 0)[:B], over: j)",
        "return sum(split(x, 1, axis: 0)[0], over: j)",
        "return sum(pad(x, [(1, 0), (0, 0), (0, 0)])[1:], over: j)",
        "y, at = sort(x, over: j); return sum(y, over: j)",
        "y, at = sort(x, over: j); return sum(take_along(x, at, over: j), over: j)",
        "y, at = top_k(x, T, over: j); return sum(y, axis: -1)",
        "return sum(cumsum(x, over: i) - cumsum(x, over: i) + x, over: j)",
        "return sum(cumprod(x, over: i) * 0 + x, over: j)",
        "return sum(x[iota(B)], over: j)",
        "return sum(x[:, :, :], over: j)",
        "return sum(x[:, new], over: j)[:, 0]",
        "x[0, 0] += 0; return sum(x, over: j)",
        "x[iota(B)] = x; return sum(x, over: j)",
        "return sum(stop_gradient(maximum(x, 0)), over: j)",
        "return sum(max(x, over: i, keep: true) * 0 + x, over: j)",
        "return sum(broadcast(x, [1, B, T, T])[0] * 0 + x, over: j)",
        "return sum(uniform([B, T, T]) * 0 + x, over: j)",
        "return log(sum(exp(x * 0 + log(x)), over: j)) |> exp",
    ] {
        near(&sums_of(body), &plain);
    }
    // A product has the rows of one and the columns of the other.
    near(&sums_of("return sum(x @ transpose(x) * 0 + x, axis: -1)"), &plain);
    near(&value("(x: f32[B, i:T, j:T]) -> f32[B, T] { return sum(x @ x, over: j) * 0 + 1 }", &x()), &[1.0; 4]);
    // Packs stay whole.
    for body in
        ["sum(relu(x) * 1, over: S)", "sum(sort(x, axis: -1)[0], over: S)", "sum(cumsum(x, axis: 0) * 0 + x, over: S)"]
    {
        let whole = format!(
            "(x: f32[B, 2, 2]) -> f32[B] {{ return g(x) }}\n fn g(x: f32[B, *S]) -> f32[B] {{ return {body} }}"
        );
        near(&value(&whole, &x()), &[10.0, 26.0]);
    }
}

#[test]
fn labels_that_differ_vanish() {
    let text = "model M { @export fn f(x: f32[B, i:T, j:T]) -> f32[B, T] { return sum(x + rearrange(x, \"b i j -> b j i\"), over: j) } }";
    let outcome = outcome("t.dl", text);
    let errors: Vec<&str> = outcome.errors().iter().map(|error| error.code.name()).collect();
    assert_eq!(errors, ["E0117"], "{}", outcome.text());
}

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
fn pooling() {
    let x = || [("x", f32s(&[1, 3, 3, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]))];
    near(&value("(x: f32[B, 3, 3, 1]) -> f32[B, _] { return flatten(max_pool(x, 2)) }", &x()), &[5.0]);
    near(
        &value("(x: f32[B, 3, 3, 1]) -> f32[B, _] { return flatten(max_pool(x, 2, stride: 1)) }", &x()),
        &[5.0, 6.0, 8.0, 9.0],
    );
    near(&value("(x: f32[B, 3, 3, 1]) -> f32[B, _] { return flatten(avg_pool(x, 2)) }", &x()), &[3.0]);
    near(
        &value("(x: f32[B, 3, 3, 1]) -> f32[B, _] { return flatten(max_pool(x, 2, padding: \"same\")) }", &x()),
        &[5.0, 6.0, 8.0, 9.0],
    );
    near(
        &value("(x: f32[B, 3, 3, 1]) -> f32[B, _] { return flatten(avg_pool(x, 2, padding: \"same\")) }", &x()),
        &[3.0, 4.5, 7.5, 9.0],
    );
    near(&value("(x: f32[B, 3, 3, 1]) -> f32[B, 1] { return global_avg_pool(x) }", &x()), &[5.0]);
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

const LINE: &str = "
model Line {
    param w: f32[1] = 2
    fn forward(x: f32[B]) -> f32[B] { return x * w }
}
";

fn trained(step: &str, optimizer: &str) -> Machine {
    let text =
        format!("{LINE}train t {{\n net = Line()\n opt = {optimizer}\n step(x: f32[B], y: f32[B]) {{ {step} }}\n}}");
    Machine::new(outcome("t.dl", &text).program(), 0)
}

fn xy() -> [(&'static str, Tensor); 2] {
    [("x", f32s(&[2], &[1.0, 3.0])), ("y", f32s(&[2], &[0.0, 0.0]))]
}

fn weight(machine: &Machine) -> f64 {
    machine.globals[machine.global("w")].floats()[0]
}

fn run_step(machine: &mut Machine) {
    let step = machine.program.trains[0].step;
    machine.call(step, &xy());
    machine.step += 1;
}

#[test]
fn sgd_steps() {
    // loss = mean((w x)^2) = 5 w^2, gradient 10 w
    let mut machine = trained("minimize mse(net(x), y) over net with opt", "sgd(lr: 0.01)");
    run_step(&mut machine);
    near(&[weight(&machine)], &[2.0 - 0.01 * 20.0]);
    assert!(machine.program.graph.globals.iter().all(|global| global.kind != GlobalKind::OptimizerState));
}

#[test]
fn momentum_steps() {
    let mut machine = trained("minimize mse(net(x), y) over net with opt", "sgd(lr: 0.01, momentum: 0.5)");
    run_step(&mut machine);
    run_step(&mut machine);
    let (first, m1) = (2.0 - 0.2, 20.0);
    let m2 = 0.5 * m1 + 10.0 * first;
    near(&[weight(&machine)], &[first - 0.01 * m2]);
    assert_eq!(machine.global("opt.m.w"), 1);
}

#[test]
fn clipping_by_norm() {
    let mut machine = trained("minimize mse(net(x), y) over net with opt", "sgd(lr: 0.01, clip_norm: 1.0)");
    run_step(&mut machine);
    near(&[weight(&machine)], &[2.0 - 0.01]);
}

#[test]
fn adam_steps() {
    let mut machine = trained("minimize mse(net(x), y) over net with opt", "adam(lr: 0.1)");
    run_step(&mut machine);
    near(&[weight(&machine)], &[1.9]);
    run_step(&mut machine);
    let (g1, g2): (f64, f64) = (20.0, 19.0);
    let (m, v) = (0.9 * 0.1 * g1 + 0.1 * g2, 0.999 * 0.001 * g1 * g1 + 0.001 * g2 * g2);
    let (mh, vh) = (m / (1.0 - 0.81), v / (1.0 - 0.999f64.powi(2)));
    near(&[weight(&machine)], &[1.9 - 0.1 * mh / vh.sqrt()]);
}

#[test]
fn schedules_read_the_step() {
    let mut machine = trained("minimize mse(net(x), y) over net with opt", "sgd(lr: linear(0.01, end: 0.0))");
    machine.step = 50;
    run_step(&mut machine);
    near(&[weight(&machine)], &[2.0 - 0.005 * 20.0]);
}

#[test]
fn lines_behind_minimize_see_the_new_weights() {
    let step = "minimize mse(net(x), y) over net with opt\n metric after = sum(net(x))";
    let mut machine = trained(step, "sgd(lr: 0.01)");
    let entry = machine.program.trains[0].step;
    let results = machine.call(entry, &xy());
    assert!(results.named.values().any(|value| (value.floats()[0] - 1.8 * 4.0).abs() < 1e-5));
}

#[test]
fn metrics_are_those_of_the_whole_set() {
    let step = "minimize mse(net(x), y) over net with opt
        metric ratio = sum(x) / sum(x * x)
        metric largest = max(x)
        metric share = mean(x > 1)
        metric perplexity = exp(mean(x))";
    let mut machine = trained(step, "sgd(lr: 0.0)");
    let train = machine.program.trains[0].clone();
    assert_eq!(train.metrics, ["loss", "ratio", "largest", "share", "perplexity"]);
    let batches = [xy(), [("x", f32s(&[1], &[5.0])), ("y", f32s(&[1], &[0.0]))]];
    let mut totals: Vec<(String, f64)> = Vec::new();
    for batch in &batches {
        let results = machine.call(train.eval, batch);
        for (at, combine) in train.accumulands.iter().enumerate() {
            let name = format!("sum{at}");
            let value = results.named[&name].cast(DType::F64).floats()[0];
            match totals.iter_mut().find(|(other, _)| *other == name) {
                Some((_, total)) if *combine == mlc_ir::index::Combine::Sum => *total += value,
                Some((_, total)) => *total = total.max(value),
                None => totals.push((name, value)),
            }
        }
    }
    let args: Vec<(&str, Tensor)> =
        totals.iter().map(|(name, total)| (name.as_str(), Tensor::from_f64(&[], &[*total]))).collect();
    let metrics = machine.call(train.finish, &args);
    near(&floats(&metrics, "loss"), &[4.0 * 35.0 / 3.0]);
    near(&floats(&metrics, "ratio"), &[9.0 / 35.0]);
    near(&floats(&metrics, "largest"), &[5.0]);
    near(&floats(&metrics, "share"), &[2.0 / 3.0]);
    near(&floats(&metrics, "perplexity"), &[3f64.exp()]);
}

#[test]
fn gradients_are_named_by_path() {
    let mut machine = trained("minimize mse(net(x), y) over net with opt", "sgd(lr: 0.1)");
    let grads = machine.program.trains[0].grads.expect("gradients");
    let results = machine.call(grads, &xy());
    near(&floats(&results, "w"), &[20.0]);
    near(&[weight(&machine)], &[2.0]);
}

#[test]
fn initialisers() {
    let text = "
layer L {
    param a: f32[40, 60] = glorot_uniform()
    param b: f32[3] = normal(std: 0.0, mean: 4.0)
    param c: f32[2, 2] = full(7)
    fn forward(x: f32[B, 40]) -> f32[B] { return sum(x @ a) + b[0] + c[0, 0] + zeros([B]) }
}
model M { l = L(); fc = Linear(1, init: he_normal); @export fn f(x: f32[B, 40]) -> f32[B] { return l(x) + fc(x)[:, 0] } }";
    let machine = Machine::new(outcome("t.dl", text).program(), 3);
    let of = |path: &str| machine.globals[machine.global(path)].floats().to_vec();
    let (a, limit) = (of("l.a"), (6f64 / 100.0).sqrt());
    assert!(a.iter().all(|value| value.abs() <= limit) && a.iter().any(|value| value.abs() > 0.9 * limit));
    assert!(a.iter().sum::<f64>().abs() / 2400.0 < 0.01);
    near(&of("l.b"), &[4.0; 3]);
    near(&of("l.c"), &[7.0; 4]);
    assert_eq!(of("fc.weight").len(), 40);
}

#[test]
fn equal_layers_do_not_share_weights_and_calls_do() {
    let text = "
layer Pair(C: dim) { a = Linear(C, bias: false); b = Linear(C, bias: false); fn forward(x: f32[B, In]) -> f32[B, C] { return a(x) - b(x) + a(x) } }
model M { ps = [Pair(c) for c in [3, 2]]
    @export fn f(x: f32[B, 4]) -> f32[B, 2] { for p in ps { x = p(x) } return x } }";
    let program = outcome("t.dl", text.replace("} return", "}; return").as_str()).program();
    assert_eq!(program.file_paths, ["ps.0.a.weight", "ps.0.b.weight", "ps.1.a.weight", "ps.1.b.weight"]);
    let machine = Machine::new(program, 0);
    let of = |path: &str| machine.globals[machine.global(path)].floats().to_vec();
    assert_ne!(of("ps.0.a.weight"), of("ps.0.b.weight"));
}

#[test]
fn dropout_draws_anew_in_each_step_and_call() {
    let text = "
model M { param w: f32[64] = 1; fn forward(x: f32[B, 64]) -> f32[B, 64] { return dropout(x * w, 0.5) } }
train t {
    net = M()
    opt = sgd(lr: 0.0)
    step(x: f32[B, 64]) { minimize mean(net(x)) over net with opt; metric same = mean(net(x) == net(x)) }
}";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 5);
    let train = machine.program.trains[0].clone();
    let batch = [("x", f32s(&[1, 64], &[1.0; 64]))];
    let share = |machine: &mut Machine, entry: usize| -> Vec<f64> {
        let results = machine.call(entry, &batch);
        results.named.values().map(|value| value.cast(DType::F64).floats()[0]).collect()
    };
    let first = share(&mut machine, train.step);
    machine.step = 1;
    let second = share(&mut machine, train.step);
    assert_ne!(first, second);
    assert!(share(&mut machine, train.eval).contains(&64.0));
}

#[test]
fn constants_from_the_command_line() {
    let text = "
const N = 3
model M(V: dim, K: dim = 2) { @export fn f(x: f32[B]) -> f32[B] { return x * N + V * K } }";
    let without = outcome("t.dl", text).program();
    assert!(without.functions.is_empty());
    assert_eq!(without.not_exported[0].0, "f");
    let with = outcome_with("t.dl", text, &[("N", "5"), ("M.V", "10")]).program();
    let mut machine = Machine::new(with, 0);
    let entry = machine.function("f");
    let results = machine.call(entry, &[("x", f32s(&[1], &[1.0]))]);
    near(&floats(&results, "out"), &[25.0]);
    let wrong = outcome_with("t.dl", text, &[("Q", "5")]);
    assert_eq!(wrong.errors().len(), 1);
}

#[test]
fn requirements_become_facts() {
    let text = "
model M {
    @export fn f(x: f32[B, H, W, 1]) -> f32[B, H / 2, W / 2, 1] requires H % 4 == 0, W % 4 == 0 { return max_pool(x, 2) }
    @export fn g(x: f32[A], y: f32[B]) -> f32[A] requires A == B { return x + y }
    @export fn h(x: f32[T]) -> f32[T] requires T <= 8 { return x }
}";
    let program = outcome("t.dl", text).program();
    mlc_ir::verify::verify(&program.graph).unwrap();
    assert_eq!(program.graph.entries[program.functions[2].entry].checks.len(), 1);
}

#[test]
fn an_annotation_is_checked_when_the_program_runs() {
    let text = "model M { @export fn f(x: f32[B, T]) -> f32[B, 4] { y: f32[B, 4] = x; return y + ones([4]) } }";
    let program = outcome("t.dl", text).program();
    let entry = program.functions[0].entry;
    assert_eq!(program.graph.entries[entry].checks.len(), 1);
    let mut machine = Machine::new(program, 0);
    let results = machine.call(entry, &[("x", f32s(&[1, 4], &[1.0, 2.0, 3.0, 4.0]))]);
    near(&floats(&results, "out"), &[2.0, 3.0, 4.0, 5.0]);
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
        let holds = mlc_ir::interp::run(&graph, *condition, &[zero.clone(), zero], &[]);
        assert_eq!(holds[0].ints(), [1]);
    }
}

#[test]
fn two_instances_have_prefixes() {
    let text = "
model G(Z: dim = 2) { fc = Linear(3); @export fn forward(z: f32[B, Z]) -> f32[B, 3] { return fc(z) } }
model D { fc = Linear(1); fn forward(x: f32[B, 3]) -> f32[B, 1] { return fc(x) } }
train gan {
    g = G()
    d = D()
    g_opt = adam(lr: 2e-4, beta1: 0.5)
    d_opt = adam(lr: 2e-4, beta1: 0.5)
    step(real: f32[B, 3]) {
        fake   = g(normal([B, 2]))
        d_loss = bce_logits(d(real), 1) + bce_logits(d(fake), 0)
        g_loss = bce_logits(d(fake), 1)
        minimize d_loss over d with d_opt
        minimize g_loss over g with g_opt
    }
}";
    let program = outcome("t.dl", text).program();
    assert_eq!(program.trains[0].metrics, ["loss", "d_loss", "g_loss"]);
    let paths = &program.file_paths;
    assert!(
        paths.contains(&"g.fc.weight".to_string()) && paths.contains(&"d_opt.m.d.fc.bias".to_string()),
        "{paths:?}"
    );
    let mut machine = Machine::new(program, 0);
    let step = machine.program.trains[0].step;
    machine.call(step, &[("real", f32s(&[2, 3], &[0.5; 6]))]);
}
