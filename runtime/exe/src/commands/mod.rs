//! One file for each command.

pub mod bench;
pub mod eval;
pub mod info;
pub mod init;
pub mod inputs;
pub mod pipelines;
pub mod run;
pub mod step;
pub mod texts;

use crate::args::Args;
use crate::cx::Cx;
use crate::error::{Failure, Result};

/// Runs a command.
pub fn dispatch(cx: &Cx<'_>, args: &Args) -> Result<()> {
    match args.command.name {
        "info" => info::info(cx, args),
        "init" => init::init(cx, args),
        "train" => crate::train::train(cx, args),
        "eval" => eval::eval(cx, args),
        "run" => run::run(cx, args),
        "step" => step::step(cx, args),
        "bench" => bench::bench(cx, args),
        other => Err(Failure::usage(format!("`{other}` is not supported yet"))),
    }
}
