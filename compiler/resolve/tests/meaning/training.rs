//! Steps, metrics, optimizers (rules 23 to 27).

use crate::common::outcome;
use crate::run::{Machine, floats};
use crate::values::{f32s, near};
use mlc_ir::graph::GlobalKind;
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::DType;

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
