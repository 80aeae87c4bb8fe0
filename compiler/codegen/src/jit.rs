//! Programs in memory.

use crate::error::{CodegenError, bug};
use crate::functions::{Functions, KnownPlans};
use crate::module::{Compiler, Options, Timings, compile_into};
use crate::target::{Level, Place, Target};
use cranelift_codegen::ir::LibCall;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::FuncId;
use mlc_kernel::program::Program;
use mlc_rt_core::abi::{EntryFn, Kernel, PlanFn};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Address space reserved for code. One range, so that near calls reach everything in it.
const CODE_BYTES: usize = 256 << 20;

/// A compiled program. Its functions live as long as it does.
pub struct JitProgram {
    /// `None` only while it is dropped. The lock makes the program `Sync`; nothing waits for it.
    module: Mutex<Option<JITModule>>,
    kernels: Vec<Kernel>,
    entries: Vec<EntryFn>,
    plans: Vec<PlanFn>,
    /// Bytes that each entry keeps.
    kept: Vec<i64>,
    near: i64,
    timings: Timings,
    level: Level,
}

/// Where a C function is.
#[derive(Clone, Copy, Debug)]
pub struct Address(pub *const u8);

/// Compiles a program that calls no C functions into memory.
///
/// Fails if it does, if the processor lacks the level, or memory or threads are lacking.
pub fn compile_jit(program: &Program, options: &Options) -> Result<JitProgram, CodegenError> {
    // SAFETY: there are no addresses.
    unsafe { compile_jit_with(program, options, &BTreeMap::new()) }
}

/// Compiles a program into memory; `foreign` says where the C functions are.
///
/// Fails if one of them is not there, if the processor lacks the level, or memory or threads are lacking.
///
/// # Safety
/// Each address must be that of a function as the program declares it, for as long as the program lives.
pub unsafe fn compile_jit_with(
    program: &Program,
    options: &Options,
    foreign: &BTreeMap<Arc<str>, Address>,
) -> Result<JitProgram, CodegenError> {
    if let Some(missing) = program.foreign_symbols().into_iter().find(|symbol| !foreign.contains_key(symbol)) {
        return Err(CodegenError::Foreign(missing.to_string()));
    }
    if !options.level.runs_here() {
        return Err(CodegenError::Level(options.level));
    }
    let compiler = Compiler::new(program, &Target::host(), options, Place::Jit)?;
    let mut module = empty_module(&compiler, foreign)?;
    let (functions, mut timings) = compile_into(&mut module, &compiler, &KnownPlans::default(), options.threads)?;
    let start = Instant::now();
    module.finalize_definitions().map_err(|error| CodegenError::Resources(error.to_string()))?;
    timings.link += start.elapsed();
    let kept = program.entries.iter().map(|entry| entry.kept.bytes).collect();
    Ok(JitProgram::new(module, &functions, (kept, program.near_bytes()), timings, options.level))
}

fn empty_module(compiler: &Compiler<'_>, foreign: &BTreeMap<Arc<str>, Address>) -> Result<JITModule, CodegenError> {
    let memory =
        ArenaMemoryProvider::new_with_size(CODE_BYTES).map_err(|error| CodegenError::Resources(error.to_string()))?;
    let mut builder = JITBuilder::with_isa(compiler.base_isa(), Box::new(libcall_name));
    builder.memory_provider(Box::new(memory));
    for (symbol, address) in foreign {
        builder.symbol(&**symbol, address.0);
    }
    builder.symbol("memmove", memmove as *const u8);
    builder.symbol("memset", memset as *const u8);
    // Without this an unknown name would be looked for in the whole process.
    builder.symbol_lookup_fn(Box::new(|name| bug(&format!("compiled code refers to `{name}`"))));
    Ok(JITModule::new(builder))
}

/// Names of library calls, for objects and JIT alike.
pub(crate) fn libcall_name(call: LibCall) -> String {
    match call {
        LibCall::Memcpy => "memcpy",
        LibCall::Memset => "memset",
        LibCall::Memmove => "memmove",
        LibCall::Memcmp => "memcmp",
        other => bug(&format!("a library call that should not be made: {other}")),
    }
    .to_string()
}

unsafe extern "C" {
    fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    fn memset(to: *mut c_void, byte: i32, bytes: usize) -> *mut c_void;
}

impl JitProgram {
    fn new(
        module: JITModule,
        functions: &Functions,
        (kept, near): (Vec<i64>, i64),
        timings: Timings,
        level: Level,
    ) -> JitProgram {
        let address = |id: &FuncId| module.get_finalized_function(*id);
        // SAFETY: the address is that of a function which `module` compiled with the signature of `Kernel`.
        let kernel = |id| unsafe { std::mem::transmute::<*const u8, Kernel>(address(id)) };
        // SAFETY: as above, with the signature of `EntryFn`.
        let entry = |id| unsafe { std::mem::transmute::<*const u8, EntryFn>(address(id)) };
        // SAFETY: as above, with the signature of `PlanFn`.
        let plan = |id| unsafe { std::mem::transmute::<*const u8, PlanFn>(address(id)) };
        let kernels = functions.callees.kernels.iter().map(kernel).collect();
        let entries = functions.entries.iter().map(entry).collect();
        let plans = functions.plans.iter().map(plan).collect();
        JitProgram { module: Mutex::new(Some(module)), kernels, entries, plans, kept, near, timings, level }
    }

    /// Of its kernels.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Entry `n` of the program. Must not be called after `self` is dropped.
    pub fn entry(&self, n: usize) -> EntryFn {
        self.entries[n]
    }

    /// The plan function of entry `n`. Must not be called after `self` is dropped.
    pub fn plan(&self, n: usize) -> PlanFn {
        self.plans[n]
    }

    /// Bytes that entry `n` keeps from call to call.
    pub fn kept(&self, n: usize) -> usize {
        usize::try_from(self.kept[n]).unwrap_or(0)
    }

    /// Bytes that each thread needs behind the scratch memory of kernels.
    pub fn near(&self) -> usize {
        usize::try_from(self.near).unwrap_or(0)
    }

    /// Kernel `n` of the program. Must not be called after `self` is dropped.
    pub fn kernel(&self, n: usize) -> Kernel {
        self.kernels[n]
    }

    /// All entries, in the program's order.
    pub fn entries(&self) -> &[EntryFn] {
        &self.entries
    }

    /// All plan functions, in the order of the entries.
    pub fn plans(&self) -> &[PlanFn] {
        &self.plans
    }

    /// Where the time of the compilation went.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }
}

impl fmt::Debug for JitProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JitProgram")
            .field("kernels", &self.kernels.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Drop for JitProgram {
    fn drop(&mut self) {
        let module = match self.module.get_mut() {
            Ok(module) => module.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(module) = module {
            // SAFETY: calls need the program alive (a condition of `entry`, `plan` and `kernel`), so
            // none is running and none follows.
            unsafe { module.free_memory() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::Context;
    use cranelift_codegen::ir::{InstBuilder, UserFuncName};
    use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
    use cranelift_module::{Linkage, Module};

    /// Cranelift would take any symbol of the process.
    #[test]
    #[should_panic(expected = "compiled code refers to `abs`")]
    fn unknown_symbols_are_not_looked_for() {
        let program = Program::default();
        let compiler = Compiler::new(&program, &Target::host(), &Options::default(), Place::Jit).unwrap();
        let mut module = empty_module(&compiler, &BTreeMap::new()).unwrap();
        let signature = module.make_signature();
        let callee = module.declare_function("abs", Linkage::Import, &signature).unwrap();
        let caller = module.declare_function("caller", Linkage::Local, &signature).unwrap();
        let mut context = Context::new();
        context.func.name = UserFuncName::user(0, caller.as_u32());
        let mut builder_context = FunctionBuilderContext::new();
        let mut b = FunctionBuilder::new(&mut context.func, &mut builder_context);
        let block = b.create_block();
        b.switch_to_block(block);
        let callee = module.declare_func_in_func(callee, b.func);
        b.ins().call(callee, &[]);
        b.ins().return_(&[]);
        b.seal_all_blocks();
        b.finalize(module.target_config());
        module.define_function(caller, &mut context).unwrap();
        module.finalize_definitions().unwrap();
    }
}
