//! Constants of a file, and the values that the command line gives instead.

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
        let (value, _) = self.with_entry(Entry::idle(), |cx| {
            cx.within(frame, |cx| {
                if let Some(ty) = &decl.ty
                    && matches!(cx.form(ty)?, Form::Tensor { axes: [_, ..], .. })
                {
                    let title = format!("`{}` is a tensor, and a constant of a file is static", decl.name.text);
                    let error = Diagnostic::error(Code::E0110, ty.span, title);
                    let (name, text) = (&decl.name.text, cx.excerpt(expr.span));
                    let (upper, ty) = (name, cx.sources.text(ty.span));
                    return Err(cx.tell(match &expr.kind {
                        ast::ExprKind::List(_) => error.help(format!(
                            "leave the type out, `const {upper} = {text}`, and declare it where it is used: `{}: {ty} = {upper}`",
                            name.to_lowercase()
                        )),
                        _ => error
                            .help("a constant is an integer, a float, a string, a truth value or a list of them: `[1, 2]`")
                            .help(format!("a tensor that does not change is a binding of a layer, `{}: {ty} = {text}`, or made in a `fn`", name.to_lowercase())),
                    }));
                }
                let value = cx.expr(expr)?;
                match &decl.ty {
                    Some(ty) => cx.convert_static(ty, value, expr.span, &format!("`{}`", decl.name.text)),
                    None => Ok(value),
                }
            })
        });
        let value = value?;
        match value {
            Value::Number(_) | Value::Bool(_) | Value::Str(_) | Value::Tuple(_) | Value::List(_) => Ok(value),
            other => {
                let title =
                    format!("a constant is a number, bool, string, tuple or list, and this is {}", other.describe());
                self.fail(Code::E0122, expr.span, title)
            }
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
