//! What is known of Cranelift and could change with it, as seen in the code it makes.
#![cfg(target_arch = "x86_64")]

use crate::build::{ADDRESS, Build, INDEX};
use crate::check::{Buffer, Case, check, frame};
use mlc_codegen::{Emitter, Level, Options, Target, asm_text, clif_text, compile_jit};
use mlc_kernel::lane::{Elem, FBinary, IBinary, Lane, Mem, Op, Tail, Ty, V};
use mlc_kernel::program::Program;

const VECTOR: Ty = Ty { elem: Elem::F32, lanes: 4, bits: 32 };

fn target() -> Target {
    Target::parse("x86_64-unknown-linux-gnu").unwrap()
}

fn assembly(lane: Lane, level: Level) -> String {
    let name = lane.name.clone();
    let program = Program { kernels: vec![lane], ..Program::default() };
    asm_text(&program, &target(), &Options { level, emitter: Emitter::Cranelift, threads: 1 }, &name).unwrap()
}

/// `out = f(a, b)` for one vector of each.
fn binary(name: &str, mem: Mem, f: impl Fn(&mut Build, V, V) -> V) -> Lane {
    let mut b = Build::new(name, 3);
    let pointers = [0, 1, 2].map(|n| b.ptr(n));
    let [x, y] = [0, 1].map(|n| b.load(mem, 4, pointers[n], 0, Tail::Full));
    let value = f(&mut b, x, y);
    b.store(mem, pointers[2], 0, Tail::Full, value);
    b.finish()
}

#[track_caller]
fn assert_has(text: &str, instruction: &str) {
    assert!(text.contains(instruction), "no {instruction} in\n{text}");
}

#[track_caller]
fn assert_lacks(text: &str, instruction: &str) {
    assert!(!text.contains(instruction), "{instruction} in\n{text}");
}

#[test]
fn mul_add_is_one_instruction_or_two() {
    let lane = || binary("fma", Mem::F32, |b, x, y| b.def(VECTOR, Op::MulAdd(x, y, x)));
    let v3 = assembly(lane(), Level::V3);
    assert_has(&v3, "vfmadd");
    assert_lacks(&v3, "call");
    let v2 = assembly(lane(), Level::V2);
    assert_has(&v2, "mulps");
    assert_has(&v2, "addps");
    assert_lacks(&v2, "call");
}

#[test]
fn min_and_max_are_one_instruction() {
    for (op, v2, v3) in [(FBinary::Min, "minps", "vminps"), (FBinary::Max, "maxps", "vmaxps")] {
        let lane = || binary("pick", Mem::F32, |b, x, y| b.def(VECTOR, Op::FBinary(op, x, y)));
        assert_has(&assembly(lane(), Level::V2), v2);
        assert_has(&assembly(lane(), Level::V3), v3);
        for level in [Level::V2, Level::V3] {
            let text = assembly(lane(), level);
            assert_lacks(&text, "cmp");
            assert_lacks(&text, "and");
        }
    }
}

#[test]
fn selection_by_a_comparison_is_one_blend() {
    let lane = binary("select", Mem::F32, |b, x, y| {
        let less = b.def(Ty::mask_of(VECTOR), Op::FCmp(mlc_kernel::lane::Cmp::Lt, x, y));
        let sum = b.def(VECTOR, Op::FBinary(FBinary::Add, x, y));
        b.def(VECTOR, Op::Select(less, sum, y))
    });
    assert_has(&assembly(lane, Level::V3), "blendv");
}

#[test]
fn a_splat_of_a_loaded_scalar_is_a_broadcasting_load() {
    let mut b = Build::new("broadcast", 2);
    let (input, out) = (b.ptr(0), b.ptr(1));
    let x = b.load(Mem::F32, 1, input, 20, Tail::Full);
    let x = b.def(VECTOR, Op::Splat(x));
    b.store(Mem::F32, out, 0, Tail::Full, x);
    assert_has(&assembly(b.finish(), Level::V3), "vbroadcastss 0x14(");
}

#[test]
fn wide_products_of_vectors_are_two_multiplications() {
    let lane =
        binary("mul_high", Mem::I32, |b, x, y| b.def(Ty::new(Elem::I32, 4), Op::IBinary(IBinary::MulHighU, x, y)));
    let text = assembly(lane, Level::V3);
    assert_eq!(text.matches("vpmuludq").count(), 2, "{text}");
}

/// Below AVX a memory operand of `addps` must be aligned: the load has to stay apart.
#[test]
fn nothing_claims_alignment() {
    let lane = || binary("sum", Mem::F32, |b, x, y| b.def(VECTOR, Op::FBinary(FBinary::Add, x, y)));
    assert_has(&assembly(lane(), Level::V2), "addps %");
    assert_has(&assembly(lane(), Level::V3), "vaddps (");
    let program = Program { kernels: vec![lane()], ..Program::default() };
    let options = Options { level: Level::V2, emitter: Emitter::Cranelift, threads: 1 };
    assert_lacks(&clif_text(&program, &target(), &options, "sum").unwrap(), "aligned");
}

#[test]
fn division_by_a_constant_needs_no_guard() {
    let mut b = Build::new("divide", 2);
    let (size, out) = (b.size(0), b.ptr(1));
    let three = b.int(3);
    let quotient = b.def(INDEX, Op::IBinary(IBinary::DivFloor, size, three));
    b.store(Mem::I64, out, 0, Tail::Full, quotient);
    let text = assembly(b.finish(), Level::V3);
    assert_lacks(&text, "idiv");
    assert_lacks(&text, "ud2");
}

/// Frame words are loaded once, outside of loops; loops end with their only test.
#[test]
fn loops_have_one_branch() {
    let mut b = Build::new("loop", 2);
    let n = b.size(0);
    let low = b.int(0);
    b.repeat((low, n, 1), &[], |b, index, _| {
        let out = b.ptr(1);
        let place = b.element(out, index, 8);
        b.store(Mem::I64, place, 0, Tail::Full, index);
        vec![]
    });
    let text = assembly(b.finish(), Level::V3);
    let conditional = text.lines().filter(|line| line.trim_start().starts_with('j') && !line.contains("jmp"));
    assert_eq!(conditional.count(), 2, "{text}");
}

#[test]
fn memory_is_freed_when_a_program_is_dropped() {
    let program = Program { kernels: vec![binary("sum", Mem::F32, |_, x, _| x)], ..Program::default() };
    let options = Options { level: Level::V2, emitter: Emitter::Cranelift, threads: 1 };
    let before = address_space();
    for _ in 0..64 {
        drop(compile_jit(&program, &options).unwrap());
    }
    // Each reserves 256 MiB. Other tests hold a few at the same time.
    assert!(address_space() < before + (8 << 30));
}

/// Bytes of this process's address space.
fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

/// A register tile of 4 x 2 vectors, four steps of K at a time: what is loaded for a step is used
/// before the next loads, so that nothing is spilled.
#[test]
fn register_tiles_stay_in_order() {
    let (rows, columns, unroll) = (4, 2, 4);
    let mut b = Build::new("tile", 4);
    let (a, right, out, depth) = (b.ptr(0), b.ptr(1), b.ptr(2), b.size(3));
    let zero = b.def(VECTOR, Op::Const([0].into_iter().collect()));
    let low = b.int(0);
    let tile = b.repeat((low, depth, unroll), &[zero; 8], |b, k, tile| {
        let mut tile = tile.to_vec();
        let (left, right) = (b.element(a, k, 4), b.element(right, k, 32));
        for step in 0..unroll as i32 {
            let vectors = [0, 1].map(|j| b.load(Mem::F32, 4, right, step * 32 + j * 16, Tail::Full));
            for i in 0..rows {
                let x = b.load(Mem::F32, 1, left, step * 4 + i * 64, Tail::Full);
                let x = b.def(VECTOR, Op::Splat(x));
                for (j, &y) in (0..columns).zip(&vectors) {
                    let at = (i * columns + j) as usize;
                    tile[at] = b.def(VECTOR, Op::MulAdd(x, y, tile[at]));
                }
            }
        }
        tile
    });
    for (n, &sum) in (0..).zip(&tile) {
        b.store(Mem::F32, out, n * 16, Tail::Full, sum);
    }
    let lane = b.finish();
    assert_lacks(&assembly(lane.clone(), Level::V3), "rsp)");

    let numbers: Vec<f32> = (0..128).map(|n| (n % 23) as f32 * 0.37 - 3.0).collect();
    let buffers = vec![Buffer::f32(&numbers[..64]), Buffer::f32(&numbers), Buffer::filled(Mem::F32, 32)];
    check(&[Case { lane, frame: frame(3, &[16]), buffers, tiles: (0, 1) }]);
}

/// Many pointers and accumulators at once: spills must not need alignment either.
#[test]
fn spilled_vectors() {
    let mut b = Build::new("spill", 2);
    let (input, out) = (b.ptr(0), b.ptr(1));
    let values: Vec<V> = (0..40).map(|n| b.load(Mem::F32, 4, input, n * 12, Tail::Full)).collect();
    let zero = b.int(0);
    let three = b.int(3);
    let sums = b.repeat((zero, three, 1), &values, |b, index, carried| {
        let offset = b.element(input, index, 4);
        let x = b.load(Mem::F32, 4, offset, 0, Tail::Full);
        carried.iter().map(|&sum| b.def(VECTOR, Op::MulAdd(sum, x, sum))).collect()
    });
    for (n, &sum) in (0..).zip(&sums) {
        let place = b.int(n * 16);
        let place = b.def(ADDRESS, Op::PtrAdd(out, place));
        b.store(Mem::F32, place, 0, Tail::Full, sum);
    }
    let input: Vec<f32> = (0..124).map(|n| n as f32 * 0.37 - 11.0).collect();
    let buffers = vec![Buffer::f32(&input), Buffer::filled(Mem::F32, 160)];
    check(&[Case { lane: b.finish(), frame: frame(2, &[]), buffers, tiles: (0, 1) }]);
}
