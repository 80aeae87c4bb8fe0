//! Loops in bands of rows: the same bits for every way to cut the rows, and what can be run so.

use crate::common::{assert_same_bits, assert_within, each_case, lowered, lowered_with, run_lane_tiles, run_reference};
use crate::random_cells::graph;
use mlc_kernel::fuse::Fuse;
use mlc_kernel::lower::{Choices, LoweredProgram};
use mlc_kernel::run::Tiles;
use std::cell::Cell;

fn banded(program: &LoweredProgram) -> usize {
    program.program.entries[0].bands().len()
}

#[test]
fn bands_have_the_bits_of_the_whole() {
    let with_bands = Cell::new(0);
    each_case((1..=120).map(|seed| (format!("graph {seed}"), seed)), |seed| {
        let (graph, cases) = graph(seed);
        let program = lowered(&graph);
        let unfused = lowered_with(&graph, Choices { fuse: Fuse::Nothing, ..Choices::default() });
        with_bands.set(with_bands.get() + banded(&program));
        for (size, args) in &cases {
            let whole = run_lane_tiles(&graph, &program, &[*size], args, Tiles::Together);
            for (number, (a, b)) in whole.iter().zip(&run_reference(&graph, &[*size], args)).enumerate() {
                assert_within(a, b, 1e-3, 1.0, &format!("result {number} at {size}"));
            }
            for (program, tiles) in
                [(&program, Tiles::OneByOne), (&program, Tiles::Backwards), (&unfused, Tiles::OneByOne)]
            {
                for (number, (a, b)) in
                    run_lane_tiles(&graph, program, &[*size], args, tiles).iter().zip(&whole).enumerate()
                {
                    assert_same_bits(a, b, &format!("{tiles:?}, result {number} at {size}"));
                }
            }
        }
    });
    // Two thirds of the graphs have two loops whose examples never meet.
    assert!(with_bands.get() >= 140, "{} loops in bands", with_bands.get());
}
