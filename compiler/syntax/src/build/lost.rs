//! What a line that can't be read was to declare: its names are known all the same, so that its error
//! is not told again at each place that uses them.

use super::Cx;
use crate::ast::{Bind, Expr, ExprKind, Member, Name, Stmt, StmtKind};
use crate::explain::{self, Place};
use crate::grammar::RESERVED;
use crate::layout::{Line, first_word};
use crate::span::Span;

/// The name that an item was to declare.
pub fn item(cx: &Cx, line: &Line) -> Option<Name> {
    let reader = Reader::new(cx, line)?;
    let word = explain::meant_word(first_word(reader.text), Place::Item);
    if word == "import" {
        let at = reader.text.find(" as ")? + " as ".len();
        let name = first_word(&reader.text[at..]);
        return is_name(name).then(|| reader.name(at, name));
    }
    let declares = matches!(word, "const" | "fn" | "layer" | "model" | "extern" | "optimizer");
    declares.then(|| reader.behind_keywords()).flatten()
}

/// A member with the names that the line was to bind, without their values.
pub fn member(cx: &Cx, line: &Line) -> Option<Member> {
    let reader = Reader::new(cx, line)?;
    let word = explain::meant_word(first_word(reader.text), Place::Member);
    let names = match word {
        "param" | "state" | "fn" => reader.behind_keywords().into_iter().collect(),
        _ => reader.targets(),
    };
    let (span, value) = reader.nothing();
    (!names.is_empty()).then_some(Member::Bind(Bind { names, ty: None, value, span }))
}

/// A statement that binds the names on the left of the line to nothing.
pub fn statement(cx: &Cx, line: &Line) -> Option<Stmt> {
    let reader = Reader::new(cx, line)?;
    let names = reader.targets();
    if names.is_empty() {
        return None;
    }
    let (span, value) = reader.nothing();
    let target = |name: Name| Expr { kind: ExprKind::Name(name.text), span: name.span };
    let targets = names.into_iter().map(target).collect();
    Some(Stmt { kind: StmtKind::Assign { targets, op: None, values: vec![value] }, span })
}

/// The first segment of a line.
struct Reader<'t> {
    text: &'t str,
    span: Span,
}

impl<'t> Reader<'t> {
    fn new(cx: &Cx<'t>, line: &Line) -> Option<Reader<'t>> {
        let first = line.segments.first()?;
        Some(Reader { text: cx.segment_text(first), span: Span::new(cx.file, first.lo, first.hi) })
    }

    /// A value that was told to be wrong, and where.
    fn nothing(&self) -> (Span, Expr) {
        (self.span, Expr { kind: ExprKind::Error, span: self.span })
    }

    fn name(&self, lo: usize, word: &str) -> Name {
        let lo = self.span.lo as usize + lo;
        Name { text: word.into(), span: Span::new(self.span.file, lo, lo + word.len()) }
    }

    /// `fn NAME`, `extern fn NAME`, `@export fn NAME`: the name.
    fn behind_keywords(&self) -> Option<Name> {
        let start = first_word(self.text).as_ptr() as usize - self.text.as_ptr() as usize;
        let mut at = start + first_word(self.text).len();
        loop {
            at += self.text[at..].len() - self.text[at..].trim_start().len();
            let word = first_word(&self.text[at..]);
            if word != "fn" || !self.text[at..].starts_with("fn") {
                let is_name = is_name(word) && self.text[at..].starts_with(word);
                return is_name.then(|| self.name(at, word));
            }
            at += word.len();
        }
    }

    /// The names before `=` or `:`, if there is nothing else but brackets around some; without `=` the first word
    /// if another one follows it, as in `x zeros([2])`.
    fn targets(&self) -> Vec<Name> {
        let Some(end) = self.text.find(['=', ':']) else { return self.before_word().into_iter().collect() };
        let around = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']');
        let mut names = Vec::new();
        for part in self.text[..end].split(',') {
            let word = part.trim_matches(around);
            let word = behind_foreign_keyword(word);
            if !is_name(word) {
                return self.before_word().into_iter().collect();
            }
            let lo = word.as_ptr() as usize - self.text.as_ptr() as usize;
            names.push(self.name(lo, word));
        }
        names
    }

    fn before_word(&self) -> Option<Name> {
        let word = first_word(self.text);
        let rest = self.text.strip_prefix(word)?;
        let next = rest.trim_start();
        let follows = next.len() < rest.len() && next.starts_with(|c: char| c.is_ascii_alphabetic());
        (is_name(word) && follows && !RESERVED.contains(&first_word(next))).then(|| self.name(0, word))
    }
}

/// `x` of `let x` and `f32 x`.
fn behind_foreign_keyword(text: &str) -> &str {
    const KEYWORDS: &[&str] =
        &["let", "var", "val", "auto", "mut", "f32", "f64", "i32", "i64", "u8", "i8", "bool", "int", "float"];
    match text.split_once(char::is_whitespace) {
        Some((word, name)) if KEYWORDS.contains(&word) => name.trim_start(),
        _ => text,
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&word)
}
