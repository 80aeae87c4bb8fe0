//! From text to token numbers and back.
//!
//! A vocabulary travels with the weights that were trained on it, so that the same text gives the same
//! numbers wherever they are used.

use crate::error::{DATA, Failure, Result};
use crate::json::Value;
use std::collections::BTreeSet;

/// Under this key a weight file keeps its vocabulary.
pub const KEY: &str = "vocabulary";
/// The number of padding, where numbers 0, 1 and 2 are kept for marks.
pub const PAD: i32 = 0;
/// The number that begins a text.
pub const BEGIN: i32 = 1;
/// The number that ends a text.
pub const END: i32 = 2;
/// Marks before the first token.
const MARKS: usize = 3;
/// A listed token that stands for words that aren't listed.
const UNKNOWN: &str = "<unk>";
/// Most tokens.
const MOST: usize = 1 << 24;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A byte.
    Bytes,
    /// A character.
    Chars,
    /// A listed piece of text.
    List,
}

impl Kind {
    /// Its word in weight files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Chars => "chars",
            Self::List => "list",
        }
    }
}

/// Text that has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Byte of the text.
    pub at: usize,
    /// What stands there.
    pub found: char,
}

/// Tokens and their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    kind: Kind,
    /// Number of the first token: 0, or behind the marks.
    first: usize,
    tokens: Vec<String>,
    trie: Trie,
}

impl Vocabulary {
    /// All bytes.
    pub fn bytes() -> Self {
        Self { kind: Kind::Bytes, first: 0, tokens: Vec::new(), trie: Trie::default() }
    }

    /// The characters of a text, in the order of their code points.
    pub fn chars(text: &str) -> Self {
        let all: BTreeSet<char> = text.chars().collect();
        Self::of(Kind::Chars, 0, all.into_iter().map(String::from).collect())
    }

    /// One token a line: of a file called `path` in messages. With marks, tokens are numbered from 3.
    pub fn list(text: &str, path: &str, marks: bool) -> Result<Self> {
        let wrong = |line: usize, why: &str| Failure::data(DATA, why).at(format!("{path}:{line}"));
        let mut tokens = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let token =
                unescape(line).ok_or_else(|| wrong(i + 1, "`\\` is followed by `n`, `t` or `\\` in a token"))?;
            if token.is_empty() {
                return Err(wrong(i + 1, "this line of the vocabulary is empty"));
            }
            tokens.push(token);
        }
        if tokens.is_empty() || tokens.len() > MOST {
            return Err(Failure::data(DATA, format!("`{path}` has {} tokens", tokens.len())));
        }
        let new = Self::of(Kind::List, if marks { MARKS } else { 0 }, tokens);
        match new.twice() {
            Some((first, second)) => {
                let why = format!("the token `{}` stands here again", new.tokens[second]);
                Err(wrong(second + 1, &why).note(format!("it is in line {} already", first + 1)))
            }
            None => Ok(new),
        }
    }

    fn of(kind: Kind, first: usize, tokens: Vec<String>) -> Self {
        let mut trie = Trie::default();
        for (i, token) in tokens.iter().enumerate() {
            trie.insert(token.as_bytes(), i as u32);
        }
        Self { kind, first, tokens, trie }
    }

    /// Two equal tokens.
    fn twice(&self) -> Option<(usize, usize)> {
        let found = |token: &String| self.trie.longest(token.as_bytes()).map(|(i, _)| i as usize);
        // The trie keeps the first of equal ones.
        self.tokens.iter().enumerate().find_map(|(i, t)| found(t).filter(|&first| first < i).map(|first| (first, i)))
    }

    /// What its tokens are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Has it marks for padding, begin and end?
    pub fn has_marks(&self) -> bool {
        self.first == MARKS
    }

    /// One more than the largest number.
    pub fn size(&self) -> usize {
        if self.kind == Kind::Bytes { 256 } else { self.first + self.tokens.len() }
    }

    /// Appends the numbers of a text.
    pub fn encode(&self, text: &str, numbers: &mut Vec<i32>) -> std::result::Result<(), Unknown> {
        if self.kind == Kind::Bytes {
            numbers.extend(text.bytes().map(i32::from));
            return Ok(());
        }
        let mut at = 0;
        while let Some(found) = text[at..].chars().next() {
            let rest = &text[at..];
            if let Some((token, length)) = self.trie.longest(rest.as_bytes()) {
                numbers.push(self.number(token));
                at += length;
            } else if self.kind == Kind::List && found.is_whitespace() {
                at += found.len_utf8();
            } else if let Some((token, _)) = self.unknown() {
                numbers.push(self.number(token));
                at += rest.find(char::is_whitespace).unwrap_or(rest.len());
            } else {
                return Err(Unknown { at, found });
            }
        }
        Ok(())
    }

    fn number(&self, token: u32) -> i32 {
        (self.first + token as usize) as i32
    }

    fn unknown(&self) -> Option<(u32, usize)> {
        let listed = self.kind == Kind::List;
        self.trie.longest(UNKNOWN.as_bytes()).filter(|(_, length)| listed && *length == UNKNOWN.len())
    }

    /// The text of numbers: it ends at the end mark; other marks and numbers of no token are left out.
    pub fn decode(&self, numbers: impl IntoIterator<Item = i32>) -> String {
        let numbers = numbers.into_iter().take_while(|&n| !(self.has_marks() && n == END));
        if self.kind == Kind::Bytes {
            let bytes: Vec<u8> = numbers.filter_map(|n| u8::try_from(n).ok()).collect();
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        let token = |n: i32| self.tokens.get(usize::try_from(n).ok()?.checked_sub(self.first)?).map(String::as_str);
        let tokens: Vec<&str> = numbers.filter_map(token).collect();
        tokens.join(if self.has_spaces_between() { " " } else { "" })
    }

    /// Tokens are words if none has a space and some have several characters.
    fn has_spaces_between(&self) -> bool {
        self.kind == Kind::List
            && !self.tokens.iter().any(|t| t.contains(char::is_whitespace))
            && self.tokens.iter().any(|t| t != UNKNOWN && t.chars().nth(1).is_some())
    }

    /// For a weight file.
    pub fn to_text(&self) -> String {
        let tokens = self.tokens.iter().map(|t| Value::from(t.as_str())).collect();
        Value::object([
            ("kind", Value::from(self.kind.name())),
            ("first", Value::from(self.first)),
            ("tokens", Value::Array(tokens)),
        ])
        .line()
    }

    /// From a weight file; `None` if it isn't one.
    pub fn from_text(text: &str) -> Option<Self> {
        let value = Value::parse(text.as_bytes()).ok()?;
        let kind = value.get("kind")?.as_str()?;
        let kind = [Kind::Bytes, Kind::Chars, Kind::List].into_iter().find(|k| k.name() == kind)?;
        let first = usize::try_from(value.get("first")?.as_int()?).ok().filter(|&n| n == 0 || n == MARKS)?;
        let tokens: Option<Vec<String>> =
            value.get("tokens")?.as_array()?.iter().map(|t| t.as_str().map(str::to_owned)).collect();
        let tokens = tokens.filter(|all| all.len() <= MOST && all.iter().all(|t| !t.is_empty()))?;
        let fits = match kind {
            Kind::Bytes => tokens.is_empty() && first == 0,
            Kind::Chars => !tokens.is_empty() && tokens.iter().all(|t| t.chars().nth(1).is_none()),
            Kind::List => !tokens.is_empty(),
        };
        Some(Self::of(kind, first, tokens)).filter(|v| fits && v.twice().is_none())
    }
}

/// `\n` is a newline, `\t` a tab, `\\` a backslash.
fn unescape(line: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                't' => '\t',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

/// A tree of bytes in which tokens are paths from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    token: Option<u32>,
    /// Sorted by byte.
    next: Vec<(u8, u32)>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    fn insert(&mut self, bytes: &[u8], token: u32) {
        let mut at = 0;
        for &byte in bytes {
            at = match self.nodes[at].next.binary_search_by_key(&byte, |(b, _)| *b) {
                Ok(i) => self.nodes[at].next[i].1 as usize,
                Err(i) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[at].next.insert(i, (byte, new as u32));
                    new
                }
            };
        }
        self.nodes[at].token.get_or_insert(token);
    }

    /// The longest token that `bytes` begin with, and its length.
    fn longest(&self, bytes: &[u8]) -> Option<(u32, usize)> {
        let (mut at, mut best) = (0, None);
        for (i, byte) in bytes.iter().enumerate() {
            let Ok(step) = self.nodes[at].next.binary_search_by_key(byte, |(b, _)| *b) else { break };
            at = self.nodes[at].next[step].1 as usize;
            best = self.nodes[at].token.map(|token| (token, i + 1)).or(best);
        }
        best
    }
}
