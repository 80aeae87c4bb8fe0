//! The prelude against PyTorch: each entry has a program and golden values in `golden/prelude`, made
//! by `make.py` there. What has no golden values (initial values, random draws) is checked by its
//! statistics; and no entry is forgotten.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

mod coverage;
mod dropout;
mod entries;
mod exactness;
mod golden;
mod initialisers;
mod optimizers;
mod running;

use libtest_mimic::{Arguments, Trial};
use mlc_tests::repository;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = golden::trials();
    trials.extend(optimizers::trials());
    trials.extend(initialisers::trials());
    trials.extend(dropout::trials());
    trials.extend(exactness::trials());
    trials.extend(coverage::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The compiler.
fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// The folder of programs and golden files.
fn folder() -> PathBuf {
    repository("tests/golden/prelude")
}

/// The files there that end in `.EXTENSION`, in order.
fn files(extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    paths.sort();
    paths
}
