//! Syntax trees to graphs: names, instances, sizes, training blocks. Every user error ends here.
//!
//! [`resolve`] reads a file and the prelude and evaluates each entry point once: calls of layers and
//! functions are expanded into one region, so bodies are checked for each instance with its sizes
//! known. What a name stands for while that happens is a `value::Value`; everything under way is in
//! `cx::Cx`, and each other module adds methods for its job:
//!
//! - names and types: `scope`, `imports`, `lookup`, `habits`, `argument_habits`, `names`, `types`, `matching`, `statics`, `sizes`, `axes`, `consts`
//! - code: `calls`, `builtin_calls`, `views`, `arguments`, `swapped`, `params`, `exprs`, `stmts`, `number`, `literals`, `arith`,
//!   `broadcasting`, `matmul`, `index`, `forms`, `faults`, `updates`, `einsum`, `draws`, `builtins`, `lints`
//! - control flow: `nest`, `passes`, `molds`, `assigned`, `speculate`, `scans`, `loops`, `branches`,
//!   `choices`, `joins`, `stacks`, `outline`
//! - weights and states: `instances`, `constants`, `twins`, `loads`, `weights`, `states`, `sessions`, `init`, `initialisers`
//! - what a program declares: `declarations`, `entry`, `export`, `lengths`, `blocks`, `train`, `minimize`, `chosen`,
//!   `accumulate`, `optimizer`, `metrics`, `pipeline`, `every`, `tests`, `unused`
//!
//! Nothing here knows about machines; no IO; the same source gives the same [`program::Program`].

pub mod program;

mod accumulate;
mod argument_habits;
mod arguments;
mod arith;
mod assigned;
mod axes;
mod blocks;
mod branches;
mod broadcasting;
mod builtin_calls;
mod builtins;
mod calls;
mod choices;
mod chosen;
mod constants;
mod consts;
mod cx;
mod declarations;
mod draws;
mod einsum;
mod entry;
mod every;
mod export;
mod exprs;
mod facts;
mod faults;
mod foreign;
mod forms;
mod habits;
mod imports;
mod index;
mod init;
mod initialisers;
mod instances;
mod joins;
mod lengths;
mod lints;
mod listed;
mod literals;
mod loads;
mod lookup;
mod loops;
mod matching;
mod matmul;
mod members;
mod metrics;
mod minimize;
mod misplaced;
mod molds;
mod names;
mod nest;
mod number;
mod optimizer;
mod outline;
mod params;
mod passes;
mod pipeline;
mod recursion;
mod report;
mod scans;
mod scope;
mod sessions;
mod shown;
mod sizes;
mod speculate;
mod stacks;
mod states;
mod statics;
mod stmts;
mod swapped;
mod tests;
mod train;
mod twins;
mod types;
mod unused;
mod updates;
mod value;
mod views;
mod weights;

use crate::cx::{Cx, Overrides};
use crate::imports::Source;
use crate::scope::{File, Files, Origin};
use mlc_syntax::ast;
use mlc_syntax::diag::{Diagnostic, Severity};
use mlc_syntax::span::{FileId, Sources, Span};
use program::Program;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The stack that the deepest allowed nesting needs, with room to spare, also without optimisation.
const STACK_BYTES: usize = 256 << 20;

/// What is to be resolved.
#[derive(Clone, Debug)]
pub struct Request {
    /// The user's file.
    pub file: FileId,
    /// The files of the prelude.
    pub prelude: Vec<FileId>,
    /// What the imports of the user's file, and of the files they lead to, were found to be: the place
    /// of the path, and the file.
    pub imports: Vec<(Span, FileId)>,
    /// Values from the command line: `("D", "256")` for a constant, `("Model.V", "65")` for a
    /// constructor argument.
    pub constants: Vec<(String, String)>,
    /// What backward passes compute again besides what the program says.
    pub recompute: Recompute,
}

/// Which values of forward passes are computed again in backward passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// Those of `@checkpoint`.
    #[default]
    AsWritten,
    /// Those of loops as well: a pass keeps what it begins with.
    Passes,
    /// Those of loops as well: of some passes one after another the first keeps what it begins with.
    Segments,
    /// Both: while the passes of a segment are gone through again, each keeps what it begins with.
    Both,
}

/// The functions known to the compiler: `name(arguments)`, one line about it.
pub fn builtins() -> Vec<(String, &'static str)> {
    builtins::all().map(|builtin| (builtin.signature(), builtin.doc)).collect()
}

/// Parses and checks a program. Without errors among the diagnostics there is a program.
///
/// Values from the command line are added to `sources` as files of their own, for messages.
pub fn resolve(request: &Request, sources: &mut Sources) -> (Option<Program>, Vec<Diagnostic>) {
    let overrides: Vec<(String, FileId)> =
        request.constants.iter().map(|(name, value)| (name.clone(), add_override(name, value, sources))).collect();
    let sources = &*sources;
    let job = || resolve_parsed(request, &overrides, sources);
    // The depth limit of the evaluator must hold whatever stack the caller has left.
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("resolve".into()).stack_size(STACK_BYTES).spawn_scoped(scope, job);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => mlc_ir::internal_error("resolver", &format!("no thread: {error}")),
        }
    })
}

fn add_override(name: &str, value: &str, sources: &mut Sources) -> FileId {
    let short = name.rsplit('.').next().unwrap_or(name);
    sources.add(&format!("-D {name}={value}"), &format!("const {short} = {value}\n"))
}

fn resolve_parsed(
    request: &Request,
    overrides: &[(String, FileId)],
    sources: &Sources,
) -> (Option<Program>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut parse = |file: FileId| {
        let (module, diagnostics) = mlc_syntax::parse(file, sources);
        found.extend(diagnostics);
        module
    };
    let user = parse(request.file);
    let mut imported: Vec<FileId> = request.imports.iter().map(|(_, file)| *file).collect();
    imported.sort_unstable();
    imported.dedup();
    imported.retain(|file| *file != request.file);
    let imported: Vec<(FileId, ast::Module)> = imported.into_iter().map(|file| (file, parse(file))).collect();
    let given: Vec<ast::Module> = overrides.iter().map(|(_, file)| parse(*file)).collect();
    let prelude = request.prelude.par_iter().map(|file| mlc_syntax::parse(*file, sources));
    let (prelude, of_prelude): (Vec<ast::Module>, Vec<Vec<Diagnostic>>) = prelude.unzip();
    found.extend(of_prelude.into_iter().flatten());
    let mut files = Files::default();
    for (file, module) in request.prelude.iter().zip(&prelude) {
        files.add(File { id: *file, origin: Origin::Prelude, module }, &mut found);
    }
    let mut modules = vec![Source { file: request.file, module: &user }];
    modules.extend(imported.iter().map(|(file, module)| Source { file: *file, module }));
    for source in &modules {
        files.add(File { id: source.file, origin: Origin::User, module: source.module }, &mut found);
    }
    let places: BTreeMap<Span, FileId> = request.imports.iter().copied().collect();
    imports::enter(&mut files, &modules, &places, sources, &mut found);
    let holders = blocks::state_holders(&user);
    let mut cx = Cx::new(&files, &holders, sources, Overrides::new(overrides, &given), request.file, places);
    cx.recompute = request.recompute;
    let broken = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    for diagnostic in found {
        cx.report.add(diagnostic);
    }
    let program = cx.program(&modules);
    let clean = cx.report.is_clean() && !broken;
    let diagnostics = cx.report.finish();
    (program.filter(|_| clean), diagnostics)
}
