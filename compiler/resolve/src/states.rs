//! `state` in layers (rule 16): the current value of each while an entry is evaluated, what an entry
//! leaves behind, and session sizes, which only a state mentions.
//!
//! A state is a name of its layer that may be assigned. Its current value stands beside those of the
//! weights in [`crate::entry::Entry::tensors`]; whoever cuts pieces out of an entry need look nowhere
//! else. What differs from the first value at the end is written back, where the entry's mode keeps
//! anything.

use crate::calls::Expected;
use crate::cx::Cx;
use crate::entry::{Entry, Mode};
use crate::names;
use crate::value::{InstanceId, R, Size, Tensor, Value, shape_of};
use crate::weights::name_axes;
use mlc_ir::graph::{GlobalId, Output};
use mlc_ir::ty::Type;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// A state that an entry has read or written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Where it lives between calls; none in tests and where an evaluation starts from the declaration.
    pub global: Option<GlobalId>,
    /// Its value when the entry began; none if it was written first.
    pub first: Option<mlc_ir::graph::Value>,
}

fn states(layer: &ast::Layer) -> impl Iterator<Item = &ast::Tensor> {
    layer.members.iter().filter_map(|member| match member {
        ast::Member::State(tensor) => Some(tensor),
        _ => None,
    })
}

impl Entry<'_> {
    /// The states that this entry changes, with their new values.
    pub fn state_outputs(&self) -> Vec<(Output, mlc_ir::graph::Value)> {
        let changed = self.states.iter().filter_map(|(key, held)| {
            let now = self.tensors.get(key)?.value;
            let global = held.global?;
            (held.first != Some(now)).then_some((Output::Global(global), now))
        });
        changed.collect()
    }
}

impl<'a> Cx<'a> {
    /// The state that a name means here: no local hides it.
    pub fn state_named(&self, name: &str) -> Option<(InstanceId, &'a ast::Tensor)> {
        let frame = self.top();
        let id = frame.instance?;
        if frame.locals.contains_key(name) {
            return None;
        }
        self.instance(id).members.state(name).map(|decl| (id, decl))
    }

    /// The value of a state when the entry begins.
    pub fn read_state(&mut self, id: InstanceId, decl: &'a ast::Tensor, span: Span) -> R<Tensor> {
        let (dtype, own) = self.param_type(id, decl, span)?;
        let scope = self.instance(id).scope;
        let stacks = self.stack_axes(id);
        let axes: Vec<Size> = stacks.iter().chain(&own).cloned().collect();
        let ty = Type::new(dtype, shape_of(&axes));
        let named: Vec<Size> = stacks.into_iter().chain(name_axes(own, &decl.ty, scope)).collect();
        let key = (id, decl.name.text.clone());
        let tensor = match self.starts_fresh(&ty) {
            true => {
                let path = self.tensor_path(id, &decl.name.text).1;
                let first = self.stacked_value(id, decl, &Expected { dtype, axes }, &path)?;
                self.entry.states.insert(key.clone(), Held { global: None, first: None });
                Tensor { axes: named, ..first }
            }
            false => {
                let global = self.layer_state_global(id, decl, &ty);
                let value = self.entry.global(global, ty);
                self.entry.states.insert(key.clone(), Held { global: Some(global), first: Some(value) });
                Tensor { value, dtype, axes: named }
            }
        };
        self.entry.tensors.insert(key, tensor.clone());
        Ok(tensor)
    }

    /// Whether a state of that type begins with its declared value here. Tests have no memory, and an
    /// evaluation belongs to no session: each of its batches starts anew.
    fn starts_fresh(&self, ty: &Type) -> bool {
        let symbolic = ty.shape.iter().any(|size| size.as_const().is_none());
        match self.entry.mode {
            Mode::Test => true,
            Mode::Eval | Mode::Every => symbolic,
            Mode::Static | Mode::Init | Mode::Export | Mode::Train | Mode::Grads | Mode::Accumulate => false,
        }
    }

    fn layer_state_global(&mut self, id: InstanceId, decl: &'a ast::Tensor, ty: &Type) -> GlobalId {
        let global = self.global_of(id, decl, ty);
        self.note_session_use(global, id, decl, ty);
        global
    }

    /// `name = value` for a state.
    pub fn write_state(&mut self, id: InstanceId, decl: &'a ast::Tensor, value: Value<'a>, span: Span) -> R<()> {
        self.require_region(span)?;
        let (dtype, axes) = self.param_type(id, decl, span)?;
        let fills = matches!(value, Value::Number(_) | Value::Bool(_));
        let mut tensor = self.materialise(value, dtype, span)?;
        if self.seen_dtype(dtype) == tensor.dtype {
            tensor = self.cast(&tensor, dtype, span)?;
        }
        if fills && !axes.is_empty() {
            tensor = self.broadcast_scalar(tensor, axes.clone(), span)?;
        }
        if tensor.dtype != dtype || tensor.shape() != shape_of(&axes) {
            let (is, wanted) = (self.show(&tensor), self.show_type(&Type::new(dtype, shape_of(&axes))));
            let name = &decl.name.text;
            let error =
                Diagnostic::error(Code::E0105, span, format!("the state `{name}` is {wanted}, and this is {is}"))
                    .also(decl.span, "declared here")
                    .help("a state keeps its type; bind the value to another name if it is something else");
            return Err(self.tell(error));
        }
        let key = (id, decl.name.text.clone());
        if !self.stacks_over(id).is_empty() {
            let whole = self.read_whole(id, &decl.name.text, span)?;
            let whole = self.with_row(id, &whole, &tensor, span)?;
            self.entry.tensors.insert(key, whole);
            return Ok(());
        }
        if !self.entry.states.contains_key(&key) {
            let ty = Type::new(dtype, shape_of(&axes));
            let global = if self.starts_fresh(&ty) { None } else { Some(self.layer_state_global(id, decl, &ty)) };
            self.entry.states.insert(key.clone(), Held { global, first: None });
        }
        let scope = self.instance(id).scope;
        let axes = name_axes(axes, &decl.ty, scope);
        self.entry.tensors.insert(key, Tensor { axes, ..tensor });
        Ok(())
    }

    /// The session sizes that a function of an instance sees: those in the types of the states it
    /// mentions. `None`: a place that sees all of them.
    pub fn session_names(&self, id: InstanceId, decl: Option<&'a ast::Fn>) -> Rc<BTreeSet<Arc<str>>> {
        let instance = self.instance(id);
        if instance.session.is_empty() {
            return Rc::default();
        }
        let mentioned = decl.map(|decl| names::mentioned(&decl.body));
        let touched = states(instance.layer)
            .filter(|tensor| mentioned.as_ref().is_none_or(|names| names.contains(&tensor.name.text)));
        let mut seen = BTreeSet::new();
        for tensor in touched {
            let ast::TypeKind::Named { axes: Some(axes), .. } = &tensor.ty.kind else { continue };
            let mut found = Vec::new();
            for axis in axes {
                if let ast::AxisKind::Size(expr) = &axis.kind {
                    crate::instances::names_in(expr, &mut found);
                }
            }
            seen.extend(found.into_iter().map(|(name, _)| name.clone()).filter(|name| instance.session.contains(name)));
        }
        Rc::new(seen)
    }

    /// The session size of that name in the entry under construction, if the current function sees it:
    /// solved, or not yet.
    pub fn session_size(&self, text: &Arc<str>) -> Option<Option<Size>> {
        let frame = self.top();
        let id = frame.instance?;
        if !frame.session.contains(text) {
            return None;
        }
        Some(self.entry.session.get(&(id, text.clone())).map(|solved| solved.size.clone()))
    }

    /// Whether the declaration of `name` in an instance is a state.
    pub fn is_state(&self, id: InstanceId, name: &str) -> bool {
        self.instance(id).members.state(name).is_some()
    }
}
