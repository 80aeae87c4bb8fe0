//! `gradient` in the bodies of run-time loops, by values that earlier passes used too: as in the unrolled loop.

use crate::common::outcome;
use crate::grads::check_gradients;
use crate::run::Machine;
use crate::values::{f32s, near, numbers};
use mlc_ir::interp;
use mlc_ir::ops::Op;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::{Check, Program};

/// A function of two tensors with a loop of five passes over `PASSES`.
const FUNCTION: &str = "
model M {
    @export
    fn f(x: f32[5, 3], w: f32[3, 3]) -> (first: f32[3], last: f32[3], s: f32) { return loop(x, w) }
}
fn loop(x: float[5, 3], w: float[3, 3]) -> (float[3], float[3], float) {
    h = mean(x, axis: 0)
    g = zeros([3])
    s = sum(x) * 0.1
    c = 0
    BODY
    return h, g, s
}
fn slope(h: float[3], w: float[3, 3]) -> float[3, 3] { return gradient(sum(sin(h)), w) }
test \"gradients\" { check_grad(loop, x: normal([5, 3], seed: 1), w: normal([3, 3], seed: 2)) }
";

/// A loop of five passes while a condition holds, and the same without a loop; loops of two or three passes in it
/// are unrolled there too.
fn programs(condition: &str, body: &str) -> [Program; 2] {
    let (pause, branch) = match condition {
        "" => (String::new(), body.to_string()),
        condition => (format!("while {condition}"), format!("if {condition} {{ {body} }}")),
    };
    let looped = FUNCTION.replace("BODY", &format!("CHECKED for t in 0..5 {pause} {{ {body} }}"));
    let branch = branch.replace("in 0..2 {", "in [0, 1] {").replace("in 0..3 {", "in [0, 1, 2] {");
    let unrolled = FUNCTION.replace("BODY", &format!("for t in [0, 1, 2, 3, 4] {{ {branch} }}"));
    let checked = if body.contains("@checkpoint") { "@checkpoint" } else { "" };
    [looped, unrolled]
        .map(|text| outcome("t.dl", &text.replace("CHECKED", checked).replace("# @checkpoint", "")).program())
}

/// Whether the function `f` has the loop, and did not unroll it.
fn has_its_loop(program: &Program) -> bool {
    let region = program.graph.region(program.graph.entries[program.functions[0].entry].region);
    region.nodes.iter().any(|node| matches!(&node.op, Op::Loop(op) if op.trip.bound().is(5)))
}

fn results(program: Program) -> Vec<f64> {
    let mut machine = Machine::new(program, 0);
    let entry = machine.function("f");
    let some = |count: usize| (0..count).map(|at| ((at * 7 % 11) as f32 - 5.0) / 6.0).collect::<Vec<f32>>();
    let found = machine.call(entry, &[("x", f32s(&[5, 3], &some(15))), ("w", f32s(&[3, 3], &some(9)))]);
    found.named.values().flat_map(numbers).collect()
}

#[test]
fn as_in_the_unrolled_loop() {
    let cases = [
        // By what the loop starts from.
        ("", "h = tanh(h * 0.7 + x[1]); g = gradient(sum(h * h), x)[1]; s += sum(g * g)"),
        // By weights, from a function.
        ("", "h = tanh(h @ w + x[t]); k = slope(h, w); g = g + k[0] * k[1]; s += sum(k * k)"),
        // By all rows, by the row of the pass, and by several at once.
        (
            "",
            "r = x[t]
             h = tanh(h @ w + r)
             all = gradient(sum(h * h), x)
             own, k, both = gradient(sum(h) * h[0], (r, w, x))
             g = g + own * sum(k) + all[0]
             s += sum(all * both)",
        ),
        // Of gradients.
        (
            "",
            "h = tanh(h @ w + x[t])
             k = gradient(sum(h * h), w)
             twice = gradient(sum(sin(k)), w)
             own = gradient(sum(twice * k), h)
             thrice = gradient(sum(twice * k), x)
             g = g + own * thrice[0]
             s += sum(twice * twice) + sum(thrice)",
        ),
        // In a branch, and behind one.
        (
            "",
            "if h[0] > -0.2 { h = sin(h @ w) } else { h = h + x[t] }
             if h[1] > 0 { g = g + gradient(sum(h * h), w)[1] }
             s += sum(gradient(h[2], x))",
        ),
        // The number of passes is known when it runs.
        ("t < 3", "h = tanh(h @ w + x[t]); g = g + gradient(sum(h * h), w)[0]"),
        ("s < 0.9", "h = tanh(h @ w + x[t]); g = g + gradient(sum(h * h), w)[0]; s += sum(h * h)"),
        // The condition depends on the gradients, what they go through does not.
        ("sum(g * g) < 4", "h = tanh(h @ w + x[t]); g = g + gradient(sum(h * h), w)[0]"),
        // Computed again for the gradient.
        ("", "h = tanh(h @ w + x[t]); g = g + gradient(sum(h * h), w)[0] # @checkpoint"),
        // Loops in the loop: an unrolled one, one that knows nothing of the gradient, one that it goes through.
        (
            "",
            "for u in [0.3, 0.5] { h = sin(h @ w) + u * x[t]; g = g + gradient(sum(h * h), w)[0] }
             for u in 0..4 { h = h + 0.1 * sin(h) }
             z = h * x[t]
             y = z
             for u in 0..4 while u < 3 { y = sin(y @ w) + z; g = g + gradient(sum(y * y), z) }
             s += sum(gradient(sum(y), z))",
        ),
        // Random draws are those of the pass.
        ("", "h = tanh(h @ w + uniform([3]) * x[t]); s += sum(gradient(sum(h * h), w))"),
        // Gradients of what gradients of earlier passes were added to, three times over.
        (
            "",
            "h = tanh(h @ w + x[t])
             g = sin(g + gradient(sum(h * h), w)[0])
             k = gradient(sum(g * h), w)
             s = s * 0.9 + sum(k * k)
             h = h * 0.9",
        ),
        (
            "",
            "h = tanh(h @ w + x[t])
             g = sin(g + gradient(sum(h * h), w)[0])
             s = 0.3 * s + cos(s + sum(gradient(sum(g), x)))
             z = gradient(s, w)
             y = z[0] * z[1]
             h = h * 0.9",
        ),
        (
            "t < 3",
            "h = tanh(h @ w + x[t]); g = g * 0.5 + gradient(sum(h * h), w)[0]; s += sum(gradient(sum(g * g), x))",
        ),
        // Through the passes of two loops, and of three.
        ("", "for u in 0..3 { h = tanh(h @ w + u * x[t]); g = g + gradient(sum(h * h), w)[0] }"),
        ("", "for u in 0..9 while u < t { h = tanh(h @ w + u * x[t]); g = g + gradient(sum(h * h), w)[0] }"),
        (
            "s < 2",
            "for u in 0..9 while s < t { h = tanh(h @ w + u * x[t]); g = g + gradient(sum(h * h), x)[t]; s += 0.4 }",
        ),
        (
            "",
            "y = x[t]
             for u in 0..3 {
                 y = sin(y @ w) + h
                 k, own = gradient(sum(y * y), (w, h))
                 s += sum(k * k) * own[0]
             }
             h = y * 0.5
             g = g + gradient(sum(sin(h)), w)[0]",
        ),
        (
            "",
            "for u in 0..2 {
                 h = sin(h @ w) + 0.1 * x[t]
                 for v in 0..2 {
                     h = h + 0.3 * sin(h * x[u + v])
                     k = gradient(sum(h * h), w)
                     g = g + k[0] * gradient(sum(h), x)[1]
                     s += sum(gradient(sum(sin(k)), w))
                 }
             }",
        ),
        // In an inner scan, and in a branch of an inner loop.
        (
            "",
            "h, ks = scan y = h for r in x[0:3] along 0 { y = tanh(y @ w + r); yield gradient(sum(y * y), w) }
             g = g + sum(ks, axis: 0)[0]",
        ),
        (
            "",
            "for u in 0..3 {
                 if h[0] > -0.2 { h = sin(h @ w); g = g + gradient(sum(h * h), w)[1] } else { h = h + x[t] }
             }",
        ),
        // Of what gradients of inner passes were added to.
        (
            "",
            "for u in 0..2 { h = tanh(h @ w + x[t]); g = sin(g + gradient(sum(h * h), w)[0]) }
             s += sum(gradient(sum(g), x))",
        ),
        // By what the loop hands on, as in learning to learn.
        (
            "",
            "h = h - 0.2 * gradient(sum(sin(h @ w) * x[t]), h)
             k, q = gradient(sum(h * sin(h @ w)), (w, h))
             g = g * 0.5 + h * k[0]
             s += sum(h * g) + k[0, 0] * q[1]",
        ),
        (
            "s < 0.9",
            "for u in 0..3 { h = h - 0.2 * gradient(sum(sin(h @ w) * x[u]), h); g = g + gradient(sum(h * h), w)[u] }
             s += sum(h * h)",
        ),
        // Not every pass has a path to `w`.
        ("", "g = g + gradient(sum(sin(h) * x[t]), w)[0]; h = tanh(h @ w + x[t])"),
        (
            "",
            "y = x[t]
             for u in 0..3 { y = sin(y @ w) + h }
             g = g + gradient(sum(sin(h)), w)[0]
             h = y * 0.5",
        ),
        // What is handed on does not depend on `x`.
        ("", "h = h * 0; s += sum(gradient(sum((h + 2) * x), x))"),
    ];
    for (condition, body) in cases {
        let [looped, unrolled] = programs(condition, body);
        assert!(has_its_loop(&looped), "{body}");
        check_gradients(&looped);
        println!("{condition} {body}");
        near(&results(looped), &results(unrolled));
    }
}

/// What gradients give is handed on to the passes that the next one goes through: each pass has code of its own.
#[test]
fn gradients_that_feed_the_passes_they_go_through() {
    let cases = [
        ("", "h = tanh(h + x[t]); h = h - 0.1 * gradient(sum(h * h), x)[t]"),
        ("t < 3", "h = tanh(h @ w + x[t]); h = h - 0.1 * gradient(sum(h * h * x[0]), w)[0]"),
        ("s < 1", "h = tanh(h @ w); h = h - 0.1 * gradient(sum(h * h * x[t]), w)[0]; s += 0.3 + 0.1 * sum(h * h)"),
        ("", "h = tanh(h @ w + x[t]); h = h - 0.1 * gradient(sum(h * h), w)[0] # @checkpoint"),
        (
            "",
            "y, ks = scan y = x[t] for r in x[0:3] along 0 { y = y - 0.1 * gradient(sum(y * y * r @ w), w)[1]; yield y * r }
             h = tanh(h @ w + y)
             g = g + ks[0] * ks[2] + gradient(sum(h * h), w)[0]",
        ),
        ("", "g = sin(g + gradient(sum(h * h), x)[t]); h = tanh(h @ w + g)"),
        ("c < 4", "h = tanh(h + x[t]); h = h - 0.1 * gradient(sum(h * h), x)[t]; c += 1"),
    ];
    for (condition, body) in cases {
        let [looped, unrolled] = programs(condition, body);
        check_gradients(&looped);
        println!("{condition} {body}");
        near(&results(looped), &results(unrolled));
    }
}

/// What gradients give is handed on as a constant, so that the next one goes through it as such: the loop stays.
#[test]
fn gradients_that_are_constants_for_later_ones() {
    let text = |passes: &str, body: &str| {
        format!(
            "model M {{
                @export
                fn f(x: f32[5, 3], w: f32[3, 3]) -> (h: f32[3], by_x: f32[5, 3], by_w: f32[3, 3], s: f32) {{
                    h = x[4]
                    s = sum(w)
                    c = 0
                    for t in {passes} {{ {body} }}
                    y = sum(h * h) + sin(s)
                    return h, gradient(y, x), gradient(y, w), s
                }}
            }}"
        )
    };
    let bodies = [
        "h = tanh(h @ w + x[t]); h = h - 0.1 * stop_gradient(gradient(sum(h * h), w)[0])",
        "h = tanh(h @ w + x[t]); h = h - 0.1 * sign(gradient(sum(h * h), x)[t]); c += 1",
        "h = tanh(h @ w + x[t])
         k, r = gradient(sum(h * h * x[t]), (w, x))
         if k[0, 0] > 0.1 { h = h * 0.5 } else { h = h + w[1] }
         h = h - stop_gradient(r[0])",
        // Gradients of what they were added to.
        "h = tanh(h @ w + x[t])
         k = gradient(sum(h * h), w)
         h = h - 0.1 * stop_gradient(k[0])
         s = 0.5 * s + sum(k * k) + sum(gradient(sum(k[1]), x))",
        "h = tanh(h @ w + x[t])
         k = gradient(sum(h * h), w)
         h = h - 0.1 * stop_gradient(k[0])
         c += 1
         s = 0.5 * s + sum(k * k) + stop_gradient(sum(gradient(sin(s), w)))",
        // In a branch, and beside an inner loop.
        "for u in 0..2 { h = tanh(h @ w + x[t]) }
         if h[0] > 0 { h = h - 0.1 * stop_gradient(gradient(sum(h * h), w)[0]) }
         for u in 0..2 { h = h + 0.1 * sin(gradient(sum(cos(h)), h)) }
         s += sum(gradient(sum(h), x))",
    ];
    for body in bodies {
        println!("{body}");
        let looped = |passes: &str| outcome("t.dl", &text(passes, body)).program();
        assert!(has_its_loop(&looped("0..5")), "{body}");
        let expected = results(looped("[0, 1, 2, 3, 4]"));
        assert!(expected.iter().filter(|slope| **slope != 0.0).count() > 18);
        near(&results(looped("0..5")), &expected);
        near(&results(looped("0..5 while sum(h * h) < 99")), &expected);
    }
}

/// What only moves elements or has the same number everywhere is asked about behind loops, branches and
/// checkpoints that use it, as in code without them.
#[test]
fn by_values_that_cost_nothing() {
    const FUNCTION: &str = "
model M {
    @export
    fn f(x: f32[5, 3], w: f32[3, 3]) -> (a: f32[3, 3], b: f32[3]) {
        v = transpose(w)
        c = full([3], 0.25, dtype: f32)
        h = x[0]
        BODY
        return gradient(sum(h * h) + sum(v), v), gradient(sum(h), c)
    }
    @checkpoint
    fn kept(h: f32[3], v: f32[3, 3], c: f32[3]) -> f32[3] { return tanh(h @ v + c) }
}";
    let value = |body: &str| results(outcome("t.dl", &FUNCTION.replace("BODY", body)).program());
    let expected = value("for t in [0, 1, 2] { h = tanh(h @ v + c) }");
    assert!(expected.iter().all(|slope| *slope != 0.0));
    for body in [
        "for t in 0..3 { h = tanh(h @ v + c) }",
        "for t in 0..9 while t < 3 { h = tanh(h @ v + c) }",
        "for t in [0, 1, 2] { if x[1, 1] < 9 { h = tanh(h @ v + c) } }",
        "for t in 0..3 { if x[1, 1] < 9 { h = tanh(h @ v + c) } }",
        "for t in 0..3 { h = kept(h, v, c) }",
        "@checkpoint for t in 0..3 { h = tanh(h @ v + c) }",
        "for t in [0, 1, 2] { for u in 0..1 while u < 9 { h = tanh(h @ v + c) } }",
    ] {
        near(&value(body), &expected);
    }
}

/// In tests the weights of layers are made where they are first read, which may be in a loop.
#[test]
fn by_the_first_values_of_tests() {
    let text = |passes: &str| {
        format!(
            "layer L {{
                param w: f32[D] = 0.7
                state s: f32[D] = 0.25
                fn forward(x: f32[D]) -> f32[D] {{
                    g = zeros([D])
                    for n in {passes} {{
                        s = tanh(s + w * x)
                        g = g + gradient(sum(sin(s * x)), w)
                    }}
                    return g
                }}
            }}
            test \"sums\" {{ print(L()(ones([2]) * 1.5)) }}"
        )
    };
    let shown = |passes: &str| {
        let program = outcome("t.dl", &text(passes)).program();
        let Some(Check::Print { value: Some(value), .. }) = program.tests[0].checks.first() else { panic!("a print") };
        let zero = Tensor::from_i64(&[], &[0]);
        numbers(&interp::run(&interp::to_f64(&program.graph), value.region, &[zero.clone(), zero], &[])[0])
    };
    let found = shown("0..5");
    // By hand: the state after each pass, and its derivative.
    let (mut s, mut ds, mut sum) = (0.25f64, 0.0f64, 0.0);
    for _ in 0..5 {
        s = (s + 0.7 * 1.5).tanh();
        ds = (1.0 - s * s) * (ds + 1.5);
        sum += (s * 1.5).cos() * 1.5 * ds;
    }
    near(&found, &[sum, sum]);
    near(&shown("[0, 1, 2, 3, 4]"), &found);
}

/// A function with a gradient of its own takes a gradient by a weight, through what its layer remembers of earlier
/// passes; other gradients go through the function, and through its layer's weights.
#[test]
fn from_functions_with_gradients_of_their_own() {
    let text = |passes: &str| {
        format!(
            "layer Memory {{
                param w: f32[D] = 0.7
                state seen: f32[D] = 0.25
                fn forward(x: f32[D]) -> f32[D] {{
                    seen = tanh(seen + w * x)
                    return seen
                }}
            }}
            fn slope(m: fn, x: f32[D], k: f32[D]) -> f32[D] {{ return gradient(sum(m(x * k) * x), m.w) * k }}
            grad slope(m: fn, x: f32[D], k: f32[D], y: f32[D], dy: f32[D]) {{ return dy * k, dy * y }}
            model M {{
                memory = Memory()
                @export
                fn f(x: f32[5, 3], w: f32[3, 3]) -> (g: f32[3], by_x: f32[5, 3], by_w: f32[3], s: f32[3]) {{
                    g = w[0]
                    s = w[1]
                    for n in {passes} {{
                        g = 0.9 * g + slope(memory, x[n], x[n] + w[2])
                        s = sin(s + g)
                    }}
                    y = sum(g * g) + sum(s)
                    return g, gradient(y, x), gradient(y, memory.w), s
                }}
            }}"
        )
    };
    let value = |passes: &str| results(outcome("t.dl", &text(passes)).program());
    let expected = value("[0, 1, 2, 3, 4]");
    assert!(has_its_loop(&outcome("t.dl", &text("0..5")).program()));
    assert!(expected.iter().filter(|slope| **slope != 0.0).count() > 20);
    for passes in ["0..5", "0..5 while n < 7", "0..9 while n < 5"] {
        near(&value(passes), &expected);
    }
}

/// Where a branch is not taken and a loop makes no pass, values stay what they were, and so do gradients by what
/// they were made of, whatever would have taken their place.
#[test]
fn what_might_have_been_replaced_keeps_its_gradient() {
    let bodies = [
        "h = x * 2; if sum(x) > 100 { h = ones([3]) }; return sum(h * h)",
        "h = x * 2; if sum(x) < 100 { s = 0 } else { h = round(x) }; return sum(h * h)",
        "h = x * 2; for t in 0..4 while sum(x) > 100 { h = ones([3]) }; return sum(h * h)",
        "h = x * 2
         for t in 0..4 { if t > 1 and sum(x) > 100 { h = ones([3]) } else { h = sin(h) } }
         return sum(h * h)",
        "h = x * 2; if sum(x) > 100 { h = ones([3]) }; g = gradient(sum(h * h * h), x); return sum(sin(g))",
    ];
    for body in bodies {
        let text = format!(
            "fn f(x: float[3]) -> float {{ {body} }}
             test \"gradients\" {{ check_grad(f, x: normal([3], seed: 1)) }}"
        );
        check_gradients(&outcome("t.dl", &text).program());
    }
}
