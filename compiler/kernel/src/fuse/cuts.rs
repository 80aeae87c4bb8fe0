//! How often concatenations and paddings cut the axes of what a group computes.
//!
//! An expression that is read through several views is in the nest once for each of them, with all cuts of
//! its own: a concatenation that is read by each part of another one would be there parts times parts.

use super::{Group, Walk};
use mlc_ir::graph::{NodeId, Value};
use mlc_ir::ops::{Class, Op};
use rustc_hash::{FxHashMap, FxHasher};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

/// A group is cut up to here. Innermost axes have no more cuts then than there are pieces that code is
/// written for; beyond, each element would ask for all of them.
pub(super) const CUTS: usize = 60;

/// A cut of an innermost axis goes through vectors, and counts for so many of others.
const INNERMOST: usize = 4;

/// The views through which a value is read, each a way from the group's roots. More of them than may be cut
/// are not told apart.
type Ways = BTreeSet<u64>;

impl Walk<'_> {
    /// Whether a group would be cut too often if a node became part of it.
    pub(super) fn cuts_too_often(&self, id: NodeId, group: usize) -> bool {
        let own = self.cuts_of(id);
        if own == 0 {
            return false;
        }
        let ways = self.ways(group);
        let read = self.ways_to(self.region.nodes[id.index()].results[0], group, &ways).len();
        own * read + self.cuts_along(group, &ways) > CUTS
    }

    /// How often the axes of a group are cut.
    pub(super) fn cuts(&self, group: usize) -> usize {
        if self.groups[group].members.keys().all(|member| self.cuts_of(*member) == 0) {
            return 0;
        }
        self.cuts_along(group, &self.ways(group))
    }

    fn cuts_along(&self, group: usize, ways: &FxHashMap<NodeId, Ways>) -> usize {
        let members = self.groups[group].members.keys();
        let by_parts = |member: &&NodeId| !self.is_stored_by_parts(**member, &self.groups[group]);
        members.filter(by_parts).map(|member| self.cuts_of(*member) * ways[member].len()).sum()
    }

    /// How often a node's own definition cuts an axis.
    fn cuts_of(&self, id: NodeId) -> usize {
        let node = &self.region.nodes[id.index()];
        let rank = self.region.ty(node.results[0]).rank();
        let weight = |axis: usize| if axis + 1 == rank { INNERMOST } else { 1 };
        match &node.op {
            Op::Concat(op) => (node.args.len() - 1) * weight(op.axis),
            Op::Pad(op) => {
                let ends = |axis: usize| usize::from(op.low[axis] != 0) + usize::from(op.high[axis] != 0);
                (0..rank).map(|axis| ends(axis) * weight(axis)).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// The ways to each member.
    fn ways(&self, group: usize) -> FxHashMap<NodeId, Ways> {
        let mut ways = FxHashMap::default();
        for member in self.groups[group].members.keys().rev() {
            let mut all = Ways::new();
            for result in &self.region.nodes[member.index()].results {
                all.extend(self.ways_to(*result, group, &ways));
            }
            ways.insert(*member, all);
        }
        ways
    }

    fn ways_to(&self, value: Value, group: usize, ways: &FxHashMap<NodeId, Ways>) -> Ways {
        let mut all = Ways::new();
        if self.groups[group].roots.contains(&value) {
            all.insert(0);
        }
        for (consumer, position) in &self.uses[value.index()] {
            let Some(known) = ways.get(consumer) else { continue };
            if self.is_read_in_place(*consumer, &self.groups[group]) {
                all.extend(known);
            } else {
                all.extend(known.iter().map(|way| through(*way, *consumer, *position)));
            }
            if all.len() > CUTS {
                break;
            }
        }
        all
    }

    /// Whether a node reads its operands at the element that it makes.
    fn is_read_in_place(&self, node: NodeId, group: &Group) -> bool {
        self.class(node) == Class::Elementwise || self.is_stored_by_parts(node, group)
    }
}

fn through(way: u64, view: NodeId, position: usize) -> u64 {
    let mut hasher = FxHasher::default();
    (way, view, position).hash(&mut hasher);
    hasher.finish()
}
