//! Gradients that some passes of an unrolled loop have none of. There they are 0, as in the first passes of a run-time
//! loop, which nothing may have reached yet; it is a mistake (E0212) if no pass has one.

use super::{Pass, Places};
use crate::cx::Cx;
use crate::value::R;
use mlc_ir::autodiff::Cut;
use mlc_ir::graph::Value as IrValue;
use mlc_syntax::span::Span;

/// A gradient in an unrolled loop.
#[derive(Clone, Debug)]
pub(crate) struct InPasses {
    /// The calls that lead there, and its own place.
    site: Vec<Span>,
    by: IrValue,
    /// Why the first pass had none.
    cut: Option<Cut>,
    at: Places,
    /// Whether a pass had one.
    found: bool,
}

impl<'a> Cx<'a> {
    /// Whether what is evaluated is one of several passes of one text.
    pub(super) fn is_in_passes(&self) -> bool {
        self.entry.loops.iter().any(|pass| matches!(pass, Pass::Unrolled(_)))
    }

    /// Notes that a pass has a gradient, or why it has none.
    pub(super) fn note_pass(&mut self, by: IrValue, cut: Option<Cut>, at: Places) {
        if !self.is_in_passes() {
            return;
        }
        let site: Vec<Span> = self.frames.iter().filter_map(|frame| frame.call).chain([at.call]).collect();
        match self.entry.in_passes.iter_mut().find(|noted| noted.site == site && noted.by == by) {
            Some(noted) => noted.found |= cut.is_none(),
            None => self.entry.in_passes.push(InPasses { site, by, cut, at, found: cut.is_none() }),
        }
    }

    /// Before the passes of an unrolled loop.
    pub fn begin_passes(&mut self) {
        if !self.is_in_passes() {
            self.entry.in_passes.clear();
        }
    }

    /// E0212: behind the passes of a loop, for gradients that none of them had.
    pub fn require_paths(&mut self) -> R<()> {
        if self.is_in_passes() {
            return Ok(());
        }
        let mut result = Ok(());
        for noted in std::mem::take(&mut self.entry.in_passes) {
            if let (false, Some(cut)) = (noted.found, noted.cut) {
                result = Err(self.no_gradient_by(cut, noted.at.y, noted.at.x));
            }
        }
        result
    }
}
