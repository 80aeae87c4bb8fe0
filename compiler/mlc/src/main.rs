//! The `mlc` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlc::cli::main()
}
