//! The whole program as `mlc-codegen` takes it: kernels in Lane form, and entries as lists of steps
//! over planned buffers. Nothing here is inferred again; sizes are expressions of the symbols.

use crate::lane::Lane;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::SizeCheck;
use mlc_ir::ty::DType;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Kernels and entries.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Number of size symbols; `Sym(i)` is word `i` of `EntryCx::sizes`.
    pub symbols: usize,
    /// No two equal.
    pub kernels: Vec<Lane>,
    /// In the graph's order.
    pub entries: Vec<EntryCode>,
}

impl EntryCode {
    /// An entry that was left out.
    pub fn absent(name: &str) -> EntryCode {
        let (name, steps) = (name.to_string(), vec![Step::Absent]);
        EntryCode { name, checks: Vec::new(), plan: Plan::default(), kept: Kept::default(), steps, flops: Dim::zero() }
    }

    /// Bytes that a thread needs of its own for what the entry's chains forget.
    pub fn near_bytes(&self) -> i64 {
        self.chains().into_iter().map(|chain| chain.near).max().unwrap_or(0)
    }
}

impl Program {
    /// The symbol whose value is the number of rows of the band at hand.
    pub fn band_rows(&self) -> Sym {
        Sym(self.symbols as u32)
    }

    /// Bytes that a thread needs of its own for what chains forget, behind kernels' scratch memory.
    pub fn near_bytes(&self) -> i64 {
        self.entries.iter().map(EntryCode::near_bytes).max().unwrap_or(0)
    }

    /// The names of the C functions that it calls.
    pub fn foreign_symbols(&self) -> BTreeSet<Arc<str>> {
        let mut symbols = BTreeSet::new();
        self.entries.iter().for_each(|entry| add_symbols(&entry.steps, &mut symbols));
        symbols
    }

    /// The program with its entries' names and without their code: each answers `Status::Absent`.
    pub fn without_code(&self) -> Program {
        let entries = self.entries.iter().map(|entry| EntryCode::absent(&entry.name)).collect();
        Program { symbols: self.symbols, kernels: Vec::new(), entries }
    }
}

fn add_symbols(steps: &[Step], symbols: &mut BTreeSet<Arc<str>>) {
    for step in steps {
        match step {
            Step::Call { symbol, .. } => _ = symbols.insert(symbol.clone()),
            Step::Loop(looped) => add_symbols(&looped.body, symbols),
            Step::Bands(bands) => add_symbols(&bands.body, symbols),
            Step::Run { .. } | Step::Chain(_) | Step::Fault { .. } | Step::Absent | Step::Copy { .. } => {}
        }
    }
}

/// An entry point.
#[derive(Clone, Debug)]
pub struct EntryCode {
    /// As in the graph.
    pub name: String,
    /// Tested first, in order; the first that fails ends the call with `Status::Size` and its number.
    pub checks: Vec<SizeCheck>,
    /// The arena.
    pub plan: Plan,
    /// What it keeps from call to call.
    pub kept: Kept,
    /// In order.
    pub steps: Vec<Step>,
    /// Floating-point operations of one call: `2 ·` multiply-adds of contractions and convolutions.
    pub flops: Dim,
}

/// What an entry makes of weights that it doesn't write: made in the first call, and again when one of the
/// weights has changed (`EntryCx::fresh`).
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// In order; each a kernel, in loops if it is run for several rows.
    pub steps: Vec<Step>,
    /// Bytes of its memory.
    pub bytes: i64,
    /// The globals that it is made of, in order.
    pub of: Vec<u32>,
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loc {
    /// `EntryCx::args[n]`
    Arg(u32),
    /// `EntryCx::results[n]`
    Result(u32),
    /// `EntryCx::globals[n]`
    Global(u32),
    /// `arena + offsets[n]`
    Arena(u32),
    /// `kept + n`
    Kept(u64),
    /// Byte `n` of the thread's own memory behind kernels' scratch memory ([`Chain::near`]).
    Near(u64),
    /// `&EntryCx::seed`
    Seed,
    /// `&EntryCx::step`
    Step,
    /// `&EntryCx::epoch`
    Epoch,
    /// `&EntryCx::total_steps`
    TotalSteps,
    /// `&EntryCx::done`
    Done,
}

/// An address: a buffer's, or that of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub loc: Loc,
    /// Added to its address.
    pub steps: Vec<Stride>,
}

/// `index · bytes`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stride {
    /// Known when the program runs.
    pub index: RunIndex,
    /// Of one step.
    pub bytes: Dim,
}

/// An index that is known when the program runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunIndex {
    /// The position of a loop around; 0 is the outermost.
    Loop(u32),
    /// The first row of the band at hand.
    Row,
    /// The first of the chain's units at hand.
    Unit,
    /// A number in memory, clamped into `0..=last`.
    Word {
        /// Where.
        at: Box<Place>,
        /// i32 or i64.
        dtype: DType,
        /// The greatest.
        last: Dim,
    },
}

impl From<Loc> for Place {
    fn from(loc: Loc) -> Place {
        Place { loc, steps: Vec::new() }
    }
}

impl Place {
    /// Further on.
    pub fn plus(mut self, index: RunIndex, bytes: Dim) -> Place {
        self.steps.push(Stride { index, bytes });
        self
    }
}

impl Slot {
    /// Whether it is in memory of the thread's own, for the units at hand.
    pub fn is_near(&self) -> bool {
        matches!(self, Slot::Ptr(Place { loc: Loc::Near(_), .. }))
    }
}

/// One word of a kernel's frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The address of a buffer.
    Ptr(Place),
    /// A size.
    Size(Dim),
}

/// How often a loop runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trip {
    /// So often.
    Exact(Dim),
    /// As the i64 at `count` says, clamped into `0..=bound`. It is read before the first iteration.
    UpTo {
        /// At most so often.
        bound: Dim,
        /// Where the number is.
        count: Place,
    },
}

/// A loop: runs `body` for each position. Copies into carries stand before it and at the end of the body.
#[derive(Clone, Debug)]
pub struct Loop {
    /// How often.
    pub trip: Trip,
    /// From the last position down to 0.
    pub rev: bool,
    /// Where the position (i64) is written before each iteration, if anything reads it.
    pub position: Option<Place>,
    /// A bool that ends the loop after the iteration that makes it true. It is read before the
    /// body's last [`Loop::turn`] steps, which may overwrite it.
    pub stop: Option<Place>,
    /// The steps of one iteration.
    pub body: Vec<Step>,
    /// Copies that end each iteration.
    pub turn: Vec<Step>,
    /// Where the number of iterations (i64) is written at the end.
    pub count: Option<Place>,
    /// Stacks whose rows from the number of iterations on are filled with zeros at the end.
    pub rest: Vec<Rest>,
}

impl Loop {
    /// A step so many times.
    pub fn plain(trip: Dim, step: Step) -> Loop {
        let (position, stop, count) = (None, None, None);
        let (body, turn, rest) = (vec![step], Vec::new(), Vec::new());
        Loop { trip: Trip::Exact(trip), rev: false, position, stop, body, turn, count, rest }
    }
}

/// The rows of a stack that no iteration wrote.
#[derive(Clone, Debug)]
pub struct Rest {
    /// The stack.
    pub stack: Place,
    /// Bytes of a row.
    pub row: Dim,
}

impl Trip {
    /// The number of rows of stacks.
    pub fn bound(&self) -> &Dim {
        match self {
            Trip::Exact(bound) | Trip::UpTo { bound, .. } => bound,
        }
    }
}

/// One step of an entry.
#[derive(Clone, Debug)]
pub enum Step {
    /// Runs a kernel.
    Run {
        /// Position in [`Program::kernels`].
        kernel: usize,
        /// The frame's words.
        frame: Vec<Slot>,
        /// Number of tiles; none if 0.
        tiles: Dim,
        /// Estimated work of all tiles, in vector instructions: from [`PARALLEL_WORK`] up the pool runs it.
        work: Dim,
    },
    /// Calls a function of C.
    Call {
        /// Its name.
        symbol: Arc<str>,
        /// What it gets, in order.
        args: Vec<CallArg>,
        /// Where the i32 that it returns is written.
        status: Place,
    },
    /// Ends the call with `Status::Fault` if the i32 at `first_bad` is not `i32::MAX`.
    Fault {
        /// Number of the fault in the entry.
        index: u32,
        /// The row-major number of the first bad element.
        first_bad: Place,
        /// The index tensor and its dtype (i32 or i64), to report the value; absent where the index is
        /// computed and not kept: then the element's number is reported as the value.
        indices: Option<(Place, DType)>,
    },
    /// Ends the call with `Status::Absent`: the entry was left out ([`EntryCode::absent`]).
    Absent,
    /// Copies bytes.
    Copy {
        /// From.
        from: Place,
        /// To.
        to: Place,
        /// How many.
        bytes: Dim,
    },
    /// Runs steps several times.
    Loop(Box<Loop>),
    /// Runs steps as a whole or band by band.
    Bands(Box<Bands>),
    /// Runs kernels unit by unit.
    Chain(Box<Chain>),
}

/// Kernels one after another that are run for some units before they are run for the next: a unit is some
/// tiles of each, and what a kernel reads of another's results is made in the same unit. The pool takes
/// units; no way changes a bit.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Number among those of the entry.
    pub number: u32,
    /// In order.
    pub runs: Vec<ChainRun>,
    /// How many units.
    pub units: Dim,
    /// Units gone through at a time.
    pub at_once: i64,
    /// Bytes of the thread's own memory for what only these kernels use, of as many units as are gone through
    /// at a time.
    pub near: i64,
    /// Estimated work of all kernels, as that of [`Step::Run`].
    pub work: Dim,
}

/// A kernel of a chain.
#[derive(Clone, Debug)]
pub struct ChainRun {
    /// Position in [`Program::kernels`].
    pub kernel: usize,
    /// The frame's words.
    pub frame: Vec<Slot>,
    /// Tiles of a unit.
    pub tiles: i64,
}

/// Steps that go through rows which don't meet: they can be run for all rows, each kernel split over the
/// pool, or in bands of neighbouring rows, each band from the first step to the last on one thread. No
/// way changes a bit.
#[derive(Clone, Debug)]
pub struct Bands {
    /// Number among those of the entry.
    pub number: u32,
    /// Loops around.
    pub depth: u32,
    /// The symbol that counts all rows.
    pub rows: Sym,
    /// The steps for some rows: these begin at [`RunIndex::Row`], and the symbol behind the program's
    /// ([`Program::band_rows`]) is their number.
    pub body: Vec<Step>,
    /// Estimated work of the kernel with the most: beyond [`BAND_WORK`] it is better split by itself.
    pub work: Dim,
}

/// Rows of a band at least, unless there are fewer in all.
pub const BAND_ROWS: i64 = 16;

/// Work of a kernel from which on splitting it costs nothing beside it.
pub const BAND_WORK: i64 = 800 * PARALLEL_WORK;

impl EntryCode {
    /// All steps that can be run in bands, in the order of their numbers.
    pub fn bands(&self) -> Vec<&Bands> {
        fn collect<'a>(steps: &'a [Step], found: &mut Vec<&'a Bands>) {
            for step in steps {
                match step {
                    Step::Loop(looped) => collect(&looped.body, found),
                    Step::Bands(bands) => found.push(bands),
                    Step::Run { .. }
                    | Step::Chain(_)
                    | Step::Call { .. }
                    | Step::Fault { .. }
                    | Step::Absent
                    | Step::Copy { .. } => {}
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.steps, &mut found);
        found.sort_by_key(|bands| bands.number);
        found
    }

    /// All chains, in the order of their numbers.
    pub fn chains(&self) -> Vec<&Chain> {
        fn collect<'a>(steps: &'a [Step], found: &mut Vec<&'a Chain>) {
            for step in steps {
                match step {
                    Step::Chain(chain) => found.push(chain),
                    Step::Loop(looped) => collect(&looped.body, found),
                    Step::Bands(bands) => collect(&bands.body, found),
                    Step::Run { .. } | Step::Call { .. } | Step::Fault { .. } | Step::Absent | Step::Copy { .. } => {}
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.steps, &mut found);
        found.sort_by_key(|chain| chain.number);
        found
    }
}

/// What a function of C gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallArg {
    /// A size, as `int64_t`.
    Size(Dim),
    /// The scalar at a place, by value.
    Scalar(Place, DType),
    /// The address of a place.
    Address(Place),
}

/// Work from which a kernel is split over the pool: about 20 µs.
pub const PARALLEL_WORK: i64 = 40_000;

/// The arena of an entry: `offset(j) = align64(max over i in below(j) of offset(i) + bytes(i))`, 0 if
/// there is none below; the total is the largest `offset + bytes`, aligned. Valid for all sizes:
/// any two buffers that live at the same time are ordered.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In an order in which `below` only names earlier ones.
    pub buffers: Vec<PlanBuffer>,
}

impl Plan {
    /// Whether buffers lie at the same places for all sizes, as far as their order shows it.
    pub fn same_offsets(&self, other: &Plan) -> bool {
        let same = |a: &PlanBuffer, b: &PlanBuffer| a.bytes == b.bytes && a.below == b.below;
        self.buffers.len() == other.buffers.len() && self.buffers.iter().zip(&other.buffers).all(|(a, b)| same(a, b))
    }
}

/// A buffer of the arena.
#[derive(Clone, Debug)]
pub struct PlanBuffer {
    /// For dumps.
    pub name: String,
    /// Its size.
    pub bytes: Dim,
    /// Buffers that lie below it.
    pub below: Vec<u32>,
}
