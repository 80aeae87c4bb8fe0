//! Numbers without a dtype take that of what they meet, also behind a choice between two of them.

mod common;

use common::outcome;
use mlc_ir::ty::DType;

fn result(function: &str) -> DType {
    let program = outcome("literals.dl", &format!("model M {{ @export {function} }}")).program();
    let region = program.graph.region(program.graph.entries[0].region);
    region.ty(region.results[0]).dtype
}

#[test]
fn a_choice_between_numbers_has_no_dtype() {
    assert_eq!(result("fn f(x: f32[B]) -> f32[B] { return where(x > 0, 1, 0) }"), DType::F32);
    assert_eq!(result("fn f(x: f64[B]) -> f64[B] { return x * where(x > 0, 1, 0.5) }"), DType::F64);
    assert_eq!(result("fn f(x: f64[B]) -> i32[B] { return where(x > 0, 1, 0) }"), DType::I32);
    assert_eq!(result("fn f(x: f32[B]) -> f32[B] { return x + (if sum(x) > 0 then 1 else 0) }"), DType::F32);
    assert_eq!(
        result("fn f(x: f32[B]) -> f32[B] { s = where(x > 0, 1, 0); for i in 0..3 { s = s + x }; return s }"),
        DType::F32
    );
}

#[test]
fn a_float_stays_one() {
    let text = outcome(
        "literals.dl",
        "model M { @export fn f(x: f32[B], n: i32[B]) -> i32[B] { return n + where(x > 0, 1.5, 0) } }",
    )
    .text();
    assert!(text.starts_with("E0104"), "{text}");
}
