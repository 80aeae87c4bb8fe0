//! The pages of the error codes: a page's first `dl` example gives its error, the second is taken
//! without a word.

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
    if let [wrong, right] = examples[..] {
        let said = outcome(wrong)?.stderr;
        if !said.contains(&format!("[{}]", code.name())) {
            return Err(format!("the wrong example gives\n{said}").into());
        }
        let said = outcome(right)?.stderr;
        if !said.is_empty() {
            return Err(format!("the right example gives\n{said}").into());
        }
    }
    Ok(())
}

fn outcome(source: &str) -> Result<Outcome, Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("example.dl"), source)?;
    Ok(process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder.path(), &["check", "example.dl"]))
}
