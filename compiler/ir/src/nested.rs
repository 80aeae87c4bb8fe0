//! Bodies of loops and calls that are built flat, among the nodes around them, and then cut out.
//!
//! Whoever builds a region evaluates a body where it stands: [`Builder::hole`] gives a value for
//! each thing that only the body knows (its position, what it carries), [`Builder::mark`] says where
//! it began. [`cut_loop`] and [`cut_call`] copy the nodes behind the mark into a region of its own
//! and add the op that runs it. The flat nodes stay behind, unused; [`Builder::finish`] drops them.
//!
//! What a loop's body does not need its holes for stays outside, so it is computed once. Nodes that
//! only move elements or make constants are copied into the body, because there they cost nothing
//! and outside they would fill a buffer; not so in programs that ask for gradients by values, since no
//! gradient leads from a copy to what it is a copy of. A row that is read by the loop's own position becomes a
//! slice of the loop.

use crate::builder::Builder;
use crate::graph::{Def, Graph, Node, NodeId, Region, RegionId, Value};
use crate::ops::{Class, Op};
use crate::passes::{params_of, trimmed_part};
use crate::region_ops::{Call, Loop, Remat, Trip};
use crate::rewrite::{Cursor, needed};
use crate::segmented::{add_segmented, called};
use std::collections::{BTreeMap, BTreeSet};

/// A value handed from pass to pass.
#[derive(Clone, Debug)]
pub struct Carry {
    /// What stands for it in the body: a hole, or the value before the loop.
    pub inside: Value,
    /// Before the first pass.
    pub start: Value,
    /// After a pass.
    pub next: Value,
}

/// A loop whose body was built flat.
#[derive(Clone, Debug)]
pub struct LoopCut {
    /// Of the body, for dumps.
    pub name: String,
    /// Where the body began.
    pub mark: usize,
    /// How often, and the number of passes for [`Trip::UpTo`].
    pub trip: Trip,
    /// The number of passes, if it is known at run time only.
    pub count: Option<Value>,
    /// The hole for the position, i64.
    pub position: Value,
    /// Values handed on.
    pub carries: Vec<Carry>,
    /// Values of the body of which all passes are wanted.
    pub stacks: Vec<Value>,
    /// Whether to stop after a pass.
    pub stop: Option<Value>,
    /// Whether everything behind the mark belongs to the body, needed for its holes or not.
    pub whole: bool,
    /// Whether the backward pass computes the body again.
    pub remat: bool,
    /// The passes of a segment, where the backward pass keeps what segments begin with; only of loops that run to
    /// their end.
    pub segment: Option<i64>,
    /// Whether a gradient may be asked for by any float from outside: none is made again in the body.
    pub apart: bool,
    /// Whether loops and calls in the body are to compute only what it needs of them.
    pub narrow: bool,
}

/// The results of a loop that was cut out.
#[derive(Clone, Debug, Default)]
pub struct LoopResults {
    /// Final values of the carries.
    pub carries: Vec<Value>,
    /// One for each stack.
    pub stacks: Vec<Value>,
}

/// A call whose body was built flat.
#[derive(Clone, Debug)]
pub struct CallCut {
    /// Of the body, for dumps.
    pub name: String,
    /// Where the body began.
    pub mark: usize,
    /// Whether the backward pass computes the body again.
    pub remat: Remat,
    /// Operands that come first, in this order, as the body knows them: holes, so that nothing in it is taken for
    /// what was computed before, or values from outside.
    pub operands: Vec<Value>,
    /// What they are outside.
    pub given: Vec<Value>,
    /// As in [`LoopCut`].
    pub apart: bool,
    /// What it gives.
    pub results: Vec<Value>,
}

/// Puts a loop in place of the flat nodes of its body.
pub fn cut_loop(graph: &mut Graph, b: &mut Builder, cut: &LoopCut) -> LoopResults {
    let own: Vec<Value> = std::iter::once(cut.position).chain(cut.carries.iter().map(|carry| carry.inside)).collect();
    let results: Vec<Value> = cut
        .stop
        .iter()
        .copied()
        .chain(cut.carries.iter().map(|carry| carry.next))
        .chain(cut.stacks.iter().copied())
        .collect();
    let mut piece = Piece::new(b.region(), cut.mark, &own, cut.whole);
    piece.rows_of = Some((cut.position, cut.trip.bound().clone()));
    piece.apart = cut.apart;
    piece.collect(&results);
    let mut rows: Vec<(Value, Value)> = piece.rows.clone();
    let mut free = piece.free();
    let params = |rows: &[(Value, Value)], free: &[Value]| -> Vec<Value> {
        let row_holes = rows.iter().map(|(row, _)| *row);
        own.iter().copied().chain(row_holes).chain(free.iter().copied()).collect()
    };
    let mut region = piece.region(&cut.name, &params(&rows, &free), &results);
    if cut.narrow {
        let used = params_of(graph, &region, &region.results);
        let mut of_free = used[own.len()..].iter();
        rows.retain(|_| of_free.next().is_none_or(|used| *used));
        free.retain(|_| of_free.next().is_none_or(|used| *used));
        let kept = (0..used.len()).filter(|at| *at < own.len() || used[*at]).map(|at| region.params[at]);
        region = trimmed_part(graph, &region, &kept.collect::<Vec<Value>>(), &region.results);
    }
    let region = if cut.remat { wrapped(graph, region) } else { region };
    let op = Loop {
        until: cut.stop.is_some(),
        carries: cut.carries.len() as u32,
        slices: rows.len() as u32,
        invariants: free.len() as u32,
        stacks: cut.stacks.len() as u32,
        ..Loop::new(cut.trip.clone())
    };
    let args: Vec<Value> = cut
        .count
        .iter()
        .copied()
        .chain(cut.carries.iter().map(|carry| carry.start))
        .chain(rows.iter().map(|(_, whole)| *whole))
        .chain(free)
        .collect();
    let given = match cut.segment {
        Some(each) => add_segmented(graph, b, (&op, each), &args, &region),
        None => {
            let body = graph.add_region(region);
            b.add_loop(graph, op.clone(), &args, body).to_vec()
        }
    };
    LoopResults { carries: given[op.carry_results()].to_vec(), stacks: given[op.stack_results()].to_vec() }
}

/// Puts a call in place of flat nodes; gives its results. `gradient` makes the second region, from
/// the flat region, and all operands as the body knows them.
pub fn cut_call(
    graph: &mut Graph,
    b: &mut Builder,
    cut: &CallCut,
    gradient: impl FnOnce(&mut Graph, &Region, &CallCut, &[Value]) -> Option<RegionId>,
) -> Vec<Value> {
    let mut piece = Piece::new(b.region(), cut.mark, &cut.operands, true);
    piece.apart = cut.apart;
    piece.collect(&cut.results);
    let params: Vec<Value> = cut.operands.iter().copied().chain(piece.free()).collect();
    let args: Vec<Value> = cut.given.iter().copied().chain(piece.free()).collect();
    let region = piece.region(&cut.name, &params, &cut.results);
    let body = graph.add_region(region);
    let second = gradient(graph, b.region(), cut, &params);
    let regions: Vec<RegionId> = std::iter::once(body).chain(second).collect();
    b.add_call(graph, Call { remat: cut.remat }, &args, &regions).to_vec()
}

/// What the body of a call would read besides its operands.
pub fn free_of(region: &Region, cut: &CallCut) -> Vec<Value> {
    let mut piece = Piece::new(region, cut.mark, &cut.operands, true);
    piece.collect(&cut.results);
    piece.free()
}

/// Computes values again with other values in the place of some that they are made of.
pub fn computed_with(b: &mut Builder, instead: &[(Value, Value)], values: &[Value]) -> Vec<Value> {
    let flat = b.region().clone();
    let given: Vec<Value> = instead.iter().map(|(old, _)| *old).collect();
    let mut new: BTreeMap<Value, Value> = instead.iter().copied().collect();
    for id in needed(&flat, &given, values) {
        let node = &flat.nodes[id.index()];
        if !node.args.iter().any(|arg| new.contains_key(arg)) {
            continue;
        }
        let args: Vec<Value> = node.args.iter().map(|arg| new.get(arg).copied().unwrap_or(*arg)).collect();
        let types = node.results.iter().map(|result| flat.ty(*result).clone()).collect();
        let copies = b.copy(node, &args, types);
        new.extend(node.results.iter().copied().zip(copies));
    }
    values.iter().map(|value| new.get(value).copied().unwrap_or(*value)).collect()
}

/// Whether `results` can be computed from `given` alone.
pub fn is_closed(region: &Region, given: &[Value], results: &[Value]) -> bool {
    let mut piece = Piece::new(region, 0, given, true);
    piece.collect(results);
    piece.free.is_empty()
}

/// Whether each value behind `mark` is made of one of `holes`.
pub fn made_of(region: &Region, mark: usize, holes: &[Value]) -> Vec<bool> {
    let mut made = vec![false; region.values.len()];
    for hole in holes {
        made[hole.index()] = true;
    }
    for node in &region.nodes[mark.min(region.nodes.len())..] {
        if node.args.iter().any(|arg| made[arg.index()]) {
            node.results.iter().for_each(|result| made[result.index()] = true);
        }
    }
    made
}

/// A body that consists of one call of the region, which the backward pass computes again.
fn wrapped(graph: &mut Graph, region: Region) -> Region {
    let inner = graph.add_region(region);
    called(graph, inner)
}

/// The part of a flat region that becomes a body.
struct Piece<'a> {
    region: &'a Region,
    mark: usize,
    whole: bool,
    apart: bool,
    /// Given values: never looked behind.
    own: Vec<Value>,
    made: Vec<bool>,
    /// The loop's position and bound: what is read by it is a slice.
    rows_of: Option<(Value, crate::dim::Dim)>,
    nodes: BTreeSet<NodeId>,
    free: BTreeSet<Value>,
    /// Results of gathers that are rows, and what they are rows of.
    rows: Vec<(Value, Value)>,
}

impl<'a> Piece<'a> {
    fn new(region: &'a Region, mark: usize, own: &[Value], whole: bool) -> Piece<'a> {
        let made = made_of(region, mark, own);
        let own = own.to_vec();
        let (nodes, free) = (BTreeSet::new(), BTreeSet::new());
        Piece { region, mark, whole, apart: false, own, made, rows_of: None, nodes, free, rows: Vec::new() }
    }

    fn free(&self) -> Vec<Value> {
        self.free.iter().copied().collect()
    }

    /// Finds the nodes that `results` need inside, and the values they need from outside.
    fn collect(&mut self, results: &[Value]) {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Value> = results.to_vec();
        while let Some(value) = open.pop() {
            if self.own.contains(&value) || !seen.insert(value) {
                continue;
            }
            let Def::Node(id, _) = self.region.values[value.index()].def else {
                self.free.insert(value);
                continue;
            };
            let node = &self.region.nodes[id.index()];
            if let Some(row) = self.row(node) {
                self.rows.push((value, row));
            } else if self.belongs(id, node) {
                self.nodes.insert(id);
                open.extend(node.args.iter().copied());
            } else {
                self.free.insert(value);
            }
        }
    }

    /// Whether a node is computed inside.
    fn belongs(&self, id: NodeId, node: &Node) -> bool {
        let behind = id.index() >= self.mark;
        let inside = if self.whole {
            behind && !self.is_outer_row(node)
        } else {
            behind && node.args.iter().any(|arg| self.made[arg.index()])
        };
        // A number by itself is nobody's name.
        let stays = self.apart
            && !matches!(node.op, Op::Constant(_))
            && node.results.iter().any(|result| self.region.ty(*result).dtype.is_float());
        inside || (!stays && matches!(node.op.info().class, Class::Source | Class::View | Class::Alias))
    }

    /// A row of an outer value by the position of an outer loop: it is to stay where that loop can
    /// make a slice of it.
    fn is_outer_row(&self, node: &Node) -> bool {
        let Some((whole, position)) = self.row_read(node) else { return false };
        let outside = |value: Value| match self.region.values[value.index()].def {
            Def::Node(id, _) => id.index() < self.mark,
            Def::Param(_) | Def::Hole => !self.own.contains(&value),
        };
        outside(whole) && outside(position)
    }

    /// What a node reads a row of, if it does so by the position of this loop.
    fn row(&self, node: &Node) -> Option<Value> {
        let (position, bound) = self.rows_of.as_ref()?;
        let (whole, at) = self.row_read(node)?;
        let is_row = at == *position
            && !self.made[whole.index()]
            && self.is_outside(whole)
            && self.region.ty(whole).shape.first() == Some(bound);
        is_row.then_some(whole)
    }

    /// Whether a value is there before the body: in a whole body, that is before the mark.
    fn is_outside(&self, value: Value) -> bool {
        match self.region.values[value.index()].def {
            Def::Node(id, _) => !self.whole || id.index() < self.mark,
            Def::Param(_) | Def::Hole => true,
        }
    }

    /// The operand and the hole of a gather along axis 0 by a position.
    fn row_read(&self, node: &Node) -> Option<(Value, Value)> {
        let Op::Gather(op) = &node.op else { return None };
        if op.axis != 0 || op.batch != 0 {
            return None;
        }
        let mut at = node.args[1];
        while let Def::Node(id, _) = self.region.values[at.index()].def {
            let maker = &self.region.nodes[id.index()];
            match &maker.op {
                Op::Cast(_) => at = maker.args[0],
                _ => return None,
            }
        }
        let is_hole = matches!(self.region.values[at.index()].def, Def::Hole);
        (is_hole && self.region.ty(at).rank() == 0).then_some((node.args[0], at))
    }

    /// The body, with `params` (rows among them) and the results.
    fn region(&self, name: &str, params: &[Value], results: &[Value]) -> Region {
        let mut cursor = Cursor::empty(self.region);
        cursor.b = Builder::new(name);
        for param in params {
            let value = cursor.b.param(self.region.ty(*param).clone());
            cursor.set(*param, value);
        }
        for id in &self.nodes {
            cursor.copy_missing(&self.region.nodes[id.index()]);
        }
        cursor.finish(results)
    }
}
