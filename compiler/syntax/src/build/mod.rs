//! From the lines of the layout, through pest, to the syntax tree.
//!
//! Each segment is read alone. If pest refuses it, one diagnostic is made, the line is left out of the
//! tree, and the lines in its blocks are still read for their own errors.

mod exprs;
mod items;
mod lost;
mod node;
mod stmts;
mod types;

use crate::ast;
use crate::diag::Diagnostic;
use crate::explain::{self, Place};
use crate::grammar::{Grammar, Rule};
use crate::layout::{Layout, Segment};
use crate::sink::Sink;
use crate::span::FileId;
use node::{Node, Origin};
use pest::Parser;

/// Builds the tree of a file.
pub fn module(file: FileId, layout: &Layout, sink: &mut Sink) -> ast::Module {
    let mut cx = Cx { file, text: &layout.text, sink };
    items::items(&mut cx, &layout.lines)
}

/// The imports of a file, in order; what cannot be read is passed over.
pub fn imports(file: FileId, layout: &Layout) -> Vec<ast::Import> {
    let mut sink = Sink::default();
    let mut cx = Cx { file, text: &layout.text, sink: &mut sink };
    items::imports(&mut cx, &layout.lines)
}

/// What every builder needs.
struct Cx<'t> {
    file: FileId,
    text: &'t str,
    sink: &'t mut Sink,
}

impl<'t> Cx<'t> {
    /// Reads `segment` by the rule of `place`; reports why if that fails.
    fn read(&mut self, place: Place, segment: &Segment) -> Option<Node<'t>> {
        let text = self.segment_text(segment);
        let origin = Origin { file: self.file, offset: segment.lo };
        let rule = match place {
            Place::Item => Rule::item,
            Place::Member => Rule::member,
            Place::Statement => Rule::statement,
            Place::Else => Rule::else_segment,
        };
        match Grammar::parse(rule, text) {
            Ok(mut pairs) => {
                let amiss = segment.body.as_ref().and_then(|body| body.amiss.clone());
                amiss.into_iter().for_each(|message| self.sink.report(message));
                pairs.next().map(|pair| Node::new(pair, origin))
            }
            Err(error) => {
                self.sink.report_with(|| explain::refusal(&error, text, origin.file, origin.offset, place));
                None
            }
        }
    }

    fn segment_text(&self, segment: &Segment) -> &'t str {
        self.text.get(segment.lo..segment.hi).unwrap_or("")
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.sink.report(diagnostic);
    }
}
