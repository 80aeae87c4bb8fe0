//! Expressions.

use super::{Block, Name};
use crate::span::Span;
use std::sync::Arc;

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// The forms of an expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A name.
    Name(Arc<str>),
    /// An integer literal.
    Int(i64),
    /// A literal with a point or an exponent.
    Float(f64),
    /// A string literal, without its quotes.
    Str(Arc<str>),
    /// `true`, `false`
    Bool(bool),
    /// `(a, b)`; `(a)` is just `a`; `()` is an empty tuple.
    Tuple(Vec<Expr>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `[a; n]`
    Stack {
        /// What is repeated.
        value: Box<Expr>,
        /// How often.
        count: Box<Expr>,
    },
    /// `[f(n) for n in xs]`
    Comprehension {
        /// The element.
        value: Box<Expr>,
        /// The loop names.
        names: Vec<Name>,
        /// After `in`.
        iterable: Box<Expr>,
    },
    /// `*K` inside a list: splices a pack of sizes.
    Splice(Box<Expr>),
    /// `f(a, name: b)`; a pipe `x |> f(a)` is this with `piped` true and `x` as first argument.
    Call {
        /// What is called.
        callee: Box<Expr>,
        /// The arguments.
        args: Vec<Arg>,
        /// Written with `|>`.
        piped: bool,
    },
    /// `x[…]`
    Index {
        /// What is indexed.
        base: Box<Expr>,
        /// The entries.
        indices: Vec<Index>,
    },
    /// `a.b`
    Field {
        /// The left side.
        base: Box<Expr>,
        /// The word after the point.
        name: Name,
    },
    /// `-x`, `not x`
    Unary {
        /// The operator.
        op: UnaryOp,
        /// Its operand.
        operand: Box<Expr>,
    },
    /// `a + b` …
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// `a..b`
    Range {
        /// First.
        start: Box<Expr>,
        /// One past the last.
        end: Box<Expr>,
    },
    /// `if c then a else b`
    If {
        /// The condition.
        condition: Box<Expr>,
        /// Taken when true.
        then: Box<Expr>,
        /// Taken when false.
        otherwise: Box<Expr>,
    },
    /// `scan h = h0 for x in xs along T { … }`; only on the right of `=`.
    Scan(Box<Scan>),
    /// Stands where an error was reported.
    Error,
}

/// `scan`
#[derive(Clone, Debug)]
pub struct Scan {
    /// `h = h0, c = c0`
    pub carries: Vec<(Name, Expr)>,
    /// The loop names.
    pub names: Vec<Name>,
    /// After `in`.
    pub iterables: Vec<Expr>,
    /// After `along`: a name or an integer.
    pub along: Expr,
    /// The body.
    pub body: Block,
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub struct Arg {
    /// `name:` in front.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// An entry between index brackets.
#[derive(Clone, Debug)]
pub enum Index {
    /// `...`
    Ellipsis(Span),
    /// `new`
    New(Span),
    /// `a`
    At(Expr),
    /// `a:b:step`
    Slice {
        /// Before the first `:`.
        start: Option<Expr>,
        /// After it.
        end: Option<Expr>,
        /// After the second.
        step: Option<Expr>,
        /// The whole entry.
        span: Span,
    },
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `not`
    Not,
}

/// Infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
    /// `@`
    MatMul,
    /// `**`
    Pow,
}

impl BinaryOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::MatMul => "@",
            BinaryOp::Pow => "**",
        }
    }
}
