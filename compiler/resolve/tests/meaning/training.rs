//! Steps, metrics, optimizers (rules 23 to 27).

use crate::common::outcome;
use crate::run::{Machine, Results, floats};
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

/// The metrics of an evaluation over batches.
fn evaluated(machine: &mut Machine, batches: &[[(&'static str, Tensor); 2]]) -> Results {
    let eval = machine.program.trains[0].eval.clone();
    let mut totals: Vec<(String, f64)> = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        machine.batch = Some(number as i64);
        let results = machine.call(eval.entry, batch);
        for (at, combine) in eval.tally.accumulands.iter().enumerate() {
            let name = format!("sum{at}");
            let value = results.named[&name].cast(DType::F64).floats()[0];
            match totals.iter_mut().find(|(other, _)| *other == name) {
                Some((_, total)) if *combine == mlc_ir::index::Combine::Sum => *total += value,
                Some((_, total)) => *total = total.max(value),
                None => totals.push((name, value)),
            }
        }
    }
    machine.batch = None;
    let args: Vec<(&str, Tensor)> =
        totals.iter().map(|(name, total)| (name.as_str(), Tensor::from_f64(&[], &[*total]))).collect();
    machine.call(eval.tally.finish, &args)
}

#[test]
fn losses_that_only_dropout_tells_apart() {
    let step = "a = mse(dropout(net(x), 0.5), y)
        b = mse(dropout(net(x), 0.5), y)
        minimize a + b over net with opt
        metric first = a
        metric second = b";
    let mut machine = trained(step, "sgd(lr: 0.0)");
    let train = machine.program.trains[0].clone();
    let results = machine.call(train.step, &[("x", f32s(&[64], &[1.0; 64])), ("y", f32s(&[64], &[0.0; 64]))]);
    let sums: Vec<f64> = results.named.values().map(|sum| sum.cast(DType::F64).floats()[0]).collect();
    assert_eq!(train.tally.accumulands.len(), sums.len());
    assert!(sums.iter().any(|a| sums.iter().any(|b| a != b && *a != 64.0 && *b != 64.0)), "two masks: {sums:?}");
    let metrics = evaluated(&mut machine, &[xy()]);
    near(&floats(&metrics, "first"), &[20.0]);
    near(&floats(&metrics, "second"), &[20.0]);
    near(&floats(&metrics, "loss"), &[40.0]);
}

#[test]
fn evaluation_counts_the_steps_of_training() {
    let step = "minimize mse(net(x), y) over net with opt
        metric done = cast(step_index(), f32)
        metric annealed = mean(x) * cast(step_index(), f32)";
    let mut machine = trained(step, "sgd(lr: 0.0)");
    machine.step = 70;
    let metrics = evaluated(&mut machine, &[xy(), xy(), xy()]);
    near(&floats(&metrics, "done"), &[70.0]);
    near(&floats(&metrics, "annealed"), &[140.0]);
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
    let metrics = evaluated(&mut machine, &batches);
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
