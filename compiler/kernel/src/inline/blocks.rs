//! Sums that go on from others.

use super::Inline;
use crate::nest::Blocks;
use mlc_ir::graph::NodeId;
use mlc_ir::index::{Definition, Ix};

impl Inline<'_> {
    /// How a sum goes on from another.
    pub(super) fn blocks(&mut self, anchor: NodeId, identity: &[Ix]) -> Option<Blocks> {
        let (Definition::Reduce { blocks, .. } | Definition::Dot { blocks, .. }) =
            self.fusion.definitions[anchor.index()].clone()?
        else {
            return None;
        };
        let blocks = blocks?;
        Some(Blocks { start: self.expr(anchor, &blocks.start, identity, &[]), count: blocks.count })
    }
}
