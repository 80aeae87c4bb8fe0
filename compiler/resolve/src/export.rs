//! Exported functions, and the parameters of entry points: fresh names become size symbols.

use crate::calls::CallSite;
use crate::cx::{Cx, FrameKind};
use crate::entry::{Entry, Mode};
use crate::instances::{Place, Root};
use crate::program::{Function, Length};
use crate::sizes::SizeName;
use crate::types::{Element, Form};
use crate::value::{AxisNameKind, InstanceId, R, Size, Tensor, Value, shape_of};
use mlc_ir::graph::{Input, Output};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// An instance whose exported functions become entry points.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub instance: InstanceId,
    /// Before the function's name: empty, or `G.`
    pub prefix: String,
}

/// Sizes that an exported function is scheduled for: it is to be good for batches, and loses little where it
/// gets one row.
const TYPICAL: i64 = 32;

impl<'a> Cx<'a> {
    /// The instance that stands for a model without a train block: made with its defaults, or the
    /// reason why it cannot be made.
    pub fn default_instance(&mut self, layer: &'a ast::Layer, file: FileId) -> R<Result<InstanceId, String>> {
        let missing: Vec<&str> = layer
            .params
            .iter()
            .filter(|param| param.default.is_none())
            .map(|param| &*param.name.text)
            .filter(|name| !self.overrides.list.iter().any(|(path, ..)| *path == format!("{}.{name}", layer.name.text)))
            .collect();
        if let Some(first) = missing.first() {
            let model = &layer.name.text;
            return Ok(Err(format!("`{first}` of `{model}` has no default; give it with -D {model}.{first}=VALUE")));
        }
        let site = CallSite { span: layer.name.span, callee: layer.name.span, name: layer.name.text.to_string() };
        let frame = self.new_frame(FrameKind::File, file);
        let id = self.within(frame, |cx| cx.construct(layer, file, Vec::new(), &site))?;
        self.instances[id.0 as usize].place =
            Place::Root(Root { name: String::new(), file_prefix: String::new(), graph_prefix: String::new() });
        Ok(Ok(id))
    }

    /// The entry of one exported function.
    pub fn export(&mut self, exported: &Exported, decl: &'a ast::Fn) -> R<Function> {
        let (layer, file) = (self.instance(exported.instance).layer, self.instance(exported.instance).file);
        let name = format!("{}{}", exported.prefix, decl.name.text);
        let site = CallSite { span: decl.name.span, callee: decl.name.span, name: decl.name.text.to_string() };
        let mut frame = self.new_frame(FrameKind::Fn(decl), file);
        (frame.instance, frame.path) = (Some(exported.instance), decl.name.text.to_string());
        frame.session = self.session_names(exported.instance, Some(decl));
        let (results, entry) = self.with_entry(Entry::new(Mode::Export, &name), |cx| {
            cx.within(frame, |cx| cx.with_facts(|cx| cx.exported_results(decl, &site)))
        });
        let results = results?;
        let count = results.iter().filter(|(output, _)| matches!(output, Output::Result(_))).count();
        let length = |(at, found): (usize, &crate::lengths::Found)| Length {
            name: found.name.to_string(),
            result: found.field,
            axis: found.axis,
            value: count - entry.lengths.len() + at,
        };
        let lengths = entry.lengths.iter().enumerate().map(length).collect();
        let entry = self.add_entry(entry, results, TYPICAL);
        Ok(Function { name, model: layer.name.text.to_string(), entry, lengths, span: decl.name.span })
    }

    fn exported_results(&mut self, decl: &'a ast::Fn, site: &CallSite) -> R<Vec<(Output, mlc_ir::graph::Value)>> {
        self.entry_args(&decl.params, site)?;
        let lengths = self.bounded_lengths(decl)?;
        if let Some(result) = &decl.result {
            self.divisions_of(result, None)?;
        }
        for condition in decl.requires.iter().filter(|condition| !Cx::is_bound(&lengths, condition)) {
            self.requires(std::slice::from_ref(condition), None)?;
        }
        self.build_in_facts()?;
        self.frame().lengths = Rc::new(lengths);
        let value = self.fn_body(decl)?;
        let mut results = self.entry_results(decl, value)?;
        results.extend(self.entry.state_outputs());
        Ok(results)
    }

    fn entry_results(&mut self, decl: &'a ast::Fn, value: Value<'a>) -> R<Vec<(Output, mlc_ir::graph::Value)>> {
        let (names, values): (Vec<String>, Vec<Value<'a>>) = match (value, decl.result.as_ref().map(|ty| &ty.kind)) {
            (Value::Nothing, _) => (Vec::new(), Vec::new()),
            (Value::Tuple(parts), Some(ast::TypeKind::Tuple { fields, .. })) => {
                let name = |(at, (name, _)): (usize, &(Option<ast::Name>, ast::Type))| {
                    name.as_ref().map_or_else(|| at.to_string(), |name| name.text.to_string())
                };
                (fields.iter().enumerate().map(name).collect(), parts.to_vec())
            }
            (Value::Tuple(parts), _) => ((0..parts.len()).map(|at| at.to_string()).collect(), parts.to_vec()),
            (single, Some(ast::TypeKind::Tuple { fields, .. })) => {
                let name = fields.first().and_then(|(name, _)| name.as_ref()).map_or("out", |name| &*name.text);
                (vec![name.to_string()], vec![single])
            }
            (single, _) => (vec!["out".to_string()], vec![single]),
        };
        if let Some(twice) =
            names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
        {
            return self.fail(Code::E0102, decl.span, format!("two results are called `{twice}`"));
        }
        let lengths = self.length_outputs(&names, decl.name.span)?;
        let mut results = Vec::new();
        for (name, value) in names.into_iter().zip(values) {
            if let Value::Tuple(parts) = &value {
                let shown = self.show_parts(parts);
                let title =
                    format!("a result of `{}` is a tuple, and who calls a program gets tensors", decl.name.text);
                let place = decl.result.as_ref().map_or(decl.name.span, |ty| ty.span);
                let error = Diagnostic::error(Code::E0122, place, title)
                    .note(format!("its values: {shown}"))
                    .help("return all values side by side: `-> (a: f32[B], b: f32[B], c: f32[B])`");
                return Err(self.tell(error));
            }
            let tensor = self.tensor(value, decl.name.span)?;
            results.push((Output::Result(name), tensor.value));
        }
        results.extend(lengths);
        Ok(results)
    }

    /// Parameters of an entry point, bound as locals; their names and types.
    pub fn entry_args(&mut self, params: &'a [ast::Param], site: &CallSite) -> R<Vec<(String, Type)>> {
        let mut columns = Vec::new();
        let mut names: BTreeMap<&str, Span> = BTreeMap::new();
        for param in params {
            if let Some(earlier) = names.insert(&param.name.text, param.name.span) {
                return Err(self.tell(crate::scope::twice(&param.name, earlier)));
            }
            self.name_fresh_sizes(param)?;
        }
        for param in params {
            self.divisions_of(&param.ty, None)?;
        }
        self.build_in_facts()?;
        for param in params {
            let (dtype, axes) = self.entry_type(param, site)?;
            let ty = Type::new(dtype, shape_of(&axes));
            self.check_extent(param.ty.span, &ty.shape)?;
            let value = self.entry.input(Input::Arg(param.name.text.to_string()), ty.clone());
            self.entry.arguments.insert(param.name.text.clone(), param.ty.span);
            self.set_local(&param.name.text, Value::Tensor(Tensor { value, dtype, axes }));
            columns.push((param.name.text.to_string(), ty));
        }
        Ok(columns)
    }

    /// Makes a size symbol for each fresh name that stands alone as an axis.
    fn name_fresh_sizes(&mut self, param: &'a ast::Param) -> R<()> {
        let Form::Tensor { axes, .. } = self.form(&param.ty)? else { return Ok(()) };
        for axis in axes {
            let ast::AxisKind::Size(ast::Expr { kind: ast::ExprKind::Name(text), span }) = &axis.kind else { continue };
            match self.size_name(text, *span)? {
                SizeName::Unbound if text.starts_with(char::is_uppercase) => {
                    let size = self.argument_size(text);
                    self.set_local(text, Value::size(size));
                }
                SizeName::Open(id) if self.instance(id).session.contains(text) => {
                    let size = Size::plain(self.graph.symbol(text));
                    self.solve(id, text, &size, *span)?;
                }
                SizeName::Unbound | SizeName::Open(_) | SizeName::Bound(_) => {}
            }
        }
        Ok(())
    }

    fn entry_type(&mut self, param: &'a ast::Param, site: &CallSite) -> R<(DType, Vec<Size>)> {
        let form = self.form(&param.ty)?;
        let Form::Tensor { element, axes } = form else {
            let name = &param.name.text;
            let title = format!("`{name}` of `{}` is static, and an entry point takes tensors", site.name);
            let error = Diagnostic::error(Code::E0122, param.ty.span, title);
            let error = match form {
                Form::Bool => error.help(format!("a truth value that the caller brings is `{name}: bool[]`")),
                Form::Int => error.help(format!("a number that the caller brings is `{name}: i32`")),
                _ => error,
            };
            return Err(self.tell(error.help("what is known when compiling is an argument of the model")));
        };
        let dtype = match element {
            Element::Exact(dtype) => dtype,
            Element::Class(class) => {
                let error =
                    Diagnostic::error(Code::E0104, param.ty.span, format!("`{}` is no dtype of its own", class.word()))
                        .help("an entry point says which dtype it takes: `f32[B, 28]`");
                return Err(self.tell(error));
            }
        };
        let scope = self.top().scope;
        let mut sizes = Vec::new();
        for axis in axes {
            let size = self.entry_axis(axis, site)?;
            sizes.push(match &axis.label {
                Some(label) => size.named(scope, &label.text, AxisNameKind::Label),
                None => size,
            });
        }
        Ok((dtype, sizes))
    }

    fn entry_axis(&mut self, axis: &'a ast::Axis, site: &CallSite) -> R<Size> {
        match &axis.kind {
            ast::AxisKind::Size(expr) => {
                if let Some((name, span)) = self.unbound_in(expr)? {
                    return Err(self.unsolvable(&name, span, expr));
                }
                let size = self.size_expr(expr)?;
                if size.dim.as_const().is_some_and(|size| size < 0) {
                    let title = format!("a size is {}", self.show_dim(&size.dim));
                    let error = Diagnostic::error(Code::E0114, axis.span, title)
                        .help("a size that the caller brings has a name: `f32[B, 8]`");
                    return Err(self.tell(error));
                }
                Ok(match &expr.kind {
                    ast::ExprKind::Name(text) => {
                        let scope = self.top().scope;
                        size.named(scope, text, AxisNameKind::Size)
                    }
                    _ => size,
                })
            }
            ast::AxisKind::Pack(name) => {
                let title = format!("`*{}`: the number of axes of `{}` must be known", name.text, site.name);
                self.fail(Code::E0122, axis.span, title)
            }
            ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                let error = Diagnostic::error(Code::E0122, axis.span, "`_` stands in result types only")
                    .help("give the axis a name: `B`");
                Err(self.tell(error))
            }
        }
    }

    /// The type of a weight that mentions an open size of a layer.
    fn weight_with_size(&self, id: InstanceId, name: &str) -> Option<Span> {
        let instance = self.instance(id);
        let tensors = instance.layer.members.iter().filter_map(|member| match member {
            ast::Member::Param(tensor) | ast::Member::State(tensor) => Some(tensor),
            ast::Member::Fn(_) | ast::Member::Bind(_) => None,
        });
        let mut types = tensors.map(|tensor| &tensor.ty);
        let mentions = |ty: &&ast::Type| crate::names::sizes_in(ty).iter().any(|size| **size == *name);
        instance.open.get(name)?;
        types.find(mentions).map(|ty| ty.span)
    }

    fn unsolvable(&mut self, name: &Arc<str>, span: Span, whole: &ast::Expr) -> crate::report::Reported {
        let error =
            Diagnostic::error(Code::E0106, span, format!("the size `{name}` cannot be found from these arguments"));
        let weight = self.top().instance.and_then(|id| self.weight_with_size(id, name));
        let error = match weight {
            Some(place) => error
                .also(place, "a size of weights, which no call changes")
                .help(format!("write a number here, or make it an argument of the model: `{name}: dim`")),
            None => {
                let written = self.sources.text(whole.span);
                error.help(format!("a size is found where a type has it alone: `{name}`, not `{written}`"))
            }
        };
        self.tell(error)
    }
}

/// Whether a function is exported.
pub(crate) fn is_exported(decl: &ast::Fn) -> bool {
    decl.attrs.iter().any(|attr| &*attr.name.text == "export")
}
