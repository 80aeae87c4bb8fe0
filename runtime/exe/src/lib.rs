//! The part of the runtime in executables.

pub mod dim;
pub mod dtype;
pub mod error;
pub mod json;
pub mod mem;
pub mod meta;
pub mod tensor;
