//! The result of one function of one model, and numbers to compare it with.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::common::outcome;
use crate::run::Machine;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::Program;

/// A model whose exported `f` has these arguments, result and body.
pub fn program(body: &str) -> Program {
    outcome("t.dl", &format!("model M {{\n@export fn f{body}\n}}")).program()
}

/// The result `out` of `f` of a model.
pub fn value(body: &str, args: &[(&str, Tensor)]) -> Vec<f64> {
    let mut machine = Machine::new(program(body), 0);
    let entry = machine.function("f");
    let results = machine.call(entry, args);
    assert!(results.faults.iter().all(|fault| *fault == i64::from(i32::MAX)), "{:?}", results.faults);
    numbers(&results.named["out"])
}

/// The elements, whatever the dtype.
pub fn numbers(tensor: &Tensor) -> Vec<f64> {
    if tensor.dtype.is_float() {
        tensor.floats().to_vec()
    } else {
        tensor.ints().iter().map(|value| *value as f64).collect()
    }
}

/// Equal but for rounding.
#[track_caller]
pub fn near(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{found:?} and {wanted:?}");
    for (a, b) in found.iter().zip(wanted) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()) || a == b, "{found:?} and {wanted:?}");
    }
}

pub fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, values)
}

pub fn i32s(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::from_i32(shape, values)
}

/// 1 to 6 in two rows.
pub fn six() -> Tensor {
    f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
}
