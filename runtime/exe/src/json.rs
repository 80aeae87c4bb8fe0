//! JSON values: a reader on top of the core's cursor, and a writer of single lines.

use crate::order;
use mlc_rt_core::json::{Cursor, Error, MAX_DEPTH, Text};
use std::fmt::Write;

/// A JSON value. Objects keep their order and have no key twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction and exponent that fits.
    Int(i64),
    /// Any other number that is finite in f64. Written as `null` if it isn't finite.
    Float(f64),
    /// A string.
    Str(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads one value that takes up all of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        let value = value(&mut cursor, 0)?;
        cursor.end()?;
        Ok(value)
    }

    /// The value of a key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// As a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }

    /// As a whole number.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// As an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// An object of these fields.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The text on one line.
    pub fn line(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Int(i) => {
                let _ = write!(out, "{i}");
            }
            Self::Float(x) => out.push_str(&number(*x)),
            Self::Str(s) => quote(s, out),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (i, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    quote(name, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Str(s.to_owned())
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

/// A number as JSON writes it: shortest text, as f32 if it is one; `null` if it isn't finite.
pub fn number(x: f64) -> String {
    if !x.is_finite() {
        return "null".to_owned();
    }
    let size = x.abs();
    let narrow = x as f32;
    match (f64::from(narrow) == x, size != 0.0 && !(1e-5..1e15).contains(&size)) {
        (true, true) => format!("{narrow:e}"),
        (true, false) => format!("{narrow}"),
        (false, true) => format!("{x:e}"),
        (false, false) => format!("{x}"),
    }
}

/// Writes `s` as a JSON string.
pub fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn value(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, Error> {
    if depth >= MAX_DEPTH {
        return Err(cursor.error("nested too deeply"));
    }
    match cursor.peek() {
        Some(b'"') => Ok(Value::Str(owned(cursor.string()?))),
        Some(b'{') => object(cursor, depth),
        Some(b'[') => array(cursor, depth),
        Some(b't') => cursor.word("true").map(|()| Value::Bool(true)),
        Some(b'f') => cursor.word("false").map(|()| Value::Bool(false)),
        Some(b'n') => cursor.word("null").map(|()| Value::Null),
        _ => numeric(cursor),
    }
}

/// A string with its escapes resolved.
pub fn owned(text: Text<'_>) -> String {
    text.plain().map_or_else(|| text.chars().collect(), str::to_owned)
}

fn numeric(cursor: &mut Cursor<'_>) -> Result<Value, Error> {
    let error = cursor.error("a number beyond what f64 can hold");
    let text = cursor.number()?;
    if let Ok(i) = text.parse() {
        return Ok(Value::Int(i));
    }
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(Value::Float(x)),
        _ => Err(error),
    }
}

fn array(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, Error> {
    let mut items = Vec::new();
    let mut first = true;
    cursor.expect(b'[', "`[` was expected")?;
    while cursor.item(&mut first)? {
        items.push(value(cursor, depth + 1)?);
    }
    Ok(Value::Array(items))
}

fn object(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, Error> {
    let mut fields: Vec<(String, Value)> = Vec::new();
    let mut first = true;
    cursor.expect(b'{', "`{` was expected")?;
    while let Some(key) = cursor.key(&mut first)? {
        fields.push((owned(key), value(cursor, depth + 1)?));
    }
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    order::sort(&mut names);
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(cursor.error("a key stands twice in an object"));
    }
    Ok(Value::Object(fields))
}
