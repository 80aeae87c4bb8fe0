//! Regions of a graph as a whole.

use crate::graph::{Graph, RegionId};

/// The graph without regions that no entry uses; the rest in the order of their first use.
pub fn compact(graph: &Graph) -> Graph {
    let mut order = Vec::new();
    for entry in &graph.entries {
        visit(graph, entry.region, &mut order);
    }
    let new_id = |old: RegionId| match order.iter().position(|id| *id == old) {
        Some(at) => RegionId(at as u32),
        None => crate::internal_error("compact", "a region that is used was not visited"),
    };
    let mut regions = Vec::with_capacity(order.len());
    for id in &order {
        let mut region = graph.region(*id).clone();
        for inner in region.nodes.iter_mut().flat_map(|node| &mut node.regions) {
            *inner = new_id(*inner);
        }
        regions.push(region);
    }
    let mut entries = graph.entries.clone();
    for entry in &mut entries {
        entry.region = new_id(entry.region);
    }
    Graph { regions, entries, ..graph.clone() }
}

fn visit(graph: &Graph, id: RegionId, order: &mut Vec<RegionId>) {
    if order.contains(&id) {
        return;
    }
    order.push(id);
    for inner in graph.region(id).nodes.iter().flat_map(|node| &node.regions) {
        visit(graph, *inner, order);
    }
}
