//! Diagnostics as users see them: each `ui/<area>/NAME.dl` is given to `mlc check`, and everything
//! on stderr, with the exit status, must be what stands in `NAME.stderr`.
//!
//! Folders called `parts` have files that others import. A first line `# mlc: ARGS` gives other arguments: `# mlc: test`, `# mlc: check -D H=0`.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use libtest_mimic::{Arguments, Failed, Trial};
use mlc_syntax::codes::Code;
use mlc_tests::{process, snapshot};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let trials = sources(&root).into_iter().map(|path| {
        let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("").display().to_string();
        Trial::test(name, move || check(&path))
    });
    let coverage = Trial::test("coverage", || coverage(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")));
    libtest_mimic::run(&Arguments::from_args(), trials.chain([coverage]).collect()).exit_code()
}

/// Every code that `mlc check` and `mlc test` can give has a snapshot, and so have many variants.
fn coverage(root: &Path) -> Result<(), Failed> {
    const VARIANTS: usize = 150;
    let mut variants = BTreeSet::new();
    for path in sources(root) {
        let said = fs::read_to_string(path.with_extension("stderr"))?;
        let titles = said.lines().filter_map(|line| line.strip_prefix("error[").or(line.strip_prefix("warning[")));
        variants.extend(titles.map(variant));
    }
    let covered = |code: &Code| variants.iter().any(|variant| variant.starts_with(code.name()));
    // `bad_input` has these: what a running program says, and files of more than a megabyte.
    let missing: Vec<&str> = Code::ALL
        .iter()
        .filter(|code| !code.name().starts_with("E03") && **code != Code::E0010 && !covered(code))
        .map(|code| code.name())
        .collect();
    if !missing.is_empty() {
        return Err(format!("no snapshot shows {}", missing.join(", ")).into());
    }
    if variants.len() < VARIANTS {
        return Err(format!("{} kinds of messages have a snapshot, fewer than {VARIANTS}", variants.len()).into());
    }
    Ok(())
}

/// A title without what the user wrote: names, numbers, types.
fn variant(title: &str) -> String {
    let mut text = String::new();
    for (at, part) in title.split('`').enumerate() {
        text.push_str(if at % 2 == 0 { part } else { "_" });
    }
    let code_end = text.find(']').unwrap_or(0);
    let (code, words) = text.split_at(code_end);
    let word =
        |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "0".to_string() } else { word.to_string() };
    format!("{code} {}", words.split_whitespace().map(word).collect::<Vec<_>>().join(" "))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "dl"));
    let folders = folders.iter().filter(|folder| !folder.ends_with("parts"));
    here.chain(folders.flat_map(|folder| sources(folder))).collect()
}

fn check(path: &Path) -> Result<(), Failed> {
    let first = fs::read(path)?;
    let first = String::from_utf8_lossy(first.split(|&byte| byte == b'\n').next().unwrap_or(&[])).into_owned();
    let mut args: Vec<&str> = first.strip_prefix("# mlc: ").unwrap_or("check").split_whitespace().collect();
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file name that is not text")?;
    args.insert(1, name);
    let program = Path::new(env!("CARGO_BIN_EXE_mlc-under-test"));
    let outcome = process::run(program, path.parent().ok_or("no folder")?, &args);
    if outcome.stderr.contains("panicked") || ![0, 1].contains(&outcome.status) {
        return Err(format!("status {}\n{}", outcome.status, outcome.stderr).into());
    }
    let actual = format!("{}exit status: {}\n", outcome.stderr, outcome.status);
    snapshot::check(&path.with_extension("stderr"), &actual).map_err(Failed::from)
}
