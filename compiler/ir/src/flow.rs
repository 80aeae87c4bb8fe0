//! A region as petgraph sees it: nodes, and an edge from each node to every node that reads it.
//!
//! The operand lists of the nodes stay the only truth; this is a view with the readers looked up
//! once, on which petgraph's algorithms run (order, reachability, components, dot).

use crate::graph::{Def, NodeId, Region, Value};
use petgraph::visit::{
    Data, EdgeRef, GraphBase, GraphProp, IntoEdgeReferences, IntoNeighbors, IntoNeighborsDirected, IntoNodeIdentifiers,
    IntoNodeReferences, NodeCount, NodeIndexable, VisitMap, Visitable,
};
use petgraph::{Directed, Direction};

/// The dataflow of a region.
pub struct Flow<'a> {
    region: &'a Region,
    producers: Vec<Vec<NodeId>>,
    readers: Vec<Vec<NodeId>>,
}

impl<'a> Flow<'a> {
    /// Looks the readers up.
    pub fn new(region: &'a Region) -> Flow<'a> {
        let mut readers = vec![Vec::new(); region.nodes.len()];
        let mut producers = vec![Vec::new(); region.nodes.len()];
        for (at, node) in region.nodes.iter().enumerate() {
            let mut from: Vec<NodeId> = node.args.iter().filter_map(|arg| producer(region, *arg)).collect();
            from.sort_unstable();
            from.dedup();
            for id in &from {
                readers[id.index()].push(NodeId(at as u32));
            }
            producers[at] = from;
        }
        Flow { region, producers, readers }
    }

    /// The region.
    pub fn region(&self) -> &'a Region {
        self.region
    }

    /// The nodes that read a result of `id`, in order.
    pub fn readers(&self, id: NodeId) -> &[NodeId] {
        &self.readers[id.index()]
    }

    /// The nodes that make the operands of `id`, in order.
    pub fn producers(&self, id: NodeId) -> &[NodeId] {
        &self.producers[id.index()]
    }

    fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        let edges = |(at, readers): (usize, &'_ Vec<NodeId>)| {
            let from = NodeId(at as u32);
            readers.iter().map(move |to| Edge { from, to: *to }).collect::<Vec<_>>()
        };
        self.readers.iter().enumerate().flat_map(edges)
    }
}

/// The node that makes a value.
pub fn producer(region: &Region, value: Value) -> Option<NodeId> {
    match region.values[value.index()].def {
        Def::Param(_) | Def::Hole => None,
        Def::Node(id, _) => Some(id),
    }
}

/// From the node that makes a value to a node that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Makes it.
    pub from: NodeId,
    /// Reads it.
    pub to: NodeId,
}

impl EdgeRef for Edge {
    type NodeId = NodeId;
    type EdgeId = (NodeId, NodeId);
    type Weight = ();

    fn source(&self) -> NodeId {
        self.from
    }

    fn target(&self) -> NodeId {
        self.to
    }

    fn weight(&self) -> &() {
        &()
    }

    fn id(&self) -> (NodeId, NodeId) {
        (self.from, self.to)
    }
}

/// Which nodes were visited.
#[derive(Clone, Debug, Default)]
pub struct Visited(Vec<bool>);

impl VisitMap<NodeId> for Visited {
    fn visit(&mut self, id: NodeId) -> bool {
        !std::mem::replace(&mut self.0[id.index()], true)
    }

    fn is_visited(&self, id: &NodeId) -> bool {
        self.0[id.index()]
    }

    fn unvisit(&mut self, id: NodeId) -> bool {
        std::mem::replace(&mut self.0[id.index()], false)
    }
}

impl GraphBase for Flow<'_> {
    type NodeId = NodeId;
    type EdgeId = (NodeId, NodeId);
}

impl GraphProp for Flow<'_> {
    type EdgeType = Directed;
}

impl Data for Flow<'_> {
    type NodeWeight = crate::graph::Node;
    type EdgeWeight = ();
}

impl Visitable for Flow<'_> {
    type Map = Visited;

    fn visit_map(&self) -> Visited {
        Visited(vec![false; self.region.nodes.len()])
    }

    fn reset_map(&self, map: &mut Visited) {
        *map = self.visit_map();
    }
}

impl NodeCount for Flow<'_> {
    fn node_count(&self) -> usize {
        self.region.nodes.len()
    }
}

impl NodeIndexable for Flow<'_> {
    fn node_bound(&self) -> usize {
        self.region.nodes.len()
    }

    fn to_index(&self, id: NodeId) -> usize {
        id.index()
    }

    fn from_index(&self, at: usize) -> NodeId {
        NodeId(at as u32)
    }
}

impl<'b> IntoNeighbors for &'b Flow<'_> {
    type Neighbors = std::iter::Copied<std::slice::Iter<'b, NodeId>>;

    fn neighbors(self, id: NodeId) -> Self::Neighbors {
        self.readers[id.index()].iter().copied()
    }
}

impl IntoNeighborsDirected for &Flow<'_> {
    type NeighborsDirected = Self::Neighbors;

    fn neighbors_directed(self, id: NodeId, direction: Direction) -> Self::Neighbors {
        match direction {
            Direction::Outgoing => self.readers[id.index()].iter().copied(),
            Direction::Incoming => self.producers[id.index()].iter().copied(),
        }
    }
}

impl IntoNodeIdentifiers for &Flow<'_> {
    type NodeIdentifiers = std::iter::Map<std::ops::Range<u32>, fn(u32) -> NodeId>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        (0..self.region.nodes.len() as u32).map(NodeId)
    }
}

impl<'b> IntoNodeReferences for &'b Flow<'_> {
    type NodeRef = (NodeId, &'b crate::graph::Node);
    type NodeReferences = std::vec::IntoIter<(NodeId, &'b crate::graph::Node)>;

    fn node_references(self) -> Self::NodeReferences {
        let nodes = self.region.nodes.iter().enumerate();
        nodes.map(|(at, node)| (NodeId(at as u32), node)).collect::<Vec<_>>().into_iter()
    }
}

impl IntoEdgeReferences for &Flow<'_> {
    type EdgeRef = Edge;
    type EdgeReferences = std::vec::IntoIter<Edge>;

    fn edge_references(self) -> Self::EdgeReferences {
        self.edges().collect::<Vec<_>>().into_iter()
    }
}
