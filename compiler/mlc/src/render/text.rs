//! Diagnostics as text, in the manner of rustc.

use super::{clamped, shortened};
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use mlc_syntax::diag::{Diagnostic, Label, Severity};
use mlc_syntax::span::{FileId, Sources};
use std::borrow::Cow;
use std::ops::Range;

/// Whether escape codes are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No escape codes.
    Plain,
    /// ANSI colours.
    Coloured,
}

/// Each diagnostic, followed by an empty line.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    diagnostics.iter().map(|diagnostic| renderer.render(&[group(diagnostic, sources)]) + "\n\n").collect()
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let notes = diagnostic.notes.iter().map(|text| Level::NOTE.message(shortened(text)));
    let help = diagnostic.help.iter().map(|text| Level::HELP.message(shortened(text)));
    level
        .primary_title(shortened(&diagnostic.title))
        .id(diagnostic.code.name())
        .elements(snippets(diagnostic, sources))
        .elements(notes)
        .elements(help)
}

/// One snippet for each file, the primary place's first.
fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Element<'a>> {
    let primary = diagnostic.primary.iter().map(|label| (AnnotationKind::Primary, label));
    let secondary = diagnostic.secondary.iter().map(|label| (AnnotationKind::Context, label));
    let mut by_file: Vec<(FileId, Places<'a>)> = Vec::new();
    for (kind, label) in primary.chain(secondary) {
        let Some((name, text, range)) = clamped(label.span, sources) else { continue };
        let place = (kind, range, words(label));
        match by_file.iter_mut().find(|(file, _)| *file == label.span.file) {
            Some((_, places)) => places.marks.push(place),
            None => by_file.push((label.span.file, Places { name, text, marks: vec![place] })),
        }
    }
    by_file.into_iter().flat_map(|(_, places)| places.elements()).collect()
}

/// A place in a text, with words.
type Mark<'a> = (AnnotationKind, Range<usize>, Option<Cow<'a, str>>);

/// Longer lines are named, not shown.
const LONGEST_LINE: usize = 1000;

/// What a message shows of a file.
struct Places<'a> {
    name: &'a str,
    text: &'a str,
    /// Never empty.
    marks: Vec<Mark<'a>>,
}

impl<'a> Places<'a> {
    /// Only the lines that are shown are handed on: a file may be large, and its messages many.
    fn elements(self) -> Vec<Element<'a>> {
        let lo = self.marks.iter().map(|(_, range, _)| range.start).min().unwrap_or(0);
        let hi = self.marks.iter().map(|(_, range, _)| range.end).max().unwrap_or(0);
        let start = self.text[..lo].rfind('\n').map_or(0, |at| at + 1);
        // A mark at the very end of a line is shown there, so that line's end belongs to it.
        let start = self.text[..start.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[hi..].find('\n').map_or(self.text.len(), |at| hi + at + 1);
        let line = self.text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1;
        if self.text[start..end].lines().any(|line| line.len() > LONGEST_LINE) {
            return self.origin();
        }
        let mark = |(kind, range, words): Mark<'a>| kind.span(range.start - start..range.end - start).label(words);
        let source = Snippet::source(&self.text[start..end]).line_start(line).path(self.name);
        vec![source.annotations(self.marks.into_iter().map(mark)).into()]
    }

    /// Where the first mark is, and what is said of it.
    fn origin(self) -> Vec<Element<'a>> {
        let mut elements = Vec::new();
        if let Some((_, range, words)) = self.marks.into_iter().next() {
            let before = &self.text[..range.start];
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            let column = before[start..].chars().count() + 1;
            elements.push(Origin::path(self.name).line(line).char_column(column).into());
            elements.extend(words.map(|words| Level::NOTE.message(words).into()));
        }
        elements
    }
}

fn words(label: &Label) -> Option<Cow<'_, str>> {
    Some(label.text.as_str()).filter(|text| !text.is_empty()).map(shortened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_syntax::codes::Code;
    use mlc_syntax::span::Span;

    #[test]
    fn looks_like_the_language_reference() {
        let text = "model M {\n    fn f() {\n        x = flatten(x) |> fc1 |> relu\n    }\n}\n";
        let mut sources = Sources::new();
        let file = sources.add("cnn.dl", text);
        let span = |word: &str| {
            let lo = text.find(word).unwrap();
            Span::new(file, lo, lo + word.len())
        };
        let diagnostic = Diagnostic::error(Code::E0107, span("fc1"), "matrix sizes do not agree: 3136 and 1568")
            .label("`fc1` takes 1568 features (set by its first use, cnn.dl:21)")
            .also(span("flatten(x)"), "f32[B, 3136], because 7 * 7 * 64")
            .help("give the two uses their own Linear, or make the sizes agree");
        let expected = "\
error[E0107]: matrix sizes do not agree: 3136 and 1568
 --> cnn.dl:3:27
  |
3 |         x = flatten(x) |> fc1 |> relu
  |             ----------    ^^^ `fc1` takes 1568 features (set by its first use, cnn.dl:21)
  |             |
  |             f32[B, 3136], because 7 * 7 * 64
  |
  = help: give the two uses their own Linear, or make the sizes agree

";
        assert_eq!(render(&[diagnostic], &sources, Style::Plain), expected);
    }
}
