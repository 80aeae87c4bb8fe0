//! Loops: kernels in bodies on the Lane interpreter against reference evaluation.

use crate::common::{
    assert_same_bits, assert_within, each_case, lowered, lowered_with, run_lane, run_lane_tiles, run_reference,
};
use crate::random_graphs::other_schedule;
use crate::random_loops::graph;
use mlc_kernel::fuse::Fuse;
use mlc_kernel::lower::Choices;
use mlc_kernel::run::Tiles;

#[test]
fn loops_agree_with_reference_evaluation() {
    each_case((1..=300).map(|seed| (format!("graph {seed}"), seed)), |seed| {
        let (graph, cases) = graph(seed, seed % 2 == 0);
        let program = lowered(&graph);
        for (size, args) in &cases {
            let expected = run_reference(&graph, &[*size], args);
            let found = run_lane(&graph, &program, &[*size], args);
            for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert_within(a, b, 1e-3, 1.0, &format!("result {number} at {size}"));
            }
        }
    });
}

#[test]
fn loops_have_the_same_bits_however_they_are_lowered() {
    each_case((1..=150).map(|seed| (format!("graph {seed}"), seed)), |seed| {
        let (graph, cases) = graph(seed, seed % 2 == 0);
        let program = lowered(&graph);
        let unfused = lowered_with(&graph, Choices { fuse: Fuse::Nothing, ..Choices::default() });
        let choices = Choices { schedule: &|nest, chosen| other_schedule(nest, chosen, seed), ..Choices::default() };
        let other = lowered_with(&graph, choices);
        for (size, args) in &cases {
            let expected = run_lane(&graph, &program, &[*size], args);
            let same = |found: Vec<mlc_ir::tensor::Tensor>, what: &str| {
                for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                    assert_same_bits(a, b, &format!("{what}, result {number} at {size}"));
                }
            };
            same(run_lane(&graph, &unfused, &[*size], args), "unfused");
            same(run_lane(&graph, &other, &[*size], args), "another schedule");
            same(run_lane_tiles(&graph, &program, &[*size], args, Tiles::Backwards), "tiles backwards");
        }
    });
}
