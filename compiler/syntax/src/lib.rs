//! Text of the `.dl` language to a syntax tree.
//!
//! [`parse`] never fails: it returns what could be read and a list of diagnostics. The crate knows
//! neither names nor sizes; it does no IO. [`ast`] is the data that `mlc-resolve` reads, [`diag`]
//! the data model of every message of the compiler, [`codes`] the list of their kinds.
//!
//! The way of a file: `layout` cuts it into logical lines, `grammar` (pest) reads each line alone,
//! `build` makes the tree of what it read, `explain` makes a message of what it could not read.
//! [`print`](print::print) shows a tree, [`format`] gives a text its one style.

pub mod ast;
mod build;
pub mod codes;
pub mod diag;
mod explain;
mod format;
mod grammar;
mod layout;
pub mod print;
mod sink;
pub mod span;

pub use explain::foreign_package;
pub use format::format;

/// The most bytes a source file may have: data belongs into data files.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Reads one file of `sources`.
///
/// What has a syntax error is left out of the tree; everything else is in it. Diagnostics come in the
/// order of their places, at most fifty; the last tells how many more there are.
pub fn parse(file: span::FileId, sources: &span::Sources) -> (ast::Module, Vec<diag::Diagnostic>) {
    let source = &sources.file(file).text;
    if source.len() > MAX_FILE_BYTES {
        return (ast::Module::default(), vec![too_large(file, source.len())]);
    }
    let mut sink = sink::Sink::default();
    let layout = layout::cut(file, source, &mut sink);
    let module = build::module(file, &layout, &mut sink);
    (module, sink.into_sorted())
}

/// The imports of one file of `sources`, as [`parse`] finds them, without reading the rest of it.
pub fn imports(file: span::FileId, sources: &span::Sources) -> Vec<ast::Import> {
    let source = &sources.file(file).text;
    // Most files have none, and the word would be there.
    if source.len() > MAX_FILE_BYTES || !source.contains("import") {
        return Vec::new();
    }
    build::imports(file, &layout::cut(file, source, &mut sink::Sink::default()))
}

fn too_large(file: span::FileId, bytes: usize) -> diag::Diagnostic {
    let title = format!("this file has {bytes} bytes, more than the {MAX_FILE_BYTES} of a program");
    diag::Diagnostic::error(codes::Code::E0010, span::Span::new(file, 0, 0), title)
        .help("is it a data file? Programs name their data files in `train`")
}
