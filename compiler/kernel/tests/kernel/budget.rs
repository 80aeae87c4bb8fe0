//! Training steps under a bound of memory: what fits, and that nothing but memory changes.

use crate::checkpoint::{Block, LAYERS, ROWS, WIDTH, attention, dense, stack};
use crate::common::{Rng, assert_same_bits, lowered, run_lane};
use mlc_ir::graph::Graph;
use mlc_ir::ops::Op;
use mlc_ir::passes::{Parts, before_remat, recomputing, run_pipeline, segments};
use mlc_ir::tensor::Tensor;
use mlc_kernel::budget::{Found, Task, search};
use mlc_kernel::schedule::Machine;
use std::ops::Range;

const BLOCKS: [(Block, usize, &str); 2] = [(dense, 2, "dense"), (attention, 4, "attention")];
const MACHINES: [Machine; 2] = [Machine::LANES_128, Machine::LANES_256];

fn graph(block: Block, weights: usize) -> Graph {
    run_pipeline(&stack(block, weights, None), before_remat(), |_, _| ())
}

fn found(graph: &Graph, limit: i64) -> Found {
    search(Task { graph, entry: 0, limit, scratch: 0, near: 0, machines: &MACHINES, sizes: &[] })
}

/// Twelve layers in segments of three or four keep little more than what goes into each segment.
#[test]
fn the_least_is_far_less_and_costs_a_forward_pass_at_most() {
    for (block, weights, name) in BLOCKS {
        let found = found(&graph(block, weights), 0);
        let (plain, least) = (&found.plain, &found.least);
        println!(
            "{name}: {} bytes, {} at the least; {} and {} flops",
            plain.bytes, least.bytes, plain.flops, least.flops
        );
        assert!(found.fits.is_none());
        assert!(least.bytes * 2 < plain.bytes, "{name}: {} of {}", least.bytes, plain.bytes);
        // A forward pass is a third of a step.
        assert!(least.flops * 3 <= plain.flops * 4, "{name}: {} of {}", least.flops, plain.flops);
        assert!(least.bytes >= LAYERS as i64 / 4 * ROWS * WIDTH * 4, "{name}: less than can be");
    }
}

#[test]
fn a_looser_bound_costs_no_more() {
    let (block, weights, _) = BLOCKS[0];
    let graph = graph(block, weights);
    let ends = found(&graph, 0);
    let (least, plain) = (ends.least.bytes, ends.plain.bytes);
    let mut cost = i64::MAX;
    for part in [0, 2] {
        let limit = least + (plain - least) / 4 * part;
        let fits = found(&graph, limit).fits.unwrap();
        assert!(
            fits.bytes <= limit && fits.flops <= cost,
            "{} bytes of {limit}, {} flops of {cost}",
            fits.bytes,
            fits.flops
        );
        cost = fits.flops;
        for machine in MACHINES {
            let task = Task { graph: &graph, entry: 0, limit, scratch: 0, near: 0, machines: &MACHINES, sizes: &[] };
            let plan = &task.lowered(&fits.parts, &machine).program.entries[0].plan;
            assert!(plan.eval(&[]).unwrap().1 <= limit);
        }
    }
    assert_eq!(found(&graph, plain).fits.unwrap().parts.nodes, []);
}

/// Whichever parts are computed again, however they are cut.
#[test]
fn results_have_the_same_bits() {
    let (block, weights, name) = BLOCKS[0];
    let graph = graph(block, weights);
    let mut rng = Rng(5);
    let region = graph.region(graph.entries[0].region);
    let args: Vec<Tensor> = region.params.iter().map(|v| rng.tensor(region.ty(*v), -0.3, 0.3, 1)).collect();
    let run = |nodes: Vec<Range<usize>>| {
        let graph = recomputing(&graph, &[Parts { entry: 0, nodes }]);
        let results = run_lane(&graph, &lowered(&graph), &[], &args);
        let nodes = &graph.region(graph.entries[0].region).nodes;
        (nodes.iter().filter(|node| matches!(node.op, Op::Contract(_))).count(), results)
    };
    let (once, expected) = run(Vec::new());
    let all = segments(&graph, 0, 4).into_iter().map(|segment| segment.nodes).collect();
    let end = segments(&graph, 0, 2).last().unwrap().nodes.end;
    let mut cuts: Vec<usize> = (0..10).map(|_| rng.below(end + 1)).collect();
    cuts.sort_unstable();
    let some = cuts.chunks(2).map(|pair| pair[0]..pair[1]).collect();
    for (nodes, least) in [(all, once + 1), (some, once)] {
        let (contractions, found) = run(nodes);
        assert!(contractions >= least, "{name}: nothing is computed again");
        found.iter().zip(&expected).for_each(|(a, b)| assert_same_bits(a, b, name));
    }
}
