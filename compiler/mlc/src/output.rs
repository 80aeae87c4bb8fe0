//! Files that `mlc` writes: they appear complete or not at all, and whether they can be written is
//! known before the work.

use crate::failure::Failure;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Refuses a path that can't become a file: its folder is missing or read-only, or it is a folder.
/// Leaves nothing behind.
///
/// # Errors
/// E0304, with the reason.
pub fn check_writable(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(refusal(path, "it is a folder").into());
    }
    tempfile::Builder::new().prefix(".mlc-").tempfile_in(folder(path)).map_err(|error| cannot_write(path, &error))?;
    Ok(())
}

/// Writes `bytes` to `path`.
///
/// # Errors
/// E0304, with the reason.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(path, bytes, None).map_err(|error| cannot_write(path, &error))
}

/// Replaces what is in the file at `path`; its permissions stay, and a link to it stays one.
///
/// # Errors
/// E0304, with the reason.
pub fn rewrite(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let place = |path: PathBuf| put(&path, bytes, Some(fs::metadata(&path)?.permissions()));
    fs::canonicalize(path).and_then(place).map_err(|error| cannot_write(path, &error))
}

/// Copies the file `from` to `path`, with its permissions.
///
/// # Errors
/// E0304, with the reason.
pub fn place(from: &Path, path: &Path) -> Result<(), Failure> {
    let copied = fs::metadata(from).and_then(|meta| put(path, &fs::read(from)?, Some(meta.permissions())));
    copied.map_err(|error| cannot_write(path, &error))
}

/// A file beside `path`, filled, then renamed over it.
fn put(path: &Path, bytes: &[u8], permissions: Option<fs::Permissions>) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mlc-");
    if let Some(permissions) = permissions {
        builder.permissions(permissions);
    } else {
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Prints to stdout. A reader that has gone away (`mlc emit … | head`) is no error.
///
/// # Errors
/// E0304, with the reason.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(Path::new("stdout"), &error)),
        _ => Ok(()),
    }
}

/// Says why `path` was not written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    refusal(path, &reason(error)).into()
}

/// Says why the program at `path` doesn't start.
pub fn cannot_start(path: &Path, error: &io::Error) -> Failure {
    let title = format!("`{}` cannot be started: {}", path.display(), reason(error));
    Diagnostic::error_without_place(Code::E0304, title).into()
}

fn refusal(path: &Path, reason: &str) -> Diagnostic {
    Diagnostic::error_without_place(Code::E0304, format!("`{}` cannot be written: {reason}", path.display()))
}

/// An IO error in words, without the system's number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" at path ").map_or(text.as_str(), |(reason, _)| reason);
    let text = text.split_once(" (os error").map_or(text, |(reason, _)| reason);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// The folder a file at `path` is in.
fn folder(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        assert!(check_writable(&path).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(write(&path, b"abc").is_ok());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&folder.path().join("missing/out")).is_err());
    }

    #[test]
    fn reasons_have_no_numbers_and_no_paths() {
        let error = fs::read("no such file").unwrap_err();
        assert_eq!(reason(&error), "no such file or directory");
    }
}
