//! Braces where a value is expected: a dictionary or set of another language.

use super::Cutter;
use crate::diag::Diagnostic;
use crate::explain;
use crate::layout::token::{Kind, Lexer, Token};

impl Cutter<'_> {
    /// Where the braces end that begin with `token`, if they are meant as a value. `behind` goes on after `token`.
    pub(super) fn braces_of_value(&mut self, token: Token, behind: &Lexer<'_>) -> Option<usize> {
        if token.kind != Kind::Open(b'{') || token.lo < self.braces_sought || !self.awaits_value() {
            return None;
        }
        let mut lexer = behind.clone();
        let mut inner = lexer.clone().filter(|token| !matches!(token.kind, Kind::Trivia { .. }));
        let (first, second) = (inner.next()?, inner.next());
        let is_separated = |second: Token| {
            matches!(second.kind, Kind::Comma | Kind::Close(b'}')) || self.word(second).starts_with(':')
        };
        let is_listed = matches!(first.kind, Kind::Word | Kind::Str { .. }) && second.is_some_and(is_separated);
        if first.kind != Kind::Close(b'}') && !is_listed {
            return None;
        }
        let mut depth = 1;
        for token in lexer.by_ref() {
            match token.kind {
                Kind::Open(b'{') => depth += 1,
                Kind::Close(b'}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(token.hi);
            }
        }
        self.braces_sought = self.source.len();
        None
    }

    /// Tells of a dictionary or set that begins with `token` and ends at `end`.
    pub(super) fn braces_as_value(&mut self, token: Token, end: usize) {
        self.after_break = false;
        self.begin_segment(token);
        let message = self.explained(token, end);
        self.break_line_with(message);
        self.previous = Some(Token { kind: Kind::Other, lo: token.lo, hi: end });
    }

    fn explained(&self, token: Token, end: usize) -> Diagnostic {
        let inside = &self.source[token.lo + 1..end - 1];
        let returned = self.previous.is_some_and(|previous| self.word(previous) == "return");
        // The first line of it is enough to be seen.
        let shown = self.source[token.lo..end].find('\n').map_or(end, |newline| token.lo + newline);
        explain::braces(inside, returned, self.span(token.lo, shown))
    }

    /// Whether an expression begins behind the token before.
    fn awaits_value(&self) -> bool {
        self.previous.is_some_and(|previous| match previous.kind {
            Kind::Infix => self.word(previous) != "->",
            Kind::Open(b'(' | b'[') | Kind::Comma => true,
            Kind::Word => matches!(self.word(previous), "return" | "yield" | "in" | "assert"),
            Kind::Other => self.word(previous) == ":" && !self.brackets.is_empty(),
            _ => false,
        })
    }
}
