//! Values and gradients of each program, in f64 and f32, in memory and as an executable; and its
//! `test` blocks.

use crate::files;
use crate::running::{DOUBLE, Float, Running, SINGLE, tested, told};
use libtest_mimic::{Failed, Trial};
use mlc_tests::arrays::{self, Array, difference};
use mlc_tests::npy;
use std::collections::BTreeMap;
use std::path::Path;

/// Programs that are also built; the code is the same, so one of each kind is enough.
const BUILT: [&str; 6] = ["Conv2d", "MultiHeadAttention", "Embedding", "cross_entropy", "max_pool", "softmax"];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for golden in files("golden") {
        let program = golden.with_extension("dl");
        let name = program.file_stem().unwrap().to_string_lossy().into_owned();
        for (float, word) in [(Float::F64, "f64"), (Float::F32, "f32")] {
            let (program, golden) = (program.clone(), golden.clone());
            trials.push(Trial::test(format!("{name} {word}"), move || {
                compare(&Running::in_memory(&program, float), &golden, float)
            }));
        }
        if BUILT.contains(&&*name) {
            let (program, golden) = (program.clone(), golden.clone());
            trials.push(Trial::test(format!("{name} built"), move || {
                compare(&Running::built(&program, Float::F64), &golden, Float::F64)
            }));
        }
        trials.push(Trial::test(format!("{name} tests"), move || tested(&program)));
    }
    trials
}

/// The tensors of a golden file whose names begin so, without that.
fn part(golden: &BTreeMap<String, Array>, prefix: &str) -> BTreeMap<String, Array> {
    let named = golden.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?.to_string(), array.clone())));
    named.collect()
}

fn compare(running: &Running, golden: &Path, float: Float) -> Result<(), Failed> {
    let golden = arrays::read(golden);
    let weights = part(&golden, "weight.");
    if !weights.is_empty() {
        write_weights(running, &weights)?;
    }
    let mut given: Vec<String> = Vec::new();
    if !weights.is_empty() {
        given.extend(["--weights".to_string(), "w.safetensors".to_string()]);
    }
    for (name, input) in part(&golden, "input.") {
        write_input(&running.file(&format!("{name}.npy")), &input, float);
        given.extend(["--in".to_string(), format!("{name}={name}.npy")]);
    }
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let given = &given[..];
    let mut wrong = compare_values(running, given, &part(&golden, "value."), float);
    let gradients = part(&golden, "gradient.");
    if !gradients.is_empty() {
        wrong.extend(compare_gradients(running, given, &gradients, float));
        wrong.extend(compare_states(running, &part(&golden, "after."), float));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The golden weights in the dtypes of the program, which must have just these.
fn write_weights(running: &Running, golden: &BTreeMap<String, Array>) -> Result<(), Failed> {
    running.run(&["init", "--seed", "1", "-o", "w.safetensors"]).ok();
    let mut weights = arrays::read(&running.file("w.safetensors"));
    if !weights.keys().eq(golden.keys()) {
        let names = |tensors: &BTreeMap<String, Array>| tensors.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(format!("weights are {}, golden ones {}", names(&weights), names(golden)).into());
    }
    for (name, weight) in &mut weights {
        if weight.shape != golden[name].shape {
            return Err(format!("{name} is {:?}, the golden one {:?}", weight.shape, golden[name].shape).into());
        }
        weight.data = golden[name].data.clone();
    }
    arrays::write(&running.file("w.safetensors"), &weights);
    Ok(())
}

fn write_input(path: &Path, input: &Array, float: Float) {
    match float {
        Float::F64 => {
            let bytes: Vec<u8> = input.data.iter().flat_map(|x| x.to_le_bytes()).collect();
            npy::write(path, "<f8", &input.shape, &bytes);
        }
        Float::F32 => {
            let data: Vec<f32> = input.data.iter().map(|&x| x as f32).collect();
            npy::write_f32(path, &input.shape, &data);
        }
    }
}

fn tolerance(dtype: &str, float: Float) -> f64 {
    if float == Float::F64 && dtype == "F64" { DOUBLE } else { SINGLE }
}

fn compare_values(running: &Running, given: &[&str], expected: &BTreeMap<String, Array>, float: Float) -> Vec<String> {
    let outs: Vec<String> = expected.keys().map(|name| format!("{name}={name}.npy")).collect();
    let outs = outs.iter().flat_map(|out| ["--out", out.as_str()]);
    let args: Vec<&str> = ["run", "forward"].into_iter().chain(given.iter().copied()).chain(outs).collect();
    running.run(&args).ok();
    let one = |(name, expected): (&String, &Array)| {
        let actual = arrays::read_npy(&running.file(&format!("{name}.npy")));
        told(name, difference(&actual, &expected.data), tolerance("F64", float))
    };
    expected.iter().filter_map(one).collect()
}

fn compare_gradients(
    running: &Running,
    given: &[&str],
    expected: &BTreeMap<String, Array>,
    float: Float,
) -> Vec<String> {
    let args: Vec<&str> = ["step", "--grads", "g.safetensors", "--out-weights", "after.safetensors"]
        .into_iter()
        .chain(given.iter().copied())
        .collect();
    running.run(&args).ok();
    let actual = arrays::read(&running.file("g.safetensors"));
    let one = |(name, expected): (&String, &Array)| match actual.get(name) {
        Some(actual) => {
            let found = difference(&actual.data, &expected.data);
            told(&format!("gradient of {name}"), found, tolerance(&actual.dtype, float))
        }
        None => Some(format!("there is no gradient of {name}")),
    };
    expected.iter().filter_map(one).collect()
}

/// States after the step that gave the gradients.
fn compare_states(running: &Running, expected: &BTreeMap<String, Array>, float: Float) -> Vec<String> {
    let actual = arrays::read(&running.file("after.safetensors"));
    let one = |(name, expected): (&String, &Array)| {
        let found = difference(&actual[name].data, &expected.data);
        told(&format!("{name} after a step"), found, tolerance("F64", float))
    };
    expected.iter().filter_map(one).collect()
}
