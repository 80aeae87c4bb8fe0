//! `mlc test FILE`

use super::Console;
use super::options::Source;
use crate::failure::{Failure, any_error};
use crate::output;
use crate::session::Session;
use crate::testing;

/// Arguments of `mlc test`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

/// Runs the `test` blocks in order; one line for each.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.source.options.json();
    let mut session = Session::open(&args.source.file, args.source.options.for_this_machine()?)?;
    let program = console.resolve(&mut session)?;
    let mut wrong = Vec::new();
    for test in &program.tests {
        let mut printed = String::new();
        let found = testing::run(&program, test, &mut |text| printed.push_str(text));
        output::print(&printed)?;
        let verdict = if any_error(&found) { "FAILED" } else { "ok" };
        output::print(&format!("test \"{}\" ... {verdict}\n", test.title))?;
        wrong.extend(found);
    }
    let count = program.tests.len();
    output::print(&format!("{count} {}\n", if count == 1 { "test" } else { "tests" }))?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Diagnostics(wrong)) }
}
