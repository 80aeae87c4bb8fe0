//! An entry compiled in memory, with all that it needs to run.

use mlc_codegen::{JitProgram, Options, Target, compile_jit};
use mlc_ir::graph::{Graph, Input, Output, RegionId, Value};
use mlc_ir::ty::DType;
use mlc_kernel::lower::{LoweredProgram, lower};
use mlc_rt_core::abi::{EntryCx, SCRATCH_BYTES};
use mlc_rt_core::pool::Pool;
use mlc_rt_exe::mem::Aligned;
use std::ffi::c_void;

/// The memory of an entry at some sizes, aligned as the runtime's is. Floats are small positive numbers, so that nothing overflows;
/// what may be an index is 0.
pub struct Memory {
    /// One for each symbol of the program.
    pub sizes: Vec<i64>,
    /// Of the arena's buffers.
    pub offsets: Vec<i64>,
    /// In order.
    pub args: Vec<Aligned>,
    /// In order.
    pub results: Vec<Aligned>,
    /// All of the program; absent where the entry doesn't touch them.
    pub globals: Vec<Option<Aligned>>,
    /// The arena.
    pub arena: Aligned,
    /// What the entry keeps from call to call.
    pub kept: Aligned,
    /// Scratch memory, of the first thread first.
    pub scratch: Aligned,
}

impl Memory {
    /// For an entry, and so many threads.
    pub fn new(lowered: &LoweredProgram, entry: usize, sizes: &[i64], threads: usize) -> Memory {
        let graph = &lowered.graph;
        let (declared, region) = (&graph.entries[entry], graph.region(graph.entries[entry].region));
        let memory = |value: &Value, number: usize| fill(graph, declared.region, *value, sizes, number);
        let (mut args, mut results) = (Vec::new(), Vec::new());
        let mut globals: Vec<Option<Aligned>> = graph.globals.iter().map(|_| None).collect();
        for (number, (input, value)) in declared.inputs.iter().zip(&region.params).enumerate() {
            match input {
                Input::Arg(_) => args.push(memory(value, number)),
                Input::Global(id) => globals[id.0 as usize] = Some(memory(value, number)),
                Input::Seed | Input::Step | Input::Epoch | Input::TotalSteps | Input::Done => {}
            }
        }
        for (number, (output, value)) in declared.outputs.iter().zip(&region.results).enumerate() {
            match output {
                Output::Result(_) => results.push(memory(value, number)),
                Output::Global(id) if globals[id.0 as usize].is_none() => {
                    globals[id.0 as usize] = Some(memory(value, number));
                }
                Output::Global(_) | Output::Fault(_) => {}
            }
        }
        let (offsets, total) = lowered.program.entries[entry].plan.eval(sizes).unwrap_or_default();
        let arena = numbers(total as usize, 0);
        let kept = numbers(lowered.program.entries[entry].kept.bytes as usize, 0);
        let scratch = zeros(threads * (SCRATCH_BYTES + lowered.program.near_bytes() as usize));
        Memory { sizes: sizes.to_vec(), offsets, args, results, globals, arena, kept, scratch }
    }
}

fn zeros(bytes: usize) -> Aligned {
    let Ok(memory) = Aligned::new(bytes) else { panic!("memory for the benchmark") };
    memory
}

/// Floats from 0.001 to 1.
fn numbers(bytes: usize, first: usize) -> Aligned {
    let mut memory = zeros(bytes);
    for (at, float) in memory.chunks_exact_mut(4).enumerate() {
        let number = (((at + first) * 7919) % 1000) as f32 * 1e-3 + 1e-3;
        float.copy_from_slice(&number.to_le_bytes());
    }
    memory
}

fn fill(graph: &Graph, region: RegionId, value: Value, sizes: &[i64], number: usize) -> Aligned {
    let ty = graph.region(region).ty(value);
    let bytes = ty.elements().and_then(|n| n.eval(sizes)).map_or(0, |n| n * ty.dtype.bytes()) as usize;
    if ty.dtype == DType::F32 { numbers(bytes, number) } else { zeros(bytes) }
}

/// An entry of a compiled program that can be called.
pub struct Running {
    jit: JitProgram,
    entry: usize,
    memory: Memory,
    /// Whether the next call is the first.
    fresh: bool,
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
        Running { jit, entry, memory, fresh: true, pool }
    }

    /// Runs the entry once.
    pub fn run(&mut self) {
        let memory = &self.memory;
        let args: Vec<*const u8> = memory.args.iter().map(|a| a.pointer().cast_const()).collect();
        let results: Vec<*mut u8> = memory.results.iter().map(Aligned::pointer).collect();
        let globals: Vec<*mut u8> =
            memory.globals.iter().map(|g| g.as_ref().map_or(std::ptr::null_mut(), Aligned::pointer)).collect();
        let mut cx = EntryCx {
            sizes: memory.sizes.as_ptr(),
            args: args.as_ptr(),
            results: results.as_ptr(),
            globals: globals.as_ptr(),
            arena: memory.arena.pointer(),
            offsets: memory.offsets.as_ptr(),
            kept: memory.kept.pointer(),
            fresh: i64::from(std::mem::take(&mut self.fresh)),
            scratch: memory.scratch.pointer(),
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
