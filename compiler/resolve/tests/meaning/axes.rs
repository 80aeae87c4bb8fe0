//! Axes by name and label, products, letters (rules 7, 9, 11).

use crate::common::outcome;
use crate::values::{f32s, near, six, value};

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
