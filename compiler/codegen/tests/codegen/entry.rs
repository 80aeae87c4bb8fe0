//! Entries: checks, steps, faults, and who runs the kernels.

use crate::build::{Build, INDEX};
use crate::check::levels;
use mlc_codegen::{Emitter, JitProgram, Level, Options, compile_jit};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Relation, SizeCheck, SpanId};
use mlc_ir::ty::DType;
use mlc_kernel::lane::{Elem, IBinary, Lane, Mem, Op, Tail, Ty};
use mlc_kernel::program::{EntryCode, Kept, Loc, PARALLEL_WORK, Plan, PlanBuffer, Program, Slot, Step};
use mlc_rt_core::abi::{EntryCx, Kernel, SCRATCH_BYTES, Status};
use std::ffi::c_void;
use std::ptr;

pub fn sym(n: u32) -> Dim {
    Dim::from(Sym(n))
}

pub fn times(dim: &Dim, factor: i64) -> Dim {
    dim.mul(&Dim::from(factor)).unwrap()
}

/// `out[i] = in[i] * in[i] + in[i]` for tile `i` of four elements, of `n` in all.
pub fn square_kernel() -> Lane {
    let mut b = Build::new("square", 3);
    let (input, out, n) = (b.ptr(0), b.ptr(1), b.size(2));
    let (low, high) = (b.def(INDEX, Op::TileLow), b.def(INDEX, Op::TileHigh));
    b.repeat((low, high, 1), &[], |b, tile, _| {
        let four = b.int(4);
        let first = b.def(INDEX, Op::IBinary(IBinary::Mul, tile, four));
        let rest = b.def(INDEX, Op::IBinary(IBinary::Sub, n, first));
        let tail = Tail::Value(b.def(INDEX, Op::IBinary(IBinary::Min, rest, four)));
        let (from, to) = (b.element(input, first, 4), b.element(out, first, 4));
        let x = b.load(Mem::F32, 4, from, 0, tail);
        let y = b.def(Ty::new(Elem::F32, 4), Op::MulAdd(x, x, x));
        b.store(Mem::F32, to, 0, tail, y);
        vec![]
    });
    b.finish()
}

/// `out[0] = seed + step + 10 epoch + 100 total`, as f64 of i64 words: the addresses of the numbers
/// that every call gets.
fn counters_kernel() -> Lane {
    let mut b = Build::new("counters", 5);
    let mut sum = b.int(0);
    for (word, weight) in [(0, 1), (1, 10), (2, 100), (3, 1000)] {
        let place = b.ptr(word);
        let number = b.load(Mem::I64, 1, place, 0, Tail::Full);
        let weight = b.int(weight);
        let part = b.def(INDEX, Op::IBinary(IBinary::Mul, number, weight));
        sum = b.def(INDEX, Op::IBinary(IBinary::Add, sum, part));
    }
    let out = b.ptr(4);
    b.store(Mem::I64, out, 0, Tail::Full, sum);
    b.finish()
}

/// `y = f(f(x))` of `n = Sym(0)` floats by way of the arena, and the sum of the counters.
pub fn twice(work: i64) -> Program {
    let n = sym(0);
    let tiles = n.ceil_div(4).unwrap();
    let run = |from: Loc, to: Loc| Step::Run {
        kernel: 0,
        frame: vec![Slot::Ptr(from.into()), Slot::Ptr(to.into()), Slot::Size(n.clone())],
        tiles: tiles.clone(),
        work: Dim::from(work),
    };
    let counters = [Loc::Seed, Loc::Step, Loc::Epoch, Loc::TotalSteps, Loc::Result(1)];
    let count = Step::Run {
        kernel: 1,
        frame: counters.map(|loc| Slot::Ptr(loc.into())).to_vec(),
        tiles: Dim::one(),
        work: Dim::one(),
    };
    let bytes = times(&n, 4);
    let buffer = |name: &str, below| PlanBuffer { name: name.into(), bytes: bytes.clone(), below };
    let entry = EntryCode {
        name: "twice".into(),
        checks: vec![],
        plan: Plan { buffers: vec![buffer("unused", vec![]), buffer("middle", vec![0])] },
        kept: Kept::default(),
        steps: vec![
            run(Loc::Arg(0), Loc::Arena(1)),
            run(Loc::Arena(1), Loc::Result(0)),
            count,
            Step::Copy { from: Loc::Result(0).into(), to: Loc::Global(0).into(), bytes },
        ],
        flops: Dim::zero(),
    };
    Program { symbols: 1, kernels: vec![square_kernel(), counters_kernel()], entries: vec![entry] }
}

/// Everything that a call of an entry needs.
struct Call<'a> {
    program: &'a JitProgram,
    sizes: &'a [i64],
    args: Vec<*const u8>,
    results: Vec<*mut u8>,
    globals: Vec<*mut u8>,
    pool: *mut c_void,
}

/// Counts its calls in the pool's place, and runs tiles from the last to the first.
unsafe extern "C" fn backwards(
    pool: *mut c_void,
    kernel: Kernel,
    frame: *const u64,
    scratch: *mut u8,
    stride: i64,
    tiles: i64,
) {
    assert_eq!(stride, SCRATCH_BYTES as i64);
    for tile in (0..tiles).rev() {
        // SAFETY: the entry passes what its kernel takes.
        unsafe { kernel(frame, scratch, tile, tile + 1) };
    }
    // SAFETY: the tests pass a counter as the pool.
    unsafe { *pool.cast::<i64>() += 1 };
}

impl Call<'_> {
    /// Plans, calls, and returns the status with the context as the entry left it.
    fn run(&self) -> (i32, EntryCx) {
        let plan = self.program.plan(0);
        let mut offsets = vec![-1; 8];
        // SAFETY: one size for each symbol, and room for more offsets than the plan has.
        let bytes = unsafe { plan(self.sizes.as_ptr(), offsets.as_mut_ptr()) };
        let mut arena = vec![0u8; bytes as usize + 64];
        let mut scratch = vec![0u8; SCRATCH_BYTES];
        let mut cx = EntryCx {
            sizes: self.sizes.as_ptr(),
            args: self.args.as_ptr(),
            results: self.results.as_ptr(),
            globals: self.globals.as_ptr(),
            arena: arena.as_mut_ptr().wrapping_add(arena.as_ptr().align_offset(64)),
            offsets: offsets.as_ptr(),
            kept: ptr::null_mut(),
            fresh: 1,
            scratch: scratch.as_mut_ptr(),
            pool: self.pool,
            parallel_for: backwards,
            seed: 7,
            step: 5,
            epoch: 3,
            total_steps: 2,
            done: 0,
            fault_index: -1,
            fault_element: -1,
            fault_value: -1,
        };
        // SAFETY: the context is filled as the entry wants it.
        let status = unsafe { self.program.entry(0)(&mut cx) };
        (status, cx)
    }
}

/// Runs [`twice`]; returns its first result, its second, and how often the pool was asked.
fn run_twice(program: &JitProgram, input: &[f32], with_pool: Pool) -> (Vec<u32>, i64, i64) {
    let (mut result, mut state) = (vec![0f32; input.len()], vec![0f32; input.len()]);
    let (mut counters, mut calls) = (0i64, 0i64);
    let sizes = [input.len() as i64];
    let call = Call {
        program,
        sizes: &sizes,
        args: vec![input.as_ptr().cast()],
        results: vec![result.as_mut_ptr().cast(), (&raw mut counters).cast()],
        globals: vec![state.as_mut_ptr().cast()],
        pool: match with_pool {
            Pool::Given => (&raw mut calls).cast(),
            Pool::None => ptr::null_mut(),
        },
    };
    let (status, _) = call.run();
    assert_eq!(status, Status::Ok as i32);
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    assert_eq!(bits(&result), bits(&state));
    (bits(&result), counters, calls)
}

#[derive(Clone, Copy)]
enum Pool {
    Given,
    None,
}

pub fn twice_input() -> Vec<f32> {
    (0..11).map(|n| n as f32 * 0.77 - 3.1).collect()
}

/// The result of [`twice`] for [`twice_input`].
pub fn twice_bits(level: Level) -> Vec<u32> {
    let program = compile_jit(&twice(1), &Options { level, emitter: Emitter::Cranelift, threads: 1 }).unwrap();
    run_twice(&program, &twice_input(), Pool::None).0
}

#[test]
fn steps_in_order() {
    for level in levels() {
        let program = compile_jit(&twice(1), &Options { level, emitter: Emitter::Cranelift, threads: 1 }).unwrap();
        let input = twice_input();
        let (result, counters, calls) = run_twice(&program, &input, Pool::Given);
        assert_eq!((counters, calls), (7 + 50 + 300 + 2000, 0));
        let f = |x: f32| {
            if crate::check::rounding(level) == mlc_kernel::interp::Rounding::Fused {
                x.mul_add(x, x)
            } else {
                x * x + x
            }
        };
        let expected: Vec<u32> = input.iter().map(|&x| f(f(x)).to_bits()).collect();
        assert_eq!(result, expected);
    }
}

#[test]
fn a_pool_runs_what_is_worth_it() {
    for level in levels() {
        let large =
            compile_jit(&twice(PARALLEL_WORK), &Options { level, emitter: Emitter::Cranelift, threads: 1 }).unwrap();
        let small = compile_jit(&twice(PARALLEL_WORK - 1), &Options { level, emitter: Emitter::Cranelift, threads: 1 })
            .unwrap();
        let input = twice_input();
        let expected = run_twice(&small, &input, Pool::Given);
        assert_eq!(expected.2, 0);
        let pooled = run_twice(&large, &input, Pool::Given);
        assert_eq!((pooled.0, pooled.2), (expected.0.clone(), 2));
        let alone = run_twice(&large, &input, Pool::None);
        assert_eq!((alone.0, alone.2), (expected.0, 0));
        // One tile isn't worth a pool.
        assert_eq!(run_twice(&large, &input[..3], Pool::Given).2, 0);
    }
}

fn check(left: Dim, relation: Relation, right: Dim) -> SizeCheck {
    SizeCheck { left, relation, right, span: SpanId(0), text: String::new() }
}

fn compile_entry(symbols: usize, checks: Vec<SizeCheck>, steps: Vec<Step>) -> JitProgram {
    let entry = EntryCode {
        name: "entry".into(),
        checks,
        plan: Plan::default(),
        kept: Kept::default(),
        steps,
        flops: Dim::zero(),
    };
    let program = Program { symbols, kernels: vec![], entries: vec![entry] };
    compile_jit(&program, &Options { level: levels()[0], emitter: Emitter::Cranelift, threads: 1 }).unwrap()
}

fn call_with(program: &JitProgram, sizes: &[i64], args: Vec<*const u8>) -> (i32, EntryCx) {
    Call { program, sizes, args, results: vec![], globals: vec![], pool: ptr::null_mut() }.run()
}

/// The number of the check that fails.
fn failing(program: &JitProgram, sizes: &[i64]) -> Option<i64> {
    match call_with(program, sizes, vec![]) {
        (0, cx) => {
            assert_eq!(cx.fault_index, -1);
            None
        }
        (status, cx) => {
            assert_eq!(status, Status::Size as i32);
            Some(cx.fault_index)
        }
    }
}

#[test]
fn size_checks() {
    let (a, b) = (sym(0), sym(1));
    let square = a.mul(&a).unwrap();
    let half = a.floor_div(2).unwrap();
    let third = b.sub(&Dim::from(9)).unwrap().floor_div(3).unwrap();
    let checks = vec![
        check(times(&a, 2), Relation::Equal, b.clone()),
        check(square, Relation::AtMost, Dim::from(100)),
        check(b.clone(), Relation::Divides, a.clone()),
        check(Dim::max(&half, &third).unwrap(), Relation::Equal, Dim::from(3)),
        check(b, Relation::Divides, a.sub(&Dim::from(7)).unwrap()),
    ];
    let program = compile_entry(2, checks, vec![]);
    assert_eq!(failing(&program, &[3, 7]), Some(0));
    assert_eq!(failing(&program, &[11, 22]), Some(1));
    assert_eq!(failing(&program, &[4, 8]), Some(3));
    // Nothing is divisible by 0.
    assert_eq!(failing(&program, &[7, 14]), Some(4));
    let without_last = compile_entry(1, vec![check(sym(0), Relation::Divides, Dim::from(3))], vec![]);
    assert_eq!(failing(&without_last, &[9]), None);
    assert_eq!(failing(&without_last, &[10]), Some(0));
    let other_than_16 = compile_entry(1, vec![check(sym(0), Relation::Differ, Dim::from(16))], vec![]);
    assert_eq!(failing(&other_than_16, &[15]), None);
    assert_eq!(failing(&other_than_16, &[16]), Some(0));
}

/// A size beyond `i64` fails its check, whatever it would wrap to.
#[test]
fn size_checks_do_not_wrap() {
    let a = sym(0);
    let square = a.mul(&a).unwrap();
    let program = compile_entry(1, vec![check(square, Relation::AtMost, Dim::from(100))], vec![]);
    assert_eq!(failing(&program, &[10]), None);
    assert_eq!(failing(&program, &[1 << 32]), Some(0));
    assert_eq!(failing(&program, &[3 << 32]), Some(0));
}

fn fault(dtype: DType) -> JitProgram {
    let step = Step::Fault { index: 9, first_bad: Loc::Arg(0).into(), indices: Some((Loc::Arg(1).into(), dtype)) };
    compile_entry(0, vec![], vec![step])
}

#[test]
fn faults_report_the_element_and_its_value() {
    let none = i32::MAX;
    let bad = 2i32;
    let narrow = [5i32, 6, -7, 8];
    let wide = [5i64, 6, -7 << 40, 8];
    let call = |program: &JitProgram, first_bad: &i32, indices: *const u8| {
        call_with(program, &[], vec![(&raw const *first_bad).cast(), indices])
    };
    let (status, cx) = call(&fault(DType::I32), &none, narrow.as_ptr().cast());
    assert_eq!((status, cx.fault_index), (Status::Ok as i32, -1));
    let (status, cx) = call(&fault(DType::I32), &bad, narrow.as_ptr().cast());
    assert_eq!((status, cx.fault_index, cx.fault_element, cx.fault_value), (Status::Fault as i32, 9, 2, -7));
    let (_, cx) = call(&fault(DType::I64), &bad, wide.as_ptr().cast());
    assert_eq!((cx.fault_element, cx.fault_value), (2, -7 << 40));
}

/// More steps than one function has are done in order, each once.
#[test]
fn long_entries() {
    let rounds = 75;
    for level in levels() {
        let mut program = twice(1);
        let steps = &mut program.entries[0].steps;
        let run = |from: Loc, to: Loc| {
            let Step::Run { tiles, work, .. } = &steps[0] else { panic!("a kernel comes first") };
            let frame = vec![Slot::Ptr(from.into()), Slot::Ptr(to.into()), Slot::Size(sym(0))];
            Step::Run { kernel: 0, frame, tiles: tiles.clone(), work: work.clone() }
        };
        let there_and_back = [run(Loc::Arena(1), Loc::Arena(0)), run(Loc::Arena(0), Loc::Arena(1))];
        steps.splice(1..1, there_and_back.iter().cycle().take(2 * rounds).cloned().collect::<Vec<Step>>());
        let program = compile_jit(&program, &Options { level, emitter: Emitter::Cranelift, threads: 1 }).unwrap();
        // x² + x creeps towards 0, so that no application leaves a number as it was.
        let input: Vec<f32> = (1..12).map(|n| n as f32 * -0.08).collect();
        let f = |x: f32| match crate::check::rounding(level) {
            mlc_kernel::interp::Rounding::Fused => x.mul_add(x, x),
            mlc_kernel::interp::Rounding::Split => x * x + x,
        };
        let expected: Vec<u32> = input.iter().map(|&x| (0..2 * rounds + 2).fold(x, |x, _| f(x)).to_bits()).collect();
        assert_eq!(run_twice(&program, &input, Pool::Given).0, expected);
    }
}

/// The first fault ends an entry, in whatever piece of it.
#[test]
fn faults_of_long_entries() {
    let (none, bad) = (i32::MAX, 3i32);
    for first in [0, 95, 120, 149] {
        let steps = (0..150u32).map(|index| Step::Fault {
            index,
            first_bad: Loc::Arg(u32::from(index >= first)).into(),
            indices: None,
        });
        let program = compile_entry(0, vec![], steps.collect());
        let (status, cx) = call_with(&program, &[], vec![(&raw const none).cast(), (&raw const bad).cast()]);
        assert_eq!((status, cx.fault_index, cx.fault_element), (Status::Fault as i32, i64::from(first), 3));
        let (status, cx) = call_with(&program, &[], vec![(&raw const none).cast(), (&raw const none).cast()]);
        assert_eq!((status, cx.fault_index), (Status::Ok as i32, -1));
    }
}

/// The sum of a kernel of no tiles is nothing at all.
#[test]
fn no_tiles() {
    let program =
        compile_jit(&twice(PARALLEL_WORK), &Options { level: levels()[0], emitter: Emitter::Cranelift, threads: 1 })
            .unwrap();
    let (result, _, calls) = run_twice(&program, &[], Pool::Given);
    assert_eq!((result, calls), (vec![], 0));
}

/// Names of kernels may repeat; the text functions give all of them.
#[test]
fn texts_by_name() {
    let program = twice(1);
    let target = mlc_codegen::Target::host();
    let options = Options { level: levels()[0], emitter: Emitter::Cranelift, threads: 1 };
    let clif = mlc_codegen::clif_text(&program, &target, &options, "twice").unwrap();
    assert!(clif.contains("; mlc.v2.entry.0.twice") && clif.contains("; mlc.v2.plan.0.twice"), "{clif}");
    let error = mlc_codegen::clif_text(&program, &target, &options, "thrice").unwrap_err();
    assert_eq!(error.to_string(), "no kernel or entry is named `thrice`");
}
