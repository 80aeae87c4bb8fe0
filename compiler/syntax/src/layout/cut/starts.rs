//! Lines whose beginning shows that the end of the line before is not as it was meant: a `{` or an operator on the
//! wrong line, a `{` that is missing, a comma behind which nothing follows. Each is told once, and the lines are
//! cut as they were meant.

use super::{Cutter, OpenBody};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::layout::headline;
use crate::layout::token::{Kind, Token};

impl Cutter<'_> {
    /// Whether `token`, the first of its line, belongs to the line before.
    pub(super) fn belongs_before(&mut self, token: Token) -> bool {
        let Some(start) = self.line().start else { return false };
        if token.kind == Kind::Open(b'{') {
            self.brace_is_late = headline::opens_block(&self.source[start..token.lo]);
            return self.brace_is_late;
        }
        let sign = self.word(token);
        let is_operator = match token.kind {
            Kind::Infix => true,
            // An attribute has its name right behind it.
            Kind::At => self.source[token.hi..].starts_with([' ', '\t']),
            Kind::Word => matches!(sign, "and" | "or"),
            _ => sign == "." && !self.source[token.hi..].starts_with(|c: char| c.is_ascii_digit()),
        };
        if !is_operator {
            return false;
        }
        let message =
            Diagnostic::error(Code::E0001, self.span(token.lo, token.hi), format!("a line cannot begin with `{sign}`"))
                .help(format!("put the `{sign}` at the end of the line before"));
        let message = match sign {
            "." => message.help("or pipe it: a line may begin with `|>`, as in `|> relu`"),
            _ => message,
        };
        self.break_line_with(message);
        true
    }

    /// Opens the body of a headline without its `{`, which the deeper line that begins with `token` shows.
    pub(super) fn open_implied(&mut self, token: Token) {
        let Some(previous) = self.previous else { return };
        let line = self.line();
        let (outer, Some(start)) = (line.indent, line.start) else { return };
        let head = &self.source[start..previous.hi];
        // What goes on with a part of the headline is no body.
        let goes_on = matches!(self.word(token), "while" | "along" | "with" | "over" | "in");
        if self.indent <= outer || goes_on || self.line().broken {
            return;
        }
        let with_colon = head.ends_with(':');
        let opens = match with_colon {
            true => headline::declares_block(head),
            false => headline::opens_block(head),
        };
        if !opens {
            return;
        }
        let brace = previous.hi;
        let amiss = (!with_colon).then(|| {
            self.blanked[brace] = b'{';
            Diagnostic::error(Code::E0001, self.span(brace, brace), "expected `{`, found the end of the line")
                .label("expected `{`")
                .help("a block stands in braces: `{` at the end of this line, `}` behind the last one")
        });
        let has_members = headline::has_members(headline::first_word(head));
        self.bodies.push(OpenBody { amiss, implied: true, ..OpenBody::new(brace, outer, has_members) });
        self.chain.open_block();
    }

    /// Closes implied bodies that the line of `token` stands outside of.
    pub(super) fn close_implied(&mut self, token: Token) {
        let closes_itself = token.kind == Kind::Close(b'}');
        while self.body().implied
            && (self.indent < self.body().indent || (self.indent == self.body().indent && !closes_itself))
        {
            self.end_line();
            let end = self.previous.map_or(0, |previous| previous.hi);
            self.close_body(end);
            self.chain.close();
        }
    }

    /// What is told of a `{` that stands in a line of its own.
    pub(super) fn late_brace(&mut self, token: Token) -> Option<Diagnostic> {
        let is_late = std::mem::take(&mut self.brace_is_late);
        is_late.then(|| {
            Diagnostic::error(Code::E0001, self.span(token.lo, token.hi), "`{` stands in a line of its own")
                .help("put it at the end of the line before, behind a blank")
        })
    }

    /// Tells of a comma at the end of a line behind which `token` begins something else, and takes it out.
    pub(super) fn trailing_comma(&mut self, token: Token) {
        let Some(comma) = self.previous.filter(|previous| previous.kind == Kind::Comma) else { return };
        let Some(start) = self.line().start else { return };
        let rest = &self.source[token.lo..];
        let is_assigned = headline::statement(&self.source[start..]);
        let is_attribute = token.kind == Kind::At && !rest.starts_with("@ ");
        let ends = token.kind == Kind::Close(b'}') || is_attribute || headline::keyword_statement(rest);
        if !(ends || is_assigned && headline::statement(rest)) {
            return;
        }
        let message =
            Diagnostic::error(Code::E0001, self.span(comma.lo, comma.hi), "nothing follows this `,` in its statement")
                .help("leave it out: each statement has a line of its own, and nothing stands between them");
        self.sink.report(message);
        self.blank(comma.lo, comma.hi);
        self.previous = Some(Token { kind: Kind::Other, ..comma });
    }

    /// `y = (scan … {`: told at the `scan`, and not as a bracket that is not closed.
    pub(super) fn scan_in_brackets(&mut self, token: Token) {
        let Some(&(_, open)) = self.brackets.last() else { return };
        let inside = &self.source[open + 1..token.lo];
        if headline::first_word(inside) != "scan" {
            return;
        }
        let lo = open + 1 + (inside.len() - inside.trim_start().len());
        let message = crate::explain::scan_inside(self.span(lo, lo + "scan".len()));
        self.break_line_with(message);
    }
}
