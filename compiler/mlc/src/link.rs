//! Objects to files that run: the system's linker, and the runtime that `mlc` carries inside itself.
//!
//! The only place that starts a linker. Nothing of the machine gets into the output: the same
//! objects give the same bytes.

use crate::failure::Failure;
use crate::foreign::Prototypes;
use crate::output;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The runtime as a static library.
static RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.a"));

/// What [`RUNTIME`] needs from the system, one argument a line.
static RUNTIME_NEEDS: &str = include_str!(concat!(env!("OUT_DIR"), "/link-args"));

/// What is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program, with the whole runtime.
    Executable,
}

/// The C functions that the objects call.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    /// Their names.
    pub symbols: BTreeSet<Arc<str>>,
    /// Objects, archives and shared libraries that have them.
    pub files: Vec<PathBuf>,
    /// How C declares them.
    pub prototypes: Prototypes,
}

/// What links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Linker {
    /// The C compiler driver `cc`.
    #[default]
    System,
}

/// Links `objects` into a new file at `out`. The file appears there complete or not at all.
///
/// # Errors
/// The linker can't be started or refuses (its words are in the notes), or `out` can't be written.
pub fn link(objects: &[&[u8]], foreign: &Foreign, kind: Kind, linker: &Linker, out: &Path) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
    let inputs =
        write_inputs(objects, &foreign.files, folder.path()).map_err(|error| cannot_write(folder.path(), &error))?;
    let product = folder.path().join("product");
    let mut command = command(linker, kind, &inputs, &product);
    // A linker that can't read the script makes a larger file without it.
    let small = match script(foreign, folder.path()).map_err(|error| cannot_write(folder.path(), &error))? {
        Some(script) => self::command(linker, kind, &inputs, &product).args(script).output().ok(),
        None => None,
    };
    let done = match small.filter(|done| done.status.success()) {
        Some(done) => done,
        None => command.output().map_err(|error| cannot_start(&command, &error))?,
    };
    if !done.status.success() {
        return Err(refused(&command, foreign, &String::from_utf8_lossy(&done.stderr)));
    }
    output::place(&product, out)
}

fn write_inputs(objects: &[&[u8]], files: &[PathBuf], folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (index, bytes) in objects.iter().enumerate() {
        let path = folder.join(format!("object{index}.o"));
        fs::write(&path, bytes)?;
        paths.push(path);
    }
    paths.extend(files.iter().cloned());
    let runtime = folder.join("libmlc_runtime.a");
    fs::write(&runtime, RUNTIME)?;
    paths.push(runtime);
    Ok(paths)
}

/// Leaves out the tables for unwinding, a tenth of a small program: nothing unwinds, for a panic aborts. Foreign
/// code may need its own.
const SCRIPT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) *(.gcc_except_table) \
                      *(.gcc_except_table.*) } }\nINSERT AFTER .text;\n";

/// The arguments that add [`SCRIPT`], where linkers take such scripts.
fn script(foreign: &Foreign, folder: &Path) -> io::Result<Option<Vec<OsString>>> {
    if cfg!(target_os = "macos") || !foreign.files.is_empty() {
        return Ok(None);
    }
    let path = folder.join("no-tables.ld");
    fs::write(&path, SCRIPT)?;
    let [option, before] = ["-T", "-Xlinker"].map(OsString::from);
    Ok(Some(vec![before.clone(), option, before, path.into_os_string(), "-Wl,--no-eh-frame-hdr".into()]))
}

fn command(linker: &Linker, kind: Kind, inputs: &[PathBuf], product: &Path) -> Command {
    let Linker::System = linker;
    let Kind::Executable = kind;
    let mut command = Command::new("cc");
    // The compiler's own library goes in: what takes back a stack trace is all that is used of it.
    let needs = RUNTIME_NEEDS.lines().filter(|library| *library != "-lgcc_s");
    command.arg("-o").arg(product).args(inputs).args(needs).args(options());
    command
}

/// Drop what isn't reached, drop names, and leave no trace of where or when.
fn options() -> &'static [&'static str] {
    if cfg!(target_os = "macos") {
        &["-Wl,-dead_strip", "-Wl,-x"]
    } else {
        &[
            "-pie",
            "-static-libgcc",
            "-lgcc_eh",
            "-Wl,--gc-sections",
            "-Wl,--build-id=none",
            "-Wl,-z,relro,-z,now,-z,noexecstack",
            "-s",
        ]
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    output::cannot_write(path, error)
}

fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    let program = command.get_program().to_string_lossy();
    let title = format!("the linker `{program}` cannot be started: {}", output::reason(error));
    Diagnostic::error_without_place(Code::E0304, title)
        .help("install a C compiler driver named `cc`; `mlc run` needs no linker")
        .into()
}

fn refused(command: &Command, foreign: &Foreign, said: &str) -> Failure {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let undefined = said.lines().filter(|line| line.contains("undefined"));
    let words: BTreeSet<&str> = undefined.flat_map(|line| line.split(|c| !is_word(c))).collect();
    if let Some(symbol) = foreign.symbols.iter().find(|symbol| words.contains(&***symbol)) {
        return crate::foreign::missing(symbol, !foreign.files.is_empty(), &foreign.prototypes).into();
    }
    let program = OsString::from(command.get_program());
    Diagnostic::error_without_place(Code::E0304, format!("the linker `{}` refuses", program.to_string_lossy()))
        .note(said.trim())
        .into()
}
