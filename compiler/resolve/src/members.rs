//! The members of a layer by name, so that a layer may have many.

use mlc_syntax::ast;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;

/// What a layer declares. Of equal names, which are reported elsewhere, the first one counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members<'a> {
    params: BTreeMap<&'a str, &'a ast::Tensor>,
    states: BTreeMap<&'a str, &'a ast::Tensor>,
    functions: BTreeMap<&'a str, &'a ast::Fn>,
    bindings: BTreeMap<&'a str, Span>,
}

impl<'a> Members<'a> {
    pub fn of(layer: &'a ast::Layer) -> Members<'a> {
        let mut members = Members::default();
        for member in &layer.members {
            match member {
                ast::Member::Param(tensor) => {
                    members.params.entry(&tensor.name.text).or_insert(tensor);
                }
                ast::Member::State(tensor) => {
                    members.states.entry(&tensor.name.text).or_insert(tensor);
                }
                ast::Member::Fn(decl) => {
                    members.functions.entry(&decl.name.text).or_insert(decl);
                }
                ast::Member::Bind(bind) => {
                    for name in &bind.names {
                        members.bindings.entry(&name.text).or_insert(name.span);
                    }
                }
            }
        }
        members
    }

    /// The `param` or `state` of that name.
    pub fn tensor(&self, name: &str) -> Option<&'a ast::Tensor> {
        self.params.get(name).copied().or_else(|| self.state(name))
    }

    pub fn state(&self, name: &str) -> Option<&'a ast::Tensor> {
        self.states.get(name).copied()
    }

    pub fn function(&self, name: &str) -> Option<&'a ast::Fn> {
        self.functions.get(name).copied()
    }

    /// Where a name is bound.
    pub fn binding(&self, name: &str) -> Option<Span> {
        self.bindings.get(name).copied()
    }
}
