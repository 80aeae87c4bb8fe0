//! `test` blocks: gradient checks and assertions, each a region of its own. The bindings before a
//! check are evaluated anew for it.

mod bounds;

use crate::builtins::{Args, Arity, Builtin, named};
use crate::calls::{ArgIn, ArgValue, CallSite, Expected};
use crate::cx::{Cx, Frame, FrameKind};
use crate::entry::{Entry, Mode, TestParam};
use crate::program::{Check, Computed, Test, TestedIndex};
use crate::types::{Element, Form};
use crate::value::{Callee, R, Tensor, Value};
use mlc_ir::graph::{Fault, Input, RegionId, Value as IrValue};
use mlc_ir::scalar::{BinaryOp, CompareOp};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::sync::Arc;

/// How far gradients and central differences may differ.
const TOLERANCE: f64 = 1e-4;

pub(crate) const ALL: &[Builtin] = &[
    Builtin {
        name: "check_grad",
        params: &["f"],
        more: "args…, tol",
        arity: Arity::Raw,
        initialiser: false,
        doc: "compares gradients with central differences, in f64",
        run: check_grad,
    },
    named("print", &["x"], "shows a value, in `every` and `test` blocks", print),
    named("close", &["a", "b", "tol"], "whether all elements differ by at most tol", close),
];

impl<'a> Cx<'a> {
    /// The checks of a `test` block.
    pub fn test(&mut self, test: &'a ast::Test, file: FileId) -> R<Test> {
        let mut failed = None;
        self.checks.clear();
        for (at, stmt) in test.body.stmts.iter().enumerate() {
            if !holds_check(stmt) && test.body.stmts[at..].iter().any(holds_check) {
                continue;
            }
            let frame = Frame { path: format!("test/{}", test.title), ..self.new_frame(FrameKind::Test, file) };
            let made = self.graph.regions.len();
            let (result, _) = self.with_entry(keyed_entry(), |cx| {
                cx.within(frame, |cx| {
                    for earlier in test.body.stmts[..at].iter().filter(|stmt| !is_check(stmt)) {
                        // The checks in it have a run of their own.
                        let checks = cx.checks.len();
                        cx.test_stmt(earlier)?;
                        cx.checks.truncate(checks);
                    }
                    cx.test_stmt(stmt)
                })
            });
            if let Err(reported) = result.and_then(|()| self.refuse_large(made, stmt.span)) {
                failed = Some(reported);
            }
        }
        let checks = std::mem::take(&mut self.checks);
        match failed {
            Some(reported) => Err(reported),
            None => Ok(Test { title: test.title.to_string(), span: test.span, checks }),
        }
    }

    /// A check is a region of its own, made of the statements before it; it does not stand in others.
    fn refuse_nested_check(&mut self, what: &str, span: Span) -> R<()> {
        if self.entry.loops.is_empty() && self.entry.conditional == 0 {
            return Ok(());
        }
        let error = Diagnostic::error(Code::E0121, span, format!("`{what}` stands in a loop or in a run-time `if`"))
            .help(match what {
                "print" => "give a name to what is to be seen, and print it behind",
                _ => "put the truth values together, `good = good and …`, and assert them behind",
            });
        Err(self.tell(error))
    }

    /// `assert cond, "text"`: in a test a check of its own, in a `fn` a relation of sizes.
    pub fn assert_stmt(&mut self, condition: &'a ast::Expr, message: Option<&Arc<str>>, span: Span) -> R<()> {
        if !matches!(self.top().kind, FrameKind::Test) {
            return self.requires(std::slice::from_ref(condition), None);
        }
        self.refuse_nested_check("assert", span)?;
        let value = self.expr(condition)?;
        let tensor = self.materialise(value, DType::Bool, condition.span)?;
        if tensor.dtype != DType::Bool || !tensor.axes.is_empty() {
            let shown = self.show(&tensor);
            let error = Diagnostic::error(
                Code::E0116,
                condition.span,
                format!("`assert` needs a truth value, and this is {shown}"),
            )
            .help("ask `all(…)` or `close(a, b)`");
            return Err(self.tell(error));
        }
        let message = message.map_or_else(|| self.sources.text(condition.span).to_string(), |text| text.to_string());
        let condition = self.computed("test", vec![tensor.value]);
        self.checks.push(Check::Assert { condition, message, span });
        Ok(())
    }

    fn test_stmt(&mut self, stmt: &'a ast::Stmt) -> R<()> {
        self.run_stmt(stmt).map(|_| ())
    }

    /// The regions of one gradient check with one value of `training`.
    fn grad_check(&mut self, call: &GradCall<'a>, training: Training) -> R<(Check, Training)> {
        let found = self.grad_function(call, &[], training)?;
        let params = found.params;
        self.require_gradient(call, found.computed.region)?;
        let built = self.grad_function(call, &params, training)?;
        let values = self.grad_values(call, &params)?;
        let mut names: Vec<String> = params.iter().map(|param| param.path.clone()).collect();
        names.extend(call.tensors().map(|(name, _, _)| name));
        let check =
            Check::Grad { values, function: built.computed, names, tolerance: call.tolerance, span: call.site.span };
        let asked = if built.asked_training { Training::On } else { Training::Off };
        Ok((check, asked))
    }

    /// A check in which no float depends on a float would hold whatever the function does.
    fn require_gradient(&mut self, call: &GradCall<'a>, region: RegionId) -> R<()> {
        let region = self.graph.region(region);
        let is_float = |value: &IrValue| region.ty(*value).dtype.is_float();
        let floats: Vec<IrValue> = region.params.iter().filter(|value| is_float(value)).copied().collect();
        let active = mlc_ir::autodiff::active(region, region.nodes.len(), &floats);
        let why = if floats.is_empty() {
            "it takes no float tensor and has no parameters"
        } else if !region.results.iter().any(is_float) {
            "it returns no float"
        } else if !region.results.iter().any(|value| active[value.index()]) {
            "no float that it returns is computed with floats from one that it takes"
        } else {
            return Ok(());
        };
        let title = format!("`{}` has no gradient that could be checked", call.site.name);
        let error = Diagnostic::error(Code::E0212, call.site.span, title)
            .note(why)
            .help("give it a float tensor that its result depends on: `check_grad(f, x: normal([2, 3]))`");
        Err(self.tell(error))
    }

    /// The function under test as a region: weights, then arguments, to results.
    fn grad_function(&mut self, call: &GradCall<'a>, known: &[TestParam], training: Training) -> R<GradFunction> {
        let mut entry = Entry::new(Mode::Test, "check_grad");
        entry.training = training == Training::On;
        let types: Vec<Type> = known.iter().map(|param| param.ty.clone()).collect();
        for (param, ty) in known.iter().zip(types) {
            let value = entry.builder.param(ty);
            entry.test_params.push(TestParam { value, ..param.clone() });
        }
        let (result, entry) = self.with_entry(entry, |cx| {
            let mut args = Vec::new();
            for (name, value, span) in &call.args {
                let value = match value {
                    Value::Tensor(tensor) => {
                        let value = cx.entry.builder.param(tensor.ty());
                        Value::Tensor(Tensor { value, ..tensor.clone() })
                    }
                    other => other.clone(),
                };
                args.push(ArgIn { name: name.clone(), value: ArgValue::Value(value, *span) });
            }
            let value = cx.call_value(call.function.clone(), args, &call.site, None)?;
            let results = cx.result_tensors(value, call.site.span)?;
            Ok(cx.computed("check_grad", results.iter().map(|tensor| tensor.value).collect()))
        });
        Ok(GradFunction { computed: result?, params: entry.test_params, asked_training: entry.asked_training })
    }

    fn result_tensors(&mut self, value: Value<'a>, span: Span) -> R<Vec<Tensor>> {
        match value {
            Value::Tuple(parts) => {
                let mut tensors = Vec::new();
                for part in parts.iter() {
                    tensors.extend(self.result_tensors(part.clone(), span)?);
                }
                Ok(tensors)
            }
            value => Ok(vec![self.tensor(value, span)?]),
        }
    }

    /// The values of weights and arguments, from seed and step.
    fn grad_values(&mut self, call: &GradCall<'a>, params: &[TestParam]) -> R<Computed> {
        let mut results = Vec::new();
        for param in params {
            let Some(decl) = self.instance(param.instance).members.tensor(&param.name) else {
                continue;
            };
            let axes = param.ty.shape.iter().map(|dim| crate::value::Size::plain(dim.clone())).collect();
            let expected = Expected { dtype: param.ty.dtype, axes };
            results.push(self.stacked_value(param.instance, decl, &expected, &param.path)?.value);
        }
        results.extend(call.tensors().map(|(_, tensor, _)| tensor.value));
        Ok(self.computed("check_grad.values", results))
    }

    /// What the entry under construction has come to, as a region of its own: the results, then the indices that
    /// are tested. The statements behind go on in the entry.
    fn computed(&mut self, name: &str, mut results: Vec<IrValue>) -> Computed {
        let (first_bad, indices) = self.tested_indices();
        results.extend(first_bad);
        let mut region = self.entry.builder.finished(results);
        region.name = name.to_string();
        Computed { region: self.graph.add_region(region), indices }
    }

    fn tested_indices(&self) -> (Vec<IrValue>, Vec<TestedIndex>) {
        let tested = |(value, fault): &(IrValue, Fault)| {
            let span = self.span_of_place(fault.span)?;
            Some((*value, TestedIndex { span, text: fault.text.clone(), bound: fault.bound.as_const() }))
        };
        self.entry.faults.iter().filter_map(tested).unzip()
    }
}

/// Whether a statement is a check.
fn is_check(stmt: &ast::Stmt) -> bool {
    match &stmt.kind {
        StmtKind::Assert { .. } => true,
        StmtKind::Expr(ast::Expr { kind: ExprKind::Call { callee, .. }, .. }) => {
            matches!(&callee.kind, ExprKind::Name(name) if matches!(&**name, "check_grad" | "print"))
        }
        _ => false,
    }
}

/// Whether a statement is a check or has one in it.
fn holds_check(stmt: &ast::Stmt) -> bool {
    let within = |block: &ast::Block| block.stmts.iter().any(holds_check);
    match &stmt.kind {
        StmtKind::For { body, .. } => within(body),
        StmtKind::If { then, otherwise, .. } => within(then) || otherwise.iter().any(within),
        _ => is_check(stmt),
    }
}

/// `training` in a gradient check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Training {
    Off,
    On,
}

struct GradFunction {
    computed: Computed,
    params: Vec<TestParam>,
    asked_training: bool,
}

/// The name in front of an argument, if it has one.
type ArgName = Option<(Arc<str>, Span)>;

/// A `check_grad` whose arguments have been evaluated.
struct GradCall<'a> {
    function: Value<'a>,
    args: Vec<(ArgName, Value<'a>, Span)>,
    /// Names of the function's parameters, for arguments by position.
    params: Vec<Arc<str>>,
    tolerance: f64,
    site: CallSite,
}

impl<'a> GradCall<'a> {
    /// The arguments that are tensors, with their names.
    fn tensors(&self) -> impl Iterator<Item = (String, &Tensor, Span)> {
        let name = |at: usize, name: &ArgName| match (name, self.params.get(at)) {
            (Some((name, _)), _) | (None, Some(name)) => name.to_string(),
            (None, None) => at.to_string(),
        };
        self.args.iter().enumerate().filter_map(move |(at, (given, value, span))| match value {
            Value::Tensor(tensor) => Some((name(at, given), tensor, *span)),
            _ => None,
        })
    }
}

/// An entry whose region has the parameters seed and step.
fn keyed_entry<'a>() -> Entry<'a> {
    let mut entry = Entry::new(Mode::Test, "test");
    let _: IrValue = entry.input(Input::Seed, Type::scalar(DType::I64));
    let _: IrValue = entry.input(Input::Step, Type::scalar(DType::I64));
    entry
}

fn check_grad<'a>(cx: &mut Cx<'a>, mut args: Args<'a>) -> R<Value<'a>> {
    let site = args.site.clone();
    if !matches!(cx.top().kind, FrameKind::Test) {
        return cx.fail(Code::E0121, site.span, "`check_grad` belongs in a `test` block");
    }
    cx.refuse_nested_check("check_grad", site.span)?;
    let mut tolerance = TOLERANCE;
    if let Some(at) = args.raw.iter().position(|arg| arg.name.as_ref().is_some_and(|(name, _)| &**name == "tol")) {
        let arg = args.raw.remove(at);
        tolerance = tolerance_of(cx, arg.value)?;
    }
    if args.raw.first().is_none_or(|arg| arg.name.is_some()) {
        let error = Diagnostic::error(Code::E0103, site.span, "`check_grad` needs a function or a layer")
            .help("write `check_grad(Cnn(), image: normal([2, 28, 28, 1]))`");
        return Err(cx.tell(error));
    }
    let first = args.raw.remove(0);
    let function = value_of(cx, first.value.clone())?;
    let name = cx.sources.text(first.value.span()).to_string();
    if let Value::Tensor(_) | Value::Number(_) = function {
        let title = format!("`check_grad` needs a function or a layer, and `{name}` is {}", cx.show_value(&function));
        let error = Diagnostic::error(Code::E0122, first.value.span(), title)
            .label("called already")
            .help("give the function, then what it is called with: `check_grad(net, x: normal([2, 3]))`");
        return Err(cx.tell(error));
    }
    let site = CallSite { name, callee: first.value.span(), ..site };
    let params = params_of(cx, &function);
    let mut evaluated = Vec::new();
    for (at, arg) in args.raw.into_iter().enumerate() {
        let span = arg.value.span();
        let param = match &arg.name {
            Some((name, _)) => params.iter().find(|param| param.name.text == *name),
            None => params.get(at),
        };
        let value = value_of(cx, arg.value)?;
        evaluated.push((arg.name, concrete(cx, value, param.copied(), span)?, span));
    }
    let names = params.iter().map(|param| param.name.text.clone()).collect();
    let call = GradCall { function, args: evaluated, params: names, tolerance, site };
    let (check, asked) = cx.grad_check(&call, Training::Off)?;
    cx.checks.push(check);
    if asked == Training::On {
        let (check, _) = cx.grad_check(&call, Training::On)?;
        cx.checks.push(check);
    }
    Ok(Value::Nothing)
}

fn value_of<'a>(cx: &mut Cx<'a>, arg: ArgValue<'a>) -> R<Value<'a>> {
    match arg {
        ArgValue::Expr(expr) => cx.expr(expr),
        ArgValue::Value(value, _) => Ok(value),
    }
}

fn tolerance_of<'a>(cx: &mut Cx<'a>, arg: ArgValue<'a>) -> R<f64> {
    let span = arg.span();
    match value_of(cx, arg)? {
        Value::Number(number) if number.as_f64().is_some_and(|value| value > 0.0) => {
            Ok(number.as_f64().unwrap_or(TOLERANCE))
        }
        _ => cx.fail(Code::E0122, span, "`tol` is a number above 0"),
    }
}

/// The parameters of the function under test.
fn params_of<'a>(cx: &Cx<'a>, function: &Value<'a>) -> Vec<&'a ast::Param> {
    let decl = match function {
        Value::Function(function) => match &function.callee {
            Callee::Fn { decl, .. } => Some(*decl),
            Callee::Builtin(_) | Callee::Layer { .. } | Callee::Optimizer { .. } => None,
        },
        Value::Instance(id) => cx.instance(*id).members.function("forward"),
        _ => None,
    };
    decl.map_or_else(Vec::new, |decl| decl.params.iter().collect())
}

/// An argument with the dtype that its parameter asks for.
fn concrete<'a>(cx: &mut Cx<'a>, value: Value<'a>, param: Option<&'a ast::Param>, span: Span) -> R<Value<'a>> {
    let Value::Lazy(lazy) = value else { return Ok(value) };
    let wanted = match param.map(|param| cx.form(&param.ty)).transpose()? {
        Some(Form::Tensor { element: Element::Exact(dtype), .. }) => dtype,
        Some(Form::Tensor { element: Element::Class(class), .. }) if class.takes(cx.entry.real) => cx.entry.real,
        _ => cx.default_dtype(lazy.kind.is_integer()),
    };
    cx.materialise(Value::Lazy(lazy), wanted, span).map(Value::Tensor)
}

/// `print(x)` in a test; in `every` it is an action.
fn print<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    if !matches!(cx.top().kind, FrameKind::Test) {
        let error = Diagnostic::error(Code::E0121, args.site.span, "`print` belongs in an `every` or a `test` block")
            .help(
                "`test \"look\" { print(f(ones([2]))) }` shows what a function gives; a `step` reports with `metric`",
            );
        return Err(cx.tell(error));
    }
    cx.refuse_nested_check("print", args.site.span)?;
    let (value, span) = args.need(cx, "x")?;
    let check = match cx.printed(value, span)? {
        Ok(text) => Check::Print { text, value: None },
        Err((text, tensor)) => Check::Print { text, value: Some(cx.computed("test", vec![tensor.value])) },
    };
    cx.checks.push(check);
    Ok(Value::Nothing)
}

/// `all(abs(a - b) <= tol)`
fn close<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let ((a, left), (b, right)) = (args.need(cx, "a")?, args.need(cx, "b")?);
    let tolerance = match args.get("tol") {
        Some((value, span)) => tolerance_of(cx, ArgValue::Value(value, span))?,
        None => 1e-5,
    };
    let span = args.site.span;
    let place = crate::arith::Operation { symbol: "-", span, left, right };
    let difference = cx.binary_values(BinaryOp::Sub, a, b, place)?;
    let difference = cx.tensor(difference, span)?;
    let size = cx.unary_tensor(mlc_ir::scalar::UnaryOp::Abs, &difference, span)?;
    let limit = Value::Number(crate::number::Number::float(tolerance));
    let near = cx.compare_values(CompareOp::Le, Value::Tensor(size), limit, place)?;
    let near = cx.tensor(near, span)?;
    if near.axes.is_empty() {
        return Ok(Value::Tensor(near));
    }
    let op =
        mlc_ir::ops::reduce::Reduce { kind: mlc_ir::ops::reduce::ReduceKind::All, axes: (0..near.rank()).collect() };
    cx.emit(span, op, &[&near], Vec::new()).map(Value::Tensor)
}
