//! `extern fn`: functions of C (rule 29). A declaration is checked once, its signature is that of C;
//! a call becomes one node, which is told the sizes and reads and writes whole tensors.

use crate::calls::CallSite;
use crate::cx::Cx;
use crate::entry::Mode;
use crate::scope::Item;
use crate::types::{Element, Form};
use crate::value::{R, Size, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::foreign::Foreign;
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::FileId;
use std::rc::Rc;
use std::sync::Arc;

/// Names that mean something else where programs are linked.
const TAKEN: [&str; 5] = ["main", "memcpy", "memmove", "memset", "memcmp"];

impl<'a> Cx<'a> {
    /// The `extern fn` whose signature a function is, if it is one's.
    pub fn extern_of(&self, decl: &ast::Fn) -> Option<&'a ast::Extern> {
        if !decl.body.stmts.is_empty() {
            return None;
        }
        let file = self.files.list.iter().find(|file| file.id == decl.name.span.file)?;
        file.module.items.iter().find_map(|item| match item {
            ast::Item::Extern(external) if std::ptr::eq(&external.head, decl) => Some(external),
            _ => None,
        })
    }

    /// Checks a declaration: that C can have such a function, and that its gradient is there.
    pub fn check_extern(&mut self, external: &'a ast::Extern, file: FileId) -> R<()> {
        let is_name = external.symbol.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && external.symbol.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            let title = format!("`{}` is not the name of a C function", external.symbol);
            let error = Diagnostic::error(Code::E0123, external.symbol_span, title)
                .help("letters, digits and `_`, as in the C source: `= \"my_function\"`");
            return Err(self.tell(error));
        }
        if external.symbol.starts_with("mlc_") || TAKEN.contains(&&*external.symbol) {
            let title = format!("the C name `{}` is taken", external.symbol);
            let error = Diagnostic::error(Code::E0123, external.symbol_span, title)
                .help("give the function another name in C; what begins with `mlc_` is the compiler's");
            return Err(self.tell(error));
        }
        let frame = self.new_frame(crate::cx::FrameKind::File, file);
        self.within(frame, |cx| {
            external.head.params.iter().try_for_each(|param| cx.check_extern_type(&param.ty, true))?;
            match &external.head.result {
                Some(ty) => cx.check_extern_result(ty),
                None => {
                    let title = format!("`{}` gives nothing", external.head.name.text);
                    let error = Diagnostic::error(Code::E0123, external.span, title)
                        .note("functions are pure, so one without a result would never be called")
                        .help("write the type of what it gives behind `->`");
                    Err(cx.tell(error))
                }
            }
        })?;
        self.check_extern_gradient(external, file)
    }

    fn check_extern_result(&mut self, ty: &'a ast::Type) -> R<()> {
        match self.form(ty)? {
            Form::Tuple { fields, .. } => fields.iter().try_for_each(|(_, field)| self.check_extern_type(field, false)),
            _ => self.check_extern_type(ty, false),
        }
    }

    /// One dtype, and as many axes as are written.
    fn check_extern_type(&mut self, ty: &'a ast::Type, is_argument: bool) -> R<()> {
        match self.form(ty)? {
            Form::Dim | Form::Int if is_argument => Ok(()),
            Form::Tensor { element: Element::Exact(_), axes } => axes.iter().try_for_each(|axis| match axis.kind {
                ast::AxisKind::Size(_) => Ok(()),
                ast::AxisKind::Pack(_) | ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                    let title = "a C function takes and gives tensors of a fixed number of axes";
                    let error = Diagnostic::error(Code::E0123, axis.span, title)
                        .help("name each size: `f32[B, N]`; around the call, `reshape` makes one axis of several");
                    Err(self.tell(error))
                }
            }),
            Form::Tensor { element: Element::Class(class), .. } => {
                let word = class.word();
                let title = format!("a C function takes and gives one dtype, and `{word}` is several");
                let error = Diagnostic::error(Code::E0123, ty.span, title)
                    .help("write the dtype: f32 is `float`, f64 `double`, i32 `int32_t`, i64 `int64_t`, i8 `int8_t`, u8 and bool `uint8_t`");
                Err(self.tell(error))
            }
            Form::Bool => {
                let error = Diagnostic::error(Code::E0123, ty.span, "a C function takes no static `bool`")
                    .help("`bool[]` is a truth value of the running program: `uint8_t` in C");
                Err(self.tell(error))
            }
            Form::Dim | Form::Int | Form::Str | Form::Fn | Form::Tuple { .. } => {
                let what = if is_argument { "takes" } else { "gives" };
                let title = format!("a C function {what} no `{}`", self.sources.text(ty.span));
                let error = Diagnostic::error(Code::E0123, ty.span, title)
                    .help("it takes tensors, numbers and sizes, and gives tensors and numbers");
                Err(self.tell(error))
            }
        }
    }

    fn check_extern_gradient(&mut self, external: &'a ast::Extern, file: FileId) -> R<()> {
        let Some(grad) = &external.grad else { return Ok(()) };
        if let Some(own) = self.own_gradient(&external.head, file) {
            let title = format!("`{}` has two gradients", external.head.name.text);
            let error =
                Diagnostic::error(Code::E0102, grad.span, title).also(own.span, "the other one").help("one is enough");
            return Err(self.tell(error));
        }
        if let Some((Item::Fn(_) | Item::Refused, _)) = self.files.find(file, &grad.text) {
            return Ok(());
        }
        let title = format!("there is no function `{}` for this gradient", grad.text);
        let mut error = Diagnostic::error(Code::E0101, grad.span, title);
        let names = self.files.names(file);
        error = match crate::scope::nearest(&grad.text, names) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error
                .help("behind `grad` stands an `fn` or `extern fn` that takes arguments, results and their adjoints"),
        };
        Err(self.tell(error))
    }

    /// Calls an `extern fn` whose parameters are bound.
    pub fn extern_body(&mut self, external: &'a ast::Extern, site: &CallSite) -> R<Value<'a>> {
        self.refuse_extern(external, site)?;
        let mut operands = Vec::new();
        for param in &external.head.params {
            if self.is_static(&param.ty)? {
                continue;
            }
            let Some(value) = self.top().locals.get(&param.name.text).cloned() else { continue };
            operands.push(self.tensor(value, site.span)?);
        }
        let mut results = Vec::new();
        for ty in result_types(external) {
            let Form::Tensor { element: Element::Exact(dtype), axes } = self.form(ty)? else {
                return Err(self.report.silent()); // told where it is declared
            };
            let mut sizes = Vec::new();
            for axis in axes {
                match &axis.kind {
                    ast::AxisKind::Size(expr) => sizes.push(self.size_expr(expr)?),
                    ast::AxisKind::Pack(_) | ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                        return Err(self.report.silent());
                    }
                }
            }
            results.push((dtype, sizes));
        }
        if results.is_empty() {
            return Err(self.report.silent());
        }
        let op = self.foreign_op(external, &operands, &results)?;
        let values: Vec<mlc_ir::graph::Value> = operands.iter().map(|operand| operand.value).collect();
        let given = self.emit_values(site.span, op, &values)?;
        let tensor = |((dtype, axes), value): ((DType, Vec<Size>), _)| Value::Tensor(Tensor { value, dtype, axes });
        let mut parts: Vec<Value<'a>> = results.into_iter().zip(given).map(tensor).collect();
        let value = if parts.len() == 1 { parts.remove(0) } else { Value::Tuple(Rc::new(parts)) };
        match &external.head.result {
            Some(ty) => {
                let what = crate::matching::Matched::Result { function: external.head.name.text.clone() };
                self.match_value(ty, value, external.span, what)
            }
            None => Ok(value),
        }
    }

    fn foreign_op(
        &mut self,
        external: &'a ast::Extern,
        operands: &[Tensor],
        results: &[(DType, Vec<Size>)],
    ) -> R<Foreign> {
        let shape = |axes: &[Size]| axes.iter().map(|size| size.dim.clone()).collect::<Vec<Dim>>();
        let mut sizes = Vec::new();
        for name in size_names(external) {
            let bound = self.top().locals.get(&name).cloned();
            if let Some(Value::Number(number)) = bound
                && let Some(size) = number.as_size()
            {
                sizes.push(size.dim.clone());
            }
        }
        Ok(Foreign {
            symbol: external.symbol.clone(),
            sizes,
            operands: operands.iter().map(|operand| Type::new(operand.dtype, shape(&operand.axes))).collect(),
            results: results.iter().map(|(dtype, axes)| Type::new(*dtype, shape(axes))).collect(),
        })
    }

    /// The declaration in C of the function of each `extern fn` of a file, with its name there.
    pub fn prototypes(&self, file: FileId, module: &ast::Module) -> Vec<(String, String)> {
        let externs = module.items.iter().filter_map(|item| match item {
            ast::Item::Extern(external) => Some(external),
            _ => None,
        });
        let is_const = |name: &str| matches!(self.files.find(file, name), Some((Item::Const(_), _)));
        externs.map(|external| (external.symbol.to_string(), prototype(external, &is_const))).collect()
    }

    fn refuse_extern(&mut self, external: &'a ast::Extern, site: &CallSite) -> R<()> {
        let name = &external.head.name.text;
        if self.entry.mode == Mode::Test {
            let error = Diagnostic::error(Code::E0123, site.span, format!("`{name}` cannot be called in a test"))
                .also(external.span, "a function of C")
                .note("tests are computed by an interpreter, which does not call C")
                .help("write what it computes as an `fn` and test that");
            return Err(self.tell(error));
        }
        if self.entry.real != DType::F32 {
            let error =
                Diagnostic::error(Code::E0123, site.span, format!("`{name}` takes f32, and f32 is read as f64 here"))
                    .also(external.span, "a function of C");
            return Err(self.tell(error));
        }
        Ok(())
    }
}

/// The types of the results.
fn result_types(external: &ast::Extern) -> Vec<&ast::Type> {
    match external.head.result.as_ref().map(|ty| (ty, &ty.kind)) {
        Some((_, ast::TypeKind::Tuple { fields, .. })) => fields.iter().map(|(_, ty)| ty).collect(),
        Some((ty, _)) => vec![ty],
        None => Vec::new(),
    }
}

/// The names that may be sizes, in order of first appearance.
fn size_names(external: &ast::Extern) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut add = |name: &Arc<str>| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    };
    for param in &external.head.params {
        match &param.ty.kind {
            ast::TypeKind::Named { name, axes: None } if matches!(&*name.text, "dim" | "int") => add(&param.name.text),
            ast::TypeKind::Named { axes, .. } => {
                for axis in axes.iter().flatten() {
                    if let ast::AxisKind::Size(size) = &axis.kind {
                        each_name(size, &mut add);
                    }
                }
            }
            ast::TypeKind::Tuple { .. } => {}
        }
    }
    names
}

fn each_name(size: &ast::Expr, f: &mut dyn FnMut(&Arc<str>)) {
    match &size.kind {
        ast::ExprKind::Name(text) => f(text),
        ast::ExprKind::Unary { operand, .. } => each_name(operand, f),
        ast::ExprKind::Binary { left, right, .. } => {
            each_name(left, f);
            each_name(right, f);
        }
        ast::ExprKind::Call { args, .. } => args.iter().for_each(|arg| each_name(&arg.value, f)),
        _ => {}
    }
}

fn prototype(external: &ast::Extern, is_const: &dyn Fn(&str) -> bool) -> String {
    let sizes = size_names(external).into_iter().filter(|name| !is_const(name));
    let mut params: Vec<String> = sizes.map(|name| format!("int64_t {name}")).collect();
    for param in &external.head.params {
        if let ast::TypeKind::Named { name, axes } = &param.ty.kind {
            let Some(word) = c_word(&name.text) else { continue };
            let is_scalar = axes.as_ref().is_none_or(Vec::is_empty);
            params.push(match is_scalar {
                true => format!("{word} {}", param.name.text),
                false => format!("const {word}* {}", param.name.text),
            });
        }
    }
    let fields: Vec<(Option<&ast::Name>, &ast::Type)> = match external.head.result.as_ref().map(|ty| (ty, &ty.kind)) {
        Some((_, ast::TypeKind::Tuple { fields, .. })) => fields.iter().map(|(name, ty)| (name.as_ref(), ty)).collect(),
        Some((ty, _)) => vec![(None, ty)],
        None => Vec::new(),
    };
    for (at, (name, ty)) in fields.into_iter().enumerate() {
        let ast::TypeKind::Named { name: dtype, .. } = &ty.kind else { continue };
        let own = if at == 0 { "out".to_string() } else { format!("out{at}") };
        let name = name.map_or(own, |name| name.text.to_string());
        params.push(format!("{}* {name}", c_word(&dtype.text).unwrap_or("void")));
    }
    format!("int32_t {}({});", external.symbol, params.join(", "))
}

fn c_word(dtype: &str) -> Option<&'static str> {
    Some(match dtype {
        "f32" => "float",
        "f64" => "double",
        "i32" => "int32_t",
        "i64" => "int64_t",
        "i8" => "int8_t",
        "u8" | "bool" => "uint8_t",
        _ => return None,
    })
}
