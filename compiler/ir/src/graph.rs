//! The graph: closed regions of nodes with ordered operands.
//!
//! Guarantees: types are inferred when a node is added, so an untyped node never exists; nodes stand
//! in topological order (insertion order); regions are closed, a node uses only values of its own
//! region; iteration order is fixed. What is left out on purpose: names of axes (the resolver's),
//! buffers and places in memory (`mlc-kernel`'s).

use crate::dim::{Dim, Sym};
use crate::ops::Op;
use crate::ty::Type;
use smallvec::SmallVec;
use std::sync::Arc;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name(pub u32);

            impl $name {
                /// As a position in a list.
                pub fn index(self) -> usize {
                    self.0 as usize
                }
            }
        )*
    };
}

ids! {
    /// A region of a graph.
    RegionId,
    /// A value of a region: a parameter or a result of a node.
    Value,
    /// A node of a region.
    NodeId,
    /// A tensor that outlives calls: a weight or a state.
    GlobalId,
    /// A place in a source file, in [`Graph::places`]. `SpanId(0)` is "nowhere".
    SpanId,
}

/// Recomputed nodes carry the number of their recomputation, so that they are not merged with the original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// As messages show the file.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// The whole program: regions, what outlives a call, and entry points.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Names of the size symbols; `Sym(i)` is `symbols[i]`.
    pub symbols: Vec<Arc<str>>,
    /// Source places that nodes refer to; the first is "nowhere".
    pub places: Vec<Place>,
    /// Weights and states.
    pub globals: Vec<Global>,
    /// All regions.
    pub regions: Vec<Region>,
    /// Entry points.
    pub entries: Vec<Entry>,
}

/// What a global is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GlobalKind {
    /// A weight: saved, loaded, updated by training.
    Param,
    /// A layer's state: saved with the weights.
    State,
    /// An optimizer's state: saved in checkpoints alone.
    OptimizerState,
    /// A layer's state with sizes of a session: never saved.
    Session,
}

/// A tensor that outlives calls. Its shape is made of numbers; that of a [`GlobalKind::Session`] has
/// symbols, and each entry that touches it has its own sizes for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// `conv1.weight`, `opt.m.conv1.weight`
    pub path: Arc<str>,
    /// Weight or state.
    pub kind: GlobalKind,
    /// Dtype and shape.
    pub ty: Type,
    /// Where it is declared.
    pub span: SpanId,
}

/// A closed piece of dataflow.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// For dumps.
    pub name: String,
    /// Inputs.
    pub params: Vec<Value>,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// Outputs.
    pub results: Vec<Value>,
    /// Type and definition of every value.
    pub values: Vec<ValueData>,
}

/// What is known of a value.
#[derive(Clone, Debug)]
pub struct ValueData {
    /// Its type.
    pub ty: Type,
    /// Where it comes from.
    pub def: Def,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Def {
    /// The region's n-th parameter.
    Param(u32),
    /// The n-th result of a node.
    Node(NodeId, u32),
    /// Stands for what only the body of a loop knows while that is built; no finished region has one.
    Hole,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Operands, in the op's order.
    pub args: SmallVec<[Value; 3]>,
    /// Results, in the op's order.
    pub results: SmallVec<[Value; 2]>,
    /// Bodies of a region op.
    pub regions: SmallVec<[RegionId; 1]>,
    /// Where it was written.
    pub span: SpanId,
    /// The pass that made it; empty: the resolver.
    pub made_by: &'static str,
    /// Set for recomputed nodes.
    pub epoch: Epoch,
}

/// An entry point: a region and what its parameters and results stand for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `forward`, `digits.step`, `init_weights`
    pub name: String,
    /// Its region; `inputs` and `outputs` are one for each of the region's parameters and results.
    pub region: RegionId,
    /// What each parameter is.
    pub inputs: Vec<Input>,
    /// What each result is.
    pub outputs: Vec<Output>,
    /// Relations of sizes that could not be decided when compiling; tested first.
    pub checks: Vec<SizeCheck>,
    /// Representative values of the symbols for placement and cost, e.g. the training batch.
    pub typical: Vec<(Sym, i64)>,
}

/// What a parameter of an entry is.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An argument the caller gives, with its name.
    Arg(String),
    /// A weight or state, read.
    Global(GlobalId),
    /// The seed of random draws: i64.
    Seed,
    /// What tells draws of different calls apart: the number of the batch in a training or in an evaluation, or of
    /// calls since init: i64.
    Step,
    /// The number of training steps done: i64.
    Done,
    /// The epoch: i64.
    Epoch,
    /// The number of training steps in all: i64.
    TotalSteps,
}

/// What a result of an entry is.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Returned to the caller under a name.
    Result(String),
    /// The new value of a weight or state. Written after all faults were tested.
    Global(GlobalId),
    /// An i32 scalar: the row-major number of the first bad element of `indices`, or i32::MAX.
    Fault(Fault),
}

/// What a [`Fault`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The elements of an index tensor.
    Index,
    /// The length of a result.
    Length,
    /// What a C function returned: anything but i32::MAX is what it returned.
    Status,
}

/// A run-time check of an index tensor, or of a length.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which of the two.
    pub checked: Checked,
    /// Where the index is used.
    pub span: SpanId,
    /// What is indexed, for the message: `f32[B, 10]`, axis of size `bound`.
    pub text: String,
    /// Valid are `0..bound`.
    pub bound: Dim,
}

/// A relation of two sizes to be tested at each call.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeCheck {
    /// Left side.
    pub left: Dim,
    /// The relation.
    pub relation: Relation,
    /// Right side.
    pub right: Dim,
    /// Where it is required.
    pub span: SpanId,
    /// In words, for the message.
    pub text: String,
}

/// Relations of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `left == right`
    Equal,
    /// `left != right`
    Differ,
    /// `left <= right`
    AtMost,
    /// `left % right == 0`
    Divides,
}

impl Graph {
    /// An empty graph, whose `SpanId(0)` is "nowhere".
    pub fn new() -> Graph {
        Graph { places: vec![Place { file: "".into(), line: 0, column: 0 }], ..Graph::default() }
    }

    /// The symbol of that name, made if there is none.
    pub fn symbol(&mut self, name: &str) -> Sym {
        let at = self.symbols.iter().position(|other| &**other == name).unwrap_or_else(|| {
            self.symbols.push(name.into());
            self.symbols.len() - 1
        });
        Sym(at as u32)
    }

    /// A region by its id.
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[id.index()]
    }

    /// Adds a region.
    pub fn add_region(&mut self, region: Region) -> RegionId {
        self.regions.push(region);
        RegionId(self.regions.len() as u32 - 1)
    }

    /// `cnn.dl:13:27`, or nothing for "nowhere".
    pub fn position(&self, span: SpanId) -> Option<String> {
        let place = &self.places[span.index()];
        (span.0 != 0).then(|| format!("{}:{}:{}", place.file, place.line, place.column))
    }
}

impl Region {
    /// The type of a value.
    pub fn ty(&self, value: Value) -> &Type {
        &self.values[value.index()].ty
    }

    /// The node that makes a value, unless it is a parameter.
    pub fn producer(&self, value: Value) -> Option<&Node> {
        match self.values[value.index()].def {
            Def::Param(_) | Def::Hole => None,
            Def::Node(node, _) => Some(&self.nodes[node.index()]),
        }
    }
}
