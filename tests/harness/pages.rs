//! The pages of the error codes: a page's first `dl` example gives its error, the second is taken
//! without a word, by `mlc check`, or by `mlc test` if the code is about tests, or as a first line
//! `# mlc: ARGS` says. Pages about files and running programs have no example of their own.

use libtest_mimic::{Arguments, Failed, Trial};
use mlc_syntax::codes::Code;
use mlc_tests::process::{self, Outcome};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let trials = Code::ALL.iter().map(|&code| Trial::test(code.name(), move || check(code)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn check(code: Code) -> Result<(), Failed> {
    let examples: Vec<&str> =
        mlc::explain::page(code).split("```dl\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let has_examples = !matches!(code.name(), "E0004" | "E0005" | "E0010" | "W0006") && !code.name().starts_with("E03");
    if has_examples != (examples.len() == 2) {
        return Err(format!("the page has {} examples", examples.len()).into());
    }
    if let [wrong, right] = examples[..] {
        let said = outcome(code, wrong)?.stderr;
        if !said.contains(&format!("[{}]", code.name())) {
            return Err(format!("the wrong example gives\n{said}").into());
        }
        let said = outcome(code, right)?.stderr;
        if !said.is_empty() {
            return Err(format!("the right example gives\n{said}").into());
        }
    }
    Ok(())
}

fn outcome(code: Code, source: &str) -> Result<Outcome, Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("example.dl"), source)?;
    let command = if matches!(code, Code::E0213 | Code::E0214) { "test" } else { "check" };
    let given = source.lines().next().and_then(|line| line.strip_prefix("# mlc: ")).unwrap_or(command);
    let args: Vec<&str> = given.split_whitespace().chain(["example.dl"]).collect();
    Ok(process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder.path(), &args))
}
