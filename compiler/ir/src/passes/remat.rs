//! Values that a backward pass reads but could make again for nothing are made again.
//!
//! Where a gradient begins, what the nodes before it made and the nodes behind it read would be kept
//! between. A cut ([`crate::autodiff::keep`]) says which values suffice; the rest, elementwise work,
//! is repeated right before its first reader, into whose kernel it goes. What a contraction or
//! another op reads that computes nothing on the way is kept: to repeat it would be a kernel more. But
//! where scores leave every cache, they and what is made of them are made again.
//! Bodies of loops are not looked at: their gradients chose what to stack.
//!
//! Where memory is short more is repeated: parts of the forward pass that the caller names
//! ([`recompute`], `segments` proposes them).

use crate::autodiff;
use crate::autodiff::keep::{Price, cheapest};
use crate::cost::{Typical, is_repeatable, of_roomy};
use crate::flow::producer;
use crate::graph::{Def, Epoch, Graph, Node, Region, Value};
use crate::masks;
use crate::ops::Class;
use crate::rewrite::Cursor;
use crate::ty::Type;
use std::ops::Range;

/// The pass.
pub fn remat(graph: &Graph) -> Graph {
    recompute(graph, &[])
}

/// The pass, and besides: whatever is made in the parts that are named is computed again for the
/// backward pass, contractions and all, from what goes into the part.
pub fn recompute(graph: &Graph, parts: &[Parts]) -> Graph {
    let typical = Typical::of(graph);
    let mut regions = graph.regions.clone();
    let epochs = graph.regions.iter().flat_map(|region| &region.nodes).map(|node| node.epoch);
    let mut last = epochs.max().unwrap_or_default();
    for (number, entry) in graph.entries.iter().enumerate() {
        let region = &mut regions[entry.region.index()];
        let parts = parts.iter().find(|parts| parts.entry == number).map_or(&[][..], |parts| &parts.nodes);
        for start in starts(region).into_iter().rev() {
            last.0 += 1;
            if let Some(new) = repeated(&Backward::new(region, start, parts, &typical), last) {
                *region = new;
            }
        }
    }
    Graph { regions, ..graph.clone() }
}

/// Parts of the forward passes of an entry that are computed again behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Position of the entry.
    pub entry: usize,
    /// Nodes of its region, in order.
    pub nodes: Vec<Range<usize>>,
}

/// Less of all nodes than this between two gradients belongs to them: a rule that the program gives,
/// what another pass wrote.
const PART: usize = 16;

/// Where gradients begin: nodes of theirs that stand behind many others.
pub(super) fn starts(region: &Region) -> Vec<usize> {
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

/// What a backward pass reads of what stands before it.
pub(super) struct Backward<'a> {
    region: &'a Region,
    start: usize,
    parts: &'a [Range<usize>],
    typical: &'a Typical,
    /// In order.
    read: Vec<Value>,
    /// Read from memory, whatever made it.
    stored: Vec<bool>,
    result: Vec<bool>,
    /// The last node of the forward pass that reads a value or a view of it.
    last_read: Vec<usize>,
    /// Made of contractions that take no longer than their results' way to memory and back.
    roomy: Vec<bool>,
}

impl<'a> Backward<'a> {
    pub fn new(region: &'a Region, start: usize, parts: &'a [Range<usize>], typical: &'a Typical) -> Backward<'a> {
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
        let last_read = last_reads(region, start);
        let roomy = of_roomy(region, typical);
        Backward { region, start, parts, typical, read, stored, result, last_read, roomy }
    }

    fn price(&self, value: Value) -> Price {
        match self.region.values[value.index()].def {
            Def::Param(_) | Def::Hole => Price::Nothing,
            Def::Node(..) if self.result[value.index()] => Price::Kept,
            Def::Node(id, _) => {
                let node = &self.region.nodes[id.index()];
                // A view of what is kept is no work; a scalar is not worth a thought.
                let small = self.typical.elements(self.region.ty(value)) <= 1;
                let again = match self.part_of(id.index()) {
                    _ if node.epoch != Epoch::default() => false,
                    _ if moves(node) => is_repeatable(&node.op),
                    Some(part) => self.last_read[value.index()] < part.end,
                    None if self.roomy[value.index()] => true,
                    None => is_repeatable(&node.op) && !self.stored[value.index()] && !small,
                };
                if again { Price::Again } else { Price::Bytes }
            }
        }
    }

    /// The part that a node belongs to. What autodiff made, or calls what nobody knows, is never done again.
    fn part_of(&self, at: usize) -> Option<&Range<usize>> {
        let node = &self.region.nodes[at];
        let fit = node.made_by != autodiff::PASS && !matches!(node.op.info().class, Class::Call | Class::Foreign);
        self.parts.iter().find(|part| fit && part.contains(&at))
    }

    /// The values that suffice.
    pub fn kept(&self) -> Vec<Value> {
        let bytes = |value: Value| masks::kept_bytes(self.typical, self.region.ty(value));
        cheapest(self.region, &self.read, bytes, |value| self.price(value))
    }

    /// What would be kept if nothing were done again.
    fn held(&self) -> Vec<Value> {
        let held = |value: &Value| self.price(*value) != Price::Nothing && !is_view(self.region, *value);
        self.read.iter().copied().filter(held).collect()
    }

    /// Whether keeping `kept` takes less than keeping all that is read.
    fn spares(&self, kept: &[Value]) -> bool {
        let sum = |values: &[Value], bytes: &dyn Fn(&Type) -> i64| {
            values.iter().map(|value| bytes(self.region.ty(*value))).fold(0, i64::saturating_add)
        };
        let kept = sum(kept, &|ty| masks::kept_bytes(self.typical, ty));
        kept < sum(&self.held(), &|ty| self.typical.bytes(ty))
    }
}

/// For each value the last node before `start` that reads it or a view of it, gradients apart.
pub(super) fn last_reads(region: &Region, start: usize) -> Vec<usize> {
    let mut last = vec![0; region.values.len()];
    for (at, node) in region.nodes[..start].iter().enumerate().rev() {
        if node.made_by == autodiff::PASS {
            continue;
        }
        let read = match node.results.first() {
            Some(view) if moves(node) => last[view.index()],
            _ => at,
        };
        for arg in &node.args {
            last[arg.index()] = last[arg.index()].max(read);
        }
    }
    last
}

/// The region with what is cheaper repeated behind the start repeated there, as nodes of `epoch`.
fn repeated(backward: &Backward<'_>, epoch: Epoch) -> Option<Region> {
    let (region, start) = (backward.region, backward.start);
    let kept = backward.kept();
    let none = vec![None; region.values.len()];
    let is_kept = vec![false; region.values.len()];
    let mut again = Again { region, start, epoch, typical: backward.typical, is_kept, bits: none.clone(), new: none };
    kept.iter().for_each(|value| again.is_kept[value.index()] = true);
    backward.spares(&kept).then(|| again.write())
}

/// Whether a node computes nothing.
pub(super) fn moves(node: &Node) -> bool {
    matches!(node.op.info().class, Class::Source | Class::View | Class::Alias)
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
    region.producer(value).is_some_and(moves)
}

struct Again<'a> {
    region: &'a Region,
    start: usize,
    epoch: Epoch,
    typical: &'a Typical,
    is_kept: Vec<bool>,
    /// What is kept instead of truth values.
    bits: Vec<Option<Value>>,
    /// What stands behind the start for a value made before it, once that is settled.
    new: Vec<Option<Value>>,
}

impl Again<'_> {
    fn write(mut self) -> Region {
        let mut cursor = Cursor::new(self.region);
        let (before, behind) = self.region.nodes.split_at(self.start);
        for node in before {
            cursor.copy(node);
            self.keep(&mut cursor, node);
        }
        for node in behind {
            let args: Vec<Value> = node.args.iter().map(|arg| self.value(&mut cursor, *arg)).collect();
            let types = cursor.types(node);
            let results = cursor.b.copy(node, &args, types);
            cursor.put(node, &results);
        }
        cursor.finish(&self.region.results)
    }

    /// Makes bits of the truth values that are kept of a node.
    fn keep(&mut self, cursor: &mut Cursor<'_>, node: &Node) {
        let kept = node.results.iter().filter(|result| self.is_kept[result.index()]);
        for result in kept.filter(|result| !self.region.results.contains(result)) {
            let value = cursor.get(*result);
            cursor.at(node, "remat");
            self.bits[result.index()] = masks::packed(&mut cursor.b, self.typical, value);
        }
    }

    /// A value that is kept, as the backward pass reads it.
    fn kept(&self, cursor: &mut Cursor<'_>, value: Value) -> Value {
        let Some(bits) = self.bits[value.index()] else { return cursor.get(value) };
        let epoch = std::mem::replace(&mut cursor.b.epoch, self.epoch);
        let ty = cursor.b.ty(bits).clone();
        let truths = masks::unpacked(&mut cursor.b, self.region.ty(value), &ty, bits);
        cursor.b.epoch = epoch;
        truths
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
                    self.new[value.index()] = Some(self.kept(cursor, value));
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
            if same && moves(node) {
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
