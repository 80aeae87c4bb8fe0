//! Attention that is run unit by unit, with what only its kernels use in each thread's own memory: the same bits
//! however compiled and with any number of threads, and what the formula gives.

use crate::check::ways;
use crate::run::run_compiled;
use mlc_codegen::{Level, compile_jit};
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::{Choices, lower_with};
use mlc_kernel::program::{PARALLEL_WORK, Step};
use mlc_kernel::run::Memory;
use mlc_rt_core::abi::Status;
use std::collections::BTreeMap;

const HEADS: i64 = 4;
const WIDTH: i64 = 64;

/// `softmax(q · kᵀ) · v` of `[B, HEADS, rows, WIDTH]`.
fn attention(rows: i64) -> Graph {
    let mut graph = Graph::new();
    let batch = graph.symbol("B");
    let mut b = Builder::new("attention");
    let shape: Vec<Dim> = vec![Dim::from(batch), HEADS.into(), rows.into(), WIDTH.into()];
    let [q, k, v] = [(); 3].map(|()| b.param(Type::new(DType::F32, shape.clone())));
    let fit = Contract { left: vec![0, 1, 2, 4], right: vec![0, 1, 3, 4], out: vec![0, 1, 2, 3] };
    let fit = b.add1(fit, &[q, k]);
    let most = over_rows(&mut b, fit, ReduceKind::Max);
    let less = b.binary(BinaryOp::Sub, fit, most);
    let power = b.unary(UnaryOp::Exp, less);
    let sum = over_rows(&mut b, power, ReduceKind::Sum);
    let weights = b.binary(BinaryOp::Div, power, sum);
    let seen = Contract { left: vec![0, 1, 2, 3], right: vec![0, 1, 3, 4], out: vec![0, 1, 2, 4] };
    let seen = b.add1(seen, &[weights, v]);
    let region = graph.add_region(b.finish(vec![seen]));
    let inputs = ["q", "k", "v"].map(|name| Input::Arg(name.to_string())).to_vec();
    let outputs = vec![Output::Result("out".to_string())];
    let (name, typical) = ("attention".to_string(), vec![(batch, 8)]);
    graph.entries.push(Entry { name, region, inputs, outputs, checks: Vec::new(), typical });
    graph
}

fn over_rows(b: &mut Builder, x: Value, kind: ReduceKind) -> Value {
    let shape = b.ty(x).shape.clone();
    let one = b.add1(Reduce { kind, axes: vec![3] }, &[x]);
    b.add1(Broadcast { shape, axes: vec![0, 1, 2] }, &[one])
}

fn numbers(count: i64, seed: i64) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 4006.0 - 0.25).collect()
}

/// A row of the result, in f64.
fn row(q: &[f32], k: &[f32], v: &[f32], (head, row, rows): (usize, usize, usize)) -> Vec<f64> {
    let width = WIDTH as usize;
    let of = |x: &[f32], at: usize, column: usize| f64::from(x[(head * rows + at) * width + column]);
    let fit: Vec<f64> = (0..rows).map(|at| (0..width).map(|c| of(q, row, c) * of(k, at, c)).sum()).collect();
    let most = fit.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = fit.iter().map(|x| (x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    (0..width).map(|c| (0..rows).map(|at| powers[at] / sum * of(v, at, c)).sum()).collect()
}

/// Heads are units, or some rows of them: with `rows` so many units for one example.
fn check(rows: i64, units: i64) {
    let (graph, batch) = (attention(rows), 2);
    let count = batch * HEADS * rows * WIDTH;
    let args: Vec<Vec<f32>> = (0..3).map(|seed| numbers(count, seed)).collect();
    let bytes = |x: &Vec<f32>| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    // With and without multiply-adds.
    let mut first: BTreeMap<bool, Vec<u8>> = BTreeMap::new();
    for way in ways() {
        let mut program = lower_with(&graph, &way.machine(), Choices::default()).program;
        let steps = &mut program.entries[0].steps;
        let Some(Step::Chain(chain)) = steps.last_mut() else { panic!("no chain with {way:?}") };
        chain.work = PARALLEL_WORK.into();
        assert_eq!(chain.units.eval(&[1]).unwrap(), units, "{way:?}");
        assert!(chain.near > 0 && chain.runs.len() >= 6, "{way:?}");
        let jit = compile_jit(&program, &way.options(1)).unwrap();
        for threads in [1, 2, 3, 7] {
            let results = vec![vec![0; count as usize * 4]];
            let mut memory = Memory { args: args.iter().map(bytes).collect(), results, ..Memory::default() };
            assert_eq!(run_compiled(&jit, &[batch], threads, &mut memory), Status::Ok as i32);
            let found = memory.results.remove(0);
            let first = first.entry(way.level == Level::V2).or_insert_with(|| found.clone());
            assert!(*first == found, "{way:?}, {threads} threads");
        }
    }
    for found in first.values() {
        let found: Vec<f32> = found.chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
        for (head, at) in [(0, 0), (3, rows as usize - 1), (5, 17), (7, rows as usize / 2)] {
            let expected = row(&args[0], &args[1], &args[2], (head, at, rows as usize));
            let start = (head * rows as usize + at) * WIDTH as usize;
            for (found, expected) in found[start..].iter().zip(&expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6,
                    "row {at} of head {head}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn short_attention_is_run_head_by_head() {
    check(96, HEADS);
}

#[test]
fn long_attention_is_run_some_rows_at_a_time() {
    check(512, HEADS * 512 / 64);
}
