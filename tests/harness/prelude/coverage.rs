//! Every declaration of the prelude has a line of documentation, is used by a program here, and
//! stands in `docs/ops.md`, with the primitive ops and the functions known to the compiler.

use crate::entries::{self, Entry, HELPERS, uses};
use crate::{files, folder, mlc};
use libtest_mimic::{Failed, Trial};
use mlc_tests::{arrays, process, repository, snapshot};
use std::fmt::Write;
use std::fs;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("every entry is documented", documented),
        Trial::test("every entry has a case", covered),
        Trial::test("the page is current", || {
            snapshot::check(&repository("docs/ops.md"), &page()).map_err(Failed::from)
        }),
        Trial::test("it has the one style", formatted),
    ]
}

fn documented() -> Result<(), Failed> {
    let bare: Vec<String> = entries::all()
        .iter()
        .filter(|entry| entry.doc.is_empty())
        .map(|entry| format!("{} in {}", entry.name, entry.file))
        .collect();
    if bare.is_empty() { Ok(()) } else { Err(format!("no line of documentation: {}", bare.join(", ")).into()) }
}

fn covered() -> Result<(), Failed> {
    let missing: Vec<String> =
        entries::all().iter().filter(|entry| checks(entry).is_empty()).map(|entry| entry.name.clone()).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no program uses {}", missing.join(", ")).into()) }
}

/// `mlc fmt` would change nothing.
fn formatted() -> Result<(), Failed> {
    let files: Vec<String> = ::mlc::prelude::FILES
        .iter()
        .map(|(name, _)| repository("compiler/mlc").join(name).to_string_lossy().into_owned())
        .collect();
    let args: Vec<&str> = ["fmt", "--check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let outcome = process::run(mlc(), &repository("."), &args);
    if outcome.status == 0 { Ok(()) } else { Err(format!("{}{}", outcome.stdout, outcome.stderr).into()) }
}

/// What is compared for an entry.
fn checks(entry: &Entry) -> Vec<&'static str> {
    if HELPERS.contains(&entry.name.as_str()) {
        return vec!["through others"];
    }
    let mut found = Vec::new();
    for path in files("dl") {
        let text = fs::read_to_string(&path).unwrap();
        let golden = path.with_extension("golden");
        // Behind `project` stands the step, whose optimizer is not what a case is about.
        let about = if golden.exists() { text.split("fn project").next().unwrap_or("") } else { &text };
        if !uses(about, &entry.name) {
            continue;
        }
        if golden.exists() {
            let arrays = arrays::read(&golden);
            let any = |prefix: &str| arrays.keys().any(|name| name.starts_with(prefix));
            found.extend(any("value.").then_some("values"));
            found.extend(any("gradient.").then_some("gradient"));
            found.extend(text.contains("check_grad").then_some("differences"));
        } else if path == folder().join("optimizers.dl") {
            found.push("training");
        } else {
            found.push("statistics");
        }
    }
    let order = ["values", "gradient", "differences", "training", "statistics"];
    order.into_iter().filter(|check| found.contains(check)).collect()
}

/// The reference page.
fn page() -> String {
    let mut page = format!("{OPS}{}{BUILTINS}", mlc_ir::ops::reference::table());
    for (signature, doc) in mlc_resolve::builtins() {
        let _ = writeln!(page, "| `{signature}` | {} |", cell(doc));
    }
    page.push_str(PRELUDE);
    let entries = entries::all();
    for (file, text) in ::mlc::prelude::FILES {
        let about: Vec<&str> = text.lines().take_while(|line| line.starts_with("# ")).map(|line| &line[2..]).collect();
        let theme = file.trim_start_matches("prelude/").trim_end_matches(".dl");
        let _ = write!(page, "\n### {theme}\n\n{}\n\n| | meaning | checked |\n|---|---|---|\n", about.join(" "));
        for entry in entries.iter().filter(|entry| entry.file == *file) {
            let _ = writeln!(page, "| {} | {} | {} |", signature(entry), cell(&entry.doc), checks(entry).join(", "));
        }
    }
    page
}

const OPS: &str = "\
# Operations

Made from the tables and the prelude (`MLC_BLESS=1 cargo test -p mlc-tests --test prelude`); edit an op's file, a
builtin's row or `compiler/mlc/prelude/*.dl`, not this page. [language.md](language.md) says what the types mean.

- [Primitive ops](#primitive-ops)
- [Functions known to the compiler](#functions-known-to-the-compiler)
- [Prelude](#prelude)

## Primitive ops

What programs come down to. Of each op the shape rule, the reference evaluation, the index form and the machine code are
compared with each other on its sample calls, and its gradient and the gradient of that with central differences in f64
(`cargo test -p mlc-ir -p mlc-kernel -p mlc-codegen`). The tolerance is how far a compiled result may be from the exact
one, in units of the last place of the largest term; 0 means equal bits.

";

const BUILTINS: &str = "
## Functions known to the compiler

They make the ops above; `compiler/resolve/tests` and the programs that use them check them.

| function | |
|---|---|
";

const PRELUDE: &str = "
## Prelude

Written in the language: `mlc emit --prelude` shows its text.

Checked, each in f64 and f32: *values* (forward) and *gradient* against PyTorch, or the stated formula where they differ
on purpose; *differences*: the gradient against finite differences; *training*: weights after twelve steps against PyTorch
or the formula; *statistics*: mean, deviation, bounds of what is drawn.
";

/// The head, and of a layer its functions and weights.
fn signature(entry: &Entry) -> String {
    let head = entry.head.trim_start_matches("fn ").trim_start_matches("layer ").trim_start_matches("optimizer ");
    let mut lines = vec![format!("`{head}`")];
    lines.extend(entry.functions.iter().map(|function| format!("`{}`", function.trim_start_matches("fn "))));
    if !entry.tensors.is_empty() {
        lines.push(entry.tensors.iter().map(|tensor| format!("`{tensor}`")).collect::<Vec<_>>().join(", "));
    }
    cell(&lines.join("<br>"))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
