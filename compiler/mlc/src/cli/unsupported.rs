//! Commands of the contract that this version doesn't have: refused by name.

use crate::failure::Failure;
use clap::Subcommand;
use std::ffi::OsString;

/// Everything after the command's name.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _args: Vec<OsString>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare interpreter, JIT and AOT (not supported yet)
    Verify(Anything),
    /// ONNX to a readable source file (not supported yet)
    Import(Anything),
}

impl Command {
    /// Why it doesn't run.
    pub fn failure(&self) -> Failure {
        Failure::not_supported(match self {
            Command::Verify(_) => "`mlc verify`",
            Command::Import(_) => "`mlc import`",
        })
    }
}
