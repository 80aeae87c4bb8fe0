//! Functions of f32 as compiled: the interpreter's bits in every way to compile them, in vectors of every
//! width, and at most 2 ulp from exact.

use crate::check::{Buffer, Case, Way, check, ways};
use mlc_benches::maths;
use mlc_codegen::{Level, compile_jit};
use mlc_ir::graph::Graph;
use mlc_kernel::interp::Word;
use mlc_kernel::lane::Mem;
use mlc_kernel::lower::lower;
use mlc_kernel::program::{Loc, Program, Slot, Step};

/// The only kernel of a graph, its memory the arguments and then the result.
fn case(graph: &Graph, args: &[&[f32]], way: Way) -> Case {
    let mut program = lower(graph, &way.machine()).program;
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

/// What the compiled kernel makes of the arguments.
fn results(case: &Case, way: Way) -> Vec<f32> {
    let program = Program { symbols: 0, kernels: vec![case.lane.clone()], entries: vec![] };
    let jit = compile_jit(&program, &way.options(1)).unwrap();
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

/// Results of every way, which have the interpreter's bits; those of levels with FMA have the same.
fn results_of_ways(graph: &Graph, args: &[&[f32]]) -> Vec<(Way, Vec<f32>)> {
    let mut all: Vec<(Way, Vec<f32>)> = Vec::new();
    for way in ways() {
        let case = case(graph, args, way);
        let lanes = case.lane.types.iter().map(|ty| i64::from(ty.lanes)).max();
        assert_eq!(lanes, Some(way.machine().vector_bits / 32), "lanes by {way:?}");
        check(std::slice::from_ref(&case));
        let found = results(&case, way);
        if let Some((other, bits)) =
            all.iter().find(|(other, _)| (other.level == Level::V2) == (way.level == Level::V2))
        {
            let same = bits.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            assert!(same, "{way:?} has other bits than {other:?}");
        }
        all.push((way, found));
    }
    all
}

#[test]
fn functions_of_one_argument() {
    let x = maths::arguments();
    for op in maths::FUNCTIONS {
        for (way, found) in results_of_ways(&maths::unary(op, x.len()), &[&x]) {
            for (x, found) in x.iter().zip(&found) {
                let exact = maths::exact(op, *x);
                let ulps = maths::ulps(*found, exact);
                assert!(ulps <= maths::MOST_ULPS, "{op:?} of {x:e} by {way:?} is {found:e}, not {exact:e}: {ulps} ulp");
            }
        }
    }
}

#[test]
fn powers() {
    let (x, y) = maths::powers(4000);
    for (way, found) in results_of_ways(&maths::pow(x.len()), &[&x, &y]) {
        for ((x, y), found) in x.iter().zip(&y).zip(&found) {
            let ulps = maths::ulps(*found, f64::from(*x).powf(f64::from(*y)));
            assert!(ulps <= maths::MOST_ULPS, "{x:e} to the power of {y:e} by {way:?} is {found:e}: {ulps} ulp");
        }
    }
}
