//! Diagnostics to what is shown: text for people ([`text`]), one JSON object a line for editors
//! ([`json`]). The only place that knows how a message looks.
//!
//! Guarantees: never panics, whatever the spans are; the same diagnostic gives the same bytes,
//! independent of the terminal.

pub mod json;
pub mod text;

use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{Sources, Span};
use std::borrow::Cow;
use std::ops::Range;

/// The forms a diagnostic can be shown in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people, without colours.
    #[default]
    Plain,
    /// For people, with colours.
    Coloured,
    /// For editors.
    Json,
}

/// All of `diagnostics`, one after the other, ending with a newline unless there is none.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, format: Format) -> String {
    match format {
        Format::Plain => text::render(diagnostics, sources, text::Style::Plain),
        Format::Coloured => text::render(diagnostics, sources, text::Style::Coloured),
        Format::Json => json::render(diagnostics, sources),
    }
}

/// The most bytes of a title, note or label that are shown: names may be as long as a file.
const LONGEST_TEXT: usize = 2000;

/// A text, without what is too much of it.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(LONGEST_TEXT)]))
}

/// A span's file name and text with a byte range that lies within the text and on character
/// boundaries; nothing if the file doesn't exist.
fn clamped(span: Span, sources: &Sources) -> Option<(&str, &str, Range<usize>)> {
    let (_, file) = sources.files().find(|(id, _)| *id == span.file)?;
    let text: &str = &file.text;
    let lo = text.floor_char_boundary((span.lo as usize).min(text.len()));
    let hi = text.ceil_char_boundary((span.hi as usize).min(text.len()));
    Some((&file.name, text, lo..hi.max(lo)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_syntax::codes::Code;
    use mlc_syntax::span::FileId;

    #[test]
    fn odd_spans_never_panic() {
        let mut sources = Sources::new();
        for text in ["", "\n", "a\tb\r\nμ = 1\n\n\u{1}x\u{202e}", "no newline at the end"] {
            let file = sources.add("odd.dl", text);
            for lo in 0..=text.len() as u32 + 2 {
                for hi in 0..=text.len() as u32 + 2 {
                    let span = Span { file, lo, hi };
                    let all = [Diagnostic::error(Code::E0001, span, "title").label("here").also(span, "and here")];
                    for format in [Format::Plain, Format::Coloured, Format::Json] {
                        assert!(render(&all, &sources, format).contains("title"));
                    }
                }
            }
        }
        let long = format!("{}\nshort\n", "x".repeat(1 << 16));
        let file = sources.add("long.dl", &long);
        let all = [Diagnostic::error(Code::E0001, Span::new(file, 1 << 12, 1 << 13), long.clone()).label(long.clone())];
        for format in [Format::Plain, Format::Coloured, Format::Json] {
            let text = render(&all, &sources, format);
            assert!(text.len() < 8000 && text.contains("long.dl"), "{}", text.len());
        }
        let nowhere = Span { file: FileId(99), lo: 5, hi: 2 };
        let lost = [Diagnostic::error(Code::E0001, nowhere, "title").label("in no file")];
        assert_eq!(render(&lost, &sources, Format::Plain), "error[E0001]: title\n\n");
        assert!(render(&lost, &sources, Format::Json).ends_with("}\n"));
    }
}
