//! Comparing with a committed file, or rewriting it.

use std::fs;
use std::path::Path;

/// Set by `cargo xtask bless`.
pub const BLESS: &str = "MLC_BLESS";

/// Compares `actual` with the file at `path`; rewrites the file if [`BLESS`] is set.
///
/// # Errors
/// Both texts, if they differ.
pub fn check(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os(BLESS).is_some() {
        return fs::write(path, actual).map_err(|error| error.to_string());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    Err(format!(
        "{} differs (`cargo xtask bless` rewrites it)\n-- expected\n{expected}\n-- actual\n{actual}",
        path.display()
    ))
}
