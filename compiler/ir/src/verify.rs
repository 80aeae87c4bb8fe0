//! The invariants of a graph, checked after every pass.
//!
//! 1. Every value has one definition, and its record says which.
//! 2. A node's operands are defined before it, in the same region; so are a region's results.
//! 3. The types of a node's results are what its op infers; operand counts fit the op.
//! 4. Regions of region ops exist, their signatures fit the op, and no region runs itself.
//! 5. An entry names each parameter and result of its region once, and their types are those of the
//!    globals, scalars and faults they stand for; no global is updated twice.
//! 6. Every size uses symbols of the graph alone, and globals have sizes that are numbers; those of a
//!    session may have symbols, and an entry sees them with sizes of its own.
//! 7. Every symbol of an entry is known from some argument axis `c·S + k`, or is one of a session state
//!    that an entry without arguments writes.
//! 8. Every place exists.
//!
//! A violation is a bug of the compiler: [`expect`] reports it with the pass that made it.

use crate::dim::{Dim, Sym};
use crate::graph::{Def, Entry, GlobalId, GlobalKind, Graph, Input, NodeId, Output, Region, RegionId, Value};
use crate::ops::{Arity, InferError, Op, Types};
use crate::ty::{DType, Type};
use std::fmt;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The entry, region and node where it was found, as far as they are known.
    pub place: Vec<String>,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Checks all invariants; the first that is broken.
pub fn verify(graph: &Graph) -> Result<(), Broken> {
    acyclic(graph)?;
    for region in &graph.regions {
        RegionCheck { graph, region }.run()?;
    }
    for global in &graph.globals {
        let numbers = global.kind == GlobalKind::Session || global.ty.shape.iter().all(|dim| dim.as_const().is_some());
        require(numbers, || broken(&[&format!("global {}", global.path)], "a size is not a number"))?;
    }
    graph.entries.iter().try_for_each(|entry| check_entry(graph, entry))
}

/// Stops with the graph as text if an invariant is broken after `pass`.
pub fn expect(graph: &Graph, pass: &str) {
    if let Err(broken) = verify(graph) {
        let text = crate::print::graph_text(graph);
        crate::internal_error("verifier", &format!("after {pass}: {broken}\n{text}"));
    }
}

fn broken(place: &[&str], text: &str) -> Broken {
    Broken { place: place.iter().map(|part| part.to_string()).collect(), text: text.to_string() }
}

fn require(holds: bool, or: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(or()) }
}

/// 4: no region runs itself, and all exist.
fn acyclic(graph: &Graph) -> Result<(), Broken> {
    fn visit(graph: &Graph, id: RegionId, open: &mut Vec<RegionId>, done: &mut [bool]) -> Result<(), Broken> {
        let Some(region) = graph.regions.get(id.index()) else {
            return Err(broken(&[], &format!("there is no region {}", id.0)));
        };
        require(!open.contains(&id), || broken(&[&format!("region {}", region.name)], "it runs itself"))?;
        if done[id.index()] {
            return Ok(());
        }
        open.push(id);
        for inner in region.nodes.iter().flat_map(|node| &node.regions) {
            visit(graph, *inner, open, done)?;
        }
        open.pop();
        done[id.index()] = true;
        Ok(())
    }
    let mut done = vec![false; graph.regions.len()];
    (0..graph.regions.len()).try_for_each(|at| visit(graph, RegionId(at as u32), &mut Vec::new(), &mut done))
}

struct RegionCheck<'a> {
    graph: &'a Graph,
    region: &'a Region,
}

impl RegionCheck<'_> {
    fn run(&self) -> Result<(), Broken> {
        let mut defined = vec![false; self.region.values.len()];
        for (at, param) in self.region.params.iter().enumerate() {
            self.define(&mut defined, *param, Def::Param(at as u32)).map_err(|text| self.broken(None, &text))?;
        }
        for at in 0..self.region.nodes.len() {
            let id = NodeId(at as u32);
            self.node(&mut defined, id).map_err(|text| self.broken(Some(id), &text))?;
        }
        let results = self.region.results.iter().all(|value| defined.get(value.index()) == Some(&true));
        require(results, || self.broken(None, "a result is not defined"))?;
        let finished = self.region.values.iter().all(|value| value.def != Def::Hole);
        require(finished, || self.broken(None, "it has a hole, as only a region under construction may"))?;
        for value in &self.region.values {
            self.sizes(&value.ty).map_err(|text| self.broken(None, &text))?;
        }
        // Operands that are defined before their node make the dataflow acyclic.
        Ok(())
    }

    fn broken(&self, id: Option<NodeId>, text: &str) -> Broken {
        let mut place: Vec<String> = Vec::new();
        place.extend(self.entry().map(|entry| format!("entry {}", entry.name)));
        place.push(format!("region {}", self.region.name));
        if let Some(id) = id {
            let node = &self.region.nodes[id.index()];
            let position = self.graph.places.get(node.span.index()).and_then(|_| self.graph.position(node.span));
            let position = position.map_or(String::new(), |position| format!(" at {position}"));
            let maker = if node.made_by.is_empty() { "" } else { ", made by " };
            place.push(format!("node {} ({}{position}{maker}{})", id.0, node.op.info().name, node.made_by));
        }
        Broken { place, text: text.to_string() }
    }

    /// The first entry whose own region this is.
    fn entry(&self) -> Option<&Entry> {
        let own = |entry: &&Entry| {
            self.graph.regions.get(entry.region.index()).is_some_and(|region| std::ptr::eq(region, self.region))
        };
        self.graph.entries.iter().find(own)
    }

    fn define(&self, defined: &mut [bool], value: Value, def: Def) -> Result<(), String> {
        let Some(slot) = defined.get_mut(value.index()) else { return Err("a value has no record".into()) };
        if std::mem::replace(slot, true) {
            return Err(format!("value {} is defined twice", value.0));
        }
        if self.region.values[value.index()].def != def {
            return Err(format!("the record of value {} names another definition", value.0));
        }
        Ok(())
    }

    fn node(&self, defined: &mut [bool], id: NodeId) -> Result<(), String> {
        let node = &self.region.nodes[id.index()];
        if let Some(arg) = node.args.iter().find(|arg| defined.get(arg.index()) != Some(&true)) {
            return Err(format!("operand {} is not defined before", arg.0));
        }
        let fits = match node.op.info().arity {
            Arity::Exactly(count) => node.args.len() == count as usize,
            Arity::AtLeast(count) => node.args.len() >= count as usize,
        };
        if !fits {
            return Err(format!("it has {} operands", node.args.len()));
        }
        if node.span.index() >= self.graph.places.len() {
            return Err("its place does not exist".into());
        }
        let inferred = self.infer(id)?;
        let types: Types = node.results.iter().map(|value| self.region.ty(*value).clone()).collect();
        if inferred != types {
            let show =
                |types: &Types| types.iter().map(|ty| ty.display(&self.graph.symbols)).collect::<Vec<_>>().join(", ");
            return Err(format!("its results are {}, not {}", show(&types), show(&inferred)));
        }
        let mut places = node.results.iter().enumerate();
        places.try_for_each(|(at, value)| self.define(defined, *value, Def::Node(id, at as u32)))
    }

    fn infer(&self, id: NodeId) -> Result<Types, String> {
        let node = &self.region.nodes[id.index()];
        let args: Vec<&Type> = node.args.iter().map(|arg| self.region.ty(*arg)).collect();
        let bodies: Vec<&Region> = node.regions.iter().map(|id| self.graph.region(*id)).collect();
        let inferred = match (&node.op, bodies.as_slice()) {
            (Op::Loop(op), [body]) => op.infer(&args, body),
            (Op::Call(op), [_] | [_, _]) => op.infer(&args, &bodies),
            (Op::Loop(_) | Op::Call(_), _) => Err(InferError(format!("it has {} regions", bodies.len()))),
            (Op::Foreign(op), []) => op.infer(&args),
            (op, []) => op.primitive().map_or(Err(InferError("it is no primitive".into())), |op| op.infer(&args)),
            (_, _) => Err(InferError("a primitive has no regions".into())),
        };
        inferred.map_err(|InferError(text)| text)
    }

    /// 6, for a type.
    fn sizes(&self, ty: &Type) -> Result<(), String> {
        match ty.shape.iter().flat_map(symbols).find(|sym| sym.0 as usize >= self.graph.symbols.len()) {
            Some(sym) => Err(format!("there is no size symbol {}", sym.0)),
            None => Ok(()),
        }
    }
}

/// The symbols of a session state that is written.
fn session_symbols(graph: &Graph, output: &Output) -> Vec<Sym> {
    match output {
        Output::Global(id) => match graph.globals.get(id.index()) {
            Some(global) if global.kind == GlobalKind::Session => global.ty.shape.iter().flat_map(symbols).collect(),
            Some(_) | None => Vec::new(),
        },
        Output::Result(_) | Output::Fault(_) => Vec::new(),
    }
}

fn symbols(dim: &Dim) -> Vec<Sym> {
    let mut symbols = Vec::new();
    dim.each_symbol(&mut |sym| symbols.push(sym));
    symbols
}

/// 5 and 7.
fn check_entry(graph: &Graph, entry: &Entry) -> Result<(), Broken> {
    let name = format!("entry {}", entry.name);
    let wrong = |text: &str| broken(&[&name], text);
    let Some(region) = graph.regions.get(entry.region.index()) else { return Err(wrong("its region does not exist")) };
    let counts = entry.inputs.len() == region.params.len() && entry.outputs.len() == region.results.len();
    require(counts, || wrong("it names more or fewer parameters or results than its region has"))?;
    for (value, input) in region.params.iter().zip(&entry.inputs) {
        let expected = match input {
            Input::Arg(_) => continue,
            Input::Global(id) => global_type(graph, *id, region.ty(*value)),
            Input::Seed | Input::Step | Input::Done | Input::Epoch | Input::TotalSteps => {
                Some(Type::scalar(DType::I64))
            }
        };
        require(expected.as_ref() == Some(region.ty(*value)), || wrong(&format!("input {input:?} has another type")))?;
    }
    let mut updated = Vec::new();
    for (value, output) in region.results.iter().zip(&entry.outputs) {
        let expected = match output {
            Output::Result(_) => continue,
            Output::Global(id) => {
                require(!updated.contains(id), || wrong("a global is updated twice"))?;
                updated.push(*id);
                global_type(graph, *id, region.ty(*value))
            }
            Output::Fault(_) => Some(Type::scalar(DType::I32)),
        };
        require(expected.as_ref() == Some(region.ty(*value)), || {
            wrong(&format!("output {output:?} has another type"))
        })?;
    }
    solvable(graph, entry, region).map_err(|text| wrong(&text))
}

/// The type that an entry sees a global with, where it uses it as `here`.
fn global_type(graph: &Graph, id: GlobalId, here: &Type) -> Option<Type> {
    let global = graph.globals.get(id.index())?;
    let own_sizes =
        global.kind == GlobalKind::Session && (here.dtype, here.rank()) == (global.ty.dtype, global.ty.rank());
    Some(if own_sizes { here.clone() } else { global.ty.clone() })
}

/// 7: every symbol in the shape of an argument, or in a check, stands alone on some axis of an argument.
fn solvable(graph: &Graph, entry: &Entry, region: &Region) -> Result<(), String> {
    let args = region.params.iter().zip(&entry.inputs).filter(|(_, input)| matches!(input, Input::Arg(_)));
    let dims: Vec<&Dim> = args.flat_map(|(value, _)| &region.ty(*value).shape).collect();
    let mut known: Vec<Sym> = dims.iter().filter_map(|dim| dim.linear()).map(|(_, sym, _)| sym).collect();
    if dims.is_empty() {
        known.extend(entry.outputs.iter().flat_map(|output| session_symbols(graph, output)));
    }
    let checks = entry.checks.iter().flat_map(|check| [&check.left, &check.right]);
    let values = region.values.iter().flat_map(|value| &value.ty.shape);
    let unknown = checks.chain(values).flat_map(symbols).find(|sym| !known.contains(sym));
    match unknown {
        Some(sym) => {
            let name = graph.symbols.get(sym.0 as usize).map_or("?", |name| name);
            Err(format!("the size {name} is not known from an argument"))
        }
        None => Ok(()),
    }
}
