//! From a graph to a [`Program`]: each entry's region is fused, every group becomes a kernel, buffers
//! get their places, and steps their order.

use crate::expr::{Address, Expr};
use crate::fuse::{Fuse, Fusion, fuse, storage};
use crate::inline;
use crate::lane::Lane;
use crate::layout;
use crate::nest::{Nest, Reduction, Source};
use crate::plan::{self, Request};
use crate::program::{EntryCode, Loc, Program, Slot, Step};
use crate::schedule::{self, Machine, Schedule, each_root};
use crate::to_lane::{self, FrameWord, Lowered};
use crate::tree::{self, Tree};
use mlc_ir::dim::{Dim, SizeError};
use mlc_ir::graph::{Entry, Graph, Input, Output, Region, Value};
use mlc_ir::index::Definition;
use mlc_ir::ty::DType;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A program and how it came about.
#[derive(Clone, Debug)]
pub struct LoweredProgram {
    /// For `mlc-codegen`.
    pub program: Program,
    /// One for each kernel step, for dumps.
    pub kernels: Vec<KernelInfo>,
    /// One for each entry, for dumps.
    pub fusions: Vec<Fusion>,
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
    /// The schedule of a nest, given the one that the cost model chose.
    pub schedule: &'a (dyn Fn(&Nest, Schedule) -> Schedule + Sync),
    /// Positions of the entries to lower, all if absent. The others answer `Status::Absent`.
    pub entries: Option<&'a [usize]>,
}

impl Default for Choices<'_> {
    fn default() -> Self {
        Choices { fuse: Fuse::ByClass, schedule: &|_, schedule| schedule, entries: None }
    }
}

/// Lowers all entries.
pub fn lower(graph: &Graph, machine: &Machine) -> LoweredProgram {
    lower_with(graph, machine, Choices::default())
}

/// [`lower`] with other choices.
pub fn lower_with(graph: &Graph, machine: &Machine, choices: Choices<'_>) -> LoweredProgram {
    let mut kernels = Kernels::default();
    let (mut entries, mut infos, mut fusions) = (Vec::new(), Vec::new(), Vec::new());
    let draft = |(number, entry): (usize, _)| {
        if choices.entries.is_some_and(|wanted| !wanted.contains(&number)) {
            return None;
        }
        let lowering = EntryLowering::new(graph, entry, machine, choices);
        let groups = lowering.groups();
        Some((lowering, groups))
    };
    let drafts: Vec<Option<(EntryLowering<'_>, Vec<Vec<Pending>>)>> =
        graph.entries.par_iter().enumerate().map(draft).collect();
    for (number, draft) in drafts.into_iter().enumerate() {
        let Some((lowering, groups)) = draft else {
            entries.push(EntryCode::absent(&graph.entries[number].name));
            fusions.push(Fusion::default());
            continue;
        };
        entries.push(lowering.run(&groups, &mut kernels, number, &mut infos));
        fusions.push(lowering.fusion);
    }
    let program = Program { symbols: graph.symbols.len(), kernels: kernels.list, entries };
    LoweredProgram { program, kernels: infos, fusions }
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

/// A kernel before its buffers have places.
struct Pending {
    /// Buffers it loads from.
    reads: Vec<Source>,
    nest: Arc<Nest>,
    schedule: Schedule,
    tree: Arc<Tree>,
    lowered: Lowered,
}

struct EntryLowering<'a> {
    entry: &'a Entry,
    region: &'a Region,
    machine: &'a Machine,
    choices: Choices<'a>,
    fusion: Fusion,
    typical: Vec<i64>,
}

fn checked(result: Result<Dim, SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("lower", &format!("a size that was checked before: {error:?}")),
    }
}

impl<'a> EntryLowering<'a> {
    fn new(graph: &'a Graph, entry: &'a Entry, machine: &'a Machine, choices: Choices<'a>) -> EntryLowering<'a> {
        let region = graph.region(entry.region);
        let mut typical = vec![1; graph.symbols.len()];
        for (sym, value) in &entry.typical {
            typical[sym.0 as usize] = *value;
        }
        EntryLowering { entry, region, machine, choices, fusion: fuse(region, choices.fuse), typical }
    }

    /// The kernels of each fused group, in order.
    fn groups(&self) -> Vec<Vec<Pending>> {
        let mut copies = 0;
        let mut nests: Vec<Vec<Nest>> = Vec::new();
        for group in &self.fusion.groups {
            let nest = inline::nest(self.region, &self.fusion, group);
            let alone = inline::alone(self.region, &self.fusion, group);
            let (nest, before) = layout::prepare(nest, alone, &mut copies);
            nests.push(before.into_iter().chain([nest]).collect());
        }
        let pend = |nests: Vec<Nest>| nests.into_iter().map(|nest| self.pend(nest)).collect();
        nests.into_par_iter().map(pend).collect()
    }

    /// The entry's steps and buffers; its kernels are added to the program's.
    fn run(
        &self,
        groups: &[Vec<Pending>],
        kernels: &mut Kernels,
        number: usize,
        infos: &mut Vec<KernelInfo>,
    ) -> EntryCode {
        let mut places = self.input_places();
        let in_place = self.in_place(groups, &places);
        let (copy_steps, targets) = self.output_places(&mut places, &in_place);
        let (kept, copy_steps) = self.keep_old_values(copy_steps, &places);
        // No weight or state is written before all index checks are through.
        let deferred = deferred(groups, &targets);

        let mut steps = StepList::default();
        for (group, _) in groups.iter().zip(&deferred).filter(|(_, deferred)| !**deferred) {
            group.iter().for_each(|pending| steps.kernel(pending));
        }
        self.fault_steps(&mut steps);
        steps.list.extend(kept);
        for (group, _) in groups.iter().zip(&deferred).filter(|(_, deferred)| **deferred) {
            group.iter().for_each(|pending| steps.kernel(pending));
        }
        for copy in copy_steps {
            steps.list.push(copy);
        }
        let (plan, places) = self.place(&steps, places);
        let code_steps = steps.list.iter().map(|step| self.step(step, &places, kernels, number, infos)).collect();
        let name = self.entry.name.clone();
        EntryCode { name, checks: self.entry.checks.clone(), plan, steps: code_steps, flops: self.flops() }
    }

    fn pend(&self, nest: Nest) -> Pending {
        let schedule = schedule::choose(&nest, self.machine, &self.entry.typical);
        let schedule = (self.choices.schedule)(&nest, schedule);
        let tree = tree::build(&nest, &schedule);
        let lowered = to_lane::lower(&tree);
        Pending { reads: loaded(&nest), nest: nest.into(), schedule, tree: tree.into(), lowered }
    }

    // ---- places of inputs and outputs

    fn input_places(&self) -> BTreeMap<Source, Loc> {
        let mut args = 0;
        let mut places = BTreeMap::new();
        for (value, input) in self.region.params.iter().zip(&self.entry.inputs) {
            let loc = match input {
                Input::Arg(_) => {
                    args += 1;
                    Loc::Arg(args - 1)
                }
                Input::Global(id) => Loc::Global(id.0),
                Input::Seed => Loc::Seed,
                Input::Step => Loc::Step,
                Input::Epoch => Loc::Epoch,
                Input::TotalSteps => Loc::TotalSteps,
            };
            places.insert(Source::Value(*value), loc);
        }
        places
    }

    /// Results that may be written straight into the weight or state they replace: nothing else reads
    /// the value, the kernel reads the old one only at the element it writes, and whatever else reads
    /// the old one runs before.
    fn in_place(&self, groups: &[Vec<Pending>], places: &BTreeMap<Source, Loc>) -> Vec<Value> {
        let mut chosen: Vec<(Value, u32)> = Vec::new();
        for (value, output) in self.region.results.iter().zip(&self.entry.outputs) {
            let value = storage(self.region, *value);
            if let Output::Global(id) = output
                && !chosen.iter().any(|(other, _)| *other == value)
            {
                chosen.push((value, id.0));
            }
        }
        // What runs late depends on what is written in place: it shrinks until both agree.
        loop {
            let targets: Vec<Source> = chosen.iter().map(|(value, _)| Source::Value(*value)).collect();
            let late = deferred(groups, &targets);
            if self.faults().any(|fault| late_store(groups, &late, fault)) {
                return Vec::new();
            }
            let before = chosen.len();
            chosen.retain(|(value, global)| {
                let old = places.iter().filter(|(_, loc)| **loc == Loc::Global(*global)).map(|(source, _)| *source);
                written_in_place(groups, &late, Source::Value(*value), &old.collect::<Vec<_>>())
            });
            if chosen.len() == before {
                return chosen.into_iter().map(|(value, _)| value).collect();
            }
        }
    }

    /// Where the first bad elements of the entry's index checks are.
    fn faults(&self) -> impl Iterator<Item = Source> + '_ {
        let outputs = self.region.results.iter().zip(&self.entry.outputs);
        let faults = outputs.filter(|(_, output)| matches!(output, Output::Fault(_)));
        faults.map(|(value, _)| Source::Value(storage(self.region, *value)))
    }

    /// Gives outputs their places; returns the copies that are needed at the end, and the values that
    /// are written into weights or states.
    fn output_places(
        &self,
        places: &mut BTreeMap<Source, Loc>,
        in_place: &[Value],
    ) -> (Vec<PendingStep<'static>>, Vec<Source>) {
        let (mut copies, mut targets, mut results) = (Vec::new(), Vec::new(), 0);
        for (value, output) in self.region.results.iter().zip(&self.entry.outputs) {
            let source = Source::Value(storage(self.region, *value));
            let target = match output {
                Output::Fault(_) => continue,
                Output::Result(_) => {
                    results += 1;
                    Loc::Result(results - 1)
                }
                Output::Global(id) => Loc::Global(id.0),
            };
            let direct = match output {
                Output::Global(_) => in_place.iter().any(|v| Source::Value(*v) == source),
                Output::Result(_) | Output::Fault(_) => true,
            };
            match places.get(&source) {
                Some(place) if *place == target => {}
                None if direct => {
                    places.insert(source, target);
                    if matches!(output, Output::Global(_)) {
                        targets.push(source);
                    }
                }
                Some(_) | None => {
                    let ty = self.region.ty(*value);
                    let bytes = checked(ty.elements().and_then(|n| n.mul(&Dim::from(ty.dtype.bytes()))));
                    copies.push(PendingStep::Copy { from: source, to: target, bytes });
                }
            }
        }
        (copies, targets)
    }

    /// Copies of what a weight or state held when the entry began, where the entry also writes it: the
    /// old value is put aside before the first write, and copied on from there.
    fn keep_old_values(
        &self,
        copies: Vec<PendingStep<'static>>,
        places: &BTreeMap<Source, Loc>,
    ) -> (Vec<PendingStep<'static>>, Vec<PendingStep<'static>>) {
        let rewritten = |from: &Source| {
            self.region.results.iter().zip(&self.entry.outputs).any(|(value, output)| match output {
                Output::Global(id) => {
                    places.get(from) == Some(&Loc::Global(id.0)) && Source::Value(storage(self.region, *value)) != *from
                }
                Output::Result(_) | Output::Fault(_) => false,
            })
        };
        let (mut kept, mut later) = (Vec::new(), Vec::new());
        for copy in copies {
            match copy {
                PendingStep::Copy { from, to, bytes } if rewritten(&from) => {
                    // Other copies are numbered from 0 upwards.
                    let aside = Source::Copy(u32::MAX - kept.len() as u32);
                    kept.push(PendingStep::Keep { from, aside, bytes: bytes.clone() });
                    later.push(PendingStep::Copy { from: aside, to, bytes });
                }
                other => later.push(other),
            }
        }
        (kept, later)
    }

    fn fault_steps(&self, steps: &mut StepList<'_>) {
        let mut index = 0;
        for (value, output) in self.region.results.iter().zip(&self.entry.outputs) {
            if let Output::Fault(_) = output {
                let first_bad = Source::Value(storage(self.region, *value));
                steps.list.push(PendingStep::Fault { index, first_bad, indices: self.index_tensor(*value) });
                index += 1;
            }
        }
    }

    /// The tensor whose first bad element a fault looks for, if it is kept in memory: the nearest
    /// integers that the fault is computed from, of as many elements as it searches.
    fn index_tensor(&self, fault: Value) -> Option<(Source, DType)> {
        let searched = self.region.ty(*self.region.producer(fault)?.args.first()?).elements();
        let stored = |value: &Value| {
            let value = storage(self.region, *value);
            self.region.params.contains(&value) || self.fusion.groups.iter().any(|group| group.roots.contains(&value))
        };
        let mut queue = VecDeque::from([fault]);
        let mut seen = BTreeSet::new();
        while let Some(value) = queue.pop_front() {
            if !seen.insert(value) {
                continue;
            }
            let ty = self.region.ty(value);
            let integers = matches!(ty.dtype, DType::I32 | DType::I64);
            if value != fault && integers && ty.elements() == searched && stored(&value) {
                return Some((Source::Value(storage(self.region, value)), ty.dtype));
            }
            queue.extend(self.region.producer(value).iter().flat_map(|node| node.args.iter().copied()));
        }
        None
    }

    // ---- memory

    /// Plans the arena for everything that has no place yet.
    fn place(
        &self,
        steps: &StepList<'_>,
        mut places: BTreeMap<Source, Loc>,
    ) -> (crate::program::Plan, BTreeMap<Source, Loc>) {
        let mut requests: Vec<Request> = Vec::new();
        let mut number: BTreeMap<Source, usize> = BTreeMap::new();
        for (at, step) in steps.list.iter().enumerate() {
            for (source, bytes) in step.touches(self.region) {
                if places.contains_key(&source) {
                    continue;
                }
                let next = requests.len();
                let i = *number.entry(source).or_insert(next);
                if i == next {
                    requests.push(Request { name: source_name(source), bytes, from: at, to: at });
                } else {
                    requests[i].to = at;
                    // Views of one buffer agree in size.
                }
            }
        }
        let (plan, position) = plan::plan(&requests, &self.typical);
        for (source, i) in number {
            places.insert(source, Loc::Arena(position[i]));
        }
        (plan, places)
    }

    fn step(
        &self,
        step: &PendingStep<'_>,
        places: &BTreeMap<Source, Loc>,
        kernels: &mut Kernels,
        entry: usize,
        infos: &mut Vec<KernelInfo>,
    ) -> Step {
        let loc = |source: &Source| match places.get(source) {
            Some(loc) => *loc,
            None => mlc_ir::internal_error("lower", "a buffer without a place"),
        };
        match step {
            PendingStep::Kernel(pending) => {
                let frame = pending.lowered.frame.iter().map(|word| match word {
                    FrameWord::Buffer(source) => Slot::Ptr(loc(source)),
                    FrameWord::Size(dim) => Slot::Size(dim.clone()),
                });
                let frame = frame.collect();
                let kernel = kernels.add(&pending.lowered.lane);
                let (nest, schedule, tree) = (pending.nest.clone(), pending.schedule.clone(), pending.tree.clone());
                let work = work(&nest, &schedule);
                infos.push(KernelInfo { entry, kernel, nest, schedule, tree });
                Step::Run { kernel, frame, tiles: pending.lowered.tiles.clone(), work }
            }
            PendingStep::Fault { index, first_bad, indices } => Step::Fault {
                index: *index,
                first_bad: loc(first_bad),
                indices: indices.map(|(source, dtype)| (loc(&source), dtype)),
            },
            PendingStep::Keep { from, aside, bytes } => {
                Step::Copy { from: loc(from), to: loc(aside), bytes: bytes.clone() }
            }
            PendingStep::Copy { from, to, bytes } => Step::Copy { from: loc(from), to: *to, bytes: bytes.clone() },
        }
    }

    /// Twice the multiply-adds of all contractions.
    fn flops(&self) -> Dim {
        let mut sum = Dim::zero();
        for group in &self.fusion.groups {
            let Some(anchor) = group.anchor else { continue };
            let Some(Definition::Dot { axes, .. }) = &self.fusion.definitions[anchor.index()] else { continue };
            let outputs = self.region.ty(self.region.nodes[anchor.index()].results[0]).shape.iter();
            let products = Dim::product(outputs.chain(axes)).and_then(|n| n.mul(&Dim::from(2)));
            sum = checked(products.and_then(|n| sum.add(&n)));
        }
        sum
    }
}

/// Estimated vector instructions of a kernel.
fn work(nest: &Nest, schedule: &Schedule) -> Dim {
    let mut parts = 0;
    each_root(nest, &mut |root| root.each(&mut |_| parts += 1));
    let per_element = Dim::from((parts / schedule.lanes).max(1));
    Dim::product(nest.par.iter().chain(&nest.red))
        .and_then(|n| n.mul(&per_element))
        .unwrap_or_else(|_| Dim::from(i64::MAX / 2))
}

fn source_name(source: Source) -> String {
    match source {
        Source::Value(Value(number)) => format!("%{number}"),
        Source::Copy(number) => format!("copy{number}"),
    }
}

fn stores_to(nest: &Nest, source: Source) -> bool {
    nest.stores.iter().any(|store| nest.buffers[store.buffer].source == source)
}

/// The groups that write one of `targets`, and those that read what such a group stores.
fn deferred(groups: &[Vec<Pending>], targets: &[Source]) -> Vec<bool> {
    let mut late: FxHashSet<Source> = targets.iter().copied().collect();
    let mut deferred = Vec::new();
    for group in groups {
        let stored = |p: &Pending| -> Vec<Source> {
            p.nest.stores.iter().map(|store| p.nest.buffers[store.buffer].source).collect()
        };
        let stored: Vec<Source> = group.iter().flat_map(stored).collect();
        let is_late = stored.iter().chain(group.iter().flat_map(|p| &p.reads)).any(|source| late.contains(source));
        if is_late {
            late.extend(stored);
        }
        deferred.push(is_late);
    }
    deferred
}

fn late_store(groups: &[Vec<Pending>], late: &[bool], source: Source) -> bool {
    groups.iter().zip(late).any(|(group, late)| *late && group.iter().any(|p| stores_to(&p.nest, source)))
}

/// Whether `new` may be written over `old`, when the groups marked in `late` run after all others.
fn written_in_place(groups: &[Vec<Pending>], late: &[bool], new: Source, old: &[Source]) -> bool {
    let Some(writer) = groups.iter().position(|group| group.iter().any(|p| stores_to(&p.nest, new))) else {
        return false;
    };
    groups.iter().enumerate().all(|(i, group)| {
        group.iter().all(|pending| {
            let reads_old = || old.iter().any(|source| pending.reads.contains(source));
            if i == writer {
                // What is read for a copy is read before.
                return !stores_to(&pending.nest, new)
                    || !old.iter().any(|source| reads_elsewhere(&pending.nest, *source, new));
            }
            !(pending.reads.contains(&new) || late[i] && reads_old())
        })
    })
}

fn each_load(nest: &Nest, source: Source, f: &mut dyn FnMut(&Address)) {
    each_root(nest, &mut |root| {
        root.each(&mut |e| {
            if let Expr::Load { buffer, at } = e
                && nest.buffers[*buffer].source == source
            {
                f(at);
            }
        });
    });
}

/// The buffers that a nest loads from, each once.
fn loaded(nest: &Nest) -> Vec<Source> {
    let mut sources = Vec::new();
    each_root(nest, &mut |root| {
        root.each(&mut |e| {
            if let Expr::Load { buffer, .. } = e {
                sources.push(nest.buffers[*buffer].source);
            }
        });
    });
    sources.sort();
    sources.dedup();
    sources
}

/// Whether a nest reads `old` at another element than the one at which it writes `new`.
fn reads_elsewhere(nest: &Nest, old: Source, new: Source) -> bool {
    if let Some(Reduction::Order { .. }) = nest.reduce {
        return true;
    }
    let Some(store) = nest.stores.iter().find(|store| nest.buffers[store.buffer].source == new) else { return true };
    let mut elsewhere = false;
    each_load(nest, old, &mut |at| elsewhere |= *at != Address::Linear(store.at.clone()));
    elsewhere
}

#[derive(Default)]
struct StepList<'a> {
    list: Vec<PendingStep<'a>>,
}

impl<'a> StepList<'a> {
    fn kernel(&mut self, pending: &'a Pending) {
        self.list.push(PendingStep::Kernel(pending));
    }
}

enum PendingStep<'a> {
    Kernel(&'a Pending),
    Fault {
        index: u32,
        first_bad: Source,
        indices: Option<(Source, DType)>,
    },
    Copy {
        from: Source,
        to: Loc,
        bytes: Dim,
    },
    /// Puts an old value aside in a buffer of its own.
    Keep {
        from: Source,
        aside: Source,
        bytes: Dim,
    },
}

impl PendingStep<'_> {
    /// The buffers a step reads or writes, with their sizes.
    fn touches(&self, region: &Region) -> Vec<(Source, Dim)> {
        let bytes =
            |dtype: DType, shape: &[Dim]| checked(Dim::product(shape).and_then(|n| n.mul(&Dim::from(dtype.bytes()))));
        let of_source = |source: &Source| match source {
            Source::Value(value) => (*source, bytes(region.ty(*value).dtype, &region.ty(*value).shape)),
            Source::Copy(_) => (*source, Dim::zero()),
        };
        match self {
            PendingStep::Kernel(pending) => {
                let used = |word: &FrameWord| match word {
                    FrameWord::Buffer(source) => Some(*source),
                    FrameWord::Size(_) => None,
                };
                let sources: Vec<Source> = pending.lowered.frame.iter().filter_map(used).collect();
                let buffer = |source: &Source| pending.nest.buffers.iter().find(|b| b.source == *source);
                sources
                    .iter()
                    .map(|source| (*source, buffer(source).map_or_else(Dim::zero, |b| bytes(b.dtype, &b.shape))))
                    .collect()
            }
            PendingStep::Fault { first_bad, indices, .. } => {
                [Some(*first_bad), indices.map(|(source, _)| source)].iter().flatten().map(of_source).collect()
            }
            PendingStep::Copy { from, .. } => vec![of_source(from)],
            PendingStep::Keep { from, aside, bytes } => vec![of_source(from), (*aside, bytes.clone())],
        }
    }
}

impl LoweredProgram {
    /// The formula of an entry's arena.
    pub fn arena_formula(&self, graph: &Graph, entry: usize) -> String {
        self.program.entries[entry].plan.formula(&graph.symbols)
    }
}
