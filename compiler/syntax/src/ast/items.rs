//! Declarations, and the members of layers and training blocks.

use super::{Block, Expr, Name, Type};
use crate::span::Span;
use std::sync::Arc;

/// A declaration at the top of a file.
#[derive(Clone, Debug)]
pub enum Item {
    /// `import "file.dl"`, `import "file.dl" as f`
    Import(Import),
    /// `const D = 512`
    Const(Const),
    /// `fn`
    Fn(Fn),
    /// `layer` and `model`
    Layer(Layer),
    /// `grad f(…) { … }`: a custom gradient
    Grad(Grad),
    /// `extern fn`
    Extern(Extern),
    /// `optimizer`
    Optimizer(Optimizer),
    /// `train`
    Train(Train),
    /// `test "…" { … }`
    Test(Test),
}

/// `import "file.dl" as f`, or `import a.b`
#[derive(Clone, Debug)]
pub struct Import {
    /// The path, or the dotted words joined by `.`.
    pub path: Arc<str>,
    /// Where the path stands.
    pub path_span: Span,
    /// The name after `as`.
    pub alias: Option<Name>,
    /// The whole declaration.
    pub span: Span,
}

/// `const NAME: type = value`
#[derive(Clone, Debug)]
pub struct Const {
    /// The name.
    pub name: Name,
    /// The type, if written.
    pub ty: Option<Type>,
    /// The value.
    pub value: Expr,
    /// The whole declaration.
    pub span: Span,
}

/// `@export`, `@checkpoint`
#[derive(Clone, Debug)]
pub struct Attr {
    /// The word after `@`.
    pub name: Name,
}

/// A typed argument of a `fn`, layer, optimizer or step: `kernel: (int, …) = 3`
#[derive(Clone, Debug)]
pub struct Param {
    /// The name.
    pub name: Name,
    /// The type.
    pub ty: Type,
    /// The default.
    pub default: Option<Expr>,
    /// The whole argument.
    pub span: Span,
}

/// `fn`, at the top, in a layer, optimizer or train block
#[derive(Clone, Debug)]
pub struct Fn {
    /// `@export` …
    pub attrs: Vec<Attr>,
    /// The name.
    pub name: Name,
    /// The arguments.
    pub params: Vec<Param>,
    /// After `->`; none: returns nothing.
    pub result: Option<Type>,
    /// After `requires`.
    pub requires: Vec<Expr>,
    /// The body.
    pub body: Block,
    /// From `fn` to the end of the signature.
    pub span: Span,
}

/// `layer` or `model`
#[derive(Clone, Debug)]
pub struct Layer {
    /// Attributes (none are known for layers today).
    pub attrs: Vec<Attr>,
    /// `model`: its `@export` functions become entry points.
    pub is_model: bool,
    /// The name.
    pub name: Name,
    /// Constructor arguments, all static.
    pub params: Vec<Param>,
    /// After `requires`.
    pub requires: Vec<Expr>,
    /// In source order.
    pub members: Vec<Member>,
    /// From the keyword to the name.
    pub span: Span,
}

/// A member of a layer, optimizer or train block
#[derive(Clone, Debug)]
pub enum Member {
    /// `param w: f32[In, H] = init`
    Param(Tensor),
    /// `state m: f32[C] = init`
    State(Tensor),
    /// `fn`
    Fn(Fn),
    /// `name = expr`, `name: type = expr`
    Bind(Bind),
}

/// `param` or `state`
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The name.
    pub name: Name,
    /// The type.
    pub ty: Type,
    /// The initial value.
    pub init: Option<Expr>,
    /// The whole declaration.
    pub span: Span,
}

/// `name = expr` in a layer or train block
#[derive(Clone, Debug)]
pub struct Bind {
    /// The names on the left (several for a tuple).
    pub names: Vec<Name>,
    /// An annotation.
    pub ty: Option<Type>,
    /// The right side.
    pub value: Expr,
    /// The whole binding.
    pub span: Span,
}

/// `grad f(args…) { … }`
#[derive(Clone, Debug)]
pub struct Grad {
    /// The function whose gradient it is.
    pub name: Name,
    /// Arguments, results, adjoints of the results.
    pub params: Vec<Param>,
    /// The body.
    pub body: Block,
    /// From `grad` to the end of the signature.
    pub span: Span,
}

/// `extern fn f(…) -> T = "symbol" grad g`
#[derive(Clone, Debug)]
pub struct Extern {
    /// Its signature, as that of a function without a body.
    pub head: Fn,
    /// The C symbol.
    pub symbol: Arc<str>,
    /// Where the symbol stands.
    pub symbol_span: Span,
    /// After `grad`.
    pub grad: Option<Name>,
    /// The whole declaration.
    pub span: Span,
}

/// `optimizer name(args) { state…; fn update… }`
#[derive(Clone, Debug)]
pub struct Optimizer {
    /// The name.
    pub name: Name,
    /// The arguments.
    pub params: Vec<Param>,
    /// States and functions.
    pub members: Vec<Member>,
    /// From the keyword to the end of the signature.
    pub span: Span,
}

/// `train name { … }`
#[derive(Clone, Debug)]
pub struct Train {
    /// The name.
    pub name: Name,
    /// Bindings, states, functions.
    pub members: Vec<Member>,
    /// `step(columns) { … }`; checking that there is exactly one is the resolver's.
    pub steps: Vec<Step>,
    /// `every N steps|epochs { … }`
    pub every: Vec<Every>,
    /// Whether a line of it could not be read.
    pub lost: bool,
    /// From `train` to the name.
    pub span: Span,
}

/// `step(columns) { … }`
#[derive(Clone, Debug)]
pub struct Step {
    /// The columns.
    pub params: Vec<Param>,
    /// The body.
    pub body: Block,
    /// The word `step` and its arguments.
    pub span: Span,
}

/// The unit of an `every` block's period
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `steps`
    Steps,
    /// `epochs`
    Epochs,
}

/// `every 1 epoch { … }`
#[derive(Clone, Debug)]
pub struct Every {
    /// The number.
    pub count: Expr,
    /// The unit.
    pub period: Period,
    /// The body.
    pub body: Block,
    /// The head.
    pub span: Span,
}

/// `test "…" { … }`
#[derive(Clone, Debug)]
pub struct Test {
    /// What it says.
    pub title: Arc<str>,
    /// The body.
    pub body: Block,
    /// The head.
    pub span: Span,
}
