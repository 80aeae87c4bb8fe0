//! `info`: what is in the program.

use crate::args::Args;
use crate::commands::pipelines;
use crate::cx::{Cx, print};
use crate::error::Result;
use crate::json::Value;
use crate::mem::size_text;
use crate::meta::{Global, Kind, Meta, Port, Train};
use crate::tensor::{bytes_of, type_text};
use crate::threads;
use mlc_rt_core::cpu::{self, Level};

/// Prints functions, parameters, memory, source.
pub fn info(cx: &Cx<'_>, args: &Args) -> Result<()> {
    if args.has("--json") { print(&format!("{}\n", json(cx).line())) } else { print(&text(cx)) }
}

fn count(meta: &Meta) -> (usize, usize) {
    let params = meta.globals.iter().filter(|g| g.kind == Kind::Param);
    params.fold((0, 0), |(elements, bytes), g| {
        let size = bytes_of(g.dtype, &g.shape).unwrap_or(0);
        (elements + size / g.dtype.bytes(), bytes + size)
    })
}

fn text(cx: &Cx<'_>) -> String {
    let meta = &cx.meta;
    let mut out = format!("{} from {}, compiled by mlc {}\n", meta.name, meta.source, meta.mlc);
    out.push_str(&format!("source hash {}\n", meta.source_hash));
    let names: Vec<&str> = cx.levels().into_iter().map(Level::name).collect();
    out.push_str(&format!("CPU levels {}; this one has {}\n", names.join(", "), cpu::detect().name()));
    if !meta.functions.is_empty() {
        out.push_str("\nfunctions\n");
    }
    for function in &meta.functions {
        let entry = &meta.entries[function.entry];
        let model = if function.model.is_empty() { String::new() } else { format!("{}.", function.model) };
        out.push_str(&format!("  {model}{}{}\n      {}\n", function.name, function.signature(entry), entry.arena));
        if entry.kept.bytes > 0 {
            let bytes = size_text(entry.kept.bytes as u64);
            out.push_str(&format!("      keeps {bytes}: weights in the order in which it reads them\n"));
        }
    }
    if !meta.not_exported.is_empty() {
        out.push_str("\nnot exported\n");
    }
    for (name, reason) in &meta.not_exported {
        out.push_str(&format!("  {name}: {reason}\n"));
    }
    if !meta.trains.is_empty() {
        out.push_str("\ntraining\n");
    }
    for train in &meta.trains {
        let columns: Vec<String> = train.columns.iter().map(Port::text).collect();
        let arena = &meta.entries[train.step].arena;
        out.push_str(&format!("  {}({})\n      {arena}\n", train.name, columns.join(", ")));
        out.push_str(&format!("      reports {}\n", train.metrics.join(", ")));
        for (name, pipeline) in &train.pipelines {
            out.push_str(&format!("      {name} = {}\n", pipelines::text(pipeline)));
        }
    }
    out.push_str(&format!("\neach thread: {} besides\n", size_text(threads::bytes(meta) as u64)));
    let (elements, bytes) = count(meta);
    out.push_str(&format!("\nparameters: {elements}, {}\n", size_text(bytes as u64)));
    let shown: Vec<&Global> = meta.globals.iter().filter(|g| g.kind.is_saved()).collect();
    let width = shown.iter().map(|g| g.file_path.chars().count()).max().unwrap_or(0);
    for global in shown {
        let state = if global.kind == Kind::State { "  (state)" } else { "" };
        out.push_str(&format!("  {:width$}  {}{state}\n", global.file_path, type_text(global.dtype, &global.shape)));
    }
    out
}

fn port(port: &Port) -> Value {
    Value::object([
        ("name", Value::from(port.name.as_str())),
        ("dtype", Value::from(port.dtype.name())),
        ("shape", Value::Array(port.shape.iter().map(|d| d.to_json()).collect())),
    ])
}

fn ports(all: &[Port]) -> Value {
    Value::Array(all.iter().map(port).collect())
}

fn global(global: &Global) -> Value {
    Value::object([
        ("name", Value::from(global.file_path.as_str())),
        ("path", Value::from(global.path.as_str())),
        ("kind", Value::from(global.kind.name())),
        ("dtype", Value::from(global.dtype.name())),
        ("shape", Value::Array(global.shape.iter().map(|&d| Value::from(d)).collect())),
    ])
}

fn train(meta: &Meta, train: &Train) -> Value {
    let int = |n: Option<i64>| n.map_or(Value::Null, Value::Int);
    Value::object([
        ("name", Value::from(train.name.as_str())),
        ("columns", ports(&train.columns)),
        ("metrics", Value::Array(train.metrics.iter().map(|m| Value::from(m.as_str())).collect())),
        ("seed", Value::Int(train.seed)),
        ("epochs", int(train.epochs)),
        ("steps", int(train.steps)),
        ("batch", int(train.batch)),
        (
            "pipelines",
            Value::object(train.pipelines.iter().map(|(name, p)| (name.as_str(), pipelines::text(p).as_str().into()))),
        ),
        ("memory", Value::from(meta.entries[train.step].arena.as_str())),
    ])
}

fn json(cx: &Cx<'_>) -> Value {
    let meta = &cx.meta;
    let functions = meta.functions.iter().map(|function| {
        let entry = &meta.entries[function.entry];
        Value::object([
            ("name", Value::from(function.name.as_str())),
            ("model", Value::from(function.model.as_str())),
            ("type", Value::from(function.signature(entry).as_str())),
            ("args", ports(&entry.args)),
            ("results", ports(function.results(entry))),
            ("memory", Value::from(entry.arena.as_str())),
            ("kept", Value::Int(entry.kept.bytes as i64)),
        ])
    });
    let not_exported = meta.not_exported.iter().map(|(name, reason)| {
        Value::object([("name", Value::from(name.as_str())), ("reason", Value::from(reason.as_str()))])
    });
    let (elements, bytes) = count(meta);
    let weights = meta.globals.iter().filter(|g| g.kind.is_saved());
    Value::object([
        ("name", Value::from(meta.name.as_str())),
        ("source", Value::from(meta.source.as_str())),
        ("source_hash", Value::from(meta.source_hash.as_str())),
        ("mlc", Value::from(meta.mlc.as_str())),
        ("levels", Value::Array(cx.levels().into_iter().map(|level| Value::from(level.name())).collect())),
        ("level", cx.level().map_or(Value::Null, |level| Value::from(level.name()))),
        ("cpu", Value::from(cpu::detect().name())),
        ("functions", Value::Array(functions.collect())),
        ("not_exported", Value::Array(not_exported.collect())),
        ("trains", Value::Array(meta.trains.iter().map(|t| train(meta, t)).collect())),
        ("thread_bytes", Value::from(threads::bytes(meta))),
        ("parameter_count", Value::from(elements)),
        ("parameter_bytes", Value::from(bytes)),
        ("parameters", Value::Array(weights.map(global).collect())),
        ("embedded_weights", Value::Bool(cx.embedded().is_some())),
    ])
}
