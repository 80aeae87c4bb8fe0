//! Reverse-mode differentiation of a region, graph to graph.

mod cx;

pub use cx::VjpCx;

use crate::graph::{SpanId, Value};

/// The adjoint of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adj {
    /// Of the operand's type.
    Value(Value),
    /// Zero, because …
    Zero(Reason),
}

/// Why a gradient ends at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Integers and truth values have no gradient.
    Integer,
    /// The derivative is zero everywhere: `round`, `floor`, `ceil`, `sign`; the word is the op's.
    Flat(&'static str),
    /// A comparison.
    Comparison,
    /// `argmax`, `argmin`: the result is a position.
    Position,
    /// A conversion to an integer dtype.
    ToInteger,
    /// The operand says where to read or write.
    Index,
    /// `stop_gradient`.
    StopGradient,
    /// A random draw does not depend on its operands smoothly.
    Random,
    /// A custom `grad` or a loop's end: no rule reaches this operand.
    NoPath,
    /// Nobody asked for this operand's adjoint.
    NotAsked,
}

impl Reason {
    /// In words, to stand after "the gradient ends here: ".
    pub fn text(self) -> String {
        match self {
            Reason::Integer => "integers and bools have no gradient".into(),
            Reason::Flat(name) => format!("the derivative of `{name}` is zero everywhere"),
            Reason::Comparison => "a comparison has no gradient".into(),
            Reason::Position => "the position of an extreme has no gradient".into(),
            Reason::ToInteger => "a conversion to integers has no gradient".into(),
            Reason::Index => "an index has no gradient".into(),
            Reason::StopGradient => "`stop_gradient`".into(),
            Reason::Random => "a random draw has no gradient".into(),
            Reason::NoPath => "no differentiable path leads through it".into(),
            Reason::NotAsked => "it was not asked for".into(),
        }
    }
}

/// Why there is no gradient for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the gradient was cut and why; `None`: the loss does not use the value at all.
    pub at: Option<(SpanId, Reason)>,
}
