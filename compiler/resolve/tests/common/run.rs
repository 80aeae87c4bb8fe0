//! Runs entries of a program in the reference interpreter.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use mlc_ir::graph::{Input, Output};
use mlc_ir::interp;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::Program;
use std::collections::BTreeMap;

/// A program with the values of its weights and states.
pub struct Machine {
    pub program: Program,
    pub globals: Vec<Tensor>,
    pub seed: i64,
    /// Training steps done.
    pub step: i64,
    /// What tells draws apart, where that is another number.
    pub batch: Option<i64>,
}

/// What a call gave: results by name, and the first bad index of each fault.
#[derive(Debug)]
pub struct Results {
    pub named: BTreeMap<String, Tensor>,
    pub faults: Vec<i64>,
}

impl Machine {
    /// A program whose weights have their first values.
    pub fn new(program: Program, seed: i64) -> Machine {
        mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
        let globals = vec![Tensor::from_i64(&[], &[0]); program.graph.globals.len()];
        let mut machine = Machine { program, globals, seed, step: 0, batch: None };
        let init = machine.program.init;
        machine.call(init, &[]);
        machine
    }

    /// The entry of an exported function.
    pub fn function(&self, name: &str) -> usize {
        self.program.functions.iter().find(|function| function.name == name).expect("an exported function").entry
    }

    /// Position of a weight by its path.
    pub fn global(&self, path: &str) -> usize {
        self.program.graph.globals.iter().position(|global| &*global.path == path).expect("a weight of that path")
    }

    /// Calls an entry; `args` by name. New values of globals are kept.
    pub fn call(&mut self, entry: usize, args: &[(&str, Tensor)]) -> Results {
        let graph = &self.program.graph;
        let entry = &graph.entries[entry];
        let symbols = symbols(graph, entry, args);
        let inputs: Vec<Tensor> = entry
            .inputs
            .iter()
            .map(|input| match input {
                Input::Arg(name) => args.iter().find(|(other, _)| other == name).expect("an argument").1.clone(),
                Input::Global(id) => self.globals[id.index()].clone(),
                Input::Seed => Tensor::from_i64(&[], &[self.seed]),
                Input::Step => Tensor::from_i64(&[], &[self.batch.unwrap_or(self.step)]),
                Input::Epoch => Tensor::from_i64(&[], &[0]),
                Input::TotalSteps => Tensor::from_i64(&[], &[100]),
                Input::Done => Tensor::from_i64(&[], &[self.step]),
            })
            .collect();
        let values = interp::run(graph, entry.region, &inputs, &symbols);
        let mut results = Results { named: BTreeMap::new(), faults: Vec::new() };
        for (output, value) in entry.outputs.iter().zip(values) {
            match output {
                Output::Result(name) => {
                    results.named.insert(name.clone(), value);
                }
                Output::Global(id) => self.globals[id.index()] = value,
                Output::Fault(_) => results.faults.push(value.ints()[0]),
            }
        }
        results
    }
}

/// Sizes from the shapes of the arguments.
fn symbols(graph: &mlc_ir::graph::Graph, entry: &mlc_ir::graph::Entry, args: &[(&str, Tensor)]) -> Vec<i64> {
    let mut symbols = vec![1; graph.symbols.len()];
    let region = graph.region(entry.region);
    for (param, input) in region.params.iter().zip(&entry.inputs) {
        let Input::Arg(name) = input else { continue };
        let value = &args.iter().find(|(other, _)| other == name).expect("an argument").1;
        for (dim, extent) in region.ty(*param).shape.iter().zip(&value.shape) {
            if let Some((1, sym, offset)) = dim.linear() {
                symbols[sym.0 as usize] = *extent as i64 - offset;
            }
        }
    }
    symbols
}

/// Floats of a result.
pub fn floats(results: &Results, name: &str) -> Vec<f64> {
    results
        .named
        .get(name)
        .unwrap_or_else(|| panic!("no result `{name}` in {:?}", results.named.keys()))
        .floats()
        .to_vec()
}
