//! Programs compiled in memory, run as an executable would run them.

use mlc_codegen::{JitProgram, Target};
use mlc_rt_core::abi::{ABI_VERSION, Code, Program};
use mlc_rt_exe::{Host, Parts};
use std::fmt;
use std::path::Path;
use std::ptr;

/// Machine code and what the runtime is told about it.
pub struct InMemory {
    code: JitProgram,
    /// Where it stays when `self` moves.
    table: Box<Code>,
    metadata: String,
}

impl InMemory {
    /// What the runtime gets. Its pointers lead to memory of `self` that stays where it is when `self` moves.
    pub fn program(&self) -> Program {
        let entries = self.code.entries();
        Program {
            abi: ABI_VERSION,
            entry_count: entries.len() as u32,
            meta: self.metadata.as_ptr(),
            meta_len: self.metadata.len(),
            codes: ptr::from_ref(&*self.table),
            code_count: 1,
            weights: ptr::null(),
            weights_len: 0,
        }
    }

    /// `metadata` must describe what `code` was compiled from.
    pub fn new(code: JitProgram, metadata: String) -> InMemory {
        let level = Target::host().level_number(code.level());
        let table = Code { level, entries: code.entries().as_ptr(), plans: code.plans().as_ptr() };
        InMemory { code, table: Box::new(table), metadata }
    }

    /// Runs it with the arguments of the executable; relative paths of the source start at `root`.
    /// Returns the exit status. `name` is what help shows as the program's name.
    pub fn run(&self, name: &str, args: &[String], root: &Path) -> u8 {
        let program = self.program();
        // SAFETY: entries, plans and metadata were made from one kernel program, in the same order,
        // and live in `self`, which outlives the call.
        let status = unsafe { mlc_rt_exe::main_with(&program, &Host { program: name, root, parts: Parts::ALL }, args) };
        u8::try_from(status).unwrap_or(crate::internal::STATUS)
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InMemory({} entries)", self.code.entries().len())
    }
}
