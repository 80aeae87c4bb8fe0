//! Static arguments as their types want them.

use crate::cx::{Cx, FrameKind};
use crate::report::Reported;
use crate::types::{Element, Form};
use crate::value::{R, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// `bool[]`: without brackets it would be the static one.
fn scalar_type(shown: &str) -> String {
    if shown == "bool" { "bool[]".to_string() } else { shown.to_string() }
}

impl<'a> Cx<'a> {
    /// A static argument as its type wants it.
    pub fn convert_static(&mut self, ty: &'a ast::Type, value: Value<'a>, span: Span, subject: &str) -> R<Value<'a>> {
        match self.form(ty)? {
            Form::Dim => self.convert_dim(value, span, subject),
            Form::Int => match &value {
                Value::Number(number) if number.is_integer() => Ok(value),
                _ => Err(self.wrong_kind(ty, &value, span, subject)),
            },
            Form::Str => match &value {
                Value::Str(_) => Ok(value),
                _ => Err(self.wrong_kind(ty, &value, span, subject)),
            },
            Form::Bool => match &value {
                Value::Bool(_) => Ok(value),
                _ => Err(self.wrong_kind(ty, &value, span, subject)),
            },
            Form::Fn => match &value {
                Value::Function(_) | Value::Instance(_) | Value::Row(_) => Ok(value),
                Value::Str(text) => self.prelude_fn(text, span),
                _ => Err(self.wrong_kind(ty, &value, span, subject)),
            },
            Form::Tensor { element, axes: [] } => match (value, element) {
                // Static numbers take the dtype they meet: an `eps: f32` is exact where f32 reads as f64.
                (Value::Number(number), Element::Exact(dtype)) if dtype.is_float() || number.is_integer() => {
                    Ok(Value::Number(number))
                }
                (Value::Number(number), Element::Class(_)) => Ok(Value::Number(number)),
                (value, _) => Err(self.wrong_kind(ty, &value, span, subject)),
            },
            Form::Tensor { .. } => {
                self.fail(Code::E0110, span, format!("{subject} is a tensor, and arguments here are static"))
            }
            Form::Tuple { fields, variadic } => self.convert_tuple(ty, fields, variadic, value, span, subject),
        }
    }

    fn convert_dim(&mut self, value: Value<'a>, span: Span, subject: &str) -> R<Value<'a>> {
        let size = match &value {
            Value::Number(number) => number.as_size().cloned(),
            _ => None,
        };
        let Some(size) = size else {
            let title = format!("{subject} is a size and takes an integer, not {}", self.show_value(&value));
            let error = Diagnostic::error(Code::E0122, span, title);
            let at_run_time = matches!(value, Value::Tensor(_) | Value::Lazy(_));
            let help = "sizes are known when compiling: a number, a `const`, or a name from a type";
            return Err(self.tell(if at_run_time { error.help(help) } else { error }));
        };
        let (low, high) = size.dim.range();
        if high < 1 || (size.dim.as_const().is_some() && low < 1) {
            let shown = self.show_dim(&size.dim);
            let error = Diagnostic::error(Code::E0114, span, format!("{subject} is {shown}, and a size is at least 1"));
            return Err(self.tell(error));
        }
        if size.dim.as_const().is_some_and(|value| value > 1 << 40) {
            let shown = self.show_dim(&size.dim);
            return self.fail(Code::E0114, span, format!("{subject} is {shown}, which is too large for a size"));
        }
        Ok(value)
    }

    fn convert_tuple(
        &mut self,
        ty: &'a ast::Type,
        fields: &'a [(Option<ast::Name>, ast::Type)],
        variadic: bool,
        value: Value<'a>,
        span: Span,
        subject: &str,
    ) -> R<Value<'a>> {
        let parts = match value {
            Value::Tuple(parts) => parts.to_vec(),
            Value::Range(_) if variadic => self.items(value, span)?,
            Value::List(parts) => parts.to_vec(),
            Value::Pack(sizes) if variadic => sizes.iter().cloned().map(Value::size).collect(),
            single if variadic => vec![single],
            single => vec![single; fields.len()],
        };
        if !variadic && parts.len() != fields.len() {
            let title = format!("{subject} takes {} values, and these are {}", fields.len(), parts.len());
            return self.fail(Code::E0119, span, title);
        }
        let Some((_, last)) = fields.last() else {
            return self.fail(Code::E0122, ty.span, "an empty tuple type");
        };
        let types = fields.iter().map(|(_, ty)| ty).chain(std::iter::repeat(last));
        let mut converted = Vec::new();
        for (ty, part) in types.zip(parts) {
            converted.push(self.convert_static(ty, part, span, subject)?);
        }
        Ok(Value::Tuple(Rc::new(converted)))
    }

    /// The types of a tuple's parts, and a name for each.
    fn parts_shown(&self, parts: &[Value<'a>]) -> (String, String) {
        let types: Vec<String> = parts.iter().map(|part| self.show_value(part)).collect();
        let names: Vec<String> = ('a'..='z').take(parts.len()).map(String::from).collect();
        (format!("({})", types.join(", ")), names.join(", "))
    }

    /// Whether the function under way, whose argument has the type `ty`, has no argument `pad`.
    fn lacks_pad(&self, ty: &ast::Type) -> bool {
        let FrameKind::Fn(decl) = self.top().kind else { return false };
        let is_own = decl.params.iter().any(|param| std::ptr::eq(&raw const param.ty, ty));
        is_own && !decl.params.iter().any(|param| &*param.name.text == "pad")
    }

    /// A value of another kind than its type says.
    pub fn wrong_kind(&mut self, ty: &'a ast::Type, value: &Value<'a>, span: Span, subject: &str) -> Reported {
        let wanted = self.sources.text(ty.span).to_string();
        let shown = self.show_value(value);
        let mut error =
            Diagnostic::error(Code::E0122, span, format!("{subject} takes `{wanted}`, and this is {shown}"));
        match value {
            Value::Tuple(parts) if !wanted.starts_with('(') => {
                let (shown, names) = self.parts_shown(parts);
                let title = format!("{subject} takes `{wanted}`, and this is a tuple: {shown}");
                error = Diagnostic::error(Code::E0122, span, title)
                    .help(format!("take its parts: `{names} = f(x)`, or `t[0]`"));
            }
            Value::Tensor(tensor) if wanted == "bool" && tensor.dtype == DType::Bool => {
                let title = format!("{subject} takes `bool`, and this is {}", scalar_type(&shown));
                error = Diagnostic::error(Code::E0122, span, title)
                    .note("`bool` is known when compiling, `bool[]` is a truth value of the running program")
                    .help("declare the argument as `bool[]`");
            }
            Value::Tensor(_) | Value::Lazy(_) => {
                error = error.note("an argument of this type must be known when compiling")
            }
            Value::Pipeline(_) => {
                error = error.help("a pipeline goes through its own stages only; rows are worked on in the `step`")
            }
            Value::Number(_) if wanted == "str" && subject == "`padding`" => {
                error = error.help(match self.lacks_pad(ty) {
                    true => "`\"same\"` pads as much as keeps the sizes; for another width `pad(x, …)` comes before"
                        .to_string(),
                    false => format!("write `pad: {}` for so many places on both sides", shown.trim_matches('`')),
                });
            }
            Value::Number(_) if wanted == "bool" && subject == "`bias`" => {
                error = error.help("the input size is not given: it is found by the first use");
            }
            _ => {}
        }
        self.tell(error)
    }
}
