//! Optimizers and schedules: one training of `optimizers.dl`, against the weights that PyTorch's
//! optimizers and the formulas of the schedules come to.

use crate::folder;
use crate::running::{DOUBLE, Float, Running, SINGLE, told};
use libtest_mimic::{Failed, Trial};
use mlc_tests::arrays::{self, difference};
use std::fs;
use std::path::Path;

/// Rows of the data, as in `cases_optimizers.py`.
const ROWS: u8 = 4;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("optimizers f64", || trained(Float::F64, DOUBLE)),
        Trial::test("optimizers f32", || trained(Float::F32, SINGLE)),
    ]
}

fn trained(float: Float, tolerance: f64) -> Result<(), Failed> {
    let running = Running::in_memory(&folder().join("optimizers.dl"), float);
    write_rows(&running.file("rows"))?;
    running.run(&["train", "--out", "run", "--quiet"]).ok();
    let actual = arrays::read(&running.file("run/last.safetensors"));
    let mut wrong = Vec::new();
    for (name, expected) in arrays::read(&folder().join("optimizers.trained")) {
        let path = name.strip_prefix("trained.").unwrap_or(&name);
        wrong.extend(told(path, difference(&actual[path].data, &expected.data), tolerance));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Images of one pixel and labels, all 0: nothing reads them, but training needs rows to count.
fn write_rows(prefix: &Path) -> std::io::Result<()> {
    let prefix = prefix.display();
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, ROWS, 0, 0, 0, 1, 0, 0, 0, 1];
    images.resize(images.len() + usize::from(ROWS), 0);
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, ROWS];
    labels.resize(labels.len() + usize::from(ROWS), 0);
    fs::write(format!("{prefix}-images-idx3-ubyte"), images)?;
    fs::write(format!("{prefix}-labels-idx1-ubyte"), labels)
}
