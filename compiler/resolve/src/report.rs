//! Collects diagnostics. A body is evaluated once for each call, so the same mistake is met more
//! than once; it is kept once. Mistakes met inside the prelude are told at the user's line.

use mlc_syntax::codes::Code;
use mlc_syntax::diag::{Diagnostic, Severity};
use mlc_syntax::span::Span;
use std::collections::BTreeSet;

/// Proof that the user has been told; it can only be had from [`Reporter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported(());

/// The diagnostics so far.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    found: Vec<Diagnostic>,
    seen: BTreeSet<(Code, Option<Span>)>,
}

/// What has been told up to some moment.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    found: usize,
    seen: BTreeSet<(Code, Option<Span>)>,
}

/// More than that many errors help nobody.
const MOST: usize = 100;

impl Reporter {
    /// Adds one, unless it was told before.
    pub fn add(&mut self, diagnostic: Diagnostic) -> Reported {
        let key = (diagnostic.code, diagnostic.primary.as_ref().map(|label| label.span));
        if self.seen.insert(key) && self.found.len() < MOST {
            self.found.push(diagnostic);
        }
        Reported(())
    }

    /// What has been told so far.
    pub fn mark(&self) -> Told {
        Told { found: self.found.len(), seen: self.seen.clone() }
    }

    /// Takes back what was told since: it was about an attempt that came to nothing.
    pub fn rewind(&mut self, to: Told) {
        self.found.truncate(to.found);
        self.seen = to.seen;
    }

    /// Whether so much was told that nothing more will be.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }

    /// Adds one that has no place.
    pub fn add_unplaced(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Proof that something was told before; only for what follows from an error.
    pub fn silent(&self) -> Reported {
        Reported(())
    }

    /// Proof that an error was told about something within `span`: a body with a line that could not be
    /// read is not to be judged by what is left of it.
    pub fn told_within(&self, span: Span) -> Option<Reported> {
        let inside = |place: Span| place.file == span.file && span.lo <= place.lo && place.hi <= span.hi;
        let primary = |diagnostic: &Diagnostic| diagnostic.primary.as_ref().is_some_and(|label| inside(label.span));
        let told = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error && primary(diagnostic);
        self.found.iter().any(told).then_some(Reported(()))
    }

    /// Whether there is no error yet.
    pub fn is_clean(&self) -> bool {
        !self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All, in source order; those without a place first.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| (label.span.file, label.span.lo)));
        self.found
    }
}
