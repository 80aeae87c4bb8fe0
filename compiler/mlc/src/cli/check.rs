//! `mlc check FILE`

use super::Console;
use super::options::Source;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// Arguments of `mlc check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print what a row of each pipeline holds
    #[arg(long)]
    verbose: bool,
}

/// Finds everything that is wrong; writes nothing.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.source.options.json();
    let mut session = Session::open(&args.source.file, args.source.options.for_files()?)?;
    let program = console.resolve(&mut session)?;
    if args.verbose {
        for train in &program.trains {
            for (name, pipeline) in &train.pipelines {
                output::print(&format!("{}.{name}: {}\n", train.name, pipeline.row()))?;
            }
        }
    }
    Ok(())
}
