//! Cuts a file into logical lines.

mod braces;
mod starts;

use super::chain::Chain;
use super::headline::{self, Declaration};
use super::token::{Kind, Lexer, Token};
use super::{Body, Layout, Line, MAX_NESTING, Segment};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::sink::Sink;
use crate::span::{FileId, Span};

/// Cuts `source`, the text of `file`.
pub fn cut(file: FileId, source: &str, sink: &mut Sink) -> Layout {
    let mut cutter = Cutter {
        file,
        source,
        blanked: source.as_bytes().to_vec(),
        sink,
        bodies: vec![OpenBody::new(0, 0, true)],
        brackets: Vec::new(),
        chain: Chain::default(),
        previous: None,
        line_start: 0,
        indent: 0,
        after_break: true,
        first_in_line: true,
        misfit: None,
        brace_is_late: false,
        braces_sought: 0,
    };
    cutter.run();
    cutter.finish()
}

/// A `{` that has no `}` yet; the bottom one stands for the file.
struct OpenBody {
    brace: usize,
    /// How far the line that opened it is indented.
    indent: usize,
    /// Whether it has members in it, and not statements.
    has_members: bool,
    /// What is wrong about its `{`.
    amiss: Option<Diagnostic>,
    /// Whether there is no `{`, only deeper lines.
    implied: bool,
    lines: Vec<Line>,
    line: OpenLine,
}

impl OpenBody {
    fn new(brace: usize, indent: usize, has_members: bool) -> OpenBody {
        let (lines, line) = (Vec::new(), OpenLine::default());
        OpenBody { brace, indent, has_members, amiss: None, implied: false, lines, line }
    }
}

/// A logical line that goes on.
#[derive(Default)]
struct OpenLine {
    segments: Vec<Segment>,
    /// Where the segment begins that goes on.
    start: Option<usize>,
    /// How far the line is indented.
    indent: usize,
    broken: bool,
    attribute: Attribute,
}

/// Whether a line is nothing but attributes so far; then its declaration may stand in the next one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Attribute {
    /// Nothing yet, or `@name`s.
    #[default]
    Complete,
    /// An `@` without its name.
    Sign,
    /// There is something else.
    No,
}

struct Cutter<'a> {
    file: FileId,
    source: &'a str,
    blanked: Vec<u8>,
    sink: &'a mut Sink,
    /// Never empty.
    bodies: Vec<OpenBody>,
    /// `(` and `[`, with their places.
    brackets: Vec<(u8, usize)>,
    chain: Chain,
    previous: Option<Token>,
    line_start: usize,
    /// How far the current line of the text is indented.
    indent: usize,
    /// Whether a line end stands before the next token.
    after_break: bool,
    /// Whether one stands before the current token.
    first_in_line: bool,
    /// A `{` and the `}` that closed it although it stands further left than its line.
    misfit: Option<(usize, usize)>,
    /// Whether the current token is a `{` that belongs to the line before.
    brace_is_late: bool,
    /// No `{` before this place has a `}`, as far as it was looked for.
    braces_sought: usize,
}

impl Cutter<'_> {
    fn run(&mut self) {
        let source = self.source;
        let mut lexer = Lexer::new(source);
        while let Some(token) = lexer.next() {
            match token.kind {
                Kind::Trivia { line_start } => self.trivia(token, line_start),
                Kind::ForeignComment => self.foreign_comment(token.lo, token.hi),
                Kind::Slashes if self.is_comment(token) => {
                    let end = lexer.skip_line();
                    self.foreign_comment(token.lo, end);
                }
                _ => match self.braces_of_value(token, &lexer) {
                    Some(end) => {
                        lexer.go_on_at(end);
                        self.braces_as_value(token, end);
                    }
                    None => self.significant(token),
                },
            }
            if self.is_nested_too_deeply() || self.chain.is_too_long() {
                self.too_deep(token);
                return;
            }
        }
        let end = source.len();
        self.close_brackets(Token { kind: Kind::Other, lo: end, hi: end }, "the file ends here");
        self.indent = 0;
        self.close_implied(Token { kind: Kind::Other, lo: end, hi: end });
        self.end_line();
        if self.bodies.len() > 1 {
            self.unclosed_brace(end, "the file ends here");
        }
    }

    /// The file's own body does not count.
    fn is_nested_too_deeply(&self) -> bool {
        self.brackets.len() > MAX_NESTING || self.bodies.len() > MAX_NESTING + 1
    }

    fn finish(mut self) -> Layout {
        while self.bodies.len() > 1 {
            self.end_line();
            self.close_body(self.source.len());
        }
        self.end_line();
        let lines = self.bodies.pop().map_or_else(Vec::new, |body| body.lines);
        // Only whole characters were overwritten, so nothing is lost here.
        Layout { text: String::from_utf8_lossy(&self.blanked).into_owned(), lines }
    }

    // ---- tokens

    fn trivia(&mut self, token: Token, line_start: Option<usize>) {
        self.blank(token.lo, token.hi);
        if let Some(start) = line_start {
            self.line_start = start;
            self.after_break = true;
        }
    }

    fn significant(&mut self, token: Token) {
        self.first_in_line = std::mem::take(&mut self.after_break);
        if self.first_in_line {
            self.indent = token.lo - self.line_start;
            self.line_break(token);
        }
        self.after_block(token);
        self.note_attribute(token);
        match token.kind {
            Kind::Open(b'{') => self.open_brace(token),
            Kind::Close(b'}') => self.close_brace(token),
            Kind::Open(bracket) => self.open_bracket(token, bracket),
            Kind::Close(bracket) => self.close_bracket(token, bracket),
            Kind::Semicolon if self.brackets.is_empty() => {
                self.end_line();
                self.blank(token.lo, token.hi);
            }
            Kind::Comma | Kind::Semicolon => {
                self.begin_segment(token);
                self.chain.restart();
            }
            Kind::Str { closed: false } => self.unclosed_string(token),
            Kind::Slashes => self.floor_division(token),
            Kind::Word if !self.is_operator_word(token) => self.begin_segment(token),
            Kind::Word | Kind::Infix | Kind::At | Kind::Other => {
                self.begin_segment(token);
                self.chain.link();
            }
            Kind::Str { .. } | Kind::Trivia { .. } | Kind::ForeignComment => self.begin_segment(token),
        }
        self.previous = Some(token);
    }

    fn is_operator_word(&self, token: Token) -> bool {
        matches!(self.word(token), "and" | "or" | "not" | "if")
    }

    fn word(&self, token: Token) -> &str {
        &self.source[token.lo..token.hi]
    }

    fn begin_segment(&mut self, token: Token) {
        let indent = self.indent;
        let line = self.line();
        if line.start.is_none() {
            if line.segments.is_empty() {
                line.indent = indent;
            }
            line.start = Some(token.lo);
        }
    }

    fn body(&mut self) -> &mut OpenBody {
        self.bodies.last_mut().expect("the file's own body is never closed")
    }

    fn line(&mut self) -> &mut OpenLine {
        &mut self.body().line
    }

    // ---- line ends

    /// Decides about the line end before `token`.
    fn line_break(&mut self, token: Token) {
        if !self.brackets.is_empty() && self.shows_unclosed_bracket(token) {
            self.close_brackets(token, "before this line");
            self.end_line();
        }
        if !self.brackets.is_empty() {
            return;
        }
        self.close_implied(token);
        self.trailing_comma(token);
        let declaration = headline::declaration(&self.source[token.lo..]);
        let after_attributes = self.line().attribute == Attribute::Complete;
        if !after_attributes && (declaration.is_some() || !self.continues(token)) {
            if self.belongs_before(token) {
                return;
            }
            self.open_implied(token);
            self.end_line();
        }
        if let Some(declaration) = declaration {
            self.close_bodies_before(declaration, token);
        }
    }

    fn continues(&mut self, token: Token) -> bool {
        let next = self.word(token);
        let after_block = self.bodies.last().is_some_and(|body| ends_in_block(&body.line));
        if after_block {
            return next == "else";
        }
        let next_joins = matches!(next, "|>" | "->" | "then" | "else" | "requires");
        let previous_joins = self.previous.is_some_and(|previous| match previous.kind {
            Kind::Infix | Kind::Comma | Kind::At => true,
            Kind::Word => matches!(self.word(previous), "and" | "or"),
            _ => false,
        });
        next_joins || (previous_joins && !self.lacks_operand(token))
    }

    /// An operator and then a line like `y = …`: the operand was forgotten. Behind a comma, `y` is one
    /// more name on the left.
    fn lacks_operand(&self, token: Token) -> bool {
        let after_comma = self.previous.is_some_and(|previous| previous.kind == Kind::Comma);
        !after_comma && headline::statement(&self.source[token.lo..])
    }

    fn note_attribute(&mut self, token: Token) {
        let line = self.line();
        line.attribute = match (line.attribute, token.kind) {
            (Attribute::Complete, Kind::At) => Attribute::Sign,
            (Attribute::Sign, Kind::Word) => Attribute::Complete,
            _ => Attribute::No,
        };
    }

    fn end_line(&mut self) {
        let end = self.previous.map_or(0, |previous| previous.hi);
        self.chain.restart();
        let body = self.body();
        let mut line = std::mem::take(&mut body.line);
        if let Some(lo) = line.start {
            line.segments.push(Segment { lo, hi: end, body: None });
        }
        if !line.segments.is_empty() {
            body.lines.push(Line { segments: line.segments, broken: line.broken });
        }
    }

    /// Nothing but `else` can follow a block in its line.
    fn after_block(&mut self, token: Token) {
        let ends_line = matches!(token.kind, Kind::Close(b'}') | Kind::Semicolon);
        if !ends_in_block(self.line()) || ends_line || self.word(token) == "else" {
            return;
        }
        let found = self.word(token).to_owned();
        let was_broken = self.line().broken;
        self.end_line();
        if was_broken && matches!(token.kind, Kind::Close(_) | Kind::Comma | Kind::Infix) {
            // The rest of a line that was told.
            self.line().broken = true;
        } else if let Some(message) = crate::explain::foreign_word(&found, self.span(token.lo, token.hi))
            && matches!(&*found, "elif" | "elseif" | "elsif")
        {
            self.break_line_with(message);
        } else if matches!(token.kind, Kind::Word | Kind::At) {
            self.report(token, Code::E0001, format!("expected a new line after `}}`, found `{found}`"));
        } else {
            self.break_line(token, Code::E0001, format!("expected a new line after `}}`, found `{found}`"));
        }
    }

    // ---- braces

    fn open_brace(&mut self, token: Token) {
        self.scan_in_brackets(token);
        self.close_brackets(token, "before this");
        self.begin_segment(token);
        let source = self.source;
        let line = self.line();
        let start = line.segments.first().map_or(line.start, |segment| Some(segment.lo)).unwrap_or(token.lo);
        let (indent, word) = (line.indent, headline::first_word(&source[start..token.lo]));
        let amiss = self.late_brace(token);
        self.bodies.push(OpenBody { amiss, ..OpenBody::new(token.lo, indent, headline::has_members(word)) });
        self.chain.open_block();
    }

    fn close_brace(&mut self, token: Token) {
        self.close_brackets(token, "before this");
        self.end_line();
        if self.bodies.len() == 1 {
            self.report(token, Code::E0002, "there is no `{` for this `}`".to_owned());
            self.blank(token.lo, token.hi);
            return;
        }
        let (brace, indent) = (self.body().brace, self.body().indent);
        if self.first_in_line && self.indent < indent && self.misfit.is_none() {
            self.misfit = Some((brace, token.lo));
        }
        self.close_body(token.hi);
        self.chain.close();
    }

    /// Gives the innermost body to the line that opened it. Not for the file itself.
    fn close_body(&mut self, end: usize) {
        let Some(body) = self.bodies.pop() else { return };
        let line = self.line();
        let lo = line.start.take().unwrap_or(body.brace);
        let follows_colon = body.implied && body.amiss.is_none();
        let inner = Body { lo: body.brace, hi: end, lines: body.lines, follows_colon, amiss: body.amiss };
        line.segments.push(Segment { lo, hi: body.brace + 1, body: Some(inner) });
    }

    /// A declaration that cannot stand where it stands shows that a `}` is missing.
    fn close_bodies_before(&mut self, declaration: Declaration, token: Token) {
        let innermost = self.body();
        let misplaced = declaration == Declaration::Outer || !innermost.has_members;
        let indent = self.indent;
        let closes = |bodies: &[OpenBody]| bodies.len() > 1 && bodies.last().is_some_and(|body| body.indent >= indent);
        if !misplaced || !closes(&self.bodies) {
            return;
        }
        self.unclosed_brace(token.lo, "this declaration begins inside it");
        let attributes = std::mem::take(self.line());
        while closes(&self.bodies) {
            self.end_line();
            self.close_body(token.lo);
            self.chain.close();
        }
        self.end_line();
        *self.line() = attributes;
    }

    fn unclosed_brace(&mut self, end: usize, words: &str) {
        let innermost = self.body().brace;
        let (brace, other) = match self.misfit.take() {
            Some((brace, close)) => (brace, (close, close + 1, "this `}` closes it, but it stands further left")),
            None => (innermost, (end, end, words)),
        };
        let (lo, hi, words) = other;
        let message = Diagnostic::error(Code::E0002, self.span(brace, brace + 1), "`{` is not closed")
            .label("this brace")
            .also(self.span(lo, hi), words)
            .help("put a `}` where the block ends");
        self.sink.report(message);
    }

    // ---- brackets

    fn open_bracket(&mut self, token: Token, bracket: u8) {
        self.begin_segment(token);
        self.brackets.push((bracket, token.lo));
        self.chain.open_bracket();
    }

    fn close_bracket(&mut self, token: Token, bracket: u8) {
        self.begin_segment(token);
        let closed = bracket as char;
        let Some((open, lo)) = self.brackets.pop() else {
            let open = if bracket == b')' { '(' } else { '[' };
            return self.break_line(token, Code::E0002, format!("there is no `{open}` for this `{closed}`"));
        };
        self.chain.close();
        if (open == b'(') != (bracket == b')') {
            let message = Diagnostic::error(
                Code::E0002,
                self.span(token.lo, token.hi),
                format!("`{}` is closed by `{closed}`", open as char),
            )
            .also(self.span(lo, lo + 1), "opened here");
            self.break_line_with(message);
        }
    }

    /// Reports the innermost open bracket, if there is one, and forgets all of them.
    fn close_brackets(&mut self, token: Token, words: &str) {
        let Some(&(open, lo)) = self.brackets.last() else { return };
        for _ in std::mem::take(&mut self.brackets) {
            self.chain.close();
        }
        let message =
            Diagnostic::error(Code::E0002, self.span(lo, lo + 1), format!("`{}` is not closed", open as char))
                .label("this bracket")
                .also(self.span(token.lo, token.hi), words);
        self.break_line_with(message);
    }

    /// Whether the line that begins with `token` cannot be the inside of the open bracket.
    fn shows_unclosed_bracket(&self, token: Token) -> bool {
        let rest = &self.source[token.lo..];
        // Behind a comma, `kernel = 3` is an argument in the manner of Python.
        let begins_part = self.previous.is_some_and(|previous| matches!(previous.kind, Kind::Comma | Kind::Open(_)));
        headline::declaration(rest).is_some()
            || headline::two_words(rest)
            || (!begins_part && headline::statement(rest))
    }

    // ---- other mistakes

    fn unclosed_string(&mut self, token: Token) {
        self.begin_segment(token);
        let message = Diagnostic::error(Code::E0002, self.span(token.lo, token.lo + 1), "this string is not closed")
            .help("a string ends in the line in which it begins");
        self.break_line_with(message);
    }

    /// `//` behind an operand is meant as a division, unless prose follows. One is looked at in a line.
    fn is_comment(&mut self, token: Token) -> bool {
        let after_operand = !self.after_break
            && self
                .previous
                .is_some_and(|p| matches!(p.kind, Kind::Str { .. } | Kind::Close(b')' | b']')) || self.is_operand(p));
        let behind = &self.source[token.hi..];
        let assigns = behind.starts_with('=') && !behind.starts_with("==");
        !after_operand || self.line().broken || (!assigns && headline::is_prose(behind))
    }

    fn is_operand(&self, token: Token) -> bool {
        token.kind == Kind::Word && !crate::grammar::RESERVED.contains(&self.word(token))
    }

    fn floor_division(&mut self, token: Token) {
        self.begin_segment(token);
        let message = if self.source[token.hi..].starts_with('=') {
            Diagnostic::error(Code::E0007, self.span(token.lo, token.hi + 1), "there is no operator `//=`")
                .help("whole-number division is `a = floor(a / b)`")
        } else {
            Diagnostic::error(Code::E0007, self.span(token.lo, token.hi), "there is no operator `//`")
                .help("whole-number division is `floor(a / b)`")
                .help("comments begin with `#`")
        };
        self.break_line_with(message);
    }

    fn foreign_comment(&mut self, lo: usize, hi: usize) {
        let sign = self.source[lo..].chars().next().unwrap_or('/');
        let length = if sign == '"' { 3 } else { 2 };
        let message = Diagnostic::error(Code::E0007, self.span(lo, lo + length), "comments begin with `#`");
        self.sink.report(message);
        let newline = self.source[lo..hi].rfind('\n');
        self.trivia(Token { kind: Kind::ForeignComment, lo, hi }, newline.map(|at| lo + at + 1));
    }

    fn too_deep(&mut self, token: Token) {
        let (title, help) = if self.is_nested_too_deeply() {
            (format!("brackets and braces are nested more than {MAX_NESTING} deep"), "give the inner parts names")
        } else {
            ("this expression is too long".to_owned(), "give parts of it names")
        };
        self.sink.report(Diagnostic::error(Code::E0003, self.span(token.lo, token.hi), title).help(help));
        self.brackets.clear();
        self.previous = Some(token);
        for body in &mut self.bodies {
            body.line.broken = true;
        }
    }

    fn report(&mut self, token: Token, code: Code, title: String) {
        let message = Diagnostic::error(code, self.span(token.lo, token.hi), title);
        self.sink.report(message);
    }

    fn break_line(&mut self, token: Token, code: Code, title: String) {
        let message = Diagnostic::error(code, self.span(token.lo, token.hi), title);
        self.break_line_with(message);
    }

    /// Reports, unless the line is broken already, and breaks it.
    fn break_line_with(&mut self, message: Diagnostic) {
        if !std::mem::replace(&mut self.line().broken, true) {
            self.sink.report(message);
        }
    }

    fn blank(&mut self, lo: usize, hi: usize) {
        self.blanked[lo..hi].fill(b' ');
    }

    fn span(&self, lo: usize, hi: usize) -> Span {
        Span::new(self.file, lo, hi)
    }
}

/// Whether the last thing in `line` is a block.
fn ends_in_block(line: &OpenLine) -> bool {
    line.start.is_none() && !line.segments.is_empty()
}
