//! Dictionaries and sets, and what stands here for what they are used for elsewhere.

use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::span::Span;

/// Braces where a value is expected, with `inside` between them; `returned` if they stand behind `return`.
pub fn braces(inside: &str, returned: bool, span: Span) -> Diagnostic {
    let is_set = !inside.trim().is_empty() && !inside.contains(':');
    if is_set {
        return Diagnostic::error(Code::E0007, span, "there are no sets").help("a list is written `[1, 2]`");
    }
    let error = Diagnostic::error(Code::E0007, span, "there are no dictionaries");
    match returned {
        true => error
            .help("a function gives several values back by their order, `return a, b`")
            .help("names for the caller of the program stand in the type: `-> (loss: f32, p: f32[B, C])`"),
        false => error
            .help("give each value a name: `heads = 4`, or `const Heads = 4` for a whole file")
            .help("what a layer or function is made with are arguments by name: `Block(heads: 4)`"),
    }
}
