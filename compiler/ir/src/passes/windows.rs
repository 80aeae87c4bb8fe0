//! Adds to windows where they lie: `a + update_slice(0, d, …)` is `a` with `d` added in the window, which
//! costs the window and not all of `a`. Gradients of slices at run-time places come as such sums.

use crate::graph::{Def, Graph, Node, Region, Value};
use crate::ops::Op;
use crate::ops::slice_at::SliceAt;
use crate::passes::regions::bottom_up;
use crate::rewrite::Cursor;
use crate::scalar::BinaryOp;

const PASS: &str = "windows";

/// The pass.
pub fn windows(graph: &Graph) -> Graph {
    bottom_up(graph, |_, region| in_region(region))
}

fn in_region(region: &Region) -> Region {
    if !region.nodes.iter().any(|node| matches!(node.op, Op::UpdateSlice(_))) {
        return region.clone();
    }
    let sums = Sums::new(region);
    let mut cursor = Cursor::new(region);
    for node in &region.nodes {
        let terms = if is_sum(node) { sums.terms(node) } else { Vec::new() };
        let (windows, others): (Vec<Value>, Vec<Value>) = terms.iter().partition(|term| sums.is_window(**term));
        // A part of another sum is rewritten with it.
        let part = node.results.iter().any(|result| sums.is_part(*result));
        if windows.is_empty() || part || terms.len() < 2 {
            cursor.copy(node);
            continue;
        }
        cursor.at(node, PASS);
        let total = sum(&mut cursor, &others, &windows, region);
        cursor.put(node, &[total]);
    }
    cursor.finish(&region.results)
}

/// The sum of all terms, windows last; without others the first window is what is added to.
fn sum(cursor: &mut Cursor<'_>, others: &[Value], windows: &[Value], region: &Region) -> Value {
    let (plain, windows) = if others.is_empty() { windows.split_at(1) } else { (others, windows) };
    let mut total = cursor.get(plain[0]);
    for term in &plain[1..] {
        let term = cursor.get(*term);
        total = cursor.b.binary(BinaryOp::Add, total, term);
    }
    for window in windows {
        let Some(node) = region.producer(*window) else { continue };
        let args = cursor.args(node);
        let sizes = cursor.b.ty(args[1]).shape.clone();
        let read: Vec<Value> = [total].into_iter().chain(args[2..].iter().copied()).collect();
        let before = cursor.b.add1(SliceAt { sizes }, &read);
        let after = cursor.b.binary(BinaryOp::Add, before, args[1]);
        let update: Vec<Value> = [total, after].into_iter().chain(args[2..].iter().copied()).collect();
        total = cursor.b.add1(node.op.clone(), &update);
    }
    total
}

fn is_sum(node: &Node) -> bool {
    matches!(&node.op, Op::Binary(binary) if binary.op == BinaryOp::Add)
}

/// Sums of a region and what is used how often.
struct Sums<'a> {
    region: &'a Region,
    uses: Vec<usize>,
    /// Whether the only use is as an operand of a sum.
    in_sum: Vec<bool>,
}

impl<'a> Sums<'a> {
    fn new(region: &'a Region) -> Sums<'a> {
        let (mut uses, mut in_sum) = (vec![0; region.values.len()], vec![false; region.values.len()]);
        for node in &region.nodes {
            for arg in &node.args {
                uses[arg.index()] += 1;
                in_sum[arg.index()] = is_sum(node);
            }
        }
        region.results.iter().for_each(|value| uses[value.index()] += 2);
        Sums { region, uses, in_sum }
    }

    /// A sum that is only a term of another.
    fn is_part(&self, value: Value) -> bool {
        self.uses[value.index()] == 1 && self.in_sum[value.index()]
    }

    fn terms(&self, node: &Node) -> Vec<Value> {
        let mut terms = Vec::new();
        for arg in &node.args {
            match self.region.producer(*arg) {
                Some(inner) if is_sum(inner) && self.is_part(*arg) => terms.extend(self.terms(inner)),
                _ => terms.push(*arg),
            }
        }
        terms
    }

    /// Zeros with a window, used once.
    fn is_window(&self, value: Value) -> bool {
        let Some(node) = self.region.producer(value) else { return false };
        matches!(node.op, Op::UpdateSlice(_))
            && self.uses[value.index()] == 1
            && self.region.ty(value).dtype.is_float()
            && self.is_zero(node.args[0])
    }

    fn is_zero(&self, value: Value) -> bool {
        let Def::Node(node, _) = self.region.values[value.index()].def else { return false };
        let node = &self.region.nodes[node.index()];
        match &node.op {
            Op::Constant(constant) => constant.value.as_f64() == 0.0,
            Op::Broadcast(_) | Op::Reshape(_) => self.is_zero(node.args[0]),
            _ => false,
        }
    }
}
