//! Regions of a graph as a whole.

use crate::graph::{Graph, Region, RegionId};

/// The graph without regions that no entry uses; the rest in the order of their first use.
pub fn compact(graph: &Graph) -> Graph {
    let mut new_id = vec![None; graph.regions.len()];
    let mut order = Vec::new();
    for entry in &graph.entries {
        visit(graph, entry.region, &mut |id| {
            if new_id[id.index()].is_some() {
                return false;
            }
            new_id[id.index()] = Some(RegionId(order.len() as u32));
            order.push(id);
            true
        });
    }
    let renamed = |old: RegionId| match new_id[old.index()] {
        Some(id) => id,
        None => crate::internal_error("compact", "a region that is used was not visited"),
    };
    let mut regions = Vec::with_capacity(order.len());
    for id in &order {
        let mut region = graph.region(*id).clone();
        for inner in region.nodes.iter_mut().flat_map(|node| &mut node.regions) {
            *inner = renamed(*inner);
        }
        regions.push(region);
    }
    let mut entries = graph.entries.clone();
    for entry in &mut entries {
        entry.region = renamed(entry.region);
    }
    Graph { regions, entries, ..rest(graph) }
}

/// Visits a region and those it runs, each before what it runs, as long as `enter` says yes.
fn visit(graph: &Graph, id: RegionId, enter: &mut dyn FnMut(RegionId) -> bool) {
    if enter(id) {
        for inner in graph.region(id).nodes.iter().flat_map(|node| &node.regions) {
            visit(graph, *inner, enter);
        }
    }
}

/// All regions, each behind those it runs.
fn inner_first(graph: &Graph) -> Vec<RegionId> {
    fn visit(graph: &Graph, id: RegionId, seen: &mut [bool], order: &mut Vec<RegionId>) {
        if std::mem::replace(&mut seen[id.index()], true) {
            return;
        }
        for inner in graph.region(id).nodes.iter().flat_map(|node| &node.regions) {
            visit(graph, *inner, seen, order);
        }
        order.push(id);
    }
    let mut seen = vec![false; graph.regions.len()];
    let mut order = Vec::with_capacity(graph.regions.len());
    for at in 0..graph.regions.len() {
        visit(graph, RegionId(at as u32), &mut seen, &mut order);
    }
    order
}

/// Writes every region anew, each after those it runs; `rewrite` may add regions, and may take a
/// region that it finds in the graph it is given as already rewritten. Signatures of regions stay.
pub(super) fn bottom_up(graph: &Graph, mut rewrite: impl FnMut(&mut Graph, &Region) -> Region) -> Graph {
    let mut new = graph.clone();
    for id in inner_first(graph) {
        let region = rewrite(&mut new, graph.region(id));
        new.regions[id.index()] = region;
    }
    compact(&new)
}

/// Everything but regions and entries.
fn rest(graph: &Graph) -> Graph {
    Graph {
        symbols: graph.symbols.clone(),
        places: graph.places.clone(),
        globals: graph.globals.clone(),
        regions: Vec::new(),
        entries: Vec::new(),
    }
}
