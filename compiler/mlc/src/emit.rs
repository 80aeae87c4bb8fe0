//! Every stage of a compilation as text, with places in the source. The same program gives the same
//! text.

use crate::budget::Memory;
use crate::failure::{Failure, any_error};
use crate::session::Session;
use clap::ValueEnum;
use mlc_codegen::{Target, asm_text, clif_text};
use mlc_ir::graph::Graph;
use mlc_ir::print::graph_text;
use mlc_kernel::lower::{KernelInfo, LoweredProgram};
use mlc_kernel::{lane_print, print};
use mlc_resolve::program::Program;
use mlc_rt_core::abi::SCRATCH_BYTES;
use std::collections::BTreeSet;

/// How far a program is compiled before it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree
    Ast,
    /// Functions as checked graphs of tensor ops
    Graph,
    /// Training steps: forward pass, gradients and updates
    Grad,
    /// Which ops are computed together
    Fused,
    /// What each kernel computes
    Nest,
    /// The loops of each kernel
    Tree,
    /// The machine-near code of each kernel
    Lane,
    /// Nest, tree and lane of each kernel, one after another
    Kernel,
    /// Where buffers lie in memory, and the steps of each entry
    Plan,
    /// Cranelift's code
    Clif,
    /// Machine code
    Asm,
}

/// The syntax tree of the session's file.
///
/// # Errors
/// Its syntax errors.
pub fn syntax(session: &Session) -> Result<String, Failure> {
    let (module, diagnostics) = mlc_syntax::parse(session.file(), session.sources());
    if any_error(&diagnostics) {
        return Err(Failure::Diagnostics(diagnostics));
    }
    Ok(mlc_syntax::print::print(&module, session.sources()))
}

/// A later stage of a checked program; with `name` only what belongs to that function, entry or
/// training block.
///
/// # Errors
/// Usage: there is nothing of that name.
pub fn text(session: &mut Session, program: &Program, stage: Stage, name: Option<&str>) -> Result<String, Failure> {
    let entries = selected(program, stage, name)?;
    if let Stage::Ast | Stage::Graph | Stage::Grad = stage {
        return Ok(graph_text(&only(&program.graph, &entries)));
    }
    let graph = session.optimize(program);
    let lowered = session.lower_graph(&graph);
    Ok(entries.iter().map(|&entry| entry_text(session, &graph, &lowered, stage, entry)).collect())
}

/// Positions of the entries to be shown.
fn selected(program: &Program, stage: Stage, name: Option<&str>) -> Result<Vec<usize>, Failure> {
    let entries = &program.graph.entries;
    let all = 0..entries.len();
    let Some(name) = name else {
        let training: BTreeSet<usize> =
            program.trains.iter().flat_map(|train| [Some(train.step), train.grads]).flatten().collect();
        return Ok(match stage {
            Stage::Graph => all.filter(|entry| !training.contains(entry)).collect(),
            Stage::Grad => all.filter(|entry| training.contains(entry)).collect(),
            _ => all.collect(),
        });
    };
    let functions = program.functions.iter().filter(|function| function.name == name).map(|function| function.entry);
    let trains = program.trains.iter().filter(|train| train.name == name).map(|train| train.step);
    let found: BTreeSet<usize> =
        functions.chain(trains).chain(all.filter(|&entry| entries[entry].name == name)).collect();
    if found.is_empty() {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        return Err(Failure::Usage(format!("there is no function `{name}`; there are {}", names.join(", "))));
    }
    Ok(found.into_iter().collect())
}

/// The graph with these entries alone.
fn only(graph: &Graph, entries: &[usize]) -> Graph {
    let entries = entries.iter().map(|&entry| graph.entries[entry].clone()).collect();
    Graph { entries, ..graph.clone() }
}

fn entry_text(session: &Session, graph: &Graph, lowered: &LoweredProgram, stage: Stage, entry: usize) -> String {
    let heading = format!("== {}\n\n", lowered.program.entries[entry].name);
    let each_kernel = |text: &dyn Fn(&KernelInfo) -> String| -> String {
        lowered.kernels.iter().filter(|kernel| kernel.entry == entry).map(|kernel| text(kernel) + "\n").collect()
    };
    let nest = |kernel: &KernelInfo| print::nest_text(graph, kernel);
    let tree = |kernel: &KernelInfo| print::tree_text(graph, &kernel.tree);
    let lane = |kernel: &KernelInfo| {
        let code = lane_print::text(&lowered.program.kernels[kernel.kernel]);
        format!("# {}\n{code}", print::kernel_heading(graph, kernel))
    };
    let body = match stage {
        Stage::Ast | Stage::Graph | Stage::Grad => String::new(),
        Stage::Fused => print::fused_text(lowered, entry),
        Stage::Nest => each_kernel(&nest),
        Stage::Tree => each_kernel(&tree),
        Stage::Lane => each_kernel(&lane),
        Stage::Kernel => each_kernel(&|kernel| [nest(kernel), tree(kernel), lane(kernel)].join("\n")),
        Stage::Plan => {
            recomputed(session, lowered, entry)
                + &threads(lowered, entry)
                + &print::plan_stage_text(graph, lowered, entry)
        }
        Stage::Clif | Stage::Asm => code_text(session, graph, lowered, stage, entry),
    };
    heading + &body + "\n"
}

/// What an entry computes again for `--max-memory`.
fn recomputed(session: &Session, lowered: &LoweredProgram, entry: usize) -> String {
    let name = &lowered.program.entries[entry].name;
    let memory = session.memory().iter().find(|memory| memory.entry == *name);
    memory.and_then(Memory::remark).map_or_else(String::new, |remark| format!("# {remark}\n"))
}

/// What each thread has of its own.
fn threads(lowered: &LoweredProgram, entry: usize) -> String {
    match lowered.program.entries[entry].near_bytes() {
        0 => format!("# each thread has {SCRATCH_BYTES} bytes for kernels\n"),
        near => format!("# each thread has {SCRATCH_BYTES} bytes for kernels and {near} for chains\n"),
    }
}

/// The code of an entry's kernels, each once, and of the entry itself.
fn code_text(session: &Session, graph: &Graph, lowered: &LoweredProgram, stage: Stage, entry: usize) -> String {
    let kernels = lowered.kernels.iter().filter(|kernel| kernel.entry == entry);
    let mut headings: Vec<(&str, String)> = Vec::new();
    for kernel in kernels {
        let name = lowered.program.kernels[kernel.kernel].name.as_str();
        let heading = format!("; {}\n", print::kernel_heading(graph, kernel));
        match headings.iter_mut().find(|(other, _)| *other == name) {
            Some((_, text)) if !text.contains(&heading) => text.push_str(&heading),
            Some(_) => {}
            None => headings.push((name, heading)),
        }
    }
    headings.push((&lowered.program.entries[entry].name, String::new()));
    let options = session.codegen_options();
    let one = |name: &str| match stage {
        Stage::Clif => clif_text(&lowered.program, &Target::host(), &options, name),
        _ => asm_text(&lowered.program, &Target::host(), &options, name),
    };
    let text =
        |(name, heading): (&str, String)| heading + &one(name).unwrap_or_else(|error| format!("; {error}\n")) + "\n";
    headings.into_iter().map(text).collect()
}
