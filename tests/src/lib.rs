//! What the harnesses share: starting `mlc` and the executables it makes, and the files that go in
//! and come out. Test code: whatever is wrong here panics.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

pub mod arrays;
pub mod digits;
pub mod level;
pub mod npy;
pub mod process;
pub mod programs;
pub mod snapshot;
pub mod weights;

use std::path::PathBuf;

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
