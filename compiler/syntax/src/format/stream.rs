//! The tokens of a text with what stands between them: comments, line ends, blanks.

use crate::layout::{Kind, Lexer};

/// How far a token or comment stands from what comes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Break {
    /// In the same line.
    #[default]
    None,
    /// In the next line.
    Line,
    /// Behind an empty line.
    Blank,
}

/// A comment, without blanks at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment<'t> {
    /// From `#` on.
    pub text: &'t str,
    /// Before it.
    pub before: Break,
}

/// What stands between two tokens.
#[derive(Clone, Debug, Default)]
pub struct Gap<'t> {
    /// In their order.
    pub comments: Vec<Comment<'t>>,
    /// Before the token behind the gap.
    pub before: Break,
    /// How many blanks, if there is nothing else.
    pub blanks: usize,
    /// Whether a `;` stood in it that ends a statement.
    pub semicolon: bool,
}

/// A word, number, string or sign.
#[derive(Clone, Debug)]
pub struct Token<'t> {
    /// As it is written.
    pub text: &'t str,
    /// Where.
    pub lo: usize,
    /// What stands before it.
    pub gap: Gap<'t>,
}

impl Token<'_> {
    /// `(` or `[`
    pub fn opens(&self) -> bool {
        matches!(self.text, "(" | "[")
    }

    /// `)` or `]`
    pub fn closes(&self) -> bool {
        matches!(self.text, ")" | "]")
    }

    /// A name or keyword.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    }

    /// A number without point and exponent.
    pub fn is_integer(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_digit()) && self.text.chars().all(|c| c.is_ascii_digit() || c == '_')
    }
}

/// A text as tokens.
#[derive(Debug, Default)]
pub struct Stream<'t> {
    /// In their order, without the `;` that end statements.
    pub tokens: Vec<Token<'t>>,
    /// Behind the last one.
    pub end: Gap<'t>,
}

/// Reads `text`, which must have no syntax errors.
pub fn stream(text: &str) -> Stream<'_> {
    let mut stream = Stream::default();
    let mut brackets = Vec::new();
    let mut from = 0;
    for token in Lexer::new(text) {
        if token.lo < from {
            continue; // inside a number
        }
        let found = text.get(token.lo..token.hi).unwrap_or("");
        if let Kind::Trivia { .. } = token.kind {
            join(&mut stream.end, gap(found));
            continue;
        }
        let found = number(text.get(token.lo..).unwrap_or("")).unwrap_or(found);
        from = token.lo + found.len();
        match found {
            "(" | "[" | "{" => brackets.push(found),
            ")" | "]" | "}" => drop(brackets.pop()),
            ";" if brackets.last().is_none_or(|open| *open == "{") => {
                stream.end.semicolon = true;
                continue;
            }
            _ => {}
        }
        stream.tokens.push(Token { text: found, lo: token.lo, gap: std::mem::take(&mut stream.end) });
    }
    stream
}

/// Both gaps as one: a `;` that was between them is gone.
fn join<'t>(gap: &mut Gap<'t>, next: Gap<'t>) {
    let line_ends = gap.before.max(next.before);
    if let Some(first) = next.comments.first()
        && gap.comments.is_empty()
    {
        gap.comments.push(Comment { before: gap.before.max(first.before), ..*first });
        gap.comments.extend_from_slice(&next.comments[1..]);
        gap.before = next.before;
    } else {
        gap.comments.extend(next.comments);
        gap.before = line_ends;
    }
    gap.blanks = next.blanks;
}

fn gap(trivia: &str) -> Gap<'_> {
    let mut gap = Gap::default();
    let mut rest = trivia;
    let mut line_ends = 0;
    while let Some(c) = rest.chars().next() {
        match c {
            '#' => {
                let (comment, behind) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
                gap.comments.push(Comment { text: comment.trim_end(), before: level(line_ends) });
                (rest, line_ends) = (behind, 0);
                continue;
            }
            '\n' => line_ends += 1,
            _ => gap.blanks += 1,
        }
        rest = &rest[c.len_utf8()..];
    }
    gap.before = level(line_ends);
    gap
}

fn level(line_ends: usize) -> Break {
    match line_ends {
        0 => Break::None,
        1 => Break::Line,
        _ => Break::Blank,
    }
}

/// The number at the beginning of `text`; the lexer of the layout has it in pieces.
fn number(text: &str) -> Option<&str> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or("");
        from + rest.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(rest.len())
    };
    let digit_at = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    if !digit_at(0) {
        return None;
    }
    let mut end = digits(0);
    if text[end..].starts_with('.') && digit_at(end + 1) {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        if digit_at(end + 1 + sign) {
            end = digits(end + 1 + sign);
        }
    }
    text.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        stream(text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn numbers_are_whole() {
        assert_eq!(texts("1..n 1.5e-3 2_000 1e3-2"), ["1", "..", "n", "1.5e-3", "2_000", "1e3", "-", "2"]);
    }

    #[test]
    fn semicolons_that_end_statements_are_gone() {
        assert_eq!(texts("a; [b; 2] ; { c; }"), ["a", "[", "b", ";", "2", "]", "{", "c", "}"]);
    }

    #[test]
    fn comments_keep_their_places() {
        let stream = stream("a; # one\n\n  # two\nb\n# three");
        let gap = &stream.tokens[1].gap;
        let found: Vec<_> = gap.comments.iter().map(|comment| (comment.text, comment.before)).collect();
        assert_eq!(found, [("# one", Break::None), ("# two", Break::Blank)]);
        assert_eq!(gap.before, Break::Line);
        assert_eq!(stream.end.comments.len(), 1);
    }
}
