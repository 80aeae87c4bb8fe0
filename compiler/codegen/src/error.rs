//! What compilation refuses. Everything else that fails is a bug, not an error.

use crate::target::Level;
use std::fmt;

/// Why a program wasn't compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodegenError {
    /// There is no code generator for the target.
    Target(String),
    /// The running processor lacks what the level wants (JIT only).
    Level(Level),
    /// Embedded weights of so many bytes, beyond [`crate::WEIGHTS_LIMIT`].
    Weights(usize),
    /// No memory for the code, or the threads to make it.
    Resources(String),
    /// The object file couldn't be written.
    Object(String),
    /// A C function that is not there (JIT only).
    Foreign(String),
    /// No function of that name.
    NoSuchFunction(String),
}

impl fmt::Display for CodegenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodegenError::Target(target) => write!(f, "no code generator for the target {target}"),
            CodegenError::Level(level) => write!(f, "this processor can't run code for {level}"),
            CodegenError::Weights(bytes) => {
                write!(f, "{bytes} bytes of weights are too many to embed (at most {})", crate::WEIGHTS_LIMIT)
            }
            CodegenError::Resources(what) => write!(f, "out of resources: {what}"),
            CodegenError::Object(what) => write!(f, "the object file can't be written: {what}"),
            CodegenError::Foreign(symbol) => write!(f, "the C function `{symbol}` is not there"),
            CodegenError::NoSuchFunction(name) => write!(f, "no kernel or entry is named `{name}`"),
        }
    }
}

impl std::error::Error for CodegenError {}

/// A broken invariant of this crate.
#[cold]
pub(crate) fn bug(what: &str) -> ! {
    mlc_ir::internal_error("mlc-codegen", what)
}
