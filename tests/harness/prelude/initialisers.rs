//! Initial values: mean, deviation and bounds of draws, orthonormality, and plain numbers.

use crate::folder;
use crate::running::{Float, Running};
use libtest_mimic::{Failed, Trial};
use mlc_tests::arrays::{self, Array};
use std::collections::BTreeMap;

/// A draw: path, mean, deviation, largest distance from the mean, or 0 if it has none.
type Draw = (&'static str, f64, f64, f64);

/// Places of a kernel, and sizes of its channels, in `initialisers.dl`.
const PLACES: f64 = 9.0;
const INPUT: f64 = 40.0;
const OUTPUT: f64 = 60.0;
/// The deviation of a normal distribution of deviation 1 without what is beyond 2.
const CUT: f64 = 0.879_625_661_034_239_8;

/// Paths and gains of orthonormal weights.
const ORTHONORMAL: [(&str, f64); 6] =
    [("square", 1.0), ("tall", 2.0), ("wide", 1.0), ("kernel", 1.0), ("single", 1.0), ("lstm.wh", 1.0)];

pub fn trials() -> Vec<Trial> {
    let one = |name: &str, float| Trial::test(format!("initialisers {name}"), move || check(float));
    vec![one("f32", Float::F32), one("f64", Float::F64)]
}

/// Of a uniform distribution with this deviation.
fn uniform(path: &'static str, mean: f64, deviation: f64) -> Draw {
    (path, mean, deviation, deviation * 3.0f64.sqrt())
}

fn draws() -> Vec<Draw> {
    let glorot = (2.0 / (PLACES * (INPUT + OUTPUT))).sqrt();
    let he = (2.0 / (PLACES * INPUT)).sqrt();
    vec![
        uniform("glorot_u", 0.0, glorot),
        ("glorot_n", 0.0, glorot, 0.0),
        uniform("he_u", 0.0, he),
        ("he_n", 0.0, he, 0.0),
        uniform("glorot_vector", 0.0, (2.0 / 4001.0f64).sqrt()),
        ("cut", 0.0, 0.5 * CUT, 1.0),
        ("given.weight", 0.0, 0.5 * CUT, 1.0),
        uniform("even", 1.0, 2.0 / 3.0f64.sqrt()),
        ("bell", 2.0, 0.5, 0.0),
        uniform("depthwise.weight", 0.0, (2.0 / (PLACES * 5.0)).sqrt()),
        ("embedding.weight", 0.0, 0.02, 0.0),
    ]
}

fn check(float: Float) -> Result<(), Failed> {
    let running = Running::in_memory(&folder().join("initialisers.dl"), float);
    running.run(&["init", "--seed", "3", "-o", "w.safetensors"]).ok();
    let weights = arrays::read(&running.file("w.safetensors"));
    let mut wrong: Vec<String> = draws().into_iter().filter_map(|draw| looks_wrong(&weights, draw)).collect();
    for (path, gain) in ORTHONORMAL {
        let off = distance_from_orthonormal(&weights[path], gain);
        let allowed = if float == Float::F64 { 1e-13 } else { 2e-5 };
        if off > allowed {
            wrong.push(format!("{path}: off by {off:e} from orthonormal times {gain}"));
        }
    }
    for (path, value) in [("nothing", 0.0), ("one", 1.0), ("number", 2.5), ("depthwise.bias", 0.0)] {
        if weights[path].data.iter().any(|&x| x != value) {
            wrong.push(format!("{path} is not {value} everywhere"));
        }
    }
    if weights["lstm.b"].data != [0., 0., 0., 1., 1., 1., 0., 0., 0., 0., 0., 0.] {
        wrong.push("only the forget gate of an LSTM has the bias 1".to_string());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Mean within 5 standard errors, deviation within 5 of its own (of a normal distribution, whose
/// are the largest here), bounds kept and nearly reached.
fn looks_wrong(weights: &BTreeMap<String, Array>, (path, mean, deviation, bound): Draw) -> Option<String> {
    let data = &weights[path].data;
    let n = data.len() as f64;
    let actual_mean = data.iter().sum::<f64>() / n;
    let actual = (data.iter().map(|x| (x - actual_mean).powi(2)).sum::<f64>() / n).sqrt();
    let furthest = data.iter().map(|x| (x - mean).abs()).fold(0.0, f64::max);
    let bounded = bound == 0.0 || (furthest <= bound * (1.0 + 1e-6) && furthest >= bound * 0.99);
    let fits = (actual_mean - mean).abs() <= 5.0 * deviation / n.sqrt()
        && (actual - deviation).abs() <= 5.0 * deviation / (2.0 * n).sqrt()
        && bounded;
    (!fits).then(|| {
        format!("{path}: mean {actual_mean} for {mean}, deviation {actual} for {deviation}, {furthest} for {bound}")
    })
}

/// The largest element of `WᵀW - gain²`, or of `WWᵀ - gain²` where rows are fewer.
fn distance_from_orthonormal(weight: &Array, gain: f64) -> f64 {
    let columns = *weight.shape.last().unwrap();
    let rows = weight.data.len() / columns;
    let at = |row: usize, column: usize| weight.data[row * columns + column];
    let tall = rows >= columns;
    let (vectors, length) = if tall { (columns, rows) } else { (rows, columns) };
    let element = |vector: usize, place: usize| if tall { at(place, vector) } else { at(vector, place) };
    let mut furthest: f64 = 0.0;
    for a in 0..vectors {
        for b in 0..vectors {
            let product: f64 = (0..length).map(|place| element(a, place) * element(b, place)).sum();
            let wanted = if a == b { gain * gain } else { 0.0 };
            furthest = furthest.max((product - wanted).abs());
        }
    }
    furthest
}
