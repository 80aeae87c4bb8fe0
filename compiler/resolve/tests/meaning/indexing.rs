//! Parts of tensors, read and assigned (rule 10).

use crate::common::outcome;
use crate::run::{Machine, floats};
use crate::values::{f32s, near, six, value};
use mlc_ir::tensor::Tensor;

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
    near(&of("i: i32[K]", "x[:, i] *= 3", &[0, 2]), &[3.0, 2.0, 27.0, 12.0, 5.0, 54.0]);
    near(&of("i: i32[K]", "x[:, i] *= cast(iota(K) + 1, f32)", &[0, 2]), &[2.0, 2.0, 9.0, 8.0, 5.0, 18.0]);
    near(&of("i: i32[K]", "x[0, i] /= 2", &[0, 2]), &[0.5, 2.0, 0.75, 4.0, 5.0, 6.0]);
    near(&of("at: i32, i: i32[K]", "x[at, i] *= 2", &[0, 1, 2]), &[1.0, 2.0, 3.0, 8.0, 5.0, 24.0]);
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
    near(&slopes("y[i] *= v", [3, 3]), &[1.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
    near(&slopes("y[i] *= 2 * v", [3, 0]), &[2.0, 2.0, 3.0, 8.0, 8.0, 2.0]);
    near(&slopes("y[i] /= v", [2, 2]), &[1.0, 2.0, 3.0, 4.0, -3.0, -3.0]);
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
