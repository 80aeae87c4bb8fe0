//! The contractions of a program before their operands are laid out, for those who want to know how each is best
//! packed.

use super::cells::{Cells, Key};
use super::scope::Scopes;
use super::{Choices, kept};
use crate::inline;
use crate::knobs::is_contraction;
use crate::layout::{self, Layout};
use crate::nest::{Nest, Source};
use crate::panels::Packing;
use crate::program::Loc;
use crate::schedule::Machine;
use mlc_ir::dim::Sym;
use mlc_ir::graph::Graph;
use std::collections::BTreeSet;

/// A contraction of an entry.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// Position of the entry.
    pub entry: usize,
    /// What it computes.
    pub nest: Nest,
    /// Of what it reads that which is the same in every call, so that copies of it are made once.
    pub constant: Vec<Source>,
    /// Parameters of its scope that are.
    kept: BTreeSet<Source>,
}

impl Contraction {
    /// The kernels for it, in order: copies, and the contraction in one or two parts.
    pub fn prepared(&self, machine: &Machine, packing: Packing, typical: &[(Sym, i64)]) -> Vec<Nest> {
        layout::prepare(self.nest.clone(), None, Layout { machine, packing, typical, kept: &self.kept }, &mut 0)
    }
}

/// All contractions of a graph that was lowered ([`super::LoweredProgram::graph`]).
pub fn contractions(graph: &Graph, machine: &Machine) -> Vec<Contraction> {
    let mut found = Vec::new();
    for (number, entry) in graph.entries.iter().enumerate() {
        let scopes = Scopes::new(graph, entry, machine, Choices::default());
        let kept = kept::values(&scopes, entry);
        let mut cells = Cells::new(&scopes, entry);
        for (at, scope) in scopes.list.iter().enumerate() {
            for group in &scope.fusion.groups {
                let nest = inline::nest(scope.region, &scope.fusion, group);
                if !is_contraction(&nest) {
                    continue;
                }
                let mut is_constant = |source: &Source| {
                    let Source::Value(value) = source else { return false };
                    let view = cells.value(at, *value);
                    matches!(cells.list[view.cell].key, Key::Fixed(Loc::Global(id)) if scopes.constants.contains(&id))
                };
                let sources = nest.buffers.iter().map(|buffer| buffer.source);
                let constant = sources.filter(&mut is_constant).collect();
                found.push(Contraction { entry: number, nest, constant, kept: kept[at].clone() });
            }
        }
    }
    found
}
