//! The example programs resolve, run, and have the gradients that central differences say.

mod common;

#[path = "common/run.rs"]
mod run;

use common::outcome;
use mlc_ir::interp;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::{Action, Check, Program};
use run::{Machine, floats};

fn cnn() -> Program {
    outcome("cnn.dl", include_str!("../../../dsl-examples/cnn.dl")).program()
}

fn mlp() -> Program {
    outcome("mlp.dl", include_str!("../../../dsl-examples/mlp.dl")).program()
}

fn image(batch: usize) -> Tensor {
    let pixels = (0..batch * 784).map(|at| ((at * 37) % 256) as f32);
    Tensor::from_f32(&[batch, 28, 28, 1], &pixels.collect::<Vec<_>>())
}

#[test]
fn cnn_has_its_tables() {
    let program = cnn();
    mlc_ir::verify::verify(&program.graph).unwrap();
    let names: Vec<&str> = program.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["forward", "classify"]);
    let paths: Vec<&str> =
        program.file_paths.iter().map(String::as_str).filter(|path| !path.starts_with("opt.")).collect();
    assert_eq!(
        paths,
        [
            "conv1.weight",
            "conv1.bias",
            "conv2.weight",
            "conv2.bias",
            "fc1.weight",
            "fc1.bias",
            "fc2.weight",
            "fc2.bias"
        ]
    );
    let [train] = program.trains.as_slice() else { panic!("one train block") };
    assert_eq!((train.seed, train.epochs, train.batch), (42, Some(10), Some(32)));
    assert_eq!(train.metrics, ["loss", "accuracy"]);
    assert_eq!(train.trained.len(), 8);
    assert_eq!(program.file_paths.iter().filter(|path| path.starts_with("opt.m.")).count(), 8);
    let [every] = train.every.as_slice() else { panic!("one every block") };
    assert_eq!(every.actions[0], Action::Evaluate { pipeline: "valid".into(), other: None });
    assert_eq!(every.actions[1], Action::Save { dir: "runs/digits".into(), keep: Some(3), best: Some(0) });
    assert_eq!(every.actions[2], Action::EarlyStop { value: 1, patience: 3 });
    assert_eq!(program.tests.len(), 1);
}

#[test]
fn cnn_classifies() {
    let mut machine = Machine::new(cnn(), 42);
    let classify = machine.function("classify");
    let results = machine.call(classify, &[("image", image(2))]);
    let probability = floats(&results, "probability");
    assert_eq!(probability.len(), 20);
    for row in probability.chunks(10) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    }
    assert_eq!(results.named["label"].shape, [2]);
}

#[test]
fn mlp_learns_a_batch() {
    let program = mlp();
    let (step, finish) = (program.trains[0].step, program.trains[0].tally.finish);
    let mut machine = Machine::new(program, 42);
    let label = Tensor::from_i32(&[3], &[1, 2, 3]);
    let mut losses = Vec::new();
    for number in 0..4 {
        machine.step = number;
        let results = machine.call(step, &[("image", image(3)), ("label", label.clone())]);
        assert!(results.faults.iter().all(|fault| *fault == i64::from(i32::MAX)));
        let sums: Vec<(String, Tensor)> =
            results.named.iter().map(|(name, value)| (name.clone(), value.cast(mlc_ir::ty::DType::F64))).collect();
        let sums: Vec<(&str, Tensor)> = sums.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let metrics = machine.call(finish, &sums);
        losses.push(floats(&metrics, "loss")[0]);
    }
    assert!(losses[3] < losses[0], "{losses:?}");
}

#[test]
fn an_mlp_gradient_agrees_with_differences() {
    let text = include_str!("../../../dsl-examples/mlp.dl")
        .replace("H = 512", "H = 5")
        .replace("[2, 28, 28, 1]", "[1, 28, 28, 1]");
    let program = outcome("mlp.dl", &text).program();
    let graph = interp::to_f64(&program.graph);
    let [Check::Grad { values, function, names, .. }] = program.tests[0].checks.as_slice() else {
        panic!("one gradient check")
    };
    assert_eq!(names.last().map(String::as_str), Some("image"));
    let zero = Tensor::from_i64(&[], &[0]);
    let args = interp::run(&graph, values.region, &[zero.clone(), zero], &[1; 8]);
    assert_eq!(args.len(), names.len());
    let results = interp::run(&graph, function.region, &args, &[1; 8]);
    assert_eq!(results[0].shape, [1, 10]);
}
