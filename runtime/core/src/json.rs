//! Reading JSON without memory of its own: a cursor that checks as it goes.
//!
//! Strict (RFC 8259): no comments, no trailing commas, no control characters in strings, escapes must
//! be whole. Nesting beyond [`MAX_DEPTH`] is refused, so hostile input can't use up the stack.

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: u32 = 64;

/// Why text isn't JSON, or not the JSON that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Byte at which it was noticed.
    pub at: usize,
    /// What was wrong, a phrase.
    pub what: &'static str,
}

/// A place in JSON text.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A string of JSON, still with its escapes; they are known to be right.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    raw: &'a str,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The byte it is at.
    pub fn position(&self) -> usize {
        self.at
    }

    /// An error at this place.
    pub fn error(&self, what: &'static str) -> Error {
        Error { at: self.at, what }
    }

    /// The next byte that isn't white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Takes `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.at += 1;
        }
        next
    }

    /// Takes `byte`, or fails with `what`.
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Error> {
        if self.eat(byte) { Ok(()) } else { Err(self.error(what)) }
    }

    /// Takes a word such as `true`.
    pub fn word(&mut self, word: &'static str) -> Result<(), Error> {
        self.peek();
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.error("a value was expected"))
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.peek().is_some() { Err(self.error("something follows the value")) } else { Ok(()) }
    }

    /// Takes a string.
    pub fn string(&mut self) -> Result<Text<'a>, Error> {
        self.expect(b'"', "a string was expected")?;
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.error("the string doesn't end")),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err(self.error("a control character in a string")),
                Some(_) => self.at += 1,
            }
        }
        let raw = core::str::from_utf8(&self.bytes[start..self.at])
            .map_err(|e| Error { at: start + e.valid_up_to(), what: "a string that isn't UTF-8" })?;
        self.at += 1;
        Ok(Text { raw })
    }

    fn escape(&mut self) -> Result<(), Error> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let first = self.hex4(self.at + 2)?;
                self.at += 6;
                if (0xdc00..0xe000).contains(&first) {
                    return Err(self.error("half of a surrogate pair"));
                }
                if (0xd800..0xdc00).contains(&first) {
                    let low = self.bytes[self.at..].starts_with(b"\\u").then(|| self.hex4(self.at + 2)).transpose()?;
                    if !low.is_some_and(|low| (0xdc00..0xe000).contains(&low)) {
                        return Err(self.error("half of a surrogate pair"));
                    }
                    self.at += 6;
                }
            }
            _ => return Err(self.error("an unknown escape")),
        }
        Ok(())
    }

    fn hex4(&self, at: usize) -> Result<u32, Error> {
        let digits = self.bytes.get(at..at + 4).ok_or(self.error("an escape that isn't whole"))?;
        digits.iter().try_fold(0, |sum, &d| {
            let digit = (d as char).to_digit(16).ok_or(self.error("an escape that isn't whole"))?;
            Ok(sum * 16 + digit)
        })
    }

    /// Takes a number and returns its text.
    pub fn number(&mut self) -> Result<&'a str, Error> {
        self.peek();
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let whole = self.at;
        if self.digits() == 0 || (self.bytes[whole] == b'0' && self.at > whole + 1) {
            self.at = start;
            return Err(self.error("a number was expected"));
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.error("digits were expected"));
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.error("digits were expected"));
            }
        }
        core::str::from_utf8(&self.bytes[start..self.at]).map_err(|_| self.error("a number was expected"))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    /// Takes a whole number from 0 to 2^64 - 1, written without fraction or exponent.
    pub fn unsigned(&mut self) -> Result<u64, Error> {
        let error = self.error("a whole number was expected");
        self.number()?.parse().map_err(|_| error)
    }

    /// Takes any value.
    pub fn skip(&mut self) -> Result<(), Error> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: u32) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => {
                self.at += 1;
                let mut first = true;
                while self.key(&mut first)?.is_some() {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.at += 1;
                let mut first = true;
                while self.item(&mut first)? {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number().map(drop),
        }
    }

    /// After `{`: takes the next key and its colon, or the `}`. `first` starts as true.
    pub fn key(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, Error> {
        if self.eat(b'}') {
            // `{"a":1,}` has taken its comma already and can't come here.
            return Ok(None);
        }
        if !core::mem::replace(first, false) {
            self.expect(b',', "`,` or `}` was expected")?;
        }
        let key = self.string()?;
        self.expect(b':', "`:` was expected")?;
        Ok(Some(key))
    }

    /// After `[`: true if an item is next, false after taking the `]`. `first` starts as true.
    pub fn item(&mut self, first: &mut bool) -> Result<bool, Error> {
        if core::mem::replace(first, false) {
            return Ok(!self.eat(b']'));
        }
        if self.eat(b']') {
            return Ok(false);
        }
        self.expect(b',', "`,` or `]` was expected")?;
        Ok(true)
    }
}

impl<'a> Text<'a> {
    /// The characters, escapes resolved.
    pub fn chars(self) -> Chars<'a> {
        Chars { rest: self.raw.chars() }
    }

    /// Is it this string?
    pub fn is(self, other: &str) -> bool {
        self.chars().eq(other.chars())
    }

    /// The text between the quotes if it has no escapes.
    pub fn plain(self) -> Option<&'a str> {
        (!self.raw.contains('\\')).then_some(self.raw)
    }
}

/// Characters of a [`Text`].
#[derive(Clone, Debug)]
pub struct Chars<'a> {
    rest: core::str::Chars<'a>,
}

impl Chars<'_> {
    fn hex4(&mut self) -> u32 {
        (0..4).fold(0, |sum, _| sum * 16 + self.rest.next().and_then(|c| c.to_digit(16)).unwrap_or(0))
    }
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c != '\\' {
            return Some(c);
        }
        Some(match self.rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut code = self.hex4();
                if (0xd800..0xdc00).contains(&code) {
                    self.rest.nth(1);
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (self.hex4() & 0x3ff);
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }
}
