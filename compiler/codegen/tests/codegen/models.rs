//! A whole training step: machine code against the Lane interpreter, and one thread against several,
//! bit for bit.

use mlc_codegen::{Options, compile_jit};
use mlc_kernel::lower::lower;
use mlc_kernel::run::{Memory, Outcome, run};
use mlc_kernel::schedule::Machine;
use mlc_rt_core::abi::{EntryCx, SCRATCH_BYTES, Status};
use mlc_rt_core::pool::Pool;
use std::ffi::c_void;

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
    Memory { args: vec![image, label], results: vec![vec![0; 4]], globals, scalars: [7, 3, 0, 10] }
}

/// Runs the step as compiled, with a pool of `threads`.
pub fn run_compiled(program: &mlc_kernel::program::Program, sizes: &[i64], threads: usize, memory: &mut Memory) -> i32 {
    let jit = compile_jit(program, &Options::default()).unwrap();
    let mut offsets = vec![0i64; program.entries[0].plan.buffers.len()];
    // SAFETY: one size for each symbol, one offset for each buffer.
    let total = unsafe { jit.plan(0)(sizes.as_ptr(), offsets.as_mut_ptr()) };
    let mut arena = vec![0xffu8; total as usize + 64];
    let mut scratch = vec![0xffu8; threads * SCRATCH_BYTES + 64];
    let aligned = |v: &mut Vec<u8>| v.as_mut_ptr().wrapping_add(v.as_mut_ptr().align_offset(64));
    let args: Vec<*const u8> = memory.args.iter().map(|a| a.as_ptr()).collect();
    let results: Vec<*mut u8> = memory.results.iter_mut().map(|r| r.as_mut_ptr()).collect();
    let globals: Vec<*mut u8> = memory.globals.iter_mut().map(|g| g.as_mut_ptr()).collect();
    let pool = Pool::new();
    // SAFETY: the pool is new and stays here until it is closed.
    unsafe { pool.start(threads) };
    let mut cx = EntryCx {
        sizes: sizes.as_ptr(),
        args: args.as_ptr(),
        results: results.as_ptr(),
        globals: globals.as_ptr(),
        arena: aligned(&mut arena),
        offsets: offsets.as_ptr(),
        scratch: aligned(&mut scratch),
        pool: std::ptr::from_ref(&pool).cast_mut().cast::<c_void>(),
        parallel_for: mlc_rt_core::pool::parallel_for,
        seed: memory.scalars[0],
        step: memory.scalars[1],
        epoch: memory.scalars[2],
        total_steps: memory.scalars[3],
        fault_index: 0,
        fault_element: 0,
        fault_value: 0,
    };
    // SAFETY: everything the context points to is alive and of the sizes that the entry expects.
    let status = unsafe { jit.entry(0)(&mut cx) };
    pool.close();
    status
}

#[test]
fn a_training_step_has_the_same_bits_everywhere() {
    let graph = mlc_benches::cnn_step(32);
    let program = lower(&graph, &Machine::LANES_128).program;
    for batch in [1, 3] {
        let mut expected = memory(batch);
        assert_eq!(run(&program, 0, &[batch], &mut expected), Outcome::Done);
        let mut compiled = memory(batch);
        assert_eq!(run_compiled(&program, &[batch], 1, &mut compiled), Status::Ok as i32);
        assert_eq!(compiled.results, expected.results, "loss at B = {batch}");
        assert!(compiled.globals == expected.globals, "weights at B = {batch}");
    }
    let mut one = memory(32);
    run_compiled(&program, &[32], 1, &mut one);
    for threads in [2, 3, 7] {
        let mut many = memory(32);
        run_compiled(&program, &[32], threads, &mut many);
        assert_eq!(many.results, one.results, "loss with {threads} threads");
        assert!(many.globals == one.globals, "weights with {threads} threads");
    }
}
