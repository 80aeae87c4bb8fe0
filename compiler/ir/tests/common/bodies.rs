//! Random loop bodies, of every class of op that fission knows.

use super::Numbers;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::cum_sum::{CumSum, Start};
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::pad::Pad;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::reverse::Reverse;
use mlc_ir::ops::scatter_add::ScatterAdd;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::region_ops::{Loop, Trip};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::ty::{DType, Type};

pub const B: i64 = 2;
pub const D: i64 = 3;

pub fn f32s(shape: &[i64]) -> Type {
    Type::new(DType::F32, shape.iter().map(|size| Dim::from(*size)).collect::<Vec<_>>())
}

pub fn ids() -> Type {
    Type::new(DType::I32, vec![Dim::from(B)])
}

/// A matrix `[B, D]`, a vector `[D]`, a square `[D, D]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Matrix,
    Vector,
    Square,
}

impl Kind {
    pub fn ty(self) -> Type {
        match self {
            Kind::Matrix => f32s(&[B, D]),
            Kind::Vector => f32s(&[D]),
            Kind::Square => f32s(&[D, D]),
        }
    }
}

/// Values of each kind that a body can use.
pub struct Pool<'a> {
    pub b: Builder,
    pub numbers: &'a mut Numbers,
    pub matrices: Vec<Value>,
    pub vectors: Vec<Value>,
    pub squares: Vec<Value>,
    pub ids: Value,
}

impl Pool<'_> {
    pub fn pick(&mut self, kind: Kind) -> Value {
        let at = self.numbers.next();
        let list = self.list(kind);
        list[(at * list.len() as f64) as usize]
    }

    /// One of the newest values, so that chains come about.
    pub fn recent(&mut self, kind: Kind) -> Value {
        let at = self.numbers.next();
        let list = self.list(kind);
        let window = list.len().min(4);
        list[list.len() - 1 - (at * window as f64) as usize]
    }

    fn list(&mut self, kind: Kind) -> &mut Vec<Value> {
        match kind {
            Kind::Matrix => &mut self.matrices,
            Kind::Vector => &mut self.vectors,
            Kind::Square => &mut self.squares,
        }
    }

    fn kind(&mut self) -> Kind {
        [Kind::Matrix, Kind::Matrix, Kind::Vector, Kind::Square][(self.numbers.next() * 4.0) as usize]
    }

    fn small(&mut self, x: Value) -> Value {
        let ty = self.b.ty(x).clone();
        let factor = self.b.full(ty.dtype, 0.3, &ty.shape);
        self.b.binary(BinaryOp::Mul, x, factor)
    }

    /// Adds some node.
    pub fn grow(&mut self) {
        let (kind, value) = match (self.numbers.next() * 20.0) as usize {
            0 | 1 => {
                let kind = self.kind();
                let x = self.pick(kind);
                let op = [UnaryOp::Tanh, UnaryOp::Neg, UnaryOp::Sin][(self.numbers.next() * 3.0) as usize];
                (kind, self.b.unary(op, x))
            }
            2..=4 => {
                let kind = self.kind();
                let (x, y) = (self.pick(kind), self.recent(kind));
                let op = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul][(self.numbers.next() * 3.0) as usize];
                (kind, self.b.binary(op, x, y))
            }
            5..=7 => {
                let (x, w) = (self.pick(Kind::Matrix), self.pick(Kind::Square));
                let y = self.b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
                (Kind::Matrix, self.small(y))
            }
            8 | 9 => {
                let (x, y) = (self.pick(Kind::Matrix), self.recent(Kind::Matrix));
                let z = self.b.add1(Contract { left: vec![0, 1], right: vec![0, 2], out: vec![1, 2] }, &[x, y]);
                (Kind::Square, self.small(z))
            }
            10 => {
                let (x, w) = (self.pick(Kind::Vector), self.pick(Kind::Square));
                (Kind::Vector, self.b.add1(Contract { left: vec![1], right: vec![0, 1], out: vec![0] }, &[x, w]))
            }
            11 => {
                let x = self.pick(Kind::Matrix);
                (Kind::Vector, self.b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[x]))
            }
            12 => {
                let x = self.pick(Kind::Vector);
                let op = Broadcast { shape: f32s(&[B, D]).shape, axes: vec![1] };
                (Kind::Matrix, self.b.add1(op, &[x]))
            }
            13 => {
                let x = self.pick(Kind::Square);
                (Kind::Square, self.b.add1(Transpose { perm: vec![1, 0] }, &[x]))
            }
            14 => {
                let x = self.pick(Kind::Square);
                (Kind::Matrix, self.b.add1(Gather { axis: 0, batch: 0 }, &[x, self.ids]))
            }
            15 => {
                let x = self.pick(Kind::Matrix);
                let op = ScatterAdd { axis: 0, batch: 0, size: Dim::from(D) };
                (Kind::Square, self.b.add1(op, &[x, self.ids]))
            }
            16 => {
                let (x, y) = (self.pick(Kind::Matrix), self.pick(Kind::Square));
                let both = self.b.add1(Concat { axis: 0 }, &[x, y]);
                let op = Slice { starts: vec![1.into(), 0.into()], sizes: f32s(&[D, D]).shape, steps: vec![1, 1] };
                (Kind::Square, self.b.add1(op, &[both]))
            }
            17 => {
                let (x, y) = (self.pick(Kind::Matrix), self.pick(Kind::Matrix));
                let condition = self.b.compare(CompareOp::Gt, x, y);
                let z = self.recent(Kind::Matrix);
                (Kind::Matrix, self.b.add1(Select, &[condition, x, z]))
            }
            18 => {
                let x = self.pick(Kind::Matrix);
                let y = self.b.add1(CumSum { axis: 1, from: Start::Front }, &[x]);
                let fill = Literal::from_f64(DType::F32, 0.0);
                let y = self.b.add1(Pad { low: vec![0, 1], high: vec![0, -1], interior: vec![0, 0], fill }, &[y]);
                (Kind::Matrix, self.b.add1(Reverse { axes: vec![1] }, &[y]))
            }
            _ => (Kind::Matrix, self.window()),
        };
        self.list(kind).push(value);
    }

    /// A convolution or a maximum over windows.
    fn window(&mut self) -> Value {
        let x = self.recent(Kind::Matrix);
        let image = self.b.add1(Reshape { shape: f32s(&[B, D, 1]).shape }, &[x]);
        let y = if self.numbers.next() < 0.6 {
            let w = self.pick(Kind::Vector);
            let w = self.b.add1(Reshape { shape: f32s(&[D, 1, 1]).shape }, &[w]);
            let geometry = Geometry { strides: vec![1], pads: vec![(1, 1)], dilations: vec![1], groups: 1 };
            self.b.add1(Conv { role: ConvRole::Output, geometry, extents: vec![] }, &[image, w])
        } else {
            self.b.add(WindowMax { size: vec![2], strides: vec![1], pads: vec![(1, 0)] }, &[image])[0]
        };
        self.b.add1(Reshape { shape: f32s(&[B, D]).shape }, &[y])
    }
}

/// What a random loop is like.
#[derive(Clone, Debug)]
pub struct Shape {
    pub trip: Trip,
    pub rev: bool,
    pub until: bool,
    pub nodes: usize,
    /// Whether the body has a loop of its own.
    pub nested: bool,
}

pub const CARRIES: [Kind; 2] = [Kind::Matrix, Kind::Vector];
pub const SLICES: [Kind; 3] = [Kind::Matrix, Kind::Vector, Kind::Square];
pub const INVARIANTS: [Kind; 3] = [Kind::Square, Kind::Vector, Kind::Matrix];

impl Shape {
    pub fn op(&self) -> Loop {
        Loop {
            rev: self.rev,
            until: self.until,
            carries: 2,
            slices: 4,
            invariants: 3,
            stacks: 3,
            sums: 3,
            ..Loop::new(self.trip.clone())
        }
    }

    pub fn body(&self, graph: &mut Graph, numbers: &mut Numbers) -> RegionId {
        let mut b = Builder::new("body");
        b.param(Type::scalar(DType::I64));
        let (mut matrices, mut vectors, mut squares) = (Vec::new(), Vec::new(), Vec::new());
        let mut param = |b: &mut Builder, kind: Kind| {
            let value = b.param(kind.ty());
            match kind {
                Kind::Matrix => matrices.push(value),
                Kind::Vector => vectors.push(value),
                Kind::Square => squares.push(value),
            }
        };
        CARRIES.into_iter().chain(SLICES).for_each(|kind| param(&mut b, kind));
        let ids = b.param(ids());
        INVARIANTS.into_iter().for_each(|kind| param(&mut b, kind));
        let mut pool = Pool { b, numbers, matrices, vectors, squares, ids };
        for _ in 0..self.nodes / 2 {
            pool.grow();
        }
        if self.nested {
            inner(graph, &mut pool);
        }
        for _ in 0..self.nodes / 2 {
            pool.grow();
        }
        let mut results = Vec::new();
        if self.until {
            let x = pool.recent(Kind::Vector);
            let last = pool.b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[x]);
            let limit = pool.b.full(DType::F32, 0.6, &[]);
            results.push(pool.b.compare(CompareOp::Gt, last, limit));
        }
        for kind in CARRIES {
            let value = pool.recent(kind);
            results.push(pool.b.unary(UnaryOp::Tanh, value));
        }
        for kind in [Kind::Matrix, Kind::Vector, Kind::Square, Kind::Square, Kind::Vector, Kind::Square] {
            results.push(pool.recent(kind));
        }
        graph.add_region(pool.b.finish(results))
    }
}

/// A loop over the rows of a square in the body.
fn inner(graph: &mut Graph, pool: &mut Pool<'_>) {
    let mut b = Builder::new("inner");
    b.param(Type::scalar(DType::I64));
    let [h, x, w] = [&[D][..], &[D], &[D, D]].map(|shape| b.param(f32s(shape)));
    let z = b.add1(Contract { left: vec![0], right: vec![0, 1], out: vec![1] }, &[x, w]);
    let z = b.binary(BinaryOp::Add, z, h);
    let new = b.unary(UnaryOp::Tanh, z);
    let outer = b.add1(Contract { left: vec![0], right: vec![1], out: vec![0, 1] }, &[x, new]);
    let body = graph.add_region(b.finish(vec![new, z, outer]));
    let trip = Trip::Exact(Dim::from(D));
    let op = Loop { carries: 1, slices: 1, invariants: 1, stacks: 1, sums: 1, ..Loop::new(trip) };
    let args = [pool.pick(Kind::Vector), pool.pick(Kind::Square), pool.pick(Kind::Square)];
    let results = pool.b.add_loop(graph, op, &args, body);
    pool.vectors.push(results[0]);
    pool.squares.push(results[1]);
    let sum = pool.small(results[2]);
    pool.squares.push(sum);
}
