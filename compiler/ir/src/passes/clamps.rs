//! Clamps move behind poolings: the largest of clamped values is the clamped largest. So a clamp has as many
//! elements as there are windows, its gradient needs nothing that is larger, and what goes into the pooling
//! need not be kept for it.
//!
//! Where all of a window is clamped to one number, the place of the largest is another than before, and no
//! gradient goes there; so the places are changed only where they serve gradients of that clamp alone.

use crate::graph::{Graph, Node, Region, Value};
use crate::ops::Op;
use crate::ops::binary::Binary;
use crate::ops::compare::Compare;
use crate::ops::select::Select;
use crate::passes::dce;
use crate::passes::uses::{Uses, splat};
use crate::rewrite::Cursor;
use crate::scalar::{BinaryOp, CompareOp, Literal};
use std::collections::BTreeMap;

const PASS: &str = "clamps";

/// The pass.
pub fn clamps(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    // What limits from both sides moves in two steps.
    loop {
        let moved: Vec<Option<Region>> = graph.regions.iter().map(in_region).collect();
        if moved.iter().all(Option::is_none) {
            return graph;
        }
        let regions = graph.regions.iter().zip(moved).map(|(old, new)| new.unwrap_or_else(|| old.clone())).collect();
        graph = dce(&Graph { regions, ..graph });
    }
}

/// `window_max(clamp(x))` whose clamp can be done behind.
struct Pooled<'a> {
    window: usize,
    clamp: Clamp,
    /// Each gradient that goes to a place of a window, and where it is masked by the clamp.
    gradients: Vec<(&'a Node, Vec<usize>)>,
}

/// `y = maximum(x, bound)` or `y = minimum(x, bound)`.
#[derive(Clone, Copy)]
struct Clamp {
    op: BinaryOp,
    x: Value,
    y: Value,
    bound: Literal,
}

impl Clamp {
    fn of(region: &Region, value: Value) -> Option<Clamp> {
        let node = region.producer(value)?;
        let Op::Binary(Binary { op: op @ (BinaryOp::Max | BinaryOp::Min) }) = &node.op else { return None };
        let bound = splat(region, node.args[1]).filter(|bound| !bound.as_f64().is_nan())?;
        Some(Clamp { op: *op, x: node.args[0], y: value, bound })
    }

    /// The test of `y` for what is not clamped, as the gradient of the op has it.
    fn passes(&self) -> CompareOp {
        if self.op == BinaryOp::Max { CompareOp::Gt } else { CompareOp::Lt }
    }

    /// Whether a node is what the clamp lets through of `gradient`.
    fn is_mask(&self, region: &Region, node: &Node, gradient: Value) -> bool {
        let Op::Select(_) = node.op else { return false };
        let [condition, taken, other] = node.args[..] else { return false };
        let is_test = region.producer(condition).is_some_and(|test| {
            matches!(&test.op, Op::Compare(compare) if compare.op == self.passes())
                && test.args[0] == self.y
                && splat(region, test.args[1]) == Some(self.bound)
        });
        is_test && taken == gradient && splat(region, other).is_some_and(|zero| zero.as_f64() == 0.0)
    }
}

fn in_region(region: &Region) -> Option<Region> {
    let is_pooling = |node: &Node| matches!(node.op, Op::WindowMax(_));
    if !region.nodes.iter().any(is_pooling) {
        return None;
    }
    let uses = Uses::new(region);
    let windows = (0..region.nodes.len()).filter(|at| is_pooling(&region.nodes[*at]));
    let pooled: Vec<Pooled<'_>> = windows.filter_map(|at| pooled(region, &uses, at)).collect();
    (!pooled.is_empty()).then(|| moved(region, &pooled))
}

fn pooled<'a>(region: &'a Region, uses: &Uses, window: usize) -> Option<Pooled<'a>> {
    let node = &region.nodes[window];
    let clamp = Clamp::of(region, node.args[0])?;
    let readers = uses.readers(node.results[1])?;
    let gradients = readers.iter().map(|at| {
        let gradient = &region.nodes[*at];
        let result = matches!(gradient.op, Op::WindowUnpick(_)).then(|| gradient.results[0])?;
        let masks = uses.readers(result)?;
        let all = masks.iter().all(|mask| clamp.is_mask(region, &region.nodes[*mask], result));
        all.then(|| (gradient, masks.to_vec()))
    });
    Some(Pooled { window, clamp, gradients: gradients.collect::<Option<_>>()? })
}

fn moved(region: &Region, pooled: &[Pooled<'_>]) -> Region {
    let windows: BTreeMap<usize, Clamp> = pooled.iter().map(|found| (found.window, found.clamp)).collect();
    let gradients = pooled.iter().flat_map(|found| {
        let masks =
            found.gradients.iter().flat_map(|(gradient, masks)| masks.iter().map(move |mask| (*mask, *gradient)));
        masks.map(move |(mask, gradient)| (mask, (found, gradient)))
    });
    let masks: BTreeMap<usize, (&Pooled<'_>, &Node)> = gradients.collect();
    let mut cursor = Cursor::new(region);
    for (at, node) in region.nodes.iter().enumerate() {
        cursor.at(node, node.made_by);
        if let Some(clamp) = windows.get(&at) {
            clamped_largest(&mut cursor, node, *clamp);
        } else if let Some((found, gradient)) = masks.get(&at) {
            let largest = cursor.get(region.nodes[found.window].results[0]);
            let value = placed(&mut cursor, gradient, largest, found.clamp);
            cursor.put(node, &[value]);
        } else {
            cursor.copy(node);
        }
    }
    cursor.finish(&region.results)
}

/// The pooling before the clamp, and the clamp of what it finds.
fn clamped_largest(cursor: &mut Cursor<'_>, node: &Node, clamp: Clamp) {
    (cursor.b.made_by, cursor.b.span) = (PASS, node.span);
    let x = cursor.get(clamp.x);
    let found = cursor.b.add(node.op.clone(), &[x]);
    let bound = like(cursor, clamp.bound, found[0]);
    let largest = cursor.b.add1(Binary { op: clamp.op }, &[found[0], bound]);
    cursor.put(node, &[largest, found[1]]);
}

/// What the clamp lets through, at its places.
fn placed(cursor: &mut Cursor<'_>, gradient: &Node, largest: Value, clamp: Clamp) -> Value {
    let (d, offset) = (cursor.get(gradient.args[0]), cursor.get(gradient.args[1]));
    let bound = like(cursor, clamp.bound, largest);
    let passes = cursor.b.add1(Compare { op: clamp.passes() }, &[largest, bound]);
    let zero = like(cursor, Literal::zero(clamp.bound.dtype), d);
    let d = cursor.b.add1(Select, &[passes, d, zero]);
    cursor.b.add1(gradient.op.clone(), &[d, offset])
}

fn like(cursor: &mut Cursor<'_>, number: Literal, value: Value) -> Value {
    let ty = cursor.b.ty(value).clone();
    cursor.b.full(ty.dtype, number.as_f64(), &ty.shape)
}
