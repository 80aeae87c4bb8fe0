//! Tokens to lines: which line ends stay, how far each line is indented.

use super::spacing::{Role, is_spaced};
use super::stream::{Break, Comment, Gap, Stream, Token};
use std::collections::BTreeSet;

/// Blanks for each level.
const INDENT: usize = 4;

/// How far a line is indented: to where a piece of an earlier line begins, and `plus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indent {
    /// The line, and the piece in it; none: the left margin.
    pub under: Option<(usize, usize)>,
    /// How much more.
    pub plus: usize,
}

impl Indent {
    fn level(level: usize) -> Indent {
        Indent { under: None, plus: level * INDENT }
    }

    fn deeper(self) -> Indent {
        Indent { plus: self.plus + INDENT, ..self }
    }
}

/// A token in its line.
#[derive(Clone, Debug)]
pub struct Piece<'t> {
    /// The text.
    pub text: &'t str,
    /// Blanks before it.
    pub gap: usize,
    /// Whether the source has it further right than that.
    pub set_off: bool,
}

/// What a line is to its neighbours: lines of one kind may be aligned with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `param`, `state`
    Tensor,
    /// `const`
    Const,
    /// `metric`
    Metric,
    /// `x: type = …`
    Annotated,
    /// `x[i] = …`
    Indexed,
    /// `x = …`, `a, b = …`
    Plain,
}

/// A line of the formatted text.
#[derive(Clone, Debug, Default)]
pub struct Line<'t> {
    /// Whether an empty line stands before it.
    pub blank_before: bool,
    /// How far it is indented.
    pub indent: Indent,
    /// From left to right; empty for a line that is a comment.
    pub pieces: Vec<Piece<'t>>,
    /// At its end.
    pub comment: Option<&'t str>,
    /// If it begins a binding.
    pub binding: Option<Binding>,
    /// The piece behind the `:` of a binding.
    pub ty: Option<usize>,
    /// The `=` of a binding.
    pub equals: Option<usize>,
}

/// Arranges tokens in lines. `begins_line` tells where logical lines begin.
pub fn lines<'t>(stream: &Stream<'t>, roles: &[Role], begins_line: &[bool]) -> Vec<Line<'t>> {
    let mut writer = Writer {
        tokens: &stream.tokens,
        roles,
        begins_line,
        broken: broken_blocks(&stream.tokens),
        lines: Vec::new(),
        open: Vec::new(),
        first: 0,
        pipe: None,
    };
    for at in 0..stream.tokens.len() {
        writer.token(at);
    }
    writer.end(&stream.end);
    writer.lines
}

/// The braces `{` and `}` between which there is a line end.
fn broken_blocks(tokens: &[Token]) -> BTreeSet<usize> {
    let mut broken = BTreeSet::new();
    let mut open: Vec<(usize, bool)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let comments = !token.gap.comments.is_empty();
        let empty = token.text == "}" && open.last().is_some_and(|(brace, _)| brace + 1 == at);
        if comments || token.gap.before > Break::None && !empty {
            open.iter_mut().for_each(|(_, is_broken)| *is_broken = true);
        }
        match token.text {
            "{" => open.push((at, false)),
            "}" => {
                if let Some((brace, true)) = open.pop() {
                    broken.extend([brace, at]);
                }
            }
            _ => {}
        }
    }
    broken
}

/// An open bracket or brace.
struct Open {
    is_brace: bool,
    /// Of a line that begins with what closes it.
    outer: Indent,
    /// Of lines inside.
    inner: Indent,
}

struct Writer<'s, 't> {
    tokens: &'s [Token<'t>],
    roles: &'s [Role],
    begins_line: &'s [bool],
    broken: BTreeSet<usize>,
    lines: Vec<Line<'t>>,
    open: Vec<Open>,
    /// The token that begins the logical line.
    first: usize,
    /// The first `|>` of the logical line, outside of brackets: line and piece.
    pipe: Option<(usize, usize)>,
}

impl<'t> Writer<'_, 't> {
    fn token(&mut self, at: usize) {
        let tokens = self.tokens;
        let gap = &tokens[at].gap;
        if self.begins_line[at] {
            (self.first, self.pipe) = (at, None);
        }
        let breaks = self.breaks_before(at);
        self.comments(gap, Some(at));
        if breaks {
            let indent = self.indent(at);
            let after_open =
                at.checked_sub(1).is_some_and(|before| tokens[before].text == "{" || tokens[before].opens());
            let blank = gap.before == Break::Blank && !tokens[at].closes() && tokens[at].text != "}";
            let after_open = after_open || self.after_attributes(at) && at > self.first;
            let blank_before = blank && at > 0 && !(after_open && gap.comments.is_empty());
            self.lines.push(Line { blank_before, indent, ..Line::default() });
        } else if gap.semicolon && self.begins_line[at] && tokens[at - 1].text != "{" {
            self.push(";", false, 0);
            self.push(tokens[at].text, true, 0);
            return self.note(at);
        }
        let spaced = !breaks && is_spaced(self.placed(at - 1), self.placed(at), at - 1 == self.first);
        self.push(tokens[at].text, spaced, gap.blanks);
        self.note(at);
    }

    fn placed(&self, at: usize) -> (&Token<'t>, Role) {
        (&self.tokens[at], self.roles[at])
    }

    fn push(&mut self, text: &'t str, spaced: bool, blanks: usize) {
        if let Some(line) = self.lines.last_mut() {
            let gap = usize::from(spaced);
            line.pieces.push(Piece { text, gap, set_off: blanks > gap });
        }
    }

    /// The place of the last piece.
    fn here(&self) -> (usize, usize) {
        let line = self.lines.len().saturating_sub(1);
        (line, self.lines.last().map_or(0, |line| line.pieces.len().saturating_sub(1)))
    }

    fn line_indent(&self) -> Indent {
        self.lines.last().map_or(Indent::default(), |line| line.indent)
    }

    /// How far the logical line is indented.
    fn base(&self) -> Indent {
        Indent::level(self.open.iter().filter(|open| open.is_brace).count())
    }

    // ---- line ends

    fn breaks_before(&self, at: usize) -> bool {
        let tokens = self.tokens;
        let gap = &tokens[at].gap;
        let Some(before) = at.checked_sub(1) else { return true };
        if !gap.comments.is_empty() {
            return true;
        }
        match (tokens[before].text, tokens[at].text) {
            ("{", _) => self.broken.contains(&before),
            (_, "}") => self.broken.contains(&at),
            ("}", "else") => false,
            _ => gap.before > Break::None || self.ends_attribute(before),
        }
    }

    /// An attribute at the beginning of a line has the line for itself.
    fn ends_attribute(&self, at: usize) -> bool {
        let line = self.lines.last().map_or(&[][..], |line| &line.pieces);
        let is_attribute = at.checked_sub(1).is_some_and(|sign| self.is_attribute_sign(sign));
        is_attribute && matches!(line, [sign, _] if sign.text == "@")
    }

    fn is_attribute_sign(&self, at: usize) -> bool {
        self.tokens[at].text == "@" && self.roles[at] == Role::Prefix
    }

    /// Whether all of the logical line before `at` is attributes.
    fn after_attributes(&self, at: usize) -> bool {
        (self.first..at).step_by(2).all(|sign| self.is_attribute_sign(sign))
    }

    // ---- indentation

    /// Of a line that begins with the token at `at`, or with a comment before it.
    fn indent(&self, at: usize) -> Indent {
        if self.tokens[at].closes() || self.tokens[at].text == "}" {
            return self.open.last().map_or(Indent::default(), |open| open.outer);
        }
        self.inner_indent(at)
    }

    fn inner_indent(&self, at: usize) -> Indent {
        match self.open.last() {
            Some(open) if !open.is_brace => open.inner,
            _ if self.begins_line[at] || self.tokens[at].text == "}" || self.after_attributes(at) => self.base(),
            _ if self.tokens[at].text == "else" && self.tokens[at - 1].text == "}" => self.base(),
            _ => match self.pipe {
                Some(pipe) if self.tokens[at].text == "|>" => Indent { under: Some(pipe), plus: 0 },
                _ => self.base().deeper(),
            },
        }
    }

    // ---- comments

    /// The comments before the token at `at`, or at the end of the text.
    fn comments(&mut self, gap: &Gap<'t>, at: Option<usize>) {
        for (number, comment) in gap.comments.iter().enumerate() {
            if comment.before == Break::None
                && let Some(line) = self.lines.last_mut()
            {
                line.comment = Some(comment.text);
                continue;
            }
            let indent = at.map_or(Indent::default(), |at| self.inner_indent(at));
            let after_open = at
                .and_then(|at| at.checked_sub(1))
                .is_some_and(|before| number == 0 && (self.tokens[before].text == "{" || self.tokens[before].opens()));
            self.comment_line(comment, indent, after_open);
        }
    }

    fn comment_line(&mut self, comment: &Comment<'t>, indent: Indent, after_open: bool) {
        let blank_before = comment.before == Break::Blank && !after_open && !self.lines.is_empty();
        self.lines.push(Line { blank_before, indent, comment: Some(comment.text), ..Line::default() });
    }

    fn end(&mut self, gap: &Gap<'t>) {
        self.comments(gap, None);
    }

    // ---- what later tokens hang on

    fn note(&mut self, at: usize) {
        let here = self.here();
        let text = self.tokens[at].text;
        match text {
            "{" => {
                let outer = self.base();
                self.open.push(Open { is_brace: true, outer, inner: outer.deeper() });
            }
            "(" | "[" => {
                let outer = self.line_indent();
                let breaks = self.tokens.get(at + 1).is_none_or(|_| self.breaks_before(at + 1));
                let inside = Indent { under: Some((here.0, here.1 + 1)), plus: 0 };
                self.open.push(Open { is_brace: false, outer, inner: if breaks { outer.deeper() } else { inside } });
            }
            ")" | "]" | "}" => drop(self.open.pop()),
            "|>" if self.pipe.is_none() && self.is_outside() => self.pipe = Some(here),
            _ => {}
        }
        self.note_binding(at, here.1);
    }

    fn is_outside(&self) -> bool {
        self.open.last().is_none_or(|open| open.is_brace)
    }

    fn note_binding(&mut self, at: usize, piece: usize) {
        let outside = self.is_outside() || self.tokens[at].opens();
        let first = self.tokens[self.first].text;
        let role = self.roles[at];
        let is_type = outside && at > self.first && self.roles[at - 1] == Role::Colon;
        let is_index = self.tokens[at].text == "[" && outside;
        let starts_line = self.first + piece == at;
        let Some(line) = self.lines.last_mut() else { return };
        if !starts_line || line.equals.is_some() {
            return;
        }
        match self.tokens[at].text {
            "=" if outside => {
                line.equals = Some(piece);
                line.binding = Some(match first {
                    "param" | "state" if self.first + 1 < at && line.ty.is_some() => Binding::Tensor,
                    "const" => Binding::Const,
                    "metric" if self.first + 1 < at => Binding::Metric,
                    _ if line.ty.is_some() => Binding::Annotated,
                    _ => line.binding.unwrap_or(Binding::Plain),
                });
            }
            _ if is_type && role != Role::TightColon && line.ty.is_none() => line.ty = Some(piece),
            _ if is_index => line.binding = line.binding.or(Some(Binding::Indexed)),
            _ => {}
        }
    }
}
