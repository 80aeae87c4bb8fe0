//! An entry compiled in memory, with all that it needs to run.

use mlc_codegen::{JitProgram, Options, Target, compile_jit};
use mlc_ir::graph::{Graph, Output};
use mlc_ir::ty::Type;
use mlc_kernel::lower::lower;
use mlc_rt_core::abi::{EntryCx, SCRATCH_BYTES};
use mlc_rt_core::pool::Pool;
use std::ffi::c_void;

/// More than any plan has buffers.
const OFFSETS: usize = 4096;

/// Entry 0 of a graph and its memory. Floats are about 1/2, so that nothing overflows.
pub struct Running {
    jit: JitProgram,
    sizes: Vec<i64>,
    offsets: Vec<i64>,
    args: Vec<Vec<f32>>,
    results: Vec<Vec<f32>>,
    arena: Vec<u8>,
    scratch: Vec<u8>,
    pool: Box<Pool>,
}

fn floats(ty: &Type, sizes: &[i64]) -> Vec<f32> {
    let bytes = ty.elements().and_then(|n| n.eval(sizes)).map_or(0, |n| n * ty.dtype.bytes()) as usize;
    (0..bytes.div_ceil(4)).map(|i| (i * 7919 % 1000) as f32 * 1e-3).collect()
}

fn aligned(memory: &mut [u8]) -> *mut u8 {
    let start = memory.as_ptr().align_offset(64);
    memory[start..].as_mut_ptr()
}

impl Running {
    /// Compiles a graph whose entry 0 has f32 arguments and results and no globals.
    pub fn new(graph: &Graph, sizes: &[i64], options: &Options, threads: usize) -> Running {
        let entry = &graph.entries[0];
        let region = graph.region(entry.region);
        assert!(entry.outputs.iter().all(|output| matches!(output, Output::Result(_))), "an entry without globals");
        let program = lower(graph, &Target::host().machine(options.level, options.emitter)).program;
        let Ok(jit) = compile_jit(&program, options) else { panic!("a level that this processor has") };
        let mut offsets = vec![0i64; OFFSETS];
        // SAFETY: one size for each symbol, room for more offsets than any plan has.
        let total = unsafe { jit.plan(0)(sizes.as_ptr(), offsets.as_mut_ptr()) };
        let pool = Box::new(Pool::new());
        // SAFETY: the pool is new and stays in its box until it is closed.
        unsafe { pool.start(threads) };
        let of = |values: &[mlc_ir::graph::Value]| values.iter().map(|v| floats(region.ty(*v), sizes)).collect();
        Running {
            jit,
            sizes: sizes.to_vec(),
            offsets,
            args: of(&region.params),
            results: of(&region.results),
            arena: vec![0; total as usize + 64],
            scratch: vec![0; threads * SCRATCH_BYTES + 64],
            pool,
        }
    }

    /// Runs the entry once.
    pub fn run(&mut self) {
        let args: Vec<*const u8> = self.args.iter().map(|a| a.as_ptr().cast()).collect();
        let results: Vec<*mut u8> = self.results.iter_mut().map(|r| r.as_mut_ptr().cast()).collect();
        let mut cx = EntryCx {
            sizes: self.sizes.as_ptr(),
            args: args.as_ptr(),
            results: results.as_ptr(),
            globals: std::ptr::null(),
            arena: aligned(&mut self.arena),
            offsets: self.offsets.as_ptr(),
            scratch: aligned(&mut self.scratch),
            pool: std::ptr::from_ref(&*self.pool).cast_mut().cast::<c_void>(),
            parallel_for: mlc_rt_core::pool::parallel_for,
            seed: 0,
            step: 0,
            epoch: 0,
            total_steps: 0,
            done: 0,
            fault_index: 0,
            fault_element: 0,
            fault_value: 0,
        };
        // SAFETY: everything the context points to is alive and of the sizes that the entry expects.
        let status = unsafe { self.jit.entry(0)(&mut cx) };
        assert_eq!(status, 0, "the entry refuses its arguments");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pool.close();
    }
}
