//! Dropout: the mask that training draws, read off the gradient of the sum; nothing in inference.

use crate::folder;
use crate::running::{Float, Running, tested};
use libtest_mimic::{Failed, Trial};
use mlc_tests::arrays;
use std::path::PathBuf;

const RATE: f64 = 0.25;
const ELEMENTS: f64 = 10_000.0;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("dropout f64", || masks(Float::F64)),
        Trial::test("dropout f32", || masks(Float::F32)),
        Trial::test("dropout tests", || tested(&program())),
    ]
}

fn program() -> PathBuf {
    folder().join("dropout.dl")
}

fn masks(float: Float) -> Result<(), Failed> {
    let running = Running::in_memory(&program(), float);
    running.run(&["init", "--seed", "1", "-o", "w.safetensors"]).ok();
    let given = ["--weights", "w.safetensors", "--grads", "g.safetensors"];
    let first = running.run(&[&["step", "--seed", "1"], &given[..]].concat()).ok();
    let gradients = arrays::read(&running.file("g.safetensors"));
    let same = running.run(&[&["step", "--seed", "1"], &given[..]].concat()).ok();
    let other = running.run(&[&["step", "--seed", "2"], &given[..]].concat()).ok();
    holds(first.stdout == same.stdout, "the same seed draws the same")?;
    holds(first.stdout != other.stdout, "another seed draws something else")?;
    of_two_values("once.w", &gradients["once.w"].data, 1.0 / (1.0 - RATE), 1.0 - RATE)?;
    // Two calls draw two masks: both keep an element with the product of the chances.
    of_two_values("twice.w", &gradients["twice.w"].data, 2.0 / (1.0 - RATE).powi(2), (1.0 - RATE).powi(2))?;
    holds(gradients["nothing.w"].data.iter().all(|&x| x == 1.0), "rate 0 keeps all")?;
    holds(gradients["everything.w"].data.iter().all(|&x| x == 0.0), "rate 1 keeps nothing")?;
    in_inference(&running)
}

fn in_inference(running: &Running) -> Result<(), Failed> {
    running.run(&["run", "kept", "--weights", "w.safetensors", "--out", "kept.npy"]).ok();
    running.run(&["run", "drawn", "--weights", "w.safetensors", "--out", "drawn.npy"]).ok();
    holds(arrays::read_npy(&running.file("kept.npy")).iter().all(|&x| x == 1.0), "inference keeps all")?;
    let drawn = arrays::read_npy(&running.file("drawn.npy"));
    of_two_values("always", &drawn, 1.0 / (1.0 - RATE), 1.0 - RATE)
}

/// All elements are 0 or `value`, and `share` of them are `value`, within 5 standard deviations.
fn of_two_values(name: &str, data: &[f64], value: f64, share: f64) -> Result<(), Failed> {
    let is_value = |x: f64| (x - value).abs() <= 1e-6 * value;
    holds(data.iter().all(|&x| x == 0.0 || is_value(x)), &format!("{name} is 0 or {value}"))?;
    let count = data.iter().filter(|&&x| is_value(x)).count() as f64;
    let allowed = 5.0 * (share * (1.0 - share) * ELEMENTS).sqrt();
    holds((count - share * ELEMENTS).abs() <= allowed, &format!("{count} of {ELEMENTS} elements of {name} are kept"))
}

fn holds(truth: bool, what: &str) -> Result<(), Failed> {
    if truth { Ok(()) } else { Err(what.into()) }
}
