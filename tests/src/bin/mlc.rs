//! The `mlc` program, as the tests start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlc::cli::main()
}
