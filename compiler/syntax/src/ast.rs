//! The syntax tree: what was written, with a span on everything. Names are not resolved, sizes are
//! expressions, nothing is checked but the grammar.

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
