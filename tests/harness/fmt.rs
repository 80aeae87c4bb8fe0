//! `mlc fmt`: what it writes, what it leaves alone, what it says. The style itself is tested where it
//! is decided (`compiler/syntax/tests/format.rs`).

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process::{self, Outcome};
use mlc_tests::repository;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn mlc(folder: &TempDir, args: &[&str]) -> Outcome {
    process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder.path(), args)
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

const UGLY: &str = "const  A=1\n\n\n# why\nfn f(x:f32[*S])->f32[*S]{return x*A}";
const NEAT: &str = "const A = 1\n\n# why\nfn f(x: f32[*S]) -> f32[*S] { return x * A }\n";

#[test]
fn files_are_rewritten() {
    let folder = folder(&[("a.dl", UGLY), ("b.dl", NEAT)]);
    let outcome = mlc(&folder, &["fmt", "a.dl", "b.dl"]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    assert_eq!((read(&folder, "a.dl").as_str(), read(&folder, "b.dl").as_str()), (NEAT, NEAT));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn check_writes_nothing_and_names_files() {
    let folder = folder(&[("a.dl", UGLY), ("b.dl", NEAT)]);
    let outcome = mlc(&folder, &["fmt", "--check", "a.dl", "b.dl"]);
    assert_eq!((outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str()), (1, "a.dl\n", ""));
    assert_eq!(read(&folder, "a.dl"), UGLY);
    mlc(&folder, &["fmt", "--check", "b.dl"]).ok();
}

#[test]
fn files_with_errors_stay_and_the_others_are_done() {
    let wrong = "fn f(x: f32[*S] {\n  return x\n}\n";
    let folder = folder(&[("wrong.dl", wrong), ("a.dl", UGLY)]);
    mlc(&folder, &["fmt", "wrong.dl", "a.dl", "no.dl"]).refused(&["E0002", "wrong.dl:1:5", "E0004", "no.dl"]);
    assert_eq!((read(&folder, "wrong.dl").as_str(), read(&folder, "a.dl").as_str()), (wrong, NEAT));
    let outcome = mlc(&folder, &["fmt", "--message-format", "json", "wrong.dl"]);
    assert_eq!(outcome.status, 1);
    let message: serde_json::Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!(message["code"], "E0002");
    assert_eq!(mlc(&folder, &["fmt"]).status, 2);
}

#[cfg(unix)]
#[test]
fn permissions_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder(&[("a.dl", UGLY)]);
    let path = folder.path().join("a.dl");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a.dl", folder.path().join("link.dl")).unwrap();
    mlc(&folder, &["fmt", "link.dl"]).ok();
    assert_eq!(read(&folder, "a.dl"), NEAT);
    assert!(folder.path().join("link.dl").is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "dl") {
            found.push(path);
        }
    }
}

/// Every program of the repository that can be read, and the whole prelude: formatted twice, they are
/// as formatted once, and the syntax tree has not changed (else `mlc fmt` ends with status 70).
#[test]
fn every_program_of_the_repository() {
    let mut paths = Vec::new();
    for part in ["dsl-examples", "compiler/mlc/prelude", "compiler/syntax/tests/data", "tests/ui", "tests/stages"] {
        sources(&repository(part), &mut paths);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut names: Vec<String> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        names.push(format!("{number}.dl"));
        fs::copy(path, folder.path().join(&names[number])).unwrap();
    }
    let args: Vec<&str> = ["fmt"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let first = mlc(&folder, &args);
    assert!([0, 1].contains(&first.status), "{}", first.stderr);
    let texts: Vec<Vec<u8>> = names.iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    mlc(&folder, &args);
    for (name, (text, path)) in names.iter().zip(texts.iter().zip(&paths)) {
        assert!(fs::read(folder.path().join(name)).unwrap() == *text, "{} is not stable", path.display());
    }
}
