//! The description of a program that travels with its code: names, types, sizes, training blocks.
//! Written here as JSON, read by `mlc-rt-exe`; the schema is in that crate's `meta` module.
//!
//! Pure: the same program gives the same text. No path of this machine gets in: source files are
//! named by their last component.

mod size;
mod solve;
mod train;

use crate::digest::Digest;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Checked, Entry, Fault, GlobalKind, Graph, Input, Output, SizeCheck, SpanId};
use mlc_ir::ty::Type;
use mlc_kernel::lower::LoweredProgram;
use mlc_kernel::program::EntryCode;
use mlc_resolve::program::{Function, Program, Session, Train};
use mlc_rt_core::abi::ABI_VERSION;
use mlc_syntax::span::Sources;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What describes a program beside its code.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// The source file's name without its folder: `cnn.dl`.
    pub source: &'a str,
    /// All files that were read.
    pub sources: &'a Sources,
    /// Of the source and the options it was compiled with.
    pub hash: Digest,
    /// What entries that take gradients stay under, arena and memory of threads, if there is a bound.
    pub max_memory: Option<i64>,
}

/// The metadata of `program`, of which `lowered` was made: once for each level, the lowest first.
pub fn metadata(program: &Program, lowered: &[LoweredProgram], about: &About) -> String {
    let graph = &program.graph;
    let bounded: Vec<usize> = program.trains.iter().flat_map(Train::gradient_entries).collect();
    let entries: Vec<Value> = (0..)
        .zip(&graph.entries)
        .map(|(at, entry)| {
            // Faults are those of the code: passes may have added some.
            let faults = lowered.last().map_or(Vec::new(), |highest| faults(&highest.graph.entries[at]));
            let codes: Vec<&EntryCode> = lowered.iter().map(|level| &level.program.entries[at]).collect();
            let mut value = self::entry(graph, entry, &faults, &codes);
            value["sessions"] = Value::Array(session_uses(program, at));
            if let Some(limit) = about.max_memory.filter(|_| bounded.contains(&at)) {
                value["max_memory"] = json!(limit);
            }
            value
        })
        .collect();
    json!({
        "abi": ABI_VERSION,
        "mlc": env!("CARGO_PKG_VERSION"),
        "name": about.source.strip_suffix(".dl").unwrap_or(about.source),
        "source": about.source,
        "source_hash": about.hash.to_string(),
        "symbols": graph.symbols.iter().map(|name| &**name).collect::<Vec<&str>>(),
        "near": lowered.iter().map(|level| level.program.near_bytes()).max().unwrap_or(0),
        "globals": globals(program),
        "entries": entries,
        "sessions": program.sessions.iter().map(|session| session_state(program, session)).collect::<Vec<Value>>(),
        "functions": program.functions.iter().map(function).collect::<Vec<Value>>(),
        "not_exported": program.not_exported.iter().map(|(name, reason)| json!({"name": name, "reason": reason})).collect::<Vec<Value>>(),
        "init": {"entry": program.init},
        "trains": program.trains.iter().map(|train| train::train(graph, train, about.sources)).collect::<Vec<Value>>(),
    })
    .to_string()
}

fn globals(program: &Program) -> Vec<Value> {
    let globals = program.graph.globals.iter().zip(&program.file_paths);
    globals
        .map(|(global, file_path)| {
            let kind = match global.kind {
                GlobalKind::Param => "param",
                GlobalKind::State => "state",
                GlobalKind::OptimizerState => "optimizer",
                GlobalKind::Session => "session",
            };
            json!({
                "path": &*global.path,
                "file_path": file_path,
                "kind": kind,
                "dtype": global.ty.dtype.name(),
                "shape": shape(&program.graph, &global.ty),
            })
        })
        .collect()
}

fn session_state(program: &Program, session: &Session) -> Value {
    let ty = &program.graph.globals[session.global.index()].ty;
    json!({"global": session.global.index(), "shape": shape(&program.graph, ty), "init": session.init})
}

/// The session states that an entry touches: position in `sessions`, and the values of their symbols.
fn session_uses(program: &Program, entry: usize) -> Vec<Value> {
    let graph = &program.graph;
    let uses = program.sessions.iter().enumerate().flat_map(|(at, session)| {
        let mine = session.uses.iter().filter(move |(user, _)| *user == entry);
        mine.map(move |(_, sizes)| (at, sizes))
    });
    uses.map(|(at, sizes)| {
        let sizes = sizes.iter().map(|(symbol, size)| json!({"symbol": symbol.0, "size": dim(graph, size)}));
        json!({"session": at, "sizes": sizes.collect::<Vec<Value>>()})
    })
    .collect()
}

fn function(function: &Function) -> Value {
    let lengths = function.lengths.iter().map(
        |length| json!({"name": length.name, "result": length.result, "axis": length.axis, "value": length.value}),
    );
    json!({
        "name": function.name,
        "model": function.model,
        "entry": function.entry,
        "lengths": lengths.collect::<Vec<Value>>(),
    })
}

/// `codes` are those of all levels, of which the program has one: there is memory for each.
fn entry(graph: &Graph, entry: &Entry, faults: &[&Fault], codes: &[&EntryCode]) -> Value {
    let (args, results) = (args(graph, entry), results(graph, entry));
    let read = entry.inputs.iter().filter_map(|input| match input {
        Input::Global(id) => Some(id.index()),
        _ => None,
    });
    let written = entry.outputs.iter().filter_map(|output| match output {
        Output::Global(id) => Some(id.index()),
        _ => None,
    });
    let highest = codes.last();
    let of: BTreeSet<u32> = codes.iter().flat_map(|code| code.kept.of.iter().copied()).collect();
    json!({
        "name": entry.name,
        "args": args.iter().map(|(name, ty)| named(graph, name, ty)).collect::<Vec<Value>>(),
        "results": results.iter().map(|(name, ty)| named(graph, name, ty)).collect::<Vec<Value>>(),
        "symbols": solve::symbols(&args),
        "checks": entry.checks.iter().map(|check| self::check(graph, check)).collect::<Vec<String>>(),
        "faults": faults.iter().map(|fault| self::fault(graph, fault)).collect::<Vec<Value>>(),
        "globals_read": read.collect::<Vec<usize>>(),
        "globals_written": written.collect::<Vec<usize>>(),
        "buffers": codes.iter().map(|code| code.plan.buffers.len()).max().unwrap_or(0),
        "arena": highest.map_or_else(String::new, |code| code.plan.formula(&graph.symbols)),
        "kept": {"bytes": codes.iter().map(|code| code.kept.bytes).max().unwrap_or(0), "of": of},
        "flops": dim(graph, &highest.map_or_else(Dim::zero, |code| code.flops.clone())),
    })
}

fn args<'a>(graph: &'a Graph, entry: &'a Entry) -> Vec<(&'a str, &'a Type)> {
    let region = graph.region(entry.region);
    let inputs = entry.inputs.iter().zip(&region.params);
    inputs
        .filter_map(|(input, &value)| match input {
            Input::Arg(name) => Some((name.as_str(), region.ty(value))),
            Input::Global(_) | Input::Seed | Input::Step | Input::Done | Input::Epoch | Input::TotalSteps => None,
        })
        .collect()
}

fn results<'a>(graph: &'a Graph, entry: &'a Entry) -> Vec<(&'a str, &'a Type)> {
    let region = graph.region(entry.region);
    let outputs = entry.outputs.iter().zip(&region.results);
    outputs
        .filter_map(|(output, &value)| match output {
            Output::Result(name) => Some((name.as_str(), region.ty(value))),
            Output::Global(_) | Output::Fault(_) => None,
        })
        .collect()
}

fn faults(entry: &Entry) -> Vec<&Fault> {
    let faults = entry.outputs.iter().filter_map(|output| match output {
        Output::Fault(fault) => Some(fault),
        Output::Result(_) | Output::Global(_) => None,
    });
    faults.collect()
}

fn check(graph: &Graph, check: &SizeCheck) -> String {
    match place(graph, check.span) {
        Some(place) => format!("{}, required at {place}", check.text),
        None => check.text.clone(),
    }
}

fn fault(graph: &Graph, fault: &Fault) -> Value {
    json!({
        "place": place(graph, fault.span).unwrap_or_default(),
        "checked": match fault.checked {
            Checked::Index => "index",
            Checked::Length => "length",
            Checked::Status => "status",
        },
        "text": fault.text,
        "bound": dim(graph, &fault.bound),
    })
}

fn named(graph: &Graph, name: &str, ty: &Type) -> Value {
    json!({"name": name, "dtype": ty.dtype.name(), "shape": shape(graph, ty)})
}

fn shape(graph: &Graph, ty: &Type) -> Vec<Value> {
    ty.shape.iter().map(|size| dim(graph, size)).collect()
}

fn dim(graph: &Graph, dim: &Dim) -> Value {
    size::json(dim, &graph.symbols)
}

/// `cnn.dl:13:27`, without the file's folder.
fn place(graph: &Graph, span: SpanId) -> Option<String> {
    graph.position(span).map(|position| without_folder(&position).to_string())
}

/// `cnn.dl:13:27` of `examples/cnn.dl:13:27`.
fn without_folder(position: &str) -> &str {
    position.rsplit(['/', '\\']).next().unwrap_or(position)
}
