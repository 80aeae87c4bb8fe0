//! The linear pass before pest: text to a tree of logical lines.
//!
//! It blanks comments and line ends byte for byte (so spans stay right), decides which line ends
//! matter, pairs brackets and braces, and limits nesting, so that everything after it may recurse. A
//! line that is cut here can be read alone: an error in one never disturbs another.
//!
//! Reported here: what is not closed, what is nested too deeply, comments of other languages. Not
//! here: everything else about the text of a line.

use crate::diag::Diagnostic;

mod chain;
mod cut;
mod headline;
mod token;

pub use cut::cut;
pub use headline::first_word;
pub use token::{Kind, Lexer};

/// Brackets may be nested this deep in a line, and braces in a file.
pub const MAX_NESTING: usize = 200;

/// Brackets, braces and operators around one part of an expression: the depth of the tree it becomes.
pub const MAX_CHAIN: usize = 500;

/// The text of a file, cut into logical lines.
pub struct Layout {
    /// The source with comments and line ends blanked; as long as the source.
    pub text: String,
    /// The lines outside all braces.
    pub lines: Vec<Line>,
}

/// An item, a member or a statement, with all its blocks.
#[derive(Debug)]
pub struct Line {
    /// In source order, at least one. Several for `if … { … } else { … }`.
    pub segments: Vec<Segment>,
    /// An error in it is reported already: its own text is not worth reading, its blocks are.
    pub broken: bool,
}

/// A part of a line up to the `{` that ends it, or to the end of the line.
#[derive(Debug)]
pub struct Segment {
    /// First byte.
    pub lo: usize,
    /// One past the last byte; a `{` at the end is included.
    pub hi: usize,
    /// What stands in the braces.
    pub body: Option<Body>,
}

/// What stands between braces.
#[derive(Debug)]
pub struct Body {
    /// Where `{` stands.
    pub lo: usize,
    /// One past the `}`.
    pub hi: usize,
    /// The lines in it.
    pub lines: Vec<Line>,
    /// Whether it follows a `:`, as in another language: a look at its lines tells nothing new.
    pub follows_colon: bool,
    /// What is wrong about its `{`, told if the text before it is right.
    pub amiss: Option<Diagnostic>,
}
