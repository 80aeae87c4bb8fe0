//! The order of a scope's items: that of the nodes whose places they take, but what may write over a
//! value comes after everything else that reads it, where that is possible; and what is computed of
//! values that live on anyway comes right before its first reader.

use super::scope::{Item, Scopes};
use crate::fuse::storage;
use crate::nest::Source;
use mlc_ir::graph::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The items of a scope in their order.
pub(super) fn order(scopes: &Scopes<'_>, scope: usize) -> Vec<Item> {
    let mut items = scopes.list[scope].items.clone();
    items.sort_by_key(|item| match item {
        Item::Group(group) => scopes.list[scope].fusion.groups[*group].place(scopes.list[scope].region),
        Item::Loop(body) => scopes.list[*body].parent.map(|(_, node)| node),
        Item::Call(node) => Some(*node),
    });
    let mut graph = Precedence::new(scopes, scope, &items);
    for (old, writer) in overwrites(scopes, scope, &items) {
        for reader in graph.readers.get(&old).cloned().unwrap_or_default() {
            graph.put_before(reader, writer);
        }
    }
    let mut order = graph.sorted();
    put_late(&mut order, &graph, &|at| last_readers(scopes, scope, &items, &graph, at));
    order.into_iter().map(|at| items[at]).collect()
}

/// How far an item is moved at most.
const FAR: usize = 64;

/// Moves items whose operands live on behind what doesn't need them: what they make is then near.
fn put_late(order: &mut [usize], graph: &Precedence, reads_until: &dyn Fn(usize) -> Option<Vec<usize>>) {
    let mut position = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, at)| position[*at] = place);
    for place in (0..order.len()).rev() {
        let item = order[place];
        let Some(first) = graph.after[item].iter().map(|at| position[*at]).min() else { continue };
        let Some(others) = reads_until(item).filter(|_| (place + 2..=place + FAR).contains(&first)) else { continue };
        if others.iter().all(|reader| position[*reader] >= first) {
            order[place..first].rotate_left(1);
            (place..first).for_each(|place| position[order[place]] = place);
        }
    }
}

/// For a kernel's group, a reader of each operand that the region itself makes, the last in the order of nodes;
/// `None` if there is no other.
fn last_readers(
    scopes: &Scopes<'_>,
    scope: usize,
    items: &[Item],
    graph: &Precedence,
    at: usize,
) -> Option<Vec<usize>> {
    let Item::Group(group) = items[at] else { return None };
    if scopes.update(scope, group).is_some() {
        return None;
    }
    let made = reads(scopes, scope, items[at]).into_iter().filter(|value| scopes.item_of(scope, *value).is_some());
    made.map(|value| graph.readers.get(&value)?.iter().copied().filter(|reader| *reader != at).max()).collect()
}

/// The values that an item reads from memory.
pub(super) fn reads(scopes: &Scopes<'_>, scope: usize, item: Item) -> Vec<Value> {
    let region = scopes.list[scope].region;
    let values: Vec<Value> = match item {
        Item::Loop(body) => scopes.node(body).args.to_vec(),
        Item::Call(node) => region.nodes[node.index()].args.to_vec(),
        Item::Group(group) => {
            let pending = scopes.list[scope].groups[group].iter();
            let loads = pending.clone().flat_map(|pending| &pending.reads).filter_map(|source| match source {
                Source::Value(value) => Some(*value),
                Source::Copy(_) => None,
            });
            let starts = pending.flat_map(|pending| &pending.nest.window).flat_map(|window| &window.starts);
            let old = scopes.update(scope, group).map(|(old, _)| old);
            loads.chain(starts.map(|start| start.value)).chain(old).collect()
        }
    };
    values.into_iter().map(|value| storage(region, value)).collect()
}

/// Values and the positions of the items that could write over them: updates, loops that carry them on,
/// and what makes the next value of a carry.
fn overwrites(scopes: &Scopes<'_>, scope: usize, items: &[Item]) -> Vec<(Value, usize)> {
    let it = &scopes.list[scope];
    let mut found = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Group(group) => found.extend(scopes.update(scope, *group).map(|(old, _)| (old, at))),
            Item::Loop(body) => {
                let args = &scopes.node(*body).args[scopes.op(*body).carry_args()];
                found.extend(args.iter().map(|arg| (storage(it.region, *arg), at)));
            }
            Item::Call(_) => {}
        }
    }
    if it.parent.is_some() {
        let op = scopes.op(scope);
        for (param, result) in op.carry_params().zip(op.carry_results()) {
            let maker = scopes.item_of(scope, it.region.results[result]);
            let at = items.iter().position(|item| Some(*item) == maker);
            found.extend(at.map(|at| (it.region.params[param], at)));
        }
    }
    found
}

/// Which items must run before which.
struct Precedence {
    after: Vec<Vec<usize>>,
    readers: BTreeMap<Value, Vec<usize>>,
}

impl Precedence {
    fn new(scopes: &Scopes<'_>, scope: usize, items: &[Item]) -> Precedence {
        let position: BTreeMap<Item, usize> = items.iter().enumerate().map(|(at, item)| (*item, at)).collect();
        let mut graph = Precedence { after: vec![Vec::new(); items.len()], readers: BTreeMap::new() };
        for (at, item) in items.iter().enumerate() {
            for value in reads(scopes, scope, *item) {
                graph.readers.entry(value).or_default().push(at);
                // An update reads what it is about to write over.
                let maker = scopes.item_of(scope, value).and_then(|maker| position.get(&maker));
                if let Some(maker) = maker.filter(|maker| **maker != at) {
                    graph.after[*maker].push(at);
                }
            }
        }
        graph
    }

    /// Unless it contradicts what is known.
    fn put_before(&mut self, first: usize, then: usize) {
        if first != then && !self.reaches(then, first) {
            self.after[first].push(then);
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.after.len()];
        let mut stack = vec![from];
        while let Some(at) = stack.pop() {
            if at == to {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                stack.extend(&self.after[at]);
            }
        }
        false
    }

    /// The first possible one comes next.
    fn sorted(&self) -> Vec<usize> {
        let mut waits = vec![0usize; self.after.len()];
        self.after.iter().flatten().for_each(|at| waits[*at] += 1);
        let mut free: BinaryHeap<Reverse<usize>> = (0..waits.len()).filter(|at| waits[*at] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(waits.len());
        while let Some(Reverse(at)) = free.pop() {
            order.push(at);
            for next in &self.after[at] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    free.push(Reverse(*next));
                }
            }
        }
        if order.len() < waits.len() {
            mlc_ir::internal_error("lower", "groups that wait for each other");
        }
        order
    }
}
