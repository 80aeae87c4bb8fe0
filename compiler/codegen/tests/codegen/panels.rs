//! Operands in panels and chunks: the same bits as operands where they are.

use crate::check::ways;
use crate::run::run_compiled;
use mlc_codegen::compile_jit;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Graph, Input, Output};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::lower::{Choices, lower_with};
use mlc_kernel::panels::Packing;
use mlc_kernel::run::Memory;
use mlc_rt_core::abi::Status;

/// Terms of a row: a page of them, so that rows are a page apart.
const TERMS: i64 = 1024;
const COLUMNS: i64 = 320;

/// How the right operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Right {
    /// `[TERMS, columns]`
    Plain,
    /// `[columns, TERMS]`
    Transposed,
}

/// `[B, TERMS] x [TERMS, columns]`, compiled for 64 rows.
fn product(columns: i64, right: Right) -> Graph {
    let mut graph = Graph::new();
    let rows = graph.symbol("B");
    let mut b = Builder::new("product");
    let left = b.param(Type::new(DType::F32, vec![Dim::from(rows), TERMS.into()]));
    let (shape, axes) = match right {
        Right::Plain => (vec![TERMS.into(), columns.into()], vec![1, 2]),
        Right::Transposed => (vec![columns.into(), TERMS.into()], vec![2, 1]),
    };
    let right = b.param(Type::new(DType::F32, shape));
    let op = Contract { left: vec![0, 1], right: axes, out: vec![0, 2] };
    let result = b.add1(op, &[left, right]);
    let region = graph.add_region(b.finish(vec![result]));
    let inputs = ["a", "b"].map(|name| Input::Arg(name.to_string())).to_vec();
    let outputs = vec![Output::Result("out".to_string())];
    let (name, typical) = ("product".to_string(), vec![(rows, 64)]);
    graph.entries.push(Entry { name, region, inputs, outputs, checks: Vec::new(), typical });
    graph
}

fn numbers(count: i64) -> Vec<u8> {
    (0..count).flat_map(|i| ((i * 7919 % 2003) as f32 / 1001.0 - 1.0).to_le_bytes()).collect()
}

/// Compiles a product with its operands in panels and where they are, which takes as many kernels, and
/// compares results.
fn compare(columns: i64, right: Right, kernels: [usize; 2]) {
    let graph = product(columns, right);
    for way in ways() {
        let in_panels = lower_with(&graph, &way.machine(), Choices::default());
        let in_place =
            lower_with(&graph, &way.machine(), Choices { packing: &|_| Packing::NONE, ..Choices::default() });
        let made = [&in_panels, &in_place].map(|lowered| lowered.kernels.len());
        assert_eq!(made, kernels, "{columns} columns, {right:?}, by {way:?}");
        let programs = [&in_panels, &in_place].map(|it| compile_jit(&it.program, &way.options(1)).unwrap());
        for rows in [1, 7, 12, 64, 101] {
            let bits = programs.each_ref().map(|program| {
                let args = vec![numbers(rows * TERMS), numbers(TERMS * columns)];
                let results = vec![vec![0; (rows * columns * 4) as usize]];
                let mut memory = Memory { args, results, ..Memory::default() };
                assert_eq!(run_compiled(program, &[rows], 2, &mut memory), Status::Ok as i32);
                memory.results
            });
            assert!(bits[0] == bits[1], "{rows} rows of {columns}, {right:?}, by {way:?}");
        }
    }
}

#[test]
fn panels_change_no_bit() {
    // A copy of each operand and the product, or the product alone.
    compare(COLUMNS, Right::Plain, [3, 1]);
    // A transposed operand goes into panels at once; else it is transposed.
    compare(COLUMNS, Right::Transposed, [3, 2]);
}

#[test]
fn what_fills_no_panel_is_a_kernel_of_its_own() {
    // 13 columns are left at 128 bits and at 512, and 21 less 8 at 256 bits.
    compare(COLUMNS + 13, Right::Plain, [4, 1]);
    compare(COLUMNS + 13, Right::Transposed, [5, 2]);
    // One column is not enough for one.
    compare(COLUMNS + 1, Right::Plain, [4, 1]);
}
