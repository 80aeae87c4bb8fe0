//! Compiling one source file, step by step: [`Session::open`] reads it, [`Session::resolve`] checks
//! it, [`Session::lower`] makes kernels of it, [`Session::jit`] and [`Session::object`] machine code.
//!
//! ```no_run
//! use mlc::session::{Options, Session};
//!
//! # fn main() -> Result<(), mlc::failure::Failure> {
//! let mut session = Session::open("cnn.dl".as_ref(), Options::default())?;
//! let program = session.resolve()?;
//! let object = session.object(&program, None)?;
//! # Ok(())
//! # }
//! ```

mod tuning;

use crate::budget::{self, Decision, Memory};
use crate::digest::Digest;
use crate::failure::{Failure, any_error};
use crate::foreign::{self, Prototypes};
use crate::imports;
use crate::link::Foreign;
use crate::meta::{self, About};
use crate::prelude;
use crate::source;
use crate::timings::Timings;
use crate::tune::Tuning;
use mlc_codegen::{CodegenError, Emitter, JitProgram, Level, Target, Version};
use mlc_ir::graph::Graph;
use mlc_ir::passes::{PIPELINE, before_remat, recomputing, run_pipeline};
use mlc_kernel::lower::{Choices, LoweredProgram, lower_with};
use mlc_kernel::nest::Nest;
use mlc_kernel::panels::Packing;
use mlc_kernel::schedule::{Machine, Schedule};
use mlc_resolve::program::{Program, Stage};
use mlc_resolve::{Recompute, Request, resolve};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Sources};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// How a source file is compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-D NAME=VALUE`
    pub defines: Vec<(String, String)>,
    /// The processor levels that files have kernels for, the lowest first; at least one. What is compiled
    /// into memory, and what is shown, is for the highest.
    pub levels: Vec<Level>,
    /// What makes their code.
    pub emitter: Emitter,
    /// Where the C functions of `extern fn` are: shared libraries, and for executables also objects and
    /// archives.
    pub link: Vec<PathBuf>,
    /// Bytes that the arenas of training steps stay under, if there is a bound.
    pub max_memory: Option<i64>,
    /// The processor whose measurements count, or a part of its name; this one's if absent.
    pub tuned_on: Option<String>,
}

impl Default for Options {
    /// For every level, wherever the code is to run.
    fn default() -> Options {
        let (levels, emitter) = (Level::ALL.to_vec(), Emitter::Wide);
        Options { defines: Vec::new(), levels, emitter, link: Vec::new(), max_memory: None, tuned_on: None }
    }
}

impl Options {
    /// For the running processor.
    pub fn for_this_machine() -> Options {
        Options { levels: vec![Level::host()], ..Options::default() }
    }
}

/// What is to be compiled of a lowered program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that was lowered.
    Code,
    /// No entry.
    Nothing,
}

/// A source file on its way to machine code.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    file: FileId,
    sources: Sources,
    options: Options,
    warnings: Vec<Diagnostic>,
    timings: Timings,
    /// How kernels are run, as far as it was measured.
    tuning: Tuning,
    /// What is computed again so that training steps stay under [`Options::max_memory`].
    decision: Decision,
    /// The C functions that the program names, as C declares them.
    prototypes: Prototypes,
    /// Those that the last object calls.
    called: BTreeSet<Arc<str>>,
}

impl Session {
    /// Reads the file at `path`; messages will name it as it is written here.
    ///
    /// # Errors
    /// It can't be read, or isn't text; nothing was measured on the processor of [`Options::tuned_on`].
    pub fn open(path: &Path, options: Options) -> Result<Session, Failure> {
        let mut timings = Timings::default();
        let text = timings.time("read", || source::read(path))?;
        let mut sources = Sources::new();
        let file = sources.add(&path.display().to_string(), &text);
        let (tuning, warnings) = Tuning::read(path, options.tuned_on.as_deref())?;
        Ok(Session {
            path: path.to_path_buf(),
            file,
            sources,
            options,
            warnings,
            timings,
            tuning,
            decision: Decision::default(),
            prototypes: Prototypes::new(),
            called: BTreeSet::new(),
        })
    }

    /// Files that spans point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The source file.
    pub fn file(&self) -> FileId {
        self.file
    }

    /// Its folder, where relative paths in the program start when it is run by `mlc run`.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// The file's name without folder and `.dl`: of the executable, if none is given.
    pub fn stem(&self) -> PathBuf {
        self.path.file_stem().map_or_else(|| PathBuf::from("model"), PathBuf::from)
    }

    /// What was found that is probably not meant.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Where the time went so far.
    pub fn timings(&mut self) -> &mut Timings {
        &mut self.timings
    }

    /// Where the time went so far and, if there is a bound, what training steps need: `--timings`.
    pub fn report(&self) -> Value {
        let mut report = self.timings.json();
        if self.options.max_memory.is_some() {
            report["memory"] = self.memory().iter().map(Memory::json).collect();
        }
        report
    }

    /// What the arenas of training steps need, if there is a bound.
    pub fn memory(&self) -> &[Memory] {
        &self.decision.entries
    }

    /// Names, sizes, gradients: the checked program, with what it imports.
    ///
    /// # Errors
    /// Every mistake in it; a training step that needs more memory than it may.
    pub fn resolve(&mut self) -> Result<Program, Failure> {
        let imports = self.timings.time("read", || imports::load(&self.path, self.file, &mut self.sources));
        if !imports.failures.is_empty() {
            return Err(Failure::Diagnostics(imports.failures));
        }
        let prelude = prelude::FILES.iter().map(|(name, text)| self.sources.add(name, text)).collect();
        let constants = self.options.defines.clone();
        let recompute = Recompute::AsWritten;
        let request = Request { file: self.file, prelude, imports: imports.found, constants, recompute };
        let mut sources = self.sources.clone();
        let (program, mut diagnostics) = self.timings.time("resolve", || resolve(&request, &mut self.sources));
        let program = match program {
            Some(program) if !any_error(&diagnostics) => program,
            _ => return Err(Failure::Diagnostics(diagnostics)),
        };
        self.warnings.append(&mut diagnostics);
        self.prototypes = program.prototypes.iter().cloned().collect();
        let Some(limit) = self.options.max_memory else { return Ok(program) };
        let form = |recompute| resolve(&Request { recompute, ..request.clone() }, &mut sources).0;
        self.within(limit, program, form)
    }

    /// The program, or a form of it that also computes passes of loops again, and what else is computed
    /// again, so that training steps stay under a bound.
    fn within(
        &mut self,
        limit: i64,
        program: Program,
        form: impl FnMut(Recompute) -> Option<Program>,
    ) -> Result<Program, Failure> {
        let start = Instant::now();
        let machines: Vec<Machine> = self.options.levels.iter().map(|level| self.machine_of(*level)).collect();
        let (program, decided) = budget::choose(limit, &machines, program, form);
        self.timings.add("max-memory", start.elapsed());
        self.decision = decided.map_err(|refusal| Failure::from(refusal.diagnostic()))?;
        Ok(program)
    }

    /// The graph after all passes.
    pub fn optimize(&mut self, program: &Program) -> Graph {
        let mut start = Instant::now();
        let mut stage = |pass, _: &Graph| {
            self.timings.add(pass, start.elapsed());
            start = Instant::now();
        };
        if self.decision.parts.is_empty() {
            return run_pipeline(&program.graph, PIPELINE, stage);
        }
        let graph = run_pipeline(&program.graph, before_remat(), &mut stage);
        let graph = recomputing(&graph, &self.decision.parts);
        stage("remat", &graph);
        graph
    }

    /// Kernels, plans and entries.
    pub fn lower(&mut self, program: &Program) -> LoweredProgram {
        let graph = self.optimize(program);
        self.lower_graph(&graph)
    }

    /// [`Session::lower`] for the entries at these positions alone. A call of another one is refused by
    /// the runtime.
    pub fn lower_only(&mut self, program: &Program, entries: &[usize]) -> LoweredProgram {
        let graph = self.optimize(program);
        let choices = Choices { entries: Some(entries), ..Choices::default() };
        self.lower_graph_with(&graph, self.level(), choices)
    }

    /// Kernels, plans and entries of a graph that [`Session::optimize`] gave.
    pub fn lower_graph(&mut self, graph: &Graph) -> LoweredProgram {
        self.lower_graph_with(graph, self.level(), Choices::default())
    }

    fn lower_graph_with(&mut self, graph: &Graph, level: Level, choices: Choices<'_>) -> LoweredProgram {
        let on = self.tuning.on(level, self.machine_of(level), &graph.symbols);
        // A bound is for estimated plans: what is kept is memory beside them, and other tiles or copies are other
        // plans.
        let bounded = self.options.max_memory.is_some();
        let table = &self.tuning.table;
        let schedule = |nest: &Nest, estimated: Schedule| {
            let measured = table.schedule(&on, nest, estimated.clone());
            if bounded && !measured.has_tiles_of(&estimated) { estimated } else { measured }
        };
        let packing = |nest: &Nest| if bounded { Packing::default() } else { table.packing(&on, nest) };
        let keep = choices.keep && !bounded;
        let choices = Choices { schedule: &schedule, packing: &packing, keep, ..choices };
        let start = Instant::now();
        let lowered = lower_with(graph, &on.machine, choices);
        self.timings.add("lower", start.elapsed());
        lowered
    }

    fn machine_of(&self, level: Level) -> Machine {
        Target::host().machine(level, self.options.emitter)
    }

    /// The highest level.
    fn level(&self) -> Level {
        self.options.levels.last().copied().unwrap_or(Level::V3)
    }

    /// What the runtime is told about the program, which was lowered for one or more levels.
    pub fn metadata(&self, program: &Program, lowered: &[LoweredProgram]) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let (hash, max_memory) = (self.digest(), self.options.max_memory);
        let about = About { source: &name, sources: &self.sources, hash, max_memory };
        meta::metadata(program, lowered, &about)
    }

    /// Of everything that results hang on: levels that give the same bits count as one.
    fn digest(&self) -> Digest {
        let level = self.level().min(Level::V3).name();
        let texts = self.sources.files().map(|(_, file)| &*file.text);
        let defines = self.options.defines.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        Digest::of([env!("CARGO_PKG_VERSION"), level].into_iter().chain(defines).chain(texts))
    }

    /// Machine code in memory: of all that was lowered, or of no entry at all, for commands that only
    /// tell about the program.
    ///
    /// # Errors
    /// This processor can't run it, a C function that it calls is not in the libraries of
    /// [`Options::link`], or there is no memory for it.
    pub fn jit(&mut self, lowered: &LoweredProgram, wanted: Wanted) -> Result<JitProgram, Failure> {
        let options = self.codegen_options();
        let addresses = match wanted {
            Wanted::Code => {
                foreign::addresses(&lowered.program.foreign_symbols(), &self.options.link, &self.prototypes)?
            }
            Wanted::Nothing => BTreeMap::new(),
        };
        let compile = || match wanted {
            // SAFETY: the libraries stay loaded; that their functions are as the program declares them
            // is what the user says with `extern fn`.
            Wanted::Code => unsafe { mlc_codegen::compile_jit_with(&lowered.program, &options, &addresses) },
            Wanted::Nothing => mlc_codegen::compile_jit(&lowered.program.without_code(), &options),
        };
        self.timings.time("codegen", compile).map_err(refused)
    }

    /// Machine code for all levels as an object file, with `weights` (the bytes of a safetensors file) in it.
    ///
    /// # Errors
    /// The weights are too large to be embedded.
    pub fn object(&mut self, program: &Program, weights: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let graph = self.optimize(program);
        let options: Vec<mlc_codegen::Options> =
            self.options.levels.iter().map(|level| self.options_for(*level)).collect();
        let mut lower_for =
            |options: &mlc_codegen::Options| self.lower_graph_with(&graph, options.level, Choices::default());
        let lowered: Vec<LoweredProgram> = options.iter().map(&mut lower_for).collect();
        let Some(highest) = lowered.last() else {
            return Err(Failure::Usage("there is no level to compile for".to_string()));
        };
        let meta = self.metadata(program, &lowered);
        self.called = highest.program.foreign_symbols();
        let versions: Vec<Version<'_>> = lowered
            .iter()
            .zip(&options)
            .map(|(lowered, options)| Version { program: &lowered.program, options })
            .collect();
        let compile = || mlc_codegen::compile_object(&versions, &Target::host(), meta.as_bytes(), weights);
        self.timings.time("codegen", compile).map_err(refused)
    }

    /// The table of the runtime's optional parts, as an object file to be linked with [`Session::object`]'s.
    ///
    /// # Errors
    /// There is no code generator for this machine.
    pub fn parts(&mut self, program: &Program) -> Result<Vec<u8>, Failure> {
        let stages = program.trains.iter().flat_map(|train| &train.pipelines).flat_map(|(_, data)| &data.stages);
        let images = stages.into_iter().any(|stage| matches!(stage, Stage::Images { .. }));
        mlc_codegen::compile_parts(&Target::host(), [images]).map_err(refused)
    }

    /// The C functions that the object of [`Session::object`] calls, and where they are.
    pub fn foreign(&self) -> Foreign {
        let (symbols, files) = (self.called.clone(), self.options.link.clone());
        Foreign { symbols, files, prototypes: self.prototypes.clone() }
    }

    /// How machine code is made.
    pub fn codegen_options(&self) -> mlc_codegen::Options {
        self.options_for(self.level())
    }

    fn options_for(&self, level: Level) -> mlc_codegen::Options {
        mlc_codegen::Options { level, emitter: self.options.emitter, threads: 0 }
    }
}

pub(crate) fn refused(error: CodegenError) -> Failure {
    let code = match error {
        CodegenError::Weights(_) => Code::E0302,
        _ => Code::E0304,
    };
    Diagnostic::error_without_place(code, error.to_string()).into()
}
