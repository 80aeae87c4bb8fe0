//! What names stand for while a program is evaluated: tensors of the region being built, and
//! everything that is known when compiling.

use crate::builtins::Builtin;
use crate::number::Number;
use crate::report::Reported;
use crate::stacks::Placed;
use mlc_ir::dim::Dim;
use mlc_ir::ty::{DType, Shape, Type};
use mlc_syntax::ast;
use mlc_syntax::span::{FileId, Span};
use std::rc::Rc;
use std::sync::Arc;

/// A result whose error has been reported already.
pub(crate) type R<T> = Result<T, Reported>;

/// A scope in which sizes have names: a call, an instance, or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScopeId(pub u32);

/// An instance of a layer, in [`crate::cx::Cx::instances`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceId(pub u32);

/// What kind of name an axis has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AxisNameKind {
    /// `D` in `f32[B, D]`.
    Size,
    /// `i` in `f32[B, i:T]`.
    Label,
    /// `S` in `f32[*S]`.
    Pack,
}

/// A name an axis was written with, and where that name means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxisName {
    pub scope: ScopeId,
    pub text: Arc<str>,
    pub kind: AxisNameKind,
}

/// A size as it was written: its value, its names, and the arithmetic behind it.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub dim: Dim,
    pub names: Vec<AxisName>,
    /// `7 * 7 * 64`, for messages.
    pub why: Option<Rc<str>>,
}

impl Size {
    /// A size that nobody named.
    pub fn plain(dim: impl Into<Dim>) -> Size {
        Size { dim: dim.into(), names: Vec::new(), why: None }
    }

    /// The same size under one more name; a name of the same scope and kind is replaced.
    pub fn named(mut self, scope: ScopeId, text: &Arc<str>, kind: AxisNameKind) -> Size {
        self.names.retain(|name| name.scope != scope || name.kind != kind);
        self.names.push(AxisName { scope, text: text.clone(), kind });
        self
    }

    /// The size of an axis that two operands share: names of both, the left wins within a scope;
    /// labels that differ vanish (rule 7).
    pub fn meet(&self, other: &Size) -> Size {
        let clash = |a: &AxisName, b: &AxisName| a.scope == b.scope && a.kind == b.kind && a.text != b.text;
        let mut names = self.names.clone();
        for name in &other.names {
            match names.iter().position(|mine| clash(mine, name)) {
                Some(at) if name.kind == AxisNameKind::Label => {
                    names.remove(at);
                }
                Some(_) => {}
                None if names.contains(name) => {}
                None => names.push(name.clone()),
            }
        }
        Size { dim: self.dim.clone(), names, why: self.why.clone().or_else(|| other.why.clone()) }
    }
}

/// A value of the region being built.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub value: mlc_ir::graph::Value,
    pub dtype: DType,
    pub axes: Vec<Size>,
}

impl Tensor {
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    pub fn shape(&self) -> Shape {
        shape_of(&self.axes)
    }

    pub fn ty(&self) -> Type {
        Type::new(self.dtype, self.shape())
    }
}

/// The sizes alone.
pub(crate) fn shape_of(axes: &[Size]) -> Shape {
    axes.iter().map(|axis| axis.dim.clone()).collect()
}

/// A tensor that has no dtype before it meets one (rule 2).
#[derive(Clone, Debug)]
pub(crate) struct Lazy<'a> {
    pub axes: Vec<Size>,
    pub kind: LazyKind<'a>,
}

/// What a [`Lazy`] is made of.
#[derive(Clone, Debug)]
pub(crate) enum LazyKind<'a> {
    /// One number everywhere.
    Full(Number),
    /// The coordinate along the only axis.
    Iota,
    /// A draw, scaled: `offset + scale * word`.
    Draw {
        distribution: mlc_ir::scalar::Distribution,
        site: crate::draws::Site,
        seed: Option<i64>,
        first: Box<Value<'a>>,
        second: Box<Value<'a>>,
    },
    /// The index of a run-time loop, or integer arithmetic with it: an i32 scalar that becomes a float where
    /// it meets one, as the index of the unrolled loop would.
    Index(Tensor),
    /// `n` numbers from the first to the last.
    Linspace { first: Number, last: Number },
    /// One of two numbers, element by element.
    Select { condition: Tensor, first: Number, second: Number },
}

impl LazyKind<'_> {
    /// Whether the dtype is i32 if nothing decides.
    pub fn is_integer(&self) -> bool {
        match self {
            LazyKind::Full(number) => number.is_integer(),
            LazyKind::Iota | LazyKind::Index(_) => true,
            LazyKind::Draw { .. } | LazyKind::Linspace { .. } => false,
            LazyKind::Select { first, second, .. } => first.is_integer() && second.is_integer(),
        }
    }
}

/// What can be called.
#[derive(Clone, Debug)]
pub(crate) enum Callee<'a> {
    /// A `fn` of a file (no owner), layer, train block or optimizer.
    Fn { decl: &'a ast::Fn, file: FileId, owner: Owner<'a> },
    /// Known to the compiler.
    Builtin(&'static Builtin),
    /// The constructor of a layer.
    Layer { decl: &'a ast::Layer, file: FileId },
    /// An optimizer.
    Optimizer { decl: &'a ast::Optimizer, file: FileId },
}

/// Whose names a `fn` sees beside those of its file.
#[derive(Clone, Debug)]
pub(crate) enum Owner<'a> {
    File,
    Instance(InstanceId),
    /// An instance seen through rows of stacks.
    Row(Placed),
    /// An instance seen another way.
    View(Placed, crate::views::View),
    Block(Rc<Bindings<'a>>),
}

/// The names of a train block or of an optimizer.
#[derive(Debug, Default)]
pub(crate) struct Bindings<'a> {
    pub values: std::collections::BTreeMap<Arc<str>, Value<'a>>,
    pub fns: Vec<&'a ast::Fn>,
    /// What holds the states of a train block.
    pub states: Option<InstanceId>,
}

/// A function as a value: `activation: relu`, or an initialiser with some arguments, `normal(std: 0.02)`.
#[derive(Clone, Debug)]
pub(crate) struct Function<'a> {
    pub callee: Callee<'a>,
    /// Arguments given already, by name.
    pub bound: Rc<Vec<(Arc<str>, Value<'a>)>>,
}

/// An optimizer with its arguments, which are evaluated at every step.
#[derive(Clone, Debug)]
pub(crate) struct OptimizerValue<'a> {
    pub decl: &'a ast::Optimizer,
    pub file: FileId,
    pub args: Vec<(Arc<str>, &'a ast::Expr)>,
    pub span: Span,
}

/// `low`, `low + 1`, … so many numbers.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub low: Dim,
    pub length: Dim,
}

/// Anything a name can stand for.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Tensor(Tensor),
    Lazy(Rc<Lazy<'a>>),
    Number(Number),
    Bool(bool),
    Str(Arc<str>),
    DType(DType),
    Tuple(Rc<Vec<Value<'a>>>),
    List(Rc<Vec<Value<'a>>>),
    /// `*S` of a type.
    Pack(Rc<Vec<Size>>),
    Function(Function<'a>),
    Instance(InstanceId),
    /// `[Block(D); n]`
    Stack(Placed),
    /// A row of a stack, or a part of it.
    Row(Placed),
    /// `a..b`
    Range(Rc<Range>),
    /// Ranges and stacks of one length side by side.
    Zip(Rc<Vec<Value<'a>>>),
    /// An instance seen another way: `infer(net)`.
    View(Placed, crate::views::View),
    /// Parameters for `over`.
    Params(Rc<crate::chosen::Chosen<'a>>),
    Optimizer(Rc<OptimizerValue<'a>>),
    Pipeline(Rc<crate::program::Pipeline>),
    /// A member that is a constant tensor, made anew in each entry.
    Deferred(Rc<crate::constants::Deferred<'a>>),
    /// What a function without a result gives.
    Nothing,
    /// Stands for a value whose making failed; reading it gives no second error.
    Poison,
}

impl<'a> Value<'a> {
    /// An integer known when compiling.
    pub fn int(value: i64) -> Value<'a> {
        Value::Number(Number::int(value))
    }

    /// A static size.
    pub fn size(size: Size) -> Value<'a> {
        Value::Number(Number::size(size))
    }

    /// The index of a run-time loop, from its i32 scalar.
    pub fn index(tensor: Tensor) -> Value<'a> {
        Value::Lazy(Rc::new(Lazy { axes: Vec::new(), kind: LazyKind::Index(tensor) }))
    }

    /// The i32 scalar behind the index of a run-time loop.
    pub fn as_index(&self) -> Option<&Tensor> {
        match self {
            Value::Lazy(lazy) => match &lazy.kind {
                LazyKind::Index(tensor) => Some(tensor),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value without the names that its sizes have in a call that has ended: nobody can say them, and
    /// each call would add some.
    pub fn without_names_of(self, scope: ScopeId) -> Value<'a> {
        let forget = |axis: &mut Size| axis.names.retain(|name| name.scope != scope);
        match self {
            Value::Tensor(mut tensor) => {
                tensor.axes.iter_mut().for_each(forget);
                Value::Tensor(tensor)
            }
            Value::Tuple(parts) => {
                Value::Tuple(Rc::new(parts.iter().map(|part| part.clone().without_names_of(scope)).collect()))
            }
            other => other,
        }
    }

    /// In a message: `a tuple`, `a layer`.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Tensor(tensor) if tensor.axes.is_empty() => "a run-time scalar",
            Value::Lazy(lazy) if lazy.axes.is_empty() => "a run-time scalar",
            Value::Tensor(_) | Value::Lazy(_) => "a tensor",
            Value::Number(number) if number.is_integer() => "an integer",
            Value::Number(_) => "a number",
            Value::Bool(_) => "a bool",
            Value::Str(_) => "a string",
            Value::DType(_) => "a dtype",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Pack(_) => "a pack of sizes",
            Value::Function(function) => match function.callee {
                Callee::Layer { .. } => "a layer that has not been made yet",
                Callee::Optimizer { .. } => "an optimizer that has not been made yet",
                Callee::Fn { .. } | Callee::Builtin(_) => "a function",
            },
            Value::Instance(_) | Value::Row(_) | Value::View(..) => "a layer",
            Value::Stack(_) => "a stack of layers",
            Value::Range(_) => "a range",
            Value::Zip(_) => "a list",
            Value::Params(_) => "a choice of parameters",
            Value::Optimizer(_) => "an optimizer",
            Value::Pipeline(_) => "a data pipeline",
            Value::Deferred(_) => "a constant tensor",
            Value::Nothing => "nothing",
            Value::Poison => "an unknown value",
        }
    }
}
