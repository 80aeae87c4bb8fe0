//! The functions known to the compiler: one table, one file for each family. Everything that can be
//! written in the language itself is in the prelude instead.

mod elementwise;
mod gradients;
mod instances;
mod lists;
mod make;
mod order;
mod random;
mod reduce;
mod shape;
pub(crate) mod training;
mod window;

use crate::calls::{ArgIn, ArgValue, CallSite, Expected, Given};
use crate::cx::Cx;
use crate::value::{R, Size, Tensor, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

/// How a builtin takes its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    /// Those of `params`.
    Named,
    /// So many of `params` by position, then any number; other names are kept too.
    Rest(usize),
    /// It evaluates them itself.
    Raw,
}

/// A function known to the compiler.
pub(crate) struct Builtin {
    pub name: &'static str,
    /// Names of its arguments. `over` is not evaluated: it names axes.
    pub params: &'static [&'static str],
    /// What else it takes, as the reference shows it: `a, b, …`.
    pub more: &'static str,
    pub arity: Arity,
    /// Whether it takes its shape from the declaration that uses it, where none is given.
    pub initialiser: bool,
    /// One line, for the reference.
    pub doc: &'static str,
    pub run: for<'a> fn(&mut Cx<'a>, Args<'a>) -> R<Value<'a>>,
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?} # {}", self.name, self.params, self.doc)
    }
}

impl Builtin {
    /// `name(a, b, …)`, for the reference.
    pub fn signature(&self) -> String {
        let more = Some(self.more).filter(|more| !more.is_empty());
        let args: Vec<&str> = self.params.iter().copied().chain(more).collect();
        format!("{}({})", self.name, args.join(", "))
    }
}

/// All families.
const FAMILIES: &[&[Builtin]] = &[
    elementwise::ALL,
    gradients::ALL,
    reduce::ALL,
    shape::ALL,
    make::ALL,
    order::ALL,
    random::ALL,
    window::ALL,
    lists::ALL,
    training::ALL,
    instances::ALL,
    crate::pipeline::ALL,
    crate::tests::ALL,
];

/// The builtin of that name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|builtin| builtin.name == name)
}

/// All of them, in the table's order.
pub(crate) fn all() -> impl Iterator<Item = &'static Builtin> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// All names.
pub(crate) fn names() -> Vec<&'static str> {
    FAMILIES.iter().flat_map(|family| family.iter()).map(|builtin| builtin.name).collect()
}

/// A builtin that takes `params`.
pub(crate) const fn named(
    name: &'static str,
    params: &'static [&'static str],
    doc: &'static str,
    run: for<'a> fn(&mut Cx<'a>, Args<'a>) -> R<Value<'a>>,
) -> Builtin {
    Builtin { name, params, more: "", arity: Arity::Named, initialiser: false, doc, run }
}

/// The arguments of one call of a builtin.
pub(crate) struct Args<'a> {
    pub builtin: &'static Builtin,
    pub site: CallSite,
    given: Vec<Option<Given<'a>>>,
    /// The expression behind `over:`.
    pub over: Option<&'a ast::Expr>,
    /// Arguments behind those of `params`, by position.
    pub rest: Vec<Given<'a>>,
    /// Arguments under other names.
    pub named_rest: Vec<(Arc<str>, Given<'a>)>,
    /// For [`Arity::Raw`].
    pub raw: Vec<ArgIn<'a>>,
    /// What an initialiser has to make.
    pub expected: Option<Expected>,
}

impl<'a> Args<'a> {
    fn new(builtin: &'static Builtin, site: &CallSite) -> Args<'a> {
        Args {
            builtin,
            site: site.clone(),
            given: vec![None; builtin.params.len()],
            over: None,
            rest: Vec::new(),
            named_rest: Vec::new(),
            raw: Vec::new(),
            expected: None,
        }
    }

    /// Arguments that the builtin evaluates itself.
    pub fn raw(builtin: &'static Builtin, args: Vec<ArgIn<'a>>, site: &CallSite) -> Args<'a> {
        Args { raw: args, ..Args::new(builtin, site) }
    }

    /// Evaluated arguments, each at its parameter.
    pub fn placed(
        cx: &mut Cx<'a>,
        builtin: &'static Builtin,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Args<'a>> {
        let no_shape = builtin.initialiser && expected.is_some() && !args.first().is_some_and(is_shape);
        let mut all = Args { expected: expected.cloned(), ..Args::new(builtin, site) };
        if no_shape {
            let placed = cx.place_args(&builtin.params[1..], args, site)?;
            all.evaluate(cx, std::iter::once(None).chain(placed))?;
        } else {
            let placed = cx.place_args(builtin.params, args, site)?;
            all.evaluate(cx, placed)?;
        }
        Ok(all)
    }

    /// Evaluated arguments of a builtin that takes any number.
    pub fn with_rest(
        cx: &mut Cx<'a>,
        builtin: &'static Builtin,
        first: usize,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Args<'a>> {
        let mut all = Args { expected: expected.cloned(), ..Args::new(builtin, site) };
        let (mut placed, mut position) = (Vec::new(), 0);
        for arg in args {
            let known = arg.name.as_ref().is_some_and(|(name, _)| builtin.params.contains(&&**name));
            match (&arg.name, known) {
                (None, _) if position < first => {
                    position += 1;
                    placed.push(arg);
                }
                (Some(_), true) => placed.push(arg),
                (None, _) => all.rest.push(evaluated(cx, arg.value)?),
                (Some((name, _)), false) => {
                    let name = name.clone();
                    all.named_rest.push((name, evaluated(cx, arg.value)?));
                }
            }
        }
        let placed = cx.place_args(builtin.params, placed, site)?;
        all.evaluate(cx, placed)?;
        Ok(all)
    }

    fn evaluate(&mut self, cx: &mut Cx<'a>, placed: impl IntoIterator<Item = Option<ArgValue<'a>>>) -> R<()> {
        let mut failed = None;
        for (at, arg) in placed.into_iter().enumerate() {
            let Some(arg) = arg else { continue };
            if let ("over", ArgValue::Expr(expr)) = (self.builtin.params[at], &arg) {
                self.over = Some(expr);
                continue;
            }
            match evaluated(cx, arg) {
                Ok(given) => self.given[at] = Some(given),
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(()),
        }
    }

    fn position(&self, name: &str) -> usize {
        match self.builtin.params.iter().position(|param| *param == name) {
            Some(at) => at,
            None => mlc_ir::internal_error("resolver", &format!("`{}` has no argument `{name}`", self.builtin.name)),
        }
    }

    /// An argument, if it was given.
    pub fn get(&self, name: &str) -> Option<Given<'a>> {
        self.given[self.position(name)].clone()
    }

    /// An argument that must be there.
    pub fn need(&self, cx: &mut Cx<'a>, name: &str) -> R<Given<'a>> {
        match self.get(name) {
            Some(given) => Ok(given),
            None => {
                let title = format!("`{}` needs the argument `{name}`", self.builtin.name);
                let error = Diagnostic::error(Code::E0103, self.site.span, title)
                    .note(format!("its arguments: {}", self.builtin.params.join(", ")));
                let call = cx.excerpt(self.site.span);
                let callee = self.builtin.name;
                let help = match name {
                    "shape" if self.builtin.initialiser => Some(format!(
                        "write `{callee}([B, 10])`, or give the name a type, which has a shape: `h: f32[10] = {call}`"
                    )),
                    "axis" => Some("write `axis: -1` for the last axis, `over: T` for one by its name".to_string()),
                    _ => None,
                };
                Err(cx.tell(help.into_iter().fold(error, Diagnostic::help)))
            }
        }
    }

    /// An argument that must be a tensor.
    pub fn tensor(&self, cx: &mut Cx<'a>, name: &str) -> R<(Tensor, Span)> {
        let (value, span) = self.need(cx, name)?;
        Ok((cx.tensor(value, span)?, span))
    }

    /// A static integer, or `default`.
    pub fn int_or(&self, cx: &mut Cx<'a>, name: &str, default: i64) -> R<i64> {
        match self.get(name) {
            Some((value, span)) => cx.as_int(&value, span),
            None => Ok(default),
        }
    }

    /// A static bool, or `default`.
    pub fn bool_or(&self, cx: &mut Cx<'a>, name: &str, default: bool) -> R<bool> {
        match self.get(name) {
            Some((Value::Bool(value), _)) => Ok(value),
            Some((other, span)) => {
                let title = format!("`{name}` is `true` or `false`, and this is {}", cx.show_value(&other));
                cx.fail(Code::E0122, span, title)
            }
            None => Ok(default),
        }
    }

    /// A string that must be there.
    pub fn text(&self, cx: &mut Cx<'a>, name: &str) -> R<(Arc<str>, Span)> {
        match self.need(cx, name)? {
            (Value::Str(text), span) => Ok((text, span)),
            (other, span) => {
                let title = format!("`{name}` is a string, and this is {}", cx.show_value(&other));
                cx.fail(Code::E0122, span, title)
            }
        }
    }

    /// A shape that must be there: a list of sizes.
    pub fn shape(&self, cx: &mut Cx<'a>, name: &str) -> R<Vec<Size>> {
        let (value, span) = self.need(cx, name)?;
        let sizes = cx.as_shape(&value, span)?;
        let dims: Vec<_> = sizes.iter().map(|size| size.dim.clone()).collect();
        cx.check_extent(span, &dims)?;
        Ok(sizes)
    }

    /// The `dtype:` argument, if it was given.
    pub fn dtype(&self, cx: &mut Cx<'a>) -> R<Option<DType>> {
        match self.get("dtype") {
            Some((Value::DType(dtype), _)) => Ok(Some(cx.read_dtype(dtype))),
            Some((other, span)) => {
                let title =
                    format!("`dtype` is one of f32 f64 i32 i64 u8 i8 bool, and this is {}", cx.show_value(&other));
                cx.fail(Code::E0122, span, title)
            }
            None => Ok(None),
        }
    }

    /// Static integers, one for each of `count` axes; a single one stands for all.
    pub fn ints(&self, cx: &mut Cx<'a>, name: &str, count: usize, default: i64) -> R<Vec<i64>> {
        let Some((value, span)) = self.get(name) else { return Ok(vec![default; count]) };
        let parts = match &value {
            Value::Tuple(parts) | Value::List(parts) => parts.to_vec(),
            single => vec![single.clone()],
        };
        let mut ints = Vec::new();
        for part in &parts {
            ints.push(cx.as_int(part, span)?);
        }
        match (ints.len(), count) {
            (1, count) => Ok(vec![ints[0]; count]),
            (given, count) if given == count => Ok(ints),
            (given, count) => {
                let title = format!("`{name}` has {given} values, and there are {count} axes");
                cx.fail(Code::E0119, span, title)
            }
        }
    }
}

/// Whether an argument is written as a shape.
fn is_shape(arg: &ArgIn<'_>) -> bool {
    match (&arg.name, &arg.value) {
        (Some((name, _)), _) => **name == *"shape",
        (None, ArgValue::Expr(expr)) => matches!(expr.kind, ast::ExprKind::List(_)),
        (None, ArgValue::Value(value, _)) => matches!(value, Value::List(_) | Value::Pack(_)),
    }
}

fn evaluated<'a>(cx: &mut Cx<'a>, arg: ArgValue<'a>) -> R<Given<'a>> {
    let span = arg.span();
    match arg {
        ArgValue::Expr(expr) => Ok((cx.expr(expr)?, span)),
        ArgValue::Value(value, span) => Ok((value, span)),
    }
}

impl<'a> Cx<'a> {
    /// A dtype as it reads here: `f32` means f64 in gradient checks.
    pub fn read_dtype(&self, dtype: DType) -> DType {
        if dtype == DType::F32 { self.entry.real } else { dtype }
    }
}
