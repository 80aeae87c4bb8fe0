//! Why pest refused a text, in the words of the person who wrote it.
//!
//! The habits of other languages come first ([`habits`]), then misspelt words ([`spelling`]), then
//! what the grammar would have taken ([`expected`]). Messages never show the name of a rule.

mod braces;
mod expected;
mod forms;
mod habits;
mod signs;
mod spelling;

pub use braces::braces;
pub use habits::{
    absent_index, absent_size, digits_behind_point, foreign_package, foreign_statement, foreign_value, foreign_word,
    no_constructor, scan_inside, unused_values,
};
pub use spelling::meant_word;

use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::grammar::{RESERVED, Rule};
use crate::span::{FileId, Span};
use pest::error::{Error, ErrorVariant, InputLocation};

/// What a line was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A declaration of the file.
    Item,
    /// A member of a layer, optimizer or train block.
    Member,
    /// A statement.
    Statement,
    /// What follows the block of an `if`.
    Else,
}

/// A text and where in it pest could not go on.
struct Refused<'t> {
    text: &'t str,
    /// The token at which it stopped.
    at: usize,
    place: Place,
    /// What could have stood there.
    rules: &'t [Rule],
    file: FileId,
    offset: usize,
}

impl<'t> Refused<'t> {
    fn span(&self, lo: usize, hi: usize) -> Span {
        Span::new(self.file, self.offset + lo, self.offset + hi)
    }

    /// The token at which pest stopped; empty at the end of the text.
    fn found(&self) -> &'t str {
        token_at(&self.text[self.at..])
    }

    fn found_span(&self) -> Span {
        self.span(self.at, self.at + self.found().len())
    }

    /// All before it, without blanks at the end.
    fn before(&self) -> &'t str {
        self.text[..self.at].trim_end()
    }

    /// The word that ends just before it, and where it begins.
    fn previous_word(&self) -> (&'t str, usize) {
        let before = self.before();
        let start = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
        (&before[start..], start)
    }

    fn expects(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }
}

/// The diagnostic for a text of `file` at `offset` that pest refused.
pub fn refusal(error: &Error<Rule>, text: &str, file: FileId, offset: usize, place: Place) -> Diagnostic {
    let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        let span = Span::new(file, offset, offset + text.len());
        return Diagnostic::error(Code::E0003, span, "this is too deeply nested to be read")
            .help("give parts of it names");
    };
    let blank = text[at..].len() - text[at..].trim_start().len();
    let at = if at + blank == text.len() { text.trim_end().len() } else { at + blank };
    let refused = Refused { text, at, place, rules: positives, file, offset };
    habits::explain(&refused).or_else(|| spelling::explain(&refused)).unwrap_or_else(|| generic(&refused))
}

fn generic(refused: &Refused) -> Diagnostic {
    let found = refused.found();
    let expected = expected::in_words(refused.rules);
    let title = format!("expected {expected}, found {}", describe(found));
    let message = Diagnostic::error(Code::E0001, refused.found_span(), title).label(format!("expected {expected}"));
    if let Some(form) = forms::whole(refused) {
        return message.help(form);
    }
    let begins_part = found.starts_with(|c: char| c.is_alphanumeric() || "_\"".contains(c));
    if refused.expects(Rule::comma) && begins_part && !RESERVED.contains(&found) {
        // Where a line may end, what follows may as well be the next statement.
        let line = if expected.contains("end of the line") { " A statement begins on a line of its own" } else { "" };
        return message.help(format!("is a `,` missing before `{found}`?{line}"));
    }
    if RESERVED.contains(&found) && expected::wants_name(refused.rules) {
        return message.note(format!("`{found}` is a word of the language and cannot be a name"));
    }
    message
}

fn describe(found: &str) -> String {
    match found.chars().next() {
        None => "the end of the line".to_owned(),
        Some('"') => "a string".to_owned(),
        Some(_) => format!("`{found}`"),
    }
}

/// The token at the beginning of `text`: a word, a string or a sign.
fn token_at(text: &str) -> &str {
    const SIGNS: &[&str] =
        &["...", "**", "+=", "-=", "*=", "/=", "==", "!=", "<=", ">=", "->", "|>", "..", "&&", "||", "=>", ":="];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let Some(first) = text.chars().next() else { return text };
    if is_word(first) {
        return &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())];
    }
    if first == '"' || first == '\'' {
        return &text[..text[1..].find(first).map_or(text.len(), |end| end + 2)];
    }
    let length = SIGNS.iter().find(|sign| text.starts_with(*sign)).map_or(first.len_utf8(), |sign| sign.len());
    &text[..length]
}
