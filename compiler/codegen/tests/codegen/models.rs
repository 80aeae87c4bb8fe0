//! A whole training step: machine code against the Lane interpreter, and one thread against several,
//! bit for bit.

use crate::check::{Way, rounding, ways};
use crate::run::run_compiled;
use mlc_codegen::compile_jit;
use mlc_ir::graph::Graph;
use mlc_kernel::interp::Rounding;
use mlc_kernel::lower::lower;
use mlc_kernel::run::{Memory, Outcome, run};
use mlc_rt_core::abi::Status;

/// What a step reads and writes, as the interpreter's memory.
fn memory(batch: i64) -> Memory {
    let mut number = 1u32;
    let mut next = |scale: f32| {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((number >> 8) as f32 / 16_777_216.0 - 0.5) * scale
    };
    let image: Vec<u8> = (0..batch * 784).flat_map(|_| (next(1.0) * 127.0 + 127.0).to_le_bytes()).collect();
    let label: Vec<u8> = (0..batch).flat_map(|i| ((i * 7 % 10) as i32).to_le_bytes()).collect();
    let mut globals = Vec::new();
    for part in 0..3 {
        for shape in mlc_benches::CNN_WEIGHTS {
            let count: i64 = shape.iter().product();
            let bytes = (0..count).flat_map(|_| (if part == 2 { next(0.1).abs() } else { next(0.1) }).to_le_bytes());
            globals.push(bytes.collect());
        }
    }
    Memory { args: vec![image, label], results: vec![vec![0; 4]], globals, scalars: [7, 3, 0, 10, 3] }
}

#[test]
fn a_training_step_has_the_same_bits_everywhere() {
    let graph = mlc_benches::cnn_step(32);
    let mut all: Option<Step> = None;
    for way in ways().into_iter().filter(|way| rounding(way.level) == Rounding::Fused) {
        let results = a_training_step_by(&graph, way);
        let first = all.get_or_insert_with(|| results.clone());
        assert!(*first == results, "{way:?} differs from the ways before");
    }
}

/// The loss and the weights after a step of 32 pictures.
#[derive(Clone, PartialEq)]
struct Step {
    results: Vec<Vec<u8>>,
    globals: Vec<Vec<u8>>,
}

fn a_training_step_by(graph: &Graph, way: Way) -> Step {
    let program = lower(graph, &way.machine()).program;
    let jit = compile_jit(&program, &way.options(0)).unwrap();
    for batch in [1, 3] {
        let mut expected = memory(batch);
        assert_eq!(run(&program, 0, &[batch], &mut expected), Outcome::Done);
        let mut compiled = memory(batch);
        assert_eq!(run_compiled(&jit, &[batch], 1, &mut compiled), Status::Ok as i32);
        assert_eq!(compiled.results, expected.results, "loss at B = {batch}");
        assert!(compiled.globals == expected.globals, "weights at B = {batch}");
    }
    let mut one = memory(32);
    run_compiled(&jit, &[32], 1, &mut one);
    for threads in [2, 3, 7] {
        let mut many = memory(32);
        run_compiled(&jit, &[32], threads, &mut many);
        assert_eq!(many.results, one.results, "loss with {threads} threads");
        assert!(many.globals == one.globals, "weights with {threads} threads");
    }
    Step { results: one.results, globals: one.globals }
}
