//! Fusion by class: which nodes of a region are computed together.
//!
//! One greedy walk from the results back. A node joins the group of its consumers when that saves a
//! trip through memory and never repeats real work; otherwise it becomes the root of a group of its
//! own, i.e. its value is stored. Groups are convex because a node joins only if all its consumers are
//! in the group (or it is cheap and is repeated in each).
//!
//! A group has at most one *anchor* (a node whose definition reduces); everything behind the anchor
//! is its epilogue, everything before it is part of the reduced expression.

mod cuts;
mod merge;

use mlc_ir::cost::is_cheap;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, NodeId, Region, Value};
use mlc_ir::index::Definition;
use mlc_ir::ops::{Class, Op};
use mlc_ir::ty::Type;
use std::collections::{BTreeMap, BTreeSet};

/// Groups in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Fusion {
    /// In topological order.
    pub groups: Vec<Group>,
    /// Live nodes that own regions.
    pub loops: Vec<NodeId>,
    /// Live calls of C functions.
    pub calls: Vec<NodeId>,
    /// Index form of each live node.
    pub definitions: Vec<Option<Definition>>,
    /// Nodes that were not fused with their only consumer, and why: for `--stage fused`.
    pub refusals: Vec<(NodeId, &'static str)>,
}

/// Nodes computed by one kernel.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The node whose definition reduces.
    pub anchor: Option<NodeId>,
    /// The node that updates a window, which this group writes into the memory of the old value.
    pub update: Option<NodeId>,
    /// Extents of its parallel axes: the shape of what it stores, or of the window, or of the parts of
    /// the concatenations that it stores.
    pub domain: Vec<Dim>,
    /// Values it stores, each before those that may be made from it.
    pub roots: Vec<Value>,
    /// Nodes in it, with their role.
    pub members: BTreeMap<NodeId, Role>,
}

/// Where a node stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Part of what is reduced.
    Reduced,
    /// Behind the anchor (or no anchor), at the same element as the root.
    Epilogue,
    /// Behind the anchor, at other elements: reached through a view.
    Viewed,
}

/// A group never inlines more nodes than this.
const MEMBERS: usize = 96;

/// Concatenations of more parts are not stored part by part.
const PARTS: usize = 8;

/// The least extent of the last axis of such parts, if they stand behind one another along it.
const PART_EXTENT: i64 = 16;

/// The operand of an update that is put into the window.
pub const WINDOW: usize = 1;

/// Chains of nodes that are repeated in several groups stay this short.
const REPEATED: u32 = 4;

#[derive(Clone, Debug, PartialEq)]
enum Home {
    Dead,
    Alias,
    /// Reads its operands from memory and writes its results there.
    Region,
    /// Inlined wherever it is used.
    Everywhere,
    /// A member of these groups; repeated if more than one.
    In(BTreeSet<usize>),
}

/// The value whose storage holds `value`: reshapes are followed to their operand.
pub fn storage(region: &Region, mut value: Value) -> Value {
    while let Def::Node(node, _) = region.values[value.index()].def {
        let node = &region.nodes[node.index()];
        match &node.op {
            Op::Reshape(_) => value = node.args[0],
            _ => return value,
        }
    }
    value
}

/// What is fused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fuse {
    /// Whatever the classes allow.
    #[default]
    ByClass,
    /// Nothing but sources: every other node's value goes through memory. Results have the same bits.
    Nothing,
}

/// Groups the live nodes of a region.
pub fn fuse(region: &Region, what: Fuse) -> Fusion {
    let mut walk = Walk::new(region, what);
    for index in (0..region.nodes.len()).rev() {
        walk.place(NodeId(index as u32));
    }
    walk.finish()
}

struct Walk<'a> {
    region: &'a Region,
    what: Fuse,
    definitions: Vec<Option<Definition>>,
    homes: Vec<Home>,
    /// How many repeated nodes are made from each node one after another.
    depths: Vec<u32>,
    /// Consumers of each value: node and operand number.
    uses: Vec<Vec<(NodeId, usize)>>,
    /// Values that must be in memory.
    stored: Vec<bool>,
    groups: Vec<Group>,
    loops: Vec<NodeId>,
    calls: Vec<NodeId>,
    refusals: Vec<(NodeId, &'static str)>,
}

impl<'a> Walk<'a> {
    fn new(region: &'a Region, what: Fuse) -> Walk<'a> {
        let mut stored = vec![false; region.values.len()];
        for result in &region.results {
            stored[storage(region, *result).index()] = true;
        }
        Walk {
            region,
            what,
            definitions: vec![None; region.nodes.len()],
            homes: vec![Home::Dead; region.nodes.len()],
            depths: vec![0; region.nodes.len()],
            uses: vec![Vec::new(); region.values.len()],
            stored,
            groups: Vec::new(),
            loops: Vec::new(),
            calls: Vec::new(),
            refusals: Vec::new(),
        }
    }

    fn place(&mut self, id: NodeId) {
        let node = &self.region.nodes[id.index()];
        let live = node.results.iter().any(|value| self.is_used(*value));
        let is_result = node.results.iter().any(|v| self.region.results.contains(v));
        if !live && !is_result {
            return;
        }
        let Some(primitive) = node.op.primitive() else { return self.place_apart(id) };
        let args: Vec<&Type> = node.args.iter().map(|v| self.region.ty(*v)).collect();
        let results: Vec<&Type> = node.results.iter().map(|v| self.region.ty(*v)).collect();
        let definition = primitive.lower(&args, &results);
        let class = primitive.info().class;
        for (position, arg) in node.args.iter().enumerate() {
            self.uses[arg.index()].push((id, position));
        }
        for arg in definition.gathered() {
            self.stored[storage(self.region, node.args[arg as usize]).index()] = true;
        }
        self.homes[id.index()] = match &definition {
            Definition::Alias => {
                self.stored[storage(self.region, node.args[0]).index()] = true;
                Home::Alias
            }
            Definition::Map(_) => self.place_map(id, class),
            Definition::Reduce { .. } | Definition::Dot { .. } | Definition::Best { .. } | Definition::Scan { .. } => {
                self.place_anchor(id)
            }
            Definition::Order { .. } | Definition::Scatter { .. } => self.new_group(id, Some(id)),
            Definition::Update { .. } => self.new_update(id),
        };
        self.definitions[id.index()] = Some(definition);
    }

    /// A loop or a call of a C function.
    fn place_apart(&mut self, id: NodeId) {
        let node = &self.region.nodes[id.index()];
        for (position, arg) in node.args.iter().enumerate() {
            self.uses[arg.index()].push((id, position));
            self.stored[storage(self.region, *arg).index()] = true;
        }
        self.homes[id.index()] = Home::Region;
        match node.op {
            Op::Foreign(_) => self.calls.push(id),
            _ => self.loops.push(id),
        }
    }

    /// The groups that use a value, each with the role the value has there; `None` if something
    /// other than a group reads it from memory.
    fn consumers(&self, value: Value) -> Option<(BTreeMap<usize, Role>, u32)> {
        let mut groups = BTreeMap::new();
        let mut repeated = 0;
        for (consumer, position) in &self.uses[value.index()] {
            if self.is_only_stored(*consumer) {
                continue;
            }
            let Home::In(homes) = &self.homes[consumer.index()] else { return None };
            if *position != WINDOW && homes.iter().any(|group| self.groups[*group].update == Some(*consumer)) {
                return None;
            }
            repeated = repeated.max(self.depths[consumer.index()]);
            for group in homes {
                let role = self.role_of_operand(*consumer, *group);
                let merged = match groups.get(group) {
                    None => role,
                    Some(other) => merge(*other, role),
                };
                groups.insert(*group, merged);
            }
        }
        Some((groups, repeated))
    }

    /// Whether a node is another view of stored elements, which nothing in the region reads.
    fn is_only_stored(&self, node: NodeId) -> bool {
        self.homes[node.index()] == Home::Alias
            && self.uses[self.region.nodes[node.index()].results[0].index()].is_empty()
    }

    fn role_of_operand(&self, consumer: NodeId, group: usize) -> Role {
        let group = &self.groups[group];
        if group.anchor == Some(consumer) {
            return Role::Reduced;
        }
        if group.update == Some(consumer) || self.is_stored_by_parts(consumer, group) {
            return Role::Epilogue;
        }
        match group.members[&consumer] {
            Role::Reduced => Role::Reduced,
            Role::Viewed => Role::Viewed,
            Role::Epilogue if self.class(consumer) == Class::Elementwise => Role::Epilogue,
            Role::Epilogue => Role::Viewed,
        }
    }

    fn class(&self, node: NodeId) -> Class {
        match self.region.nodes[node.index()].op.primitive() {
            Some(primitive) => primitive.info().class,
            None => self.region.nodes[node.index()].op.info().class,
        }
    }

    fn place_map(&mut self, id: NodeId, class: Class) -> Home {
        let value = self.region.nodes[id.index()].results[0];
        if class == Class::Source && !self.stored[value.index()] {
            return Home::Everywhere;
        }
        if self.what == Fuse::Nothing {
            return self.new_group(id, None);
        }
        let Some((mut groups, repeated)) = self.consumers(value) else { return self.new_store(id) };
        if groups.len() > 1
            && matches!(class, Class::Elementwise | Class::Random)
            && let Some(group) = self.merge(&groups, &self.region.ty(value).shape)
        {
            groups = BTreeMap::from([(group, Role::Epilogue)]);
        }
        if self.stored[value.index()] {
            return self.join_as_sibling(id, value, &groups).unwrap_or_else(|| self.new_store(id));
        }
        let single = groups.len() == 1;
        if let Some(reason) = groups.iter().find_map(|(group, role)| self.refuse(id, class, *group, *role)) {
            if single {
                self.refusals.push((id, reason));
            }
            return self.new_store(id);
        }
        let op = &self.region.nodes[id.index()].op;
        // To repeat a value along axes where it is used costs nothing, however often.
        let repeatable = is_cheap(op) && (repeated < REPEATED || matches!(op, Op::Broadcast(_)));
        if !single && !repeatable {
            return self.new_store(id);
        }
        for (group, role) in &groups {
            self.groups[*group].members.insert(id, *role);
        }
        self.depths[id.index()] = if single || class == Class::View { repeated } else { repeated + 1 };
        Home::In(groups.into_keys().collect())
    }

    /// A group for a map whose value is stored: over the parts of a concatenation, so that what makes
    /// them can be a part of it.
    fn new_store(&mut self, id: NodeId) -> Home {
        let home = self.new_group(id, None);
        let node = &self.region.nodes[id.index()];
        let Op::Concat(concat) = &node.op else { return home };
        let part = &self.region.ty(node.args[0]).shape;
        let alike = node.args.iter().all(|arg| self.region.ty(*arg).shape == *part);
        let along_last = concat.axis + 1 == part.len();
        let wide = !along_last || part[concat.axis].as_const().is_some_and(|extent| extent >= PART_EXTENT);
        if let Some(group) = self.groups.last_mut().filter(|_| alike && wide && node.args.len() <= PARTS) {
            group.domain = part.clone();
        }
        home
    }

    /// Whether a group stores a concatenation part by part.
    fn is_stored_by_parts(&self, node: NodeId, group: &Group) -> bool {
        let node = &self.region.nodes[node.index()];
        let Op::Concat(_) = node.op else { return false };
        group.roots.contains(&node.results[0]) && group.domain == self.region.ty(node.args[0]).shape
    }

    /// Why a node must not be computed inside a group.
    fn refuse(&self, id: NodeId, class: Class, number: usize, role: Role) -> Option<&'static str> {
        let group = &self.groups[number];
        if group.members.len() >= MEMBERS {
            return Some("the group is large enough");
        }
        if self.cuts_too_often(id, number) {
            return Some("it would be cut too often");
        }
        if class == Class::Random && role != Role::Epilogue {
            return Some("random numbers would be drawn more than once");
        }
        let Some(anchor) = group.anchor.filter(|_| role == Role::Reduced) else {
            return (role == Role::Viewed && class == Class::Scatter).then_some("it would be repeated");
        };
        match self.definitions[anchor.index()] {
            Some(Definition::Dot { .. }) if class != Class::View => Some("a contraction reads each element many times"),
            Some(Definition::Dot { .. }) if matches!(self.region.nodes[id.index()].op, Op::Concat(_)) => {
                Some("a contraction reads each element many times")
            }
            Some(Definition::Best { .. }) if !is_cheap(&self.region.nodes[id.index()].op) => {
                Some("windows read each element more than once")
            }
            _ => None,
        }
    }

    /// A stored value whose only other readers are in one group over the same domain is stored by that group.
    fn join_as_sibling(&mut self, id: NodeId, value: Value, groups: &BTreeMap<usize, Role>) -> Option<Home> {
        let (group, role) = groups.iter().next().filter(|_| groups.len() == 1)?;
        let same_shape = self.region.ty(value).shape == self.groups[*group].domain;
        let is_alias = |n: NodeId| self.homes[n.index()] == Home::Alias && !self.is_only_stored(n);
        let aliased = self.uses[value.index()].iter().any(|(n, _)| is_alias(*n));
        let large = self.groups[*group].members.len() >= MEMBERS || self.cuts_too_often(id, *group);
        if *role != Role::Epilogue || !same_shape || aliased || large {
            return None;
        }
        self.groups[*group].members.insert(id, Role::Epilogue);
        self.groups[*group].roots.insert(0, value);
        Some(Home::In(BTreeSet::from([*group])))
    }

    fn place_anchor(&mut self, id: NodeId) -> Home {
        let results = &self.region.nodes[id.index()].results;
        let used: Vec<Value> = results.iter().copied().filter(|result| self.is_used(*result)).collect();
        let group = used.first().filter(|_| self.what == Fuse::ByClass).and_then(|first| {
            let group = self.epilogue_of(*first)?;
            let others = used[1..].iter().map(|other| (*other, false)).collect();
            (!self.needs(group, others, BTreeSet::new())).then_some(group)
        });
        let Some(group) = group else { return self.new_group(id, Some(id)) };
        let roots = used.iter().enumerate().filter(|(at, result)| *at > 0 || self.stored[result.index()]);
        let roots = roots.map(|(_, result)| *result).collect::<Vec<_>>();
        self.groups[group].roots.splice(0..0, roots);
        self.groups[group].anchor = Some(id);
        self.groups[group].members.insert(id, Role::Epilogue);
        Home::In(BTreeSet::from([group]))
    }

    fn is_used(&self, value: Value) -> bool {
        self.stored[value.index()] || !self.uses[value.index()].is_empty()
    }

    /// The one group that computes on from a value, element by element and without an anchor yet; several
    /// are made one.
    fn epilogue_of(&mut self, value: Value) -> Option<usize> {
        let (groups, _) = self.consumers(value)?;
        let domain = &self.region.ty(value).shape;
        if groups.len() > 1 {
            return self.merge(&groups, domain);
        }
        let (group, role) = groups.into_iter().next()?;
        let fits = self.groups[group].anchor.is_none() && self.groups[group].domain == *domain;
        (role == Role::Epilogue && fits).then_some(group)
    }

    fn new_group(&mut self, id: NodeId, anchor: Option<NodeId>) -> Home {
        let node = &self.region.nodes[id.index()];
        let roots: Vec<Value> = node.results.iter().copied().filter(|value| self.is_used(*value)).collect();
        let members = BTreeMap::from([(id, Role::Epilogue)]);
        let domain = self.region.ty(node.results[0]).shape.clone();
        self.groups.push(Group { anchor, update: None, domain, roots, members });
        Home::In(BTreeSet::from([self.groups.len() - 1]))
    }

    fn new_update(&mut self, id: NodeId) -> Home {
        let window = self.region.nodes[id.index()].args[WINDOW];
        let home = self.new_group(id, None);
        if let Some(group) = self.groups.last_mut() {
            group.update = Some(id);
            group.domain = self.region.ty(window).shape.clone();
        }
        home
    }

    fn finish(self) -> Fusion {
        let (region, mut groups, mut loops, mut calls) = (self.region, self.groups, self.loops, self.calls);
        groups.retain(|group| !group.roots.is_empty());
        groups.sort_by_key(|group| group.place(region));
        loops.sort_unstable();
        calls.sort_unstable();
        Fusion { groups, loops, calls, definitions: self.definitions, refusals: self.refusals }
    }
}

impl Group {
    /// The last node whose value it stores: it runs in that node's place.
    pub fn place(&self, region: &Region) -> Option<NodeId> {
        let node = |root: &Value| match region.values[root.index()].def {
            Def::Node(node, _) => Some(node),
            Def::Param(_) | Def::Hole => None,
        };
        self.roots.iter().filter_map(node).max()
    }
}

fn merge(a: Role, b: Role) -> Role {
    match (a, b) {
        (Role::Reduced, _) | (_, Role::Reduced) => Role::Reduced,
        (Role::Viewed, _) | (_, Role::Viewed) => Role::Viewed,
        (Role::Epilogue, Role::Epilogue) => Role::Epilogue,
    }
}
