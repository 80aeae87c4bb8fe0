//! Every example, from its source to its stated metric: its `test` blocks hold, the executable trains
//! on the data that ships, alone in a folder, until the metric is reached, and `mlc run` gives the
//! same bytes as the executable.

use libtest_mimic::{Arguments, Failed, Trial};
use mlc_tests::level::Way;
use mlc_tests::process::{self, Outcome};
use mlc_tests::repository;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use tempfile::TempDir;

/// What an example reaches.
struct Example {
    /// `dsl-examples/NAME.dl`
    name: &'static str,
    /// Its data, under `dsl-examples/data`.
    data: &'static str,
    /// The trainings, in the order in which they build on each other.
    trains: &'static [&'static str],
    /// Where the metric stands in the last training's final line.
    metric: &'static [&'static str],
    /// What it must be.
    reached: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const VALID: &[&str] = &["valid", "accuracy"];

const EXAMPLES: &[Example] = &[
    digits("cnn", &["digits"], VALID, Bound::AtLeast(0.97)),
    digits("mlp", &["digits"], VALID, Bound::AtLeast(0.95)),
    digits("rnn", &["digits"], VALID, Bound::AtLeast(0.93)),
    digits("attention", &["digits"], VALID, Bound::AtLeast(0.93)),
    digits("lstm", &["digits"], VALID, Bound::AtLeast(0.93)),
    digits("autoencoder", &["digits"], &["valid", "loss"], Bound::AtMost(0.03)),
    digits("vae", &["digits"], &["valid", "loss"], Bound::AtMost(26.0)),
    digits("gan", &["digits"], &["gap"], Bound::AtMost(0.25)),
    digits("finetune", &["base", "parity"], VALID, Bound::AtLeast(0.9)),
    Example { name: "seq2seq", data: "dates", trains: &["dates"], metric: VALID, reached: Bound::AtLeast(0.97) },
    Example { name: "transformer", data: "dates", trains: &["dates"], metric: VALID, reached: Bound::AtLeast(0.97) },
    Example { name: "gpt", data: "docs", trains: &["docs"], metric: &["perplexity"], reached: Bound::AtMost(16.0) },
];

const fn digits(
    name: &'static str,
    trains: &'static [&'static str],
    metric: &'static [&'static str],
    reached: Bound,
) -> Example {
    Example { name, data: "digits", trains, metric, reached }
}

fn main() -> ExitCode {
    let mut trials = vec![Trial::test("all are here", all_are_here)];
    for example in EXAMPLES {
        trials.push(Trial::test(format!("{} holds its tests", example.name), || holds(example)));
        trials.push(Trial::test(format!("{} reaches its metric", example.name), || reaches(example)));
        trials.push(Trial::test(format!("{} is the same in memory", example.name), || same_bytes(example)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// No example is left out of the table.
fn all_are_here() -> Result<(), Failed> {
    for file in fs::read_dir(repository("dsl-examples"))? {
        let path = file?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_string();
        if path.extension().is_some_and(|ext| ext == "dl") && !EXAMPLES.iter().any(|example| example.name == name) {
            return Err(format!("{name}.dl reaches nothing").into());
        }
    }
    Ok(())
}

/// A folder with the example and its data.
fn folder(example: &Example) -> Result<TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    let source = format!("{}.dl", example.name);
    fs::copy(repository("dsl-examples").join(&source), folder.path().join(&source))?;
    let (from, to) =
        (repository("dsl-examples/data").join(example.data), folder.path().join("data").join(example.data));
    fs::create_dir_all(&to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(folder)
}

fn ok(outcome: Outcome) -> Result<Outcome, Failed> {
    if outcome.status == 0 { Ok(outcome) } else { Err(format!("status {}\n{}", outcome.status, outcome.stderr).into()) }
}

fn holds(example: &Example) -> Result<(), Failed> {
    let folder = folder(example)?;
    ok(process::run(mlc(), folder.path(), &["test", &format!("{}.dl", example.name)])).map(drop)
}

fn build(example: &Example, folder: &TempDir) -> Result<(), Failed> {
    ok(process::run(mlc(), folder.path(), &["build", &format!("{}.dl", example.name), "-o", "program"])).map(drop)
}

fn final_line(outcome: &Outcome) -> Result<Value, Failed> {
    Ok(serde_json::from_str(outcome.stdout.lines().last().unwrap_or_default())?)
}

fn reaches(example: &Example) -> Result<(), Failed> {
    let folder = folder(example)?;
    build(example, &folder)?;
    let mut last = Value::Null;
    for train in example.trains {
        let args = ["train", train, "--quiet"];
        last = final_line(&ok(process::run_bare(&folder.path().join("program"), folder.path(), &args))?)?;
    }
    let found = example.metric.iter().fold(&last, |value, key| &value[key]);
    let value = found.as_f64().ok_or_else(|| format!("no {:?} in {last}", example.metric))?;
    let reached = match example.reached {
        Bound::AtLeast(bound) => value >= bound,
        Bound::AtMost(bound) => value <= bound,
    };
    if reached { Ok(()) } else { Err(format!("{:?} is {value}: {last}", example.metric).into()) }
}

/// A few steps of the first training: executable and `mlc run`, one thread and two, and code that is made in
/// another way.
fn same_bytes(example: &Example) -> Result<(), Failed> {
    let folder = folder(example)?;
    build(example, &folder)?;
    let train =
        |threads, out| ["train", example.trains[0], "--steps", "3", "--threads", threads, "--out", out, "--quiet"];
    ok(process::run_bare(&folder.path().join("program"), folder.path(), &train("1", "a")))?;
    let source = format!("{}.dl", example.name);
    ok(process::run(mlc(), folder.path(), &[&["run", source.as_str()][..], &train("2", "b")].concat()))?;
    let weights = |out: &str| fs::read(folder.path().join(out).join("last.safetensors"));
    if weights("a")? != weights("b")? {
        return Err("the weights differ".into());
    }
    if let Some(twin) = Way::chosen().twin() {
        let command = [&["run"], &twin.args()[..], &[&source], &train("1", "c")].concat();
        ok(process::run(mlc(), folder.path(), &command))?;
        if weights("a")? != weights("c")? {
            return Err(format!("the weights differ with {twin:?}").into());
        }
    }
    Ok(())
}
