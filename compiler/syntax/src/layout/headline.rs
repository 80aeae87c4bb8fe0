//! What the first words of a line tell about it, before it is read: only for recovery, where a
//! declaration shows that something before it was not closed.

use crate::grammar::RESERVED;

/// What kind of declaration a line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// `layer NAME`, `train NAME`, `test "…"` …: only outside all braces.
    Outer,
    /// `fn NAME`: outside all braces or in a layer, optimizer or train block.
    Fn,
}

/// The word at the beginning of `text`, without attributes (`@export`) before it.
pub fn first_word(text: &str) -> &str {
    let mut text = text.trim_start();
    while let Some(attribute) = text.strip_prefix('@') {
        let attribute = attribute.trim_start();
        text = attribute[word_len(attribute)..].trim_start();
    }
    &text[..word_len(text)]
}

/// The declaration that the line at the beginning of `text` looks like. No expression or statement
/// begins like this.
pub fn declaration(text: &str) -> Option<Declaration> {
    let (word, rest) = text.split_at(word_len(text));
    let kind = match word {
        "fn" => Declaration::Fn,
        "layer" | "model" | "grad" | "extern" | "optimizer" | "train" | "test" | "import" | "const" => {
            Declaration::Outer
        }
        _ => return None,
    };
    let next = rest.trim_start_matches([' ', '\t']);
    let title = matches!(word, "test" | "import") && next.starts_with('"');
    let name = &next[..word_len(next)];
    let named = rest.len() > next.len() && starts_name(name) && (!RESERVED.contains(&name) || name == "fn");
    (title || named).then_some(kind)
}

/// Whether the line at the beginning of `text` begins with a keyword of a statement and a name, which no argument does.
pub fn two_words(text: &str) -> bool {
    let (word, rest) = text.split_at(word_len(text));
    let next = rest.trim_start_matches([' ', '\t']);
    let is_name = rest.len() > next.len() && starts_name(next) && !RESERVED.contains(&&next[..word_len(next)]);
    is_name && matches!(word, "param" | "state" | "metric" | "return" | "yield" | "minimize")
}

/// Whether `text`, all of a line so far, is what a `{` follows.
pub fn opens_block(text: &str) -> bool {
    let word = first_word(text);
    let rest = text.trim_start().strip_prefix(word).unwrap_or("").trim_start();
    match word {
        "step" => rest.starts_with('('),
        "every" => rest.starts_with(|c: char| c.is_ascii_alphanumeric()),
        "for" | "if" | "else" => true,
        _ => declares_block(text) || text.split_whitespace().any(|word| word == "scan"),
    }
}

/// Whether `text` is the headline of a declaration, here or in another language, with members or statements.
pub fn declares_block(text: &str) -> bool {
    matches!(
        first_word(text),
        "fn" | "layer" | "model" | "optimizer" | "train" | "test" | "grad" | "def" | "class" | "struct"
    )
}

/// Whether the line at the beginning of `text` is a statement by its first word; none of these begins an
/// expression.
pub fn keyword_statement(text: &str) -> bool {
    let (word, rest) = text.split_at(word_len(text));
    matches!(word, "return" | "yield" | "minimize" | "for" | "param" | "state" | "fn") && !rest.starts_with([':', '('])
}

/// Whether the line at the beginning of `text`, which stands in open brackets or behind an operator,
/// but not behind a comma, looks like a statement: `y = …`, `return …`.
pub fn statement(text: &str) -> bool {
    let (word, rest) = text.split_at(word_len(text));
    let rest = rest.trim_start_matches([' ', '\t']);
    let assigned = ["+=", "-=", "*=", "/="].iter().any(|op| rest.starts_with(op))
        || (rest.starts_with('=') && !rest.starts_with("=="));
    match word {
        "return" | "yield" | "minimize" => !rest.starts_with(':'),
        "param" | "state" | "metric" if starts_name(rest) => !RESERVED.contains(&&rest[..word_len(rest)]),
        _ => starts_name(word) && assigned,
    }
}

/// Whether `word`, the first of a line that opens a brace, has members and not statements in it.
pub fn has_members(word: &str) -> bool {
    matches!(word, "layer" | "model" | "optimizer" | "train" | "class")
}

/// Whether what follows `//` is a comment rather than a divisor: two plain words in a row, or no
/// operand at all. Only the next `LOOK` bytes count.
pub fn is_prose(text: &str) -> bool {
    const LOOK: usize = 80;
    let end = text.char_indices().find(|(at, c)| *c == '\n' || *at >= LOOK).map_or(text.len(), |(at, _)| at);
    let line = &text[..end];
    let is_plain = |word: &str| word.chars().all(char::is_alphabetic) && !RESERVED.contains(&word);
    let words: Vec<&str> = line.split_whitespace().collect();
    let starts_operand = line.trim_start().starts_with(|c: char| c.is_alphanumeric() || "_([-".contains(c));
    !starts_operand || words.windows(2).any(|pair| pair.iter().all(|word| is_plain(word)))
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn starts_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}
