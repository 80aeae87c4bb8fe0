//! The nest of an update: what is written is a window of the result's memory, which holds the old
//! value before.

use super::{Inline, checked};
use crate::expr::{Address, Expr, ExprRef};
use crate::fuse::WINDOW;
use crate::nest::{Store, Window, WindowStart};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{NodeId, Value};
use mlc_ir::index::{self, AxisId, Cond, Definition, Ix};
use std::sync::Arc;

impl Inline<'_> {
    /// The store of an update, and the window it goes to.
    pub(super) fn update(&mut self, node: NodeId, value: Value, identity: &[Ix]) -> (Store, Window) {
        let new = self.region.nodes[node.index()].args[WINDOW];
        let expr = self.value(new, identity, &[]);
        let buffer = self.buffer(value);
        let at = Ix::row_major(identity, &self.buffers[buffer].shape);
        (Store { buffer, at, value: expr }, Window { buffer, starts: self.starts(node, buffer) })
    }

    fn starts(&self, node: NodeId, buffer: usize) -> Vec<WindowStart> {
        let (args, shape) = (&self.region.nodes[node.index()].args, &self.buffers[buffer].shape);
        let window = &self.region.ty(args[WINDOW]).shape;
        let width = Dim::from(self.buffers[buffer].dtype.bytes());
        let start = |(axis, start): (usize, &Option<u32>)| {
            let value = args[start.as_ref().copied()? as usize];
            Some(WindowStart {
                value: crate::fuse::storage(self.region, value),
                dtype: self.region.ty(value).dtype,
                last: checked(shape[axis].sub(&window[axis])),
                bytes: checked(Dim::product(&shape[axis + 1..]).and_then(|n| n.mul(&width))),
            })
        };
        self.update_starts(node).iter().enumerate().filter_map(start).collect()
    }

    fn update_starts(&self, node: NodeId) -> &[Option<u32>] {
        match &self.fusion.definitions[node.index()] {
            Some(Definition::Update { starts }) => starts,
            _ => mlc_ir::internal_error("inline", "an update without a window"),
        }
    }

    /// An element of the old value at the very place where this group's update writes the new one: the
    /// result's memory holds it until then.
    pub(super) fn same_window(
        &mut self,
        node: NodeId,
        value: Value,
        index: &[index::Index],
        guard: &[Cond],
        at: &[Ix],
    ) -> Option<ExprRef> {
        let update = self.group.update?;
        let (args, read) = (&self.region.nodes[update.index()].args, &self.region.nodes[node.index()]);
        let sizes = &self.region.ty(read.results[0]).shape;
        if args[0] != value || !guard.is_empty() || *sizes != self.group.domain || !self.is_identity(at) {
            return None;
        }
        let starts = self.update_starts(update);
        let same = index.iter().zip(starts).enumerate().all(|(axis, (index, start))| {
            let here = Ix::axis(AxisId(axis as u32));
            match (index, start) {
                (index::Index::At(ix), None) => *ix == here,
                (index::Index::Window { start, at, .. }, Some(other)) => {
                    let arg = match &**start {
                        index::Expr::Operand { arg, index, .. } if index.is_empty() => read.args.get(*arg as usize),
                        _ => None,
                    };
                    *at == here && arg == args.get(*other as usize)
                }
                _ => false,
            }
        });
        let result = self.region.nodes[update.index()].results[0];
        same.then(|| {
            let buffer = self.buffer(result);
            let at = Address::Linear(Ix::row_major(at, &self.buffers[buffer].shape));
            Arc::new(Expr::Load { buffer, at })
        })
    }
}
