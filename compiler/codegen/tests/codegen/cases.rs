//! Every op's sample calls, and calls of all small sizes: machine code against the Lane interpreter,
//! bit for bit, NaN and infinities among the operands.

use crate::check::{Way, rounding, ways};
use crate::run::run_compiled;
use mlc_codegen::compile_jit;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::index::SortOrder;
use mlc_ir::ops::arg_sort::ArgSort;
use mlc_ir::ops::cum_sum::{CumSum, Start};
use mlc_ir::ops::recur::Recur;
use mlc_ir::ops::scatter_add::ScatterAdd;
use mlc_ir::ops::slice_at::SliceAt;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::ops::{Domain, Op};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::interp::Rounding;
use mlc_kernel::lower::lower;
use mlc_kernel::run::{Memory, Outcome, run};
use mlc_rt_core::abi::Status;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64) / (1u64 << 53) as f64
    }

    fn float(&mut self, domain: Domain) -> f64 {
        match (self.next() * 16.0) as i64 {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            2 => f64::INFINITY,
            3 => 0.0,
            4 => -0.0,
            _ => domain.low + (domain.high - domain.low) * self.next(),
        }
    }

    /// Elements of a type, as memory holds them.
    fn bytes(&mut self, ty: &Type, sizes: &[i64], domain: Domain) -> Vec<u8> {
        let count = ty.elements().unwrap().eval(sizes).unwrap();
        let integer = |rng: &mut Rng, bound: i64| (rng.next() * bound as f64) as i64;
        let element = |rng: &mut Rng| match ty.dtype {
            DType::F32 => (rng.float(domain) as f32).to_le_bytes().to_vec(),
            DType::F64 => rng.float(domain).to_le_bytes().to_vec(),
            DType::I32 => (integer(rng, domain.bound) as i32).to_le_bytes().to_vec(),
            DType::I64 => integer(rng, domain.bound).to_le_bytes().to_vec(),
            DType::U8 => vec![integer(rng, domain.bound) as u8],
            DType::I8 => vec![integer(rng, 256) as u8],
            DType::Bool => vec![integer(rng, 2) as u8],
        };
        (0..count).flat_map(|_| element(self)).collect()
    }
}

fn program(mut graph: Graph, builder: Builder, results: Vec<Value>) -> Graph {
    let count = results.len();
    let region = builder.finish(results);
    let inputs = (0..region.params.len()).map(|i| Input::Arg(format!("a{i}"))).collect();
    let outputs = (0..count).map(|i| Output::Result(format!("r{i}"))).collect();
    let region = graph.add_region(region);
    graph.entries.push(Entry { name: "main".into(), region, inputs, outputs, checks: Vec::new(), typical: Vec::new() });
    graph
}

fn agree(graph: &Graph, sizes: &[i64], domain: Domain, seed: u64, what: &str) {
    for way in ways().into_iter().filter(|way| rounding(way.level) == Rounding::Fused) {
        agree_by(way, graph, sizes, domain, seed, what);
    }
}

fn agree_by(way: Way, graph: &Graph, sizes: &[i64], domain: Domain, seed: u64, what: &str) {
    let lowered = lower(graph, &way.machine()).program;
    let region = graph.region(graph.entries[0].region);
    let mut rng = Rng(seed);
    let args: Vec<Vec<u8>> = region.params.iter().map(|param| rng.bytes(region.ty(*param), sizes, domain)).collect();
    let length = |value: &Value| {
        let ty = region.ty(*value);
        (ty.elements().unwrap().eval(sizes).unwrap() * ty.dtype.bytes()) as usize
    };
    let results = || region.results.iter().map(|value| vec![0x55; length(value)]).collect();
    let fresh = || Memory { args: args.clone(), results: results(), ..Memory::default() };
    let (mut expected, mut compiled) = (fresh(), fresh());
    assert_eq!(run(&lowered, 0, sizes, &mut expected), Outcome::Done, "{what}");
    assert_eq!(
        run_compiled(&compile_jit(&lowered, &way.options(1)).unwrap(), sizes, 2, &mut compiled),
        Status::Ok as i32,
        "{what}"
    );
    for (number, value) in region.results.iter().enumerate() {
        let same = match region.ty(*value).dtype {
            DType::F32 => same_floats::<4>(&expected.results[number], &compiled.results[number], &|word| {
                f32::from_le_bytes(word).is_nan()
            }),
            DType::F64 => same_floats::<8>(&expected.results[number], &compiled.results[number], &|word| {
                f64::from_le_bytes(word).is_nan()
            }),
            DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool => {
                expected.results[number] == compiled.results[number]
            }
        };
        assert!(same, "result {number} of {what} at {sizes:?} by {way:?}");
    }
}

/// Equal bits, payloads of NaN apart.
fn same_floats<const N: usize>(a: &[u8], b: &[u8], is_nan: &dyn Fn([u8; N]) -> bool) -> bool {
    let words = |bytes: &[u8]| bytes.chunks(N).map(|word| <[u8; N]>::try_from(word).unwrap()).collect::<Vec<_>>();
    words(a).into_iter().zip(words(b)).all(|(a, b)| a == b || is_nan(a) && is_nan(b))
}

#[test]
fn sample_calls() {
    for (number, case) in Op::cases().into_iter().enumerate() {
        let mut builder = Builder::new("case");
        let params: Vec<Value> = case.args.iter().map(|ty| builder.param(ty.clone())).collect();
        let results = builder.add(case.op.clone(), &params).to_vec();
        let graph = program(Graph::new(), builder, results);
        agree(&graph, &[], case.domain, number as u64, &format!("{:?} of {:?}", case.op, case.args));
    }
}

const DOMAIN: Domain = Domain { low: -2.0, high: 2.0, bound: 4 };

/// Graphs over `[B, 3, B]` and `[3, B]`, at each small size.
fn at_all_sizes(what: &str, build: impl Fn(&mut Builder, &Dim) -> Vec<Value>) {
    let mut graph = Graph::new();
    let size = Dim::from(graph.symbol("B"));
    let mut builder = Builder::new("sizes");
    let results = build(&mut builder, &size);
    let graph = program(graph, builder, results);
    for size in (1..=17).chain([63, 64, 65, 200]) {
        agree(&graph, &[size], DOMAIN, size as u64, what);
    }
}

#[test]
fn rows_in_order() {
    for order in [SortOrder::Ascending, SortOrder::Descending] {
        for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::I8] {
            at_all_sizes("a sort", move |b, size| {
                let x = b.param(Type::new(dtype, vec![Dim::from(3), size.clone()]));
                b.add(ArgSort { order }, &[x]).to_vec()
            });
        }
    }
}

#[test]
fn running_values() {
    for from in [Start::Front, Start::Back] {
        for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::I8] {
            at_all_sizes("a running value", move |b, size| {
                let ty = Type::new(dtype, vec![Dim::from(2), size.clone(), Dim::from(3)]);
                let (x, y) = (b.param(ty.clone()), b.param(ty));
                let sum = b.binary(mlc_ir::scalar::BinaryOp::Add, x, y);
                [
                    b.add(Recur { axis: 1, from }, &[x, sum]).to_vec(),
                    b.add(CumSum { axis: 1, from }, &[sum]).to_vec(),
                    b.add(CumSum { axis: 2, from }, &[sum]).to_vec(),
                ]
                .concat()
            });
        }
    }
}

#[test]
fn scattered_sums() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::U8, DType::I8] {
        for ids in [DType::I32, DType::I64] {
            at_all_sizes("a scatter", move |b, size| {
                let wide = b.param(Type::new(dtype, vec![Dim::from(5), size.clone()]));
                let rows = b.param(Type::new(dtype, vec![Dim::from(2), size.clone(), Dim::from(3)]));
                let (five, many) =
                    (b.param(Type::new(ids, vec![5.into()])), b.param(Type::new(ids, vec![size.clone()])));
                let batched = b.param(Type::new(ids, vec![Dim::from(5), size.clone()]));
                let doubled = b.binary(mlc_ir::scalar::BinaryOp::Add, wide, wide);
                vec![
                    b.add1(ScatterAdd { axis: 0, batch: 0, size: size.clone() }, &[doubled, five]),
                    b.add1(ScatterAdd { axis: 1, batch: 0, size: 4.into() }, &[rows, many]),
                    b.add1(ScatterAdd { axis: 1, batch: 1, size: 6.into() }, &[wide, batched]),
                ]
            });
        }
    }
}

#[test]
fn windows_at_run_time_places() {
    for dtype in [DType::F32, DType::I64, DType::U8, DType::I8] {
        for start in [DType::I32, DType::I64] {
            at_all_sizes("a window", move |b, size| {
                let x = b.param(Type::new(dtype, vec![size.clone(), size.add(&Dim::from(3)).unwrap()]));
                let v = b.param(Type::new(dtype, vec![Dim::from(1), size.clone()]));
                let starts = [b.param(Type::scalar(start)), b.param(Type::scalar(start))];
                let updated = b.add1(UpdateSlice, &[x, v, starts[0], starts[1]]);
                let sizes = vec![Dim::from(1), size.clone()];
                vec![updated, b.add1(SliceAt { sizes }, &[x, starts[1], starts[0]])]
            });
        }
    }
}
