//! What of a training step's forward pass is computed again, so that its arena stays under a bound.
//!
//! The pass is cut into segments ([`mlc_ir::passes::segments`]), into few or many, and some or all of
//! them are computed again. What each choice needs is what the plan of the lowered entry says, and
//! what one thread has of its own; of those that fit, the one with the fewest multiply-adds is taken, of equals that with the fewest
//! kernels. Results have the same bits with every choice.

use crate::lower::{Choices, LoweredProgram, lower_with};
use crate::program::Step;
use crate::schedule::Machine;
use mlc_ir::graph::Graph;
use mlc_ir::passes::{Parts, Segment, most_segments, recomputing, segments};

/// One way to compute an entry, and what it takes at given sizes.
#[derive(Clone, Debug)]
pub struct Way {
    /// What is computed again.
    pub parts: Parts,
    /// Of the arena, on the machine that needs most.
    pub bytes: i64,
    /// Of each thread's own memory there.
    pub thread: i64,
    /// Twice the multiply-adds.
    pub flops: i64,
    /// Number of kernels.
    pub kernels: usize,
}

impl Way {
    /// Bytes with one thread.
    pub fn needs(&self) -> i64 {
        self.bytes.saturating_add(self.thread)
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Nothing computed again.
    pub plain: Way,
    /// The cheapest way under the bound.
    pub fits: Option<Way>,
    /// The way that needs least.
    pub least: Way,
}

/// An entry that is to stay under a bound.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// As far as [`mlc_ir::passes::before_remat`] takes it.
    pub graph: &'a Graph,
    /// Position of the entry.
    pub entry: usize,
    /// Of the arena and the own memory of one thread.
    pub limit: i64,
    /// Bytes that each thread has for kernels.
    pub scratch: i64,
    /// Bytes behind them that each thread has for the chains of other entries.
    pub near: i64,
    /// For all of them the bound is to hold; at least one.
    pub machines: &'a [Machine],
    /// Values of the symbols.
    pub sizes: &'a [i64],
}

/// Looks for ways to compute an entry under its bound. The machine that needs most stands for all, as
/// long as what is found fits the others too.
pub fn search(task: Task<'_>) -> Found {
    let plain = |machine: &Machine| task.weigh(&[], std::slice::from_ref(machine)).needs();
    let most = task.machines.iter().max_by_key(|machine| plain(machine));
    let found = task.explore(most.map_or(task.machines, std::slice::from_ref));
    let fits_all = |way: &Way| task.weigh_parts(&way.parts, task.machines).needs() <= task.limit;
    match &found.fits {
        Some(way) if !fits_all(way) => task.explore(task.machines),
        _ => found,
    }
}

impl Task<'_> {
    /// [`search`] on some of the machines: all segments of many ways to cut are computed again, and then as
    /// few as it takes of those that fit and cost least.
    fn explore(&self, machines: &[Machine]) -> Found {
        let plain = self.weigh(&[], machines);
        if plain.needs() <= self.limit {
            return Found { fits: Some(plain.clone()), least: plain.clone(), plain };
        }
        let mut ways = vec![plain.clone()];
        let mut fitting: Vec<(i64, Vec<Segment>)> = Vec::new();
        for count in counts(most_segments(self.graph, self.entry)) {
            let mut all = segments(self.graph, self.entry, count);
            // What saves most for its work comes first.
            let worth = |a: &Segment, b: &Segment| a.bytes as f64 * b.work.max(1) as f64;
            all.sort_by(|a, b| worth(b, a).total_cmp(&worth(a, b)));
            let way = self.weigh(&all, machines);
            if way.needs() <= self.limit {
                fitting.push((way.flops, all));
            }
            ways.push(way);
        }
        fitting.sort_by_key(|(flops, _)| *flops);
        for (_, all) in fitting.iter().take(THINNED) {
            self.thin(all, machines, &mut ways);
        }
        let fits = ways.iter().filter(|way| way.needs() <= self.limit);
        let fits = fits.min_by_key(|way| (way.flops, way.kernels, way.needs())).cloned();
        let least = ways.into_iter().min_by_key(|way| (way.needs(), way.flops, way.kernels)).unwrap_or(plain.clone());
        Found { plain, fits, least }
    }

    /// As few of the first segments as it takes. That more of them need less is the rule and not certain, so
    /// only what was weighed counts.
    fn thin(&self, segments: &[Segment], machines: &[Machine], ways: &mut Vec<Way>) {
        let (mut few, mut many) = (0, segments.len());
        while many - few > 1 {
            let middle = few.midpoint(many);
            let way = self.weigh(&segments[..middle], machines);
            if way.needs() <= self.limit {
                many = middle;
            } else {
                few = middle;
            }
            ways.push(way);
        }
    }
}

/// So many ways to cut are looked at closely.
const THINNED: usize = 2;

/// More segments than this are not tried: some of so many come close to any bound that can be held.
const MOST: usize = 64;

/// Numbers of segments to try: each small one, then ever fewer.
fn counts(most: usize) -> Vec<usize> {
    std::iter::successors(Some(2), |count: &usize| Some(count + (count / 2).max(1)))
        .take_while(|count| *count <= most.min(MOST))
        .collect()
}

impl Task<'_> {
    fn weigh(&self, segments: &[Segment], machines: &[Machine]) -> Way {
        let mut nodes: Vec<_> = segments.iter().map(|segment| segment.nodes.clone()).collect();
        nodes.sort_by_key(|nodes| nodes.start);
        self.weigh_parts(&Parts { entry: self.entry, nodes }, machines)
    }

    fn weigh_parts(&self, parts: &Parts, machines: &[Machine]) -> Way {
        let ways = machines.iter().map(|machine| {
            let lowered = self.lowered(parts, machine).program;
            let code = &lowered.entries[self.entry];
            let bytes = code.plan.eval(self.sizes).map_or(i64::MAX, |(_, bytes)| bytes);
            let flops = code.flops.eval(self.sizes).unwrap_or(i64::MAX);
            let thread = self.scratch.saturating_add(lowered.near_bytes().max(self.near));
            Way { parts: parts.clone(), bytes, thread, flops, kernels: kernels(&code.steps) }
        });
        match ways.max_by_key(Way::needs) {
            Some(way) => way,
            None => mlc_ir::internal_error("budget", "a bound for no machine"),
        }
    }

    /// The entry with these parts computed again; no other is lowered.
    pub fn lowered(&self, parts: &Parts, machine: &Machine) -> LoweredProgram {
        let choices = Choices { entries: Some(&[self.entry]), keep: false, ..Choices::default() };
        lower_with(&recomputing(self.graph, std::slice::from_ref(parts)), machine, choices)
    }
}

fn kernels(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Run { .. } => 1,
        Step::Chain(chain) => chain.runs.len(),
        Step::Loop(looped) => kernels(&looped.body),
        Step::Bands(bands) => kernels(&bands.body),
        Step::Fault { .. } | Step::Absent | Step::Copy { .. } | Step::Call { .. } => 0,
    };
    steps.iter().map(of).sum()
}
