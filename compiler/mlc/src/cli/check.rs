//! `mlc check FILE`

use super::Console;
use super::options::Source;
use crate::failure::Failure;
use crate::session::Session;
use clap::ValueEnum;

/// Arguments of `mlc check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// How diagnostics are shown
    #[arg(long, value_enum, default_value_t = MessageFormat::Text)]
    message_format: MessageFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Finds everything that is wrong; writes nothing.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.message_format == MessageFormat::Json;
    let mut session = Session::open(&args.source.file, args.source.options.options()?)?;
    console.resolve(&mut session).map(|_| ())
}
