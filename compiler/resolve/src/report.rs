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
    seen: BTreeSet<Key>,
    /// What is in `seen`, in the order in which it was met.
    met: Vec<Key>,
    /// How many were met when there were enough.
    left_out: usize,
    /// Arguments of calls, each with what is called.
    uncalled: BTreeSet<(Span, Span)>,
}

/// One mistake: what is wrong, and where.
type Key = (Code, Option<Span>);

/// What has been told up to some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    found: usize,
    met: usize,
    left_out: usize,
}

/// More than that many errors help nobody.
const MOST: usize = 100;

impl Reporter {
    /// Adds one, unless it was told before.
    pub fn add(&mut self, diagnostic: Diagnostic) -> Reported {
        let key = (diagnostic.code, diagnostic.primary.as_ref().map(|label| label.span));
        if self.is_first(key) {
            match self.is_full() {
                true => self.left_out += 1,
                false => self.found.push(diagnostic),
            }
        }
        Reported(())
    }

    /// Proof that nothing more will be told, if that is so; what was to be told is counted.
    pub fn count_if_full(&mut self, code: Code, place: Span) -> Option<Reported> {
        if !self.is_full() {
            return None;
        }
        self.left_out += usize::from(self.is_first((code, Some(place))));
        Some(Reported(()))
    }

    /// Whether this has not been met before; from now on it has.
    fn is_first(&mut self, key: Key) -> bool {
        let first = self.seen.insert(key);
        if first {
            self.met.push(key);
        }
        first
    }

    /// What has been told so far.
    pub fn mark(&self) -> Told {
        Told { found: self.found.len(), met: self.met.len(), left_out: self.left_out }
    }

    /// Takes back what was told since: it was about an attempt that came to nothing.
    pub fn rewind(&mut self, to: Told) {
        self.found.truncate(to.found);
        self.left_out = to.left_out;
        for key in self.met.drain(to.met..) {
            self.seen.remove(&key);
        }
    }

    /// Whether an error of a code was told at one of these places.
    pub fn has_any(&self, code: Code, places: &[Span]) -> bool {
        places.iter().any(|place| self.seen.contains(&(code, Some(*place))))
    }

    /// Whether so much was told that nothing more will be.
    fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }

    /// What is called could not be made: how its arguments are named is no matter while that is told.
    pub fn uncalled(&mut self, argument: Span, callee: Span) {
        self.uncalled.insert((argument, callee));
    }

    /// Leaves out what is said about the names of arguments where what is called is told to be wrong.
    fn leave_out_uncalled(&mut self) {
        let places: Vec<Span> = self.found.iter().filter_map(|told| Some(told.primary.as_ref()?.span)).collect();
        let is_told = |callee: &Span| {
            places.iter().any(|place| place.file == callee.file && callee.lo <= place.lo && place.hi <= callee.hi)
        };
        let arguments: BTreeSet<Span> =
            self.uncalled.iter().filter(|(_, callee)| is_told(callee)).map(|(argument, _)| *argument).collect();
        self.found.retain(|told| {
            told.code != Code::E0008 || !told.primary.as_ref().is_some_and(|label| arguments.contains(&label.span))
        });
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

    /// All, in source order; those without a place first. The last one tells how many are left out.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.leave_out_uncalled();
        self.found.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| (label.span.file, label.span.lo)));
        if let (Some(last), true) = (self.found.last_mut(), self.left_out > 0) {
            last.notes.push(match self.left_out {
                1 => "one more mistake is not shown".to_string(),
                count => format!("{count} more mistakes are not shown"),
            });
        }
        self.found
    }
}
