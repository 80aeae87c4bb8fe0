//! How large the tensors of a test may be: the interpreter that computes them holds all of their elements.

use crate::cx::Cx;
use crate::value::R;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Node, Region};
use mlc_ir::ty::Type;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// Most elements that a tensor of a test may have: a gigabyte.
const MOST: i64 = 1 << 27;

impl<'a> Cx<'a> {
    /// Refuses a tensor that no test can hold, in the regions made since `first` for the statement at `span`.
    pub(super) fn refuse_large(&mut self, first: usize, span: Span) -> R<()> {
        let found = self.graph.regions[first..].iter().find_map(|region| {
            region.nodes.iter().find_map(|node| Some((node.span, large_result(region, node)?.clone())))
        });
        let Some((place, ty)) = found else { return Ok(()) };
        let place = self.span_of_place(place).unwrap_or(span);
        let title = format!("{} is too large for a test", self.show_type(&ty));
        let error = Diagnostic::error(Code::E0114, place, title)
            .note(format!("tests are computed by an interpreter, with at most {MOST} elements in a tensor"))
            .help("test with smaller sizes");
        Err(self.tell(error))
    }
}

fn large_result<'r>(region: &'r Region, node: &Node) -> Option<&'r Type> {
    let is_large =
        |ty: &&Type| Dim::product(&ty.shape).map_or(true, |count| count.as_const().is_some_and(|n| n > MOST));
    node.results.iter().map(|value| region.ty(*value)).find(is_large)
}
