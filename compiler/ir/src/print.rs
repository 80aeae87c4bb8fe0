//! Graphs as text, for `--stage` and snapshots.
//!
//! Values are numbered anew in each region, parameters first, so the text does not depend on how
//! the region was built. Regions of loops and calls follow the region that uses them first.

use crate::dim::Dim;
use crate::graph::{Entry, Graph, Input, Node, Output, Region, RegionId, Relation, Value};
use crate::ops::Attribute;
use crate::scalar::Literal;
use crate::ty::DType;
use std::fmt::Write;

/// All entries with the regions they use.
pub fn graph_text(graph: &Graph) -> String {
    let mut printer = Printer { graph, seen: Vec::new(), printed: Vec::new(), text: String::new() };
    for entry in &graph.entries {
        printer.entry(entry);
    }
    printer.text
}

/// One region with the regions it uses.
pub fn region_text(graph: &Graph, region: RegionId) -> String {
    let mut printer = Printer { graph, seen: Vec::new(), printed: Vec::new(), text: String::new() };
    printer.region_and_inner(region);
    printer.text
}

struct Printer<'a> {
    graph: &'a Graph,
    /// Regions in the order of their first use; the position is the number printed.
    seen: Vec<RegionId>,
    printed: Vec<RegionId>,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn entry(&mut self, entry: &Entry) {
        if !self.text.is_empty() {
            self.line("");
        }
        let region = self.graph.region(entry.region);
        let numbers = Numbers::new(region);
        let inputs: Vec<String> = region
            .params
            .iter()
            .zip(&entry.inputs)
            .map(|(value, input)| format!("{} {}: {}", numbers.of(*value), self.input(input), self.ty(region, *value)))
            .collect();
        self.line(&format!("entry {}({}) {{", entry.name, inputs.join(", ")));
        for check in &entry.checks {
            let relation = match check.relation {
                Relation::Equal => "==",
                Relation::Differ => "!=",
                Relation::AtMost => "<=",
                Relation::Divides => "is a multiple of",
            };
            let (left, right) = (self.dim(&check.left), self.dim(&check.right));
            let place = self.graph.position(check.span).map_or(String::new(), |place| format!("   # {place}"));
            self.line(&format!("  check {left} {relation} {right}{place}"));
        }
        self.nodes(region, &numbers);
        for (value, output) in region.results.iter().zip(&entry.outputs) {
            let output = match output {
                Output::Result(name) => format!("result {name}"),
                Output::Global(id) => format!("update {}", self.graph.globals[id.index()].path),
                Output::Fault(fault) => format!("fault {}", fault.text),
            };
            self.line(&format!("  {output} = {}", numbers.of(*value)));
        }
        self.line("}");
        self.inner(region);
    }

    fn input(&self, input: &Input) -> String {
        match input {
            Input::Arg(name) => name.clone(),
            Input::Global(id) => self.graph.globals[id.index()].path.to_string(),
            Input::Seed => "seed".into(),
            Input::Step => "step".into(),
            Input::Done => "done".into(),
            Input::Epoch => "epoch".into(),
            Input::TotalSteps => "total_steps".into(),
        }
    }

    /// The regions that the nodes of a region own, each once.
    fn inner(&mut self, region: &Region) {
        for id in region.nodes.iter().flat_map(|node| node.regions.iter().copied()) {
            if !self.printed.contains(&id) {
                self.region_and_inner(id);
            }
        }
    }

    /// The name of a region with its number.
    fn label(&mut self, id: RegionId) -> String {
        let at = self.seen.iter().position(|seen| *seen == id).unwrap_or_else(|| {
            self.seen.push(id);
            self.seen.len() - 1
        });
        format!("{}.{at}", self.graph.region(id).name)
    }

    fn region_and_inner(&mut self, id: RegionId) {
        let region = self.graph.region(id);
        let numbers = Numbers::new(region);
        self.printed.push(id);
        let label = self.label(id);
        let params: Vec<String> =
            region.params.iter().map(|value| format!("{}: {}", numbers.of(*value), self.ty(region, *value))).collect();
        self.line("");
        self.line(&format!("region {label}({}) {{", params.join(", ")));
        self.nodes(region, &numbers);
        self.line(&format!("  return {}", numbers.list(&region.results)));
        self.line("}");
        self.inner(region);
    }

    fn nodes(&mut self, region: &Region, numbers: &Numbers) {
        for node in &region.nodes {
            let line = self.node(region, node, numbers);
            self.line(&line);
        }
    }

    /// `  %3 = conv(%1, %2) {strides [1, 1]} : f32[B, 26, 26, 32]   # cnn.dl:13:27`
    fn node(&mut self, region: &Region, node: &Node, numbers: &Numbers) -> String {
        let mut line =
            format!("  {} = {}({})", numbers.list(&node.results), node.op.info().name, numbers.list(&node.args));
        let attributes: Vec<String> =
            node.op.attributes().iter().map(|(name, value)| self.attribute(name, value)).collect();
        if !attributes.is_empty() {
            let _ = write!(line, " {{{}}}", attributes.join(", "));
        }
        for id in &node.regions {
            let _ = write!(line, " {}", self.label(*id));
        }
        let types: Vec<String> = node.results.iter().map(|value| self.ty(region, *value)).collect();
        let _ = write!(line, " : {}", types.join(", "));
        let mut notes: Vec<String> = self.graph.position(node.span).into_iter().collect();
        notes.extend((!node.made_by.is_empty()).then(|| node.made_by.to_string()));
        notes.extend((node.epoch.0 != 0).then(|| format!("remat {}", node.epoch.0)));
        if !notes.is_empty() {
            let _ = write!(line, "   # {}", notes.join(" "));
        }
        line
    }

    fn attribute(&self, name: &str, value: &Attribute) -> String {
        let text = match value {
            Attribute::Dim(dim) => self.dim(dim),
            Attribute::Dims(dims) => listed(dims.iter().map(|dim| self.dim(dim))),
            Attribute::Int(number) => number.to_string(),
            Attribute::Ints(numbers) => listed(numbers.iter().map(i64::to_string)),
            Attribute::Pairs(pairs) => listed(pairs.iter().map(|(low, high)| format!("({low}, {high})"))),
            Attribute::Literal(literal) => number(*literal),
            Attribute::Word(word) => word.clone(),
        };
        format!("{name} {text}").trim().to_string()
    }

    fn dim(&self, dim: &Dim) -> String {
        dim.display(&self.graph.symbols).to_string()
    }

    fn ty(&self, region: &Region, value: Value) -> String {
        region.ty(value).display(&self.graph.symbols)
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A literal as the shortest text that reads back as the same number.
fn number(literal: Literal) -> String {
    match literal.dtype {
        DType::F32 => format!("{:?}", f32::from_bits(literal.bits as u32)),
        DType::F64 => format!("{:?}", literal.as_f64()),
        DType::I32 | DType::I64 | DType::U8 | DType::I8 => literal.as_i64().to_string(),
        DType::Bool => (literal.bits != 0).to_string(),
    }
}

/// The printed numbers of a region's values.
struct Numbers(Vec<Option<usize>>);

impl Numbers {
    fn new(region: &Region) -> Numbers {
        let mut numbers = vec![None; region.values.len()];
        let values = region.params.iter().chain(region.nodes.iter().flat_map(|node| &node.results));
        for (number, value) in values.enumerate() {
            if let Some(slot) = numbers.get_mut(value.index()) {
                *slot = Some(number);
            }
        }
        Numbers(numbers)
    }

    fn of(&self, value: Value) -> String {
        match self.0.get(value.index()).copied().flatten() {
            Some(number) => format!("%{number}"),
            None => format!("%undefined{}", value.0),
        }
    }

    fn list(&self, values: &[Value]) -> String {
        values.iter().map(|value| self.of(*value)).collect::<Vec<_>>().join(", ")
    }
}
