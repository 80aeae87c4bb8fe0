//! What a maintainer runs: `cargo xtask bless` rewrites the snapshots of all harnesses; a person
//! reviews the difference.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<&str>>()[..] {
        ["bless"] => bless(),
        _ => {
            eprintln!("usage: cargo xtask bless");
            ExitCode::from(2)
        }
    }
}

/// Runs the harnesses that compare with committed files, with the variable set that makes them write.
fn bless() -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "-p", "mlc-tests", "--test", "ui", "--test", "stages", "--test", "prelude"])
        .env("MLC_BLESS", "1")
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
