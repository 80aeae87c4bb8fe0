//! Loops as machine code against the Lane interpreter, bit for bit, with any number of threads; how
//! long compiling takes does not depend on how often they run.

use crate::run::run_compiled;
use crate::{random_cells, random_loops};
use mlc_codegen::{Emitter, Level, Options, Target, Version, compile_jit, compile_object};
use mlc_ir::graph::Graph;
use mlc_ir::tensor::{Data, Tensor};
use mlc_ir::ty::DType;
use mlc_kernel::lower::lower;
use mlc_kernel::program::{PARALLEL_WORK, Program, Step};
use mlc_kernel::run::{Memory, Outcome, run};
use mlc_kernel::schedule::Machine;
use mlc_rt_core::abi::Status;
use object::{Object, ObjectSymbol};

fn bytes(tensor: &Tensor) -> Vec<u8> {
    match (&tensor.data, tensor.dtype) {
        (Data::Float(v), DType::F32) => v.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        (Data::Float(v), _) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Int(v), DType::I32) => v.iter().flat_map(|x| (*x as i32).to_le_bytes()).collect(),
        (Data::Int(v), DType::I64) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        (Data::Int(v), _) => v.iter().map(|x| *x as u8).collect(),
    }
}

fn memory(graph: &Graph, size: i64, args: &[Tensor]) -> Memory {
    let region = graph.region(graph.entries[0].region);
    let length = |value: &mlc_ir::graph::Value| {
        let ty = region.ty(*value);
        (ty.elements().unwrap().eval(&[size]).unwrap() * ty.dtype.bytes()) as usize
    };
    let results = region.results.iter().map(|value| vec![0; length(value)]).collect();
    Memory { args: args.iter().map(bytes).collect(), results, ..Memory::default() }
}

/// Makes every kernel look worth the pool.
fn as_if_large(steps: &mut [Step]) {
    for step in steps {
        match step {
            Step::Run { work, .. } => *work = PARALLEL_WORK.into(),
            Step::Loop(looped) => as_if_large(&mut looped.body),
            Step::Bands(bands) => as_if_large(&mut bands.body),
            Step::Chain(chain) => chain.work = PARALLEL_WORK.into(),
            Step::Call { .. } | Step::Fault { .. } | Step::Copy { .. } | Step::Absent => {}
        }
    }
}

fn program(graph: &Graph) -> Program {
    let mut program = lower(graph, &Machine::LANES_128).program;
    program.entries.iter_mut().for_each(|entry| as_if_large(&mut entry.steps));
    program
}

#[test]
fn random_loops_have_the_same_bits_everywhere() {
    for seed in 1..=60 {
        let (graph, cases) = random_loops::graph(seed, seed % 2 == 0);
        same_bits(&format!("graph {seed}"), &graph, &cases);
    }
}

/// Cells that go through examples which don't meet: with enough examples, threads go through bands of them.
#[test]
fn random_cells_have_the_same_bits_everywhere() {
    for seed in 1..=60 {
        let (graph, cases) = random_cells::graph(seed);
        same_bits(&format!("cell {seed}"), &graph, &cases);
    }
}

fn same_bits(name: &str, graph: &Graph, cases: &[(i64, Vec<Tensor>)]) {
    let program = program(graph);
    let jit = compile_jit(&program, &Options::default()).unwrap();
    for (size, args) in cases {
        let mut expected = memory(graph, *size, args);
        assert_eq!(run(&program, 0, &[*size], &mut expected), Outcome::Done);
        for threads in [1, 2, 3, 7] {
            let mut found = memory(graph, *size, args);
            assert_eq!(run_compiled(&jit, &[*size], threads, &mut found), Status::Ok as i32);
            let what = format!("{name} at {size} with {threads} threads");
            assert_eq!(found.args, expected.args, "{what}: arguments are not written");
            assert_eq!(found.results, expected.results, "{what}");
        }
    }
}

/// Objects of loops refer to nothing but what C compilers take for granted, and come out the same.
#[test]
fn objects_with_loops() {
    let (graph, _) = random_loops::graph(3, false);
    let (program, target) = (program(&graph), Target::parse("x86_64-unknown-linux-gnu").unwrap());
    let compile = |threads| {
        let options = Options { level: Level::V3, emitter: Emitter::Cranelift, threads };
        compile_object(&[Version { program: &program, options: &options }], &target, b"{}", None).unwrap()
    };
    let bytes = compile(1);
    assert!(bytes == compile(3));
    let file = object::File::parse(&*bytes).unwrap();
    let undefined = file.symbols().filter(|symbol| symbol.is_undefined() && !symbol.name().unwrap().is_empty());
    for symbol in undefined {
        assert!(["memmove", "memset"].contains(&symbol.name().unwrap()), "{symbol:?}");
    }
}
