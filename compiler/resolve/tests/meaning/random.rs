//! Draws and initial values (rule 21).

use crate::common::outcome;
use crate::run::Machine;
use crate::values::{f32s, near, value};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::DType;

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

/// In a loop, unrolled or not, and at another place a draw with a seed of its own is the same one.
#[test]
fn a_seed_of_its_own_fixes_a_draw() {
    let same = |body: &str| {
        near(&value(&format!("(x: f32[4]) -> f32[4] {{ {body} }}"), &[("x", f32s(&[4], &[0.0; 4]))]), &[0.0; 4])
    };
    same("return x + uniform([4], seed: 7) - uniform([4], seed: 7)");
    same("for i in 0..3 { x = x + normal([4], seed: 7) }; return x - 3 * normal([4], seed: 7)");
    same("for a in [2, 1] { x = x + a * normal([4], seed: 7) }; return x - 3 * normal([4], seed: 7)");
    same("a = permutation(4, seed: 1); return x + cast(permutation(4, seed: 1) - a, f32)");
    let draws = value(
        "(x: f32[4]) -> f32[4] { return uniform([4], seed: 7) - uniform([4], seed: 8) + x }",
        &[("x", f32s(&[4], &[0.0; 4]))],
    );
    assert!(draws.iter().any(|difference| difference.abs() > 1e-3));
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
    assert!(share(&mut machine, train.eval.entry).contains(&64.0));
}
