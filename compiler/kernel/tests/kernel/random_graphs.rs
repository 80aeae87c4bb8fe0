//! Random graphs: fused kernels agree with reference evaluation, and no choice of lowering changes a
//! bit: fused or not, whatever the schedule, in whatever order tiles are run.

use crate::common::{
    Rng, assert_same_bits, assert_within, concrete, each_case, entry, lowered, lowered_with, run_lane, run_lane_tiles,
    run_reference,
};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Graph, Value};
use mlc_ir::index::Extreme;
use mlc_ir::ops::Op;
use mlc_ir::ops::arg_reduce::ArgReduce;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::cum_sum::{CumSum, Start};
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::pad::Pad;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::reverse::Reverse;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::fuse::Fuse;
use mlc_kernel::lower::Choices;
use mlc_kernel::nest::{Nest, Reduction};
use mlc_kernel::run::Tiles;
use mlc_kernel::schedule::{Schedule, Shape, Tile};

/// Tensors stay below so many elements at the largest sizes of a run.
const ELEMENTS: i64 = 3000;
const SIZES: [[i64; 2]; 3] = [[3, 5], [8, 1], [1, 9]];

/// What is known of a value.
#[derive(Clone, Copy)]
struct Known {
    value: Value,
    /// No element is larger.
    bound: f64,
    /// Elements have the same bits however they are computed: only then may a function jump there.
    exact: bool,
}

struct Generator {
    rng: Rng,
    b: Builder,
    pool: Vec<Known>,
}

impl Generator {
    fn dim(&mut self) -> Dim {
        match self.rng.below(8) {
            0 | 1 => Dim::from(Sym(0)),
            2 | 3 => Dim::from(Sym(1)),
            4 => Dim::from(4),
            5 => Dim::from(7),
            6 => Dim::from(3),
            _ => Dim::one(),
        }
    }

    fn param(&mut self) {
        let rank = self.rng.below(4);
        let shape: Vec<Dim> = (0..rank).map(|_| self.dim()).collect();
        let dtype = self.rng.pick(&[
            DType::F32,
            DType::F32,
            DType::F32,
            DType::F32,
            DType::F64,
            DType::I32,
            DType::I64,
            DType::U8,
            DType::I8,
            DType::Bool,
        ]);
        let value = self.b.param(Type::new(dtype, shape));
        let bound = if dtype.is_float() { 1.0 } else { 4.0 };
        self.pool.push(Known { value, bound, exact: true });
    }

    fn ty(&self, known: Known) -> Type {
        self.b.ty(known.value).clone()
    }

    fn some(&mut self) -> Known {
        // Late ones more often: chains grow.
        let all = self.pool.len();
        let from = if self.rng.below(2) == 0 { all.saturating_sub(4) } else { 0 };
        self.pool[from + self.rng.below(all - from)]
    }

    /// Another value of the type of `like`.
    fn same(&mut self, like: Known) -> Known {
        let ty = self.ty(like);
        let all: Vec<Known> = self.pool.iter().copied().filter(|k| *self.b.ty(k.value) == ty).collect();
        self.rng.pick(&all)
    }

    fn add(&mut self, op: impl Into<Op>, args: &[Value], bound: f64, exact: bool) {
        let op = op.into();
        let Ok(types) = self.b.infer(&op, args) else { return };
        let large = |ty: &Type| SIZES.iter().any(|sizes| ty.elements().unwrap().eval(sizes).unwrap() > ELEMENTS);
        if types.iter().any(large) || bound > 1e4 {
            return;
        }
        let value = self.b.add1(op, args);
        self.pool.push(Known { value, bound, exact });
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..3 => self.unary(),
            3..7 => self.binary(),
            7 => self.choice(),
            8 => self.cast(),
            9..12 => self.view(),
            12 => self.broadcast(),
            13 => self.reshape(),
            14..16 => self.reduce(),
            16 | 17 => self.contract(),
            18 => self.special(),
            _ => self.param(),
        }
    }

    fn unary(&mut self) {
        let x = self.some();
        let ty = self.ty(x);
        let (op, bound, exact) = match ty.dtype {
            DType::Bool => (UnaryOp::Not, 1.0, true),
            DType::I32 | DType::I64 | DType::U8 | DType::I8 => {
                (self.rng.pick(&[UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Sign]), x.bound, true)
            }
            DType::F32 | DType::F64 => match self.rng.below(7) {
                0 => (UnaryOp::Neg, x.bound, x.exact),
                1 => (UnaryOp::Abs, x.bound, x.exact),
                2 => (UnaryOp::Tanh, 1.0, false),
                3 if x.bound < 3.0 => (UnaryOp::Exp, 20.0, false),
                4 if x.exact => (UnaryOp::Floor, x.bound + 1.0, true),
                5 if x.exact => (UnaryOp::Sign, 1.0, true),
                _ => (UnaryOp::Sin, 1.0, false),
            },
        };
        self.add(mlc_ir::ops::unary::Unary { op }, &[x.value], bound, exact);
    }

    fn binary(&mut self) {
        let x = self.some();
        let y = self.same(x);
        let dtype = self.ty(x).dtype;
        let (sum, product) = (x.bound + y.bound, x.bound * y.bound);
        let exact = x.exact && y.exact;
        let (op, bound) = match (dtype, self.rng.below(7)) {
            (DType::Bool, n) => (if n < 4 { BinaryOp::And } else { BinaryOp::Or }, 1.0),
            (_, 0 | 1) => (BinaryOp::Add, sum),
            (_, 2) => (BinaryOp::Sub, sum),
            (_, 3) => (BinaryOp::Mul, product),
            (_, 4) => (BinaryOp::Min, sum),
            (_, 5) => (BinaryOp::Max, sum),
            (DType::F32 | DType::F64, _) => return self.quotient(x, y),
            (_, _) => (self.rng.pick(&[BinaryOp::FloorDiv, BinaryOp::Rem]), sum),
        };
        self.add(mlc_ir::ops::binary::Binary { op }, &[x.value, y.value], bound, exact);
    }

    /// `x / (1 + |y|)`
    fn quotient(&mut self, x: Known, y: Known) {
        let ty = self.ty(x);
        let one = self.b.full(ty.dtype, 1.0, &ty.shape);
        let magnitude = self.b.unary(UnaryOp::Abs, y.value);
        let divisor = self.b.binary(BinaryOp::Add, magnitude, one);
        let op = BinaryOp::Div;
        self.add(mlc_ir::ops::binary::Binary { op }, &[x.value, divisor], x.bound, x.exact && y.exact);
    }

    fn choice(&mut self) {
        let x = self.some();
        let y = self.same(x);
        if !(x.exact && y.exact) {
            return;
        }
        let op =
            self.rng.pick(&[CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge]);
        let condition = self.b.compare(op, x.value, y.value);
        self.pool.push(Known { value: condition, bound: 1.0, exact: true });
        let shape = self.ty(x).shape;
        let fits: Vec<Known> = self.pool.iter().copied().filter(|k| self.b.ty(k.value).shape == shape).collect();
        let a = self.rng.pick(&fits);
        let b = self.same(a);
        self.add(Select, &[condition, a.value, b.value], a.bound.max(b.bound), a.exact && b.exact);
    }

    fn cast(&mut self) {
        let x = self.some();
        let dtype = self.rng.pick(&DType::ALL);
        if x.exact || dtype.is_float() {
            let narrow = matches!(dtype, DType::U8 | DType::I8 | DType::Bool);
            self.add(Cast { dtype }, &[x.value], if narrow { 255.0 } else { x.bound }, x.exact);
        }
    }

    fn view(&mut self) {
        let x = self.some();
        let shape = self.ty(x).shape;
        let rank = shape.len();
        if rank == 0 {
            return;
        }
        let axis = self.rng.below(rank);
        match self.rng.below(5) {
            0 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                perm.swap(axis, self.rng.below(rank));
                perm.rotate_left(self.rng.below(rank));
                self.add(Transpose { perm }, &[x.value], x.bound, x.exact);
            }
            1 => self.add(Reverse { axes: vec![axis] }, &[x.value], x.bound, x.exact),
            2 => {
                let (mut starts, mut sizes, mut steps) = (vec![Dim::zero(); rank], shape.clone(), vec![1; rank]);
                if let Some(size) = shape[axis].as_const() {
                    let start = self.rng.below(size as usize) as i64;
                    steps[axis] = 1 + self.rng.below(2) as i64;
                    starts[axis] = Dim::from(start);
                    sizes[axis] = Dim::from((size - start + steps[axis] - 1) / steps[axis]);
                }
                self.add(Slice { starts, sizes, steps }, &[x.value], x.bound, x.exact);
            }
            3 => {
                let dtype = self.ty(x).dtype;
                let fill = Literal::from_f64(dtype, self.rng.below(2) as f64);
                let mut pad = Pad { low: vec![0; rank], high: vec![0; rank], interior: vec![0; rank], fill };
                pad.low[axis] = self.rng.below(3) as i64;
                pad.high[axis] = self.rng.below(3) as i64;
                pad.interior[axis] = self.rng.below(2) as i64;
                self.add(pad, &[x.value], x.bound.max(1.0), x.exact);
            }
            _ => {
                let y = self.same(x);
                self.add(Concat { axis }, &[x.value, y.value], x.bound.max(y.bound), x.exact && y.exact);
            }
        }
    }

    fn broadcast(&mut self) {
        let x = self.some();
        let mut shape = self.ty(x).shape;
        let at = self.rng.below(shape.len() + 1);
        let axes = (0..shape.len()).map(|axis| if axis < at { axis } else { axis + 1 }).collect();
        let dim = self.dim();
        shape.insert(at, dim);
        self.add(Broadcast { shape, axes }, &[x.value], x.bound, x.exact);
    }

    fn reshape(&mut self) {
        let x = self.some();
        let mut shape = self.ty(x).shape;
        if shape.len() > 1 && self.rng.below(3) > 0 {
            let at = self.rng.below(shape.len() - 1);
            let inner = shape.remove(at + 1);
            shape[at] = shape[at].mul(&inner).unwrap();
        } else {
            let at = self.rng.below(shape.len() + 1);
            shape.insert(at, Dim::one());
        }
        self.add(Reshape { shape }, &[x.value], x.bound, x.exact);
    }

    fn reduce(&mut self) {
        let x = self.some();
        let ty = self.ty(x);
        if ty.rank() == 0 {
            return;
        }
        let first = self.rng.below(ty.rank());
        let axes: Vec<usize> = (0..ty.rank()).filter(|axis| *axis == first || self.rng.below(2) == 0).collect();
        let count = Dim::product(axes.iter().map(|axis| &ty.shape[*axis])).unwrap();
        let count = SIZES.iter().map(|sizes| count.eval(sizes).unwrap()).max().unwrap() as f64;
        let (kind, bound, exact) = match (ty.dtype, self.rng.below(4)) {
            (DType::Bool, n) => (if n < 2 { ReduceKind::Any } else { ReduceKind::All }, 1.0, true),
            (_, 0) => (ReduceKind::Max, x.bound, x.exact),
            (_, 1) => (ReduceKind::Min, x.bound, x.exact),
            (dtype, _) => (ReduceKind::Sum, x.bound * count, x.exact && !dtype.is_float()),
        };
        self.add(Reduce { kind, axes }, &[x.value], bound, exact);
    }

    fn contract(&mut self) {
        let x = self.some();
        let ty = self.ty(x);
        if ty.rank() == 0 || ty.dtype == DType::Bool {
            return;
        }
        let axis = self.rng.below(ty.rank());
        let size = ty.shape[axis].clone();
        let fits = |k: &Known| self.b.ty(k.value).dtype == ty.dtype && self.b.ty(k.value).shape.contains(&size);
        let all: Vec<Known> = self.pool.iter().copied().filter(fits).collect();
        let y = self.rng.pick(&all);
        let shape = self.ty(y).shape;
        let left: Vec<u32> = (0..ty.rank() as u32).collect();
        let mut right: Vec<u32> = (10..10 + shape.len() as u32).collect();
        let at = shape.iter().position(|dim| *dim == size).unwrap();
        right[at] = axis as u32;
        let mut out: Vec<u32> = left.iter().chain(&right).copied().filter(|letter| *letter != axis as u32).collect();
        if self.rng.below(4) == 0 {
            out.insert(0, axis as u32);
        }
        if out.len() > 4 {
            return;
        }
        if !out.is_empty() {
            let by = self.rng.below(out.len());
            out.rotate_left(by);
        }
        let count = SIZES.iter().map(|sizes| size.eval(sizes).unwrap()).max().unwrap() as f64;
        let exact = x.exact && y.exact && !ty.dtype.is_float();
        self.add(Contract { left, right, out }, &[x.value, y.value], x.bound * y.bound * count, exact);
    }

    fn special(&mut self) {
        let x = self.some();
        let ty = self.ty(x);
        if ty.rank() == 0 {
            return;
        }
        let axis = self.rng.below(ty.rank());
        match self.rng.below(4) {
            0 if x.exact && ty.dtype != DType::Bool => {
                let extreme = self.rng.pick(&[Extreme::Max, Extreme::Min]);
                self.add(ArgReduce { extreme, axis }, &[x.value], 30.0, true);
            }
            1 if ty.dtype != DType::Bool => {
                let from = if self.rng.below(2) == 0 { Start::Front } else { Start::Back };
                self.add(CumSum { axis, from }, &[x.value], x.bound * 100.0, x.exact && !ty.dtype.is_float());
            }
            2 => {
                let dtype = self.rng.pick(&[DType::I32, DType::I64]);
                self.add(Iota { shape: ty.shape, axis, dtype }, &[], 100.0, true);
            }
            _ => {
                let is_ids = |k: &Known| matches!(self.b.ty(k.value).dtype, DType::I32 | DType::I64) && k.exact;
                let all: Vec<Known> = self.pool.iter().copied().filter(is_ids).collect();
                if !all.is_empty() {
                    let ids = self.rng.pick(&all);
                    self.add(Gather { axis, batch: 0 }, &[x.value, ids.value], x.bound, x.exact);
                }
            }
        }
    }
}

/// A graph with its arguments at each of the sizes.
fn graph(seed: u64) -> (Graph, Vec<Vec<Tensor>>) {
    let mut graph = Graph::new();
    let symbols = [graph.symbol("B"), graph.symbol("T")];
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    rng.next();
    let mut generator = Generator { rng, b: Builder::new("random"), pool: Vec::new() };
    // Both symbols are known from the first argument.
    let first = generator.b.param(Type::new(DType::F32, symbols.map(Dim::from).to_vec()));
    generator.pool.push(Known { value: first, bound: 1.0, exact: true });
    generator.param();
    generator.param();
    let steps = 8 + generator.rng.below(30);
    for _ in 0..steps {
        generator.step();
    }
    let mut results = vec![generator.pool[generator.pool.len() - 1].value];
    for _ in 0..generator.rng.below(4) {
        let more = generator.some().value;
        results.push(more);
    }
    let mut rng = generator.rng;
    let graph = entry(graph, generator.b, results, &[(symbols[0], 8), (symbols[1], 4)]);
    let region = graph.region(graph.entries[0].region);
    let mut args = |sizes: &[i64; 2]| {
        let types = region.params.iter().map(|param| concrete(region.ty(*param), sizes));
        types.map(|ty| rng.tensor(&ty, -1.0, 1.0, if ty.dtype == DType::Bool { 2 } else { 5 })).collect()
    };
    let args = SIZES.iter().map(&mut args).collect();
    (graph, args)
}

fn all_graphs(count: u64, check: impl Fn(Graph, Vec<Vec<Tensor>>)) {
    each_case((1..=count).map(|seed| (format!("graph {seed}"), seed)), |seed| {
        let (graph, args) = graph(seed);
        check(graph, args);
    });
}

fn agree(
    graph: &Graph,
    other: &mlc_kernel::lower::LoweredProgram,
    expected: &[Vec<Tensor>],
    args: &[Vec<Tensor>],
    what: &str,
) {
    for ((sizes, args), expected) in SIZES.iter().zip(args).zip(expected) {
        let found = run_lane(graph, other, sizes, args);
        for (number, (a, b)) in found.iter().zip(expected).enumerate() {
            assert_same_bits(a, b, &format!("{what}, result {number} at {sizes:?}"));
        }
    }
}

fn run_all(graph: &Graph, program: &mlc_kernel::lower::LoweredProgram, args: &[Vec<Tensor>]) -> Vec<Vec<Tensor>> {
    SIZES.iter().zip(args).map(|(sizes, args)| run_lane(graph, program, sizes, args)).collect()
}

#[test]
fn kernels_agree_with_reference_evaluation() {
    all_graphs(500, |graph, args| {
        let program = lowered(&graph);
        for (sizes, args) in SIZES.iter().zip(&args) {
            let expected = run_reference(&graph, sizes, args);
            let found = run_lane(&graph, &program, sizes, args);
            for (number, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert_within(a, b, 1e-4, 1.0, &format!("result {number} at {sizes:?}"));
            }
        }
    });
}

#[test]
fn fused_is_unfused() {
    all_graphs(500, |graph, args| {
        let expected = run_all(&graph, &lowered(&graph), &args);
        let unfused = lowered_with(&graph, Choices { fuse: Fuse::Nothing, ..Choices::default() });
        agree(&graph, &unfused, &expected, &args, "unfused");
    });
}

#[test]
fn tiles_run_in_any_order() {
    all_graphs(250, |graph, args| {
        let program = lowered(&graph);
        let expected = run_all(&graph, &program, &args);
        for ((sizes, args), expected) in SIZES.iter().zip(&args).zip(&expected) {
            for tiles in [Tiles::OneByOne, Tiles::Backwards] {
                let found = run_lane_tiles(&graph, &program, sizes, args, tiles);
                found
                    .iter()
                    .zip(expected)
                    .for_each(|(a, b)| assert_same_bits(a, b, &format!("{tiles:?} at {sizes:?}")));
            }
        }
    });
}

/// Another schedule of a nest: what the cost model would never choose, too.
pub fn other_schedule(nest: &Nest, chosen: Schedule, seed: u64) -> Schedule {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ nest.stores.len() as u64);
    rng.next();
    let mut other = chosen;
    if rng.below(2) == 0 {
        (other.lanes, other.element_bits) = (1, 32);
    }
    other.vectors = 1 + rng.below(4) as i64;
    other.unroll = 1 + rng.below(5) as i64;
    other.chunk = rng.pick(&[8, 24, 64, 4096]);
    if matches!(other.shape, Shape::Block | Shape::Map) {
        let axes: Vec<usize> = (0..nest.par.len()).filter(|axis| Some(*axis) != other.vector).collect();
        other.rows =
            if axes.is_empty() || rng.below(3) == 0 { None } else { Some((rng.pick(&axes), 2 + rng.below(4) as i64)) };
    }
    other.stream = 0;
    let mut tiles = Vec::new();
    if other.shape == Shape::Block {
        let rows = other.rows.filter(|_| rng.below(2) == 0);
        tiles.extend(rows.map(|(_, rows)| Tile::Rows(rows * (1 + rng.below(3) as i64))));
        let whole = other.rows.is_some_and(|(axis, _)| nest.par[axis].as_const().is_some());
        other.side_by_side = whole && matches!(nest.reduce, Some(Reduction::Dot { .. })) && rng.below(2) == 0;
        tiles.extend((other.vector.is_some() && rng.below(2) == 0).then_some(Tile::Blocks));
        let wide = other.vector.is_some_and(|axis| nest.par[axis].as_const().is_some());
        let single = matches!(nest.reduce, Some(Reduction::Dot { .. })) && nest.red.len() == 1 && !other.side_by_side;
        other.stream = if wide && single && rng.below(2) == 0 { 1 + rng.below(5) as i64 } else { 0 };
    }
    let row = other.rows.map(|(axis, _)| axis);
    let whole = match nest.reduce {
        Some(Reduction::Scan { axis, .. } | Reduction::Scatter { axis, .. }) => Some(axis),
        Some(Reduction::Order { .. }) => nest.par.len().checked_sub(1),
        _ => None,
    };
    let inner = |axis: &usize| {
        other.shape != Shape::Lanes && Some(*axis) == other.vector || [row, whole].contains(&Some(*axis))
    };
    for axis in (0..nest.par.len()).filter(|axis| !inner(axis)) {
        if rng.below(3) > 0 {
            tiles.insert(rng.below(tiles.len() + 1), Tile::Axis(axis));
        }
    }
    other.tiles = tiles;
    other
}

#[test]
fn any_schedule_is_any_other() {
    all_graphs(250, |graph, args| {
        let expected = run_all(&graph, &lowered(&graph), &args);
        for seed in 0..2 {
            let choices =
                Choices { schedule: &|nest, chosen| other_schedule(nest, chosen, seed), ..Choices::default() };
            let other = lowered_with(&graph, choices);
            agree(&graph, &other, &expected, &args, &format!("schedules {seed}"));
        }
    });
}
