//! The command line: one file for each command. Results go to stdout, diagnostics to stderr.
//!
//! Exit status: 0 done, 1 the user's program or data is wrong, 2 the command line is, 70 `mlc` is.

mod build;
mod check;
mod emit;
mod explain;
mod fmt;
mod options;
mod run;
mod test;
mod unsupported;

use crate::budget::Memory;
use crate::failure::Failure;
use crate::internal;
use crate::output;
use crate::render::{self, Format};
use crate::session::Session;
use crate::tune::Tuned;
use clap::{Parser, Subcommand};
use mlc_resolve::program::Program;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Sources;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Deep programs are walked by recursion: the command runs on a thread with this much stack.
const STACK_BYTES: usize = 256 << 20;

/// Ahead-of-time compiler for deep-learning models.
#[derive(Debug, Parser)]
#[command(name = "mlc", bin_name = "mlc", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile a model ahead of time
    Build(build::Args),
    /// Compile in memory and run: the same arguments as the executable
    Run(run::Args),
    /// Check syntax, shapes and gradients; nothing is written
    Check(check::Args),
    /// Run the `test` blocks
    Test(test::Args),
    /// Give source files the one style
    Fmt(fmt::Args),
    /// Show a stage of the compilation as text
    Emit(emit::Args),
    /// Show the page of an error code
    Explain(explain::Args),
    /// Commands of later versions
    #[command(flatten)]
    Unsupported(unsupported::Command),
}

/// The whole program: reads the command line, works, says what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    internal::install();
    let work = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || execute(cli.command));
    let status = match work {
        Ok(thread) => thread.join().unwrap_or(internal::STATUS),
        Err(error) => {
            say(&format!("mlc: the system gives no thread: {}\n", output::reason(&error)));
            1
        }
    };
    ExitCode::from(status)
}

fn execute(command: Command) -> u8 {
    let mut console = Console::default();
    let done = match command {
        Command::Build(args) => build::execute(&args, &mut console),
        Command::Run(args) => run::execute(&args, &mut console),
        Command::Check(args) => check::execute(&args, &mut console),
        Command::Test(args) => test::execute(&args, &mut console),
        Command::Fmt(args) => fmt::execute(&args, &mut console),
        Command::Emit(args) => emit::execute(&args, &mut console),
        Command::Explain(args) => explain::execute(&args),
        Command::Unsupported(command) => Err(command.failure()),
    };
    done.map_or_else(|failure| console.fail(&failure), |()| 0)
}

/// Where diagnostics go, and what is needed to show them.
#[derive(Debug, Default)]
struct Console {
    /// Files that spans point into.
    sources: Sources,
    /// `--message-format json`
    json: bool,
}

impl Console {
    fn fail(&self, failure: &Failure) -> u8 {
        match failure {
            Failure::Diagnostics(diagnostics) => {
                self.show(diagnostics);
                1
            }
            Failure::Usage(text) => {
                say(&format!("mlc: {text}\n"));
                2
            }
            Failure::Reported(status) => *status,
        }
    }

    /// Checks the program and shows what is probably not meant in it.
    fn resolve(&mut self, session: &mut Session) -> Result<Program, Failure> {
        let program = session.resolve();
        self.sources = session.sources().clone();
        self.show(session.warnings());
        if !self.json {
            let remarks = session.memory().iter().filter_map(Memory::remark);
            remarks.for_each(|remark| say(&format!("note: {remark}\n")));
        }
        program
    }

    /// Measures schedules if asked to, and tells what came of it; else what to know of earlier measurements.
    fn tune(&self, session: &mut Session, program: &Program, asked: bool) -> Result<(), Failure> {
        if asked {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let Tuned { measured, changed, repacked, threads } = session.tune(program, threads)?;
            say(&format!(
                "{measured} kernels measured on {threads} threads: {changed} run another way than estimated, \
                 {repacked} contractions with operands packed otherwise\n"
            ));
        }
        if let Some(remark) = session.tuning_remark().filter(|_| !self.json) {
            say(&format!("note: {remark}\n"));
        }
        Ok(())
    }

    /// Shows diagnostics on stderr.
    fn show(&self, diagnostics: &[Diagnostic]) {
        let format = match (self.json, std::io::stderr().is_terminal()) {
            (true, _) => Format::Json,
            (false, true) => Format::Coloured,
            (false, false) => Format::Plain,
        };
        say(&render::render(diagnostics, &self.sources, format));
    }
}

/// To stderr; if nobody reads it there is nobody to tell.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
