//! Tokens as far as the layout needs them: words, strings, brackets, and whether a sign can end a line
//! that goes on. Every byte of the text belongs to exactly one token.

/// What a token is to the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blanks, comments and line ends in any mixture.
    Trivia {
        /// Where the last line of it begins, if there is a line end in it.
        line_start: Option<usize>,
    },
    /// Letters, digits, `_`: a name, a keyword or (a part of) a number.
    Word,
    /// A string in `"` or (which the grammar refuses) in `'`.
    Str {
        /// Whether its quote comes before the line ends.
        closed: bool,
    },
    /// `(`, `[`, `{`
    Open(u8),
    /// `)`, `]`, `}`
    Close(u8),
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// An infix operator, `=`, `->`, `|>`: the expression goes on in the next line.
    Infix,
    /// `@`: an infix operator or the beginning of an attribute.
    At,
    /// `//`: a comment or a division of another language.
    Slashes,
    /// `/* … */`, `""" … """`: a comment of another language.
    ForeignComment,
    /// Any other sign.
    Other,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub lo: usize,
    /// One past the last byte.
    pub hi: usize,
}

/// Cuts text into tokens, from left to right, in linear time.
#[derive(Clone)]
pub struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

const INFIX: &[&str] =
    &["**", "+=", "-=", "*=", "/=", "==", "!=", "<=", ">=", "->", "|>", "..", "=", "+", "-", "*", "/", "%", "<", ">"];

impl<'t> Lexer<'t> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0 }
    }

    /// Goes on behind the end of the line; returns where that is.
    pub fn skip_line(&mut self) -> usize {
        self.at += Lexer::up_to(self.rest(), "\n");
        self.at
    }

    /// Goes on at the byte `at`, where a token ends.
    pub fn go_on_at(&mut self, at: usize) {
        self.at = at;
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The length of the text up to `end`, or of all that is left.
    fn up_to(rest: &str, end: &str) -> usize {
        rest.find(end).unwrap_or(rest.len())
    }

    fn trivia(&self) -> (Kind, usize) {
        let rest = self.rest();
        let (mut length, mut line_start) = (0, None);
        while let Some(c) = rest[length..].chars().next() {
            match c {
                '#' => length += Lexer::up_to(&rest[length..], "\n"),
                '\n' => {
                    length += 1;
                    line_start = Some(self.at + length);
                }
                c if is_blank(c) => length += c.len_utf8(),
                _ => break,
            }
        }
        (Kind::Trivia { line_start }, length)
    }

    fn string(rest: &str, quote: char) -> (Kind, usize) {
        match rest[1..].find([quote, '\n']) {
            Some(end) if rest[1 + end..].starts_with(quote) => (Kind::Str { closed: true }, end + 2),
            Some(end) => (Kind::Str { closed: false }, end + 1),
            None => (Kind::Str { closed: false }, rest.len()),
        }
    }

    fn foreign_comment(rest: &str) -> Option<(Kind, usize)> {
        if rest.starts_with("//") {
            return Some((Kind::Slashes, 2));
        }
        let (open, close) =
            [("\"\"\"", "\"\"\""), ("/*", "*/")].into_iter().find(|(open, _)| rest.starts_with(open))?;
        let inner = Lexer::up_to(&rest[open.len()..], close);
        Some((Kind::ForeignComment, (open.len() + inner + close.len()).min(rest.len())))
    }

    fn sign(rest: &str, first: char) -> (Kind, usize) {
        let kind = match first {
            '(' | '[' | '{' => Kind::Open(first as u8),
            ')' | ']' | '}' => Kind::Close(first as u8),
            ',' => Kind::Comma,
            ';' => Kind::Semicolon,
            '@' => Kind::At,
            _ if rest.starts_with("...") => return (Kind::Other, 3),
            // An increment of another language: the next line is not its operand.
            _ if rest.starts_with("++") || rest.starts_with("--") => return (Kind::Other, 2),
            _ => match INFIX.iter().find(|sign| rest.starts_with(*sign)) {
                Some(sign) => return (Kind::Infix, sign.len()),
                None => Kind::Other,
            },
        };
        (kind, first.len_utf8())
    }

    fn token(&self, first: char) -> (Kind, usize) {
        let rest = self.rest();
        if is_blank(first) || first == '#' || first == '\n' {
            return self.trivia();
        }
        if is_word(first) {
            return (Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        }
        if let Some(comment) = Lexer::foreign_comment(rest) {
            return comment;
        }
        match first {
            '"' | '\'' => Lexer::string(rest, first),
            _ => Lexer::sign(rest, first),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let first = self.rest().chars().next()?;
        let (kind, length) = self.token(first);
        let lo = self.at;
        self.at += length;
        Some(Token { kind, lo, hi: self.at })
    }
}

fn is_blank(c: char) -> bool {
    c != '\n' && (c.is_whitespace() || c == '\u{feff}')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
