//! Calls: which argument goes where, defaults, and the evaluation of a `fn` for one call.

use crate::builtins::{Arity, Builtin};
use crate::cx::{Cx, Frame, FrameKind};
use crate::report::Reported;
use crate::scope::{self, Origin};
use crate::types::{Element, Form, Match, Matched};
use crate::value::{Callee, Function, InstanceId, Owner, R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::ops::slice::Slice;
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
            Value::Instance(id) => self.call_instance(id, args, site),
            Value::Poison => Err(self.report.silent()),
            other => {
                let title = format!("`{}` is {} and cannot be called", site.name, self.show_value(&other));
                self.fail(Code::E0122, site.callee, title)
            }
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
    fn call_instance(&mut self, id: InstanceId, args: Vec<ArgIn<'a>>, site: &CallSite) -> R<Value<'a>> {
        let instance = self.instance(id);
        let (layer, file) = (instance.layer, instance.file);
        match crate::instances::fn_of(layer, "forward") {
            Some(decl) => self.call_fn(decl, file, &Owner::Instance(id), args, site, None),
            None => {
                let name = &layer.name.text;
                let error = Diagnostic::error(
                    Code::E0122,
                    site.callee,
                    format!("`{name}` has no `forward`, so it cannot be called"),
                )
                .help("call one of its functions by name: `net.encode(x)`");
                Err(self.tell(error))
            }
        }
    }

    /// Puts each argument to its parameter.
    pub fn bind_args(
        &mut self,
        params: &'a [ast::Param],
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
    ) -> R<Vec<Option<ArgValue<'a>>>> {
        let names: Vec<&str> = params.iter().map(|param| &*param.name.text).collect();
        self.place_args(&names, args, site)
    }

    /// Puts each argument to one of `names`.
    pub fn place_args(
        &mut self,
        names: &[&str],
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
    ) -> R<Vec<Option<ArgValue<'a>>>> {
        let mut placed: Vec<Option<ArgValue<'a>>> = vec![None; names.len()];
        let mut failed = None;
        let count = args.len();
        for (position, arg) in args.into_iter().enumerate() {
            let at = match &arg.name {
                None if position < names.len() => position,
                None => {
                    failed = Some(self.too_many(names, count, arg.value.span(), site));
                    break;
                }
                Some((name, span)) => match names.iter().position(|other| **other == **name) {
                    Some(at) => at,
                    None => {
                        failed = Some(self.unknown_argument(names, name, *span, site));
                        continue;
                    }
                },
            };
            if placed[at].is_some() {
                let span = arg.name.as_ref().map_or(arg.value.span(), |(_, span)| *span);
                let title = format!("`{}` of `{}` is given twice", names[at], site.name);
                failed = Some(self.tell(Diagnostic::error(Code::E0103, span, title)));
                continue;
            }
            placed[at] = Some(arg.value);
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(placed),
        }
    }

    fn too_many(&mut self, names: &[&str], count: usize, span: Span, site: &CallSite) -> Reported {
        let takes = match names.len() {
            0 => "no arguments".to_string(),
            1 => "one argument".to_string(),
            n => format!("{n} arguments"),
        };
        let mut error =
            Diagnostic::error(Code::E0103, span, format!("`{}` takes {takes}, and these are {count}", site.name));
        if !names.is_empty() {
            error = error.note(format!("its arguments: {}", names.join(", ")));
        }
        if matches!(site.name.as_str(), "Linear" | "Conv2d") {
            error = error.help("the input size is not given: it is found by the first use");
        } else if matches!(site.name.as_str(), "max" | "min") {
            error = error.help(format!("`{0}` reduces one tensor; the {0}imum of two is `{0}imum(a, b)`", site.name));
        } else if site.name == "mean" || site.name == "sum" {
            error = error.help("it reduces one tensor: `mean(x, axis: -1)`");
        }
        self.tell(error)
    }

    fn unknown_argument(&mut self, names: &[&str], name: &str, span: Span, site: &CallSite) -> Reported {
        let mut error = Diagnostic::error(Code::E0103, span, format!("`{}` has no argument `{name}`", site.name));
        let habit = match name {
            "activation" => Some("apply the activation to the result: `relu(conv(x))`".to_string()),
            "in_features" | "in_channels" | "input_shape" | "input_dim" => {
                Some("the input size is found by itself".to_string())
            }
            "kernel_size" => Some("write `kernel: 3`".to_string()),
            "padding_mode" => None,
            "learning_rate" => Some("the learning rate is called `lr`".to_string()),
            "dim" | "keepdim" | "keepdims" => Some("write `axis: -1`, and `keep: true` to keep the axis".to_string()),
            _ => None,
        };
        if let Some(near) = scope::nearest(name, names.iter().copied()) {
            error = error.help(format!("did you mean `{near}`?"));
        } else if let Some(habit) = habit {
            error = error.help(habit);
        }
        if !names.is_empty() {
            error = error.note(format!("its arguments: {}", names.join(", ")));
        }
        self.tell(error)
    }

    /// An argument that has no default was left out.
    pub fn missing_argument(&mut self, param: &'a ast::Param, site: &CallSite) -> Reported {
        let ty = self.sources.text(param.ty.span);
        let title = format!("`{}` needs the argument `{}`: {ty}", site.name, param.name.text);
        let error = Diagnostic::error(Code::E0103, site.span, title).also(param.span, "declared here");
        self.tell(error)
    }

    /// Evaluates an argument; for type `fn` a call of an initialiser stands for a function.
    pub fn arg_value(&mut self, ty: &'a ast::Type, arg: ArgValue<'a>) -> R<Value<'a>> {
        let expr = match arg {
            ArgValue::Value(value, _) => return Ok(value),
            ArgValue::Expr(expr) => expr,
        };
        if let (Form::Fn, ast::ExprKind::Call { callee, args, .. }) = (self.form(ty)?, &expr.kind) {
            let callee_value = self.expr(callee)?;
            if let Value::Function(function) = callee_value
                && self.makes_shapes(&function)?
            {
                return self.partial(function, args);
            }
        }
        self.expr(expr)
    }

    /// Whether a function is an initialiser: its shape comes from the declaration that uses it.
    pub fn makes_shapes(&mut self, function: &Function<'a>) -> R<bool> {
        match &function.callee {
            Callee::Builtin(builtin) => Ok(builtin.initialiser),
            Callee::Fn { decl, .. } => self.is_initialiser(decl),
            Callee::Layer { .. } | Callee::Optimizer { .. } => Ok(false),
        }
    }

    fn is_initialiser(&mut self, decl: &'a ast::Fn) -> R<bool> {
        let Some(ast::Type { kind: ast::TypeKind::Named { axes: Some(axes), .. }, .. }) = &decl.result else {
            return Ok(false);
        };
        let no_tensors = decl.params.iter().all(|param| match &param.ty.kind {
            ast::TypeKind::Named { axes, .. } => axes.is_none(),
            ast::TypeKind::Tuple { .. } => true,
        });
        let named = |axis: &ast::Axis| match &axis.kind {
            ast::AxisKind::Pack(_) => true,
            ast::AxisKind::Size(expr) => matches!(expr.kind, ast::ExprKind::Name(_)),
            ast::AxisKind::Hole | ast::AxisKind::HolePack => false,
        };
        Ok(no_tensors && !axes.is_empty() && axes.iter().any(named))
    }

    fn partial(&mut self, function: Function<'a>, args: &'a [ast::Arg]) -> R<Value<'a>> {
        let names: Vec<Arc<str>> = match &function.callee {
            Callee::Fn { decl, .. } => decl.params.iter().map(|param| param.name.text.clone()).collect(),
            Callee::Builtin(builtin) => {
                builtin.params.iter().filter(|name| **name != "shape").map(|name| Arc::from(*name)).collect()
            }
            Callee::Layer { .. } | Callee::Optimizer { .. } => Vec::new(),
        };
        let mut bound = function.bound.to_vec();
        for (position, arg) in args.iter().enumerate() {
            let value = self.expr(&arg.value)?;
            let name = match (&arg.name, names.get(position)) {
                (Some(name), _) => name.text.clone(),
                (None, Some(name)) => name.clone(),
                (None, None) => return self.fail(Code::E0103, arg.value.span, "too many arguments for an initialiser"),
            };
            bound.push((name, value));
        }
        Ok(Value::Function(Function { callee: function.callee, bound: Rc::new(bound) }))
    }

    /// Evaluates given arguments in the caller and makes them what static types want.
    pub fn static_args(
        &mut self,
        params: &'a [ast::Param],
        args: Vec<Option<ArgValue<'a>>>,
    ) -> R<Vec<Option<Value<'a>>>> {
        let mut values = Vec::new();
        let mut failed = None;
        for (param, arg) in params.iter().zip(args) {
            let Some(arg) = arg else {
                values.push(None);
                continue;
            };
            let span = arg.span();
            let value = self.arg_value(&param.ty, arg);
            match value.and_then(|value| self.convert_static(&param.ty, value, span, &param.name.text)) {
                Ok(value) => values.push(Some(value)),
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(values),
        }
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
        if self.files.origin(file) == Origin::Prelude {
            self.warn_of_probabilities(decl, &given);
        }
        let frame = self.fn_frame(decl, file, owner, site);
        let result = self.within(frame, |cx| cx.deeper(site.span, |cx| cx.run_fn(decl, given, site, expected)));
        if let ("softmax", Ok(Value::Tensor(tensor))) = (&*decl.name.text, &result) {
            self.entry.probabilities.insert(tensor.value);
        }
        result
    }

    /// W0002: `cross_entropy(softmax(z), y)` runs and is wrong.
    fn warn_of_probabilities(&mut self, decl: &'a ast::Fn, given: &[Option<Given<'a>>]) {
        let Some(Some((Value::Tensor(logits), span))) = given.first() else { return };
        if *decl.name.text != *"cross_entropy" || !self.entry.probabilities.contains(&logits.value) {
            return;
        }
        let warning =
            Diagnostic::warning(Code::W0002, *span, "`cross_entropy` takes logits, and these are probabilities")
                .label("this comes from `softmax`")
                .help("leave `softmax` out: `cross_entropy(logits, label)` applies it itself");
        self.tell(warning);
    }

    fn refuse_recursion(&mut self, decl: &'a ast::Fn, owner: &Owner<'a>, site: &CallSite) -> R<()> {
        let instance = match owner {
            Owner::Instance(id) => Some(*id),
            Owner::File | Owner::Block(_) => None,
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
            .help("functions do not recur; repeat with `for`");
        Err(self.tell(error))
    }

    /// The frame of a call.
    pub fn fn_frame(&mut self, decl: &'a ast::Fn, file: FileId, owner: &Owner<'a>, site: &CallSite) -> Frame<'a> {
        let path = self.next_path(&site.name);
        let update = self.in_update();
        let mut frame = self.new_frame(if update { FrameKind::Update } else { FrameKind::Fn(decl) }, file);
        (frame.call, frame.path) = (Some(site.span), path);
        match owner {
            Owner::File => {}
            Owner::Instance(id) => frame.instance = Some(*id),
            Owner::Block(block) => frame.block = block.clone(),
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
        self.requires(&decl.requires, Some(site.span))?;
        let value = self.fn_body(decl)?;
        match expected {
            Some(expected) => self.fit_expected(value, expected, decl.span),
            None => Ok(value),
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
                let error = Diagnostic::error(
                    Code::E0121,
                    decl.name.span,
                    format!("`{}` does not return a value", decl.name.text),
                )
                .also(ty.span, "its result type")
                .help("the last statement is `return …`");
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

    /// Binds parameters: static ones first, then tensors, then what has no dtype yet, then defaults.
    pub fn bind_params(&mut self, params: &'a [ast::Param], given: Vec<Option<Given<'a>>>, site: &CallSite) -> R<()> {
        let mut typed = Vec::new();
        let mut untyped = Vec::new();
        let mut absent = Vec::new();
        for (param, given) in params.iter().zip(given) {
            let is_static = self.is_static(&param.ty)?;
            match given {
                Some((value, span)) if is_static => {
                    let value = self.convert_static(&param.ty, value, span, &param.name.text)?;
                    self.set_local(&param.name.text, value);
                }
                None if is_static => self.bind_static_default(param, site)?,
                Some((value @ (Value::Number(_) | Value::Bool(_) | Value::Lazy(_)), span)) => {
                    untyped.push((param, value, span))
                }
                Some((value, span)) => typed.push((param, value, span)),
                None => absent.push(param),
            }
        }
        let mut later = Vec::new();
        let mut failed = None;
        for (param, value, span) in typed.into_iter().chain(untyped) {
            if let Err(reported) = self.bind_param(param, value, span, site, &mut later) {
                failed = Some(reported);
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        for param in absent {
            let Some(default) = &param.default else { return Err(self.missing_argument(param, site)) };
            let value = self.arg_value(&param.ty, ArgValue::Expr(default))?;
            self.bind_param(param, value, default.span, site, &mut later)?;
        }
        later.into_iter().try_for_each(|found| self.match_later(found))
    }

    fn bind_static_default(&mut self, param: &'a ast::Param, site: &CallSite) -> R<()> {
        let Some(default) = &param.default else { return Err(self.missing_argument(param, site)) };
        let value = self.arg_value(&param.ty, ArgValue::Expr(default))?;
        let value = self.convert_static(&param.ty, value, default.span, &param.name.text)?;
        self.set_local(&param.name.text, value);
        Ok(())
    }

    pub fn set_local(&mut self, name: &Arc<str>, value: Value<'a>) {
        self.frame().locals.insert(name.clone(), value);
    }

    fn bind_param<'s>(
        &mut self,
        param: &'a ast::Param,
        value: Value<'a>,
        span: Span,
        site: &'s CallSite,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<()> {
        let what = Matched::Argument { name: param.name.text.clone(), site };
        let value = self.match_value_later(&param.ty, value, span, what, later)?;
        self.set_local(&param.name.text, value);
        Ok(())
    }

    /// A run-time value as its type wants it; sizes that wait for others are compared at once.
    pub fn match_value(&mut self, ty: &'a ast::Type, value: Value<'a>, span: Span, what: Matched<'_>) -> R<Value<'a>> {
        let mut later = Vec::new();
        let value = self.match_value_later(ty, value, span, what, &mut later)?;
        later.into_iter().try_for_each(|found| self.match_later(found))?;
        Ok(value)
    }

    fn match_value_later<'s>(
        &mut self,
        ty: &'a ast::Type,
        value: Value<'a>,
        span: Span,
        what: Matched<'s>,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<Value<'a>> {
        let shown = self.show_value(&value);
        match self.form(ty)? {
            Form::Tuple { fields, variadic: false } if !self.is_static(ty)? => {
                self.match_tuple(ty, fields, value, span, what, later)
            }
            Form::Tensor { element, axes } => {
                let found = Match { what, span, ty, shown, later: Vec::new() };
                self.match_tensor(element, axes, value, found, later)
            }
            Form::Dim | Form::Int | Form::Str | Form::Fn | Form::Bool | Form::Tuple { .. } => {
                self.convert_static(ty, value, span, &crate::types::subject(&what).replace('`', ""))
            }
        }
    }

    fn match_tuple<'s>(
        &mut self,
        ty: &'a ast::Type,
        fields: &'a [(Option<ast::Name>, ast::Type)],
        value: Value<'a>,
        span: Span,
        what: Matched<'s>,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<Value<'a>> {
        let parts = match value {
            Value::Tuple(parts) => parts.to_vec(),
            single if fields.len() == 1 => vec![single],
            single => {
                let shown = self.show_value(&single);
                let found = Match { what, span, ty, shown, later: Vec::new() };
                return Err(self.mismatch(&found, Some(format!("{} values are wanted", fields.len()))));
            }
        };
        if parts.len() != fields.len() {
            let subject = crate::types::subject(&what);
            let title = format!("{subject} has {} values, and {} are wanted", parts.len(), fields.len());
            let error = Diagnostic::error(Code::E0119, span, title).also(ty.span, "declared here");
            return Err(self.tell(error));
        }
        let mut matched = Vec::new();
        for ((_, ty), part) in fields.iter().zip(parts) {
            matched.push(self.match_value_later(ty, part, span, what.clone(), later)?);
        }
        match matched.len() {
            1 => Ok(matched.remove(0)),
            _ => Ok(Value::Tuple(Rc::new(matched))),
        }
    }

    fn match_tensor<'s>(
        &mut self,
        element: Element,
        axes: &'a [ast::Axis],
        value: Value<'a>,
        mut found: Match<'a, 's>,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<Value<'a>> {
        let value = match value {
            Value::Tensor(tensor) => {
                self.match_element(element, tensor.dtype, &found)?;
                let axes = self.match_axes(axes, &tensor.axes, &mut found)?;
                Value::Tensor(self.as_said(tensor, axes, found.span)?)
            }
            Value::Lazy(lazy) => {
                let named = self.match_axes(axes, &lazy.axes, &mut found)?;
                let dtype = self.wanted_dtype(element, lazy.kind.is_integer());
                let value = self.materialise(Value::Lazy(lazy), dtype, found.span)?;
                self.match_element(element, value.dtype, &found)?;
                Value::Tensor(self.as_said(value, named, found.span)?)
            }
            Value::Number(number) if axes.is_empty() => {
                let dtype = self.wanted_dtype(element, number.is_integer());
                self.scalar_argument(Value::Number(number), dtype, &found)?
            }
            Value::Bool(value) if axes.is_empty() => self.scalar_argument(Value::Bool(value), DType::Bool, &found)?,
            value @ (Value::Number(_) | Value::Bool(_)) => self.spread_argument(element, axes, value, &found)?,
            Value::Poison => return Err(self.report.silent()),
            other => {
                return Err(self.wrong_kind(
                    found.ty,
                    &other,
                    found.span,
                    &crate::types::subject(&found.what).replace('`', ""),
                ));
            }
        };
        if !found.later.is_empty() {
            later.push(found);
        }
        Ok(value)
    }

    /// The tensor with the axes that its type says. Where only a check at run time makes the two
    /// equal, a slice of the whole gives the sizes their names.
    fn as_said(&mut self, tensor: Tensor, axes: Vec<Size>, span: Span) -> R<Tensor> {
        let sizes = shape_of(&axes);
        if sizes == tensor.shape() {
            return Ok(Tensor { axes, ..tensor });
        }
        let op = Slice { starts: vec![Dim::zero(); axes.len()], sizes, steps: vec![1; axes.len()] };
        self.emit(span, op, &[&tensor], axes)
    }

    /// The dtype that an element of a type asks of a value that has none.
    fn wanted_dtype(&self, element: Element, is_integer: bool) -> DType {
        let default = self.default_dtype(is_integer);
        match element {
            Element::Exact(dtype) => dtype,
            Element::Class(class) => match self.class_dtype(class) {
                Some(dtype) => dtype,
                None if class.takes(default) => default,
                None => self.entry.real,
            },
        }
    }

    /// A literal for a scalar parameter stays a literal, so that conditions on it are static.
    fn scalar_argument(&mut self, value: Value<'a>, dtype: DType, found: &Match<'a, '_>) -> R<Value<'a>> {
        match value {
            Value::Number(number) if dtype == DType::Bool || (!dtype.is_float() && !number.is_integer()) => {
                let shown = self.show_value(&Value::Number(number));
                let title = format!("{} is {dtype}, and {shown} is not", crate::types::subject(&found.what));
                self.fail(Code::E0104, found.span, title)
            }
            Value::Number(number) => Ok(Value::Number(number.typed(dtype))),
            Value::Bool(value) => {
                let wants_bool = matches!(
                    self.form(found.ty)?,
                    Form::Tensor { element: Element::Exact(DType::Bool), .. }
                        | Form::Tensor { element: Element::Class(_), .. }
                );
                if !wants_bool {
                    return Err(self.wrong_kind(
                        found.ty,
                        &Value::Bool(value),
                        found.span,
                        &crate::types::subject(&found.what).replace('`', ""),
                    ));
                }
                Ok(Value::Bool(value))
            }
            other => Ok(other),
        }
    }

    /// A number for a tensor parameter fills its shape (rule 2).
    fn spread_argument(
        &mut self,
        element: Element,
        axes: &'a [ast::Axis],
        value: Value<'a>,
        found: &Match<'a, '_>,
    ) -> R<Value<'a>> {
        let is_integer = matches!(&value, Value::Number(number) if number.is_integer());
        let dtype = match &value {
            Value::Bool(_) => DType::Bool,
            _ => self.wanted_dtype(element, is_integer),
        };
        if let (Value::Bool(_), Element::Exact(wanted)) = (&value, element)
            && wanted != DType::Bool
        {
            let subject = crate::types::subject(&found.what).replace('`', "");
            return Err(self.wrong_kind(found.ty, &value, found.span, &subject));
        }
        let axes = self.pattern_shape(axes, found)?;
        let scalar = self.materialise(value, dtype, found.span)?;
        self.match_element(element, scalar.dtype, found)?;
        Ok(Value::Tensor(self.broadcast_scalar(scalar, axes, found.span)?))
    }

    fn pattern_shape(&mut self, pattern: &'a [ast::Axis], found: &Match<'a, '_>) -> R<Vec<Size>> {
        let mut axes = Vec::new();
        for axis in pattern {
            match &axis.kind {
                ast::AxisKind::Pack(name) => match self.size_name(&name.text, name.span)? {
                    crate::sizes::SizeName::Bound(value) => axes.extend(self.as_shape(&value, name.span)?),
                    _ => self.set_local(&name.text, Value::Pack(Rc::new(Vec::new()))),
                },
                ast::AxisKind::Size(expr) => match self.unbound_in(expr)? {
                    None => axes.push(self.size_expr(expr)?),
                    Some((name, _)) => {
                        let title = format!(
                            "the size `{name}` cannot be found: {} is a number",
                            crate::types::subject(&found.what)
                        );
                        return self.fail(Code::E0106, found.span, title);
                    }
                },
                ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                    return self.fail(Code::E0122, axis.span, "`_` needs a tensor, and this is a number");
                }
            }
        }
        Ok(axes)
    }

    /// Binds the names of an initialiser's result type from the declaration; rank 1 is read as `[1, O]`.
    fn bind_expected(&mut self, result: &'a ast::Type, expected: &Expected, site: &CallSite) -> R<()> {
        let Form::Tensor { element, axes } = self.form(result)? else { return Ok(()) };
        let needed = axes.iter().filter(|axis| matches!(axis.kind, ast::AxisKind::Size(_))).count();
        let mut sizes = expected.axes.clone();
        if sizes.len() + 1 == needed && sizes.len() == 1 {
            sizes.insert(0, Size::plain(1));
        }
        let shown = format!("{}{}", expected.dtype, self.show_axes(&expected.axes));
        let mut found = Match { what: Matched::Declaration, span: site.span, ty: result, shown, later: Vec::new() };
        self.match_element(element, expected.dtype, &found)?;
        self.match_axes(axes, &sizes, &mut found)?;
        Ok(())
    }

    /// The value of an initialiser in the shape of the declaration.
    pub fn fit_expected(&mut self, value: Value<'a>, expected: &Expected, span: Span) -> R<Value<'a>> {
        let tensor = self.materialise(value, expected.dtype, span)?;
        if tensor.dtype != expected.dtype {
            let title = format!("the initial value is {}, and {} is wanted", tensor.dtype, expected.dtype);
            return self.fail(Code::E0104, span, title);
        }
        if tensor.axes.is_empty() {
            return Ok(Value::Tensor(self.broadcast_scalar(tensor, expected.axes.clone(), span)?));
        }
        if tensor.shape() == shape_of(&expected.axes) {
            return Ok(Value::Tensor(Tensor { axes: expected.axes.clone(), ..tensor }));
        }
        if tensor.axes.len() == expected.axes.len() + 1 && tensor.axes[0].dim.is(1) {
            return Ok(Value::Tensor(self.reshape(&tensor, expected.axes.clone(), span)?));
        }
        let (is, wanted) = (self.show(&tensor), self.show_axes(&expected.axes));
        self.fail(Code::E0105, span, format!("the initial value is {is}, and the shape {wanted} is wanted"))
    }

    /// Calls a builtin.
    fn call_builtin(
        &mut self,
        builtin: &'static Builtin,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Value<'a>> {
        let args = match builtin.arity {
            Arity::Named => crate::builtins::Args::placed(self, builtin, args, site, expected)?,
            Arity::Rest(first) => crate::builtins::Args::with_rest(self, builtin, first, args, site, expected)?,
            Arity::Raw => crate::builtins::Args::raw(builtin, args, site),
        };
        (builtin.run)(self, args)
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
        let axes = self.axes_of_value(&value, span)?;
        let picked = self.axes_by_name(&axes, expr, span)?;
        args[first].value = ArgValue::Value(value, span);
        let numbers: Vec<Value<'a>> = picked.into_iter().map(|axis| Value::int(axis as i64)).collect();
        let number = match <[Value<'a>; 1]>::try_from(numbers) {
            Ok([single]) => single,
            Err(numbers) => Value::Tuple(Rc::new(numbers)),
        };
        args[over] = ArgIn { name: Some(("axis".into(), expr.span)), value: ArgValue::Value(number, expr.span) };
        Ok(args)
    }

    /// The dtype of what has none and meets none: i32 for integers, f32 for the rest.
    pub fn default_dtype(&self, is_integer: bool) -> DType {
        if is_integer { DType::I32 } else { self.entry.real }
    }
}
