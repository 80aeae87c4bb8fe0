//! The reference page of the ops, `docs/ops.md`, made from the table.

use super::{Arity, Case, Class, Op, OpInfo};
use crate::region_ops::{Call, Loop, Remat, Trip};

/// The page.
pub fn page() -> String {
    let mut text = String::from(HEAD);
    for (info, example) in families() {
        let operands = match info.arity {
            Arity::Exactly(count) => count.to_string(),
            Arity::AtLeast(count) => format!("{count} or more"),
        };
        let (name, doc) = (info.name, info.doc.replace('|', "\\|"));
        let (class, tolerance) = (class_name(info.class), info.tolerance_ulp);
        text.push_str(&format!("| `{name}` | {class} | {operands} | {tolerance} | {doc} | {example} |\n"));
    }
    text
}

const HEAD: &str = "\
# Ops

Made from the `ops!` table (`cargo test -p mlc-ir --test reference`); edit the op's file, not this page.

The tolerance is how far a compiled result may be from the exact one, in units of the last place of
the largest term; 0 means equal bits.

| op | class | operands | tolerance | meaning | example |
|---|---|---|---|---|---|
";

/// Each op once, in the order of the table, with its first sample call.
fn families() -> Vec<(OpInfo, String)> {
    let mut list: Vec<(OpInfo, String)> = Vec::new();
    for case in Op::cases() {
        let info = case.op.info();
        if !list.iter().any(|(known, _)| known.name == info.name) {
            list.push((info, example(&case)));
        }
    }
    list.push((empty_loop().info(), String::new()));
    list.push((Call { remat: Remat::Keep }.info(), String::new()));
    list
}

fn empty_loop() -> Loop {
    let trip = Trip::Exact(crate::dim::Dim::one());
    Loop { trip, rev: false, until: false, carries: 0, slices: 0, invariants: 0, stacks: 0, sums: 0 }
}

/// `(f32[2, 3], f32[3]) -> f32[2]`
fn example(case: &Case) -> String {
    let args: Vec<String> = case.args.iter().map(|ty| ty.display(&[])).collect();
    let types = case.op.primitive().map(|op| op.infer(&case.args.iter().collect::<Vec<_>>()));
    let results: Vec<String> = types.and_then(Result::ok).iter().flatten().map(|ty| ty.display(&[])).collect();
    format!("`({}) -> {}`", args.join(", "), results.join(", "))
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Source => "source",
        Class::Elementwise => "elementwise",
        Class::View => "view",
        Class::Alias => "alias",
        Class::Reduce => "reduce",
        Class::Contraction => "contraction",
        Class::Window => "window",
        Class::Gather => "gather",
        Class::Scatter => "scatter",
        Class::Random => "random",
        Class::Loop => "loop",
        Class::Call => "call",
    }
}
