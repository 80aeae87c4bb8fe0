//! The declarations of the prelude, read from its text.

use mlc_syntax::ast;
use mlc_syntax::span::{Sources, Span};

/// What other entries are made of, and is checked through them.
pub const HELPERS: [&str; 13] = [
    "clipped",
    "conv_pads",
    "depthwise_uniform",
    "forget_bias",
    "orthonormal",
    "part",
    "per_axis",
    "ramp",
    "reduced",
    "root",
    "same_pad",
    "transposed_pad",
    "window_pads",
];

/// A declaration.
pub struct Entry {
    pub name: String,
    pub file: &'static str,
    /// The comment above it.
    pub doc: String,
    /// `layer LayerNorm(eps: f32 = 1e-5)`, on one line, without what it requires.
    pub head: String,
    /// Of a layer: its functions, then its weights and states.
    pub functions: Vec<String>,
    pub tensors: Vec<String>,
}

/// All of them, in order; a function's own gradient is a part of the function.
pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (file, text) in ::mlc::prelude::FILES {
        let mut sources = Sources::default();
        let id = sources.add(file, text);
        let (module, diagnostics) = mlc_syntax::parse(id, &sources);
        assert!(diagnostics.is_empty(), "{file}");
        let own = module.items.iter().filter(|item| !matches!(item, ast::Item::Grad(_)));
        entries.extend(own.map(|item| entry(item, file, text)));
    }
    entries
}

/// Whether a program calls `name`, or gives it as an argument.
pub fn uses(program: &str, name: &str) -> bool {
    program.lines().any(|line| {
        let code = line.split('#').next().unwrap_or("");
        let called = code.match_indices(&format!("{name}(")).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
        });
        called || code.contains(&format!(": {name})")) || code.contains(&format!("\"{name}\""))
    })
}

fn entry(item: &ast::Item, file: &'static str, text: &str) -> Entry {
    let (name, span, members): (_, Span, &[ast::Member]) = match item {
        ast::Item::Fn(decl) => (&decl.name, decl.span, &[]),
        ast::Item::Layer(decl) => (&decl.name, decl.span, &decl.members),
        ast::Item::Optimizer(decl) => (&decl.name, decl.span, &[]),
        _ => panic!("{file}: only fn, layer, optimizer stand here"),
    };
    let start = span.lo as usize;
    let head = text[start..].split('{').next().unwrap_or("");
    let mut entry = Entry {
        name: name.text.to_string(),
        file,
        doc: comment_above(&text[..start]),
        head: signature(head),
        functions: Vec::new(),
        tensors: Vec::new(),
    };
    for member in members {
        match member {
            ast::Member::Fn(decl) => {
                entry.functions.push(signature(&text[decl.span.lo as usize..decl.span.hi as usize]))
            }
            ast::Member::Param(tensor) | ast::Member::State(tensor) => {
                let declared = &text[tensor.name.span.lo as usize..tensor.ty.span.hi as usize];
                entry.tensors.push(one_line(declared));
            }
            ast::Member::Bind(_) => {}
        }
    }
    entry
}

fn comment_above(before: &str) -> String {
    let lines: Vec<&str> = before.lines().collect();
    let comment = lines.iter().rev().take_while(|line| line.starts_with("# "));
    let mut lines: Vec<&str> = comment.map(|line| line.trim_start_matches("# ")).collect();
    lines.reverse();
    lines.join(" ")
}

fn signature(text: &str) -> String {
    let text = one_line(text);
    text.split(" requires ").next().unwrap_or(&text).to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}
