//! Every op, on scalars and on vectors of every length, over pairs and triples of special values.

use crate::build::{Build, INDEX};
use crate::check::{Buffer, Case, check, frame};
use mlc_kernel::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Mem, Op, Shift, Tail, Ty, V};
use smallvec::{SmallVec, smallvec};

pub const F32: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.5,
    2.5,
    -3.5,
    1e-45,
    -1.1e-38,
    1.1754944e-38,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    2147483600.0,
    -2147483648.0,
    4294967296.0,
    8388607.5,
    9.2233715e18,
    -9.223372e18,
    0.33333334,
];

pub const F64: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    2.5,
    5e-324,
    -2.2250738585072014e-308,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    2147483647.5,
    -2147483649.0,
    4503599627370495.5,
    9.223372036854775e18,
    -9.223372036854776e18,
    1e39,
    1.0000000596046448,
    0.1,
];

pub const I32: [i32; 12] = [0, 1, -1, 2, 7, -7, 255, 65536, i32::MAX, i32::MIN, 0x1234_5678, -1_640_531_527];
pub const I64: [i64; 13] = [
    0,
    1,
    -1,
    2,
    7,
    -7,
    1 << 31,
    -(1 << 31) - 1,
    1 << 40,
    i64::MAX,
    i64::MIN,
    0x0123_4567_89ab_cdef,
    -0x61c8_8646_80b5_83eb,
];

/// All triples would be many; these are all pairs, with a third value that wanders.
fn operands<T: Copy>(values: &[T]) -> [Vec<T>; 3] {
    let n = values.len();
    let at = |f: fn(usize, usize) -> usize| (0..n * n).map(|i| values[f(i, n)]).collect();
    [at(|i, n| i / n), at(|i, n| i % n), at(|i, n| (i * 7 + i / n * 5) % n)]
}

pub fn operand_buffers(mem: Mem) -> Vec<Buffer> {
    match mem {
        Mem::F32 => operands(&F32).map(|values| Buffer::f32(&values)).to_vec(),
        Mem::F64 => operands(&F64).map(|values| Buffer::f64(&values)).to_vec(),
        Mem::I32 => operands(&I32).map(|values| Buffer::i32(&values)).to_vec(),
        Mem::I64 => operands(&I64).map(|values| Buffer::i64(&values)).to_vec(),
        Mem::U8 | Mem::I8 => operands(&[0u8, 1, 2, 127, 128, 255]).map(|bytes| Buffer { mem, bytes }).to_vec(),
    }
}

/// `out[i] = f(a[i], b[i], c[i])`, `lanes` at a time with a counted tail.
fn elementwise(name: &str, mem: Mem, out: Mem, lanes: u8, f: impl Fn(&mut Build, [V; 3]) -> V) -> Case {
    let mut buffers = operand_buffers(mem);
    let elements = buffers[0].bytes.len() / mem.bytes() as usize;
    buffers.push(Buffer::filled(out, elements));
    let mut b = Build::new(&format!("{name}_{mem:?}x{lanes}"), 5);
    let pointers = [b.ptr(0), b.ptr(1), b.ptr(2), b.ptr(3)];
    let (low, high) = (b.int(0), b.size(4));
    b.repeat((low, high, i64::from(lanes)), &[], |b, index, _| {
        let rest = b.def(INDEX, Op::IBinary(IBinary::Sub, high, index));
        let most = b.int(i64::from(lanes));
        let count = b.def(INDEX, Op::IBinary(IBinary::Min, rest, most));
        let tail = Tail::Value(count);
        let operands = [0, 1, 2].map(|n| {
            let place = b.element(pointers[n], index, mem.bytes());
            b.load(mem, lanes, place, 0, tail)
        });
        let value = f(b, operands);
        let place = b.element(pointers[3], index, out.bytes());
        b.store(out, place, 0, tail, value);
        vec![]
    });
    Case { lane: b.finish(), frame: frame(4, &[elements as i64]), buffers, tiles: (0, 1) }
}

fn lanes_of(mem: Mem) -> &'static [u8] {
    if mem.bytes() == 8 { &[1, 2, 3, 4, 7, 8] } else { &[1, 2, 3, 4, 5, 8, 11, 16] }
}

fn each_width(mems: &[Mem], case: impl Fn(Mem, u8) -> Vec<Case>) {
    let cases: Vec<Case> = mems
        .iter()
        .flat_map(|&mem| lanes_of(mem).iter().flat_map(move |&lanes| [(mem, lanes)]))
        .flat_map(|(mem, lanes)| case(mem, lanes))
        .collect();
    check(&cases);
}

const FLOATS: [Mem; 2] = [Mem::F32, Mem::F64];
const INTS: [Mem; 2] = [Mem::I32, Mem::I64];

#[test]
fn float_unary() {
    use FUnary::{Abs, Ceil, Floor, Nearest, Neg, Sqrt, Trunc};
    each_width(&FLOATS, |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let case = |op| elementwise(&format!("{op:?}"), mem, mem, lanes, |b, [x, ..]| b.def(ty, Op::FUnary(op, x)));
        [Neg, Abs, Sqrt, Floor, Ceil, Nearest, Trunc].map(case).to_vec()
    });
}

#[test]
fn float_binary() {
    use FBinary::{Add, Div, Max, Min, Mul, Sub};
    each_width(&FLOATS, |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let case =
            |op| elementwise(&format!("{op:?}"), mem, mem, lanes, |b, [x, y, _]| b.def(ty, Op::FBinary(op, x, y)));
        [Add, Sub, Mul, Div, Min, Max].map(case).to_vec()
    });
}

#[test]
fn mul_add() {
    each_width(&FLOATS, |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        vec![elementwise("mul_add", mem, mem, lanes, |b, [x, y, z]| b.def(ty, Op::MulAdd(x, y, z)))]
    });
}

#[test]
fn int_binary() {
    use IBinary::{Add, And, Max, Min, Mul, Or, Sub, Xor};
    each_width(&INTS, |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let case =
            |op| elementwise(&format!("{op:?}"), mem, mem, lanes, |b, [x, y, _]| b.def(ty, Op::IBinary(op, x, y)));
        [Add, Sub, Mul, And, Or, Xor, Min, Max].map(case).to_vec()
    });
}

/// Bytes with a sign and without one, as they are and as what i8 keeps of a sum of two.
#[test]
fn bytes() {
    each_width(&[Mem::U8, Mem::I8], |mem, lanes| {
        let ty = Ty::new(Elem::I32, lanes);
        let plain = elementwise("as_word", mem, Mem::I32, lanes, |_, [x, ..]| x);
        let sum = elementwise("low_byte", mem, mem, lanes, |b, [x, y, _]| b.def(ty, Op::IBinary(IBinary::Add, x, y)));
        let wrapped = elementwise("wrapped", mem, Mem::I32, lanes, |b, [x, y, _]| {
            let sum = b.def(ty, Op::IBinary(IBinary::Add, x, y));
            let high = b.def(ty, Op::Shift(Shift::Left, sum, 24));
            b.def(ty, Op::Shift(Shift::RightS, high, 24))
        });
        vec![plain, sum, wrapped]
    });
}

/// The wide product that random numbers need: vectors of 32-bit lanes have no instruction for it.
#[test]
fn mul_high() {
    each_width(&[Mem::I32], |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let op = |b: &mut Build, x, y| b.def(ty, Op::IBinary(IBinary::MulHighU, x, y));
        vec![elementwise("mul_high", mem, mem, lanes, |b, [x, y, _]| op(b, x, y))]
    });
}

#[test]
fn floor_division() {
    for op in [IBinary::DivFloor, IBinary::ModFloor] {
        let by_value = INTS.map(|mem| {
            let ty = Ty::new(mem.elem(), 1);
            elementwise(&format!("{op:?}"), mem, mem, 1, |b, [x, y, _]| b.def(ty, Op::IBinary(op, x, y)))
        });
        check(&by_value);
        let by_constant = [-3i64, -1, 0, 1, 2, 3, 7, 1 << 20].map(|divisor| {
            elementwise(&format!("{op:?}_{divisor}"), Mem::I64, Mem::I64, 1, |b, [x, ..]| {
                let divisor = b.int(divisor);
                b.def(INDEX, Op::IBinary(op, x, divisor))
            })
        });
        check(&by_constant);
    }
}

#[test]
fn shifts() {
    each_width(&INTS, |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let mut cases = vec![];
        for shift in [Shift::Left, Shift::RightU, Shift::RightS] {
            for by in [0, 1, 13, ty.bits - 1] {
                let name = format!("{shift:?}_{by}");
                cases.push(elementwise(&name, mem, mem, lanes, |b, [x, ..]| b.def(ty, Op::Shift(shift, x, by))));
            }
        }
        cases
    });
}

const COMPARISONS: [Cmp; 6] = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge];

fn compare_op(mem: Mem, cmp: Cmp, x: V, y: V) -> Op {
    if FLOATS.contains(&mem) { Op::FCmp(cmp, x, y) } else { Op::ICmp(cmp, x, y) }
}

fn int_like(mem: Mem) -> Mem {
    if mem.bytes() == 8 { Mem::I64 } else { Mem::I32 }
}

#[test]
fn comparisons() {
    each_width(&[Mem::F32, Mem::F64, Mem::I32, Mem::I64], |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let out = int_like(mem);
        let case = |cmp| {
            elementwise(&format!("{cmp:?}"), mem, out, lanes, |b, [x, y, _]| {
                let mask = b.def(Ty::mask_of(ty), compare_op(mem, cmp, x, y));
                b.def(Ty::new(out.elem(), lanes), Op::Convert(Convert::MaskInt, mask))
            })
        };
        COMPARISONS.map(case).to_vec()
    });
}

#[test]
fn masks() {
    each_width(&[Mem::F32, Mem::F64, Mem::I32, Mem::I64], |mem, lanes| {
        let mask_ty = Ty::mask_of(Ty::new(mem.elem(), lanes));
        let out = int_like(mem);
        let case = |op: fn(V, V) -> Op| {
            elementwise("mask", mem, out, lanes, |b, [x, y, z]| {
                let less = b.def(mask_ty, compare_op(mem, Cmp::Lt, x, y));
                let other = b.def(mask_ty, compare_op(mem, Cmp::Le, y, z));
                let mask = b.def(mask_ty, op(less, other));
                b.def(Ty::new(out.elem(), lanes), Op::Convert(Convert::MaskInt, mask))
            })
        };
        vec![case(Op::MaskAnd), case(Op::MaskOr), case(|a, _| Op::MaskNot(a)), case(|a, b| Op::Select(a, b, a))]
    });
}

#[test]
fn selection() {
    each_width(&[Mem::F32, Mem::F64, Mem::I32, Mem::I64], |mem, lanes| {
        let ty = Ty::new(mem.elem(), lanes);
        let by_lane = elementwise("select", mem, mem, lanes, |b, [x, y, z]| {
            let mask = b.def(Ty::mask_of(ty), compare_op(mem, Cmp::Lt, x, y));
            b.def(ty, Op::Select(mask, y, z))
        });
        let combined = elementwise("select_and", mem, mem, lanes, |b, [x, y, z]| {
            let less = b.def(Ty::mask_of(ty), compare_op(mem, Cmp::Lt, x, y));
            let other = b.def(Ty::mask_of(ty), compare_op(mem, Cmp::Lt, y, z));
            let both = b.def(Ty::mask_of(ty), Op::MaskAnd(less, other));
            b.def(ty, Op::Select(both, x, z))
        });
        let whole = elementwise("select_whole", mem, mem, lanes, |b, [x, y, z]| {
            let scalar = Ty::new(mem.elem(), 1);
            let first = if lanes == 1 { x } else { b.def(scalar, Op::Extract(x, 0)) };
            let other = if lanes == 1 { y } else { b.def(scalar, Op::Extract(y, lanes - 1)) };
            let mask = b.def(Ty::mask_of(scalar), compare_op(mem, Cmp::Lt, first, other));
            b.def(ty, Op::Select(mask, y, z))
        });
        vec![by_lane, combined, whole]
    });
}

fn conversion(convert: Convert, from: Mem, to: Mem, lanes: u8) -> Case {
    elementwise(&format!("{convert:?}"), from, to, lanes, |b, [x, ..]| {
        b.def(Ty::new(to.elem(), lanes), Op::Convert(convert, x))
    })
}

#[test]
fn scalar_conversions() {
    use Convert::*;
    use Mem::{F32, F64, I32, I64};
    let cases = [
        (F32F64, F32, F64),
        (F64F32, F64, F32),
        (F32I32, F32, I32),
        (F64I32, F64, I32),
        (F32I64, F32, I64),
        (F64I64, F64, I64),
        (I32F32, I32, F32),
        (I32F64, I32, F64),
        (I64F32, I64, F32),
        (I64F64, I64, F64),
        (I32I64, I32, I64),
        (I64I32, I64, I32),
        (F32BitsI32, F32, I32),
        (I32BitsF32, I32, F32),
        (F64BitsI64, F64, I64),
        (I64BitsF64, I64, F64),
    ];
    check(&cases.map(|(convert, from, to)| conversion(convert, from, to, 1)));
}

#[test]
fn vector_conversions() {
    use Convert::{F32BitsI32, F32I32, F64BitsI64, F64I64, I32BitsF32, I32F32, I64BitsF64, I64F64};
    use Mem::{F32, F64, I32, I64};
    for lanes in [2, 3, 4] {
        let cases = [(F32I32, F32, I32), (I32F32, I32, F32), (F32BitsI32, F32, I32), (I32BitsF32, I32, F32)];
        check(&cases.map(|(convert, from, to)| conversion(convert, from, to, lanes)));
    }
    let cases = [(F64I64, F64, I64), (I64F64, I64, F64), (F64BitsI64, F64, I64), (I64BitsF64, I64, F64)];
    check(&cases.map(|(convert, from, to)| conversion(convert, from, to, 2)));
}

#[test]
fn lanes_and_scalars() {
    let mems = [Mem::F32, Mem::F64, Mem::I32, Mem::I64];
    let mut cases = vec![];
    for (mem, &lanes) in mems.iter().flat_map(|&mem| lanes_of(mem)[1..].iter().map(move |lanes| (mem, lanes))) {
        let (ty, scalar) = (Ty::new(mem.elem(), lanes), Ty::new(mem.elem(), 1));
        for lane in 0..lanes {
            cases.push(elementwise("splat", mem, mem, lanes, |b, [x, ..]| {
                let one = b.def(scalar, Op::Extract(x, lane));
                b.def(ty, Op::Splat(one))
            }));
        }
        cases.push(elementwise("reverse", mem, mem, lanes, |b, [x, ..]| {
            let scalars: SmallVec<[V; 4]> = (0..lanes).rev().map(|n| b.def(scalar, Op::Extract(x, n))).collect();
            b.def(ty, Op::Pack(scalars))
        }));
    }
    check(&cases);
}

#[test]
fn masks_of_scalars() {
    each_width(&[Mem::F32, Mem::F64], |mem, lanes| {
        if lanes == 1 {
            return vec![];
        }
        let (ty, scalar) = (Ty::new(mem.elem(), lanes), Ty::new(mem.elem(), 1));
        let reversed = elementwise("mask_pack", mem, mem, lanes, |b, [x, y, z]| {
            let mask = b.def(Ty::mask_of(ty), Op::FCmp(Cmp::Lt, x, y));
            let one = Ty::mask_of(scalar);
            let scalars: SmallVec<[V; 4]> = (0..lanes).rev().map(|n| b.def(one, Op::Extract(mask, n))).collect();
            let mask = b.def(Ty::mask_of(ty), Op::Pack(scalars));
            b.def(ty, Op::Select(mask, y, z))
        });
        let splat = elementwise("mask_splat", mem, mem, lanes, |b, [x, y, z]| {
            let mask = b.def(Ty::mask_of(ty), Op::FCmp(Cmp::Lt, x, y));
            let one = b.def(Ty::mask_of(scalar), Op::Extract(mask, lanes - 1));
            let mask = b.def(Ty::mask_of(ty), Op::Splat(one));
            b.def(ty, Op::Select(mask, y, z))
        });
        let constant = elementwise("mask_constant", mem, mem, lanes, |b, [_, y, z]| {
            let bits = (0..u64::from(lanes)).map(|n| n % 2).collect();
            let mask = b.def(Ty::mask_of(ty), Op::Const(bits));
            b.def(ty, Op::Select(mask, y, z))
        });
        vec![reversed, splat, constant]
    });
}

#[test]
fn constants() {
    let mut cases = vec![];
    let add = |name: &str, mem: Mem, lanes: u8, bits: SmallVec<[u64; 1]>| {
        let ty = Ty::new(mem.elem(), lanes);
        elementwise(name, mem, mem, lanes, move |b, _| b.def(ty, Op::Const(bits.clone())))
    };
    let floats = [0, 0x8000_0000, 0x3f80_0000, 0x7fc0_0000, 1];
    for (n, bits) in floats.into_iter().enumerate() {
        cases.push(add(&format!("f32_{n}"), Mem::F32, 1, smallvec![bits]));
        cases.push(add(&format!("f32x4_{n}"), Mem::F32, 4, smallvec![bits]));
        cases.push(add(&format!("f32x3_{n}"), Mem::F32, 3, smallvec![bits, 1, 2]));
    }
    for bits in [0, 0xffff_ffff, 0x8000_0000] {
        cases.push(add("i32", Mem::I32, 1, smallvec![bits]));
        cases.push(add("i32x4", Mem::I32, 4, smallvec![bits, 7, bits, 9]));
    }
    for bits in [0, u64::MAX, 1 << 63] {
        cases.push(add("i64", Mem::I64, 1, smallvec![bits]));
        cases.push(add("i64x2", Mem::I64, 2, smallvec![bits, 7]));
        cases.push(add("f64", Mem::F64, 1, smallvec![bits]));
        cases.push(add("f64x2", Mem::F64, 2, smallvec![bits]));
    }
    check(&cases);
}

/// A mask that is a whole value can be tested and carried.
#[test]
fn scalar_masks_in_control() {
    let mut b = Build::new("control", 3);
    let (input, out, n) = (b.ptr(0), b.ptr(1), b.size(2));
    let zero = b.int(0);
    let f = Ty::new(Elem::F32, 1);
    let start = b.def(f, Op::Const(smallvec![0]));
    let never = b.def(Ty::mask_of(f), Op::Const(smallvec![0]));
    let results = b.repeat((zero, n, 1), &[start, never], |b, index, carried| {
        let place = b.element(input, index, 4);
        let x = b.load(Mem::F32, 1, place, 0, Tail::Full);
        let above = b.def(Ty::mask_of(f), Op::FCmp(Cmp::Gt, x, carried[0]));
        let sum = b.def(f, Op::FBinary(FBinary::Max, x, carried[0]));
        b.push();
        let target = b.element(out, index, 4);
        b.store(Mem::F32, target, 0, Tail::Full, x);
        let then = b.pop();
        b.push();
        let target = b.element(out, index, 4);
        b.store(Mem::F32, target, 0, Tail::Full, carried[0]);
        let otherwise = b.pop();
        b.inst(mlc_kernel::lane::Inst::If { condition: above, then, otherwise });
        vec![sum, above]
    });
    let seen = b.def(Ty::new(Elem::I32, 1), Op::Convert(Convert::MaskInt, results[1]));
    let seen = b.def(f, Op::Convert(Convert::I32F32, seen));
    let last = b.element(out, n, 4);
    b.store(Mem::F32, last, 0, Tail::Full, results[0]);
    b.store(Mem::F32, last, 4, Tail::Full, seen);
    let lane = b.finish();
    let case = |n: usize| Case {
        lane: lane.clone(),
        frame: frame(2, &[n as i64]),
        buffers: vec![Buffer::f32(&F32[..n]), Buffer::filled(Mem::F32, n + 2)],
        tiles: (0, 1),
    };
    check(&[0, 1, 2, 5, F32.len()].map(case));
}
