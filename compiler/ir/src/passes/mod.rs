//! Passes from graph to graph, and the order they run in.
//!
//! A pass reads a graph and returns a new one; nothing else. The driver checks every invariant after
//! each pass and can hand out the graph after each stage.

mod bundle;
mod clamps;
mod crop;
mod dce;
mod fission;
mod inline;
mod loops;
mod regions;
mod remat;
mod schedule;
mod segments;
pub mod simplify;
mod statuses;
mod tests_first;
mod uses;
mod windows;

pub use bundle::bundle;
pub use clamps::clamps;
pub use crop::crop;
pub use dce::dce;
pub(crate) use dce::{params_of, trimmed_part};
pub use fission::fission;
pub use inline::inline;
pub use loops::loops;
pub use regions::compact;
pub use remat::{Parts, recompute, remat};
pub use schedule::schedule;
pub use segments::{Segment, most_segments, segments, spared};
pub use statuses::statuses;
pub use tests_first::tests_first;
pub use windows::windows;

use crate::graph::Graph;
use crate::verify;

/// A pass.
#[derive(Clone, Copy)]
pub struct Pass {
    /// As `--stage` and `made_by` name it.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&Graph) -> Graph,
}

/// All passes, in order. Gradients are taken before, while the graph is built.
pub const PIPELINE: &[Pass] = &[
    Pass { name: "dce", run: dce },
    Pass { name: "inline", run: inline },
    Pass { name: "statuses", run: statuses },
    Pass { name: "simplify", run: simplify::simplify },
    Pass { name: "clamps", run: clamps },
    Pass { name: "crop", run: crop },
    Pass { name: "loops", run: loops },
    Pass { name: "fission", run: fission },
    Pass { name: "tidy", run: tidied },
    Pass { name: "cleanup", run: dce },
    Pass { name: "bundle", run: bundle },
    Pass { name: "tests_first", run: tests_first },
    Pass { name: "remat", run: remat },
    Pass { name: "schedule", run: schedule },
];

/// The part of [`PIPELINE`] before [`remat`], which does not depend on what is computed again.
pub fn before_remat() -> &'static [Pass] {
    let remat = PIPELINE.iter().position(|pass| pass.name == "remat");
    &PIPELINE[..remat.unwrap_or(PIPELINE.len())]
}

/// The rest of [`PIPELINE`] behind [`before_remat`], with parts that are computed again.
pub fn recomputing(graph: &Graph, parts: &[Parts]) -> Graph {
    let graph = recompute(graph, parts);
    verify::expect(&graph, "remat");
    let graph = schedule(&graph);
    verify::expect(&graph, "schedule");
    graph
}

/// What fission leaves, said shorter.
fn tidied(graph: &Graph) -> Graph {
    loops(&dce(&simplify::simplify(graph)))
}

/// Runs passes, checking the graph before and after each; `stage` is called after each with its name.
pub fn run_pipeline(graph: &Graph, passes: &[Pass], mut stage: impl FnMut(&'static str, &Graph)) -> Graph {
    verify::expect(graph, "building");
    let mut graph = graph.clone();
    for pass in passes {
        graph = (pass.run)(&graph);
        verify::expect(&graph, pass.name);
        stage(pass.name, &graph);
    }
    graph
}
