//! Executables made of the examples, in a folder of their own.

use crate::process::{self, Outcome};
use crate::{npy, repository};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An executable that was copied alone to an empty folder.
#[derive(Debug)]
pub struct Program {
    folder: TempDir,
    path: PathBuf,
}

impl Program {
    /// Builds `dsl-examples/NAME.dl` with `compiler`.
    pub fn build(compiler: &Path, name: &str, options: &[&str]) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let source = repository(&format!("dsl-examples/{name}.dl"));
        let mut args = vec!["build", source.to_str().unwrap(), "-o", path.to_str().unwrap()];
        args.extend(options);
        process::run(compiler, folder.path(), &args).ok();
        Program { folder, path }
    }

    /// Builds the program `text` as `NAME` with `compiler`; the source is not beside the executable.
    pub fn build_text(compiler: &Path, name: &str, text: &str) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let elsewhere = tempfile::tempdir().unwrap();
        let source = elsewhere.path().join(format!("{name}.dl"));
        std::fs::write(&source, text).unwrap();
        let args = ["build", source.to_str().unwrap(), "-o", path.to_str().unwrap()];
        process::run(compiler, folder.path(), &args).ok();
        Program { folder, path }
    }

    /// The folder it is in and runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in that folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The executable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs it there, with nothing in the environment.
    pub fn run(&self, args: &[&str]) -> Outcome {
        process::run_bare(&self.path, self.folder(), args)
    }

    /// Writes `NAME.npy` with the first `rows` of made-up images.
    pub fn write_images(&self, name: &str, rows: usize) {
        let pixels: Vec<f32> = (0..rows).flat_map(crate::digits::image).collect();
        npy::write_f32(&self.file(name), &[rows, 28, 28, 1], &pixels);
    }

    /// Writes `NAME.npy` with the labels of the first `rows` of made-up images.
    pub fn write_labels(&self, name: &str, rows: usize) {
        let labels: Vec<i32> = (0..rows).map(|row| (row % 10) as i32).collect();
        npy::write_i32(&self.file(name), &[rows], &labels);
    }
}
