//! Reading a source file: the first place where something can be wrong with it.

use crate::failure::Failure;
use crate::output::reason;
use mlc_syntax::MAX_FILE_BYTES;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::fs;
use std::io::Read;
use std::path::Path;

/// Larger files are not even read.
const LIMIT: u64 = MAX_FILE_BYTES as u64;

/// The text of the program's source file.
///
/// # Errors
/// As [`text`].
pub fn read(path: &Path) -> Result<String, Failure> {
    text(path).map_err(Failure::from)
}

/// The text of a source file.
///
/// # Errors
/// E0004 if it can't be read, E0005 if it isn't UTF-8, E0010 if it is too large.
#[expect(clippy::result_large_err, reason = "one error for each file, and it is shown at once")]
pub fn text(path: &Path) -> Result<String, Diagnostic> {
    let bytes = read_limited(path).map_err(|reason| cannot_read(path, &reason))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large(path));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(path, error.as_bytes(), error.utf8_error().valid_up_to()))
}

fn read_limited(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|error| reason(&error))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err("it is a folder".to_string());
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    Ok(bytes)
}

fn cannot_read(path: &Path, reason: &str) -> Diagnostic {
    Diagnostic::error_without_place(Code::E0004, format!("`{}` cannot be read: {reason}", path.display()))
}

fn too_large(path: &Path) -> Diagnostic {
    let title = format!("`{}` has more than the {MAX_FILE_BYTES} bytes of a program", path.display());
    Diagnostic::error_without_place(Code::E0010, title)
        .help("is it a data file? Programs name their data files in `train`")
}

fn not_utf8(path: &Path, bytes: &[u8], at: usize) -> Diagnostic {
    let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let found = bytes.get(at).copied().unwrap_or(0);
    let title = format!("`{}` is not UTF-8 text: byte {at} (line {line}) is 0x{found:02x}", path.display());
    Diagnostic::error_without_place(Code::E0005, title).help("save it as UTF-8")
}
