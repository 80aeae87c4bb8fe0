//! The tensors behind `param` declarations: their types, their values in an entry, their paths.

use crate::calls::Expected;
use crate::cx::{Cx, FrameKind};
use crate::entry::{Mode, TestParam};
use crate::init::Initial;
use crate::instances::{Place, Root};
use crate::report::Reported;
use crate::types::{Element, Form};
use crate::value::{AxisNameKind, InstanceId, R, ScopeId, Size, Tensor, Value, shape_of};
use mlc_ir::graph::{Global, GlobalId, GlobalKind, Value as IrValue};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

impl<'a> Cx<'a> {
    /// The type of a `param` or `state`, all of whose sizes must be known.
    pub fn param_type(&mut self, id: InstanceId, tensor: &'a ast::Tensor, span: Span) -> R<(DType, Vec<Size>)> {
        self.as_stored(|cx| cx.stored_type(id, tensor, span))
    }

    fn stored_type(&mut self, id: InstanceId, tensor: &'a ast::Tensor, span: Span) -> R<(DType, Vec<Size>)> {
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
        frame.session = self.session_names(id, None);
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
                    None => {
                        let size = self.size_expr(expr)?;
                        if !self.is_session_size(expr) {
                            self.require_number(&size, span)?;
                        }
                        result.push(size);
                    }
                },
                ast::AxisKind::Pack(name) => {
                    let value = self.name(&name.text, name.span)?;
                    for size in self.as_shape(&value, name.span)? {
                        self.require_number(&size, span)?;
                        result.push(size);
                    }
                }
                ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                    return self.fail(Code::E0122, axis.span, "`_` stands in result types only");
                }
            }
        }
        Ok(result)
    }

    fn is_session_size(&self, expr: &'a ast::Expr) -> bool {
        let mut names = Vec::new();
        crate::instances::names_in(expr, &mut names);
        names.iter().any(|(name, _)| self.top().session.contains(*name))
    }

    fn require_number(&mut self, size: &Size, span: Span) -> R<()> {
        if size.dim.as_const().is_some() {
            return Ok(());
        }
        let shown = self.show_dim(&size.dim);
        let title = format!("a weight would have the size `{shown}`, which changes from call to call");
        self.fail(Code::E0106, span, title)
    }

    /// The current value of a `param` or `state`, as the code of its instance sees it: of a stack, the row
    /// that is meant.
    pub fn read_param(&mut self, id: InstanceId, name: &Arc<str>, span: Span) -> R<Tensor> {
        let whole = self.read_whole(id, name, span)?;
        let rows = self.rows_of(id, &whole, span)?;
        self.seen_tensor(rows, span)
    }

    /// A first value that is computed with weights or states: all of them are made at once.
    fn first_value_reads(&mut self, place: Span, id: InstanceId, name: &Arc<str>, span: Span) -> Reported {
        let path = format!("{}{name}", self.tensor_path(id, "").1);
        let title = format!("this first value reads `{path}`, which has none yet");
        let error = Diagnostic::error(Code::E0110, place, title);
        let inside = place.file == span.file && place.lo <= span.lo && span.hi <= place.hi;
        let error = if inside { error } else { error.also(span, "read here") };
        self.tell(
            error
                .note("first values are made of numbers, sizes, constants and random draws")
                .help("start with `zeros()`, and assign what is computed in a `fn`, where weights can be read"),
        )
    }

    /// The current value of a `param` or `state` with the axes of the stacks that it belongs to, as stored.
    pub fn read_whole(&mut self, id: InstanceId, name: &Arc<str>, span: Span) -> R<Tensor> {
        self.require_region(span)?;
        if let Some(place) = self.first_value {
            return Err(self.first_value_reads(place, id, name, span));
        }
        let key = (id, name.clone());
        self.read.insert(key.clone());
        if let Some(tensor) = self.entry.tensors.get(&key) {
            return Ok(tensor.clone());
        }
        let Some(decl) = self.instance(id).members.tensor(name) else {
            mlc_ir::internal_error("resolver", "a param that is not declared");
        };
        if self.is_state(id, name) {
            return self.read_state(id, decl, span);
        }
        let (dtype, axes) = self.param_type(id, decl, span)?;
        let scope = self.instance(id).scope;
        let own = name_axes(axes, &decl.ty, scope);
        let axes: Vec<Size> = self.stack_axes(id).into_iter().chain(own).collect();
        self.check_extent(decl.span, &shape_of(&axes))?;
        let ty = Type::new(dtype, shape_of(&axes));
        let value = match self.entry.mode {
            Mode::Test if self.entry.inputs.is_empty() => self.test_param(id, name, ty),
            Mode::Test => self.fresh_param(id, decl, dtype, &axes)?,
            _ => {
                let global = self.global_of(id, decl, &ty);
                self.entry.global(global, ty)
            }
        };
        let tensor = Tensor { value, dtype, axes };
        self.entry.tensors.insert(key, tensor.clone());
        Ok(tensor)
    }

    /// The first value of a parameter, in an entry of a test that has no weights but those it makes.
    fn fresh_param(&mut self, id: InstanceId, decl: &'a ast::Tensor, dtype: DType, axes: &[Size]) -> R<IrValue> {
        let path = self.tensor_path(id, &decl.name.text).1;
        let expected = Expected { dtype, axes: axes.to_vec() };
        self.stacked_value(id, decl, &expected, &path).map(|tensor| tensor.value)
    }

    fn test_param(&mut self, id: InstanceId, name: &Arc<str>, ty: Type) -> IrValue {
        let known = self.entry.test_params.iter().find(|param| param.instance == id && param.name == *name);
        if let Some(known) = known {
            return known.value;
        }
        let value = self.entry.builder.param(ty.clone());
        let path = self.tensor_path(id, name).1;
        self.entry.test_params.push(TestParam { instance: id, name: name.clone(), path, ty, value });
        value
    }

    /// The global behind a `param` or `state`, made when it is first needed.
    pub fn global_of(&mut self, id: InstanceId, decl: &'a ast::Tensor, ty: &Type) -> GlobalId {
        let key = (id, decl.name.text.clone());
        if let Some(global) = self.globals.get(&key) {
            return *global;
        }
        let (root, path) = self.tensor_path(id, &decl.name.text);
        let span = self.place(decl.span);
        let (graph_prefix, file_prefix) = (root.graph_prefix, root.file_prefix);
        let full: Arc<str> = format!("{graph_prefix}{path}").into();
        let of_train = self.holders.iter().any(|holder| std::ptr::eq(holder, self.instance(id).layer));
        let kind = match self.is_state(id, &decl.name.text) {
            true if of_train => GlobalKind::OptimizerState,
            true => GlobalKind::State,
            false => GlobalKind::Param,
        };
        self.graph.globals.push(Global { path: full, kind, ty: ty.clone(), span });
        self.file_paths.push(format!("{file_prefix}{path}"));
        self.initial.push(Initial::Param { instance: self.origin(id), tensor: decl });
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

    /// The path of a tensor in the graph, where it is unique.
    pub fn graph_path(&self, id: InstanceId, name: &str) -> String {
        let (root, path) = self.tensor_path(id, name);
        format!("{}{path}", root.graph_prefix)
    }

    /// All params of an instance and of its parts, in order of declaration.
    pub fn params_under(&self, id: InstanceId, into: &mut Vec<(InstanceId, Arc<str>)>) {
        self.tensors_under(id, a_param, into);
    }

    /// All states of an instance and of its parts, in order of declaration.
    pub fn states_under(&self, id: InstanceId, into: &mut Vec<(InstanceId, Arc<str>)>) {
        self.tensors_under(id, a_state, into);
    }

    fn tensors_under(&self, id: InstanceId, pick: Pick, into: &mut Vec<(InstanceId, Arc<str>)>) {
        let instance = self.instance(id);
        for member in &instance.layer.members {
            if let Some(tensor) = pick(member) {
                into.push((id, tensor.name.text.clone()));
            }
            if let ast::Member::Bind(bind) = member {
                for name in &bind.names {
                    if let Some(value) = instance.bindings.get(&name.text) {
                        self.tensors_in(value, Some(id), pick, into);
                    }
                }
            }
        }
        for param in &instance.layer.params {
            if let Some(value) = instance.args.get(&param.name.text) {
                self.tensors_in(value, Some(id), pick, into);
            }
        }
    }

    /// All params of the instances in a value; with an owner, of those that belong to it.
    pub fn params_in(&self, value: &Value<'a>, owner: Option<InstanceId>, into: &mut Vec<(InstanceId, Arc<str>)>) {
        self.tensors_in(value, owner, a_param, into);
    }

    fn tensors_in(
        &self,
        value: &Value<'a>,
        owner: Option<InstanceId>,
        pick: Pick,
        into: &mut Vec<(InstanceId, Arc<str>)>,
    ) {
        match value {
            Value::Instance(id) | Value::Stack(crate::stacks::Placed { id, .. }) => {
                let mine = match (&self.instance(*id).place, owner) {
                    (Place::In(parent, _), Some(owner)) => *parent == owner,
                    (_, None) => true,
                    (Place::Root(_) | Place::Loose, Some(_)) => false,
                };
                let mut found = Vec::new();
                if mine {
                    self.tensors_under(*id, pick, &mut found);
                }
                for param in found {
                    if !into.contains(&param) {
                        into.push(param);
                    }
                }
            }
            Value::List(parts) | Value::Tuple(parts) => {
                for part in parts.iter() {
                    self.tensors_in(part, owner, pick, into);
                }
            }
            _ => {}
        }
    }
}

/// Which tensors of a layer are meant.
type Pick = fn(&ast::Member) -> Option<&ast::Tensor>;

fn a_param(member: &ast::Member) -> Option<&ast::Tensor> {
    match member {
        ast::Member::Param(tensor) => Some(tensor),
        _ => None,
    }
}

fn a_state(member: &ast::Member) -> Option<&ast::Tensor> {
    match member {
        ast::Member::State(tensor) => Some(tensor),
        _ => None,
    }
}

/// Gives axes that a type writes as plain names those names.
pub(crate) fn name_axes(axes: Vec<Size>, ty: &ast::Type, scope: ScopeId) -> Vec<Size> {
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
