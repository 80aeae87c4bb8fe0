//! The examples of the documents: a block marked `dl` is a whole file that compiles without a word,
//! one marked `dl E0107` is refused with that code alone, and `dl NAME.dl` is a file that later blocks import.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use libtest_mimic::{Arguments, Failed, Trial};
use mlc_tests::process;
use mlc_tests::repository;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::TempDir;

const DOCUMENTS: [&str; 3] = ["README.md", "docs/language.md", "docs/tutorial.md"];

fn main() -> ExitCode {
    let trials = DOCUMENTS.iter().flat_map(|document| trials(document)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// One test for each block; the blocks of a document share a folder, where its named files are.
fn trials(document: &'static str) -> Vec<Trial> {
    let Ok(text) = fs::read_to_string(repository(document)) else {
        return vec![Trial::test(document, || Err("it can't be read".into()))];
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut trials = Vec::new();
    for (line, mark, source) in blocks(&text) {
        if mark.ends_with(".dl") {
            fs::write(folder.path().join(mark), source).unwrap();
        }
        let (folder, mark, source) = (folder.clone(), mark.to_string(), source.to_string());
        trials.push(Trial::test(format!("{document}:{line}"), move || check(&folder, line, &mark, &source)));
    }
    trials
}

/// The line, the mark behind `dl`, and the text of each block of the language.
fn blocks(text: &str) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("```dl") {
        let opening = &rest[at + 5..];
        let (mark, body) = opening.split_once('\n').unwrap();
        let (source, behind) = body.split_once("```").unwrap();
        let line = text[..text.len() - opening.len()].lines().count();
        found.push((line, mark.trim(), source));
        rest = behind;
    }
    found
}

fn check(folder: &TempDir, line: usize, mark: &str, source: &str) -> Result<(), Failed> {
    let name = if mark.ends_with(".dl") { mark.to_string() } else { format!("line{line}.dl") };
    fs::write(folder.path().join(&name), source)?;
    let args = ["check", &name, "--message-format", "json"];
    let outcome = process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder.path(), &args);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    let codes: Vec<String> =
        said.match_indices("\"code\":\"").map(|(at, key)| said[at + key.len()..][..5].into()).collect();
    let expected: Vec<String> = mark.starts_with('E').then(|| mark.to_string()).into_iter().collect();
    if codes == expected { Ok(()) } else { Err(format!("expected {expected:?}, and it says\n{said}").into()) }
}
