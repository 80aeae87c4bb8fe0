//! Reading whole files, and writing them so that a reader never sees half of one.

use crate::error::{Failure, OUTPUT, Result};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Most bytes that are read from what isn't a file: a pipe or a device may never end.
const PIPE_LIMIT: u64 = 1 << 30;

/// Reads a file; `code` is the kind of failure if that doesn't work.
pub fn read(path: &Path, code: &'static str) -> Result<Vec<u8>> {
    bytes(path).map_err(|e| Failure::data(code, format!("`{}` can't be read: {}", path.display(), reason(&e))))
}

/// The bytes of a file.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    if about.is_file() {
        let size = usize::try_from(about.len()).map_err(|_| ErrorKind::OutOfMemory)?;
        bytes.try_reserve_exact(size.saturating_add(1)).map_err(|_| ErrorKind::OutOfMemory)?;
    }
    let limit = if about.is_file() { u64::MAX } else { PIPE_LIMIT };
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == limit {
        return Err(io::Error::other("it is no file and gives more than 1 GiB"));
    }
    Ok(bytes)
}

/// The system's reason without its number.
pub fn reason(e: &io::Error) -> String {
    match e.kind() {
        ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::OutOfMemory => "it doesn't fit into memory".to_owned(),
        _ => {
            let text = e.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase()
        }
    }
}

/// An output: a temporary file beside the target until [`Pending::commit`], which replaces the target
/// in one step. Dropped without it, nothing is left. Devices and pipes are written directly.
#[derive(Debug)]
pub struct Pending {
    file: Option<File>,
    temporary: Option<PathBuf>,
    target: PathBuf,
}

impl Pending {
    /// Makes sure that `target` can be written, and changes nothing yet.
    pub fn create(target: &Path) -> Result<Self> {
        Self::open(target).map_err(|e| unwritable(target, &e))
    }

    fn open(target: &Path) -> io::Result<Self> {
        // A symbolic link stays one: what it points to is replaced.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        if let Ok(old) = fs::metadata(&target) {
            if old.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            if !old.is_file() {
                let file = File::options().write(true).open(&target)?;
                return Ok(Self { file: Some(file), temporary: None, target });
            }
            File::options().write(true).open(&target)?;
        }
        let name = target.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
        let temporary = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary)?;
        Ok(Self { file: Some(file), temporary: Some(temporary), target })
    }

    /// Writes all of `parts`, makes them durable, and puts the file in its place.
    pub fn commit(mut self, parts: &[&[u8]]) -> Result<()> {
        self.finish(parts).map_err(|e| unwritable(&self.target, &e))
    }

    fn finish(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        for part in parts {
            file.write_all(part)?;
        }
        let Some(temporary) = self.temporary.take() else { return file.flush() };
        let placed = file.sync_all().and_then(|()| fs::rename(&temporary, &self.target));
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
            return placed;
        }
        sync_folder(&self.target);
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Makes a rename in the folder of `path` durable; not all file systems can.
pub fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let _ = File::open(folder).and_then(|f| f.sync_all());
    }
}

/// Makes a folder and those above it, and checks that files can be made in it.
pub fn make_folder(path: &Path) -> Result<()> {
    let probe = path.join(format!(".probe.{}.tmp", std::process::id()));
    fs::create_dir_all(path)
        .and_then(|()| File::create(&probe))
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, e: &io::Error) -> Failure {
    Failure::data(OUTPUT, format!("`{}` can't be written: {}", path.display(), reason(e)))
}
