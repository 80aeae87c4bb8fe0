//! Who reads a value, and what it is known to be.

use crate::graph::{Region, Value};
use crate::ops::Op;
use crate::scalar::Literal;

/// The readers of each value of a region.
pub(super) struct Uses {
    readers: Vec<Vec<usize>>,
    result: Vec<bool>,
}

impl Uses {
    pub fn new(region: &Region) -> Uses {
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); region.values.len()];
        for (at, node) in region.nodes.iter().enumerate() {
            for arg in &node.args {
                let of_arg = &mut readers[arg.index()];
                if of_arg.last() != Some(&at) {
                    of_arg.push(at);
                }
            }
        }
        let mut result = vec![false; region.values.len()];
        region.results.iter().for_each(|value| result[value.index()] = true);
        Uses { readers, result }
    }

    /// Positions of the nodes that read a value, in order; `None` if what runs the region reads it too.
    pub fn readers(&self, value: Value) -> Option<&[usize]> {
        (!self.result[value.index()]).then(|| &self.readers[value.index()][..])
    }
}

/// The number that every element of a value is.
pub(super) fn splat(region: &Region, value: Value) -> Option<Literal> {
    let node = region.producer(value)?;
    match &node.op {
        Op::Constant(op) => Some(op.value),
        Op::Broadcast(_) => splat(region, node.args[0]),
        _ => None,
    }
}
