//! Reverse-mode differentiation of a region, graph to graph.
//!
//! [`gradient`] appends the adjoint nodes to a region under construction, from the loss back, with
//! the place of the node they belong to and `made_by` "autodiff". Which values matter is settled
//! first, so adjoints nobody asked for are never made. Adjoints of a value are added in the reverse
//! order of its uses. The set of primitive ops is closed under their gradients, so gradients of
//! gradients are the same call again. In bodies of loops and calls that are still under construction
//! [`gradient_through`] goes on behind their holes ([`Holes`]).
//!
//! Conventions where a function has no derivative: a maximum or minimum of two gives a tie to the
//! second operand, one over axes or windows to the first place; `|x|` has slope 0 at 0.

mod call;
mod cut;
mod cx;
mod holes;
pub(crate) mod keep;
mod linear;
mod loops;

pub use cx::VjpCx;
pub use holes::{Holes, Prefix, StandIn, reached};

use crate::builder::Builder;
use crate::graph::{Graph, NodeId, Region, SpanId, Value};
use crate::ops::Op;
use crate::scalar::BinaryOp;

/// The adjoint of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adj {
    /// Of the operand's type.
    Value(Value),
    /// Zero, because …
    Zero(Reason),
}

/// Why a gradient ends at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Integers and truth values have no gradient.
    Integer,
    /// The derivative is zero everywhere: `round`, `floor`, `ceil`, `sign`; the word is the op's.
    Flat(&'static str),
    /// A comparison.
    Comparison,
    /// `argmax`, `argmin`: the result is a position.
    Position,
    /// A conversion to an integer dtype.
    ToInteger,
    /// The operand says where to read or write.
    Index,
    /// `stop_gradient`.
    StopGradient,
    /// A random draw does not depend on its operands smoothly.
    Random,
    /// A C function.
    Foreign,
    /// A custom `grad` or a loop's end: no rule reaches this operand.
    NoPath,
    /// Nobody asked for this operand's adjoint.
    NotAsked,
}

impl Reason {
    /// In words, to stand after "the gradient ends here: ".
    pub fn text(self) -> String {
        match self {
            Reason::Integer => "integers and bools have no gradient".into(),
            Reason::Flat(name) => format!("the derivative of `{name}` is zero everywhere"),
            Reason::Comparison => "a comparison has no gradient".into(),
            Reason::Position => "the position of an extreme has no gradient".into(),
            Reason::ToInteger => "a conversion to integers has no gradient".into(),
            Reason::Index => "an index has no gradient".into(),
            Reason::StopGradient => "`stop_gradient`".into(),
            Reason::Random => "a random draw has no gradient".into(),
            Reason::Foreign => "an `extern fn` without `grad` has no gradient".into(),
            Reason::NoPath => "no differentiable path leads through it".into(),
            Reason::NotAsked => "it was not asked for".into(),
        }
    }
}

/// Why there is no gradient for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the gradient was cut and why; `None`: the loss does not use the value at all.
    pub at: Option<(SpanId, Reason)>,
}

/// The pass name of adjoint nodes.
pub const PASS: &str = "autodiff";

/// The gradients of `loss`, a float scalar of the region under construction, by each of `wrt`; a
/// [`Cut`] where there is none. New bodies of loops and calls are added to `graph`; loops and calls
/// the gradient passes keep their place in `builder` and get more results.
pub fn gradient(graph: &mut Graph, builder: &mut Builder, loss: Value, wrt: &[Value]) -> Vec<Result<Value, Cut>> {
    gradient_through(graph, builder, &Holes::default(), loss, wrt)
}

/// [`gradient`] in a body under construction, which goes on from its holes to what they stand for.
pub fn gradient_through(
    graph: &mut Graph,
    builder: &mut Builder,
    holes: &Holes,
    loss: Value,
    wrt: &[Value],
) -> Vec<Result<Value, Cut>> {
    let forward = builder.region().nodes.len();
    let ty = builder.ty(loss).clone();
    let before = (builder.span, builder.made_by);
    builder.made_by = PASS;
    let seed = builder.full(ty.dtype, 1.0, &ty.shape);
    (builder.span, builder.made_by) = before;
    let adjoints = backprop_through(graph, builder, holes, &[(loss, seed)], wrt);
    let explain = |(value, adjoint): (&Value, Option<Value>)| match adjoint {
        Some(adjoint) => Ok(adjoint),
        None => Err(cut::explain(graph, builder.region(), holes, forward, loss, *value)),
    };
    wrt.iter().zip(adjoints).map(explain).collect()
}

/// The adjoints of `wrt` from adjoints of other values (a value may occur more than once); `None`
/// where no differentiable path leads.
pub fn backprop(
    graph: &mut Graph,
    builder: &mut Builder,
    seeds: &[(Value, Value)],
    wrt: &[Value],
) -> Vec<Option<Value>> {
    backprop_through(graph, builder, &Holes::default(), seeds, wrt)
}

fn backprop_through(
    graph: &mut Graph,
    builder: &mut Builder,
    holes: &Holes,
    seeds: &[(Value, Value)],
    wrt: &[Value],
) -> Vec<Option<Value>> {
    let before = (builder.span, builder.made_by, builder.epoch);
    builder.made_by = PASS;
    let adjoints = Backprop::run(graph, builder, holes, seeds, wrt);
    (builder.span, builder.made_by, builder.epoch) = before;
    adjoints
}

/// Which values of a region are floats that depend on `starts` by way of floats alone, by its first `nodes`
/// nodes.
pub fn active(region: &Region, nodes: usize, starts: &[Value]) -> Vec<bool> {
    active_through(region, &Holes::default(), nodes, starts)
}

fn active_through(region: &Region, holes: &Holes, nodes: usize, starts: &[Value]) -> Vec<bool> {
    let mut active = vec![false; region.values.len()];
    for start in starts {
        active[start.index()] = true;
    }
    let enter = |at: usize, active: &mut Vec<bool>| {
        for stands in holes.made_at(at) {
            active[stands.hole.index()] |= active[stands.value.index()];
        }
    };
    for (at, node) in region.nodes[..nodes].iter().enumerate() {
        enter(at, &mut active);
        if node.args.iter().any(|arg| active[arg.index()]) {
            for result in &node.results {
                active[result.index()] |= region.ty(*result).dtype.is_float();
            }
        }
    }
    enter(nodes, &mut active);
    active
}

struct Backprop<'a> {
    graph: &'a mut Graph,
    b: &'a mut Builder,
    holes: &'a Holes,
    active: Vec<bool>,
    adjoints: Vec<Option<Value>>,
}

impl Backprop<'_> {
    fn run(
        graph: &mut Graph,
        b: &mut Builder,
        holes: &Holes,
        seeds: &[(Value, Value)],
        wrt: &[Value],
    ) -> Vec<Option<Value>> {
        let nodes = b.region().nodes.len();
        let active = active_through(b.region(), holes, nodes, wrt);
        let adjoints = vec![None; b.region().values.len()];
        let mut pass = Backprop { graph, b, holes, active, adjoints };
        for (value, adjoint) in seeds {
            pass.b.span = pass.span_of(*value);
            pass.add(*value, *adjoint);
        }
        pass.leave(nodes);
        for at in (0..nodes).rev() {
            pass.node(NodeId(at as u32));
            pass.leave(at);
        }
        wrt.iter().map(|value| pass.adjoints[value.index()]).collect()
    }

    fn span_of(&self, value: Value) -> SpanId {
        self.b.region().producer(value).map_or(SpanId(0), |node| node.span)
    }

    /// Goes on from the holes that were made before node `at`.
    fn leave(&mut self, at: usize) {
        for stands in self.holes.made_at(at).rev() {
            if let Some(adjoint) = self.adjoints[stands.hole.index()] {
                self.add(stands.value, adjoint);
            }
        }
    }

    fn node(&mut self, id: NodeId) {
        let node = self.b.region().nodes[id.index()].clone();
        let adjoints: Vec<Option<Value>> = node.results.iter().map(|result| self.adjoints[result.index()]).collect();
        let wanted: Vec<bool> = node.args.iter().map(|arg| self.active[arg.index()]).collect();
        if adjoints.iter().all(Option::is_none) || !wanted.contains(&true) {
            return;
        }
        self.b.span = node.span;
        let given = match &node.op {
            Op::Loop(op) => loops::vjp(self.graph, self.b, (id, op), self.holes.passes(id), &adjoints, &wanted),
            Op::Call(op) => call::vjp(self.graph, self.b, id, op, &adjoints, &wanted),
            Op::Foreign(_) => vec![Adj::Zero(Reason::Foreign); node.args.len()],
            op => match op.primitive() {
                Some(op) => op.vjp(&mut VjpCx::new(self.b, &node.args, &node.results, &adjoints, &wanted)),
                None => crate::internal_error(PASS, "an op that is neither primitive nor a region op"),
            },
        };
        for (arg, adjoint) in node.args.iter().zip(given) {
            match adjoint {
                Adj::Value(adjoint) => self.add(*arg, adjoint),
                Adj::Zero(_) => {}
            }
        }
    }

    /// Adds to the adjoint of a value, if that is wanted.
    fn add(&mut self, value: Value, adjoint: Value) {
        if !self.active[value.index()] {
            return;
        }
        if self.b.ty(value) != self.b.ty(adjoint) {
            let (value, adjoint) = (self.b.ty(value), self.b.ty(adjoint));
            crate::internal_error(PASS, &format!("an adjoint of type {adjoint:?} for a value of type {value:?}"));
        }
        let sum = match self.adjoints[value.index()] {
            Some(sum) => self.b.binary(BinaryOp::Add, sum, adjoint),
            None => adjoint,
        };
        self.adjoints[value.index()] = Some(sum);
    }
}
