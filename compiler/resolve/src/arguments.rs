//! Which argument goes to which parameter, and what is said where one does not fit.

use crate::argument_habits;
use crate::calls::{ArgIn, ArgValue, CallSite};
use crate::cx::Cx;
use crate::report::Reported;
use crate::scope;
use crate::types::Form;
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
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
        let mut places: Vec<Option<Span>> = vec![None; names.len()];
        let mut failed = None;
        let count = args.len();
        if let Some(reported) = self.unnamed_behind_named(&args) {
            return Err(reported);
        }
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
                        failed = Some(self.unknown_argument(names, name, (*span, arg.value.span()), site));
                        continue;
                    }
                },
            };
            let span = arg.name.as_ref().map_or(arg.value.span(), |(_, span)| *span);
            if let Some(first) = places[at] {
                failed = Some(self.given_twice(names, names[at], first, span, site));
                continue;
            }
            places[at] = Some(span);
            placed[at] = Some(arg.value);
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(placed),
        }
    }

    fn given_twice(&mut self, names: &[&str], name: &str, first: Span, span: Span, site: &CallSite) -> Reported {
        let named = self.sources.text(first) == name;
        let place = if named { "the first time here" } else { "given here already, by its position" };
        let error = Diagnostic::error(Code::E0103, span, format!("`{name}` of `{}` is given twice", site.name))
            .also(first, place)
            .note(format!("its arguments: {}", names.join(", ")));
        self.tell(match names.first() {
            _ if named => error.help("take one of them out"),
            Some(&"xs") => error.help(format!("several tensors stand in a list: `{}([x, y], …)`", site.name)),
            _ => error.help("take one of them out, or give the first one the name of the argument it is meant for"),
        })
    }

    /// Arguments by position come first.
    fn unnamed_behind_named(&mut self, args: &[ArgIn<'a>]) -> Option<Reported> {
        let named = args.iter().position(|arg| arg.name.is_some())?;
        let unnamed = args[named..].iter().find(|arg| arg.name.is_none())?;
        let first = args[named].name.as_ref().map_or(args[named].value.span(), |(_, span)| *span);
        let error = Diagnostic::error(
            Code::E0103,
            unnamed.value.span(),
            "an argument without a name stands behind one with a name",
        )
        .also(first, "the first with a name")
        .help("arguments by position come first, or give this one its name");
        Some(self.tell(error))
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
        if site.name.starts_with(char::is_uppercase) {
            error = error.help("the input size is not given: it is found by the first use");
        } else if matches!(site.name.as_str(), "max" | "min") {
            error = error.help(format!("`{0}` reduces one tensor; the {0}imum of two is `{0}imum(a, b)`", site.name));
        } else if site.name == "transpose" {
            error = error.help(argument_habits::OTHER_ORDERS);
        } else if site.name == "print" {
            error = error.help("show one after the other: `print(\"loss\")`, then `print(loss)`");
        } else if site.name == "mean" || site.name == "sum" {
            error = error.help("it reduces one tensor: `mean(x, axis: -1)`");
        }
        self.tell(error)
    }

    /// `at` is where the argument's name and its value stand.
    fn unknown_argument(&mut self, names: &[&str], name: &str, at: (Span, Span), site: &CallSite) -> Reported {
        let (span, value) = (at.0, self.excerpt(at.1));
        let mut error = Diagnostic::error(Code::E0103, span, format!("`{}` has no argument `{name}`", site.name));
        if let Some(habit) = argument_habits::instead_of(&site.name, name, names, &value) {
            error = error.help(habit);
        } else if let Some(near) = scope::nearest(name, names.iter().copied()) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        if !names.is_empty() {
            error = error.note(format!("its arguments: {}", names.join(", ")));
        }
        self.tell(error)
    }

    /// An argument that has no default was left out.
    pub fn missing_argument(&mut self, param: &'a ast::Param, all: &'a [ast::Param], site: &CallSite) -> Reported {
        let ty = self.sources.text(param.ty.span);
        let title = format!("`{}` needs the argument `{}`: {ty}", site.name, param.name.text);
        let texts: Vec<&str> = all.iter().map(|param| self.sources.text(param.span)).collect();
        let all = texts.join(", ").split_whitespace().collect::<Vec<_>>().join(" ");
        let error = Diagnostic::error(Code::E0103, site.span, title)
            .also(param.span, "declared here")
            .note(format!("its arguments: {all}"));
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
            match value.and_then(|value| self.convert_static(&param.ty, value, span, &format!("`{}`", param.name.text)))
            {
                Ok(value) => values.push(Some(value)),
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(values),
        }
    }
}
