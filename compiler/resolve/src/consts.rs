//! Constants of a file, and the values that the command line gives instead.

use crate::constants::Source;
use crate::cx::{ConstState, Cx, FrameKind};
use crate::entry::Entry;
use crate::types::Form;
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};

impl<'a> Cx<'a> {
    /// The value of a constant.
    pub fn constant(&mut self, decl: &'a ast::Const, file: FileId, span: Span) -> R<Value<'a>> {
        let key = (file, decl.name.text.clone());
        match self.consts.get(&key) {
            Some(ConstState::Done(value)) => return value.clone(),
            Some(ConstState::Underway) => {
                let title = format!("the constant `{}` is made of itself", decl.name.text);
                return self.fail(Code::E0111, span, title);
            }
            None => {}
        }
        self.consts.insert(key.clone(), ConstState::Underway);
        let value = self.make_constant(decl, file);
        self.consts.insert(key, ConstState::Done(value.clone()));
        value
    }

    fn make_constant(&mut self, decl: &'a ast::Const, file: FileId) -> R<Value<'a>> {
        // `-D` replaces constants of the program's first file alone.
        let given = if file == self.main { self.override_of(&decl.name.text) } else { None };
        let expr = given.unwrap_or(&decl.value);
        let frame = self.new_frame(FrameKind::File, file);
        let (value, _) = self.with_entry(Entry::idle(), |cx| cx.within(frame, |cx| cx.constant_value(decl, expr)));
        let value = value?;
        match value {
            Value::Number(_)
            | Value::Bool(_)
            | Value::Str(_)
            | Value::Tuple(_)
            | Value::List(_)
            | Value::Deferred(_)
            | Value::Poison => Ok(value),
            other => {
                let title =
                    format!("a constant is a number, bool, string, tuple or list, and this is {}", other.describe());
                let error = Diagnostic::error(Code::E0122, expr.span, title);
                let name = &decl.name.text;
                Err(self.tell(match other {
                    Value::Lazy(_) => error.help(format!("a tensor has a type: `const {name}: f32[3] = …`")),
                    _ => error,
                }))
            }
        }
    }

    fn constant_value(&mut self, decl: &'a ast::Const, expr: &'a ast::Expr) -> R<Value<'a>> {
        let source =
            Source { names: std::slice::from_ref(&decl.name), ty: decl.ty.as_ref(), value: expr, what: "constant" };
        match &decl.ty {
            Some(ty) if !matches!(self.form(ty)?, Form::Tensor { axes: [_, ..], .. }) => {
                let value = self.expr(expr)?;
                self.convert_static(ty, value, expr.span, &format!("`{}`", decl.name.text))
            }
            Some(_) | None => Ok(self.binding_values(source).remove(0)),
        }
    }

    /// What the command line says instead of a constant or constructor argument.
    pub fn override_of(&mut self, name: &str) -> Option<&'a ast::Expr> {
        let found = self.overrides.list.iter().rev().find(|(other, ..)| other == name)?;
        self.overrides.used.insert(name.to_string());
        Some(found.1)
    }

    /// Reports names on the command line that nothing here has.
    pub fn tell_unused_overrides(&mut self) {
        let unused: Vec<String> = self
            .overrides
            .list
            .iter()
            .map(|(name, ..)| name.clone())
            .filter(|name| !self.overrides.used.contains(name))
            .collect();
        for name in unused {
            let mut error = Diagnostic::error_without_place(
                Code::E0101,
                format!("-D {name}: no constant or constructor argument is called so"),
            );
            if let Some(file) = self.file_of_constant(&name) {
                let file = &self.sources.file(file).name;
                error =
                    error.note(format!("`{name}` is a constant of `{file}`, which is imported; it keeps its value"));
            }
            let error =
                error.help("constants are given as `-D NAME=VALUE`, constructor arguments as `-D Model.ARG=VALUE`");
            self.report.add_unplaced(error);
        }
    }
}
