//! Building a region node by node, with types inferred and equal pure nodes merged at insertion.

use crate::dim::Dim;
use crate::graph::{Def, Epoch, Graph, Node, NodeId, Region, RegionId, SpanId, Value, ValueData};
use crate::ops::broadcast::Broadcast;
use crate::ops::constant::Constant;
use crate::ops::{InferError, Op, Types};
use crate::region_ops::{Call, Loop};
use crate::rewrite::part;
use crate::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use crate::ty::{DType, Type};
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};

/// A region under construction.
#[derive(Debug)]
pub struct Builder {
    region: Region,
    known: Known,
    /// Nodes as they were before [`Builder::widen`] changed them.
    widened: Vec<(NodeId, Node)>,
    /// Given to the nodes added from now on.
    pub span: SpanId,
    /// Given to the nodes added from now on.
    pub made_by: &'static str,
    /// Given to the nodes added from now on.
    pub epoch: Epoch,
}

/// The nodes of a region by what makes them equal: op, operands, regions, epoch.
#[derive(Debug, Default)]
struct Known(FxHashMap<u64, SmallVec<[NodeId; 1]>>);

impl Known {
    fn hash(op: &Op, args: &[Value], regions: &[RegionId], epoch: Epoch) -> u64 {
        let mut hasher = FxHasher::default();
        (op, args, regions, epoch).hash(&mut hasher);
        hasher.finish()
    }

    fn of_node(node: &Node) -> u64 {
        Known::hash(&node.op, &node.args, &node.regions, node.epoch)
    }

    fn put(&mut self, hash: u64, id: NodeId) {
        self.0.entry(hash).or_default().push(id);
    }

    fn remove(&mut self, node: &Node, id: NodeId) {
        if let Some(list) = self.0.get_mut(&Known::of_node(node)) {
            list.retain(|other| *other != id);
        }
    }
}

/// The region without the flat bodies that were cut out of it, if there are any.
fn sealed(region: Region) -> Region {
    if region.values.iter().all(|value| value.def != Def::Hole) {
        return region;
    }
    part(&region, &region.name, &region.params, &region.results)
}

/// A state of a region that can be gone back to.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    nodes: usize,
    values: usize,
    params: usize,
    widened: usize,
}

impl Builder {
    /// An empty region.
    pub fn new(name: &str) -> Builder {
        Builder {
            region: Region { name: name.to_string(), ..Region::default() },
            known: Known::default(),
            widened: Vec::new(),
            span: SpanId(0),
            made_by: "",
            epoch: Epoch::default(),
        }
    }

    /// Goes on with a finished region: its nodes stay, equal ones are still merged.
    pub fn resume(region: Region) -> Builder {
        let mut known = Known::default();
        for (at, node) in region.nodes.iter().enumerate() {
            known.put(Known::of_node(node), NodeId(at as u32));
        }
        Builder { region, known, widened: Vec::new(), span: SpanId(0), made_by: "", epoch: Epoch::default() }
    }

    /// The region so far.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &Type {
        self.region.ty(value)
    }

    /// A new parameter of the region.
    pub fn param(&mut self, ty: Type) -> Value {
        let def = Def::Param(self.region.params.len() as u32);
        let value = self.value(ty, def);
        self.region.params.push(value);
        value
    }

    /// Adds a node of a primitive op, or returns the equal one. The operands must fit: what a user
    /// can get wrong is to be found before, with [`crate::ops::Primitive::infer`].
    pub fn add(&mut self, op: impl Into<Op>, args: &[Value]) -> SmallVec<[Value; 2]> {
        let op = op.into();
        let types = match self.infer(&op, args) {
            Ok(types) => types,
            Err(InferError(text)) => crate::internal_error("builder", &format!("{op:?}: {text}")),
        };
        self.add_typed(op, args, &[], types)
    }

    /// [`Builder::add`] for an op with one result.
    pub fn add1(&mut self, op: impl Into<Op>, args: &[Value]) -> Value {
        self.add(op, args)[0]
    }

    /// The result types that `op` would have.
    pub fn infer(&self, op: &Op, args: &[Value]) -> Result<Types, InferError> {
        let types: SmallVec<[&Type; 3]> = args.iter().map(|arg| self.ty(*arg)).collect();
        match (op, op.primitive()) {
            (Op::Foreign(op), _) => op.infer(&types),
            (_, Some(primitive)) => primitive.infer(&types),
            (_, None) => Err(InferError("region ops are added with their types".into())),
        }
    }

    /// Adds a node with given result types: for region ops, whose types come from their bodies.
    pub fn add_typed(&mut self, op: Op, args: &[Value], regions: &[RegionId], types: Types) -> SmallVec<[Value; 2]> {
        let hash = Known::hash(&op, args, regions, self.epoch);
        let equal = |id: &&NodeId| {
            let node = &self.region.nodes[id.index()];
            let same = (node.args.as_slice(), node.regions.as_slice(), node.epoch) == (args, regions, self.epoch);
            same && node.op == op
        };
        if let Some(id) = self.known.0.get(&hash).and_then(|list| list.iter().find(equal)) {
            return self.region.nodes[id.index()].results.clone();
        }
        let id = NodeId(self.region.nodes.len() as u32);
        let results: SmallVec<[Value; 2]> =
            types.into_iter().enumerate().map(|(i, ty)| self.value(ty, Def::Node(id, i as u32))).collect();
        self.known.put(hash, id);
        let (args, regions) = (SmallVec::from_slice(args), SmallVec::from_slice(regions));
        let (span, made_by, epoch) = (self.span, self.made_by, self.epoch);
        self.region.nodes.push(Node { op, args, results: results.clone(), regions, span, made_by, epoch });
        results
    }

    /// Adds a loop; its types come from its body.
    pub fn add_loop(&mut self, graph: &Graph, op: Loop, args: &[Value], body: RegionId) -> SmallVec<[Value; 2]> {
        let types: Vec<&Type> = args.iter().map(|arg| self.ty(*arg)).collect();
        match op.infer(&types, graph.region(body)) {
            Ok(types) => self.add_typed(op.into(), args, &[body], types),
            Err(InferError(text)) => crate::internal_error("builder", &format!("{op:?}: {text}")),
        }
    }

    /// Adds a call; its types come from its first region. A second one is its gradient.
    pub fn add_call(&mut self, graph: &Graph, op: Call, args: &[Value], regions: &[RegionId]) -> SmallVec<[Value; 2]> {
        let types: Vec<&Type> = args.iter().map(|arg| self.ty(*arg)).collect();
        let bodies: Vec<_> = regions.iter().map(|id| graph.region(*id)).collect();
        match op.infer(&types, &bodies) {
            Ok(types) => self.add_typed(op.into(), args, regions, types),
            Err(InferError(text)) => crate::internal_error("builder", &format!("{op:?}: {text}")),
        }
    }

    /// Adds a copy of a node of another region, with operands of this one; place, maker and epoch
    /// are the original's.
    pub fn copy(&mut self, node: &Node, args: &[Value], types: Types) -> SmallVec<[Value; 2]> {
        let own = (self.span, self.made_by, self.epoch);
        (self.span, self.made_by, self.epoch) = (node.span, node.made_by, node.epoch);
        let results = self.add_typed(node.op.clone(), args, &node.regions, types);
        (self.span, self.made_by, self.epoch) = own;
        results
    }

    /// Gives a region op another body with more results, put in at `at`; returns the new ones. The
    /// node keeps its place and its other results.
    pub fn widen(&mut self, id: NodeId, op: impl Into<Op>, regions: &[RegionId], at: usize, new: Types) -> Vec<Value> {
        self.widened.push((id, self.region.nodes[id.index()].clone()));
        self.known.remove(&self.region.nodes[id.index()], id);
        let values: Vec<Value> = new.into_iter().map(|ty| self.value(ty, Def::Node(id, 0))).collect();
        let node = &mut self.region.nodes[id.index()];
        (node.op, node.regions) = (op.into(), SmallVec::from_slice(regions));
        node.results.insert_many(at, values.iter().copied());
        for (place, value) in node.results.iter().enumerate() {
            self.region.values[value.index()].def = Def::Node(id, place as u32);
        }
        self.known.put(Known::of_node(node), id);
        values
    }

    /// Ends the region. Flat bodies that were cut out are dropped.
    pub fn finish(mut self, results: Vec<Value>) -> Region {
        self.region.results = results;
        sealed(self.region)
    }

    /// The region as it would be if it ended here.
    pub fn finished(&self, results: Vec<Value>) -> Region {
        sealed(Region { results, ..self.region.clone() })
    }

    /// The place behind the last node.
    pub fn mark(&self) -> usize {
        self.region.nodes.len()
    }

    /// A value that only the body of a loop under construction knows.
    pub fn hole(&mut self, ty: Type) -> Value {
        self.value(ty, Def::Hole)
    }

    /// Where the region stands now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            nodes: self.region.nodes.len(),
            values: self.region.values.len(),
            params: self.region.params.len(),
            widened: self.widened.len(),
        }
    }

    /// Takes back everything since a checkpoint.
    pub fn rewind(&mut self, to: &Checkpoint) {
        for (id, before) in self.widened.split_off(to.widened).into_iter().rev() {
            for (place, value) in before.results.iter().enumerate() {
                self.region.values[value.index()].def = Def::Node(id, place as u32);
            }
            self.known.remove(&self.region.nodes[id.index()], id);
            self.known.put(Known::of_node(&before), id);
            self.region.nodes[id.index()] = before;
        }
        for (at, node) in self.region.nodes.iter().enumerate().skip(to.nodes) {
            self.known.remove(node, NodeId(at as u32));
        }
        self.region.nodes.truncate(to.nodes);
        self.region.values.truncate(to.values);
        self.region.params.truncate(to.params);
    }

    fn value(&mut self, ty: Type, def: Def) -> Value {
        self.region.values.push(ValueData { ty, def });
        Value(self.region.values.len() as u32 - 1)
    }

    /// A number, as a scalar.
    pub fn literal(&mut self, value: Literal) -> Value {
        self.add1(Constant { value }, &[])
    }

    /// A number in every element of a shape.
    pub fn full(&mut self, dtype: DType, value: f64, shape: &[Dim]) -> Value {
        let scalar = self.literal(Literal::from_f64(dtype, value));
        self.broadcast_scalar(scalar, shape)
    }

    /// A scalar in every element of a shape.
    pub fn broadcast_scalar(&mut self, scalar: Value, shape: &[Dim]) -> Value {
        if shape.is_empty() {
            return scalar;
        }
        self.add1(Broadcast { shape: shape.to_vec(), axes: Vec::new() }, &[scalar])
    }

    /// An elementwise op of one operand.
    pub fn unary(&mut self, op: UnaryOp, x: Value) -> Value {
        self.add1(crate::ops::unary::Unary { op }, &[x])
    }

    /// An elementwise op of two operands of one type.
    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        self.add1(crate::ops::binary::Binary { op }, &[a, b])
    }

    /// A comparison of two operands of one type.
    pub fn compare(&mut self, op: CompareOp, a: Value, b: Value) -> Value {
        self.add1(crate::ops::compare::Compare { op }, &[a, b])
    }
}
