//! The files that a program imports: found beside the file that names them, read once each, in the
//! order in which they are named. What they mean is the resolver's.

use crate::source;
use mlc_syntax::MAX_FILE_BYTES;
use mlc_syntax::ast::Import;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::{Diagnostic, Label};
use mlc_syntax::span::{FileId, Sources, Span};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// All files of a program together may have this many bytes.
const MAX_PROGRAM_BYTES: usize = 16 * MAX_FILE_BYTES;

/// After so many imports that lead nowhere the others are not looked at.
const MOST_FAILURES: usize = 20;

/// What a program's imports lead to.
#[derive(Debug, Default)]
pub struct Imports {
    /// The place of each path, and the file behind it.
    pub found: Vec<(Span, FileId)>,
    /// Imports that lead nowhere. If there are any, the syntax errors of the files are here too.
    pub failures: Vec<Diagnostic>,
}

/// Reads what the file at `path`, which is `file` of `sources`, imports directly or indirectly.
pub fn load(path: &Path, file: FileId, sources: &mut Sources) -> Imports {
    let mut loader = Loader { sources, known: BTreeMap::new(), queue: VecDeque::new(), found: Vec::new(), bytes: 0 };
    loader.known.insert(identity(path), file);
    loader.queue.push_back((path.to_path_buf(), file));
    let mut failures = Vec::new();
    let mut files = Vec::new();
    while let Some((path, file)) = loader.queue.pop_front() {
        files.push(file);
        for import in &mlc_syntax::imports(file, loader.sources) {
            if failures.len() >= MOST_FAILURES {
                break;
            }
            if let Err(failure) = loader.import(import, &path) {
                failures.push(*failure);
            }
        }
    }
    if !failures.is_empty() {
        let sources = &*loader.sources;
        failures.extend(files.into_iter().flat_map(|file| mlc_syntax::parse(file, sources).1));
    }
    Imports { found: loader.found, failures }
}

struct Loader<'s> {
    sources: &'s mut Sources,
    /// Files by what they are on disk, however they are named.
    known: BTreeMap<PathBuf, FileId>,
    /// Files whose imports have not been looked at.
    queue: VecDeque<(PathBuf, FileId)>,
    found: Vec<(Span, FileId)>,
    bytes: usize,
}

impl Loader<'_> {
    /// Follows an import that stands in the file at `from`.
    fn import(&mut self, import: &Import, from: &Path) -> Result<(), Box<Diagnostic>> {
        let written = self.sources.text(import.path_span);
        let path = if written.starts_with('"') {
            PathBuf::from(&*import.path)
        } else {
            PathBuf::from(format!("{}.dl", import.path.replace('.', "/")))
        };
        let path = beside(from, &path);
        let identity = identity(&path);
        let file = match self.known.get(&identity) {
            Some(file) => *file,
            None => self.read(&path, identity, import, from)?,
        };
        self.found.push((import.path_span, file));
        Ok(())
    }

    fn read(
        &mut self,
        path: &Path,
        identity: PathBuf,
        import: &Import,
        from: &Path,
    ) -> Result<FileId, Box<Diagnostic>> {
        let text = source::text(path).map_err(|diagnostic| placed(diagnostic, import, path, from))?;
        self.bytes += text.len();
        if self.bytes > MAX_PROGRAM_BYTES {
            let title = format!("the files of this program have more than {MAX_PROGRAM_BYTES} bytes together");
            return Err(Box::new(Diagnostic::error(Code::E0010, import.path_span, title)));
        }
        let file = self.sources.add(&path.display().to_string(), &text);
        self.known.insert(identity, file);
        self.queue.push_back((path.to_path_buf(), file));
        Ok(file)
    }
}

/// A file that can't be read, told at its import.
fn placed(diagnostic: Diagnostic, import: &Import, path: &Path, from: &Path) -> Box<Diagnostic> {
    let primary = Some(Label { span: import.path_span, text: String::new() });
    let mut diagnostic = Diagnostic { primary, ..diagnostic };
    if diagnostic.code == Code::E0004 {
        if let Some(foreign) = mlc_syntax::foreign_package(&import.path, import.path_span) {
            return Box::new(foreign);
        }
        diagnostic = diagnostic.note(format!("imports start at the folder of `{}`", from.display()));
        let with_ending = PathBuf::from(format!("{}.dl", path.display()));
        if with_ending.is_file() {
            diagnostic = diagnostic.help(format!("did you mean `import \"{}.dl\"`?", import.path));
        }
    }
    Box::new(diagnostic)
}

/// `path` as it is seen from the folder of the file at `from`.
fn beside(from: &Path, path: &Path) -> PathBuf {
    let path = path.strip_prefix(".").unwrap_or(path);
    from.parent().map_or_else(|| path.to_path_buf(), |folder| folder.join(path))
}

/// The same for all names of one file.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}
