//! `grad f` (rule 29): what the program gives for the arguments, and what the weights of layers get.

use crate::common::outcome;
use crate::run::{Machine, floats};
use crate::values::near;
use mlc_ir::tensor::Tensor;
use std::collections::BTreeMap;

/// A training of `net = M()` on `x: f64[4, 3]`.
fn machine(declarations: &str, loss: &str) -> Machine {
    let text = format!(
        "{declarations}\ntrain t {{ net = M(); opt = sgd(lr: 0.0); step(x: f64[4, 3]) {{ minimize {loss} over net with opt }} }}"
    );
    Machine::new(outcome("t.dl", &text).program(), 11)
}

fn batch() -> [(&'static str, Tensor); 1] {
    let values: Vec<f64> = (0..12).map(|at| f64::from(at * 7 % 11) / 5.0 - 1.0).collect();
    [("x", Tensor::from_f64(&[4, 3], &values))]
}

/// The gradients of all parameters, by path.
fn gradients(machine: &mut Machine) -> BTreeMap<String, Vec<f64>> {
    let entry = machine.program.trains[0].grads.expect("gradients");
    let results = machine.call(entry, &batch());
    results.named.keys().map(|name| (name.clone(), floats(&results, name))).collect()
}

fn loss(machine: &mut Machine) -> f64 {
    let entry = machine.program.trains[0].eval.entry;
    let results = machine.call(entry, &batch());
    floats(&results, "sum0")[0] / floats(&results, "sum1")[0]
}

/// The gradients by central differences.
fn differences(machine: &mut Machine) -> BTreeMap<String, Vec<f64>> {
    const STEP: f64 = 1e-6;
    let mut all = BTreeMap::new();
    for at in 0..machine.globals.len() {
        let (path, first) = (machine.program.graph.globals[at].path.to_string(), machine.globals[at].clone());
        let slope = |element: usize, machine: &mut Machine| {
            let mut moved = |by: f64| {
                let mut values = first.floats().to_vec();
                values[element] += by;
                machine.globals[at] = Tensor::from_f64(&first.shape, &values);
                loss(machine)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
        };
        let slopes = (0..first.floats().len()).map(|element| slope(element, machine)).collect();
        machine.globals[at] = first;
        all.insert(path, slopes);
    }
    all
}

#[track_caller]
fn agree(found: &BTreeMap<String, Vec<f64>>, wanted: &BTreeMap<String, Vec<f64>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (path, values) in found {
        let close = values.iter().zip(&wanted[path]).all(|(a, b)| (a - b).abs() <= 1e-7 + 1e-5 * b.abs());
        assert!(close && values.len() == wanted[path].len(), "{path}: {values:?}, and {:?} is wanted", wanted[path]);
        assert!(values.iter().any(|value| value.abs() > 1e-4), "{path} tells nothing: {values:?}");
    }
}

const SQUASH: &str = "fn squash(inner: fn, x: f64[B, D]) -> f64[B, D] { return tanh(inner(x)) }\n";

/// The right gradient by `x`, times `factor`.
fn squash_grad(factor: &str) -> String {
    format!(
        "grad squash(inner: fn, x: f64[B, D], y: f64[B, D], dy: f64[B, D]) {{
            return {factor} * gradient(sum(dy * tanh(inner(x))), x)
        }}\n"
    )
}

const NET: &str = "
model M {
    param shift: f64[3] = normal()
    fc = Linear(3)
    fn forward(x: f64[B, 3]) -> f64[B, 3] { return squash(fc, x + shift) }
}";

#[test]
fn weights_of_a_layer_get_their_own() {
    let mut machine = machine(&format!("{SQUASH}{}{NET}", squash_grad("1")), "sum(net(x) * net(x) * x)");
    let wanted = differences(&mut machine);
    agree(&gradients(&mut machine), &wanted);
}

#[test]
fn arguments_get_what_the_program_gives() {
    let mut right = machine(&format!("{SQUASH}{NET}"), "sum(net(x) * net(x))");
    let mut wanted = gradients(&mut right);
    wanted.get_mut("shift").expect("a parameter").iter_mut().for_each(|slope| *slope *= -3.0);
    let mut given = machine(&format!("{SQUASH}{}{NET}", squash_grad("-3")), "sum(net(x) * net(x))");
    agree(&gradients(&mut given), &wanted);
}

#[test]
fn the_same_through_loops_states_and_second_gradients() {
    let nets = [
        // The same layer in each pass, and what it gives handed on.
        "model M {
            param shift: f64[3] = normal()
            fc = Linear(3)
            fn forward(x: f64[B, 3]) -> f64[B, 3] {
                h = x + shift
                for i in 0..3 { h = squash(fc, h) + x }
                return h
            }
        }",
        // Another layer in each pass.
        "model M {
            param shift: f64[3] = normal()
            fcs = [Linear(3); 3]
            fn forward(x: f64[B, 3]) -> f64[B, 3] {
                h = x + shift
                for fc in fcs { h = squash(fc, h) }
                return h
            }
        }",
        // States are updated once, by the body.
        "layer Counted {
            param w: f64[3] = normal()
            state mean: f64[3] = 0
            fn forward(x: f64[B, 3]) -> f64[B, 3] {
                mean = 0.5 * mean + 0.5 * sum(x * w, axis: 0)
                return x * w + mean
            }
        }
        model M {
            param shift: f64[3] = normal()
            one = Counted()
            fn forward(x: f64[B, 3]) -> f64[B, 3] { return squash(one, squash(one, x) + shift) }
        }",
    ];
    for net in nets {
        let mut plain = machine(&format!("{SQUASH}{net}"), "sum(net(x) * x)");
        let mut given = machine(&format!("{SQUASH}{}{net}", squash_grad("1")), "sum(net(x) * x)");
        agree(&gradients(&mut given), &gradients(&mut plain));
        let step = plain.program.trains[0].step;
        plain.call(step, &batch());
        given.call(step, &batch());
        for (a, b) in plain.globals.iter().zip(&given.globals) {
            near(a.floats(), b.floats());
        }
    }
    let penalty = "
    fn penalty(net: fn, x: f64[B, D]) -> f64 { g = gradient(sum(net(x)), x); return sum(g * g) }\n";
    let mut plain = machine(&format!("{SQUASH}{penalty}{NET}"), "penalty(net, x)");
    let mut given = machine(&format!("{SQUASH}{}{penalty}{NET}", squash_grad("1")), "penalty(net, x)");
    agree(&gradients(&mut given), &gradients(&mut plain));
}

/// The slopes of `sum(y * x)` at `x`, where `y` is `value`.
fn slopes(declarations: &str, value: &str) -> Vec<f64> {
    let net = "model M {
        param p: f64[2] = linspace(1, -2, 2)
        fn forward(x: f64[B, 3]) -> f64 { x = p; return sum(VALUE) }
    }";
    let net = net.replace("VALUE", value);
    gradients(&mut machine(&format!("{declarations}{net}"), "net(x)")).remove("p").expect("a parameter")
}

#[test]
fn bodies_without_work_and_calls_that_are_equal() {
    let reversed = "fn flip(x: f64[*S]) -> f64[*S] { return x }
        grad flip(x: f64[*S], y: f64[*S], dy: f64[*S]) { return -dy }\n";
    near(&slopes(reversed, "flip(x)"), &[-1.0, -1.0]);
    near(&slopes(reversed, "flip(flip(x)) * 2"), &[2.0, 2.0]);
    let steep = "fn steep(x: f64[*S]) -> f64[*S] { return where(x > 0, 1, 0) }
        grad steep(x: f64[*S], y: f64[*S], dy: f64[*S]) { return 3 * dy }\n";
    near(&slopes(steep, "steep(x) + steep(x)"), &[6.0, 6.0]);
    // The body's nodes are there already.
    near(&slopes(steep, "where(x > 0, 1, 0) * x + steep(x)"), &[4.0, 3.0]);
}

#[test]
fn index_checks_of_a_gradient_count() {
    let text = "
fn picked(x: f32[N], at: i32[K]) -> f32[N] { return x * 2 }
grad picked(x: f32[N], at: i32[K], y: f32[N], dy: f32[N]) { return dy * sum(y[at]) }
model M { param w: f32[3] = 1; fn forward(at: i32[K]) -> f32[3] { return picked(w, at) } }
train t { net = M(); opt = sgd(lr: 0.5); step(at: i32[K]) { minimize sum(net(at)) over net with opt } }";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 0);
    let train = machine.program.trains[0].clone();
    let at = |values: &[i32]| [("at", Tensor::from_i32(&[values.len()], values))];
    let fine = machine.call(train.grads.expect("gradients"), &at(&[2, 0]));
    near(&floats(&fine, "w"), &[4.0, 4.0, 4.0]);
    assert!(fine.faults.iter().all(|fault| *fault == i64::from(i32::MAX)), "{:?}", fine.faults);
    for entry in [train.step, train.grads.expect("gradients")] {
        let wrong = machine.call(entry, &at(&[2, 7]));
        assert!(wrong.faults.contains(&1), "{:?}", wrong.faults);
    }
    // No gradient is taken in an evaluation.
    assert!(machine.call(train.eval.entry, &at(&[2, 7])).faults.is_empty());
}
