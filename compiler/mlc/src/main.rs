//! The `mlc` program.

use std::process::ExitCode;

/// A compilation is many small values, made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mlc::cli::main()
}
