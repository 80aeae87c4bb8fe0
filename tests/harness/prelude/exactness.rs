//! Functions that are made of exact enough ones are exact enough themselves: at most 2 units of the last place of
//! f32 from the formula in f64.

use crate::folder;
use crate::running::{Float, Running};
use libtest_mimic::{Failed, Trial};
use mlc_tests::npy;

/// Units of the last place.
const MOST: f64 = 2.0;

/// Of f32, every so many are tried, up to where sigmoid has no bits left.
const STEP: usize = 1009;
const LAST: f32 = 103.0;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("sigmoid is exact", sigmoid)]
}

fn sigmoid() -> Result<(), Failed> {
    let running = Running::in_memory(&folder().join("exactness.dl"), Float::F32);
    let sizes = (0..=LAST.to_bits()).step_by(STEP).map(f32::from_bits);
    let x: Vec<f32> = sizes.flat_map(|size| [size, -size]).collect();
    npy::write_f32(&running.file("x.npy"), &[x.len()], &x);
    running.run(&["run", "forward", "--in", "x=x.npy", "--out", "y=y.npy"]).ok();
    let y = npy::read_f32(&running.file("y.npy"));
    for (x, y) in x.into_iter().zip(y) {
        let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
        let unit = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
        let off = (f64::from(y) - exact).abs() / unit;
        if off.is_nan() || off > MOST {
            return Err(format!("sigmoid({x}) is {y}, {off:.2} units from {exact}").into());
        }
    }
    Ok(())
}
