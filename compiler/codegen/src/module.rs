//! From a program to compiled functions in a module, JIT and object alike.
//!
//! One Cranelift module has one instruction set, but a function can be compiled with any, on any
//! thread. So functions are compiled in parallel, each for its level, and the module is a sink for
//! bytes, filled in a fixed order: that of [`parts`].

use crate::emit::{self, MulAdd};
use crate::entry::{
    band_function, chain_function, entry_function, entry_signature, kept_function, piece_function, run_signature,
    runner_function,
};
use crate::error::{CodegenError, bug};
use crate::functions::{Callees, Functions, KnownPlans, Part, part_name, parts, sort};
use crate::plan::{plan_function, plan_signature};
use crate::target::{Emitter, Level, Optimize, Place, Target};
use crate::wide;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, LibCall, Signature, UserFuncName};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc, ModuleRelocTarget};
use mlc_kernel::lane::{Block, Elem, Inst, Lane, V};
use mlc_kernel::lane_verify::verify;
use mlc_kernel::program::Program;
use mlc_kernel::schedule::SCRATCH;
use mlc_rt_core::abi::SCRATCH_BYTES;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

// Kernels are scheduled for as much scratch memory as threads have.
const _: () = assert!(SCRATCH as usize == SCRATCH_BYTES);

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the kernels.
    pub level: Level,
    /// Of the kernels, at levels with wide vectors.
    pub emitter: Emitter,
    /// Threads that compile; 0 for as many as there are processors. Doesn't change the code.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { level: Level::host(), emitter: Emitter::default(), threads: 0 }
    }
}

/// Where the time of a compilation went.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    /// Making and compiling all functions, start to end.
    pub compile: Duration,
    /// Putting them into the module, and relocation or writing.
    pub link: Duration,
    /// Each function.
    pub functions: Vec<FunctionTiming>,
}

/// Where the time of a function went.
#[derive(Clone, Debug)]
pub struct FunctionTiming {
    /// As in symbols.
    pub name: String,
    /// Making the CLIF.
    pub emit: Duration,
    /// Cranelift, or the wide emitter.
    pub compile: Duration,
    /// Bytes of code with its constants.
    pub bytes: usize,
}

/// The instruction sets of a program and how its parts become CLIF.
pub(crate) struct Compiler<'a> {
    pub(crate) program: &'a Program,
    pub(crate) level: Level,
    kernels: OwnedTargetIsa,
    register_tiles: OwnedTargetIsa,
    entries: OwnedTargetIsa,
    /// The wide emitter's, if it makes the kernels.
    wide: Option<wide::Isa>,
    mul_add: MulAdd,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(
        program: &'a Program,
        target: &Target,
        options: &Options,
        place: Place,
    ) -> Result<Self, CodegenError> {
        let level = options.level;
        let kernels = target.isa(level, place, Optimize::Fully)?;
        let register_tiles = target.isa(level, place, Optimize::InOrder)?;
        let entries = target.isa(Level::V2, place, Optimize::Fully)?;
        let mul_add = if target.has_fma(level) { MulAdd::Fused } else { MulAdd::Split };
        let wide = target.wide(level, options.emitter);
        Ok(Compiler { program, level, kernels, register_tiles, entries, wide, mul_add })
    }

    /// The instruction set of entries and plan functions, which is also the module's.
    pub(crate) fn base_isa(&self) -> OwnedTargetIsa {
        self.entries.clone()
    }

    pub(crate) fn isa_of(&self, part: Part) -> &dyn TargetIsa {
        match part {
            Part::Kernel(n) if has_register_tile(&self.program.kernels[n]) => &*self.register_tiles,
            Part::Kernel(_) => &*self.kernels,
            Part::Runner
            | Part::Entry(_)
            | Part::Piece(..)
            | Part::Bands(..)
            | Part::Chain(..)
            | Part::Kept(_)
            | Part::Plan(_) => &*self.entries,
        }
    }

    /// The CLIF function of a part.
    pub(crate) fn function(&self, part: Part, id: FuncId, functions: &Functions) -> Function {
        let name = UserFuncName::user(0, id.as_u32());
        let config = self.isa_of(part).frontend_config();
        match part {
            Part::Kernel(n) => self.kernel(&self.program.kernels[n], name),
            Part::Runner => runner_function(&functions.callees, name, config),
            Part::Entry(n) => entry_function(&self.program.entries[n], functions.of_entry(n), name, config),
            Part::Piece(n, piece) => {
                piece_function(&self.program.entries[n], piece, functions.of_entry(n), name, config)
            }
            Part::Bands(n, bands) => {
                band_function(self.program.entries[n].bands()[bands], functions.of_entry(n), name, config)
            }
            Part::Chain(n, chain) => {
                chain_function(self.program.entries[n].chains()[chain], functions.of_entry(n), name, config)
            }
            Part::Kept(n) => kept_function(&self.program.entries[n], functions.of_entry(n), name, config),
            Part::Plan(n) => plan_function(&self.program.entries[n].plan, name, config),
        }
    }

    /// Lane code that passes here compiles, and stays within what threads have.
    fn verify(&self, lane: &Lane) {
        if lane.scratch_bytes as usize > SCRATCH_BYTES {
            bug(&format!("kernel `{}` needs {} bytes of scratch memory", lane.name, lane.scratch_bytes));
        }
        let bytes = self.wide.map_or(VECTOR_BYTES, wide::Isa::vector_bytes);
        if cfg!(debug_assertions)
            && let Err(error) = verify(lane, bytes)
        {
            bug(&error.to_string());
        }
    }

    /// The wide emitter's code of a part, if that makes it.
    pub(crate) fn wide_code(&self, part: Part) -> Option<Vec<u8>> {
        let (Part::Kernel(n), Some(isa)) = (part, self.wide) else { return None };
        let lane = &self.program.kernels[n];
        self.verify(lane);
        Some(wide::kernel(lane, isa))
    }

    fn kernel(&self, lane: &Lane, name: UserFuncName) -> Function {
        self.verify(lane);
        emit::kernel(lane, name, self.kernels.frontend_config(), self.mul_add)
    }

    fn compile(&self, part: Part, id: FuncId, functions: &Functions) -> Compiled {
        let name = part_name(self.program, self.level, part);
        let start = Instant::now();
        if let Some(bytes) = self.wide_code(part) {
            let timing = FunctionTiming { name, emit: Duration::ZERO, compile: start.elapsed(), bytes: bytes.len() };
            return Compiled { bytes, align: wide::ALIGN, relocs: Vec::new(), timing };
        }
        let mut context = Context::for_function(self.function(part, id, functions));
        let emit = start.elapsed();
        let start = Instant::now();
        let code = match context.compile(self.isa_of(part), &mut ControlPlane::default()) {
            Ok(code) => code,
            Err(error) => bug(&format!("Cranelift refuses `{name}`: {:?}", error.inner)),
        };
        let bytes = code.buffer.data().to_vec();
        let align = u64::from(code.buffer.alignment.max(FUNCTION_ALIGN));
        let mach_relocs = code.buffer.relocs().to_vec();
        let relocs: Vec<_> =
            mach_relocs.iter().map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id)).collect();
        check_relocs(part, &name, &relocs);
        let timing = FunctionTiming { name, emit, compile: start.elapsed(), bytes: bytes.len() };
        Compiled { bytes, align, relocs, timing }
    }
}

/// Of Cranelift's vectors.
const VECTOR_BYTES: u32 = 16;

/// Vectors of floats carried through a loop from which they are a register tile rather than a few sums.
const TILE_VECTORS: usize = 4;

/// Whether a loop of the kernel accumulates into many vectors at once.
fn has_register_tile(lane: &Lane) -> bool {
    fn in_block(lane: &Lane, block: &Block) -> bool {
        block.insts.iter().any(|inst| match inst {
            Inst::Def { .. } | Inst::Store { .. } | Inst::Prefetch { .. } => false,
            Inst::If { then, otherwise, .. } => in_block(lane, then) || in_block(lane, otherwise),
            Inst::Loop { params, body, .. } => {
                let vector = |v: &&V| {
                    let ty = lane.types[v.index()];
                    ty.lanes > 1 && matches!(ty.elem, Elem::F32 | Elem::F64)
                };
                let vectors = params.iter().filter(vector).count();
                vectors >= TILE_VECTORS || in_block(lane, body)
            }
        })
    }
    in_block(lane, &lane.body)
}

/// Of a fetch block, so that a loop's place in it doesn't depend on the functions before.
const FUNCTION_ALIGN: u32 = 32;

/// A function's code.
struct Compiled {
    bytes: Vec<u8>,
    align: u64,
    relocs: Vec<ModuleReloc>,
    timing: FunctionTiming,
}

/// Kernels refer to nothing; entries refer to functions of the module, to the C functions that the
/// program names, and to the four that C compilers take for granted. Any other library call is an op that the level lacks.
fn check_relocs(part: Part, name: &str, relocs: &[ModuleReloc]) {
    if let (Part::Kernel(_), Some(reloc)) = (part, relocs.first()) {
        bug(&format!("kernel `{name}` refers to {:?}", reloc.name));
    }
    for reloc in relocs {
        match &reloc.name {
            ModuleRelocTarget::User { .. } => {}
            ModuleRelocTarget::LibCall(LibCall::Memcpy | LibCall::Memset | LibCall::Memmove | LibCall::Memcmp) => {}
            other => bug(&format!("`{name}` refers to {other:?}")),
        }
    }
}

/// Compiles the program into `module`, which has the functions of `plans` already.
pub(crate) fn compile_into(
    module: &mut dyn Module,
    compiler: &Compiler<'_>,
    plans: &KnownPlans,
    threads: usize,
) -> Result<(Functions, Timings), CodegenError> {
    let start = Instant::now();
    let parts = parts(compiler.program, plans);
    let ids = declare(module, compiler, &parts);
    let foreign = declare_foreign(module, compiler);
    let functions = sort(&parts, &ids, plans, Callees::new(compiler.program, foreign));
    let compiled = compile_all(compiler, &parts, &ids, &functions, threads)?;
    let compile = start.elapsed();

    let start = Instant::now();
    let mut timings = Vec::with_capacity(parts.len());
    for (id, code) in ids.into_iter().zip(compiled) {
        module
            .define_function_bytes(id, code.align, &code.bytes, &code.relocs)
            .map_err(|error| CodegenError::Resources(error.to_string()))?;
        timings.push(code.timing);
    }
    Ok((functions, Timings { compile, link: start.elapsed(), functions: timings }))
}

fn declare(module: &mut dyn Module, compiler: &Compiler<'_>, parts: &[Part]) -> Vec<FuncId> {
    let call_conv = compiler.entries.default_call_conv();
    let declare_one = |&part: &Part| {
        let signature = match part {
            Part::Kernel(_) | Part::Bands(..) | Part::Chain(..) => emit::kernel_signature(call_conv),
            Part::Runner => run_signature(call_conv),
            Part::Entry(_) | Part::Piece(..) | Part::Kept(_) => entry_signature(call_conv),
            Part::Plan(_) => plan_signature(call_conv),
        };
        let name = part_name(compiler.program, compiler.level, part);
        match module.declare_function(&name, Linkage::Local, &signature) {
            Ok(id) => id,
            Err(error) => bug(&format!("`{name}` can't be declared: {error}")),
        }
    };
    parts.iter().map(declare_one).collect()
}

/// Each C function once: its type is that of each call.
fn declare_foreign(module: &mut dyn Module, compiler: &Compiler<'_>) -> BTreeMap<Arc<str>, FuncId> {
    let signature = Signature::new(compiler.entries.default_call_conv());
    let declare_one = |symbol: Arc<str>| match module.declare_function(&symbol, Linkage::Import, &signature) {
        Ok(id) => (symbol, id),
        Err(error) => bug(&format!("`{symbol}` can't be declared: {error}")),
    };
    compiler.program.foreign_symbols().into_iter().map(declare_one).collect()
}

fn compile_all(
    compiler: &Compiler<'_>,
    parts: &[Part],
    ids: &[FuncId],
    functions: &Functions,
    threads: usize,
) -> Result<Vec<Compiled>, CodegenError> {
    let compile = |(&part, &id): (&Part, &FuncId)| compiler.compile(part, id, functions);
    if threads == 1 {
        return Ok(parts.iter().zip(ids).map(compile).collect());
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| CodegenError::Resources(error.to_string()))?;
    Ok(pool.install(|| parts.par_iter().zip(ids).map(compile).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_kernel::lane::{Mem, Op, Tail, Ty};

    /// `*out = fma(x, x, x)` for four floats.
    fn program() -> Program {
        let def = |n, op| Inst::Def { result: V(n), op };
        let load = Op::Load { ptr: V(0), disp: 0, mem: Mem::F32, tail: Tail::Full };
        let insts = vec![
            def(0, Op::FramePtr(0)),
            def(1, load),
            def(2, Op::MulAdd(V(1), V(1), V(1))),
            Inst::Store { ptr: V(0), disp: 0, mem: Mem::F32, tail: Tail::Full, value: V(2) },
        ];
        let types = vec![Ty::new(Elem::Ptr, 1), Ty::new(Elem::F32, 4), Ty::new(Elem::F32, 4)];
        let lane = Lane { name: "fma".into(), types, body: Block { insts }, frame_words: 1, scratch_bytes: 0 };
        Program { kernels: vec![lane], ..Program::default() }
    }

    fn compile(level: Level, mul_add: MulAdd) -> Compiled {
        let target = Target::parse("x86_64-unknown-linux-gnu").unwrap();
        let program = program();
        let options = Options { level, emitter: Emitter::Cranelift, threads: 1 };
        let compiler = Compiler { mul_add, ..Compiler::new(&program, &target, &options, Place::Object).unwrap() };
        let ids = [FuncId::from_u32(0)];
        let callees = Callees::new(&program, BTreeMap::new());
        compiler.compile(Part::Kernel(0), ids[0], &sort(&[Part::Kernel(0)], &ids, &KnownPlans::default(), callees))
    }

    #[test]
    #[should_panic(expected = "refers to LibCall(FmaF32)")]
    fn a_library_call_is_refused() {
        compile(Level::V2, MulAdd::Fused);
    }

    #[test]
    fn kernels_refer_to_nothing() {
        assert!(compile(Level::V2, MulAdd::Split).relocs.is_empty());
        assert!(compile(Level::V3, MulAdd::Fused).relocs.is_empty());
    }
}
