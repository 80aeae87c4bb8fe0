//! The interface between compiled code and the runtime: what `mlc-codegen` emits and `mlc-rt-exe`
//! calls, the same for code in memory and in an executable. All layouts are `repr(C)`; compiled
//! code reads the fields at the offsets that the constants beside them give.

use core::ffi::c_void;

/// Version of everything in this module and of the metadata.
pub const ABI_VERSION: u32 = 5;

/// A compiled kernel: runs tiles `lo..hi`. `frame` holds pointers and sizes, `scratch` is this
/// worker's own memory.
pub type Kernel = unsafe extern "C" fn(frame: *const u64, scratch: *mut u8, lo: i64, hi: i64);

/// Runs `kernel` over `0..tiles` on the workers of `pool`, each tile exactly once; worker `w` gets
/// `scratch + w * scratch_stride`. Returns when all are done. A null pool runs them here.
pub type ParallelFor = unsafe extern "C" fn(
    pool: *mut c_void,
    kernel: Kernel,
    frame: *const u64,
    scratch: *mut u8,
    scratch_stride: i64,
    tiles: i64,
);

/// A compiled entry point. Returns a [`Status`] code.
pub type EntryFn = unsafe extern "C" fn(cx: *mut EntryCx) -> i32;

/// Offsets of an entry's buffers in the arena for given sizes (one for each symbol of the program).
/// Writes one offset for each buffer unless `offsets` is null; returns the bytes needed, or -1 if
/// the number is beyond `i64`.
pub type PlanFn = unsafe extern "C" fn(sizes: *const i64, offsets: *mut i64) -> i64;

/// The table of optional parts that an executable has: one pointer for each of [`PARTS`], null for those
/// that its program doesn't use.
pub const PARTS_SYMBOL: &str = "mlc_parts";

/// Symbols of the optional parts: decoders of pictures.
pub const PARTS: [&str; 1] = ["mlc_part_images"];

/// What an entry reads and writes. Every pointer is valid for the call; arrays have one element for
/// each thing of that kind, in the metadata's order.
#[repr(C)]
#[derive(Debug)]
pub struct EntryCx {
    /// One for each symbol of the program; those the entry doesn't mention are ignored.
    pub sizes: *const i64,
    /// The entry's arguments, row-major, element-aligned.
    pub args: *const *const u8,
    /// The entry's results, row-major, element-aligned.
    pub results: *const *mut u8,
    /// All weights and states of the program, in the metadata's order; those the entry doesn't touch may be null.
    pub globals: *const *mut u8,
    /// The arena, aligned to [`ARENA_ALIGN`].
    pub arena: *mut u8,
    /// What the entry's [`PlanFn`] wrote.
    pub offsets: *const i64,
    /// What the entry keeps from call to call, aligned to [`ARENA_ALIGN`]; as many bytes as the metadata says.
    pub kept: *mut u8,
    /// Not 0 if the entry has to make what it keeps: in the first call, and when a weight that it is made of
    /// has changed since.
    pub fresh: i64,
    /// For each worker [`SCRATCH_BYTES`] and what the metadata says is near behind them, aligned to [`ARENA_ALIGN`].
    pub scratch: *mut u8,
    /// Handed to `parallel_for`.
    pub pool: *mut c_void,
    /// Runs kernels that are worth splitting.
    pub parallel_for: ParallelFor,
    /// Of random draws.
    pub seed: i64,
    /// What tells draws of different calls apart: the number of the batch in a training or in an evaluation, or of
    /// calls since init.
    pub step: i64,
    /// The epoch.
    pub epoch: i64,
    /// Training steps in all.
    pub total_steps: i64,
    /// Training steps done.
    pub done: i64,
    /// Written on [`Status::Fault`] and [`Status::Size`]: which of the entry's faults or checks.
    pub fault_index: i64,
    /// Written on [`Status::Fault`]: the row-major number of the first bad element of the index tensor.
    pub fault_element: i64,
    /// Written on [`Status::Fault`]: the bad value, or `i64::MIN` where it is not kept.
    pub fault_value: i64,
}

/// Byte offsets of [`EntryCx`] fields, for compiled code.
pub mod entry_cx {
    use super::EntryCx;
    use core::mem::offset_of;

    /// See [`EntryCx::sizes`].
    pub const SIZES: i32 = offset_of!(EntryCx, sizes) as i32;
    /// See [`EntryCx::args`].
    pub const ARGS: i32 = offset_of!(EntryCx, args) as i32;
    /// See [`EntryCx::results`].
    pub const RESULTS: i32 = offset_of!(EntryCx, results) as i32;
    /// See [`EntryCx::globals`].
    pub const GLOBALS: i32 = offset_of!(EntryCx, globals) as i32;
    /// See [`EntryCx::arena`].
    pub const ARENA: i32 = offset_of!(EntryCx, arena) as i32;
    /// See [`EntryCx::offsets`].
    pub const OFFSETS: i32 = offset_of!(EntryCx, offsets) as i32;
    /// See [`EntryCx::kept`].
    pub const KEPT: i32 = offset_of!(EntryCx, kept) as i32;
    /// See [`EntryCx::fresh`].
    pub const FRESH: i32 = offset_of!(EntryCx, fresh) as i32;
    /// See [`EntryCx::scratch`].
    pub const SCRATCH: i32 = offset_of!(EntryCx, scratch) as i32;
    /// See [`EntryCx::pool`].
    pub const POOL: i32 = offset_of!(EntryCx, pool) as i32;
    /// See [`EntryCx::parallel_for`].
    pub const PARALLEL_FOR: i32 = offset_of!(EntryCx, parallel_for) as i32;
    /// See [`EntryCx::seed`].
    pub const SEED: i32 = offset_of!(EntryCx, seed) as i32;
    /// See [`EntryCx::step`].
    pub const STEP: i32 = offset_of!(EntryCx, step) as i32;
    /// See [`EntryCx::epoch`].
    pub const EPOCH: i32 = offset_of!(EntryCx, epoch) as i32;
    /// See [`EntryCx::total_steps`].
    pub const TOTAL_STEPS: i32 = offset_of!(EntryCx, total_steps) as i32;
    /// See [`EntryCx::done`].
    pub const DONE: i32 = offset_of!(EntryCx, done) as i32;
    /// See [`EntryCx::fault_index`].
    pub const FAULT_INDEX: i32 = offset_of!(EntryCx, fault_index) as i32;
    /// See [`EntryCx::fault_element`].
    pub const FAULT_ELEMENT: i32 = offset_of!(EntryCx, fault_element) as i32;
    /// See [`EntryCx::fault_value`].
    pub const FAULT_VALUE: i32 = offset_of!(EntryCx, fault_value) as i32;
}

/// Alignment of the arena and of scratch memory, and of every buffer in them.
pub const ARENA_ALIGN: usize = 64;

/// Scratch memory of one worker for kernels.
pub const SCRATCH_BYTES: usize = 256 * 1024;

/// What an entry returns.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A size check failed: `fault_index` says which. Nothing was written.
    Size = 1,
    /// An index tensor has an element out of range: the `fault_*` fields say which. No weight and no
    /// state was written.
    Fault = 2,
    /// The processor lacks what the code was compiled for.
    Level = 3,
    /// The instance is in use by another call.
    Busy = 4,
    /// A size is below 1 or beyond what the instance was made for.
    Range = 5,
    /// The entry was not compiled.
    Absent = 6,
}

/// The code of a program for one processor level.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// [`Level::number`](crate::cpu::Level::number).
    pub level: u64,
    /// One for each entry of the metadata.
    pub entries: *const EntryFn,
    /// One for each entry of the metadata.
    pub plans: *const PlanFn,
}

/// A compiled program: a constant in an executable, built in memory by `mlc run`.
#[repr(C)]
#[derive(Debug)]
pub struct Program {
    /// [`ABI_VERSION`] of the compiler.
    pub abi: u32,
    /// Number of entries.
    pub entry_count: u32,
    /// UTF-8 JSON: see `mlc-rt-exe`'s `meta` module.
    pub meta: *const u8,
    /// Its bytes.
    pub meta_len: usize,
    /// Its code for one or more levels, the lowest first.
    pub codes: *const Code,
    /// How many.
    pub code_count: usize,
    /// Embedded weights as safetensors, or null.
    pub weights: *const u8,
    /// Their bytes.
    pub weights_len: usize,
}

// SAFETY: a program is read-only data that lives as long as the code it points to.
unsafe impl Sync for Program {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Program {}
