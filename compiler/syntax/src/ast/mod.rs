//! The syntax tree: what was written, with a span on everything. Names are not resolved, sizes are
//! expressions, nothing is checked but the grammar.

mod exprs;
mod items;
mod stmts;
mod types;

pub use exprs::{Arg, BinaryOp, Expr, ExprKind, Index, Scan, UnaryOp};
pub use items::{
    Attr, Bind, Const, Every, Extern, Fn, Grad, Import, Item, Layer, Member, Optimizer, Param, Period, Step, Tensor,
    Test, Train,
};
pub use stmts::{Block, Stmt, StmtKind};
pub use types::{Axis, AxisKind, Type, TypeKind};

use crate::span::Span;
use std::sync::Arc;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: Arc<str>,
    /// Where.
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// In source order.
    pub items: Vec<Item>,
    /// Names that declarations with an error in their first line were to declare.
    pub lost: Vec<Name>,
}
