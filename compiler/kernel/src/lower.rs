//! From a graph to a [`Program`]: each region is fused, every group becomes a kernel, what needs
//! memory gets its place, and steps their order.
//!
//! A loop's body is lowered as an entry's region is. Liveness is that of one order over all of them
//! ([`timeline`]); values share memory where one only becomes the other ([`homes`]): a carry that each
//! iteration makes anew, a row of a stack, a weight that is replaced.

mod apart;
mod bands;
mod cells;
mod chains;
mod contractions;
mod copies;
mod homes;
mod kept;
mod live;
mod order;
mod prepare;
mod reach;
mod scope;
mod steps;
mod timeline;

pub use contractions::{Contraction, contractions};

use crate::fuse::{Fuse, Fusion};
use crate::lane::Lane;
use crate::nest::Nest;
use crate::panels::Packing;
use crate::program::{EntryCode, Program};
use crate::schedule::{Machine, Schedule};
use crate::tree::Tree;
use cells::Cells;
use mlc_ir::dim::{Dim, SizeError};
use mlc_ir::graph::{Entry, Graph, RegionId, Value};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHasher};
use scope::Scopes;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use steps::Layout;

/// A program and how it came about.
#[derive(Clone, Debug)]
pub struct LoweredProgram {
    /// For `mlc-codegen`.
    pub program: Program,
    /// One for each kernel step, for dumps.
    pub kernels: Vec<KernelInfo>,
    /// The graph that was lowered: the given one, sums over iterations made carries.
    pub graph: Graph,
    /// For each entry its region and the bodies of its loops, for dumps.
    pub fusions: Vec<Vec<Fused>>,
    /// For each entry what each buffer of its plan holds, apart from copies of operands.
    pub contents: Vec<Vec<Option<Content>>>,
}

/// A value that has memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// A region of [`LoweredProgram::graph`].
    pub region: RegionId,
    /// A value of it.
    pub value: Value,
}

/// What is computed together in a region.
#[derive(Clone, Debug)]
pub struct Fused {
    /// The region, in [`LoweredProgram::graph`].
    pub region: RegionId,
    /// Its groups.
    pub fusion: Fusion,
}

/// How one kernel step came about.
#[derive(Clone, Debug)]
pub struct KernelInfo {
    /// Position of the entry.
    pub entry: usize,
    /// Position in [`Program::kernels`].
    pub kernel: usize,
    /// What it computes.
    pub nest: Arc<Nest>,
    /// How.
    pub schedule: Schedule,
    /// Its loops.
    pub tree: Arc<Tree>,
}

/// Decisions of lowering that change no bit of any result; tests take them otherwise to show it.
#[derive(Clone, Copy)]
pub struct Choices<'a> {
    /// What is fused.
    pub fuse: Fuse,
    /// How the operands of a contraction are packed.
    pub packing: &'a (dyn Fn(&Nest) -> Packing + Sync),
    /// Whether copies of weights are kept from call to call.
    pub keep: bool,
    /// The schedule of a nest, given the one that the cost model chose.
    pub schedule: &'a (dyn Fn(&Nest, Schedule) -> Schedule + Sync),
    /// Positions of the entries to lower, all if absent. The others answer `Status::Absent`.
    pub entries: Option<&'a [usize]>,
}

impl Default for Choices<'_> {
    fn default() -> Self {
        Choices {
            fuse: Fuse::ByClass,
            packing: &|_| Packing::default(),
            keep: true,
            schedule: &|_, schedule| schedule,
            entries: None,
        }
    }
}

/// Lowers all entries.
pub fn lower(graph: &Graph, machine: &Machine) -> LoweredProgram {
    lower_with(graph, machine, Choices::default())
}

/// [`lower`] with other choices.
pub fn lower_with(graph: &Graph, machine: &Machine, choices: Choices<'_>) -> LoweredProgram {
    let graph = prepare::prepare(graph);
    let mut kernels = Kernels::default();
    let (mut entries, mut infos) = (Vec::new(), Vec::new());
    let (mut fusions, mut contents) = (Vec::new(), Vec::new());
    let draft = |(number, entry)| {
        let wanted = choices.entries.is_none_or(|wanted| wanted.contains(&number));
        wanted.then(|| Scopes::new(&graph, entry, machine, choices))
    };
    let drafts: Vec<Option<Scopes<'_>>> = graph.entries.par_iter().enumerate().map(draft).collect();
    for (number, draft) in drafts.into_iter().enumerate() {
        let entry = &graph.entries[number];
        let Some(scopes) = draft else {
            entries.push(EntryCode::absent(&entry.name));
            fusions.push(Vec::new());
            contents.push(Vec::new());
            continue;
        };
        let (code, held) = entry_code(&graph, entry, number, &scopes, &mut kernels, &mut infos);
        entries.push(code);
        contents.push(held);
        fusions.push(scopes.list.into_iter().map(|it| Fused { region: it.id, fusion: it.fusion }).collect());
    }
    let program = Program { symbols: graph.symbols.len(), kernels: kernels.list, entries };
    LoweredProgram { program, kernels: infos, graph, fusions, contents }
}

fn entry_code(
    graph: &Graph,
    entry: &Entry,
    number: usize,
    scopes: &Scopes<'_>,
    kernels: &mut Kernels,
    infos: &mut Vec<KernelInfo>,
) -> (EntryCode, Vec<Option<Content>>) {
    let mut typical = vec![1; graph.symbols.len()];
    for (sym, value) in &entry.typical {
        typical[sym.0 as usize] = *value;
    }
    let (mut layout, plan, contents) = Layout::new(Cells::new(scopes, entry), entry, &typical);
    let kept = layout.kept(kernels, number, infos);
    let steps = layout.steps(kernels, number, infos);
    let (name, checks, flops) = (entry.name.clone(), entry.checks.clone(), scopes.flops());
    let code = EntryCode { name, checks, plan, kept, steps, flops };
    (code, contents)
}

fn checked(result: Result<Dim, SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("lower", &format!("a size that was checked before: {error:?}")),
    }
}

/// Kernels by content.
#[derive(Default)]
struct Kernels {
    list: Vec<Lane>,
    known: FxHashMap<u64, Vec<usize>>,
}

impl Kernels {
    fn add(&mut self, lane: &Lane) -> usize {
        let mut hasher = FxHasher::default();
        (&lane.types, &lane.body).hash(&mut hasher);
        let bucket = self.known.entry(hasher.finish()).or_default();
        if let Some(known) = bucket.iter().find(|i| self.list[**i] == *lane) {
            return *known;
        }
        bucket.push(self.list.len());
        self.list.push(lane.clone());
        self.list.len() - 1
    }
}

impl LoweredProgram {
    /// The formula of an entry's arena.
    pub fn arena_formula(&self, graph: &Graph, entry: usize) -> String {
        self.program.entries[entry].plan.formula(&graph.symbols)
    }
}
