//! Running an entry as compiled on the interpreter's memory.

use mlc_codegen::JitProgram;
use mlc_kernel::run::Memory;
use mlc_rt_core::abi::{EntryCx, SCRATCH_BYTES};
use mlc_rt_core::pool::Pool;
use std::ffi::c_void;

/// More than any plan has buffers.
const OFFSETS: usize = 4096;

/// Runs entry 0 as compiled, with a pool of `threads`; all memory but its arguments is full of NaN.
pub fn run_compiled(jit: &JitProgram, sizes: &[i64], threads: usize, memory: &mut Memory) -> i32 {
    run_keeping(jit, sizes, threads, memory, &mut Kept::new(jit))
}

/// What entry 0 keeps from call to call.
pub struct Kept {
    memory: Vec<u8>,
    /// Whether the next call has to make it.
    pub fresh: bool,
}

impl Kept {
    /// Nothing yet.
    pub fn new(jit: &JitProgram) -> Kept {
        Kept { memory: vec![0xff; jit.kept(0) + 64], fresh: true }
    }
}

/// [`run_compiled`] with what calls before have kept.
pub fn run_keeping(jit: &JitProgram, sizes: &[i64], threads: usize, memory: &mut Memory, kept: &mut Kept) -> i32 {
    let mut offsets = vec![0i64; OFFSETS];
    // SAFETY: one size for each symbol, room for more offsets than any plan has.
    let total = unsafe { jit.plan(0)(sizes.as_ptr(), offsets.as_mut_ptr()) };
    let mut arena = vec![0xffu8; total as usize + 64];
    let mut scratch = vec![0xffu8; threads * (SCRATCH_BYTES + jit.near()) + 64];
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
        kept: aligned(&mut kept.memory),
        fresh: i64::from(kept.fresh),
        scratch: aligned(&mut scratch),
        pool: std::ptr::from_ref(&pool).cast_mut().cast::<c_void>(),
        parallel_for: mlc_rt_core::pool::parallel_for,
        seed: memory.scalars[0],
        step: memory.scalars[1],
        epoch: memory.scalars[2],
        total_steps: memory.scalars[3],
        done: memory.scalars[4],
        fault_index: 0,
        fault_element: 0,
        fault_value: 0,
    };
    // SAFETY: everything the context points to is alive and of the sizes that the entry expects.
    let status = unsafe { jit.entry(0)(&mut cx) };
    pool.close();
    status
}
