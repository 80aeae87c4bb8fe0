//! Calls: which argument goes where, defaults, and the evaluation of a `fn` for one call.

use crate::cx::{Cx, Frame, FrameKind};
use crate::matching::Matched;
use crate::outline::Gradient;
use crate::scope::Origin;
use crate::stacks::Placed;
use crate::value::{Callee, Function, InstanceId, Owner, R, Size, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::rc::Rc;
use std::sync::Arc;

/// Where a call is written.
#[derive(Clone, Debug)]
pub(crate) struct CallSite {
    /// The whole call.
    pub span: Span,
    /// What is called.
    pub callee: Span,
    /// As messages name it.
    pub name: String,
}

/// An argument: an expression of the caller, or a value made already.
#[derive(Clone, Debug)]
pub(crate) enum ArgValue<'a> {
    Expr(&'a ast::Expr),
    Value(Value<'a>, Span),
}

impl ArgValue<'_> {
    pub fn span(&self) -> Span {
        match self {
            ArgValue::Expr(expr) => expr.span,
            ArgValue::Value(_, span) => *span,
        }
    }
}

/// An argument as it was written.
#[derive(Clone, Debug)]
pub(crate) struct ArgIn<'a> {
    pub name: Option<(Arc<str>, Span)>,
    pub value: ArgValue<'a>,
}

/// What an initialiser has to make: dtype and shape of the declaration that uses it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub dtype: DType,
    pub axes: Vec<Size>,
}

/// An evaluated argument and where it stands.
pub(crate) type Given<'a> = (Value<'a>, Span);

/// The arguments of a call as written.
pub(crate) fn args_of(args: &[ast::Arg]) -> Vec<ArgIn<'_>> {
    let name = |arg: &ast::Arg| arg.name.as_ref().map(|name| (name.text.clone(), name.span));
    args.iter().map(|arg| ArgIn { name: name(arg), value: ArgValue::Expr(&arg.value) }).collect()
}

impl<'a> Cx<'a> {
    /// Calls whatever a value is.
    pub fn call_value(
        &mut self,
        callee: Value<'a>,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Value<'a>> {
        match callee {
            Value::Function(function) => self.call_function(function, args, site, expected),
            Value::Instance(id) => self.call_instance(id, Owner::Instance(id), args, site),
            Value::Row(placed) => self.call_instance(placed.id, Owner::Row(placed), args, site),
            Value::Stack(_) => {
                let name = &site.name;
                let error = Diagnostic::error(Code::E0122, site.callee, format!("`{name}` is a stack of layers"))
                    .label("this calls all of them at once")
                    .help(format!("call one after the other: `for block in {name} {{ x = block(x) }}`"));
                Err(self.tell(error))
            }
            Value::View(placed, view) => self.call_instance(placed.id, Owner::View(placed, view), args, site),
            Value::Poison => Err(self.report.silent()),
            other => {
                let shown = match &other {
                    Value::Number(_) | Value::Str(_) | Value::Bool(_) => other.describe().to_string(),
                    _ => self.show_value(&other),
                };
                let title = format!("`{}` is {shown} and cannot be called", site.name);
                let mut error = Diagnostic::error(Code::E0122, site.callee, title);
                if let (Value::DType(_), [arg, ..]) = (&other, &args[..]) {
                    let x = self.excerpt(arg.value.span());
                    error = error.help(format!("write `cast({x}, {})`", site.name));
                }
                if let Value::List(_) = other {
                    error = error.help(format!("call one after the other: `for f in {} {{ x = f(x) }}`", site.name));
                }
                Err(self.tell(error))
            }
        }
    }

    /// Proof that something in the function under way has been told, for what follows from it.
    pub fn told_in_function(&self) -> Option<crate::report::Reported> {
        match self.top().kind {
            FrameKind::Fn(decl) => self.report.told_within(decl.body.span),
            _ => None,
        }
    }

    fn call_function(
        &mut self,
        function: Function<'a>,
        mut args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Value<'a>> {
        for (name, value) in function.bound.iter() {
            let value = ArgValue::Value(value.clone(), site.span);
            args.push(ArgIn { name: Some((name.clone(), site.span)), value });
        }
        match function.callee {
            Callee::Fn { decl, file, owner } => self.call_fn(decl, file, &owner, args, site, expected),
            Callee::Builtin(builtin) => self.call_builtin(builtin, args, site, expected),
            Callee::Layer { decl, file } => self.construct(decl, file, args, site).map(Value::Instance),
            Callee::Optimizer { decl, file } => self.make_optimizer(decl, file, args, site),
        }
    }

    /// Calls `forward` of an instance.
    fn call_instance(
        &mut self,
        id: InstanceId,
        owner: Owner<'a>,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
    ) -> R<Value<'a>> {
        let instance = self.instance(id);
        let file = instance.file;
        match instance.members.function("forward") {
            Some(decl) => self.call_fn(decl, file, &owner, args, site, None),
            None => Err(self.no_forward(id, site)),
        }
    }

    /// An instance is called that has no `forward`: its functions are named.
    fn no_forward(&mut self, id: InstanceId, site: &CallSite) -> crate::report::Reported {
        let instance = self.instance(id);
        let layer = instance.layer;
        if instance.bindings.contains_key("forward") {
            return self.report.silent(); // its declaration could not be read
        }
        let fns: Vec<&str> = layer
            .members
            .iter()
            .filter_map(|member| match member {
                ast::Member::Fn(decl) => Some(&*decl.name.text),
                _ => None,
            })
            .collect();
        let title = format!("`{}` has no `forward`, so it cannot be called", layer.name.text);
        let error = Diagnostic::error(Code::E0122, site.callee, title).also(layer.name.span, "declared here");
        let named = |name: &&str| format!("`{}.{name}(…)`", site.name);
        self.tell(match fns.as_slice() {
            [] => error.help("give it one: `fn forward(x: f32[B, D]) -> f32[B, D] { … }`"),
            [only] => error.help(format!("call its function by name: {}", named(only))),
            several => {
                let calls: Vec<String> = several.iter().map(named).collect();
                error.help(format!("call one of its functions by name: {}", calls.join(", ")))
            }
        })
    }

    /// Calls a `fn`: its body is evaluated for this call.
    pub fn call_fn(
        &mut self,
        decl: &'a ast::Fn,
        file: FileId,
        owner: &Owner<'a>,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Value<'a>> {
        self.refuse_recursion(decl, owner, site)?;
        let args = self.axis_from_over(decl, args)?;
        let args = self.bind_args(&decl.params, args, site)?;
        let given = self.given_args(&decl.params, args)?;
        let of_prelude = self.files.origin(file) == Origin::Prelude;
        if of_prelude {
            self.warn_of_probabilities(decl, &given);
        }
        let frame = self.fn_frame(decl, file, owner, site);
        let scope = frame.scope;
        let run = |cx: &mut Cx<'a>, given| {
            cx.within(frame, |cx| cx.deeper(site.span, |cx| cx.run_fn(decl, given, site, expected)))
        };
        let result = match owner {
            Owner::View(_, view) => {
                let given = self.seen_args(*view, given)?;
                let result = self.with_view(*view, |cx| run(cx, given))?;
                self.unseen_result(*view, result, site.span)
            }
            Owner::File | Owner::Instance(_) | Owner::Row(_) | Owner::Block(_) => run(self, given),
        };
        let result = result.map(|value| value.without_names_of(scope));
        if let (true, Ok(result)) = (of_prelude, &result) {
            self.note_probabilities(decl, result);
        }
        result
    }

    fn refuse_recursion(&mut self, decl: &'a ast::Fn, owner: &Owner<'a>, site: &CallSite) -> R<()> {
        let instance = match owner {
            Owner::Instance(id) | Owner::Row(Placed { id, .. }) | Owner::View(Placed { id, .. }, _) => Some(*id),
            Owner::Block(block) => block.states,
            Owner::File => None,
        };
        let same = |frame: &Frame<'a>| match frame.kind {
            FrameKind::Fn(other) => std::ptr::eq(other, decl) && frame.instance == instance,
            _ => false,
        };
        if !self.frames.iter().any(same) {
            return Ok(());
        }
        let error = Diagnostic::error(Code::E0111, site.span, format!("`{}` calls itself", decl.name.text))
            .also(decl.name.span, "declared here")
            .help(self.instead_of_recursion(&decl.name.text));
        Err(self.tell(error))
    }

    /// A name of the library that a function hides from itself was meant most likely.
    pub fn instead_of_recursion(&self, name: &str) -> String {
        match crate::builtins::find(name).is_some() || self.files.find_in_prelude(name).is_some() {
            true => format!("if the `{name}` of the library is meant, this function needs another name"),
            false => "functions do not recur; repeat with `for`".to_string(),
        }
    }

    /// The frame of a call.
    pub fn fn_frame(&mut self, decl: &'a ast::Fn, file: FileId, owner: &Owner<'a>, site: &CallSite) -> Frame<'a> {
        let path = self.next_path(&site.name);
        let update = self.in_update();
        let mut frame = self.new_frame(if update { FrameKind::Update } else { FrameKind::Fn(decl) }, file);
        (frame.call, frame.path) = (Some(site.span), path);
        match owner {
            Owner::File => {}
            Owner::Instance(id) => {
                (frame.instance, frame.session) = (Some(*id), self.session_names(*id, Some(decl)));
            }
            Owner::Row(placed) | Owner::View(placed, _) => {
                (frame.instance, frame.session) = (Some(placed.id), self.session_names(placed.id, Some(decl)));
                frame.rows = self.joined_rows(&placed.rows);
            }
            Owner::Block(block) => {
                frame.block = block.clone();
                if let Some(id) = block.states {
                    (frame.instance, frame.session) = (Some(id), self.session_names(id, Some(decl)));
                }
            }
        }
        frame
    }

    /// The path of the next call of `name` from here, for random draws.
    pub fn next_path(&mut self, name: &str) -> String {
        let frame = self.frame();
        let ordinal = frame.ordinals.entry(name.to_string()).or_insert(0);
        let path = format!("{}/{name}:{ordinal}", frame.path);
        *ordinal += 1;
        path
    }

    fn given_args(&mut self, params: &'a [ast::Param], args: Vec<Option<ArgValue<'a>>>) -> R<Vec<Option<Given<'a>>>> {
        let mut given = Vec::new();
        let mut failed = None;
        for (param, arg) in params.iter().zip(args) {
            let Some(arg) = arg else {
                given.push(None);
                continue;
            };
            let span = arg.span();
            match self.arg_value(&param.ty, arg) {
                Ok(value) => given.push(Some((value, span))),
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(given),
        }
    }

    /// Binds the parameters in the callee's frame, runs the body, checks the result.
    fn run_fn(
        &mut self,
        decl: &'a ast::Fn,
        given: Vec<Option<Given<'a>>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Value<'a>> {
        if let (Some(expected), Some(result)) = (expected, &decl.result) {
            self.bind_expected(result, expected, site)?;
        }
        self.bind_params(&decl.params, given, site)?;
        if let Some(result) = &decl.result {
            self.divisions_of(result, None)?;
        }
        self.refuse_length(decl, site.span)?;
        self.requires(&decl.requires, Some(site.span))?;
        if let Some(result) = &decl.result {
            self.divisions_of(result, Some(site))?;
        }
        let value = self.outlined_body(decl, site)?;
        match expected {
            Some(expected) => self.fit_expected(value, expected, decl.span),
            None => Ok(value),
        }
    }

    /// The body, as a call of its own where it is a checkpoint or has a gradient of its own.
    fn outlined_body(&mut self, decl: &'a ast::Fn, site: &CallSite) -> R<Value<'a>> {
        let frame = self.top();
        let external = self.extern_of(decl);
        let gradient = match (frame.instance, external) {
            (Some(_), _) => None,
            (None, Some(ast::Extern { grad: Some(name), .. })) => Some(Gradient::Function(name)),
            (None, _) => self.own_gradient(decl, frame.file).map(Gradient::Declared),
        };
        if let Some(gradient) = gradient {
            return self.body_with_gradient(decl, gradient, site);
        }
        if external.is_some() {
            return self.plain_body(decl, site);
        }
        if !is_checkpoint(decl) || !self.takes_gradients() {
            return self.fn_body(decl);
        }
        let began = self.begin_call();
        let value = self.fn_body(decl)?;
        Ok(self.checkpointed(&began, value, &decl.name.text, decl.name.span))
    }

    /// Runs the body of a `fn` or calls the C function of an `extern fn`; parameters are bound.
    pub fn plain_body(&mut self, decl: &'a ast::Fn, site: &CallSite) -> R<Value<'a>> {
        match self.extern_of(decl) {
            Some(external) => self.extern_body(external, site),
            None => self.fn_body(decl),
        }
    }

    /// Runs the body of a `fn` whose parameters are bound.
    pub fn fn_body(&mut self, decl: &'a ast::Fn) -> R<Value<'a>> {
        let returned = self.block(&decl.body)?;
        match (returned, &decl.result) {
            (None, None) => Ok(Value::Nothing),
            (Some((value, span)), Some(ty)) => {
                let what = Matched::Result { function: decl.name.text.clone() };
                self.match_value(ty, value, span, what)
            }
            (None, Some(ty)) => {
                if let Some(reported) = self.report.told_within(decl.body.span) {
                    return Err(reported);
                }
                let error = Diagnostic::error(
                    Code::E0121,
                    decl.name.span,
                    format!("`{}` does not return a value", decl.name.text),
                )
                .also(ty.span, "its result type");
                let error = match last_bound(decl) {
                    Some(name) => error.help(format!("end it with `return {name}`")),
                    None => error.help("the last statement is `return …`"),
                };
                Err(self.tell(error))
            }
            (Some((_, span)), None) => {
                let error = Diagnostic::error(
                    Code::E0109,
                    span,
                    format!("`{}` has no result type and returns a value", decl.name.text),
                )
                .also(decl.span, "declared here")
                .help("write the type behind `->`");
                Err(self.tell(error))
            }
        }
    }

    /// `over: NAME` for a `fn` that has an argument `axis` becomes the number of that axis.
    fn axis_from_over(&mut self, decl: &'a ast::Fn, mut args: Vec<ArgIn<'a>>) -> R<Vec<ArgIn<'a>>> {
        let has = |name: &str| decl.params.iter().any(|param| *param.name.text == *name);
        let over = args.iter().position(|arg| arg.name.as_ref().is_some_and(|(name, _)| **name == *"over"));
        let (Some(over), true, false) = (over, has("axis"), has("over")) else { return Ok(args) };
        let ArgValue::Expr(expr) = args[over].value.clone() else { return Ok(args) };
        let Some(first) = args.iter().position(|arg| match &arg.name {
            None => true,
            Some((name, _)) => decl.params.first().is_some_and(|param| param.name.text == *name),
        }) else {
            return Ok(args);
        };
        let span = args[first].value.span();
        let value = match args[first].value.clone() {
            ArgValue::Expr(first) => self.expr(first)?,
            ArgValue::Value(value, _) => value,
        };
        let sought = self.axes_of_value(&value, span)?;
        let picked = self.axes_by_name(&sought, expr)?;
        args[first].value = ArgValue::Value(value, span);
        let numbers: Vec<Value<'a>> = picked.into_iter().map(|axis| Value::int(axis as i64)).collect();
        let number = match <[Value<'a>; 1]>::try_from(numbers) {
            Ok([single]) => single,
            Err(numbers) => Value::Tuple(Rc::new(numbers)),
        };
        args[over] = ArgIn { name: Some(("axis".into(), expr.span)), value: ArgValue::Value(number, expr.span) };
        Ok(args)
    }
}

/// Whether a function's values are computed again for the gradient.
fn is_checkpoint(decl: &ast::Fn) -> bool {
    decl.attrs.iter().any(|attr| &*attr.name.text == "checkpoint")
}

/// The names that the last statement of a function binds.
fn last_bound(decl: &ast::Fn) -> Option<String> {
    match &decl.body.stmts.last()?.kind {
        ast::StmtKind::Annotated { name, .. } => Some(name.text.to_string()),
        ast::StmtKind::Assign { targets, .. } => {
            let name = |target: &ast::Expr| match &target.kind {
                ast::ExprKind::Name(text) => Some(text.to_string()),
                _ => None,
            };
            Some(targets.iter().map(name).collect::<Option<Vec<String>>>()?.join(", "))
        }
        _ => None,
    }
}
