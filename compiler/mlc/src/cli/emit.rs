//! `mlc emit FILE --stage STAGE [--fn NAME]`

use super::Console;
use super::options::Compile;
use crate::emit::{self, Stage};
use crate::failure::Failure;
use crate::output;
use crate::prelude;
use crate::session::Session;
use std::path::PathBuf;

/// Arguments of `mlc emit`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The source file
    #[arg(required_unless_present = "prelude")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: Compile,
    /// How far to compile
    #[arg(long, value_enum, required_unless_present = "prelude")]
    stage: Option<Stage>,
    /// Only this function, entry or training block
    #[arg(long = "fn", value_name = "NAME")]
    function: Option<String>,
    /// Show the standard library; needs no FILE
    #[arg(long)]
    prelude: bool,
}

/// Prints a stage.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.options.json();
    if args.prelude {
        return output::print(&prelude::text());
    }
    let (Some(file), Some(stage)) = (&args.file, args.stage) else {
        return Err(Failure::Usage("emit needs FILE and --stage".to_string()));
    };
    let mut session = Session::open(file, args.options.for_readers()?)?;
    if stage == Stage::Ast {
        let text = emit::syntax(&session);
        console.sources = session.sources().clone();
        return text.and_then(|text| output::print(&text));
    }
    let program = console.resolve(&mut session)?;
    output::print(&emit::text(&mut session, &program, stage, args.function.as_deref())?)
}
