//! `mlc run FILE ARGS…`: the program compiled in memory.

use super::Console;
use super::options::Source;
use crate::failure::Failure;
use crate::memory::InMemory;
use crate::session::{Session, Wanted};
use mlc_resolve::program::{Action, Program, Train};
use std::ffi::OsString;

/// Arguments of `mlc run`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print where the time went, as one JSON line on stderr
    #[arg(long)]
    timings: bool,
    /// Measure how kernels are best run on this machine, and write that to FILE.tune, which every later
    /// compilation reads
    #[arg(long, conflicts_with = "tuned_on")]
    tune: bool,
    /// What the executable would be given: train, eval, run forward …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Compiles and hands over to the runtime.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.source.options.json();
    let mut session = Session::open(&args.source.file, args.source.options.for_this_machine()?)?;
    let program = console.resolve(&mut session)?;
    let command = arguments(&args.args)?;
    console.tune(&mut session, &program, args.tune)?;
    let (lowered, wanted) = match needed(&program, &command) {
        None => (session.lower(&program), Wanted::Code),
        Some(entries) if entries.is_empty() => (session.lower(&program), Wanted::Nothing),
        Some(entries) => (session.lower_only(&program, &entries), Wanted::Code),
    };
    let code = session.jit(&lowered, wanted)?;
    let program = InMemory::new(code, session.metadata(&program, std::slice::from_ref(&lowered)));
    if args.timings {
        super::say(&format!("{}\n", session.report()));
    }
    let name = format!("mlc run {}", args.source.file.display());
    match program.run(&name, &command, session.folder()) {
        0 => Ok(()),
        status => Err(Failure::Reported(status)),
    }
}

/// The entries that a command of the executable calls; `None`: perhaps all. `info` and help call none.
fn needed(program: &Program, command: &[String]) -> Option<Vec<usize>> {
    let functions = program.functions.iter().map(|function| function.entry);
    let init: Vec<usize> =
        [program.init].into_iter().chain(program.sessions.iter().map(|session| session.init)).collect();
    let of_trains = |entries: fn(&Train) -> Vec<usize>| program.trains.iter().flat_map(entries);
    Some(match command.first().map(String::as_str) {
        None | Some("info" | "help" | "--help" | "-h") => Vec::new(),
        Some("init") => init,
        Some("run") => init.into_iter().chain(functions).collect(),
        Some("bench") => init
            .into_iter()
            .chain(functions)
            .chain(of_trains(|train| [train.step].into_iter().chain(train.accumulate).collect()))
            .collect(),
        Some("step") => init.into_iter().chain(of_trains(step_entries)).collect(),
        Some("train" | "eval") => init.into_iter().chain(of_trains(training_entries)).collect(),
        Some(_) => return None,
    })
}

fn step_entries(train: &Train) -> Vec<usize> {
    [train.step, train.tally.finish].into_iter().chain(train.accumulate).chain(train.grads).collect()
}

fn training_entries(train: &Train) -> Vec<usize> {
    let actions = train.every.iter().flat_map(|every| &every.actions);
    let others =
        actions.filter_map(|action| if let Action::Evaluate { other, .. } = action { other.as_ref() } else { None });
    let evaluated = std::iter::once(&train.eval).chain(others).flat_map(|eval| [eval.entry, eval.tally.finish]);
    let every = train.every.iter().filter_map(|every| every.entry);
    [train.step, train.tally.finish].into_iter().chain(train.accumulate).chain(evaluated).chain(every).collect()
}

fn arguments(args: &[OsString]) -> Result<Vec<String>, Failure> {
    let text = |arg: &OsString| arg.to_str().map(str::to_string);
    args.iter()
        .map(text)
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::Usage("an argument is not UTF-8 text".to_string()))
}
