//! Blocks and statements.

use super::{Attr, BinaryOp, Expr, Name, Type};
use crate::span::Span;
use std::sync::Arc;

/// `{ … }`
#[derive(Clone, Debug)]
pub struct Block {
    /// The statements.
    pub stmts: Vec<Stmt>,
    /// With the braces.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where.
    pub span: Span,
}

/// The forms of a statement.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `return a, b`
    Return(Vec<Expr>),
    /// `yield a, b`
    Yield(Vec<Expr>),
    /// `minimize loss over parts with opt`
    Minimize {
        /// The loss.
        loss: Expr,
        /// What is updated.
        over: Expr,
        /// The optimizer.
        with: Expr,
    },
    /// `metric name = expr`
    Metric {
        /// The name it is reported under.
        name: Name,
        /// The value.
        value: Expr,
    },
    /// `assert cond, "text"`
    Assert {
        /// The condition.
        condition: Expr,
        /// The message.
        message: Option<Arc<str>>,
    },
    /// `for a, b in xs while c { … }`
    For {
        /// `@checkpoint`
        attrs: Vec<Attr>,
        /// The loop names.
        names: Vec<Name>,
        /// After `in`.
        iterables: Vec<Expr>,
        /// After `while`.
        condition: Option<Expr>,
        /// The body.
        body: Block,
    },
    /// `if c { … } else { … }`
    If {
        /// The condition.
        condition: Expr,
        /// Taken when true.
        then: Block,
        /// Taken when false: a block of one `If` for `else if`.
        otherwise: Option<Block>,
    },
    /// `x: type = expr`
    Annotated {
        /// The name.
        name: Name,
        /// The asserted type.
        ty: Type,
        /// The value.
        value: Expr,
    },
    /// `a, b = exprs`, `x[…] = v`, `x += v`
    Assign {
        /// The left side: names, `_`, indexed names.
        targets: Vec<Expr>,
        /// `=` or the operator of `+=` …
        op: Option<BinaryOp>,
        /// The right side: one expression, or several that make a tuple.
        values: Vec<Expr>,
    },
    /// An expression for its effect: `evaluate(valid)`
    Expr(Expr),
}
