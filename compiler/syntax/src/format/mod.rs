//! The one style of a source file, behind `mlc fmt`.
//!
//! The author's line ends stay, as far as they mean something, and so do comments and (single) empty
//! lines; blanks and indentation are decided here. Tokens are neither added nor taken away, but for a
//! `;` at the end of a line, so the tree of the result is that of the source. Formatting twice gives
//! what formatting once gave. `docs/format.md` has the rules.

mod align;
mod lines;
mod spacing;
mod stream;

use crate::diag::Diagnostic;
use crate::layout::{self, Line};
use crate::sink::Sink;
use crate::span::{FileId, Sources};
use std::collections::BTreeSet;

/// A file of `sources` in the one style.
///
/// # Errors
/// Its syntax errors: what can't be read is not formatted.
pub fn format(file: FileId, sources: &Sources) -> Result<String, Vec<Diagnostic>> {
    let (_, diagnostics) = crate::parse(file, sources);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let text = &sources.file(file).text;
    let layout = layout::cut(file, text, &mut Sink::default());
    let mut starts = BTreeSet::new();
    line_starts(&layout.lines, &mut starts);
    let stream = stream::stream(text);
    let begins_line: Vec<bool> = stream.tokens.iter().map(|token| starts.contains(&token.lo)).collect();
    let roles = spacing::roles(&stream.tokens, &begins_line);
    Ok(align::text(lines::lines(&stream, &roles, &begins_line)))
}

/// Where logical lines begin. As deep as braces are nested, which the layout limits.
fn line_starts(lines: &[Line], starts: &mut BTreeSet<usize>) {
    for line in lines {
        starts.extend(line.segments.first().map(|segment| segment.lo));
        for body in line.segments.iter().filter_map(|segment| segment.body.as_ref()) {
            line_starts(&body.lines, starts);
        }
    }
}
