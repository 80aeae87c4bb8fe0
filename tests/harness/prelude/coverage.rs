//! Every declaration of the prelude has a line of documentation and is used by a program here.

use crate::files;
use libtest_mimic::{Failed, Trial};
use mlc_syntax::ast;
use mlc_syntax::span::{Sources, Span};
use std::fs;

/// What other entries are made of, and is checked through them.
const HELPERS: [&str; 11] = [
    "clipped",
    "conv_pads",
    "depthwise_uniform",
    "orthonormal",
    "part",
    "per_axis",
    "ramp",
    "reduced",
    "root",
    "same_pad",
    "window_pads",
];

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("every entry is documented", documented), Trial::test("every entry has a case", covered)]
}

/// A declaration of the prelude.
struct Entry {
    name: String,
    file: &'static str,
    /// The line above it.
    above: String,
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (file, text) in mlc::prelude::FILES {
        let mut sources = Sources::default();
        let id = sources.add(file, text);
        let (module, diagnostics) = mlc_syntax::parse(id, &sources);
        assert!(diagnostics.is_empty(), "{file}");
        for item in &module.items {
            let (name, span) = declared(item).unwrap_or_else(|| panic!("{file}: only fn, layer, optimizer stand here"));
            let before = &text[..span.lo as usize];
            let above = before[..before.rfind('\n').unwrap_or(0)].lines().last().unwrap_or("").to_string();
            entries.push(Entry { name: name.text.to_string(), file, above });
        }
    }
    entries
}

fn declared(item: &ast::Item) -> Option<(&ast::Name, Span)> {
    match item {
        ast::Item::Fn(decl) => Some((&decl.name, decl.span)),
        ast::Item::Layer(decl) => Some((&decl.name, decl.span)),
        ast::Item::Optimizer(decl) => Some((&decl.name, decl.span)),
        _ => None,
    }
}

fn documented() -> Result<(), Failed> {
    let bare: Vec<String> = entries()
        .iter()
        .filter(|entry| !entry.above.starts_with("# "))
        .map(|entry| format!("{} in {}", entry.name, entry.file))
        .collect();
    if bare.is_empty() { Ok(()) } else { Err(format!("no line of documentation: {}", bare.join(", ")).into()) }
}

fn covered() -> Result<(), Failed> {
    let texts: Vec<String> = files("dl").iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    let used = |name: &str| texts.iter().any(|text| text.lines().any(|line| uses(line, name)));
    let names = entries().into_iter().map(|entry| entry.name);
    let missing: Vec<String> = names.filter(|name| !HELPERS.contains(&name.as_str()) && !used(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no program uses {}", missing.join(", ")).into()) }
}

/// Whether a line calls `name`, or gives it as an argument.
fn uses(line: &str, name: &str) -> bool {
    let code = line.split('#').next().unwrap_or("");
    let called = code.match_indices(&format!("{name}(")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    });
    called || code.contains(&format!(": {name})")) || code.contains(&format!("\"{name}\""))
}
