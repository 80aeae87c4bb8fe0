//! The order of a region's nodes, so that little is alive at a time.
//!
//! Several orders are tried and the one with the lowest peak of bytes at typical sizes is taken; of
//! equals the first, which is the order as it stands. So the pass never makes a peak higher, as far
//! as its model goes: what fusion will compute inside another kernel takes no memory, the rest lives
//! from its node to the last that reads it ([`units`]).
//!
//! - As it stands: program order, backward passes in reverse.
//! - Each node as late as that saves more than it costs. This is what a recomputed value needs: it
//!   is made where it is used, not where it could be.
//! - From the front, always the node that adds least; and the same from the back.

mod orders;
mod units;

use super::regions::bottom_up;
use crate::cost::Typical;
use crate::graph::{Entry, Graph, Output, Region};
use crate::rewrite::Cursor;
use units::Units;

/// The pass.
pub fn schedule(graph: &Graph) -> Graph {
    let typical = Typical::of(graph);
    let entries = &graph.entries;
    let owner = |region: &Region| entries.iter().find(|entry| std::ptr::eq(graph.region(entry.region), region));
    bottom_up(graph, |graph, region| {
        let units = Units::new(graph, region, &replacing(region, owner(region)), &typical);
        let given = units.in_order();
        let mut best = (units.peak(&given), given);
        for order in [orders::late(&units, &best.1), orders::from_the_front(&units), orders::from_the_back(&units)] {
            let peak = units.peak(&order);
            if peak < best.0 {
                best = (peak, order);
            }
        }
        write(region, &units, &best.1)
    })
}

/// The region with its units in that order; what is part of several units stands before the first.
fn write(region: &Region, units: &Units, order: &[usize]) -> Region {
    let mut cursor = Cursor::new(region);
    let mut written = vec![false; region.nodes.len()];
    for unit in order {
        let mut nodes = units.parts(region, *unit, &mut written);
        nodes.sort_unstable();
        nodes.into_iter().for_each(|node| cursor.copy(&region.nodes[node]));
    }
    let mut rest = units.parts_of_results(region, &mut written);
    rest.sort_unstable();
    rest.into_iter().for_each(|node| cursor.copy(&region.nodes[node]));
    cursor.finish(&region.results)
}

/// Whether each value takes the place of a weight or state, so that it needs no memory of its own.
fn replacing(region: &Region, entry: Option<&Entry>) -> Vec<bool> {
    let mut replaces = vec![false; region.values.len()];
    for (output, value) in entry.into_iter().flat_map(|entry| entry.outputs.iter().zip(&region.results)) {
        replaces[value.index()] |= matches!(output, Output::Global(_));
    }
    replaces
}

/// The most bytes that are alive at a time in a region as it stands, without its parameters.
fn peak(graph: &Graph, region: &Region, typical: &Typical) -> i64 {
    let units = Units::new(graph, region, &replacing(region, None), typical);
    units.peak(&units.in_order())
}
