//! Making a new region from an old one: the tools of passes and of autodiff.

use crate::builder::Builder;
use crate::graph::{Def, Node, NodeId, Region, Value};
use crate::ops::Types;
use smallvec::SmallVec;

/// Reads an old region from front to back and writes a new one. Every node of the old region is
/// either copied or replaced by values of the new one.
pub struct Cursor<'a> {
    /// What is read.
    pub old: &'a Region,
    /// What is written.
    pub b: Builder,
    new: Vec<Option<Value>>,
}

impl<'a> Cursor<'a> {
    /// At the front, with the same parameters.
    pub fn new(old: &'a Region) -> Cursor<'a> {
        let mut cursor = Cursor::empty(old);
        for param in &old.params {
            let value = cursor.b.param(old.ty(*param).clone());
            cursor.set(*param, value);
        }
        cursor
    }

    /// At the front, without parameters.
    pub fn empty(old: &'a Region) -> Cursor<'a> {
        Cursor { old, b: Builder::new(&old.name), new: vec![None; old.values.len()] }
    }

    /// Says what stands for a value of the old region.
    pub fn set(&mut self, old: Value, new: Value) {
        self.new[old.index()] = Some(new);
    }

    /// What stands for a value of the old region.
    pub fn get(&self, old: Value) -> Value {
        match self.new[old.index()] {
            Some(value) => value,
            None => {
                crate::internal_error("rewrite", &format!("{old:?} of region {} is not written yet", self.old.name))
            }
        }
    }

    /// Whether something stands for a value of the old region.
    pub fn has(&self, old: Value) -> bool {
        self.new[old.index()].is_some()
    }

    /// What stands for the operands of a node.
    pub fn args(&self, node: &Node) -> SmallVec<[Value; 3]> {
        node.args.iter().map(|arg| self.get(*arg)).collect()
    }

    /// Types of the results of a node.
    pub fn types(&self, node: &Node) -> Types {
        node.results.iter().map(|result| self.old.ty(*result).clone()).collect()
    }

    /// Writes a node as it is.
    pub fn copy(&mut self, node: &Node) {
        let args = self.args(node);
        let results = self.b.copy(node, &args, self.types(node));
        self.put(node, &results);
    }

    /// Says what stands for the results of a node.
    pub fn put(&mut self, node: &Node, values: &[Value]) {
        for (old, new) in node.results.iter().zip(values) {
            self.set(*old, *new);
        }
    }

    /// Makes new nodes look as if they came from the place of `node`.
    pub fn at(&mut self, node: &Node, pass: &'static str) {
        (self.b.span, self.b.made_by, self.b.epoch) = (node.span, pass, node.epoch);
    }

    /// The new region, with what stands for `results`.
    pub fn finish(self, results: &[Value]) -> Region {
        let results = results.iter().map(|result| self.get(*result)).collect();
        self.b.finish(results)
    }
}

/// The part of a region that `results` need, as a region with the given values (parameters or not)
/// for parameters, in that order.
pub fn part(region: &Region, name: &str, params: &[Value], results: &[Value]) -> Region {
    let mut cursor = Cursor::empty(region);
    cursor.b = Builder::new(name);
    for param in params {
        let value = cursor.b.param(region.ty(*param).clone());
        cursor.set(*param, value);
    }
    cursor.copy_needed(params, results);
    cursor.finish(results)
}

impl Cursor<'_> {
    /// Copies the nodes that `results` need when `given` are there.
    pub(crate) fn copy_needed(&mut self, given: &[Value], results: &[Value]) {
        for id in needed(self.old, given, results) {
            self.copy_missing(&self.old.nodes[id.index()]);
        }
    }

    /// Copies a node, but leaves results that something stands for already.
    pub(crate) fn copy_missing(&mut self, node: &Node) {
        let args = self.args(node);
        let copies = self.b.copy(node, &args, self.types(node));
        for (old, new) in node.results.iter().zip(copies) {
            if !self.has(*old) {
                self.set(*old, new);
            }
        }
    }
}

/// The nodes that `results` need when `given` are there, in order.
pub fn needed(region: &Region, given: &[Value], results: &[Value]) -> Vec<NodeId> {
    let mut wanted = vec![false; region.values.len()];
    let mut known = vec![false; region.values.len()];
    for value in given {
        known[value.index()] = true;
    }
    for value in results {
        wanted[value.index()] = true;
    }
    let mut nodes = Vec::new();
    for (at, node) in region.nodes.iter().enumerate().rev() {
        if node.results.iter().any(|result| wanted[result.index()] && !known[result.index()]) {
            nodes.push(NodeId(at as u32));
            for arg in &node.args {
                wanted[arg.index()] = true;
            }
        }
    }
    nodes.reverse();
    nodes
}

/// Which parameters `results` need, by position.
pub fn needed_params(region: &Region, results: &[Value]) -> Vec<bool> {
    let mut used = vec![false; region.params.len()];
    let mut mark = |value: Value| {
        if let Def::Param(at) = region.values[value.index()].def {
            used[at as usize] = true;
        }
    };
    results.iter().for_each(|value| mark(*value));
    for id in needed(region, &[], results) {
        region.nodes[id.index()].args.iter().for_each(|value| mark(*value));
    }
    used
}

/// Which values of a region reach one of `results`.
pub fn reaching(region: &Region, results: &[Value]) -> Vec<bool> {
    let mut reaches = vec![false; region.values.len()];
    for value in results {
        reaches[value.index()] = true;
    }
    for node in region.nodes.iter().rev() {
        if node.results.iter().any(|result| reaches[result.index()]) {
            for arg in &node.args {
                reaches[arg.index()] = true;
            }
        }
    }
    reaches
}
