//! Functions of f32 as compiled: the interpreter's bits at every level, and at most 2 ulp from exact.

use crate::check::{Buffer, Case, check};
use mlc_benches::maths;
use mlc_codegen::{Level, Options, compile_jit};
use mlc_ir::graph::Graph;
use mlc_kernel::interp::Word;
use mlc_kernel::lane::Mem;
use mlc_kernel::lower::lower;
use mlc_kernel::program::{Loc, Program, Slot, Step};
use mlc_kernel::schedule::Machine;

/// The only kernel of a graph, its memory the arguments and then the result.
fn case(graph: &Graph, args: &[&[f32]]) -> Case {
    let mut program = lower(graph, &Machine::LANES_128).program;
    let [Step::Run { kernel: 0, frame, tiles, .. }] = &program.entries[0].steps[..] else { panic!("one kernel") };
    let frame = frame.iter().map(|slot| match slot {
        Slot::Size(dim) => Word::Size(dim.as_const().unwrap()),
        Slot::Ptr(place) => match place.loc {
            Loc::Arg(n) => Word::Ptr { buffer: n as usize, offset: 0 },
            Loc::Result(_) => Word::Ptr { buffer: args.len(), offset: 0 },
            _ => panic!("an argument or the result"),
        },
    });
    let (frame, tiles) = (frame.collect(), (0, tiles.as_const().unwrap()));
    let mut buffers: Vec<Buffer> = args.iter().map(|values| Buffer::f32(values)).collect();
    buffers.push(Buffer::filled(Mem::F32, args[0].len()));
    Case { lane: program.kernels.remove(0), frame, buffers, tiles }
}

fn levels() -> impl Iterator<Item = Level> {
    [Level::V2, Level::V3].into_iter().filter(|level| level.runs_here())
}

/// What the compiled kernel makes of the arguments.
fn results(case: &Case, level: Level) -> Vec<f32> {
    let program = Program { symbols: 0, kernels: vec![case.lane.clone()], entries: vec![] };
    let jit = compile_jit(&program, &Options { level, ..Options::default() }).unwrap();
    let mut buffers: Vec<Vec<u8>> = case.buffers.iter().map(|buffer| buffer.bytes.clone()).collect();
    let mut word = |word: &Word| match *word {
        Word::Ptr { buffer, .. } => buffers[buffer].as_mut_ptr() as u64,
        Word::Size(size) => size as u64,
    };
    let frame: Vec<u64> = case.frame.iter().map(&mut word).collect();
    let mut scratch = vec![0; case.lane.scratch_bytes as usize];
    // SAFETY: `check` has run the kernel on buffers of these sizes.
    unsafe { jit.kernel(0)(frame.as_ptr(), scratch.as_mut_ptr(), case.tiles.0, case.tiles.1) };
    buffers[buffers.len() - 1].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn functions_of_one_argument() {
    let x = maths::arguments();
    for op in maths::FUNCTIONS {
        let case = case(&maths::unary(op, x.len()), &[&x]);
        check(std::slice::from_ref(&case));
        for level in levels() {
            for (x, found) in x.iter().zip(results(&case, level)) {
                let exact = maths::exact(op, *x);
                let ulps = maths::ulps(found, exact);
                assert!(ulps <= maths::MOST_ULPS, "{op:?} of {x:e} at {level} is {found:e}, not {exact:e}: {ulps} ulp");
            }
        }
    }
}

#[test]
fn powers() {
    let (x, y) = maths::powers(4000);
    let case = case(&maths::pow(x.len()), &[&x, &y]);
    check(std::slice::from_ref(&case));
    for level in levels() {
        for ((x, y), found) in x.iter().zip(&y).zip(results(&case, level)) {
            let exact = f64::from(*x).powf(f64::from(*y));
            let ulps = maths::ulps(found, exact);
            assert!(ulps <= maths::MOST_ULPS, "{x:e} to the power of {y:e} at {level} is {found:e}: {ulps} ulp");
        }
    }
}
