//! Values that a backward pass reads but could make again for nothing are made again.
//!
//! Where a gradient begins, what the nodes before it made and the nodes behind it read would be kept
//! between. A cut ([`crate::autodiff::keep`]) says which values suffice; the rest, elementwise work,
//! is repeated right before its first reader, into whose kernel it goes. What a contraction or
//! another op reads that computes nothing on the way is kept: to repeat it would be a kernel more.
//! Bodies of loops are not looked at: their gradients chose what to stack.

use crate::autodiff;
use crate::autodiff::keep::{Price, cheapest};
use crate::cost::{Typical, is_repeatable};
use crate::flow::producer;
use crate::graph::{Def, Epoch, Graph, Region, Value};
use crate::ops::Class;
use crate::rewrite::Cursor;

/// The pass.
pub fn remat(graph: &Graph) -> Graph {
    let typical = Typical::of(graph);
    let mut regions = graph.regions.clone();
    let epochs = graph.regions.iter().flat_map(|region| &region.nodes).map(|node| node.epoch);
    let mut last = epochs.max().unwrap_or_default();
    for entry in &graph.entries {
        let region = &mut regions[entry.region.index()];
        for start in starts(region).into_iter().rev() {
            last.0 += 1;
            if let Some(new) = repeated(region, start, &typical, last) {
                *region = new;
            }
        }
    }
    Graph { regions, ..graph.clone() }
}

/// Less of all nodes than this between two gradients belongs to them: a rule that the program gives,
/// what another pass wrote.
const PART: usize = 16;

/// Where gradients begin: nodes of theirs that stand behind many others.
fn starts(region: &Region) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut outside = 0;
    for (at, node) in region.nodes.iter().enumerate() {
        if node.made_by != autodiff::PASS {
            outside += 1;
        } else if outside * PART >= region.nodes.len() {
            starts.push(at);
            outside = 0;
        }
    }
    starts
}

/// The region with what is cheaper repeated behind `start` repeated there, as nodes of `epoch`.
fn repeated(region: &Region, start: usize, typical: &Typical, epoch: Epoch) -> Option<Region> {
    let before = |value: Value| producer(region, value).is_none_or(|id| id.index() < start);
    let mut stored = vec![false; region.values.len()];
    let mut read = Vec::new();
    for node in &region.nodes[start..] {
        for arg in node.args.iter().filter(|arg| before(**arg)) {
            stored[arg.index()] |= reads_memory(node.op.info().class);
            read.push(*arg);
        }
    }
    read.sort_unstable();
    read.dedup();
    let mut result = vec![false; region.values.len()];
    region.results.iter().for_each(|value| result[value.index()] = true);
    let price = |value: Value| match region.values[value.index()].def {
        Def::Param(_) | Def::Hole => Price::Nothing,
        Def::Node(..) if result[value.index()] => Price::Kept,
        Def::Node(id, _) => {
            let node = &region.nodes[id.index()];
            let repeatable = is_repeatable(&node.op) && node.epoch == Epoch::default();
            // A view of what is kept is no work; a scalar is not worth a thought.
            let moves = matches!(node.op.info().class, Class::Source | Class::View | Class::Alias);
            let small = typical.elements(region.ty(value)) <= 1;
            if repeatable && (moves || !stored[value.index()] && !small) { Price::Again } else { Price::Bytes }
        }
    };
    let kept = cheapest(region, typical, &read, price);
    let mut again =
        Again { region, start, epoch, is_kept: vec![false; region.values.len()], new: vec![None; region.values.len()] };
    kept.iter().for_each(|value| again.is_kept[value.index()] = true);
    let bytes =
        |values: &[Value]| values.iter().fold(0i64, |sum, value| sum.saturating_add(typical.bytes(region.ty(*value))));
    let held: Vec<Value> =
        read.iter().copied().filter(|value| price(*value) != Price::Nothing && !is_view(region, *value)).collect();
    (bytes(&kept) < bytes(&held)).then(|| again.write())
}

/// Whether an op reads its operands from memory, whatever made them.
fn reads_memory(class: Class) -> bool {
    match class {
        Class::Contraction | Class::Gather | Class::Scatter | Class::Window => true,
        Class::Loop | Class::Call | Class::Foreign => true,
        Class::Source | Class::Elementwise | Class::View | Class::Alias | Class::Reduce | Class::Random => false,
    }
}

fn is_view(region: &Region, value: Value) -> bool {
    region
        .producer(value)
        .is_some_and(|node| matches!(node.op.info().class, Class::Source | Class::View | Class::Alias))
}

struct Again<'a> {
    region: &'a Region,
    start: usize,
    epoch: Epoch,
    is_kept: Vec<bool>,
    /// What stands behind the start for a value made before it, once that is settled.
    new: Vec<Option<Value>>,
}

impl Again<'_> {
    fn write(mut self) -> Region {
        let mut cursor = Cursor::new(self.region);
        let (before, behind) = self.region.nodes.split_at(self.start);
        before.iter().for_each(|node| cursor.copy(node));
        for node in behind {
            let args: Vec<Value> = node.args.iter().map(|arg| self.value(&mut cursor, *arg)).collect();
            let types = cursor.types(node);
            let results = cursor.b.copy(node, &args, types);
            cursor.put(node, &results);
        }
        cursor.finish(&self.region.results)
    }

    /// What a node behind the start reads for a value.
    fn value(&mut self, cursor: &mut Cursor<'_>, value: Value) -> Value {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            if self.new[value.index()].is_some() {
                continue;
            }
            let node = match producer(self.region, value) {
                Some(id) if id.index() < self.start && !self.is_kept[value.index()] => &self.region.nodes[id.index()],
                _ => {
                    self.new[value.index()] = Some(cursor.get(value));
                    continue;
                }
            };
            let missing: Vec<Value> = node.args.iter().copied().filter(|arg| self.new[arg.index()].is_none()).collect();
            if !missing.is_empty() {
                open.push(value);
                open.extend(missing);
                continue;
            }
            let args: Vec<Value> = node.args.iter().filter_map(|arg| self.new[arg.index()]).collect();
            let same = node.args.iter().zip(&args).all(|(old, new)| cursor.get(*old) == *new);
            let moves = matches!(node.op.info().class, Class::Source | Class::View | Class::Alias);
            if same && moves {
                self.new[value.index()] = Some(cursor.get(value));
                continue;
            }
            let mut copy = node.clone();
            copy.epoch = self.epoch;
            let types = cursor.types(node);
            for (old, new) in node.results.iter().zip(cursor.b.copy(&copy, &args, types)) {
                self.new[old.index()] = Some(new);
            }
        }
        match self.new[value.index()] {
            Some(value) => value,
            None => crate::internal_error("remat", "a value is not there"),
        }
    }
}
