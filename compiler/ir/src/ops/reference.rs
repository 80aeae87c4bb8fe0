//! The primitive ops as the reference page `docs/ops.md` lists them, made from the table.

use super::reduce::{Reduce, ReduceKind};
use super::{Arity, Case, Class, Op, OpInfo};
use crate::autodiff::gradient;
use crate::builder::Builder;
use crate::graph::{Graph, Value};
use crate::region_ops::{Call, Loop, Remat, Trip};

/// The rows of the page's table of ops, with its head.
pub fn table() -> String {
    let mut text = String::from(HEAD);
    for family in families() {
        let info = family.info;
        let operands = match info.arity {
            Arity::Exactly(count) => count.to_string(),
            Arity::AtLeast(count) => format!("{count} or more"),
        };
        let (name, doc) = (info.name, info.doc.replace('|', "\\|"));
        let (class, tolerance) = (class_name(info.class), info.tolerance_ulp);
        let Family { example, gradient, .. } = family;
        text.push_str(&format!("| `{name}` | {class} | {operands} | {tolerance} | {doc} | {example} | {gradient} |\n"));
    }
    text
}

const HEAD: &str = "\
| op | class | operands | tolerance | forward | example | gradient |
|---|---|---|---|---|---|---|
";

/// An op as the page shows it.
struct Family {
    info: OpInfo,
    example: String,
    gradient: String,
}

/// Each op once, in the order of the table, with its first sample call.
fn families() -> Vec<Family> {
    let mut list: Vec<Family> = Vec::new();
    for case in Op::cases() {
        let info = case.op.info();
        if !list.iter().any(|known| known.info.name == info.name) {
            list.push(Family { info, example: example(&case), gradient: gradients(&case) });
        }
    }
    let of_body = "that of the body";
    for info in [empty_loop().info(), Call { remat: Remat::Keep }.info()] {
        list.push(Family { info, example: String::new(), gradient: of_body.to_string() });
    }
    list
}

/// For which operands of a call there is a gradient: `all`, or what is said of each that has none.
fn gradients(case: &Case) -> String {
    let (mut graph, mut b) = (Graph::new(), Builder::new("example"));
    let args: Vec<Value> = case.args.iter().map(|ty| b.param(ty.clone())).collect();
    let floats: Vec<Value> = args.iter().copied().filter(|arg| b.ty(*arg).dtype.is_float()).collect();
    let results = b.add(case.op.clone(), &args);
    let Some(result) = results.into_iter().find(|result| b.ty(*result).dtype.is_float()) else {
        return "none: its result is no float".to_string();
    };
    if floats.is_empty() {
        return "none: it has no float operand".to_string();
    }
    let axes: Vec<usize> = (0..b.ty(result).rank()).collect();
    let loss = if axes.is_empty() { result } else { b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[result]) };
    let found = gradient(&mut graph, &mut b, loss, &floats);
    let mut reasons: Vec<String> = Vec::new();
    for reason in found.iter().filter_map(|one| one.err()).map(|cut| cut.at.map_or_else(String::new, |at| at.1.text()))
    {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    match (found.iter().any(Result::is_ok), reasons.is_empty()) {
        (true, true) => "yes".to_string(),
        (true, false) => format!("yes, but {}", reasons.join("; ")),
        (false, _) => format!("none: {}", reasons.join("; ")),
    }
}

fn empty_loop() -> Loop {
    Loop::new(Trip::Exact(crate::dim::Dim::one()))
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
        Class::Foreign => "foreign",
    }
}
