//! Where the parser's diagnostics are gathered: at most [`LIMIT`] for a file.

use crate::diag::Diagnostic;

/// Nobody reads more syntax errors than this, and a file of garbage has one on every line.
const LIMIT: usize = 50;

/// A bounded list of diagnostics.
#[derive(Default)]
pub struct Sink {
    diagnostics: Vec<Diagnostic>,
}

impl Sink {
    /// Adds one, unless there are enough already or there is one at its place.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        let is_new = || self.diagnostics.iter().all(|other| start(other) != start(&diagnostic));
        if self.diagnostics.len() < LIMIT && is_new() {
            self.diagnostics.push(diagnostic);
        }
    }

    /// All of them, in the order of their places.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(start);
        self.diagnostics
    }
}

fn start(diagnostic: &Diagnostic) -> Option<u32> {
    diagnostic.primary.as_ref().map(|label| label.span.lo)
}
