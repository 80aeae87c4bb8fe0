//! Wrong programs and what is said about them: code, place and title of each diagnostic.
//!
//! `data/wrong/*.txt` hold programs between `=== name` and `---`; behind that the expected lines.
//! `BLESS=1 cargo test -p mlc-resolve --test wrong` rewrites them, to be reviewed.

mod common;

use common::{Outcome, outcome};
use std::fmt::Write;

const FILES: &[&str] =
    &["calls", "control", "indexing", "names", "shapes", "sizes", "training", "unsupported", "values"];

struct Case {
    name: String,
    text: String,
    expected: String,
}

fn cases(text: &str) -> Vec<Case> {
    let parts = text.split("=== ").skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once('\n').expect("a name");
            let (text, expected) = rest.split_once("\n---").expect("a line `---`");
            Case { name: name.to_string(), text: format!("{text}\n"), expected: expected.trim().to_string() }
        })
        .collect()
}

fn summary(outcome: &Outcome) -> String {
    let mut text = String::new();
    for diagnostic in &outcome.diagnostics {
        let place = diagnostic.primary.as_ref().map_or(String::new(), |label| outcome.sources.position(label.span));
        let place = place.trim_start_matches("t.dl:");
        let _ = writeln!(text, "{} {place} {}", diagnostic.code.name(), diagnostic.title);
    }
    text.trim().to_string()
}

#[test]
fn wrong_programs_are_told_why() {
    let mut wrong = String::new();
    let mut count = 0;
    for file in FILES {
        let path = format!("{}/tests/data/wrong/{file}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("a table");
        let mut blessed = String::new();
        for case in cases(&text) {
            count += 1;
            let outcome = outcome("t.dl", &case.text);
            let found = summary(&outcome);
            if found != case.expected {
                let _ =
                    writeln!(wrong, "{file}, {}\nexpected:\n{}\nfound:\n{}", case.name, case.expected, outcome.text());
            }
            if found.is_empty() {
                let _ = writeln!(wrong, "{file}, {}: nothing is said", case.name);
            }
            let _ = write!(blessed, "=== {}\n{}---\n{found}\n\n", case.name, case.text);
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, blessed).expect("written");
        }
    }
    assert!(count >= 60, "{count} programs");
    assert!(wrong.is_empty(), "\n{wrong}");
}
