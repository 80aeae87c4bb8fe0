//! Changes windows where they lie.
//!
//! - `a + update_slice(0, d, …)` is `a` with `d` added in the window, which costs the window and not all
//!   of `a`: gradients of slices at run-time places come as such sums.
//! - A row that was read, updated and put back at its place is an update of the row in its place, and a
//!   window of a row that was read is a window of the tensor: what a layer of a stack does to its state.

use crate::dim::Dim;
use crate::graph::{Def, Graph, Node, Region, Value};
use crate::ops::Op;
use crate::ops::reshape::Reshape;
use crate::ops::slice_at::SliceAt;
use crate::ops::update_slice::UpdateSlice;
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
        let changed = updated_row(&mut cursor, node).or_else(|| window_of_row(&mut cursor, node));
        if let Some(value) = changed {
            cursor.put(node, &[value]);
            continue;
        }
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

/// An update of a whole row with an update of that row, as updates of a part of the row.
fn updated_row(cursor: &mut Cursor<'_>, node: &Node) -> Option<Value> {
    let Op::UpdateSlice(_) = node.op else { return None };
    let (stack, rows) = (node.args[0], cursor.old.ty(node.args[1]));
    let shape = &cursor.old.ty(stack).shape;
    if !rows.shape.first()?.is(1) || rows.shape[1..] != shape[1..] {
        return None;
    }
    let row = Row { stack, at: node.args[2] };
    let inner = plain(cursor.old, node.args[1]);
    let changes = row.changes(cursor.old, inner).filter(|changes| !changes.is_empty())?;
    cursor.at(node, PASS);
    let mut stack = cursor.get(stack);
    for update in changes {
        let args = cursor.args(update);
        let part: Vec<Dim> = [Dim::one()].into_iter().chain(cursor.b.ty(args[1]).shape.iter().cloned()).collect();
        let part = cursor.b.add1(Reshape { shape: part }, &[args[1]]);
        let at = cursor.get(row.at);
        let operands: Vec<Value> = [stack, part, at].into_iter().chain(args[2..].iter().copied()).collect();
        stack = cursor.b.add1(UpdateSlice, &operands);
    }
    Some(stack)
}

/// A window of a row, as a window of the tensor.
fn window_of_row(cursor: &mut Cursor<'_>, node: &Node) -> Option<Value> {
    let Op::SliceAt(op) = &node.op else { return None };
    let read = cursor.old.producer(plain(cursor.old, node.args[0]))?;
    let Op::Gather(_) = read.op else { return None };
    let row = Row { stack: read.args[0], at: *read.args.get(1)? };
    let same = cursor.old.ty(node.args[0]).shape[..] == *cursor.old.ty(row.stack).shape.get(1..)?;
    row.changes(cursor.old, read.results[0]).filter(|_| same)?;
    cursor.at(node, PASS);
    let sizes = [Dim::one()].into_iter().chain(op.sizes.iter().cloned()).collect();
    let starts = node.args[1..].iter().map(|start| cursor.get(*start));
    let operands: Vec<Value> = [cursor.get(row.stack), cursor.get(row.at)].into_iter().chain(starts).collect();
    let window = cursor.b.add1(SliceAt { sizes }, &operands);
    Some(cursor.b.add1(Reshape { shape: op.sizes.clone() }, &[window]))
}

/// The value under reshapes.
fn plain(region: &Region, mut value: Value) -> Value {
    while let Some(Node { op: Op::Reshape(_), args, .. }) = region.producer(value) {
        value = args[0];
    }
    value
}

/// A row of a tensor, along axis 0.
struct Row {
    stack: Value,
    at: Value,
}

impl Row {
    /// The updates that make `value` from this row, in order.
    fn changes<'a>(&self, region: &'a Region, value: Value) -> Option<Vec<&'a Node>> {
        let shape = &region.ty(self.stack).shape;
        let node = region.producer(value)?;
        match &node.op {
            Op::UpdateSlice(_) if region.ty(value).shape[..] == shape[1..] => {
                let mut changes = self.changes(region, plain(region, node.args[0]))?;
                changes.push(node);
                Some(changes)
            }
            Op::Gather(op) if (op.axis, op.batch) == (0, 0) => {
                let same = node.args[..] == [self.stack, self.at] && region.ty(self.at).rank() == 0;
                same.then(Vec::new)
            }
            Op::SliceAt(op) => {
                let whole = op.sizes.first()?.is(1) && op.sizes[1..] == shape[1..];
                (whole && node.args[..2] == [self.stack, self.at]).then(Vec::new)
            }
            _ => None,
        }
    }
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
