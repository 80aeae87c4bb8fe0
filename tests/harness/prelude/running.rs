//! Running a program of `golden/prelude` in a folder of its own.

use crate::mlc;
use libtest_mimic::Failed;
use mlc_tests::process::{self, Outcome};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Results agree to this part of the largest magnitude of their tensor, or of 1.
pub const SINGLE: f64 = 2e-5;
/// The same in f64.
pub const DOUBLE: f64 = 1e-11;

/// In what a program computes.
#[derive(Clone, Copy, PartialEq)]
pub enum Float {
    F32,
    F64,
}

/// `mlc test` finds nothing wrong.
pub fn tested(program: &Path) -> Result<(), Failed> {
    let outcome = process::run(mlc(), program.parent().unwrap(), &["test", program.to_str().unwrap()]);
    if outcome.status == 0 { Ok(()) } else { Err(outcome.stderr.into()) }
}

/// What is wrong with a difference, if it is too large.
pub fn told(what: &str, found: Result<f64, String>, tolerance: f64) -> Option<String> {
    match found {
        Ok(difference) if difference <= tolerance => None,
        Ok(difference) => Some(format!("{what}: off by {difference:e}, allowed are {tolerance:e}")),
        Err(text) => Some(format!("{what}: {text}")),
    }
}

/// What is started.
enum Kind {
    /// `mlc run` with this source.
    Source(PathBuf),
    Executable(PathBuf),
}

/// A program in a folder of its own, and how it is started.
pub struct Running {
    folder: TempDir,
    kind: Kind,
}

impl Running {
    /// A copy of `program` that computes in `float`.
    fn copy(program: &Path, float: Float) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(program).unwrap();
        let text = if float == Float::F64 { text.replace("f32", "f64") } else { text };
        let path = folder.path().join("case.dl");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    /// As `mlc run` runs it.
    pub fn in_memory(program: &Path, float: Float) -> Running {
        let (folder, path) = Running::copy(program, float);
        Running { folder, kind: Kind::Source(path) }
    }

    /// As an executable.
    pub fn built(program: &Path, float: Float) -> Running {
        let (folder, path) = Running::copy(program, float);
        let executable = folder.path().join("case");
        let args = ["build", path.to_str().unwrap(), "-o", executable.to_str().unwrap()];
        process::run(mlc(), folder.path(), &args).ok();
        Running { folder, kind: Kind::Executable(executable) }
    }

    /// What it does with these arguments.
    pub fn run(&self, args: &[&str]) -> Outcome {
        match &self.kind {
            Kind::Source(path) => {
                process::run(mlc(), self.folder.path(), &[&["run", path.to_str().unwrap()], args].concat())
            }
            Kind::Executable(path) => process::run_bare(path, self.folder.path(), args),
        }
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
