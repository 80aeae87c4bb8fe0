//! Starting programs and looking at what they say.

use crate::level::Way;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// What a program did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit status; -1 if it was killed.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// Runs `program` in `folder`, with nothing in the environment but an empty PATH and a temporary
/// folder.
pub fn run_bare<S: AsRef<OsStr>>(program: &Path, folder: &Path, args: &[S]) -> Outcome {
    outcome(Command::new(program).args(args).current_dir(folder).env_clear().env("PATH", "").output())
}

/// Runs a command of `mlc` in `folder`, with the environment of the test and for the level that the tests
/// are run for.
pub fn run<S: AsRef<OsStr>>(mlc: &Path, folder: &Path, args: &[S]) -> Outcome {
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    // In front of the file: what comes behind it may be the program's.
    let (command, rest) = args.split_at(args.len().min(1));
    outcome(
        Command::new(mlc).args(command).args(Way::chosen().args_behind(&args)).args(rest).current_dir(folder).output(),
    )
}

fn outcome(output: std::io::Result<Output>) -> Outcome {
    let output = output.expect("the program starts");
    Outcome {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("stdout is text"),
        stderr: String::from_utf8(output.stderr).expect("stderr is text"),
    }
}

impl Outcome {
    /// Must have ended well.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        assert_eq!(self.status, 0, "stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }

    /// Must have been refused as the user's mistake: status 1, a message with all of `words`, and
    /// neither a panic nor a backtrace.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Outcome {
        assert_eq!(self.status, 1, "stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        for word in ["panicked", "RUST_BACKTRACE", "internal error"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
        self
    }

    /// The last line of stdout, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or("");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}
