//! An entry compiled in memory, with all that it needs to run.

use mlc_codegen::{JitProgram, Options, Target, compile_jit};
use mlc_ir::graph::{Graph, Input, Output, RegionId, Value};
use mlc_ir::ty::DType;
use mlc_kernel::lower::{LoweredProgram, lower};
use mlc_rt_core::abi::{ARENA_ALIGN, EntryCx, SCRATCH_BYTES};
use mlc_rt_core::pool::Pool;
use std::ffi::c_void;

/// The memory of an entry at some sizes. Floats are small positive numbers, so that nothing overflows;
/// what may be an index is 0.
pub struct Memory {
    /// One for each symbol of the program.
    pub sizes: Vec<i64>,
    /// Of the arena's buffers.
    pub offsets: Vec<i64>,
    /// In order.
    pub args: Vec<Vec<f32>>,
    /// In order.
    pub results: Vec<Vec<f32>>,
    /// All of the program; those that the entry doesn't touch are empty.
    pub globals: Vec<Vec<f32>>,
    arena: Vec<u8>,
    scratch: Vec<u8>,
}

impl Memory {
    /// For an entry, and so many threads.
    pub fn new(lowered: &LoweredProgram, entry: usize, sizes: &[i64], threads: usize) -> Memory {
        let graph = &lowered.graph;
        let (declared, region) = (&graph.entries[entry], graph.region(graph.entries[entry].region));
        let memory = |value: &Value, number: usize| fill(graph, declared.region, *value, sizes, number);
        let (mut args, mut results) = (Vec::new(), Vec::new());
        let mut globals: Vec<Vec<f32>> = vec![Vec::new(); graph.globals.len()];
        for (number, (input, value)) in declared.inputs.iter().zip(&region.params).enumerate() {
            match input {
                Input::Arg(_) => args.push(memory(value, number)),
                Input::Global(id) => globals[id.0 as usize] = memory(value, number),
                Input::Seed | Input::Step | Input::Epoch | Input::TotalSteps | Input::Done => {}
            }
        }
        for (number, (output, value)) in declared.outputs.iter().zip(&region.results).enumerate() {
            match output {
                Output::Result(_) => results.push(memory(value, number)),
                Output::Global(id) if globals[id.0 as usize].is_empty() => {
                    globals[id.0 as usize] = memory(value, number);
                }
                Output::Global(_) | Output::Fault(_) => {}
            }
        }
        let (offsets, total) = lowered.program.entries[entry].plan.eval(sizes).unwrap_or_default();
        let number = |at: usize| ((at * 7919) % 1000) as f32 * 1e-3 + 1e-3;
        let arena = (0..(total as usize + ARENA_ALIGN) / 4).flat_map(|at| number(at).to_le_bytes()).collect();
        let scratch = vec![0; threads * SCRATCH_BYTES + ARENA_ALIGN];
        Memory { sizes: sizes.to_vec(), offsets, args, results, globals, arena, scratch }
    }

    /// The arena.
    pub fn arena(&mut self) -> *mut u8 {
        aligned(&mut self.arena)
    }

    /// Scratch memory, of the first thread first.
    pub fn scratch(&mut self) -> *mut u8 {
        aligned(&mut self.scratch)
    }
}

fn aligned(memory: &mut [u8]) -> *mut u8 {
    let start = memory.as_mut_ptr();
    start.wrapping_add(start.align_offset(ARENA_ALIGN))
}

fn fill(graph: &Graph, region: RegionId, value: Value, sizes: &[i64], number: usize) -> Vec<f32> {
    let ty = graph.region(region).ty(value);
    let bytes = ty.elements().and_then(|n| n.eval(sizes)).map_or(0, |n| n * ty.dtype.bytes()) as usize;
    let element = |at: usize| match ty.dtype {
        DType::F32 => (((at + number) * 7919) % 1000) as f32 * 1e-3 + 1e-3,
        _ => 0.0,
    };
    (0..bytes / 4 + 16).map(element).collect()
}

/// An entry of a compiled program that can be called.
pub struct Running {
    jit: JitProgram,
    entry: usize,
    memory: Memory,
    pool: Box<Pool>,
}

impl Running {
    /// Compiles a graph with one entry.
    pub fn new(graph: &Graph, sizes: &[i64], options: &Options, threads: usize) -> Running {
        let lowered = lower(graph, &Target::host().machine(options.level, options.emitter));
        Running::of(&lowered, 0, sizes, options, threads)
    }

    /// Compiles a lowered program, of which an entry is to be called.
    pub fn of(lowered: &LoweredProgram, entry: usize, sizes: &[i64], options: &Options, threads: usize) -> Running {
        let Ok(jit) = compile_jit(&lowered.program, options) else { panic!("a level that this processor has") };
        let memory = Memory::new(lowered, entry, sizes, threads);
        let pool = Box::new(Pool::new());
        // SAFETY: the pool is new and stays in its box until it is closed.
        unsafe { pool.start(threads) };
        Running { jit, entry, memory, pool }
    }

    /// Runs the entry once.
    pub fn run(&mut self) {
        let memory = &mut self.memory;
        let args: Vec<*const u8> = memory.args.iter().map(|a| a.as_ptr().cast()).collect();
        let results: Vec<*mut u8> = memory.results.iter_mut().map(|r| r.as_mut_ptr().cast()).collect();
        let globals: Vec<*mut u8> = memory.globals.iter_mut().map(|g| g.as_mut_ptr().cast()).collect();
        let mut cx = EntryCx {
            sizes: memory.sizes.as_ptr(),
            args: args.as_ptr(),
            results: results.as_ptr(),
            globals: globals.as_ptr(),
            arena: memory.arena(),
            offsets: memory.offsets.as_ptr(),
            scratch: memory.scratch(),
            pool: std::ptr::from_ref(&*self.pool).cast_mut().cast::<c_void>(),
            parallel_for: mlc_rt_core::pool::parallel_for,
            seed: 0,
            step: 0,
            epoch: 0,
            total_steps: 1,
            done: 0,
            fault_index: 0,
            fault_element: 0,
            fault_value: 0,
        };
        // SAFETY: everything the context points to is alive and of the sizes that the entry expects.
        let status = unsafe { self.jit.entry(self.entry)(&mut cx) };
        assert_eq!(status, 0, "the entry refuses its arguments");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pool.close();
    }
}
