//! Scopes: an entry's region, and the body of every loop in it, each with its kernels.

use super::{Choices, kept, order};
use crate::expr::Expr;
use crate::fuse::{Fusion, fuse, storage};
use crate::inline;
use crate::knobs::is_contraction;
use crate::layout::{self, Layout};
use crate::nest::{Nest, Source};
use crate::panels::Packing;
use crate::schedule::{self, Machine, Schedule, each_root};
use crate::to_lane::{self, Lowered};
use crate::tree::{self, Tree};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::foreign::Foreign;
use mlc_ir::graph::{Entry, Graph, Node, NodeId, Region, RegionId, Value};
use mlc_ir::index::Definition;
use mlc_ir::ops::Op;
use mlc_ir::region_ops::Loop;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A kernel before its buffers have places.
pub(super) struct Pending {
    /// Buffers it loads from.
    pub reads: Vec<Source>,
    pub nest: Arc<Nest>,
    pub schedule: Schedule,
    pub tree: Arc<Tree>,
    pub lowered: Lowered,
}

/// A region that is run, as the body of one loop or as an entry's.
pub(super) struct Scope<'a> {
    pub id: RegionId,
    pub region: &'a Region,
    /// The scope around, and the loop in it.
    pub parent: Option<(usize, NodeId)>,
    pub fusion: Fusion,
    /// The kernels of each fused group, in order.
    pub groups: Vec<Vec<Pending>>,
    /// In an order in which they can run.
    pub items: Vec<Item>,
    /// What makes each value that is stored, parameters apart.
    makers: BTreeMap<Value, Item>,
}

/// What a scope runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A fused group, by its position.
    Group(usize),
    /// A loop, by the scope of its body.
    Loop(usize),
    /// A call of a C function.
    Call(NodeId),
}

/// All scopes of an entry; each stands behind the one around it, the entry's own is the first.
pub(super) struct Scopes<'a> {
    pub list: Vec<Scope<'a>>,
    /// The bodies of loops, by the scope around and the node.
    bodies: BTreeMap<(usize, NodeId), usize>,
    /// The globals that the entry only reads, if copies of them are kept.
    pub constants: BTreeSet<u32>,
}

impl<'a> Scopes<'a> {
    pub fn new(graph: &'a Graph, entry: &'a Entry, machine: &Machine, choices: Choices<'_>) -> Scopes<'a> {
        let constants = if choices.keep { kept::constants(entry) } else { BTreeSet::new() };
        let mut scopes = Scopes { list: Vec::new(), bodies: BTreeMap::new(), constants };
        scopes.add(graph, entry.region, None, choices);
        let mut at = 0;
        while at < scopes.list.len() {
            let (region, loops) = (scopes.list[at].region, scopes.list[at].fusion.loops.clone());
            for node in loops {
                let body = scopes.add(graph, region.nodes[node.index()].regions[0], Some((at, node)), choices);
                scopes.list[at].items.push(Item::Loop(body));
                scopes.bodies.insert((at, node), body);
            }
            at += 1;
        }
        scopes.note_makers();
        let typical = &entry.typical;
        let kept = kept::values(&scopes, entry);
        let lists = scopes.list.par_iter_mut().zip(&kept);
        lists.for_each(|(scope, kept)| scope.groups = groups(scope, machine, choices, (typical, kept)));
        for at in 0..scopes.list.len() {
            let items = order::order(&scopes, at);
            scopes.list[at].items = items;
        }
        scopes
    }

    fn add(&mut self, graph: &'a Graph, id: RegionId, parent: Option<(usize, NodeId)>, choices: Choices<'_>) -> usize {
        let region = graph.region(id);
        let fusion = fuse(region, choices.fuse);
        let groups = (0..fusion.groups.len()).map(Item::Group);
        let items = groups.chain(fusion.calls.iter().copied().map(Item::Call)).collect();
        self.list.push(Scope { id, region, parent, fusion, groups: Vec::new(), items, makers: BTreeMap::new() });
        self.list.len() - 1
    }

    fn note_makers(&mut self) {
        for at in 0..self.list.len() {
            let scope = &self.list[at];
            let mut makers = BTreeMap::new();
            for item in &scope.items {
                let made = match item {
                    Item::Group(group) => &scope.fusion.groups[*group].roots[..],
                    Item::Loop(body) => &self.node(*body).results[..],
                    Item::Call(node) => &scope.region.nodes[node.index()].results[..],
                };
                makers.extend(made.iter().map(|value| (*value, *item)));
            }
            self.list[at].makers = makers;
        }
    }

    /// The scope around the body of a loop.
    pub fn parent(&self, body: usize) -> usize {
        self.parent_and_node(body).0
    }

    fn parent_and_node(&self, body: usize) -> (usize, NodeId) {
        match self.list[body].parent {
            Some(parent) => parent,
            None => mlc_ir::internal_error("lower", "an entry is not the body of a loop"),
        }
    }

    /// The loop that runs a body.
    pub fn node(&self, body: usize) -> &'a Node {
        let (parent, node) = self.parent_and_node(body);
        &self.list[parent].region.nodes[node.index()]
    }

    /// The loop that runs a body.
    pub fn op(&self, body: usize) -> &'a Loop {
        match &self.node(body).op {
            Op::Loop(op) => op,
            _ => mlc_ir::internal_error("lower", "a region op that is not a loop"),
        }
    }

    /// The number of loops around the body of a loop.
    pub fn depth(&self, body: usize) -> u32 {
        match self.list[body].parent {
            Some((parent, _)) => self.list[parent].parent.map_or(0, |_| self.depth(parent) + 1),
            None => mlc_ir::internal_error("lower", "an entry is not the body of a loop"),
        }
    }

    /// The body of the loop at a node of a scope.
    pub fn body(&self, scope: usize, node: NodeId) -> Option<usize> {
        self.bodies.get(&(scope, node)).copied()
    }

    /// The call of a C function at a node of a scope.
    pub fn call(&self, scope: usize, node: NodeId) -> (&'a Foreign, &'a Node) {
        let node = &self.list[scope].region.nodes[node.index()];
        match &node.op {
            Op::Foreign(op) => (op, node),
            _ => mlc_ir::internal_error("lower", "a call that is none"),
        }
    }

    /// Whether `scope` is `outer` or in it.
    pub fn is_within(&self, mut scope: usize, outer: usize) -> bool {
        loop {
            match self.list[scope].parent {
                _ if scope == outer => return true,
                Some((parent, _)) => scope = parent,
                None => return false,
            }
        }
    }

    /// The old value and the result of the update that a group makes.
    pub fn update(&self, scope: usize, group: usize) -> Option<(Value, Value)> {
        let it = &self.list[scope];
        let node = &it.region.nodes[it.fusion.groups[group].update?.index()];
        Some((storage(it.region, node.args[0]), node.results[0]))
    }

    /// What makes a value of a scope, unless it is a parameter.
    pub fn item_of(&self, scope: usize, value: Value) -> Option<Item> {
        self.list[scope].makers.get(&storage(self.list[scope].region, value)).copied()
    }
}

/// The kernels of each fused group, in order.
fn groups(
    scope: &Scope<'_>,
    machine: &Machine,
    choices: Choices<'_>,
    (typical, kept): (&[(Sym, i64)], &BTreeSet<Source>),
) -> Vec<Vec<Pending>> {
    let mut copies = 0;
    let mut nests: Vec<Vec<Nest>> = Vec::new();
    for group in &scope.fusion.groups {
        let nest = inline::nest(scope.region, &scope.fusion, group);
        let alone = inline::alone(scope.region, &scope.fusion, group);
        let packing = if is_contraction(&nest) { (choices.packing)(&nest) } else { Packing::default() };
        nests.push(layout::prepare(nest, alone, Layout { machine, packing, typical, kept }, &mut copies));
    }
    let pend = |nests: Vec<Nest>| nests.into_iter().map(|nest| pend(nest, machine, choices, typical)).collect();
    nests.into_par_iter().map(pend).collect()
}

fn pend(nest: Nest, machine: &Machine, choices: Choices<'_>, typical: &[(Sym, i64)]) -> Pending {
    let schedule = schedule::choose(&nest, machine, typical);
    let schedule = (choices.schedule)(&nest, schedule);
    let tree = tree::build(&nest, &schedule);
    let lowered = to_lane::lower(&tree);
    Pending { reads: loaded(&nest), nest: nest.into(), schedule, tree: tree.into(), lowered }
}

/// The buffers that a nest loads from, each once.
fn loaded(nest: &Nest) -> Vec<Source> {
    let mut sources = Vec::new();
    each_root(nest, &mut |root| {
        root.each(&mut |e| {
            if let Expr::Load { buffer, .. } = e {
                sources.push(nest.buffers[*buffer].source);
            }
        });
    });
    sources.sort();
    sources.dedup();
    sources
}

impl Pending {
    /// Estimated vector instructions of all tiles.
    pub fn work(&self) -> Dim {
        let mut parts = 0;
        each_root(&self.nest, &mut |root| root.each(&mut |_| parts += 1));
        let per_element = Dim::from((parts / self.schedule.lanes).max(1));
        Dim::product(self.nest.par.iter().chain(&self.nest.red))
            .and_then(|n| n.mul(&per_element))
            .unwrap_or_else(|_| Dim::from(i64::MAX / 2))
    }
}

impl Scopes<'_> {
    /// Twice the multiply-adds of all contractions.
    pub fn flops(&self) -> Dim {
        let mut sum = Dim::zero();
        for at in 0..self.list.len() {
            let mut times = Dim::one();
            let mut around = at;
            while let Some((parent, _)) = self.list[around].parent {
                times = super::checked(times.mul(self.op(around).trip.bound()));
                around = parent;
            }
            let own = self.list[at].flops();
            sum = super::checked(own.mul(&times).and_then(|n| sum.add(&n)));
        }
        sum
    }
}

impl Scope<'_> {
    /// Of one run of the region, loops apart.
    fn flops(&self) -> Dim {
        let mut sum = Dim::zero();
        for group in &self.fusion.groups {
            let Some(anchor) = group.anchor else { continue };
            let Some(Definition::Dot { axes, .. }) = &self.fusion.definitions[anchor.index()] else { continue };
            let outputs = self.region.ty(self.region.nodes[anchor.index()].results[0]).shape.iter();
            let products = Dim::product(outputs.chain(axes)).and_then(|n| n.mul(&Dim::from(2)));
            sum = super::checked(products.and_then(|n| sum.add(&n)));
        }
        sum
    }
}
