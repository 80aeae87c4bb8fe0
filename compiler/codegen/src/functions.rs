//! The functions that a program becomes: which there are, what they are called, and their numbers in a module.

use crate::entry::{self, Calls};
use crate::target::Level;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_module::FuncId;
use mlc_ir::dim::Sym;
use mlc_kernel::program::{Plan, Program};
use mlc_rt_core::abi::SCRATCH_BYTES;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A function of the module, by what it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Kernel(usize),
    /// What runs kernels and chains, at once or on the pool.
    Runner,
    Entry(usize),
    /// A part of a long entry's steps: the entry's number and its own.
    Piece(usize, usize),
    /// What runs bands of rows: the entry's number and its own.
    Bands(usize, usize),
    /// What runs a chain of kernels: the entry's number and its own.
    Chain(usize, usize),
    /// What makes what an entry keeps.
    Kept(usize),
    Plan(usize),
}

/// All parts of a program, in the order of the module, which has some of the plan functions already.
pub(crate) fn parts(program: &Program, plans: &KnownPlans) -> Vec<Part> {
    let kernels = (0..program.kernels.len()).map(Part::Kernel);
    let entries = program.entries.iter().enumerate().flat_map(|(n, entry)| {
        let pieces = (0..entry::pieces(entry)).map(move |piece| Part::Piece(n, piece));
        let bands = (0..entry.bands().len()).map(move |bands| Part::Bands(n, bands));
        let kept = (!entry.kept.steps.is_empty()).then_some(Part::Kept(n));
        let chains = (0..entry.chains().len()).map(move |chain| Part::Chain(n, chain));
        let plan = plans.of_entry(n).is_none().then_some(Part::Plan(n));
        std::iter::once(Part::Entry(n)).chain(pieces).chain(bands).chain(chains).chain(kept).chain(plan)
    });
    kernels.chain([Part::Runner]).chain(entries).collect()
}

/// Plan functions of a program that its module has already, from another level: most plans are the same at all.
#[derive(Default)]
pub(crate) struct KnownPlans(Vec<Option<FuncId>>);

impl KnownPlans {
    /// Those of `program` that are among `compiled`.
    pub(crate) fn among(compiled: &[(&Plan, FuncId)], program: &Program) -> KnownPlans {
        let known = |plan: &Plan| compiled.iter().find(|(other, _)| other.same_offsets(plan)).map(|(_, id)| *id);
        KnownPlans(program.entries.iter().map(|entry| known(&entry.plan)).collect())
    }

    fn of_entry(&self, n: usize) -> Option<FuncId> {
        self.0.get(n).copied().flatten()
    }
}

/// The symbol of a part. Names in the source needn't be unique; numbers make them so.
pub(crate) fn part_name(program: &Program, level: Level, part: Part) -> String {
    let level = level.name();
    match part {
        Part::Kernel(n) => format!("mlc.{level}.kernel.{n}.{}", program.kernels[n].name),
        Part::Runner => format!("mlc.{level}.runner"),
        Part::Entry(n) => format!("mlc.{level}.entry.{n}.{}", program.entries[n].name),
        Part::Piece(n, piece) => format!("mlc.{level}.entry.{n}.{}.{piece}", program.entries[n].name),
        Part::Bands(n, bands) => format!("mlc.{level}.entry.{n}.{}.bands{bands}", program.entries[n].name),
        Part::Chain(n, chain) => format!("mlc.{level}.entry.{n}.{}.chain{chain}", program.entries[n].name),
        Part::Kept(n) => format!("mlc.{level}.entry.{n}.{}.kept", program.entries[n].name),
        Part::Plan(n) => format!("mlc.{level}.plan.{n}.{}", program.entries[n].name),
    }
}

/// What entries refer to.
pub(crate) struct Callees {
    /// Kernels, in the program's order.
    pub(crate) kernels: Vec<FuncId>,
    /// What runs them, at once or on the pool.
    pub(crate) runner: FuncId,
    /// C functions, by name.
    pub(crate) foreign: BTreeMap<Arc<str>, FuncId>,
    /// The symbol that counts the rows of a band.
    pub(crate) band_rows: Sym,
    /// Bytes from a thread's scratch memory to the next one's.
    pub(crate) scratch: i64,
}

impl Callees {
    /// Without kernels and what runs them.
    pub(crate) fn new(program: &Program, foreign: BTreeMap<Arc<str>, FuncId>) -> Callees {
        let scratch = SCRATCH_BYTES as i64 + program.near_bytes();
        Callees {
            kernels: Vec::new(),
            runner: FuncId::reserved_value(),
            foreign,
            band_rows: program.band_rows(),
            scratch,
        }
    }
}

/// The module's numbers of a program's functions.
pub(crate) struct Functions {
    pub(crate) callees: Callees,
    pub(crate) entries: Vec<FuncId>,
    /// Of each entry.
    pieces: Vec<Vec<FuncId>>,
    /// Of each entry.
    bands: Vec<Vec<FuncId>>,
    /// Of each entry.
    chains: Vec<Vec<FuncId>>,
    /// Of each entry, if it keeps anything.
    kept: Vec<Option<FuncId>>,
    /// Of each entry.
    pub(crate) plans: Vec<FuncId>,
}

impl Functions {
    pub(crate) fn of_entry(&self, n: usize) -> Calls<'_> {
        Calls {
            callees: &self.callees,
            pieces: &self.pieces[n],
            bands: &self.bands[n],
            chains: &self.chains[n],
            kept: self.kept[n],
        }
    }
}

/// The numbers of parts, by what they are; `callees` gets the kernels and what runs them.
pub(crate) fn sort(parts: &[Part], ids: &[FuncId], plans: &KnownPlans, callees: Callees) -> Functions {
    let (pieces, bands, chains, kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut functions = Functions { callees, entries: Vec::new(), pieces, bands, chains, kept, plans: Vec::new() };
    for (part, &id) in parts.iter().zip(ids) {
        match part {
            Part::Kernel(_) => functions.callees.kernels.push(id),
            Part::Runner => functions.callees.runner = id,
            Part::Entry(n) => {
                functions.entries.push(id);
                functions.plans.extend(plans.of_entry(*n));
                functions.pieces.push(Vec::new());
                functions.bands.push(Vec::new());
                functions.chains.push(Vec::new());
                functions.kept.push(None);
            }
            // These follow their entry.
            Part::Kept(_) => functions.kept.last_mut().into_iter().for_each(|kept| *kept = Some(id)),
            Part::Bands(..) => functions.bands.last_mut().into_iter().for_each(|bands| bands.push(id)),
            Part::Chain(..) => functions.chains.last_mut().into_iter().for_each(|chains| chains.push(id)),
            Part::Piece(..) => functions.pieces.last_mut().into_iter().for_each(|pieces| pieces.push(id)),
            Part::Plan(_) => functions.plans.push(id),
        }
    }
    functions
}
