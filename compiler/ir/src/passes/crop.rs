//! What nobody reads is not computed. Windows of a pooling may leave rows at the end out (11 by 11 pixels, 2 by
//! 2 at a time), and so may slices: a convolution whose rest is not read has fewer outputs, and the gradients
//! that go back through it have no zeros at the end to sum.

use crate::dim::Dim;
use crate::graph::{Graph, Node, Region, Value};
use crate::ops::Class;
use crate::ops::Op;
use crate::ops::broadcast::Broadcast;
use crate::ops::conv::{Conv, ConvRole};
use crate::ops::pad::Pad;
use crate::ops::reduce::ReduceKind;
use crate::ops::slice::Slice;
use crate::ops::window::Windows;
use crate::ops::window_unpick::WindowUnpick;
use crate::passes::dce;
use crate::passes::uses::splat;
use crate::rewrite::Cursor;

/// The pass.
pub fn crop(graph: &Graph) -> Graph {
    let may_crop = |region: &Region| region.nodes.iter().any(|node| matches!(node.op, Op::Conv(_)));
    if !graph.regions.iter().any(may_crop) {
        return graph.clone();
    }
    let graph = dce(graph);
    Graph { regions: graph.regions.iter().map(in_region).collect(), ..graph }
}

fn in_region(region: &Region) -> Region {
    let part = Part::new(region);
    if part.cropped.iter().all(|cropped| !cropped) {
        return region.clone();
    }
    part.write()
}

/// Leading coordinates along each axis; all of them where there is none.
type Leading = Vec<Option<i64>>;

/// What is read of each value.
struct Part<'a> {
    region: &'a Region,
    /// Coordinates of each value that may be other than zero.
    filled: Vec<Leading>,
    /// Coordinates of each value that are read.
    read: Vec<Leading>,
    /// Whether a value is made without its rest.
    cropped: Vec<bool>,
}

impl<'a> Part<'a> {
    fn new(region: &'a Region) -> Part<'a> {
        let all: Vec<Leading> = (0..region.values.len()).map(|at| all(region, at)).collect();
        let mut part = Part { region, filled: all.clone(), read: Vec::new(), cropped: vec![false; all.len()] };
        for node in &region.nodes {
            if let (Some(filled), [result]) = (part.filled_of(node), &node.results[..]) {
                part.filled[result.index()] = filled;
            }
        }
        // Nothing is read until a reader says so.
        part.read = all.iter().map(|axes| vec![Some(0); axes.len()]).collect();
        for result in &region.results {
            part.read[result.index()] = all[result.index()].clone();
        }
        for node in region.nodes.iter().rev() {
            for (at, arg) in node.args.iter().enumerate() {
                let own = part.read_by(node, at);
                for (sum, axis) in part.read[arg.index()].iter_mut().zip(own) {
                    *sum = sum.zip(axis).map(|(sum, axis)| sum.max(axis));
                }
            }
        }
        for node in &region.nodes {
            if let [result] = node.results[..] {
                part.cropped[result.index()] = part.is_worth_it(node, result);
            }
        }
        part
    }

    fn size(&self, value: Value, axis: usize) -> Option<i64> {
        self.region.ty(value).shape[axis].as_const()
    }

    /// Coordinates of a node's result that may be other than zero, if not all.
    fn filled_of(&self, node: &Node) -> Option<Leading> {
        let of = |arg: usize| &self.filled[node.args[arg].index()];
        let is_zero = |arg: usize| splat(self.region, node.args[arg]).is_some_and(|zero| zero.as_f64() == 0.0);
        match &node.op {
            Op::WindowUnpick(op) => {
                let windows = Windows { size: &op.size, strides: &op.strides, pads: &op.pads };
                Some(self.reach(windows, node.args[0], node.results[0]))
            }
            Op::Pad(op) if is_plain_zero(op) => {
                let shape = self.region.ty(node.results[0]).shape.iter();
                let filled = |(size, high): (&Dim, &i64)| size.as_const().filter(|_| *high > 0).map(|size| size - high);
                Some(shape.zip(&op.high).map(filled).collect())
            }
            Op::Select(_) if is_zero(2) => Some(of(1).clone()),
            Op::Select(_) if is_zero(1) => Some(of(2).clone()),
            _ => None,
        }
    }

    /// What a node reads of an operand.
    fn read_by(&self, node: &Node, arg: usize) -> Leading {
        let value = node.args[arg];
        let mut read = all(self.region, value.index());
        match &node.op {
            Op::WindowMax(op) => {
                let windows = Windows { size: &op.size, strides: &op.strides, pads: &op.pads };
                read = self.reach(windows, node.results[0], value);
            }
            Op::Slice(op) => {
                for (at, axis) in read.iter_mut().enumerate() {
                    let last = op.starts[at].as_const().zip(op.sizes[at].as_const().filter(|size| *size > 0));
                    *axis = last.map(|(start, size)| start + (size - 1) * op.steps[at] + 1);
                }
            }
            Op::Conv(op) if arg == 1 && op.role != ConvRole::Output => read = self.filled[value.index()].clone(),
            Op::Pad(op) if is_plain_zero(op) => read = self.filled[value.index()].clone(),
            Op::Reduce(op) if op.kind == ReduceKind::Sum => {
                for axis in &op.axes {
                    read[*axis] = self.filled[value.index()][*axis];
                }
            }
            op if op.info().class == Class::Elementwise => read = self.read[node.results[0].index()].clone(),
            _ => {}
        }
        for (at, axis) in read.iter_mut().enumerate() {
            *axis = axis.filter(|leading| self.size(value, at).is_some_and(|size| *leading < size));
        }
        read
    }

    /// What of `whole` lies in windows, of each of which `each` has an element.
    fn reach(&self, windows: Windows<'_>, each: Value, whole: Value) -> Leading {
        let mut leading = all(self.region, whole.index());
        for at in 0..windows.rank() {
            let reach =
                self.size(each, 1 + at).map(|count| windows.coordinate(at, count - 1, windows.size[at] - 1) + 1);
            leading[1 + at] = reach.filter(|reach| self.size(whole, 1 + at).is_some_and(|size| *reach < size));
        }
        leading
    }

    /// Whether a node's result is computed without its rest: where a convolution or the gradient of a pooling is,
    /// and what is computed of it.
    fn is_worth_it(&self, node: &Node, result: Value) -> bool {
        let read = &self.read[result.index()];
        let some = |axis: &Option<i64>| axis.is_some_and(|leading| leading > 0);
        if !read.iter().any(some) || read.contains(&Some(0)) {
            return false;
        }
        let spatial = || read[0].is_none() && read.last() == Some(&None);
        match &node.op {
            Op::Conv(op) => op.role == ConvRole::Output && spatial(),
            Op::WindowUnpick(_) => spatial(),
            Op::Pad(op) => {
                is_plain_zero(op) && self.rests(result).iter().zip(&op.high).all(|(rest, high)| rest <= high)
            }
            op => op.info().class == Class::Elementwise && node.args.iter().any(|arg| self.cropped[arg.index()]),
        }
    }

    fn write(&self) -> Region {
        let mut cursor = Cursor::new(self.region);
        for node in &self.region.nodes {
            cursor.at(node, node.made_by);
            let reads_cropped = node.args.iter().any(|arg| self.cropped[arg.index()]);
            match node.results[..] {
                [result] if self.cropped[result.index()] => {
                    let value = self.made(&mut cursor, node, result);
                    cursor.set(result, value);
                }
                _ if reads_cropped => self.read_cropped(&mut cursor, node),
                _ => cursor.copy(node),
            }
        }
        cursor.finish(&self.region.results)
    }

    /// A value without its rest.
    fn made(&self, cursor: &mut Cursor<'_>, node: &Node, result: Value) -> Value {
        let read = &self.read[result.index()];
        match &node.op {
            Op::Conv(op) => {
                let args = cursor.args(node);
                cursor.b.add1(shortened(op, &self.rests(result)), &args)
            }
            Op::Pad(op) => {
                let high = op.high.iter().zip(self.rests(result)).map(|(high, rest)| high - rest).collect();
                let args = cursor.args(node);
                cursor.b.add1(Pad { high, ..op.clone() }, &args)
            }
            Op::WindowUnpick(op) => {
                let args = cursor.args(node);
                let sizes = op.extents.iter().zip(&read[1..]);
                let extents = sizes.map(|(size, leading)| leading.map_or_else(|| size.clone(), Dim::from)).collect();
                cursor.b.add1(WindowUnpick { extents, ..op.clone() }, &args)
            }
            op => {
                let args: Vec<Value> = node.args.iter().map(|arg| self.narrow(cursor, *arg, read)).collect();
                cursor.b.add1(op.clone(), &args)
            }
        }
    }

    /// The leading part of a value.
    fn narrow(&self, cursor: &mut Cursor<'_>, value: Value, read: &Leading) -> Value {
        let sizes: Vec<Dim> = self
            .region
            .ty(value)
            .shape
            .iter()
            .zip(read)
            .map(|(size, leading)| leading.map_or_else(|| size.clone(), Dim::from))
            .collect();
        let new = cursor.get(value);
        if cursor.b.ty(new).shape == sizes {
            return new;
        }
        let made = cursor.b.region().producer(new).cloned();
        if let Some(Node { op: Op::Broadcast(op), args, .. }) = &made
            && op.axes.iter().all(|axis| read[*axis].is_none())
        {
            return cursor.b.add1(Broadcast { shape: sizes, axes: op.axes.clone() }, args);
        }
        let starts = vec![Dim::zero(); sizes.len()];
        let steps = vec![1; sizes.len()];
        cursor.b.add1(Slice { starts, sizes, steps }, &[new])
    }

    /// A node that reads values without their rests.
    fn read_cropped(&self, cursor: &mut Cursor<'_>, node: &Node) {
        let op = match &node.op {
            Op::Conv(op) => shortened(op, &self.rests_if_cropped(node.args[1])).into(),
            Op::Pad(op) => {
                let rests = self.rests_if_cropped(node.args[0]);
                let gaps = op.interior.iter().map(|between| between + 1);
                let high = op.high.iter().zip(rests).zip(gaps).map(|((high, rest), gap)| high + rest * gap).collect();
                Pad { high, ..op.clone() }.into()
            }
            op => op.clone(),
        };
        let args = cursor.args(node);
        let results = cursor.b.add(op, &args);
        cursor.put(node, &results);
    }

    /// Coordinates at the end of each axis of a value that are not read.
    fn rests(&self, value: Value) -> Vec<i64> {
        let rest = |(axis, leading): (usize, &Option<i64>)| match (leading, self.size(value, axis)) {
            (Some(leading), Some(size)) => size - leading,
            _ => 0,
        };
        self.read[value.index()].iter().enumerate().map(rest).collect()
    }

    /// Those that a value is made without.
    fn rests_if_cropped(&self, value: Value) -> Vec<i64> {
        let rests = self.rests(value);
        if self.cropped[value.index()] { rests } else { vec![0; rests.len()] }
    }
}

/// All coordinates of a value.
fn all(region: &Region, value: usize) -> Leading {
    vec![None; region.values[value].ty.shape.len()]
}

/// Zeros around a value, or between.
fn is_plain_zero(op: &Pad) -> bool {
    op.fill.bits == 0 && op.low.iter().chain(&op.high).all(|count| *count >= 0)
}

/// The convolution whose output ends earlier by `rests`, along the axes behind the first.
fn shortened(op: &Conv, rests: &[i64]) -> Conv {
    let mut op = op.clone();
    for ((pad, stride), rest) in op.geometry.pads.iter_mut().zip(&op.geometry.strides).zip(&rests[1..]) {
        pad.1 -= stride * rest;
    }
    op
}
