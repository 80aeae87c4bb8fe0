//! What compiling takes grows as programs do: four times the layers, loops or buffers take about four times the work.
//! Work is counted in bytes that are asked for, which no other load on the machine changes. A walk that asks for none
//! is not seen here: how long large graphs take is what `cargo bench -p mlc-benches --bench compile` says.

use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_ir::region_ops::{Call, Loop, Remat, Trip, stacked};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::fuse::{Fuse, fuse};
use mlc_kernel::lower::lower;
use mlc_kernel::plan::{Request, plan};
use mlc_kernel::schedule::Machine;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The system's allocator, with a count of the bytes that were asked for.
struct Counting;

static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size as u64, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The count is of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Steps of some work, each with the bytes that it asked for.
#[derive(Default)]
struct Steps(Vec<(String, u64)>);

impl Steps {
    fn step<T>(&mut self, what: &str, work: impl FnOnce() -> T) -> T {
        let before = BYTES.load(Ordering::Relaxed);
        let result = work();
        self.0.push((what.to_string(), BYTES.load(Ordering::Relaxed) - before));
        result
    }
}

/// How many times as many bytes four times the work may take: a square would be sixteen times as many.
const MOST: u64 = 6;

/// The same where all pairs are looked at: a cube would be 64 times as many.
const MOST_OF_PAIRS: u64 = 18;

/// Bytes that do not count: tables that are made once.
const FEW: u64 = 1 << 16;

/// Does some work of a size and of four times that size, and compares what each step takes.
fn grows(size: usize, work: impl Fn(usize, &mut Steps)) {
    grows_by(MOST, size, work);
}

fn grows_by(most: u64, size: usize, work: impl Fn(usize, &mut Steps)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [one, four] = [size, 4 * size].map(|size| {
        let mut steps = Steps::default();
        work(size, &mut steps);
        steps.0
    });
    assert_eq!(one.len(), four.len());
    for ((what, one), (_, four)) in one.iter().zip(&four) {
        println!("{what}: {one} and {four} bytes, {:.1} times", *four as f64 / *one as f64);
        assert!(*four <= most * one + FEW, "{what}: {one} bytes, and {four} for four times as much");
    }
}

fn f32s(shape: &[i64]) -> Type {
    Type::new(DType::F32, shape.iter().map(|size| Dim::from(*size)).collect::<Vec<_>>())
}

/// `tanh(x · w + x) · x`, and so on.
fn layer(b: &mut Builder, x: Value, w: Value, nodes: usize) -> Value {
    let mut y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
    for at in 1..nodes {
        y = match at % 3 {
            0 => b.binary(BinaryOp::Add, y, x),
            1 => b.unary(UnaryOp::Tanh, y),
            _ => b.binary(BinaryOp::Mul, y, x),
        };
    }
    y
}

struct Model {
    graph: Graph,
    b: Builder,
    x: Value,
    wrt: Vec<Value>,
}

impl Model {
    fn new() -> Model {
        let mut b = Builder::new("main");
        let x = b.param(f32s(&[4, 8]));
        Model { graph: Graph::new(), b, x, wrt: Vec::new() }
    }

    fn weight(&mut self) -> Value {
        let w = self.b.param(f32s(&[8, 8]));
        self.wrt.push(w);
        w
    }

    fn layer(&mut self) {
        let w = self.weight();
        self.x = layer(&mut self.b, self.x, w, 10);
    }

    fn checkpoint(&mut self) {
        let w = self.weight();
        let mut b = Builder::new("block");
        let (x, inner) = (b.param(f32s(&[4, 8])), b.param(f32s(&[8, 8])));
        let y = layer(&mut b, x, inner, 10);
        let body = self.graph.add_region(b.finish(vec![y]));
        self.x = self.b.add_call(&self.graph, Call { remat: Remat::Recompute }, &[self.x, w], &[body])[0];
    }

    fn recurrence(&mut self) {
        let w = self.weight();
        let mut b = Builder::new("cell");
        b.param(Type::scalar(DType::I64));
        let (h, x, inner) = (b.param(f32s(&[4, 8])), b.param(f32s(&[4, 8])), b.param(f32s(&[8, 8])));
        let y = layer(&mut b, h, inner, 10);
        let y = b.binary(BinaryOp::Add, y, x);
        let body = self.graph.add_region(b.finish(vec![y, y]));
        let trip = Trip::Exact(Dim::from(3));
        let op = Loop { carries: 1, slices: 1, invariants: 1, stacks: 1, ..Loop::new(trip) };
        let rows = self.b.param(stacked(&Dim::from(3), &f32s(&[4, 8])));
        let results = self.b.add_loop(&self.graph, op, &[self.x, rows, w], body);
        let sum = self.b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0] }, &[results[1]]);
        self.x = self.b.binary(BinaryOp::Add, results[0], sum);
    }

    /// Gradients of all weights, and all passes.
    fn optimized(mut self, steps: &mut Steps) -> Graph {
        let graph = steps.step("autodiff", || {
            let loss = self.b.add1(Reduce { kind: ReduceKind::Sum, axes: vec![0, 1] }, &[self.x]);
            let mut results = vec![loss];
            results.extend(gradient(&mut self.graph, &mut self.b, loss, &self.wrt).into_iter().map(Result::unwrap));
            entry(self.graph, self.b, results)
        });
        let mut before = BYTES.load(Ordering::Relaxed);
        run_pipeline(&graph, PIPELINE, |name, _| {
            let now = BYTES.load(Ordering::Relaxed);
            steps.0.push((name.to_string(), now - before));
            before = BYTES.load(Ordering::Relaxed);
        })
    }
}

fn entry(mut graph: Graph, b: Builder, results: Vec<Value>) -> Graph {
    let count = results.len();
    let region = b.finish(results);
    let inputs = (0..region.params.len()).map(|n| Input::Arg(format!("a{n}"))).collect();
    let outputs = (0..count).map(|n| Output::Result(format!("r{n}"))).collect();
    let region = graph.add_region(region);
    graph.entries.push(Entry { name: "main".into(), region, inputs, outputs, checks: Vec::new(), typical: Vec::new() });
    graph
}

/// Ten thousand nodes, and their gradients.
#[test]
fn layers() {
    grows(250, |count, steps| {
        let mut model = Model::new();
        (0..count).for_each(|_| model.layer());
        let graph = model.optimized(steps);
        let region = graph.region(graph.entries[0].region);
        steps.step("fuse", || fuse(region, Fuse::ByClass));
    });
}

#[test]
fn layers_to_kernels() {
    grows(75, |count, steps| {
        let mut model = Model::new();
        (0..count).for_each(|_| model.layer());
        let graph = model.optimized(&mut Steps::default());
        steps.step("lower", || lower(&graph, &Machine::LANES_128));
    });
}

#[test]
fn checkpoints() {
    grows(250, |count, steps| {
        let mut model = Model::new();
        (0..count).for_each(|_| model.checkpoint());
        model.optimized(steps);
    });
}

#[test]
fn loops() {
    grows(50, |count, steps| {
        let mut model = Model::new();
        (0..count).for_each(|_| {
            model.recurrence();
            model.layer();
        });
        let graph = model.optimized(steps);
        steps.step("lower", || lower(&graph, &Machine::LANES_128));
    });
}

/// One long chain, one value read by all, and all values added.
#[test]
fn wide_and_deep() {
    grows(750, |count, steps| {
        let mut model = Model::new();
        let first = model.weight();
        let parts: Vec<Value> = (0..count)
            .map(|_| {
                let w = model.weight();
                let product = model.b.binary(BinaryOp::Mul, w, first);
                model.b.unary(UnaryOp::Tanh, product)
            })
            .collect();
        model.x = parts.into_iter().reduce(|sum, part| model.b.binary(BinaryOp::Add, sum, part)).unwrap();
        model.optimized(steps);
    });
}

/// Most live shortly. Where half of all live at once, as in a backward pass, each is looked at for each other.
#[test]
fn buffers() {
    let request = |number: usize, from: usize, span: usize| {
        let bytes = Dim::from(64 * (1 + number * 31 % 50) as i64);
        Request { name: format!("%{number}"), bytes, from, to: from + span }
    };
    grows(2500, |count, steps| {
        let short: Vec<Request> = (0..count).map(|at| request(at, at, at * 7 % 8)).collect();
        steps.step("short lives", || plan(&short, &[]));
    });
    grows_by(MOST_OF_PAIRS, 1000, |count, steps| {
        let long: Vec<Request> = (0..count).map(|at| request(at, at, 2 * (count - at))).collect();
        steps.step("nested lives", || plan(&long, &[]));
    });
}

/// Each value has two uses in one group: walks that see it twice would see the first 2^40 times.
#[test]
fn values_of_two_uses_are_seen_once() {
    let mut b = Builder::new("main");
    let mut x = b.param(f32s(&[4, 8]));
    for _ in 0..40 {
        let y = b.unary(UnaryOp::Tanh, x);
        x = b.binary(BinaryOp::Add, x, y);
    }
    let graph = entry(Graph::new(), b, vec![x]);
    assert_eq!(lower(&graph, &Machine::LANES_256).program.kernels.len(), 1);
}
