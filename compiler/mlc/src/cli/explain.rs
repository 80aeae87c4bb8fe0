//! `mlc explain CODE`

use crate::explain;
use crate::failure::Failure;
use crate::output;
use mlc_syntax::codes::Code;

/// Arguments of `mlc explain`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// As errors show it: E0107
    code: String,
}

/// Prints the page.
pub fn execute(args: &Args) -> Result<(), Failure> {
    let Some(code) = explain::code(&args.code) else {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        return Err(Failure::Usage(format!("there is no error code `{}`; there are {}", args.code, names.join(", "))));
    };
    output::print(explain::page(code))
}
