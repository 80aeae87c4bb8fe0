//! `mlc fmt [--check] FILE…`

use super::Console;
use super::options::Messages;
use crate::failure::Failure;
use crate::output;
use crate::source;
use mlc_syntax::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// Arguments of `mlc fmt`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Write nothing; name the files that would change, with exit status 1
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    messages: Messages,
    /// The source files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Formats each file. One with errors is left as it is, and the others are done.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.messages.json();
    let mut wrong = Vec::new();
    let mut differs = false;
    for path in &args.files {
        match one(path, args.check, console) {
            Ok(changed) => differs |= changed,
            Err(Failure::Diagnostics(diagnostics)) => wrong.extend(diagnostics),
            Err(other) => return Err(other),
        }
    }
    match (wrong.is_empty(), args.check && differs) {
        (false, _) => Err(Failure::Diagnostics(wrong)),
        (true, true) => Err(Failure::Reported(1)),
        (true, false) => Ok(()),
    }
}

/// Whether the file has changed, or would.
fn one(path: &Path, check: bool, console: &mut Console) -> Result<bool, Failure> {
    let text = source::read(path)?;
    let formatted = formatted(path, &text, console).map_err(Failure::Diagnostics)?;
    if formatted == text {
        return Ok(false);
    }
    if check {
        output::print(&format!("{}\n", path.display()))?;
    } else {
        output::rewrite(path, formatted.as_bytes())?;
    }
    Ok(true)
}

fn formatted(path: &Path, text: &str, console: &mut Console) -> Result<String, Vec<Diagnostic>> {
    let name = path.display().to_string();
    let before = console.sources.add(&name, text);
    let formatted = mlc_syntax::format(before, &console.sources)?;
    let mut sources = console.sources.clone();
    let after = sources.add(&name, &formatted);
    let meaning = |file| mlc_syntax::print::structure(&mlc_syntax::parse(file, &sources).0);
    if meaning(before) != meaning(after) {
        mlc_ir::internal_error("formatter", &format!("it would change the meaning of {name}"));
    }
    Ok(formatted)
}
