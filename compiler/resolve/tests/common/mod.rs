//! Sources for the tests: a program with the whole prelude.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use mlc_resolve::program::Program;
use mlc_resolve::{Recompute, Request, resolve};
use mlc_syntax::diag::{Diagnostic, Severity};
use mlc_syntax::span::Sources;

/// The prelude as `mlc` ships it.
const PRELUDE: &[(&str, &str)] = &[
    ("prelude/activations.dl", include_str!("../../../mlc/prelude/activations.dl")),
    ("prelude/attention.dl", include_str!("../../../mlc/prelude/attention.dl")),
    ("prelude/convolution.dl", include_str!("../../../mlc/prelude/convolution.dl")),
    ("prelude/initialisers.dl", include_str!("../../../mlc/prelude/initialisers.dl")),
    ("prelude/layers.dl", include_str!("../../../mlc/prelude/layers.dl")),
    ("prelude/losses.dl", include_str!("../../../mlc/prelude/losses.dl")),
    ("prelude/metrics.dl", include_str!("../../../mlc/prelude/metrics.dl")),
    ("prelude/normalization.dl", include_str!("../../../mlc/prelude/normalization.dl")),
    ("prelude/optimizers.dl", include_str!("../../../mlc/prelude/optimizers.dl")),
    ("prelude/padding.dl", include_str!("../../../mlc/prelude/padding.dl")),
    ("prelude/pooling.dl", include_str!("../../../mlc/prelude/pooling.dl")),
    ("prelude/recurrent.dl", include_str!("../../../mlc/prelude/recurrent.dl")),
    ("prelude/reductions.dl", include_str!("../../../mlc/prelude/reductions.dl")),
    ("prelude/schedules.dl", include_str!("../../../mlc/prelude/schedules.dl")),
];

/// What came of a program.
pub struct Outcome {
    pub program: Option<Program>,
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

impl Outcome {
    /// The program; a test that gets errors instead fails with them.
    pub fn program(self) -> Program {
        let text = self.text();
        self.program.unwrap_or_else(|| panic!("the program was refused:\n{text}"))
    }

    /// All diagnostics, readable.
    pub fn text(&self) -> String {
        self.diagnostics.iter().map(|diagnostic| show(diagnostic, &self.sources)).collect()
    }

    /// The errors alone.
    pub fn errors(&self) -> Vec<&Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect()
    }
}

/// A diagnostic in a few lines.
pub fn show(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let mut text = format!("{}: {}\n", diagnostic.code.name(), diagnostic.title);
    for label in diagnostic.primary.iter().chain(&diagnostic.secondary) {
        let line = format!("    {} `{}` {}\n", sources.position(label.span), sources.text(label.span), label.text);
        text.push_str(&line);
    }
    for note in &diagnostic.notes {
        text.push_str(&format!("    note: {note}\n"));
    }
    for help in &diagnostic.help {
        text.push_str(&format!("    help: {help}\n"));
    }
    text
}

/// Resolves a program with values from the command line.
pub fn outcome_with(name: &str, text: &str, constants: &[(&str, &str)]) -> Outcome {
    let mut sources = Sources::new();
    let file = sources.add(name, text);
    let prelude = PRELUDE.iter().map(|(name, text)| sources.add(name, text)).collect();
    let constants = constants.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let (program, diagnostics) = resolve(
        &Request { file, prelude, imports: Vec::new(), constants, recompute: Recompute::AsWritten },
        &mut sources,
    );
    Outcome { program, diagnostics, sources }
}

/// Resolves a program.
pub fn outcome(name: &str, text: &str) -> Outcome {
    outcome_with(name, text, &[])
}
