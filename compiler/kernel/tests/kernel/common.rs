//! Running graphs both ways: the reference interpreter and lowered kernels on the Lane interpreter.

use mlc_ir::builder::Builder;
use mlc_ir::dim::Sym;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::tensor::{Data, Tensor};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::{Choices, LoweredProgram, lower_with};
use mlc_kernel::run::{Memory, Outcome, Tiles, run_tiles};
use mlc_kernel::schedule::Machine;

/// A tensor as memory holds it.
pub fn bytes(tensor: &Tensor) -> Vec<u8> {
    match (&tensor.data, tensor.dtype) {
        (Data::Float(v), DType::F32) => v.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        (Data::Float(v), _) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Int(v), DType::I32) => v.iter().flat_map(|x| (*x as i32).to_le_bytes()).collect(),
        (Data::Int(v), DType::I64) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Int(v), _) => v.iter().map(|x| *x as u8).collect(),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks(N).map(|chunk| chunk.try_into().unwrap())
}

/// A tensor from memory.
pub fn tensor(bytes: &[u8], dtype: DType, shape: &[usize]) -> Tensor {
    match dtype {
        DType::F32 => Tensor::floats_of(dtype, shape, words(bytes).map(|b| f64::from(f32::from_le_bytes(b)))),
        DType::F64 => Tensor::floats_of(dtype, shape, words(bytes).map(f64::from_le_bytes)),
        DType::I32 => Tensor::ints_of(dtype, shape, words(bytes).map(|b| i64::from(i32::from_le_bytes(b)))),
        DType::I64 => Tensor::ints_of(dtype, shape, words(bytes).map(i64::from_le_bytes)),
        DType::U8 => Tensor::from_u8(shape, bytes),
        DType::I8 => Tensor::ints_of(dtype, shape, bytes.iter().map(|byte| i64::from(*byte as i8))),
        DType::Bool => {
            assert!(bytes.iter().all(|b| *b < 2), "a bool is 0 or 1");
            Tensor::from_u8(shape, bytes).cast(DType::Bool)
        }
    }
}

/// A graph of one entry whose parameters are arguments and whose results are returned.
pub fn entry(mut graph: Graph, builder: Builder, results: Vec<Value>, typical: &[(Sym, i64)]) -> Graph {
    let count = results.len();
    let region = builder.finish(results);
    let inputs = (0..region.params.len()).map(|i| Input::Arg(format!("a{i}"))).collect();
    let outputs = (0..count).map(|i| Output::Result(format!("r{i}"))).collect();
    let region = graph.add_region(region);
    let typical = typical.to_vec();
    graph.entries.push(Entry { name: "main".into(), region, inputs, outputs, checks: Vec::new(), typical });
    mlc_ir::verify::expect(&graph, "test");
    graph
}

/// The program of a graph, with every kernel verified.
pub fn lowered(graph: &Graph) -> LoweredProgram {
    lowered_with(graph, Choices::default())
}

/// [`lowered`] with other choices.
pub fn lowered_with(graph: &Graph, choices: Choices<'_>) -> LoweredProgram {
    // A third of all graphs for each width of vectors.
    let nodes: usize = graph.regions.iter().map(|region| region.nodes.len()).sum();
    let machine = [Machine::LANES_128, Machine::LANES_256, Machine::LANES_512][nodes % 3];
    let lowered = lower_with(graph, &machine, choices);
    for kernel in &lowered.program.kernels {
        if let Err(error) = mlc_kernel::lane_verify::verify(kernel, (machine.vector_bits / 8) as u32) {
            panic!("{error:?}\n{}", mlc_kernel::lane_print::text(kernel));
        }
    }
    lowered
}

/// Runs entry 0 on the Lane interpreter.
pub fn run_lane(graph: &Graph, lowered: &LoweredProgram, sizes: &[i64], args: &[Tensor]) -> Vec<Tensor> {
    run_lane_tiles(graph, lowered, sizes, args, Tiles::Together)
}

/// [`run_lane`], with tiles in a given order.
pub fn run_lane_tiles(
    graph: &Graph,
    lowered: &LoweredProgram,
    sizes: &[i64],
    args: &[Tensor],
    tiles: Tiles,
) -> Vec<Tensor> {
    let region = graph.region(graph.entries[0].region);
    let types: Vec<Type> = region.results.iter().map(|v| concrete(region.ty(*v), sizes)).collect();
    let length = |ty: &Type| ty.elements().unwrap().as_const().unwrap() * ty.dtype.bytes();
    let mut memory = Memory {
        args: args.iter().map(bytes).collect(),
        results: types.iter().map(|ty| vec![0; length(ty) as usize]).collect(),
        ..Memory::default()
    };
    assert_eq!(run_tiles(&lowered.program, 0, sizes, &mut memory, tiles), Outcome::Done);
    let results = memory.results.iter().zip(&types);
    results.map(|(bytes, ty)| tensor(bytes, ty.dtype, &mlc_ir::tensor::extents(ty))).collect()
}

/// Runs entry 0 by the reference interpreter.
pub fn run_reference(graph: &Graph, sizes: &[i64], args: &[Tensor]) -> Vec<Tensor> {
    mlc_ir::interp::run(graph, graph.entries[0].region, args, sizes)
}

/// A type with numbers for sizes.
pub fn concrete(ty: &Type, sizes: &[i64]) -> Type {
    Type::new(ty.dtype, ty.shape.iter().map(|dim| dim.eval(sizes).unwrap().into()).collect::<Vec<_>>())
}

/// Deterministic numbers.
pub struct Rng(pub u64);

impl Rng {
    /// In 0..1.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64) / (1u64 << 53) as f64
    }

    /// In 0..end.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() * end as f64) as usize
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A tensor of floats in `low..high`, of integers in `0..bound`, or of any i8.
    pub fn tensor(&mut self, ty: &Type, low: f64, high: f64, bound: i64) -> Tensor {
        let shape = mlc_ir::tensor::extents(ty);
        let count: usize = shape.iter().product();
        if ty.dtype.is_float() {
            Tensor::floats_of(ty.dtype, &shape, (0..count).map(|_| low + (high - low) * self.next()))
        } else {
            let (least, bound) = if ty.dtype == DType::I8 { (-128, 256) } else { (0, bound) };
            Tensor::ints_of(ty.dtype, &shape, (0..count).map(|_| least + (self.next() * bound as f64) as i64))
        }
    }
}

/// Integers are equal; floats differ by at most `relative` of the largest number around, NaN where NaN is.
pub fn assert_close(actual: &Tensor, expected: &Tensor, relative: f64, what: &str) {
    assert_within(actual, expected, relative, 1e-30, what);
}

/// [`assert_close`], where numbers below `scale` may come from larger ones.
pub fn assert_within(actual: &Tensor, expected: &Tensor, relative: f64, scale: f64, what: &str) {
    assert_eq!((actual.dtype, &actual.shape), (expected.dtype, &expected.shape), "{what}");
    let (Data::Float(a), Data::Float(b)) = (&actual.data, &expected.data) else {
        assert_eq!(actual, expected, "{what}");
        return;
    };
    let scale = b.iter().filter(|x| x.is_finite()).fold(scale, |m, x| m.max(x.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        let same = x == y || (x.is_nan() && y.is_nan());
        assert!(same || (x - y).abs() <= relative * scale, "{what}: element {i}: {x} against {y}");
    }
}

/// Bits are equal, payloads of NaN apart.
pub fn assert_same_bits(actual: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!((actual.dtype, &actual.shape), (expected.dtype, &expected.shape), "{what}");
    let (Data::Float(a), Data::Float(b)) = (&actual.data, &expected.data) else {
        assert_eq!(actual, expected, "{what}");
        return;
    };
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!(x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()), "{what}: element {i}: {x:e} against {y:e}");
    }
}

/// Runs every case, and reports all that fail together.
pub fn each_case<T>(cases: impl IntoIterator<Item = (String, T)>, check: impl Fn(T)) {
    let mut failures = Vec::new();
    for (what, case) in cases {
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case))) {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failures.push(format!("{what}\n    {}", text.chars().take(400).collect::<String>()));
        }
    }
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures\n{shown}", failures.len());
}
