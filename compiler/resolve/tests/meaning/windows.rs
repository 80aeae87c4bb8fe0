//! Convolution and pooling.

use crate::common::outcome;
use crate::run::{Machine, floats};
use crate::slopes::slope;
use crate::values::{f32s, near, value};

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
