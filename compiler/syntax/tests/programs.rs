//! Whole programs are read without a word, and their trees are what they were.

mod common;

use common::{parse, programs};

#[test]
fn programs_parse() {
    assert!(programs().len() >= 10);
    for (path, text) in programs() {
        let parsed = parse(&text);
        assert_eq!(parsed.messages(), Vec::<String>::new(), "{}", path.display());
        assert!(!parsed.module.items.is_empty(), "{}", path.display());
    }
}

/// `MLC_BLESS=1` rewrites the pictures.
#[test]
fn trees_are_as_pictured() {
    for (path, text) in programs() {
        let picture = parse(&text).picture();
        let expected = path.with_extension("ast");
        if std::env::var_os("MLC_BLESS").is_some() {
            std::fs::write(&expected, &picture).expect("a writable directory");
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(wanted == picture, "{} differs from the tree; MLC_BLESS=1 rewrites it", expected.display());
    }
}

#[test]
fn layout_does_not_matter() {
    for (path, text) in programs() {
        let crlf = parse(&text.replace('\n', "\r\n"));
        assert_eq!(crlf.messages(), Vec::<String>::new(), "{}", path.display());
        assert_eq!(crlf.picture(), parse(&text).picture(), "{}", path.display());
        let with_mark = parse(&format!("\u{feff}{text}"));
        assert_eq!(with_mark.messages(), Vec::<String>::new(), "{}", path.display());
    }
}
