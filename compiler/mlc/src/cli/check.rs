//! `mlc check FILE`

use super::Console;
use super::options::Source;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `mlc check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

/// Finds everything that is wrong; writes nothing.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.source.options.json();
    let mut session = Session::open(&args.source.file, args.source.options.for_files()?)?;
    console.resolve(&mut session).map(|_| ())
}
