//! Where the parser's diagnostics are gathered: at most [`LIMIT`] for a file, and a count of the rest.

use crate::diag::Diagnostic;

/// Nobody reads more syntax errors than this, and a file of garbage has one on every line.
const LIMIT: usize = 50;

/// A bounded list of diagnostics.
#[derive(Default)]
pub struct Sink {
    diagnostics: Vec<Diagnostic>,
    left_out: usize,
}

impl Sink {
    /// Adds one, unless there are enough already or there is one at its place.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.report_with(|| diagnostic);
    }

    /// As [`Sink::report`]; the diagnostic is made only if it is wanted.
    pub fn report_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.diagnostics.len() >= LIMIT {
            self.left_out += 1;
            return;
        }
        let diagnostic = diagnostic();
        if self.diagnostics.iter().all(|other| start(other) != start(&diagnostic)) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// All of them, in the order of their places; the last one tells how many are left out.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(start);
        if let (Some(last), true) = (self.diagnostics.last_mut(), self.left_out > 0) {
            last.notes.push(left_out(self.left_out, "that cannot be read"));
        }
        self.diagnostics
    }
}

/// The line that stands for what is not shown.
fn left_out(count: usize, what: &str) -> String {
    match count {
        1 => format!("one more place {what} is not shown"),
        count => format!("{count} more places {what} are not shown"),
    }
}

fn start(diagnostic: &Diagnostic) -> Option<u32> {
    diagnostic.primary.as_ref().map(|label| label.span.lo)
}
