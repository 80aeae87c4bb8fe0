//! Train blocks before their step: bindings, the instances among them at the top of the tree of weights, and
//! the instance that holds the block's states.

use crate::calls::CallSite;
use crate::constants::Source;
use crate::cx::{Cx, FrameKind};
use crate::instances::{Place, Root};
use crate::scope;
use crate::value::{Bindings, InstanceId, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A train block whose bindings have been made.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub decl: &'a ast::Train,
    pub file: FileId,
    pub bindings: Rc<Bindings<'a>>,
    /// Where each binding's value is written.
    pub places: BTreeMap<Arc<str>, Span>,
    /// What is read from files when the run starts.
    pub loads: Vec<crate::loads::Load>,
}

impl<'a> Cx<'a> {
    /// Makes the bindings of a train block; `several`: the program has more than one.
    pub fn train_bindings(&mut self, decl: &'a ast::Train, file: FileId, several: bool) -> Block<'a> {
        let frame = self.new_frame(FrameKind::Bindings, file);
        let (mut bindings, places) = self.within(frame, |cx| cx.bind_all(decl));
        bindings.states = self.state_holder(decl, file, &bindings);
        let loads = std::mem::take(&mut self.loads);
        let block = Block { decl, file, bindings: Rc::new(bindings), places, loads };
        self.place_roots(&block, several);
        block
    }

    fn bind_all(&mut self, decl: &'a ast::Train) -> (Bindings<'a>, BTreeMap<Arc<str>, Span>) {
        let mut bindings = Bindings::default();
        let mut places: BTreeMap<Arc<str>, Span> = BTreeMap::new();
        for member in &decl.members {
            match member {
                ast::Member::Bind(bind) => {
                    let values = self.binding_values(Source::of(bind));
                    for (name, value) in bind.names.iter().zip(values) {
                        let value = self.refuse_unmade(name, value, bind.value.span);
                        if let Some(first) = places.insert(name.text.clone(), name.span) {
                            self.tell(scope::twice(name, first));
                        }
                        self.set_local(&name.text, value.clone());
                        bindings.values.insert(name.text.clone(), value);
                    }
                }
                ast::Member::Fn(decl) => bindings.fns.push(decl),
                ast::Member::State(tensor) => {
                    if let Some(first) = places.insert(tensor.name.text.clone(), tensor.name.span) {
                        self.tell(scope::twice(&tensor.name, first));
                    }
                }
                ast::Member::Param(tensor) => {
                    let error = Diagnostic::error(Code::E0203, tensor.span, "a `param` belongs in a layer")
                        .help("declare a `layer` with it and bind an instance here");
                    self.tell(error);
                }
            }
        }
        (bindings, places)
    }

    /// `net = Net`: the layer itself under the name of a value.
    fn refuse_unmade(&mut self, name: &ast::Name, value: Value<'a>, span: Span) -> Value<'a> {
        let layer = match &value {
            Value::Function(function) => match &function.callee {
                crate::value::Callee::Layer { decl, .. } => &decl.name.text,
                _ => return value,
            },
            _ => return value,
        };
        if name.text.starts_with(char::is_uppercase) {
            return value;
        }
        let written = self.sources.text(span);
        let error = Diagnostic::error(Code::E0122, span, format!("`{layer}` is a layer, and this makes none of it"))
            .help(format!("make one: `{} = {written}()`", name.text));
        self.tell(error);
        Value::Poison
    }

    /// Gives the instances bound here their place at the top of the tree of weights.
    fn place_roots(&mut self, block: &Block<'a>, several: bool) {
        let mut roots = Vec::new();
        for member in &block.decl.members {
            let ast::Member::Bind(bind) = member else { continue };
            for name in &bind.names {
                if let Some(value) = block.bindings.values.get(&name.text) {
                    collect_loose(self, value, &name.text, &mut roots);
                }
            }
        }
        let prefixed = roots.len() > 1;
        for (id, name) in roots {
            let file_prefix = if prefixed { format!("{name}.") } else { String::new() };
            let graph_prefix =
                if several { format!("{}.{file_prefix}", block.decl.name.text) } else { file_prefix.clone() };
            self.instances[id.0 as usize].place = Place::Root(Root { name, file_prefix, graph_prefix });
        }
    }

    /// The instance that holds the states of a train block, which sees its bindings.
    fn state_holder(&mut self, decl: &'a ast::Train, file: FileId, bindings: &Bindings<'a>) -> Option<InstanceId> {
        let layer = self.holders.iter().find(|layer| layer.name.span == decl.name.span)?;
        let site = CallSite { span: decl.span, callee: decl.name.span, name: decl.name.text.to_string() };
        let frame = self.new_frame(FrameKind::Bindings, file);
        let id = self.within(frame, |cx| cx.construct(layer, file, Vec::new(), &site)).ok()?;
        let prefix = format!("train.{}.", decl.name.text);
        let root = Root { name: String::new(), file_prefix: prefix.clone(), graph_prefix: prefix };
        let instance = &mut self.instances[id.0 as usize];
        (instance.place, instance.bindings) = (Place::Root(root), bindings.values.clone());
        Some(id)
    }
}

/// For each train block with states a layer that has just these: its instance holds them.
pub(crate) fn state_holders(module: &ast::Module) -> Vec<ast::Layer> {
    let holder = |item: &ast::Item| match item {
        ast::Item::Train(decl) => {
            let is_state = |member: &&ast::Member| matches!(member, ast::Member::State(_));
            let members: Vec<ast::Member> = decl.members.iter().filter(is_state).cloned().collect();
            (!members.is_empty()).then(|| ast::Layer {
                attrs: Vec::new(),
                is_model: false,
                name: decl.name.clone(),
                params: Vec::new(),
                requires: Vec::new(),
                members,
                span: decl.span,
            })
        }
        _ => None,
    };
    module.items.iter().filter_map(holder).collect()
}

fn collect_loose<'a>(cx: &Cx<'a>, value: &Value<'a>, name: &str, into: &mut Vec<(InstanceId, String)>) {
    match value {
        Value::Instance(id) | Value::Stack(crate::stacks::Placed { id, .. })
            if cx.instance(*id).place == Place::Loose && !into.iter().any(|(other, _)| other == id) =>
        {
            into.push((*id, name.to_string()));
        }
        Value::List(parts) | Value::Tuple(parts) => {
            for (at, part) in parts.iter().enumerate() {
                collect_loose(cx, part, &format!("{name}.{at}"), into);
            }
        }
        _ => {}
    }
}
