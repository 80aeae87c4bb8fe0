//! Instances of layers: arguments, bindings, open sizes, and the weights behind their params.

use crate::calls::{ArgIn, CallSite};
use crate::cx::{Class, Cx, FrameKind};
use crate::entry::{Entry, Mode, TestParam};
use crate::init::Initial;
use crate::scope;
use crate::sizes::Solved;
use crate::types::{Element, Form};
use crate::value::{AxisNameKind, InstanceId, R, ScopeId, Size, Tensor, Value, shape_of};
use mlc_ir::graph::{Global, GlobalId, GlobalKind};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an instance stands in the tree of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nobody has bound it yet.
    Loose,
    /// A member of another: `conv1`, `convs.0`.
    In(InstanceId, String),
    /// Bound in a train block, made for an export or a test.
    Root(Root),
}

/// The top of a tree of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// What it is called in messages.
    pub name: String,
    /// In front of its paths in weight files: empty, or `G.`
    pub file_prefix: String,
    /// In front of its paths in the graph, where they are unique.
    pub graph_prefix: String,
}

/// An instance of a layer.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub layer: &'a ast::Layer,
    pub file: FileId,
    pub scope: ScopeId,
    pub args: BTreeMap<Arc<str>, Value<'a>>,
    pub bindings: BTreeMap<Arc<str>, Value<'a>>,
    /// Names that only `param` types mention, solved by first use.
    pub open: BTreeMap<Arc<str>, Option<Solved>>,
    /// dtype classes of `param` types, solved by first use.
    pub classes: BTreeMap<Class, Option<DType>>,
    pub place: Place,
    /// Whether all bindings have been made: from then on names mean params before arguments.
    pub complete: bool,
    /// Where it was made.
    pub made: Span,
}

/// The `param` or `state` of that name.
pub(crate) fn tensor_of<'a>(layer: &'a ast::Layer, name: &str) -> Option<&'a ast::Tensor> {
    layer.members.iter().find_map(|member| match member {
        ast::Member::Param(tensor) | ast::Member::State(tensor) if *tensor.name.text == *name => Some(tensor),
        _ => None,
    })
}

/// The `fn` of that name.
pub(crate) fn fn_of<'a>(layer: &'a ast::Layer, name: &str) -> Option<&'a ast::Fn> {
    layer.members.iter().find_map(|member| match member {
        ast::Member::Fn(decl) if *decl.name.text == *name => Some(decl),
        _ => None,
    })
}

impl<'a> Cx<'a> {
    pub fn instance(&self, id: InstanceId) -> &Instance<'a> {
        &self.instances[id.0 as usize]
    }

    /// Makes an instance of a layer.
    pub fn construct(
        &mut self,
        layer: &'a ast::Layer,
        file: FileId,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
    ) -> R<InstanceId> {
        self.require_place_for_layer(layer, site)?;
        let args = self.bind_args(&layer.params, args, site)?;
        let given = self.static_args(&layer.params, args)?;
        let scope = self.new_scope();
        let id = InstanceId(self.instances.len() as u32);
        self.instances.push(Instance {
            layer,
            file,
            scope,
            args: BTreeMap::new(),
            bindings: BTreeMap::new(),
            open: BTreeMap::new(),
            classes: BTreeMap::new(),
            place: Place::Loose,
            complete: false,
            made: self.user_span(site.span),
        });
        let mut frame = self.new_frame(FrameKind::Bindings, file);
        (frame.instance, frame.call) = (Some(id), Some(site.span));
        let (result, _) = self.with_entry(Entry::idle(), |cx| {
            cx.within(frame, |cx| cx.deeper(site.span, |cx| cx.fill_instance(id, given, site)))
        });
        result.map(|()| id)
    }

    fn require_place_for_layer(&mut self, layer: &'a ast::Layer, site: &CallSite) -> R<()> {
        let name = &layer.name.text;
        match self.top().kind {
            FrameKind::File | FrameKind::Bindings | FrameKind::Test => {}
            FrameKind::Fn(_) | FrameKind::Step | FrameKind::Every | FrameKind::Update | FrameKind::OptimizerArgs => {
                let error = Diagnostic::error(Code::E0122, site.callee, format!("`{name}` is made in a function"))
                    .note("a layer holds weights, and these outlive a call")
                    .help(format!("bind it in the layer or train block: `fc = {name}(…)`, and call `fc(x)` here"));
                return Err(self.tell(error));
            }
        }
        let making = |frame: &&crate::cx::Frame<'a>| {
            matches!(frame.kind, FrameKind::Bindings)
                && frame.instance.is_some_and(|id| std::ptr::eq(self.instance(id).layer, layer))
        };
        if self.frames.iter().any(|frame| making(&frame)) {
            let error = Diagnostic::error(Code::E0111, site.span, format!("`{name}` contains itself"))
                .also(layer.name.span, "declared here")
                .help("a layer has a fixed number of parts: use a list, `[Block(D) for i in 0..n]`");
            return Err(self.tell(error));
        }
        Ok(())
    }

    /// Arguments, open sizes, requirements, bindings.
    fn fill_instance(&mut self, id: InstanceId, given: Vec<Option<Value<'a>>>, site: &CallSite) -> R<()> {
        let layer = self.instance(id).layer;
        for (param, value) in layer.params.iter().zip(given) {
            let value = match value {
                Some(value) => value,
                None => self.default_arg(layer, param, site)?,
            };
            self.own(&value, id, &param.name.text);
            self.instances[id.0 as usize].args.insert(param.name.text.clone(), value);
        }
        self.find_open_sizes(id)?;
        self.requires(&layer.requires, Some(site.span))?;
        self.check_members(layer)?;
        for member in &layer.members {
            if let ast::Member::Bind(bind) = member {
                self.bind_member(id, bind);
            }
        }
        self.instances[id.0 as usize].complete = true;
        Ok(())
    }

    /// The default of a constructor argument, or what the command line says instead.
    fn default_arg(&mut self, layer: &'a ast::Layer, param: &'a ast::Param, site: &CallSite) -> R<Value<'a>> {
        let path = format!("{}.{}", layer.name.text, param.name.text);
        let expr = match self.override_of(&path) {
            Some(expr) => expr,
            None => match &param.default {
                Some(default) => default,
                None => return Err(self.missing_argument(param, site)),
            },
        };
        let value = self.arg_value(&param.ty, crate::calls::ArgValue::Expr(expr))?;
        self.convert_static(&param.ty, value, expr.span, &param.name.text)
    }

    fn check_members(&mut self, layer: &'a ast::Layer) -> R<()> {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut result = Ok(());
        for member in &layer.members {
            let names: Vec<&ast::Name> = match member {
                ast::Member::Param(tensor) => vec![&tensor.name],
                ast::Member::State(tensor) => {
                    result = self.unsupported(tensor.span, "`state` in a layer");
                    vec![&tensor.name]
                }
                ast::Member::Fn(decl) => vec![&decl.name],
                ast::Member::Bind(bind) => bind.names.iter().collect(),
            };
            for name in names {
                if let Some(first) = seen.insert(&name.text, name.span) {
                    result = Err(self.tell(scope::twice(name, first)));
                }
            }
        }
        result
    }

    /// Evaluates a binding; its names stand for nothing readable if that fails.
    fn bind_member(&mut self, id: InstanceId, bind: &'a ast::Bind) {
        let values = self.binding_values(bind);
        for (name, value) in bind.names.iter().zip(values) {
            self.own(&value, id, &name.text);
            self.instances[id.0 as usize].bindings.insert(name.text.clone(), value);
        }
    }

    /// The values of a binding's names.
    pub fn binding_values(&mut self, bind: &'a ast::Bind) -> Vec<Value<'a>> {
        if let Some(ty) = &bind.ty {
            let _ = self.unsupported::<()>(ty.span, "a type on a binding of a layer or train block");
        }
        let value = self.expr(&bind.value).and_then(|value| self.unpack(value, &bind.names, bind.value.span));
        match value {
            Ok(values) => values,
            Err(_) => vec![Value::Poison; bind.names.len()],
        }
    }

    /// Makes the instances in a value members of `owner`.
    pub fn own(&mut self, value: &Value<'a>, owner: InstanceId, path: &str) {
        match value {
            Value::Instance(id) if self.instance(*id).place == Place::Loose => {
                self.instances[id.0 as usize].place = Place::In(owner, path.to_string());
            }
            Value::List(parts) | Value::Tuple(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    self.own(part, owner, &format!("{path}.{at}"));
                }
            }
            _ => {}
        }
    }

    /// Collects the names that only `param` types mention, and the dtype classes there.
    fn find_open_sizes(&mut self, id: InstanceId) -> R<()> {
        let layer = self.instance(id).layer;
        for member in &layer.members {
            let ast::Member::Param(tensor) = member else { continue };
            let Form::Tensor { element, axes } = self.form(&tensor.ty)? else {
                return self.fail(Code::E0122, tensor.ty.span, "a `param` is a tensor: `param w: f32[In, Out]`");
            };
            if let Element::Class(class) = element {
                self.instances[id.0 as usize].classes.insert(class, None);
            }
            for axis in axes {
                self.note_open_sizes(id, &axis.kind)?;
            }
        }
        Ok(())
    }

    fn note_open_sizes(&mut self, id: InstanceId, axis: &'a ast::AxisKind) -> R<()> {
        let mut names = Vec::new();
        if let ast::AxisKind::Size(expr) = axis {
            names_in(expr, &mut names);
        }
        for (name, span) in names {
            if let crate::sizes::SizeName::Unbound = self.size_name(name, span)? {
                self.instances[id.0 as usize].open.insert(name.clone(), None);
            }
        }
        Ok(())
    }

    /// The type of a `param`, all of whose sizes must be known.
    pub fn param_type(&mut self, id: InstanceId, tensor: &'a ast::Tensor, span: Span) -> R<(DType, Vec<Size>)> {
        let (file, scope) = (self.instance(id).file, self.instance(id).scope);
        let Form::Tensor { element, axes } = self.form(&tensor.ty)? else {
            return self.fail(Code::E0122, tensor.ty.span, "a `param` is a tensor");
        };
        let dtype = match element {
            Element::Exact(dtype) => dtype,
            Element::Class(class) => {
                self.instance(id).classes.get(&class).copied().flatten().unwrap_or(self.entry.real)
            }
        };
        let mut frame = self.new_frame(FrameKind::Bindings, file);
        (frame.instance, frame.call, frame.scope) = (Some(id), Some(span), scope);
        let axes = self.within(frame, |cx| cx.param_axes(id, axes, span))?;
        self.check_extent(tensor.span, &shape_of(&axes))?;
        Ok((dtype, axes))
    }

    fn param_axes(&mut self, id: InstanceId, axes: &'a [ast::Axis], span: Span) -> R<Vec<Size>> {
        let mut result = Vec::new();
        for axis in axes {
            match &axis.kind {
                ast::AxisKind::Size(expr) => match self.unbound_in(expr)? {
                    Some((name, _)) => return Err(self.unsolved(id, &name, span)),
                    None => result.push(self.size_expr(expr)?),
                },
                ast::AxisKind::Pack(name) => {
                    let value = self.name(&name.text, name.span)?;
                    result.extend(self.as_shape(&value, name.span)?);
                }
                ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                    return self.fail(Code::E0122, axis.span, "`_` stands in result types only");
                }
            }
        }
        for size in &result {
            if size.dim.as_const().is_none() {
                let shown = self.show_dim(&size.dim);
                return self.fail(
                    Code::E0106,
                    span,
                    format!("a weight would have the size `{shown}`, which changes from call to call"),
                );
            }
        }
        Ok(result)
    }

    /// The current value of a `param`.
    pub fn read_param(&mut self, id: InstanceId, name: &Arc<str>, span: Span) -> R<Tensor> {
        self.require_region(span)?;
        let key = (id, name.clone());
        if let Some(tensor) = self.entry.tensors.get(&key) {
            return Ok(tensor.clone());
        }
        let Some(decl) = tensor_of(self.instance(id).layer, name) else {
            mlc_ir::internal_error("resolver", "a param that is not declared");
        };
        let (dtype, axes) = self.param_type(id, decl, span)?;
        let scope = self.instance(id).scope;
        let ty = Type::new(dtype, shape_of(&axes));
        let value = match self.entry.mode {
            Mode::Test => self.test_param(id, name, ty),
            _ => {
                let global = self.global_of(id, decl, &ty);
                self.entry.global(global, ty)
            }
        };
        let axes = name_axes(axes, &decl.ty, scope);
        let tensor = Tensor { value, dtype, axes };
        self.entry.tensors.insert(key, tensor.clone());
        Ok(tensor)
    }

    fn test_param(&mut self, id: InstanceId, name: &Arc<str>, ty: Type) -> mlc_ir::graph::Value {
        let known = self.entry.test_params.iter().find(|param| param.instance == id && param.name == *name);
        if let Some(known) = known {
            return known.value;
        }
        let value = self.entry.builder.param(ty.clone());
        let path = self.tensor_path(id, name).1;
        self.entry.test_params.push(TestParam { instance: id, name: name.clone(), path, ty, value });
        value
    }

    /// The global behind a `param`, made when it is first needed.
    pub fn global_of(&mut self, id: InstanceId, decl: &'a ast::Tensor, ty: &Type) -> GlobalId {
        let key = (id, decl.name.text.clone());
        if let Some(global) = self.globals.get(&key) {
            return *global;
        }
        let (root, path) = self.tensor_path(id, &decl.name.text);
        let span = self.place(decl.span);
        let (graph_prefix, file_prefix) = (root.graph_prefix, root.file_prefix);
        let full: Arc<str> = format!("{graph_prefix}{path}").into();
        self.graph.globals.push(Global { path: full, kind: GlobalKind::Param, ty: ty.clone(), span });
        self.file_paths.push(format!("{file_prefix}{path}"));
        self.initial.push(Initial::Param { instance: id, tensor: decl });
        let global = GlobalId(self.graph.globals.len() as u32 - 1);
        self.globals.insert(key, global);
        global
    }

    /// The root of an instance and the path of one of its tensors under it.
    pub fn tensor_path(&self, id: InstanceId, name: &str) -> (Root, String) {
        let (root, mut steps) = self.steps_to(id);
        steps.push(name.to_string());
        (root, steps.join("."))
    }

    fn steps_to(&self, id: InstanceId) -> (Root, Vec<String>) {
        match &self.instance(id).place {
            Place::Loose => {
                (Root { name: String::new(), file_prefix: String::new(), graph_prefix: String::new() }, Vec::new())
            }
            Place::Root(root) => (root.clone(), Vec::new()),
            Place::In(owner, step) => {
                let (root, mut steps) = self.steps_to(*owner);
                steps.push(step.clone());
                (root, steps)
            }
        }
    }

    /// What messages call an instance: `conv1`, `net`, or its layer.
    pub fn instance_name(&self, id: InstanceId) -> String {
        let instance = self.instance(id);
        match &instance.place {
            Place::In(_, step) => step.clone(),
            Place::Root(root) if !root.name.is_empty() => root.name.clone(),
            Place::Root(_) | Place::Loose => instance.layer.name.text.to_string(),
        }
    }

    /// All params of an instance and of its parts, in order of declaration.
    pub fn params_under(&self, id: InstanceId, into: &mut Vec<(InstanceId, Arc<str>)>) {
        let instance = self.instance(id);
        for member in &instance.layer.members {
            match member {
                ast::Member::Param(tensor) => into.push((id, tensor.name.text.clone())),
                ast::Member::Bind(bind) => {
                    for name in &bind.names {
                        if let Some(value) = instance.bindings.get(&name.text) {
                            self.params_in(value, Some(id), into);
                        }
                    }
                }
                ast::Member::State(_) | ast::Member::Fn(_) => {}
            }
        }
        for param in &instance.layer.params {
            if let Some(value) = instance.args.get(&param.name.text) {
                self.params_in(value, Some(id), into);
            }
        }
    }

    /// All params of the instances in a value; with an owner, of those that belong to it.
    pub fn params_in(&self, value: &Value<'a>, owner: Option<InstanceId>, into: &mut Vec<(InstanceId, Arc<str>)>) {
        match value {
            Value::Instance(id) => {
                let mine = match (&self.instance(*id).place, owner) {
                    (Place::In(parent, _), Some(owner)) => *parent == owner,
                    (_, None) => true,
                    (Place::Root(_) | Place::Loose, Some(_)) => false,
                };
                let mut found = Vec::new();
                if mine {
                    self.params_under(*id, &mut found);
                }
                for param in found {
                    if !into.contains(&param) {
                        into.push(param);
                    }
                }
            }
            Value::List(parts) | Value::Tuple(parts) => {
                for part in parts.iter() {
                    self.params_in(part, owner, into);
                }
            }
            _ => {}
        }
    }
}

/// Gives axes that a type writes as plain names those names.
fn name_axes(axes: Vec<Size>, ty: &ast::Type, scope: ScopeId) -> Vec<Size> {
    let ast::TypeKind::Named { axes: Some(written), .. } = &ty.kind else { return axes };
    if written.len() != axes.len() {
        return axes;
    }
    let named = |(axis, written): (Size, &ast::Axis)| match &written.kind {
        ast::AxisKind::Size(ast::Expr { kind: ast::ExprKind::Name(text), .. }) => {
            axis.named(scope, text, AxisNameKind::Size)
        }
        _ => axis,
    };
    axes.into_iter().zip(written).map(named).collect()
}

fn names_in<'a>(expr: &'a ast::Expr, into: &mut Vec<(&'a Arc<str>, Span)>) {
    match &expr.kind {
        ast::ExprKind::Name(text) if text.starts_with(char::is_uppercase) => into.push((text, expr.span)),
        ast::ExprKind::Unary { operand, .. } => names_in(operand, into),
        ast::ExprKind::Binary { left, right, .. } => {
            names_in(left, into);
            names_in(right, into);
        }
        ast::ExprKind::Call { args, .. } => args.iter().for_each(|arg| names_in(&arg.value, into)),
        _ => {}
    }
}
