//! Tests in backward passes that only ask for what the forward pass made are made there, right behind it: so the
//! truth value can be kept instead of the number.

use crate::flow::producer;
use crate::graph::{Epoch, Graph, Node, NodeId, Region};
use crate::masks::tests;
use crate::passes::remat::starts;
use crate::rewrite::Cursor;

const PASS: &str = "tests_first";

/// The pass.
pub fn tests_first(graph: &Graph) -> Graph {
    let mut regions = graph.regions.clone();
    for entry in &graph.entries {
        let region = &mut regions[entry.region.index()];
        for start in starts(region).into_iter().rev() {
            if let Some(new) = in_region(region, start) {
                *region = new;
            }
        }
    }
    Graph { regions, ..graph.clone() }
}

fn in_region(region: &Region, start: usize) -> Option<Region> {
    let moved = tests(region, start);
    if moved.iter().all(|moved| !moved) {
        return None;
    }
    let (before, behind) = region.nodes.split_at(start);
    let mut after = vec![Vec::new(); start];
    let mut places = vec![0; behind.len()];
    for (at, node) in behind.iter().enumerate().filter(|(at, _)| moved[*at]) {
        let place = |id: NodeId| id.index().checked_sub(start).map_or(id.index(), |at| places[at]);
        places[at] = node.args.iter().filter_map(|arg| producer(region, *arg)).map(place).max().unwrap_or(0);
        after[places[at]].push(node);
    }
    let mut cursor = Cursor::new(region);
    for (node, tests) in before.iter().zip(after) {
        cursor.copy(node);
        for node in tests {
            let (args, types) = (cursor.args(node), cursor.types(node));
            let test = Node { made_by: PASS, epoch: Epoch::default(), ..node.clone() };
            let results = cursor.b.copy(&test, &args, types);
            cursor.put(node, &results);
        }
    }
    for (node, _) in behind.iter().zip(&moved).filter(|(_, moved)| !**moved) {
        cursor.copy(node);
    }
    Some(cursor.finish(&region.results))
}
