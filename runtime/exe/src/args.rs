//! The command line: one table from which parsing and help come.

use crate::error::{Failure, Result, did_you_mean};
use std::path::PathBuf;

/// An option of a command.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// `--seed`
    pub name: &'static str,
    /// What its value is called in help; empty if it has none.
    pub value: &'static str,
    /// May it be given several times?
    pub many: bool,
    /// One line.
    pub help: &'static str,
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// `train`
    pub name: &'static str,
    /// Positional arguments as in help.
    pub words: &'static str,
    /// Least and most of them.
    pub count: (usize, usize),
    /// One line.
    pub help: &'static str,
    /// Its options.
    pub options: &'static [Opt],
}

const fn opt(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, value, many: false, help }
}

const fn many(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, value, many: true, help }
}

const JSON: Opt = opt("--json", "", "print one line of JSON");
const SEED: Opt = opt("--seed", "N", "seed of weights, draws and shuffles");
const THREADS: Opt = opt("--threads", "N", "threads (default: the cores it may use)");
const WEIGHTS: Opt = opt("--weights", "F.safetensors", "weights");
const DATA: Opt = many("--data", "COL=F.npy", "replace a column of the data");
const INPUT: Opt = many("--in", "NAME=F.npy", "an input; a number for a scalar");

/// A command without positional arguments.
const fn bare(name: &'static str, help: &'static str, options: &'static [Opt]) -> Command {
    Command { name, words: "", count: (0, 0), help, options }
}

/// A command that may be given the name of a train block.
const fn of_training(name: &'static str, help: &'static str, options: &'static [Opt]) -> Command {
    Command { name, words: "[NAME]", count: (0, 1), help, options }
}

/// All commands.
pub const COMMANDS: [Command; 8] = [
    bare("info", "functions with their types, parameters, memory, source", &[JSON]),
    of_training("init", "write initial weights", &[SEED, opt("-o", "W.safetensors", "where to"), THREADS]),
    of_training(
        "train",
        "train; ends with one line of JSON",
        &[
            opt("--epochs", "N", "epochs from the beginning of the training"),
            opt("--steps", "N", "steps from the beginning of the training"),
            DATA,
            opt("--out", "DIR", "folder of weights and checkpoints"),
            opt("--resume", "DIR", "go on from the newest checkpoint in DIR"),
            SEED,
            THREADS,
            opt("--log", "F.jsonl", "write one line of JSON for each report"),
            opt("--quiet", "", "no progress"),
        ],
    ),
    of_training("eval", "loss and metrics of weights", &[WEIGHTS, DATA, THREADS, JSON]),
    Command {
        words: "[MODEL.]FN",
        count: (1, 1),
        ..bare(
            "run",
            "call a function on NumPy files",
            &[
                WEIGHTS,
                INPUT,
                many("--text", "NAME=…", "a text as an input of tokens; results of tokens are then printed as text"),
                many("--out", "[NAME=]F.npy", "where a result goes"),
                SEED,
                THREADS,
            ],
        )
    },
    of_training(
        "step",
        "one training step on a given batch",
        &[
            WEIGHTS,
            INPUT,
            opt("--out-weights", "W.safetensors", "weights after the step"),
            opt("--grads", "G.safetensors", "gradients"),
            SEED,
            THREADS,
            JSON,
        ],
    ),
    Command {
        words: "FN | train [NAME]",
        count: (1, 2),
        ..bare(
            "bench",
            "time a function or a training step",
            &[
                many("--size", "B=32", "a size"),
                many("--in", "NAME=F.npy", "an input (default: random, integers zero)"),
                opt("--seconds", "S", "how long (default: 1)"),
                THREADS,
                JSON,
            ],
        )
    },
    Command { count: (0, 9), ..bare("receipt", "not supported yet", &[]) },
];

/// Options that every command will have.
const LATER: [&str; 2] = ["--trap-nan", "--profile"];

/// What was given.
#[derive(Clone, Debug)]
pub struct Args {
    /// The command.
    pub command: &'static Command,
    /// Positional arguments.
    pub words: Vec<String>,
    options: Vec<(&'static str, String)>,
}

/// A command line that was understood.
#[derive(Clone, Debug)]
pub enum Line {
    /// Run a command.
    Run(Args),
    /// Print this.
    Help(String),
}

/// Understands a command line without the program's name; `program` is that name for help.
pub fn parse(program: &str, args: &[String]) -> Result<Line> {
    let Some((first, rest)) = args.split_first() else {
        return Err(Failure::usage("no command is given").help(format!("`{program} --help` lists the commands")));
    };
    if matches!(first.as_str(), "--help" | "-h" | "help") {
        let named = rest.first().and_then(|name| COMMANDS.iter().find(|c| c.name == name));
        return Ok(Line::Help(named.map_or_else(|| overview(program), |c| command_help(program, c))));
    }
    later(first)?;
    let Some(command) = COMMANDS.iter().find(|c| c.name == first) else {
        return Err(Failure::usage(format!("there is no command `{first}`"))
            .help_opt(did_you_mean(first, COMMANDS.iter().map(|c| c.name)))
            .help(format!("`{program} --help` lists the commands")));
    };
    if rest.iter().any(|a| a == "--help" || a == "-h") {
        return Ok(Line::Help(command_help(program, command)));
    }
    if command.name == "receipt" {
        return Err(Failure::usage("`receipt` is not supported yet"));
    }
    let parsed = options(command, rest)?;
    let (least, most) = command.count;
    if parsed.words.len() < least {
        return Err(Failure::usage(format!("`{}` needs {}", command.name, command.words))
            .help(format!("`{program} {} --help`", command.name)));
    }
    match parsed.words.get(most) {
        Some(word) => Err(Failure::usage(format!("`{}` doesn't take `{word}`", command.name))
            .help(format!("`{program} {} --help`", command.name))),
        None => Ok(Line::Run(parsed)),
    }
}

fn later(option: &str) -> Result<()> {
    let name = option.split('=').next().unwrap_or(option);
    if LATER.contains(&name) { Err(Failure::usage(format!("`{name}` is not supported yet"))) } else { Ok(()) }
}

fn options(command: &'static Command, args: &[String]) -> Result<Args> {
    let mut parsed = Args { command, words: Vec::new(), options: Vec::new() };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if !arg.starts_with('-') || arg == "-" {
            parsed.words.push(arg.clone());
            continue;
        }
        later(arg)?;
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        let known = command.options;
        let Some(option) = known.iter().find(|o| o.name == name) else {
            return Err(Failure::usage(format!("`{}` has no option `{name}`", command.name))
                .help_opt(did_you_mean(name, known.iter().map(|o| o.name))));
        };
        let value = match (option.value, inline) {
            ("", None) => String::new(),
            ("", Some(_)) => return Err(Failure::usage(format!("`{name}` takes no value"))),
            (_, Some(value)) => value,
            (what, None) => {
                rest.next().cloned().ok_or_else(|| Failure::usage(format!("`{name}` needs a value: {name} {what}")))?
            }
        };
        if !option.many && parsed.options.iter().any(|(n, _)| *n == option.name) {
            return Err(Failure::usage(format!("`{name}` is given twice")));
        }
        parsed.options.push((option.name, value));
    }
    Ok(parsed)
}

impl Args {
    /// Is the option given?
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Its value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Its values.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Its value as a path.
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>> {
        match self.value(name) {
            Some("") => Err(Failure::usage(format!("`{name}` needs a path"))),
            value => Ok(value.map(PathBuf::from)),
        }
    }

    /// Its value as a whole number of at least `least`.
    pub fn int(&self, name: &str, least: i64) -> Result<Option<i64>> {
        let Some(text) = self.value(name) else { return Ok(None) };
        match text.parse() {
            Ok(n) if n >= least => Ok(Some(n)),
            _ => {
                let least = if least == i64::MIN { String::new() } else { format!(" of at least {least}") };
                Err(Failure::usage(format!("`{name}` takes a whole number{least}, not `{text}`")))
            }
        }
    }

    /// Its values as `NAME=VALUE`.
    pub fn pairs(&self, name: &str) -> Result<Vec<(String, String)>> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for text in self.values(name) {
            let (key, value) = text
                .split_once('=')
                .filter(|(key, value)| !key.is_empty() && !value.is_empty())
                .ok_or_else(|| Failure::usage(format!("`{name}` takes NAME=VALUE, not `{text}`")))?;
            if pairs.iter().any(|(k, _)| k == key) {
                return Err(Failure::usage(format!("`{name} {key}=…` is given twice")));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(pairs)
    }
}

/// Help for all commands.
pub fn overview(program: &str) -> String {
    let mut text = format!("usage: {program} COMMAND …\n\n");
    for command in &COMMANDS {
        let call = format!("{} {}", command.name, command.words);
        text.push_str(&format!("  {call:<24}{}\n", command.help));
    }
    text.push_str(&format!("\n`{program} COMMAND --help` has the options\n"));
    text
}

fn command_help(program: &str, command: &Command) -> String {
    let mut usage = format!("usage: {program} {}", command.name);
    if !command.words.is_empty() {
        usage.push_str(&format!(" {}", command.words));
    }
    if !command.options.is_empty() {
        usage.push_str(" [OPTIONS]");
    }
    let mut text = format!("{usage}\n\n{}\n\n", command.help);
    for option in command.options {
        let call = format!("{} {}", option.name, option.value);
        let dots = if option.many { " (may be repeated)" } else { "" };
        text.push_str(&format!("  {call:<30}{}{dots}\n", option.help));
    }
    text
}
