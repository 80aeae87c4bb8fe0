//! Instances of layers: arguments, bindings, open sizes, and the weights behind their params.

use crate::calls::{ArgIn, CallSite};
use crate::constants::Source;
use crate::cx::{Class, Cx, FrameKind};
use crate::entry::Entry;
use crate::members::Members;
use crate::scope;
use crate::sizes::Solved;
use crate::stacks::Placed;
use crate::types::{Element, Form};
use crate::value::{InstanceId, R, ScopeId, Size, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::{BTreeMap, BTreeSet};
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
    pub members: Members<'a>,
    pub file: FileId,
    pub scope: ScopeId,
    pub args: BTreeMap<Arc<str>, Value<'a>>,
    pub bindings: BTreeMap<Arc<str>, Value<'a>>,
    /// Names that only `param` types mention, solved by first use.
    pub open: BTreeMap<Arc<str>, Option<Solved>>,
    /// dtype classes of `param` types, solved by first use.
    pub classes: BTreeMap<Class, Option<DType>>,
    /// Names that only `state` types mention; each entry solves them anew.
    pub session: BTreeSet<Arc<str>>,
    pub place: Place,
    /// For a stack: how many layers it has.
    pub stack: Option<Size>,
    /// What it was copied from, through all copies.
    pub origin: Option<InstanceId>,
    /// Whether all bindings have been made: from then on names mean params before arguments.
    pub complete: bool,
    /// Where it was made.
    pub made: Span,
}

/// Open sizes and classes of an instance, as far as they are solved.
pub(crate) type Openness = (BTreeMap<Arc<str>, Option<Solved>>, BTreeMap<Class, Option<DType>>);

impl Instance<'_> {
    /// What is solved so far.
    pub fn openness(&self) -> Openness {
        (self.open.clone(), self.classes.clone())
    }

    /// Goes back to what was solved earlier.
    pub fn reopen(&mut self, to: Openness) {
        (self.open, self.classes) = to;
    }
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
        let positions = args.iter().filter(|arg| arg.name.is_none()).count();
        let args = self.bind_args(&layer.params, args, site)?;
        let given = self.static_args(&layer.params, args)?;
        if self.files.origin(file) == scope::Origin::Prelude {
            self.refuse_size_as_float(layer, &given, positions, site)?;
        }
        let scope = self.new_scope();
        let id = InstanceId(self.instances.len() as u32);
        self.instances.push(Instance {
            layer,
            members: Members::of(layer),
            file,
            scope,
            args: BTreeMap::new(),
            bindings: BTreeMap::new(),
            open: BTreeMap::new(),
            classes: BTreeMap::new(),
            session: BTreeSet::new(),
            place: Place::Loose,
            stack: None,
            origin: None,
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
            FrameKind::Fn(_)
            | FrameKind::Step
            | FrameKind::Every
            | FrameKind::Update
            | FrameKind::Grad
            | FrameKind::OptimizerArgs => {
                let written = self.sources.text(site.callee);
                if written != &**name && written.chars().all(|c| c.is_alphanumeric() || c == '_') {
                    let title = format!("`{written}` is the layer `{name}`, and none of it has been made");
                    let error = Diagnostic::error(Code::E0122, site.callee, title)
                        .help(format!("make one where it is bound: `{written} = {name}(…)`"));
                    return Err(self.tell(error));
                }
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
                None => return Err(self.missing_argument(param, &layer.params, site)),
            },
        };
        let value = self.arg_value(&param.ty, crate::calls::ArgValue::Expr(expr))?;
        self.convert_static(&param.ty, value, expr.span, &format!("`{}`", param.name.text))
    }

    /// Refuses names that a layer declares twice.
    pub fn check_members(&mut self, layer: &'a ast::Layer) -> R<()> {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut result = Ok(());
        for member in &layer.members {
            let names: Vec<&ast::Name> = match member {
                ast::Member::Param(tensor) | ast::Member::State(tensor) => vec![&tensor.name],
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
        let values = self.binding_values(Source::of(bind));
        for (name, value) in bind.names.iter().zip(values) {
            self.own(&value, id, &name.text);
            self.instances[id.0 as usize].bindings.insert(name.text.clone(), value);
        }
    }

    /// Makes the instances in a value members of `owner`.
    pub fn own(&mut self, value: &Value<'a>, owner: InstanceId, path: &str) {
        match value {
            Value::Instance(id) | Value::Stack(Placed { id, .. }) if self.instance(*id).place == Place::Loose => {
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

    /// Collects the names that only `param` or only `state` types mention, and the dtype classes there.
    fn find_open_sizes(&mut self, id: InstanceId) -> R<()> {
        let layer = self.instance(id).layer;
        for member in &layer.members {
            if let ast::Member::Param(tensor) = member {
                for name in self.free_sizes(id, tensor, "a `param` is a tensor: `param w: f32[In, Out]`")? {
                    self.instances[id.0 as usize].open.insert(name, None);
                }
            }
        }
        for member in &layer.members {
            if let ast::Member::State(tensor) = member {
                let names = self.free_sizes(id, tensor, "a `state` is a tensor: `state m: f32[C] = zeros()`")?;
                self.instances[id.0 as usize].session.extend(names);
            }
        }
        Ok(())
    }

    /// The names in the type of a member that nothing has bound; its dtype class is noted.
    fn free_sizes(&mut self, id: InstanceId, tensor: &'a ast::Tensor, wanted: &str) -> R<Vec<Arc<str>>> {
        let Form::Tensor { element, axes } = self.form(&tensor.ty)? else {
            return self.fail(Code::E0122, tensor.ty.span, wanted);
        };
        if let Element::Class(class) = element {
            self.instances[id.0 as usize].classes.entry(class).or_insert(None);
        }
        let mut free = Vec::new();
        for axis in axes {
            let mut names = Vec::new();
            if let ast::AxisKind::Size(expr) = &axis.kind {
                names_in(expr, &mut names);
            }
            for (name, span) in names {
                if let crate::sizes::SizeName::Unbound = self.size_name(name, span)? {
                    free.push(name.clone());
                }
            }
        }
        Ok(free)
    }
}

pub(crate) fn names_in<'a>(expr: &'a ast::Expr, into: &mut Vec<(&'a Arc<str>, Span)>) {
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
