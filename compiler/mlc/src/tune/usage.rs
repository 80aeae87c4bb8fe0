//! How a program runs its kernels: on all threads or on one, and with which others.

use mlc_kernel::lower::LoweredProgram;
use mlc_kernel::nest::Nest;
use mlc_kernel::print::meaning_text;
use mlc_kernel::program::{PARALLEL_WORK, Step};
use mlc_kernel::schedule::Schedule;
use std::collections::BTreeSet;

/// Of each kernel of a program, known by its meaning.
pub(super) struct Usage {
    /// Kernels that a thread runs alone: what they do is too little for several, or several run them already.
    alone: BTreeSet<String>,
    /// Kernels that are run unit by unit with others, and hang on their tiles.
    fixed: BTreeSet<String>,
}

/// Positions of kernels.
#[derive(Default)]
struct Found {
    alone: BTreeSet<usize>,
    fixed: BTreeSet<usize>,
}

impl Usage {
    pub fn of(lowered: &LoweredProgram) -> Usage {
        let mut found = Found::default();
        for (code, entry) in lowered.program.entries.iter().zip(&lowered.graph.entries) {
            let mut sizes = super::sizes(lowered.graph.symbols.len(), &entry.typical);
            // The rows of a band.
            sizes.push(1);
            found.steps(&code.kept.steps, &sizes);
            found.steps(&code.steps, &sizes);
        }
        let meaning = |kernels: &BTreeSet<usize>| {
            let infos = lowered.kernels.iter().filter(|info| kernels.contains(&info.kernel));
            infos.map(|info| meaning_text(&info.nest, &info.schedule, &[])).collect()
        };
        Usage { alone: meaning(&found.alone), fixed: meaning(&found.fixed) }
    }

    pub fn is_alone(&self, nest: &Nest, schedule: &Schedule) -> bool {
        self.alone.contains(&meaning_text(nest, schedule, &[]))
    }

    pub fn is_fixed(&self, nest: &Nest, schedule: &Schedule) -> bool {
        self.fixed.contains(&meaning_text(nest, schedule, &[]))
    }
}

impl Found {
    fn steps(&mut self, steps: &[Step], sizes: &[i64]) {
        for step in steps {
            match step {
                Step::Run { kernel, work, .. } => {
                    if work.eval(sizes).is_ok_and(|work| work < PARALLEL_WORK) {
                        self.alone.insert(*kernel);
                    }
                }
                Step::Loop(looped) => self.steps(&looped.body, sizes),
                Step::Bands(bands) => self.unit(&bands.body),
                Step::Chain(chain) => {
                    let kernels = chain.runs.iter().map(|run| run.kernel);
                    self.alone.extend(kernels.clone());
                    self.fixed.extend(kernels);
                }
                Step::Call { .. } | Step::Fault { .. } | Step::Absent | Step::Copy { .. } => {}
            }
        }
    }

    /// What a thread runs for some examples.
    fn unit(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Run { kernel, .. } => _ = self.alone.insert(*kernel),
                Step::Loop(looped) => self.unit(&looped.body),
                other => self.steps(std::slice::from_ref(other), &[]),
            }
        }
    }
}
