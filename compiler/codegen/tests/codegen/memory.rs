//! Loads and stores: every tail, unaligned and strided rows, bytes, scratch memory, tiles.

use crate::build::{Build, INDEX};
use crate::check::{Buffer, Case, check, frame};
use mlc_kernel::interp::Word;
use mlc_kernel::lane::{Cmp, Elem, FBinary, IBinary, Mem, Op, Tail, Ty, V};
use smallvec::SmallVec;

const MEMS: [Mem; 6] = [Mem::F32, Mem::F64, Mem::I32, Mem::I64, Mem::U8, Mem::I8];

fn most_lanes(mem: Mem) -> u8 {
    if mem.bytes() == 8 { 8 } else { 16 }
}

fn counting(mem: Mem, elements: usize) -> Buffer {
    let bytes = (0..elements * mem.bytes() as usize).map(|n| (n * 37 + 11) as u8).collect();
    // Integers of the same width compare every bit, also those of NaN.
    let mem = match mem {
        Mem::F32 => Mem::I32,
        Mem::F64 => Mem::I64,
        other => other,
    };
    Buffer { mem, bytes }
}

/// `out[0..lanes] = in[0..count]` with zeros behind, then `out[lanes..][..count] = in[0..count]`, with
/// buffers that have `count` elements more than nothing.
fn tail_case(mem: Mem, lanes: u8, count: u8, tail: impl Fn(&mut Build) -> Tail) -> Case {
    let mut b = Build::new(&format!("tail_{mem:?}x{lanes}_{count}"), 3);
    let (input, all, part) = (b.ptr(0), b.ptr(1), b.ptr(2));
    let tail = tail(&mut b);
    let value = b.load(mem, lanes, input, 0, tail);
    b.store(mem, all, 0, Tail::Full, value);
    b.store(mem, part, 0, tail, value);
    let (count, lanes) = (usize::from(count), usize::from(lanes));
    let buffers = vec![counting(mem, count), Buffer::filled(mem, lanes), Buffer::filled(mem, count)];
    Case { lane: b.finish(), frame: frame(3, &[]), buffers, tiles: (0, 1) }
}

#[test]
fn constant_tails() {
    let mut cases = vec![];
    for mem in MEMS {
        for lanes in 1..=most_lanes(mem) {
            cases.push(tail_case(mem, lanes, lanes, |_| Tail::Full));
            cases.extend((1..lanes).map(|count| tail_case(mem, lanes, count, |_| Tail::Const(count))));
        }
    }
    check(&cases);
}

#[test]
fn counted_tails() {
    let mut cases = vec![];
    for mem in MEMS {
        for lanes in 1..=most_lanes(mem) {
            cases.extend((0..=lanes).map(|count| {
                tail_case(mem, lanes, count, |b| {
                    let one = b.def(INDEX, Op::TileHigh);
                    let less = b.int(1 - i64::from(count));
                    Tail::Value(b.def(INDEX, Op::IBinary(IBinary::Sub, one, less)))
                })
            }));
        }
    }
    check(&cases);
}

/// Adds rows of `columns` elements that lie `stride` bytes apart and start `skip` bytes into memory:
/// whatever is folded into an instruction must not claim alignment.
fn rows_case(mem: Mem, columns: i64, stride: i64, skip: i64) -> Case {
    let lanes = most_lanes(mem);
    let ty = Ty::new(mem.elem(), lanes);
    let mut b = Build::new(&format!("rows_{mem:?}"), 5);
    let (input, out) = (b.ptr(0), b.ptr(1));
    let (rows, columns_v, stride_v) = (b.size(2), b.size(3), b.size(4));
    let zero = b.int(0);
    b.repeat((zero, rows, 1), &[], |b, row, _| {
        let offset = b.def(INDEX, Op::IBinary(IBinary::Mul, row, stride_v));
        let from = b.def(crate::build::ADDRESS, Op::PtrAdd(input, offset));
        b.repeat((zero, columns_v, i64::from(lanes)), &[], |b, column, _| {
            let from = b.element(from, column, mem.bytes());
            let to = b.element(out, column, mem.bytes());
            let rest = b.def(INDEX, Op::IBinary(IBinary::Sub, columns_v, column));
            let most = b.int(i64::from(lanes));
            let tail = Tail::Value(b.def(INDEX, Op::IBinary(IBinary::Min, rest, most)));
            let x = b.load(mem, lanes, from, 0, tail);
            let sum = b.load(mem, lanes, to, 0, tail);
            let sum = add(b, ty, x, sum);
            b.store(mem, to, 0, tail, sum);
            vec![]
        });
        vec![]
    });
    let rows = 3;
    let bytes = skip + (rows - 1) * stride + columns * mem.bytes();
    let buffers = vec![
        counting(mem, (bytes / mem.bytes()) as usize),
        Buffer { mem, bytes: vec![0; ((columns + 1) * mem.bytes()) as usize] },
    ];
    let frame = vec![
        Word::Ptr { buffer: 0, offset: skip },
        Word::Ptr { buffer: 1, offset: mem.bytes() },
        Word::Size(rows),
        Word::Size(columns),
        Word::Size(stride),
    ];
    Case { lane: b.finish(), frame, buffers, tiles: (0, 1) }
}

fn add(b: &mut Build, ty: Ty, x: V, y: V) -> V {
    match ty.elem {
        Elem::F32 | Elem::F64 => b.def(ty, Op::FBinary(FBinary::Add, x, y)),
        _ => b.def(ty, Op::IBinary(IBinary::Add, x, y)),
    }
}

#[test]
fn unaligned_and_strided_rows() {
    let mut cases = vec![];
    for mem in MEMS {
        for columns in [1, 4, 7, 9] {
            for (gap, skip) in [(0, 0), (1, 1), (2, 3), (5, 0)] {
                let stride = (columns + gap) * mem.bytes();
                cases.push(rows_case(mem, columns, stride, skip * mem.bytes()));
            }
        }
    }
    check(&cases);
}

type BinaryOp = Box<dyn Fn(&mut Build, V, V) -> V>;

/// Ops of two operands of that type; a comparison as the numbers it chooses.
fn ops_of(ty: Ty) -> Vec<BinaryOp> {
    const CMPS: [Cmp; 6] = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge];
    let is_float = matches!(ty.elem, Elem::F32 | Elem::F64);
    let mut ops: Vec<BinaryOp> = Vec::new();
    for cmp in CMPS {
        ops.push(Box::new(move |b, x, y| {
            let mask = b.def(Ty::mask_of(ty), if is_float { Op::FCmp(cmp, x, y) } else { Op::ICmp(cmp, x, y) });
            let [yes, no] = [3, 5].map(|bits| b.def(ty, Op::Const(SmallVec::from_elem(bits, 1))));
            b.def(ty, Op::Select(mask, yes, no))
        }));
    }
    if is_float {
        use FBinary::{Add, Div, Max, Min, Mul, Sub};
        for op in [Add, Sub, Mul, Div, Min, Max] {
            ops.push(Box::new(move |b, x, y| b.def(ty, Op::FBinary(op, x, y))));
        }
    } else {
        use IBinary::{Add, And, Max, Min, Mul, Or, Sub, Xor};
        for op in [Add, Sub, Mul, And, Or, Xor, Min, Max] {
            ops.push(Box::new(move |b, x, y| b.def(ty, Op::IBinary(op, x, y))));
        }
    }
    ops
}

#[test]
fn full_vectors_need_no_alignment() {
    let mut cases = vec![];
    let mems = [(Mem::F32, 4), (Mem::I32, 12), (Mem::F64, 8), (Mem::I64, 8)];
    for ((mem, displacement), bytes) in mems.into_iter().flat_map(|mem| [16, 32, 64].map(|bytes| (mem, bytes))) {
        let lanes = bytes / mem.bytes() as u8;
        let ty = Ty::new(mem.elem(), lanes);
        for (number, op) in ops_of(ty).into_iter().enumerate() {
            // Either operand may be what is folded into the instruction.
            for places in [[0, displacement], [displacement, 0]] {
                let mut b = Build::new(&format!("folded_{mem:?}_{number}"), 2);
                let (input, out) = (b.ptr(0), b.ptr(1));
                let [x, y] = places.map(|place| b.load(mem, lanes, input, place, Tail::Full));
                let value = op(&mut b, x, y);
                b.store(mem, out, displacement, Tail::Full, value);
                let elements = i64::from(lanes) + i64::from(displacement) / mem.bytes();
                let buffers = vec![counting(mem, elements as usize), Buffer::filled(mem, elements as usize)];
                cases.push(Case { lane: b.finish(), frame: frame(2, &[]), buffers, tiles: (0, 1) });
            }
        }
    }
    check(&cases);
}

/// A transposed copy through scratch memory, over a range of tiles.
#[test]
fn scratch_and_tiles() {
    let (rows, columns) = (5i64, 4i64);
    let mut b = Build::new("transpose", 2);
    let (input, out) = (b.ptr(0), b.ptr(1));
    let scratch = b.scratch((rows * columns * 4) as u32);
    let (low, high) = (b.def(INDEX, Op::TileLow), b.def(INDEX, Op::TileHigh));
    let zero = b.int(0);
    let columns_v = b.int(columns);
    b.repeat((low, high, 1), &[], |b, row, _| {
        b.repeat((zero, columns_v, 1), &[], |b, column, _| {
            let at = b.element(input, row, columns * 4);
            let at = b.element(at, column, 4);
            let x = b.load(Mem::F32, 1, at, 0, Tail::Full);
            let to = b.element(scratch, column, rows * 4);
            let to = b.element(to, row, 4);
            b.store(Mem::F32, to, 0, Tail::Full, x);
            vec![]
        });
        b.repeat((zero, columns_v, 1), &[], |b, column, _| {
            let at = b.element(scratch, column, rows * 4);
            let at = b.element(at, row, 4);
            let x = b.load(Mem::F32, 1, at, 0, Tail::Full);
            let to = b.element(out, column, rows * 4);
            let to = b.element(to, row, 4);
            b.store(Mem::F32, to, 0, Tail::Full, x);
            vec![]
        });
        vec![]
    });
    let lane = b.finish();
    let elements = (rows * columns) as usize;
    let case = |tiles| Case {
        lane: lane.clone(),
        frame: frame(2, &[]),
        buffers: vec![counting(Mem::F32, elements), Buffer::filled(Mem::F32, elements)],
        tiles,
    };
    check(&[(0, 5), (1, 3), (4, 5), (2, 2)].map(case));
}
