//! Text of fused groups, nests, trees and plans, for `mlc emit`. Deterministic; places in the source
//! stand behind `#`.

mod plan;

pub use plan::plan_stage_text;

use crate::expr::{Address, Expr, Index};
use crate::fuse::Role;
use crate::knobs::Knobs;
use crate::lower::{Fused, KernelInfo, LoweredProgram};
use crate::nest::{Nest, ReducePlan, Reduction, Source};
use crate::schedule::{Schedule, Tile};
use crate::tree::{How, Stmt, Tree};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, SpanId, Value};
use mlc_ir::index::{AxisId, Cond, Ix, IxAtom};
use std::fmt::Write;
use std::sync::Arc;

/// Names of the size symbols.
pub type Names<'a> = &'a [Arc<str>];

/// Groups of an entry and of its loops' bodies: what each stores, which ops are in it, and what was not
/// fused and why.
pub fn fused_text(lowered: &LoweredProgram, entry: usize) -> String {
    let graph = &lowered.graph;
    let mut text = format!("entry {}\n", graph.entries[entry].name);
    for (number, fused) in lowered.fusions[entry].iter().enumerate() {
        if number > 0 {
            let _ = writeln!(text, "  body {number}: {}", graph.region(fused.region).name);
        }
        groups_text(graph, fused, &mut text);
    }
    text
}

fn groups_text(graph: &Graph, fused: &Fused, text: &mut String) {
    let (region, fusion) = (graph.region(fused.region), &fused.fusion);
    let op =
        |node: mlc_ir::graph::NodeId| region.nodes[node.index()].op.primitive().map_or("region", |p| p.info().name);
    for (number, group) in fusion.groups.iter().enumerate() {
        let roots: Vec<String> =
            group.roots.iter().map(|v| format!("%{}: {}", v.0, region.ty(*v).display(&graph.symbols))).collect();
        let _ = writeln!(text, "  group {number} -> {}", roots.join(", "));
        for (node, role) in group.members.iter() {
            let role = match role {
                _ if group.anchor == Some(*node) => "anchor",
                Role::Reduced => "reduced",
                Role::Epilogue => "epilogue",
                Role::Viewed => "viewed",
            };
            let span = place(graph, region.nodes[node.index()].span);
            let _ = writeln!(text, "    {role:<8} {}{span}", op(*node));
        }
    }
    for (node, reason) in &fusion.refusals {
        let span = place(graph, region.nodes[node.index()].span);
        let _ = writeln!(text, "  not fused: {}, {reason}{span}", op(*node));
    }
}

fn place(graph: &Graph, span: SpanId) -> String {
    graph.position(span).map_or_else(String::new, |position| format!("   # {position}"))
}

fn places(graph: &Graph, spans: &[SpanId]) -> String {
    let list: Vec<String> = spans.iter().filter_map(|span| graph.position(*span)).collect();
    if list.is_empty() { String::new() } else { format!("   # {}", list.join(", ")) }
}

/// `kernel conv_add   # cnn.dl:11:47, cnn.dl:11:42`: the heading of a kernel's code.
pub fn kernel_heading(graph: &Graph, info: &KernelInfo) -> String {
    format!("kernel {}{}", info.nest.name, places(graph, &info.nest.spans))
}

/// A nest with its plan.
pub fn nest_text(graph: &Graph, info: &KernelInfo) -> String {
    let nest = &info.nest;
    let printer = Printer { names: &graph.symbols, buffers: nest.buffers.iter().map(|b| source(b.source)).collect() };
    let mut text = format!("nest {}{}\n", nest.name, places(graph, &nest.spans));
    nest_body(nest, &printer, &mut text);
    let _ = writeln!(text, "  schedule {}", schedule_text(&info.schedule));
    text
}

/// What a nest computes and how it would be run, whatever its values are called and wherever they were
/// written: equal for kernels that take equally long.
pub fn meaning_text(nest: &Nest, schedule: &Schedule, names: Names<'_>) -> String {
    let mut text = content_text(nest, names);
    let _ = writeln!(text, "  schedule {}, {}", schedule_text(schedule), Knobs::of(schedule));
    text
}

/// What a nest computes, whatever its values are called and wherever they were written.
pub fn content_text(nest: &Nest, names: Names<'_>) -> String {
    let buffers = (0..nest.buffers.len()).map(|number| format!("b{number}")).collect();
    let printer = Printer { names, buffers };
    let mut text = String::new();
    for (number, buffer) in nest.buffers.iter().enumerate() {
        let shape: Vec<String> = buffer.shape.iter().map(|dim| printer.dim(dim)).collect();
        let _ = writeln!(text, "  b{number}: {}[{}]", buffer.dtype, shape.join(", "));
    }
    nest_body(nest, &printer, &mut text);
    text
}

fn nest_body(nest: &Nest, printer: &Printer<'_>, text: &mut String) {
    let axes = |from: usize, dims: &[Dim]| -> String {
        let list: Vec<String> =
            dims.iter().enumerate().map(|(i, d)| format!("i{}: {}", from + i, printer.dim(d))).collect();
        list.join(", ")
    };
    let _ = writeln!(text, "  parallel {}", axes(0, &nest.par));
    if let Some(reduce) = &nest.reduce {
        if let Some(plan) = plan_text(nest, printer) {
            let _ = writeln!(text, "  over {}   ({plan})", axes(nest.par.len(), &nest.red));
        }
        let value = match reduce {
            Reduction::Fold { combine, value, .. } => format!("{combine:?} {}", printer.expr(value)),
            Reduction::Dot { left, right, .. } => format!("Dot {} , {}", printer.expr(left), printer.expr(right)),
            Reduction::Best { extreme, value, .. } => format!("Best{extreme:?} {}", printer.expr(value)),
            Reduction::Scan { axis, from, factor, value, .. } => {
                let factor = factor.as_ref().map_or(String::new(), |factor| format!("{} * ", printer.expr(factor)));
                format!("Scan from {from:?} of i{axis}: {factor}before + {}", printer.expr(value))
            }
            Reduction::Scatter { axis, place, value, .. } => {
                format!("Scatter to i{axis} = {} of {}", printer.expr(place), printer.expr(value))
            }
            Reduction::Order { order, value, .. } => format!("{order:?} order of {}", printer.expr(value)),
        };
        let _ = writeln!(text, "  reduced = {value}");
    }
    for (number, value) in nest.lets.iter().enumerate() {
        let _ = writeln!(text, "  let {number} = {}", printer.expr(value));
    }
    for store in &nest.stores {
        let _ = writeln!(
            text,
            "  {}[{}] = {}",
            printer.buffers[store.buffer],
            printer.ix(&store.at),
            printer.expr(&store.value)
        );
    }
}

fn plan_text(nest: &Nest, printer: &Printer<'_>) -> Option<String> {
    Some(match nest.plan()? {
        ReducePlan::Chain { axis, count } => match nest.red.get(axis) {
            Some(extent) => format!("chain, blocks of {count} of i{} = {}", nest.par.len() + axis, printer.dim(extent)),
            None => "chain".to_string(),
        },
        ReducePlan::Blocks => match &nest.blocks {
            Some(blocks) => {
                format!("chain, {} blocks from the last on, from {}", blocks.count, printer.expr(&blocks.start))
            }
            None => return None,
        },
        ReducePlan::Lanes => "dealt to lanes, combined by halving".to_string(),
    })
}

fn schedule_text(schedule: &Schedule) -> String {
    let mut text = format!("{:?} lanes {} x {} vectors", schedule.shape, schedule.lanes, schedule.vectors);
    if let Some(axis) = schedule.vector {
        let _ = write!(text, " along i{axis}");
    }
    if let Some((axis, rows)) = schedule.rows {
        let _ = write!(text, ", {rows} rows of i{axis}");
    }
    let tile = |tile: &Tile| match tile {
        Tile::Axis(axis) => format!("i{axis}"),
        Tile::Rows(rows) => format!("{rows} rows"),
        Tile::Blocks => "blocks".to_string(),
    };
    let tiles: Vec<String> = schedule.tiles.iter().map(tile).collect();
    let _ = write!(text, ", unroll {}, tiles [{}]", schedule.unroll, tiles.join(", "));
    if schedule.stream > 0 {
        let _ = write!(text, ", single rows in streams of {} vectors", schedule.stream);
    }
    text
}

fn source(source: Source) -> String {
    match source {
        Source::Value(Value(number)) => format!("%{number}"),
        Source::Copy(number) => format!("copy{number}"),
    }
}

/// The loops of a kernel.
pub fn tree_text(graph: &Graph, tree: &Tree) -> String {
    let printer = Printer { names: &graph.symbols, buffers: tree.buffers.iter().map(|b| source(b.source)).collect() };
    let mut text = format!("tree {}{}\n", tree.name, places(graph, &tree.spans));
    for part in &tree.parts {
        let tiles: Vec<String> = part.tiles.iter().map(|(v, d)| format!("i{} < {}", v.0, printer.dim(d))).collect();
        let _ = writeln!(text, "  tiles {}", tiles.join(", "));
        printer.stmts(&part.body, 2, &mut text);
    }
    text
}

struct Printer<'a> {
    names: Names<'a>,
    buffers: Vec<String>,
}

impl Printer<'_> {
    fn dim(&self, dim: &Dim) -> String {
        dim.display(self.names).to_string()
    }

    fn ix(&self, ix: &Ix) -> String {
        let mut parts: Vec<String> = ix.terms.iter().map(|(atom, coef)| self.term(atom, *coef)).collect();
        if !ix.constant.is(0) || parts.is_empty() {
            parts.push(self.dim(&ix.constant));
        }
        parts.join(" + ")
    }

    fn term(&self, atom: &IxAtom, coef: i64) -> String {
        let atom = match atom {
            IxAtom::Axis(AxisId(axis)) => format!("i{axis}"),
            IxAtom::FloorDiv(a, k) => format!("floor(({}) / {k})", self.ix(a)),
            IxAtom::Mod(a, k) => format!("(({}) % {k})", self.ix(a)),
            IxAtom::Scaled(a, size) => format!("({}) * ({})", self.ix(a), self.dim(size)),
        };
        if coef == 1 { atom } else { format!("{coef}*{atom}") }
    }

    fn cond(&self, cond: &Cond) -> String {
        match cond {
            Cond::NotNegative(a) => format!("{} >= 0", self.ix(a)),
            Cond::Zero(a) => format!("{} == 0", self.ix(a)),
        }
    }

    fn conds(&self, conds: &[Cond]) -> String {
        let list: Vec<String> = conds.iter().map(|c| self.cond(c)).collect();
        list.join(" and ")
    }

    fn expr(&self, expr: &Expr) -> String {
        match expr {
            Expr::Literal(literal) => format!("{}", literal.as_f64()),
            Expr::Size(_, dim) => self.dim(dim),
            Expr::Position(_, ix) => format!("({})", self.ix(ix)),
            Expr::Test(conds) => format!("({})", self.conds(conds)),
            Expr::Load { buffer, at } => self.load(&self.buffers[*buffer], at),
            Expr::Reduced => "reduced".to_string(),
            Expr::BestPosition(_) => "position".to_string(),
            Expr::Let(number) => format!("let{number}"),
            Expr::Unary(op, a) => format!("{}({})", lower_name(op), self.expr(a)),
            Expr::Binary(op, a, b) => format!("{}({}, {})", lower_name(op), self.expr(a), self.expr(b)),
            Expr::Compare(op, a, b) => format!("{}({}, {})", lower_name(op), self.expr(a), self.expr(b)),
            Expr::Select(c, a, b) => format!("select({}, {}, {})", self.expr(c), self.expr(a), self.expr(b)),
            Expr::Cast(dtype, a) => format!("{dtype}({})", self.expr(a)),
            Expr::Random { distribution, site, offset, element, .. } => {
                let offset = match &**offset {
                    Expr::Literal(literal) if literal.as_i64() == 0 => String::new(),
                    offset => format!(" + {}", self.expr(offset)),
                };
                format!("{}(site {site:016x}{offset}, {})", lower_name(distribution), self.ix(element))
            }
        }
    }

    fn load(&self, buffer: &str, at: &Address) -> String {
        match at {
            Address::Linear(ix) => format!("{buffer}[{}]", self.ix(ix)),
            Address::Axes { index, within, .. } => {
                let within = if within.is_empty() { String::new() } else { format!(" if {}", self.conds(within)) };
                format!("{buffer}[{}{within}]", self.indices(index))
            }
        }
    }

    fn indices(&self, index: &[Index]) -> String {
        let index = index.iter().map(|index| match index {
            Index::At(ix) => self.ix(ix),
            Index::Data { value, .. } => self.expr(value),
            Index::Window { start, at, .. } => format!("{} + {}", self.expr(start), self.ix(at)),
        });
        index.collect::<Vec<_>>().join("; ")
    }

    fn stmts(&self, stmts: &[Stmt], depth: usize, text: &mut String) {
        for stmt in stmts {
            let _ = write!(text, "{:width$}", "", width = depth * 2);
            let _ = writeln!(text, "{}", self.stmt(stmt));
            if let Stmt::For { body, .. } = stmt {
                self.stmts(body, depth + 1, text);
            }
        }
    }

    fn stmt(&self, stmt: &Stmt) -> String {
        match stmt {
            Stmt::For { var, extent, how, .. } => {
                let how = match how {
                    How::Serial => String::new(),
                    How::Unroll => " unrolled".to_string(),
                    How::Vector { valid: None } => " in lanes".to_string(),
                    How::Vector { valid: Some(valid) } => format!(" in lanes, {} count", self.ix(valid)),
                };
                format!("for i{} < {}{how}", var.0, self.dim(extent))
            }
            Stmt::Init { acc, value } => format!("acc{acc} = {}", value.as_f64()),
            Stmt::Fold { acc, combine, value } => {
                format!("acc{acc} = {}(acc{acc}, {})", lower_name(combine), self.expr(value))
            }
            Stmt::Set { acc, value } => format!("acc{acc} = {}", self.expr(value)),
            Stmt::Add { buffer, index, value } => {
                format!("{}[{}] += {}", self.buffers[*buffer], self.indices(index), self.expr(value))
            }
            Stmt::Sort { keys, into, row, extent, order, .. } => {
                let (keys, into) = (&self.buffers[*keys], &self.buffers[*into]);
                format!("{into}[{}] = {} order of {} of {keys}", self.ix(row), lower_name(order), self.dim(extent))
            }
            Stmt::MulAdd { acc, left, right } => {
                format!("acc{acc} = mul_add({}, {}, acc{acc})", self.expr(left), self.expr(right))
            }
            Stmt::Best { acc, position, extreme, value, at } => {
                let extreme = lower_name(extreme);
                format!("acc{acc}, acc{position} = best_{extreme}({} at {})", self.expr(value), self.ix(at))
            }
            Stmt::Halve { from, parts, into, combine } => {
                format!("acc{into} = {} of {parts} vectors of acc{from} by halving", lower_name(combine))
            }
            Stmt::Release { acc } => format!("release acc{acc}"),
            Stmt::Clear { scratch, slot } => format!("scratch{scratch}[{}] = 0", self.ix(slot)),
            Stmt::Fill { scratch, slot, value } => {
                format!("scratch{scratch}[{}] = {}", self.ix(slot), self.expr(value))
            }
            Stmt::Flush { scratch, slot } => format!("scratch{scratch}[{}] += acc", self.ix(slot)),
            Stmt::Total { scratch, slot } => format!("acc = scratch{scratch}[{}] + acc", self.ix(slot)),
            Stmt::Save { scratch, slot } => format!("scratch{scratch}[{}] = acc", self.ix(slot)),
            Stmt::Recall { scratch, slot } => format!("acc = scratch{scratch}[{}]", self.ix(slot)),
            Stmt::Let { number, value } => format!("let {number} = {}", self.expr(value)),
            Stmt::Prefetch { buffer, at, write } => {
                let why = if *write { "prefetch to write" } else { "prefetch" };
                format!("{why} {}[{}]", self.buffers[*buffer], self.ix(at))
            }
            Stmt::Store { buffer, at, value } => {
                format!("{}[{}] = {}", self.buffers[*buffer], self.ix(at), self.expr(value))
            }
        }
    }
}

fn lower_name(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
