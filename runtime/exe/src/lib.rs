//! The part of the runtime in executables.

pub mod data;
pub mod dim;
pub mod dtype;
pub mod error;
pub mod files;
pub mod inflate;
pub mod instance;
pub mod json;
pub mod mem;
pub mod meta;
pub mod npy;
pub mod philox;
pub mod sizes;
pub mod tensor;
pub mod weights;
