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
use mlc_kernel::run::Memory;
use mlc_rt_core::abi::Status;

/// Terms of a row: a page of them, so that rows are a page apart.
const TERMS: i64 = 1024;
const COLUMNS: i64 = 320;

/// `[B, TERMS] x [TERMS, COLUMNS]`, compiled for 64 rows.
fn product() -> Graph {
    let mut graph = Graph::new();
    let rows = graph.symbol("B");
    let mut b = Builder::new("product");
    let left = b.param(Type::new(DType::F32, vec![Dim::from(rows), TERMS.into()]));
    let right = b.param(Type::new(DType::F32, vec![TERMS.into(), COLUMNS.into()]));
    let op = Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] };
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

#[test]
fn panels_change_no_bit() {
    let graph = product();
    for way in ways() {
        let in_panels = lower_with(&graph, &way.machine(), Choices::default());
        let in_place = lower_with(&graph, &way.machine(), Choices { panels: false, ..Choices::default() });
        let kernels = [&in_panels, &in_place].map(|lowered| lowered.kernels.len());
        assert_eq!(kernels, [3, 1], "a copy of each operand and the product, or the product alone");
        let programs = [&in_panels, &in_place].map(|it| compile_jit(&it.program, &way.options(1)).unwrap());
        for rows in [1, 7, 12, 64, 101] {
            let bits = programs.each_ref().map(|program| {
                let args = vec![numbers(rows * TERMS), numbers(TERMS * COLUMNS)];
                let results = vec![vec![0; (rows * COLUMNS * 4) as usize]];
                let mut memory = Memory { args, results, ..Memory::default() };
                assert_eq!(run_compiled(program, &[rows], 2, &mut memory), Status::Ok as i32);
                memory.results
            });
            assert!(bits[0] == bits[1], "{rows} rows by {way:?}");
        }
    }
}
