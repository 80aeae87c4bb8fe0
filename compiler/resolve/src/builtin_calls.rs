//! Calls of builtins, and what is refused before their arguments are evaluated.

use crate::builtins::{Arity, Builtin};
use crate::calls::{ArgIn, ArgValue, CallSite, Expected};
use crate::cx::Cx;
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

impl<'a> Cx<'a> {
    /// Calls a builtin.
    pub fn call_builtin(
        &mut self,
        builtin: &'static Builtin,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<Value<'a>> {
        self.refuse_second_operand(builtin, &args)?;
        self.refuse_loose_sizes(builtin, &args, site, expected)?;
        let args = match builtin.arity {
            Arity::Named => crate::builtins::Args::placed(self, builtin, args, site, expected)?,
            Arity::Rest(first) => crate::builtins::Args::with_rest(self, builtin, first, args, site, expected)?,
            Arity::Raw => crate::builtins::Args::raw(builtin, args, site),
        };
        (builtin.run)(self, args)
    }

    /// `max(x, 0)` is meant as the larger of two; an axis is always named.
    fn refuse_second_operand(&mut self, builtin: &Builtin, args: &[ArgIn<'a>]) -> R<()> {
        let larger = match builtin.name {
            "max" => "larger",
            "min" => "smaller",
            _ => return Ok(()),
        };
        let [first, second, ..] = args else { return Ok(()) };
        if first.name.is_some() || second.name.is_some() {
            return Ok(());
        }
        let (name, span) = (builtin.name, second.value.span());
        let (a, b) = (self.excerpt(first.value.span()), self.excerpt(span));
        let error =
            Diagnostic::error(Code::E0103, span, format!("`{name}` reduces one tensor, and this is a second argument"))
                .help(format!("the {larger} of two is `{name}imum({a}, {b})`"))
                .help(format!("an axis is named: `{name}({a}, axis: -1)`"));
        Err(self.tell(error))
    }

    /// `zeros(3, 4)`, `reshape(x, -1, 64)`, `normal(0, 1)`: a shape is one argument, and it is not left out.
    fn refuse_loose_sizes(
        &mut self,
        builtin: &Builtin,
        args: &[ArgIn<'a>],
        site: &CallSite,
        expected: Option<&Expected>,
    ) -> R<()> {
        let name = builtin.name;
        let before = match name {
            "reshape" | "broadcast" => 1,
            "zeros" | "ones" | "uniform" | "normal" => 0,
            _ => return Ok(()),
        };
        let loose: Vec<&ArgIn<'a>> = args.iter().skip(before).take_while(|arg| arg.name.is_none()).collect();
        let [first, second, ..] = loose[..] else { return Ok(()) };
        let excerpts: Vec<String> = loose.iter().map(|arg| self.excerpt(arg.value.span())).collect();
        let help = match name {
            "uniform" | "normal" if expected.is_none() && is_int(first, Some(0)) => {
                format!("`{name}([2, 3], {})` makes a tensor of shape [2, 3]", excerpts.join(", "))
            }
            "uniform" | "normal" if expected.is_none() && !is_listed(first) && is_size(second) => {
                format!("write `{name}([{}])`", excerpts.join(", "))
            }
            "uniform" | "normal" => return Ok(()),
            "reshape" | "broadcast" => format!("write `{name}(x, [{}])`", excerpts.join(", ")),
            _ if is_int(second, None) => format!("write `{name}([{}])`", excerpts.join(", ")),
            _ => return Ok(()),
        };
        let title = match name {
            "uniform" | "normal" => format!("`{name}` takes a shape first"),
            _ => format!("`{name}` takes its shape as one argument"),
        };
        Err(self.tell(Diagnostic::error(Code::E0103, site.span, title).help(help)))
    }
}

/// Whether an argument is written as an integer, and as this one.
fn is_int(arg: &ArgIn<'_>, wanted: Option<i64>) -> bool {
    match &arg.value {
        ArgValue::Expr(ast::Expr { kind: ast::ExprKind::Int(value), .. }) => {
            wanted.is_none_or(|wanted| wanted == *value)
        }
        _ => false,
    }
}

/// An integer greater than 1 or the name of a size.
fn is_size(arg: &ArgIn<'_>) -> bool {
    match &arg.value {
        ArgValue::Expr(ast::Expr { kind: ast::ExprKind::Int(value), .. }) => *value > 1,
        ArgValue::Expr(ast::Expr { kind: ast::ExprKind::Name(name), .. }) => name.starts_with(char::is_uppercase),
        _ => false,
    }
}

fn is_listed(arg: &ArgIn<'_>) -> bool {
    matches!(&arg.value, ArgValue::Expr(ast::Expr { kind: ast::ExprKind::List(_), .. }))
}
