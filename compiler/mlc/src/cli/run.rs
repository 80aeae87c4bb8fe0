//! `mlc run FILE ARGS…`: the program compiled in memory.

use super::Console;
use super::options::Source;
use crate::failure::Failure;
use crate::memory::InMemory;
use crate::session::Session;
use std::ffi::OsString;

/// Arguments of `mlc run`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print where the time went, as one JSON line on stderr
    #[arg(long)]
    timings: bool,
    /// What the executable would be given: train, eval, run forward …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Compiles and hands over to the runtime.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    let mut session = Session::open(&args.source.file, args.source.options.options()?)?;
    let program = console.resolve(&mut session)?;
    let lowered = session.lower(&program);
    let code = session.jit(&lowered)?;
    let program = InMemory::new(code, session.metadata(&program, &lowered));
    if args.timings {
        super::say(&format!("{}\n", session.timings().json()));
    }
    let name = format!("mlc run {}", args.source.file.display());
    match program.run(&name, &arguments(&args.args)?, session.folder()) {
        0 => Ok(()),
        status => Err(Failure::Reported(status)),
    }
}

fn arguments(args: &[OsString]) -> Result<Vec<String>, Failure> {
    let text = |arg: &OsString| arg.to_str().map(str::to_string);
    args.iter()
        .map(text)
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::Usage("an argument is not UTF-8 text".to_string()))
}
