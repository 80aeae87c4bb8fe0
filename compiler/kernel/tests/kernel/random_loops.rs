//! Random graphs of loops in loops, with and without gradients: the graphs that kernels on the Lane
//! interpreter and machine code are compared on.

use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::slice_at::SliceAt;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::region_ops::{Loop, Trip};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::tensor::{Tensor, extents};
use mlc_ir::ty::{DType, Type};

/// Elements of the vectors that loops hand on: no multiple of a register's.
const WIDTH: i64 = 5;

/// Numbers that depend on a seed alone.
pub struct Rng(u64);

impl Rng {
    /// Other ones for each seed.
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        rng.next();
        rng
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64) / (1u64 << 53) as f64
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() * end as f64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Newer ones more often.
    pub fn recent<T: Copy>(&mut self, from: &[T]) -> T {
        let back = self.below(from.len()).min(self.below(from.len()));
        from[from.len() - 1 - back]
    }
}

/// Values to compute with, by type.
#[derive(Clone, Default)]
struct Pool {
    vectors: Vec<Value>,
    matrices: Vec<Value>,
    /// With the number of their bound.
    stacks: Vec<(Value, usize)>,
    numbers: Vec<Value>,
}

struct Generator {
    rng: Rng,
    graph: Graph,
    bounds: [Dim; 2],
}

fn vector() -> Type {
    Type::new(DType::F32, vec![WIDTH.into()])
}

fn number() -> Type {
    Type::scalar(DType::I64)
}

impl Generator {
    fn stack(&self, bound: usize) -> Type {
        Type::new(DType::F32, vec![self.bounds[bound].clone(), WIDTH.into()])
    }

    fn step(&mut self, b: &mut Builder, pool: &mut Pool, depth: usize) {
        let (x, y) = (self.rng.recent(&pool.vectors), self.rng.pick(&pool.vectors));
        let new = match self.rng.below(11) {
            8 => self.window(b, pool),
            9 | 10 => return self.update(b, pool),
            0 => b.binary(BinaryOp::Add, x, y),
            1 => b.binary(BinaryOp::Mul, x, y),
            2 | 3 => {
                let right = if self.rng.below(2) == 0 { vec![0, 1] } else { vec![1, 0] };
                b.add1(Contract { left: vec![0], right, out: vec![1] }, &[x, self.rng.pick(&pool.matrices)])
            }
            4 => {
                let number = b.add1(Cast { dtype: DType::F32 }, &[self.rng.pick(&pool.numbers)]);
                let number = b.broadcast_scalar(number, &[WIDTH.into()]);
                b.binary(BinaryOp::Sub, x, number)
            }
            5 => {
                let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[x]);
                let sum = b.add1(Broadcast { shape: vec![WIDTH.into()], axes: vec![] }, &[sum]);
                b.binary(BinaryOp::Add, y, sum)
            }
            _ if depth < 3 => return self.looped(b, pool, depth),
            _ => b.unary(UnaryOp::Neg, x),
        };
        let new = if self.rng.below(4) == 0 { new } else { b.unary(UnaryOp::Tanh, new) };
        pool.vectors.push(new);
    }

    /// The starts of a window in a stack: a row somewhere, along the second axis all or a part.
    fn starts(&mut self, b: &mut Builder, pool: &Pool, whole: bool) -> [Value; 2] {
        let zero = b.literal(Literal::from_i64(DType::I64, 0));
        [self.rng.recent(&pool.numbers), if whole { zero } else { self.rng.pick(&pool.numbers) }]
    }

    /// A row of a stack.
    fn window(&mut self, b: &mut Builder, pool: &Pool) -> Value {
        let (stack, _) = self.rng.recent(&pool.stacks);
        let starts = self.starts(b, pool, true);
        let row = b.add1(SliceAt { sizes: vec![1.into(), WIDTH.into()] }, &[stack, starts[0], starts[1]]);
        b.add1(Reshape { shape: vec![WIDTH.into()] }, &[row])
    }

    /// A stack with another row, with a part of one, or with something added there.
    fn update(&mut self, b: &mut Builder, pool: &mut Pool) {
        let (stack, bound) = self.rng.recent(&pool.stacks);
        let width = if self.rng.below(2) == 0 { WIDTH } else { 3 };
        let starts = self.starts(b, pool, width == WIDTH);
        let sizes: Vec<Dim> = vec![1.into(), width.into()];
        let x = self.rng.recent(&pool.vectors);
        let row = b.add1(Reshape { shape: vec![1.into(), WIDTH.into()] }, &[x]);
        let cut = Slice { starts: vec![0.into(), 0.into()], sizes: sizes.clone(), steps: vec![1, 1] };
        let mut new = if width == WIDTH { row } else { b.add1(cut, &[row]) };
        if self.rng.below(2) == 0 {
            let old = b.add1(SliceAt { sizes }, &[stack, starts[0], starts[1]]);
            new = b.binary(BinaryOp::Sub, old, new);
        }
        let new = b.add1(UpdateSlice, &[stack, new, starts[0], starts[1]]);
        pool.stacks.push((new, bound));
    }

    fn looped(&mut self, b: &mut Builder, pool: &mut Pool, depth: usize) {
        let bound = self.rng.below(2);
        let counted = self.rng.below(3) == 0;
        let rev = self.rng.below(2) == 0;
        let until = !rev && self.rng.below(3) == 0;
        let (vectors, numbers) = (1 + self.rng.below(3), self.rng.below(2));
        let buffers: Vec<(Value, usize)> = (0..self.rng.below(3)).map(|_| self.rng.recent(&pool.stacks)).collect();
        let rows: Vec<Value> = pool.stacks.iter().filter(|(_, of)| *of == bound).map(|(value, _)| *value).collect();
        let slices: Vec<Value> = (0..self.rng.below(3)).map(|_| self.rng.pick(&rows)).collect();
        let (stacks, sums) = (self.rng.below(3), self.rng.below(3));
        let dim = self.bounds[bound].clone();

        let mut args = Vec::new();
        if counted {
            args.push(self.rng.pick(&pool.numbers));
        }
        args.extend((0..vectors).map(|_| self.rng.recent(&pool.vectors)));
        args.extend((0..numbers).map(|_| self.rng.pick(&pool.numbers)));
        args.extend(buffers.iter().map(|(value, _)| *value));
        args.extend(&slices);
        let invariants = [self.rng.pick(&pool.vectors), self.rng.pick(&pool.matrices)];
        args.extend(invariants);
        let all: Vec<(Value, usize)> =
            (0..2).filter_map(|of| pool.stacks.iter().rev().find(|(_, bound)| *bound == of).copied()).collect();
        args.extend(all.iter().map(|(value, _)| *value));

        let mut body = Builder::new("body");
        let mut inner = Pool { numbers: vec![body.param(number())], ..Pool::default() };
        inner.vectors.extend((0..vectors).map(|_| body.param(vector())));
        inner.numbers.extend((0..numbers).map(|_| body.param(number())));
        let carried: Vec<(Value, usize)> = buffers.iter().map(|(_, of)| (body.param(self.stack(*of)), *of)).collect();
        inner.vectors.extend(slices.iter().map(|_| body.param(vector())));
        inner.vectors.push(body.param(vector()));
        inner.matrices.push(body.param(Type::new(DType::F32, vec![WIDTH.into(), WIDTH.into()])));
        inner.stacks.extend(all.iter().map(|(_, of)| (body.param(self.stack(*of)), *of)));
        inner.stacks.extend(&carried);
        for _ in 0..1 + self.rng.below(6) {
            self.step(&mut body, &mut inner, depth + 1);
        }
        if self.rng.below(2) == 0 {
            let (x, y) = (self.rng.pick(&inner.numbers), self.rng.pick(&inner.numbers));
            let sum = body.binary(BinaryOp::Add, x, y);
            inner.numbers.push(sum);
        }
        let mut results = Vec::new();
        if until {
            let limit = body.literal(Literal::from_i64(DType::I64, self.rng.below(4) as i64));
            let last = self.rng.pick(&inner.numbers);
            results.push(body.compare(CompareOp::Ge, last, limit));
        }
        results.extend((0..vectors).map(|_| self.rng.recent(&inner.vectors)));
        results.extend((0..numbers).map(|_| self.rng.recent(&inner.numbers)));
        for (_, of) in &buffers {
            let fitting: Vec<Value> =
                inner.stacks.iter().filter(|(_, bound)| bound == of).map(|(value, _)| *value).collect();
            results.push(self.rng.recent(&fitting));
        }
        results.extend((0..stacks + sums).map(|_| self.rng.recent(&inner.vectors)));
        let region = self.graph.add_region(body.finish(results));
        let op = Loop {
            rev,
            until,
            carries: (vectors + numbers + buffers.len()) as u32,
            slices: slices.len() as u32,
            invariants: 2 + all.len() as u32,
            stacks: stacks as u32,
            sums: sums as u32,
            ..Loop::new(if counted { Trip::UpTo(dim) } else { Trip::Exact(dim) })
        };
        let mut results = b.add_loop(&self.graph, op, &args, region).into_iter();
        pool.numbers.extend(results.by_ref().take(usize::from(until)));
        pool.vectors.extend(results.by_ref().take(vectors));
        pool.numbers.extend(results.by_ref().take(numbers));
        pool.stacks.extend(results.by_ref().take(buffers.len()).zip(buffers.iter().map(|(_, of)| *of)));
        pool.stacks.extend(results.by_ref().take(stacks).map(|value| (value, bound)));
        pool.vectors.extend(results);
    }

    /// The gradient of all that was computed, in all float parameters that it depends on.
    fn gradients(&mut self, b: &mut Builder, pool: &Pool) -> Vec<Value> {
        let mut loss = b.full(DType::F32, 0.0, &[]);
        for value in pool.vectors.iter().chain(pool.stacks.iter().map(|(value, _)| value)) {
            let axes = (0..b.ty(*value).rank()).collect();
            let squashed = b.unary(UnaryOp::Tanh, *value);
            let sum = b.add1(Reduce { kind: ReduceKind::Sum, axes }, &[squashed]);
            loss = b.binary(BinaryOp::Add, loss, sum);
        }
        let params = b.region().params.clone();
        let floats: Vec<Value> = params.into_iter().filter(|param| b.ty(*param).dtype.is_float()).collect();
        let gradients = gradient(&mut self.graph, b, loss, &floats);
        gradients.into_iter().filter_map(Result::ok).chain([loss]).collect()
    }
}

/// A graph with one entry whose parameters are arguments, values of its one symbol, and the arguments
/// at each.
pub fn graph(seed: u64, with_gradients: bool) -> (Graph, Vec<(i64, Vec<Tensor>)>) {
    let mut graph = Graph::new();
    let symbol: Sym = graph.symbol("T");
    let rng = Rng::new(seed);
    let mut generator = Generator { rng, graph, bounds: [Dim::from(3), Dim::from(symbol)] };
    let mut b = Builder::new("main");
    let stacks = [1, 0].map(|bound| (b.param(generator.stack(bound)), bound));
    let mut pool = Pool {
        vectors: vec![b.param(vector()), b.param(vector())],
        matrices: vec![b.param(Type::new(DType::F32, vec![WIDTH.into(), WIDTH.into()]))],
        stacks: stacks.to_vec(),
        numbers: vec![b.param(number())],
    };
    generator.looped(&mut b, &mut pool, 1);
    for _ in 0..generator.rng.below(4) {
        generator.step(&mut b, &mut pool, 1);
    }
    let mut results: Vec<Value> = (0..2).map(|_| generator.rng.recent(&pool.vectors)).collect();
    results.extend(pool.stacks.iter().map(|(value, _)| *value).filter(|value| !b.region().params.contains(value)));
    results.push(generator.rng.recent(&pool.numbers));
    results.push(pool.vectors[pool.vectors.len() - 1]);
    if with_gradients {
        results.extend(generator.gradients(&mut b, &pool));
    }
    let (mut graph, mut rng) = (generator.graph, generator.rng);
    let region = graph.add_region(b.finish(results));
    let params: Vec<Type> = graph.region(region).params.iter().map(|it| graph.region(region).ty(*it).clone()).collect();
    let entry = Entry {
        name: "main".into(),
        region,
        inputs: (0..params.len()).map(|at| Input::Arg(format!("a{at}"))).collect(),
        outputs: (0..graph.region(region).results.len()).map(|at| Output::Result(format!("r{at}"))).collect(),
        checks: Vec::new(),
        typical: vec![(symbol, 4)],
    };
    graph.entries.push(entry);
    mlc_ir::verify::expect(&graph, "test");
    let args = [1, 2, 6].map(|size| (size, params.iter().map(|ty| argument(ty, size, &mut rng)).collect()));
    (graph, args.to_vec())
}

/// An argument of a type at a value of the one symbol: floats between -1 and 1, small integers.
pub fn argument(ty: &Type, size: i64, rng: &mut Rng) -> Tensor {
    let shape: Vec<Dim> = ty.shape.iter().map(|dim| dim.eval(&[size]).unwrap().into()).collect();
    let shape = extents(&Type::new(ty.dtype, shape));
    let count = shape.iter().product::<usize>();
    match ty.dtype {
        DType::F32 => Tensor::floats_of(ty.dtype, &shape, (0..count).map(|_| rng.next() * 2.0 - 1.0)),
        _ => Tensor::ints_of(ty.dtype, &shape, (0..count).map(|_| rng.below(6) as i64 - 1)),
    }
}
