//! Diagnostics for editors: one JSON object a line, with the keys `code`, `severity`, `title`,
//! `spans`, `notes`, `help`. The first of `spans` is the primary one if its `primary` is true.
//! Lines and columns count from 1, columns in characters; `lo` and `hi` are byte offsets.

use super::{clamped, shortened};
use mlc_syntax::diag::{Diagnostic, Label, Severity};
use mlc_syntax::span::Sources;
use serde_json::{Value, json};

/// Each diagnostic on a line.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    diagnostics.iter().map(|diagnostic| format!("{}\n", object(diagnostic, sources))).collect()
}

fn object(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let primary = diagnostic.primary.iter().map(|label| (true, label));
    let secondary = diagnostic.secondary.iter().map(|label| (false, label));
    let spans: Vec<Value> =
        primary.chain(secondary).filter_map(|(is_primary, label)| span(is_primary, label, sources)).collect();
    json!({
        "code": diagnostic.code.name(),
        "severity": severity,
        "title": shortened(&diagnostic.title),
        "spans": spans,
        "notes": diagnostic.notes.iter().map(|text| shortened(text)).collect::<Vec<_>>(),
        "help": diagnostic.help.iter().map(|text| shortened(text)).collect::<Vec<_>>(),
    })
}

fn span(primary: bool, label: &Label, sources: &Sources) -> Option<Value> {
    let (name, _, range) = clamped(label.span, sources)?;
    let file = sources.file(label.span.file);
    let (line, column) = file.line_col(range.start as u32);
    let (end_line, end_column) = file.line_col(range.end as u32);
    Some(json!({
        "file": name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "lo": range.start,
        "hi": range.end,
        "label": shortened(&label.text),
        "primary": primary,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_syntax::codes::Code;
    use mlc_syntax::span::Span;

    #[test]
    fn one_object_a_line() {
        let mut sources = Sources::new();
        let file = sources.add("m.dl", "ab\nμν x\n");
        let diagnostic =
            Diagnostic::error(Code::E0101, Span::new(file, 8, 9), "unknown name `x`").help("did you mean `y`?");
        let text = render(&[diagnostic.clone(), diagnostic], &sources);
        assert_eq!(text.lines().count(), 2);
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((first["code"].as_str(), first["severity"].as_str()), (Some("E0101"), Some("error")));
        let place = &first["spans"][0];
        assert_eq!(
            (place["line"].as_u64(), place["column"].as_u64(), place["lo"].as_u64()),
            (Some(2), Some(4), Some(8))
        );
        assert_eq!(first["help"][0], "did you mean `y`?");
    }
}
