//! Copies of weights that are kept from call to call: the bits of copies made in each call, until a weight
//! changes.

use crate::check::ways;
use crate::run::{Kept, run_compiled, run_keeping};
use mlc_codegen::compile_jit;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Global, GlobalId, GlobalKind, Graph, Input, Output, SpanId};
use mlc_ir::ops::contract::Contract;
use mlc_ir::region_ops::{Loop, Trip};
use mlc_ir::scalar::UnaryOp;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::{Choices, lower_with};
use mlc_kernel::run::{Memory, Outcome, run};
use mlc_rt_core::abi::Status;

const WIDTH: i64 = 192;
const LAYERS: i64 = 3;

/// A stack of layers `tanh(x · w[layer])` and a last one, `· v` with `v` transposed. If `trained`, the last
/// weight is written as well: as it was.
fn layers(trained: bool) -> Graph {
    let mut graph = Graph::new();
    let symbol = graph.symbol("B");
    let rows = Dim::from(symbol);
    let float = |shape: &[Dim]| Type::new(DType::F32, shape.to_vec());
    let (wide, layer) = (float(&[rows.clone(), WIDTH.into()]), float(&[WIDTH.into(), WIDTH.into()]));
    let product = |out: u32| Contract {
        left: vec![0, 1],
        right: if out == 2 { vec![1, 2] } else { vec![2, 1] },
        out: vec![0, 2],
    };
    let mut body = Builder::new("layer");
    body.param(Type::new(DType::I64, Vec::new()));
    let (x, w) = (body.param(wide.clone()), body.param(layer.clone()));
    let y = body.add1(product(2), &[x, w]);
    let y = body.unary(UnaryOp::Tanh, y);
    let body = graph.add_region(body.finish(vec![y]));
    let mut b = Builder::new("layers");
    let stacked = float(&[LAYERS.into(), WIDTH.into(), WIDTH.into()]);
    let (x, w, v) = (b.param(wide), b.param(stacked.clone()), b.param(layer.clone()));
    let trip = Trip::Exact(LAYERS.into());
    let op = Loop { carries: 1, slices: 1, ..Loop::new(trip) };
    let y = b.add_loop(&graph, op, &[x, w], body)[0];
    let y = b.add1(product(3), &[y, v]);
    let mut outputs = vec![Output::Result("out".to_string())];
    let mut results = vec![y];
    if trained {
        outputs.push(Output::Global(GlobalId(1)));
        results.push(b.unary(UnaryOp::Neg, v));
    }
    let region = graph.add_region(b.finish(results));
    for (path, ty) in [("w", stacked), ("v", layer)] {
        graph.globals.push(Global { path: path.into(), kind: GlobalKind::Param, ty, span: SpanId(0) });
    }
    let inputs = vec![Input::Arg("x".to_string()), Input::Global(GlobalId(0)), Input::Global(GlobalId(1))];
    let typical = vec![(symbol, 64)];
    graph.entries.push(Entry { name: "layers".to_string(), region, inputs, outputs, checks: Vec::new(), typical });
    graph
}

fn numbers(count: i64, first: i64) -> Vec<u8> {
    (0..count).flat_map(|i| (((i + first) * 7919 % 2003) as f32 / 9001.0 - 0.1).to_le_bytes()).collect()
}

fn memory(rows: i64, first: i64) -> Memory {
    let globals = vec![numbers(LAYERS * WIDTH * WIDTH, first), numbers(WIDTH * WIDTH, first + 5)];
    let results = vec![vec![0; (rows * WIDTH * 4) as usize]];
    Memory { args: vec![numbers(rows * WIDTH, 3)], results, globals, ..Memory::default() }
}

#[test]
fn calls_use_what_the_first_has_made() {
    let graph = layers(false);
    for way in ways() {
        let keeping = lower_with(&graph, &way.machine(), Choices::default());
        let plain = lower_with(&graph, &way.machine(), Choices { keep: false, ..Choices::default() });
        let kept = &keeping.program.entries[0].kept;
        assert_eq!((kept.steps.len(), kept.bytes, &kept.of[..]), (2, 4 * (LAYERS + 1) * WIDTH * WIDTH, &[0, 1][..]));
        assert_eq!(plain.program.entries[0].kept.bytes, 0);
        let [jit, other] = [&keeping, &plain].map(|it| compile_jit(&it.program, &way.options(1)).unwrap());
        for rows in [1, 13, 64] {
            let expected = |first: i64| {
                let mut each = memory(rows, first);
                assert_eq!(run_compiled(&other, &[rows], 2, &mut each), Status::Ok as i32);
                each.results
            };
            let mut kept = Kept::new(&jit);
            let mut call = |first: i64, fresh: bool| {
                let mut each = memory(rows, first);
                kept.fresh = fresh;
                assert_eq!(run_keeping(&jit, &[rows], 2, &mut each, &mut kept), Status::Ok as i32);
                each.results
            };
            assert!(call(1, true) == expected(1), "{rows} rows by {way:?}");
            assert!(call(2, false) == expected(1), "weights are not read again by {way:?}");
            assert!(call(2, true) == expected(2), "{rows} rows by {way:?}");
            let mut each = memory(rows, 2);
            assert_eq!(run(&keeping.program, 0, &[rows], &mut each), Outcome::Done);
            if way.level != mlc_codegen::Level::V2 {
                assert!(each.results == expected(2), "the interpreter, {rows} rows");
            }
        }
    }
}

#[test]
fn what_an_entry_writes_is_not_kept() {
    for way in ways() {
        let lowered = lower_with(&layers(true), &way.machine(), Choices::default());
        assert_eq!(lowered.program.entries[0].kept.of, [0]);
    }
}

/// `x · w` for so many rows of a batch, with a weight that the entry reads alone.
fn product(typical: i64) -> Graph {
    let mut graph = Graph::new();
    let symbol = graph.symbol("B");
    let float = |shape: &[Dim]| Type::new(DType::F32, shape.to_vec());
    let weight = float(&[WIDTH.into(), WIDTH.into()]);
    let mut b = Builder::new("product");
    let (x, w) = (b.param(float(&[symbol.into(), WIDTH.into()])), b.param(weight.clone()));
    let y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
    let region = graph.add_region(b.finish(vec![y]));
    graph.globals.push(Global { path: "w".into(), kind: GlobalKind::Param, ty: weight, span: SpanId(0) });
    let inputs = vec![Input::Arg("x".to_string()), Input::Global(GlobalId(0))];
    let (outputs, typical) = (vec![Output::Result("out".to_string())], vec![(symbol, typical)]);
    graph.entries.push(Entry { name: "product".to_string(), region, inputs, outputs, checks: Vec::new(), typical });
    graph
}

/// A copy that is made once pays for fewer rows than one that each call makes.
#[test]
fn few_rows_read_panels_that_are_kept() {
    for way in ways() {
        let lower =
            |rows: i64, keep: bool| lower_with(&product(rows), &way.machine(), Choices { keep, ..Choices::default() });
        assert_eq!([8, 32].map(|rows| lower(rows, true).kernels.len()), [1, 2]);
        assert_eq!(lower(32, false).kernels.len(), 1);
        let [kept, plain] = [true, false].map(|keep| compile_jit(&lower(32, keep).program, &way.options(1)).unwrap());
        for rows in [1, 5, 32, 33] {
            let memory = || {
                let (args, globals) = (vec![numbers(rows * WIDTH, 3)], vec![numbers(WIDTH * WIDTH, 1)]);
                Memory { args, globals, results: vec![vec![0; (rows * WIDTH * 4) as usize]], ..Memory::default() }
            };
            let (mut found, mut expected) = (memory(), memory());
            assert_eq!(run_keeping(&kept, &[rows], 2, &mut found, &mut Kept::new(&kept)), Status::Ok as i32);
            assert_eq!(run_compiled(&plain, &[rows], 2, &mut expected), Status::Ok as i32);
            assert!(found.results == expected.results, "{rows} rows by {way:?}");
        }
    }
}
