//! Lane code to machine code, for JIT and objects alike.
//!
//! A [`mlc_kernel::program::Program`] goes through three steps: every kernel and entry becomes a CLIF
//! function (`emit`, `entry`); the functions are compiled in parallel, each with the instruction
//! set of its level (`module`); and the bytes are put, in a fixed order, into a JIT's memory
//! (`jit`) or an object file (`object`). The same program gives the same bytes.
//!
//! Kernels are leaf functions without relocations. Entries call kernels, `parallel_for`, `memmove` and `memset`,
//! nothing else. Whatever goes wrong here but a refused target, an oversized file or a lack of memory
//! is a bug of the compiler and ends in [`mlc_ir::internal_error`].
//!
//! Left out on purpose: unwind information (nothing unwinds through compiled code) and code for the
//! running machine alone (a level is chosen by name, so that results don't depend on the machine).

mod dims;
mod emit;
mod entry;
mod error;
mod functions;
mod jit;
mod module;
mod object;
mod parts;
mod plan;
mod target;
mod text;
mod wide;

pub use error::CodegenError;
pub use jit::{Address, JitProgram, compile_jit, compile_jit_with};
pub use module::{FunctionTiming, Options, Timings};
pub use object::{PROGRAM_SYMBOL, Version, WEIGHTS_LIMIT, compile_object};
pub use parts::compile_parts;
pub use target::{Emitter, Level, Target};
pub use text::{asm_text, clif_text};
