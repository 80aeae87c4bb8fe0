//! Nodes as far as memory is concerned: a unit is a node whose results are stored, with all that
//! fusion will most likely compute on the way to it.

use super::peak;
use crate::cost::Typical;
use crate::flow::producer;
use crate::graph::{Graph, Node, Region, Value};
use crate::ops::{Class, Op};
use crate::passes::uses::Uses;
use crate::region_ops::Call;

/// More operands than this are not read by one kernel.
const OPERANDS: usize = 64;

/// The units of a region, in its order.
pub(super) struct Units {
    /// The node of each unit.
    roots: Vec<usize>,
    /// Units whose results a unit reads.
    pub operands: Vec<Vec<usize>>,
    /// Units that read a unit's results.
    pub readers: Vec<Vec<usize>>,
    /// Bytes of a unit's results.
    pub bytes: Vec<i64>,
    /// Bytes that a unit needs while it runs.
    while_running: Vec<i64>,
    /// Whether a unit's results are the region's.
    pub stays: Vec<bool>,
    /// Whether a node is a unit of its own.
    is_root: Vec<bool>,
}

impl Units {
    /// `replaces`: values that need no memory of their own.
    pub fn new(graph: &Graph, region: &Region, replaces: &[bool], typical: &Typical) -> Units {
        let uses = Uses::new(region);
        let mut is_root = vec![false; region.nodes.len()];
        // Of a node: the units it reads, and its own number if it is one.
        let mut reads: Vec<Vec<usize>> = Vec::with_capacity(region.nodes.len());
        let mut units = Units {
            roots: Vec::new(),
            operands: Vec::new(),
            readers: Vec::new(),
            bytes: Vec::new(),
            while_running: Vec::new(),
            stays: Vec::new(),
            is_root: Vec::new(),
        };
        for (at, node) in region.nodes.iter().enumerate() {
            let mut from: Vec<usize> = node
                .args
                .iter()
                .filter_map(|arg| producer(region, *arg))
                .flat_map(|id| reads[id.index()].iter().copied())
                .collect();
            from.sort_unstable();
            from.dedup();
            if from.len() <= OPERANDS && is_inside(region, node, &uses) {
                reads.push(from);
                continue;
            }
            is_root[at] = true;
            let number = units.roots.len();
            for unit in &from {
                units.readers[*unit].push(number);
            }
            units.roots.push(at);
            units.operands.push(from);
            units.readers.push(Vec::new());
            let bytes = |value: &Value| typical.bytes(region.ty(*value));
            let own = node.results.iter().filter(|result| !replaces[result.index()]);
            units.bytes.push(own.map(bytes).fold(0, i64::saturating_add));
            units.while_running.push(match (&node.op, node.regions.first()) {
                (Op::Loop(_) | Op::Call(Call { .. }), Some(body)) => peak(graph, graph.region(*body), typical),
                _ => 0,
            });
            units.stays.push(false);
            reads.push(vec![number]);
        }
        for id in region.results.iter().filter_map(|value| producer(region, *value)) {
            reads[id.index()].iter().for_each(|unit| units.stays[*unit] = true);
        }
        units.is_root = is_root;
        units
    }

    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// As they stand.
    pub fn in_order(&self) -> Vec<usize> {
        (0..self.len()).collect()
    }

    /// The most bytes alive at a time.
    pub fn peak(&self, order: &[usize]) -> i64 {
        let mut unread: Vec<usize> = self.readers.iter().map(Vec::len).collect();
        let (mut alive, mut peak) = (0i64, 0i64);
        for unit in order {
            alive = alive.saturating_add(self.bytes[*unit]);
            peak = peak.max(alive.saturating_add(self.while_running[*unit]));
            for operand in &self.operands[*unit] {
                unread[*operand] -= 1;
                if unread[*operand] == 0 && !self.stays[*operand] {
                    alive -= self.bytes[*operand];
                }
            }
            if unread[*unit] == 0 && !self.stays[*unit] {
                alive -= self.bytes[*unit];
            }
        }
        peak
    }

    /// The nodes of a unit that were not written before, marked as written.
    pub fn parts(&self, region: &Region, unit: usize, written: &mut [bool]) -> Vec<usize> {
        self.collect(region, vec![self.roots[unit]], written)
    }

    /// The nodes of no unit that results need.
    pub fn parts_of_results(&self, region: &Region, written: &mut [bool]) -> Vec<usize> {
        let results = region.results.iter().filter_map(|value| producer(region, *value)).map(|id| id.index());
        self.collect(region, results.collect(), written)
    }

    fn collect(&self, region: &Region, mut open: Vec<usize>, written: &mut [bool]) -> Vec<usize> {
        let mut parts = Vec::new();
        while let Some(node) = open.pop() {
            if std::mem::replace(&mut written[node], true) {
                continue;
            }
            parts.push(node);
            let inner = region.nodes[node].args.iter().filter_map(|arg| producer(region, *arg));
            open.extend(inner.map(|id| id.index()).filter(|id| !self.is_root[*id]));
        }
        parts
    }
}

/// Whether a node is computed inside the kernels that read it, as far as can be said before fusion.
fn is_inside(region: &Region, node: &Node, uses: &Uses) -> bool {
    let [result] = node.results.as_slice() else { return false };
    let reader = match uses.readers(*result) {
        Some([reader]) => Some(&region.nodes[*reader]),
        _ => None,
    };
    let read_by = |classes: &[Class]| reader.is_some_and(|node| classes.contains(&node.op.info().class));
    match node.op.info().class {
        Class::Source | Class::View | Class::Alias => true,
        Class::Elementwise => read_by(&[Class::Elementwise, Class::View, Class::Reduce, Class::Window]),
        Class::Reduce | Class::Contraction | Class::Window => {
            let same = |node: &Node| region.ty(node.results[0]).shape == region.ty(*result).shape;
            read_by(&[Class::Elementwise]) && reader.is_some_and(same)
        }
        Class::Gather | Class::Scatter | Class::Random | Class::Loop | Class::Call | Class::Foreign => false,
    }
}
