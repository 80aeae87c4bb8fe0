//! Gradients by what a loop hands on. In the unrolled loop that is a value of the pass before, and what that pass
//! computed from it and handed on beside it leads to it too: a body, which knows the two apart, cannot follow.

use super::Places;
use crate::cx::Cx;
use crate::report::Reported;
use mlc_ir::autodiff::reached;
use mlc_ir::graph::Value as IrValue;
use mlc_ir::nested::{Carry, LoopCut};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// A gradient by something handed on, of a value that depends on something else too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByCarry {
    /// Of the loop among those around.
    pub level: usize,
    /// Its hole.
    pub by: IrValue,
    /// Another carry, or what the one starts from.
    pub value: IrValue,
    pub at: Places,
}

impl<'a> Cx<'a> {
    /// What else may lead to values that are carries of loops around: other carries, and what they start from, which
    /// in the first pass they are.
    pub(super) fn carries_beside(&self, values: &[IrValue], at: Places) -> Vec<ByCarry> {
        let mut beside = Vec::new();
        let mut open = values.to_vec();
        while let Some(by) = open.pop() {
            let of_level = self.entry.bodies.iter().enumerate().find(|(_, body)| body.own.contains(&by));
            let Some((level, body)) = of_level else { continue };
            let others = self.floats(body).into_iter().filter(|other| *other != by);
            beside.extend(others.map(|value| ByCarry { level, by, value, at }));
            let start = body.starts.iter().find(|(hole, _)| *hole == by).map(|(_, start)| *start);
            // Where more is known of the passes before, a carry leads to its own start.
            beside.extend(start.filter(|_| body.known.is_empty()).map(|value| ByCarry { level, by, value, at }));
            open.extend(start);
        }
        beside
    }

    /// A gradient of the body by a carry, where something else leads to that carry in some pass.
    pub(super) fn shared(&self, cut: &LoopCut) -> Option<Places> {
        let asked = self.entry.bodies.last().map(|body| body.by_carries.as_slice()).unwrap_or_default();
        let is_start =
            |asked: &ByCarry| cut.carries.iter().any(|carry| carry.inside == asked.by && carry.start == asked.value);
        let is_shared = |asked: &&ByCarry| is_start(asked) || self.computed_from(cut, asked.by).contains(&asked.value);
        asked.iter().find(is_shared).map(|asked| asked.at)
    }

    /// The carries, by their holes, that were computed from the value that one has.
    fn computed_from(&self, cut: &LoopCut, by: IrValue) -> Vec<IrValue> {
        let region = self.entry.builder.region();
        let follow = |starts: &[IrValue]| reached(&self.graph, region, region.nodes.len(), starts);
        let carry = |hole: IrValue| cut.carries.iter().find(|carry| carry.inside == hole);
        let Some(own) = carry(by) else { return Vec::new() };
        let at_first = follow(&[own.start]);
        // What was handed on under another name before.
        let mut starts = vec![own.next];
        while let Some(other) = starts.last().and_then(|last| carry(*last))
            && !starts.contains(&other.next)
        {
            starts.push(other.next);
        }
        let others = || cut.carries.iter().filter(|carry| carry.inside != by);
        let mut found: Vec<IrValue> = Vec::new();
        loop {
            let later = follow(&starts);
            let is_from = |carry: &&Carry| later[carry.next.index()] || at_first[carry.start.index()];
            let new: Vec<IrValue> =
                others().filter(is_from).map(|carry| carry.inside).filter(|hole| !found.contains(hole)).collect();
            if new.is_empty() {
                return found;
            }
            starts.extend(&new);
            found.extend(new);
        }
    }

    /// E0009: what passes before computed from a carry, in a loop whose number of passes is not known.
    pub(super) fn is_shared(&mut self, at: Places) -> Reported {
        let x = self.sources.text(at.x).to_string();
        let title = format!("a gradient by `{x}`, from which more was computed before, needs a number of passes");
        let error = Diagnostic::error(Code::E0009, at.call, title)
            .note(format!(
                "what it is taken of depends on something else that was computed from `{x}`, in the pass before or \
                 before the loop, and so leads to `{x}` in the unrolled loop"
            ))
            .help(format!(
                "compute the other thing before `{x}` changes; before the loop, `1 * {x}` is a value of its own; \
                 or end a way with `stop_gradient`"
            ))
            .help("with a number of passes, `for i in 0..4`, each gets code of its own");
        self.tell(error)
    }
}
