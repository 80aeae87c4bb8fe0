//! What the tests share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use mlc_syntax::ast::Module;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Sources;
use std::path::{Path, PathBuf};

/// A parsed text.
pub struct Parsed {
    pub sources: Sources,
    pub module: Module,
    pub diagnostics: Vec<Diagnostic>,
}

pub fn parse(text: &str) -> Parsed {
    let mut sources = Sources::new();
    let file = sources.add("t.dl", text);
    let (module, diagnostics) = mlc_syntax::parse(file, &sources);
    Parsed { sources, module, diagnostics }
}

impl Parsed {
    /// `3:5 E0001 title`, one line for each.
    pub fn messages(&self) -> Vec<String> {
        self.diagnostics.iter().map(|diagnostic| self.message(diagnostic)).collect()
    }

    fn message(&self, diagnostic: &Diagnostic) -> String {
        let place = diagnostic.primary.as_ref().map_or_else(String::new, |label| {
            let (line, column) = self.sources.file(label.span.file).line_col(label.span.lo);
            format!("{line}:{column} ")
        });
        format!("{place}{} {}", diagnostic.code.name(), diagnostic.title)
    }

    pub fn picture(&self) -> String {
        mlc_syntax::print::print(&self.module, &self.sources)
    }
}

/// Every program of `tests/data`, by name.
pub fn programs() -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let entries = std::fs::read_dir(&directory).expect("tests/data exists");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "dl"));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a readable program");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}
