//! A readable picture of a syntax tree.
use crate::ast::Module;
use crate::span::Sources;
/// Pictures `module`.
pub fn print(module: &Module, sources: &Sources) -> String { let _ = sources; format!("{module:#?}") }
