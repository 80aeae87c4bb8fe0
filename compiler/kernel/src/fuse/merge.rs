//! Groups over one domain that become one, so that what several of them need is computed once and
//! stays in registers: the gates of a recurrent cell, the values of a backward step.

use super::cuts::CUTS;
use super::{Group, Home, MEMBERS, Role, Walk};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{NodeId, Value};
use std::collections::{BTreeMap, BTreeSet};

impl Walk<'_> {
    /// Makes the groups that use a value of shape `domain` element by element one, if they can be.
    /// Gives that group; the others are empty from then on.
    pub(super) fn merge(&mut self, uses: &BTreeMap<usize, Role>, domain: &[Dim]) -> Option<usize> {
        let fits = |(group, role): (&usize, &Role)| {
            let group = &self.groups[*group];
            *role == Role::Epilogue && group.anchor.is_none() && group.update.is_none() && group.domain == domain
        };
        let groups: Vec<usize> = uses.keys().copied().collect();
        let members: usize = groups.iter().map(|group| self.groups[*group].members.len()).sum();
        let apart = |a: &usize, b: &usize| a == b || !self.waits(*b, *a);
        let free = || groups.iter().all(|a| groups.iter().all(|b| apart(a, b)));
        let cuts: usize = groups.iter().map(|group| self.cuts(*group)).sum();
        if members >= MEMBERS || cuts > CUTS || !uses.iter().all(fits) || !free() {
            return None;
        }
        let (first, rest) = groups.split_first()?;
        rest.iter().for_each(|other| self.absorb(*first, *other));
        Some(*first)
    }

    /// Whether `group` needs what `first` stores, other than by a direct use of the same element.
    fn waits(&self, group: usize, first: usize) -> bool {
        let roots = self.groups[first].roots.iter().map(|root| (*root, true)).collect();
        self.needs(group, roots, BTreeSet::from([first]))
    }

    /// Whether `group` needs one of the values, those that are marked otherwise than by a direct use of the same
    /// element. What is known of the groups `seen` is not asked again.
    pub(super) fn needs(&self, group: usize, mut open: Vec<(Value, bool)>, mut seen: BTreeSet<usize>) -> bool {
        let Some(last) = self.groups[group].members.keys().next_back() else { return false };
        while let Some((value, direct)) = open.pop() {
            // A node behind the group's last is none of its members and leads to none.
            for (consumer, _) in self.uses[value.index()].iter().filter(|(consumer, _)| consumer <= last) {
                let results = self.region.nodes[consumer.index()].results.iter().map(|result| (*result, false));
                match &self.homes[consumer.index()] {
                    Home::Alias | Home::Region => open.extend(results),
                    Home::In(homes) if homes.contains(&group) && !self.reads_here(*consumer, group, direct) => {
                        return true;
                    }
                    Home::In(homes) => {
                        for home in homes.iter().filter(|home| **home != group) {
                            if seen.insert(*home) {
                                open.extend(self.groups[*home].roots.iter().map(|root| (*root, false)));
                            }
                        }
                    }
                    Home::Dead | Home::Everywhere => {}
                }
            }
        }
        false
    }

    fn reads_here(&self, consumer: NodeId, group: usize, direct: bool) -> bool {
        direct && self.role_of_operand(consumer, group) == Role::Epilogue
    }

    fn absorb(&mut self, into: usize, other: usize) {
        let Group { roots, members, .. } = std::mem::take(&mut self.groups[other]);
        for (member, role) in members {
            if let Home::In(homes) = &mut self.homes[member.index()] {
                homes.remove(&other);
                homes.insert(into);
            }
            let role = self.groups[into].members.get(&member).map_or(role, |known| super::merge(*known, role));
            self.groups[into].members.insert(member, role);
        }
        let group = &mut self.groups[into];
        group.roots.extend(roots);
        // A value stands before those that may be made from it.
        group.roots.sort_unstable();
    }
}
