//! Running graphs both ways: the reference interpreter and lowered kernels on the Lane interpreter.

use mlc_ir::builder::Builder;
use mlc_ir::graph::{Entry, Graph, Input, Output};
use mlc_ir::tensor::{Data, Tensor, extents};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::{LoweredProgram, lower};
use mlc_kernel::run::{Memory, Outcome, run};
use mlc_kernel::schedule::Machine;

pub fn bytes(tensor: &Tensor) -> Vec<u8> {
    match (&tensor.data, tensor.dtype) {
        (Data::Float(v), DType::F32) => v.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        (Data::Float(v), _) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Int(v), DType::I32) => v.iter().flat_map(|x| (*x as i32).to_le_bytes()).collect(),
        (Data::Int(v), DType::I64) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Int(v), _) => v.iter().map(|x| *x as u8).collect(),
    }
}

pub fn tensor(bytes: &[u8], dtype: DType, shape: &[usize]) -> Tensor {
    match dtype {
        DType::F32 => Tensor::from_f32(
            shape,
            &bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>(),
        ),
        DType::F64 => Tensor::from_f64(
            shape,
            &bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>(),
        ),
        DType::I32 => Tensor::from_i32(
            shape,
            &bytes.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>(),
        ),
        DType::I64 => Tensor::from_i64(
            shape,
            &bytes.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>(),
        ),
        DType::U8 => Tensor::from_u8(shape, bytes),
        DType::Bool => Tensor::from_bool(shape, &bytes.iter().map(|b| *b != 0).collect::<Vec<_>>()),
    }
}

/// A graph of one entry whose parameters are arguments and whose results are returned.
pub fn entry(
    mut graph: Graph,
    builder: Builder,
    results: Vec<mlc_ir::graph::Value>,
    typical: &[(mlc_ir::dim::Sym, i64)],
) -> Graph {
    let count = results.len();
    let region = builder.finish(results);
    let inputs = (0..region.params.len()).map(|i| Input::Arg(format!("a{i}"))).collect();
    let outputs = (0..count).map(|i| Output::Result(format!("r{i}"))).collect();
    let region = graph.add_region(region);
    graph.entries.push(Entry {
        name: "main".into(),
        region,
        inputs,
        outputs,
        checks: Vec::new(),
        typical: typical.to_vec(),
    });
    mlc_ir::verify::expect(&graph, "test");
    graph
}

pub fn lowered(graph: &Graph) -> LoweredProgram {
    let lowered = lower(graph, &Machine::LANES_128);
    for kernel in &lowered.program.kernels {
        if let Err(error) = mlc_kernel::lane_verify::verify(kernel, 16) {
            panic!("{error:?}\n{}", mlc_kernel::lane_print::text(kernel));
        }
    }
    lowered
}

/// Runs entry 0 on the Lane interpreter.
pub fn run_lane(graph: &Graph, lowered: &LoweredProgram, sizes: &[i64], args: &[Tensor]) -> Vec<Tensor> {
    let region = graph.region(graph.entries[0].region);
    let types: Vec<Type> = region.results.iter().map(|v| region.ty(*v).clone()).collect();
    let concrete: Vec<(DType, Vec<usize>)> =
        types.iter().map(|ty| (ty.dtype, ty.shape.iter().map(|d| d.eval(sizes).unwrap() as usize).collect())).collect();
    let mut memory = Memory {
        args: args.iter().map(bytes).collect(),
        results: concrete.iter().map(|(d, s)| vec![0; s.iter().product::<usize>() * d.bytes() as usize]).collect(),
        ..Memory::default()
    };
    assert_eq!(run(&lowered.program, 0, sizes, &mut memory), Outcome::Done);
    memory.results.iter().zip(&concrete).map(|(b, (d, s))| tensor(b, *d, s)).collect()
}

/// A deterministic number in 0..1.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 11) as f64) / (1u64 << 53) as f64
    }
}

pub fn random(ty: &Type, low: f64, high: f64, bound: i64, rng: &mut Rng) -> Tensor {
    let shape = extents(ty);
    let count: usize = shape.iter().product();
    if ty.dtype.is_float() {
        Tensor::floats_of(ty.dtype, &shape, (0..count).map(|_| low + (high - low) * rng.next()).collect::<Vec<_>>())
    } else {
        Tensor::ints_of(ty.dtype, &shape, (0..count).map(|_| (rng.next() * bound as f64) as i64).collect::<Vec<_>>())
    }
}

pub fn assert_close(actual: &Tensor, expected: &Tensor, relative: f64, what: &str) {
    assert_eq!(actual.shape, expected.shape, "{what}");
    match (&actual.data, &expected.data) {
        (Data::Float(a), Data::Float(b)) => {
            let scale = b.iter().filter(|x| x.is_finite()).fold(1e-30f64, |m, x| m.max(x.abs()));
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                let same = x == y || (x.is_nan() && y.is_nan());
                assert!(same || (x - y).abs() <= relative * scale.max(y.abs()), "{what}: element {i}: {x} against {y}");
            }
        }
        (a, b) => assert_eq!(a, b, "{what}"),
    }
}
