//! Types as written.

use super::{Expr, Name};
use crate::span::Span;

/// A type as written.
#[derive(Clone, Debug)]
pub struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// Where.
    pub span: Span,
}

/// The forms of a type.
#[derive(Clone, Debug)]
pub enum TypeKind {
    /// `f32[B, 28]`, `f32`, `dim`, `int`, `fn` (the word `fn`): `axes` is absent where no brackets stand.
    Named {
        /// The word.
        name: Name,
        /// Between the brackets.
        axes: Option<Vec<Axis>>,
    },
    /// `(A, name: B)`; a trailing `…` (also written `...`) makes it variable: `(int, …)`.
    Tuple {
        /// The parts.
        fields: Vec<(Option<Name>, Type)>,
        /// Whether it ends in `…`.
        variadic: bool,
    },
}

/// One entry of a shape in a type.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it is.
    pub kind: AxisKind,
    /// `i:` in front.
    pub label: Option<Name>,
    /// Where.
    pub span: Span,
}

/// The forms of a shape's entry.
#[derive(Clone, Debug)]
pub enum AxisKind {
    /// `_`: one axis, taken from what the body returns.
    Hole,
    /// `*_`: any number of axes, taken from what the body returns.
    HolePack,
    /// `*S`: any number of axes under a name.
    Pack(Name),
    /// A size.
    Size(Expr),
}
