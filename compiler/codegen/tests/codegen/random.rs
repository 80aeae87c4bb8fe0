//! Random kernels: the interpreter and compiled code agree on what no hand wrote.

use crate::build::{ADDRESS, Build, INDEX};
use crate::check::{Buffer, Case, check, frame};
use crate::ops::{F32, F64, I32, I64};
use mlc_kernel::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Inst, Mem, Op, Shift, Tail, Ty, V};

/// xorshift64*: the same numbers everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Elements of each input buffer.
const INPUT: usize = 48;
/// Results that a kernel can store.
const OUTPUTS: usize = 96;
/// Bytes for each of them.
const OUTPUT_BYTES: usize = 128;

const MEMS: [Mem; 6] = [Mem::F32, Mem::F64, Mem::I32, Mem::I64, Mem::U8, Mem::I8];

struct Generator {
    /// Of vectors.
    bytes: u32,
    b: Build,
    random: Random,
    inputs: Vec<V>,
    out: V,
    outputs: usize,
    /// Number and mask values that are visible.
    visible: Vec<V>,
}

impl Generator {
    fn step(&mut self, depth: usize) {
        match self.random.below(24) {
            0..3 => self.load(),
            3 if depth < 3 => self.repeat(depth),
            4 if depth < 3 => self.condition(depth),
            5 => self.store(),
            _ => self.op(),
        }
    }

    fn define(&mut self, ty: Ty, op: Op) -> V {
        let v = self.b.def(ty, op);
        self.visible.push(v);
        v
    }

    fn load(&mut self) {
        let kind = self.random.below(MEMS.len());
        let mem = MEMS[kind];
        let lanes = self.lanes(mem);
        let first = self.random.below(INPUT - usize::from(lanes) + 1) as i32;
        let tail = self.tail(lanes);
        let op = Op::Load { ptr: self.inputs[kind], disp: first * mem.bytes() as i32, mem, tail };
        self.define(Ty::new(mem.elem(), lanes), op);
    }

    fn lanes(&mut self, mem: Mem) -> u8 {
        self.lanes_of(if mem.bytes() == 8 { 64 } else { 32 }, 1)
    }

    /// From `least` lanes on; most often as many as there can be.
    fn lanes_of(&mut self, bits: u32, least: u8) -> u8 {
        let most = (self.bytes * 8 / bits) as u8;
        if self.random.below(2) == 0 { most } else { least + self.random.below(usize::from(most - least) + 1) as u8 }
    }

    fn tail(&mut self, lanes: u8) -> Tail {
        match self.random.below(4) {
            0 if lanes > 1 => Tail::Const(1 + self.random.below(usize::from(lanes) - 1) as u8),
            1 => {
                let count = self.random.below(usize::from(lanes) + 1) as i64;
                Tail::Value(self.b.int(count))
            }
            _ => Tail::Full,
        }
    }

    fn some(&mut self) -> V {
        let visible = &self.visible[..];
        self.random.pick(visible)
    }

    /// A visible value of type `ty`: `like` if there is no other.
    fn same(&mut self, like: V) -> V {
        let ty = self.b.ty(like);
        let all: Vec<V> = self.visible.iter().copied().filter(|&v| self.b.ty(v) == ty).collect();
        self.random.pick(&all)
    }

    fn op(&mut self) {
        let a = self.some();
        let b = self.same(a);
        let ty = self.b.ty(a);
        match ty.elem {
            Elem::F32 | Elem::F64 => self.float_op(ty, a, b),
            Elem::I32 | Elem::I64 => self.int_op(ty, a, b),
            Elem::Mask => self.mask_op(ty, a, b),
            Elem::Ptr => {}
        }
    }

    fn float_op(&mut self, ty: Ty, a: V, b: V) {
        use FBinary::{Add, Div, Max, Min, Mul, Sub};
        use FUnary::{Abs, Ceil, Floor, Nearest, Neg, Sqrt, Trunc};
        let op = match self.random.below(8) {
            0 => Op::FUnary(self.random.pick(&[Neg, Abs, Sqrt, Floor, Ceil, Nearest, Trunc]), a),
            1..4 => Op::FBinary(self.random.pick(&[Add, Sub, Mul, Div, Min, Max]), a, b),
            4 | 5 => Op::MulAdd(a, b, self.same(a)),
            6 => return self.compare(ty, a, b),
            _ => return self.reshape(ty, a),
        };
        self.define(ty, op);
    }

    fn int_op(&mut self, ty: Ty, a: V, b: V) {
        use IBinary::{Add, And, DivFloor, Max, Min, ModFloor, Mul, MulHighU, Or, Sub, Xor};
        let op = match self.random.below(8) {
            0..4 => Op::IBinary(self.random.pick(&[Add, Sub, Mul, And, Or, Xor, Min, Max]), a, b),
            4 if ty.bits == 32 => Op::IBinary(MulHighU, a, b),
            4 | 5 if ty.lanes == 1 => Op::IBinary(self.random.pick(&[DivFloor, ModFloor]), a, b),
            6 => return self.compare(ty, a, b),
            7 => return self.reshape(ty, a),
            _ => {
                let shift = self.random.pick(&[Shift::Left, Shift::RightU, Shift::RightS]);
                Op::Shift(shift, a, self.random.below(usize::from(ty.bits)) as u8)
            }
        };
        self.define(ty, op);
    }

    fn compare(&mut self, ty: Ty, a: V, b: V) {
        let cmp = self.random.pick(&[Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge]);
        let is_float = matches!(ty.elem, Elem::F32 | Elem::F64);
        let mask = self.define(Ty::mask_of(ty), if is_float { Op::FCmp(cmp, a, b) } else { Op::ICmp(cmp, a, b) });
        let chosen = if self.random.below(2) == 0 { Op::Select(mask, a, b) } else { Op::Select(mask, b, a) };
        self.define(ty, chosen);
    }

    fn mask_op(&mut self, ty: Ty, a: V, b: V) {
        let op = match self.random.below(5) {
            0 => Op::MaskAnd(a, b),
            1 => Op::MaskOr(a, b),
            2 => Op::MaskNot(a),
            3 => Op::Select(a, b, self.same(a)),
            _ => {
                let elem = if ty.bits == 32 { Elem::I32 } else { Elem::I64 };
                self.define(Ty::new(elem, ty.lanes), Op::Convert(Convert::MaskInt, a));
                return;
            }
        };
        self.define(ty, op);
    }

    /// To another type. Not the bits of floats: NaN may differ in them.
    fn reshape(&mut self, ty: Ty, a: V) {
        match self.random.below(3) {
            0 if ty.lanes > 1 => {
                let lane = self.random.below(usize::from(ty.lanes)) as u8;
                self.define(Ty { lanes: 1, ..ty }, Op::Extract(a, lane));
            }
            1 if ty.lanes == 1 => {
                let lanes = self.lanes_of(u32::from(ty.bits), 2);
                let spread = Ty { lanes, ..ty };
                if self.random.below(2) == 0 {
                    self.define(spread, Op::Splat(a));
                } else {
                    let scalars = (0..lanes).map(|_| self.same(a)).collect();
                    self.define(spread, Op::Pack(scalars));
                }
            }
            _ => self.convert(ty, a),
        }
    }

    fn convert(&mut self, ty: Ty, a: V) {
        use Convert::{F32F64, F32I32, F32I64, F64F32, F64I32, F64I64, I32F32, I32F64, I32I64, I64F32, I64F64, I64I32};
        let scalar = ty.lanes == 1;
        let (convert, elem) = match (ty.elem, scalar) {
            (Elem::F32, true) => self.random.pick(&[(F32F64, Elem::F64), (F32I32, Elem::I32), (F32I64, Elem::I64)]),
            (Elem::F64, true) => self.random.pick(&[(F64F32, Elem::F32), (F64I32, Elem::I32), (F64I64, Elem::I64)]),
            (Elem::I32, true) => self.random.pick(&[(I32F32, Elem::F32), (I32F64, Elem::F64), (I32I64, Elem::I64)]),
            (Elem::I64, true) => self.random.pick(&[(I64F32, Elem::F32), (I64F64, Elem::F64), (I64I32, Elem::I32)]),
            (Elem::F32, false) => (F32I32, Elem::I32),
            (Elem::F64, false) => (F64I64, Elem::I64),
            (Elem::I32, false) => (I32F32, Elem::F32),
            (Elem::I64, false) => (I64F64, Elem::F64),
            (Elem::Mask | Elem::Ptr, _) => return,
        };
        self.define(Ty::new(elem, ty.lanes), Op::Convert(convert, a));
    }

    /// Numbers alone are stored, each to a place of its own.
    fn store(&mut self) {
        let numbers: Vec<V> = self.visible.iter().copied().filter(|&v| self.b.ty(v).elem != Elem::Mask).collect();
        if self.outputs == OUTPUTS || numbers.is_empty() {
            return;
        }
        let value = self.random.pick(&numbers);
        let ty = self.b.ty(value);
        let tail = self.tail(ty.lanes);
        let bytes = i32::from(ty.lanes) * i32::from(ty.bits) / 8;
        // At the end of the place, at an address that is aligned to elements alone.
        let disp = (self.outputs * OUTPUT_BYTES + OUTPUT_BYTES) as i32 - bytes;
        self.outputs += 1;
        // Floats are stored without their NaN: the buffer is compared as bytes.
        let value = self.without_nan(value);
        let mem = match ty.elem {
            Elem::F32 => Mem::F32,
            Elem::F64 => Mem::F64,
            Elem::I32 => self.random.pick(&[Mem::I32, Mem::U8, Mem::I8]),
            Elem::I64 | Elem::Ptr | Elem::Mask => Mem::I64,
        };
        self.b.store(mem, self.out, disp, tail, value);
    }

    fn without_nan(&mut self, value: V) -> V {
        let ty = self.b.ty(value);
        if !matches!(ty.elem, Elem::F32 | Elem::F64) {
            return value;
        }
        let is_number = self.b.def(Ty::mask_of(ty), Op::FCmp(Cmp::Eq, value, value));
        let other = self.b.def(ty, Op::Const([1234].into_iter().collect()));
        self.b.def(ty, Op::Select(is_number, value, other))
    }

    fn steps(&mut self, count: usize, depth: usize) {
        let (visible, before) = (self.visible.len(), count);
        for _ in 0..before {
            self.step(depth);
        }
        self.store();
        if depth > 0 {
            self.visible.truncate(visible);
        }
    }

    fn repeat(&mut self, depth: usize) {
        let low = self.b.int(self.random.below(3) as i64 - 1);
        let high = self.b.int(self.random.below(8) as i64 - 1);
        let step = 1 + self.random.below(3) as i64;
        let init: Vec<V> = (0..self.random.pick(&[0, 1, 2, 3, 9])).map(|_| self.some()).collect();
        let types: Vec<Ty> = init.iter().map(|&v| self.b.ty(v)).collect();
        let index = self.b.value(INDEX);
        let params: Vec<V> = types.iter().map(|&ty| self.b.value(ty)).collect();
        let outer = self.visible.len();
        self.visible.push(index);
        self.visible.extend(&params);
        self.b.push();
        for _ in 0..6 {
            self.step(depth + 1);
        }
        let next: Vec<V> = params.iter().map(|&param| self.same(param)).collect();
        self.store();
        let body = self.b.pop();
        self.visible.truncate(outer);
        let results: Vec<V> = types.iter().map(|&ty| self.b.value(ty)).collect();
        self.visible.extend(&results);
        self.b.inst(Inst::Loop { index, low, high, step, init, params, body, next, results });
    }

    fn condition(&mut self, depth: usize) {
        let scalar = |b: &Build, v: V| b.ty(v).elem == Elem::Mask && b.ty(v).lanes == 1;
        let masks: Vec<V> = self.visible.iter().copied().filter(|&v| scalar(&self.b, v)).collect();
        if masks.is_empty() {
            return;
        }
        let condition = self.random.pick(&masks);
        let [then, otherwise] = [4, 3].map(|count| {
            self.b.push();
            self.steps(count, depth + 1);
            self.b.pop()
        });
        self.b.inst(Inst::If { condition, then, otherwise });
    }
}

fn kernel(seed: u64, bytes: u32) -> Case {
    let mut b = Build::new(&format!("random_{bytes}_{seed}"), 8);
    let inputs = (0..6).map(|n| b.ptr(n)).collect();
    let out = b.ptr(6);
    let size = b.def(INDEX, Op::FrameSize(7));
    let low = b.def(INDEX, Op::TileLow);
    let high = b.def(INDEX, Op::TileHigh);
    let scratch = b.scratch(16);
    let zero = b.int(0);
    b.def(ADDRESS, Op::PtrAdd(scratch, zero));
    let visible = vec![size, low, high];
    let mut generator = Generator { bytes, b, random: Random::new(seed), inputs, out, outputs: 0, visible };
    for _ in 0..6 {
        generator.load();
    }
    generator.steps(40, 0);
    for _ in 0..12 {
        generator.store();
    }
    let mut random = generator.random;
    let buffers = inputs_of(&mut random);
    Case { lane: generator.b.finish(), frame: frame(7, &[5]), buffers, tiles: (1, 4) }
}

fn inputs_of(random: &mut Random) -> Vec<Buffer> {
    let mut some = |bytes: usize| random.next().to_le_bytes()[..bytes].to_vec();
    let bytes: Vec<u8> = (0..INPUT).flat_map(|_| some(1)).collect();
    vec![
        Buffer::f32(&std::array::from_fn::<_, INPUT, _>(|_| random.pick(&F32))),
        Buffer::f64(&std::array::from_fn::<_, INPUT, _>(|_| random.pick(&F64))),
        Buffer::i32(&std::array::from_fn::<_, INPUT, _>(|_| random.pick(&I32))),
        Buffer::i64(&std::array::from_fn::<_, INPUT, _>(|_| random.pick(&I64))),
        Buffer { mem: Mem::U8, bytes: bytes.clone() },
        Buffer { mem: Mem::I8, bytes },
        Buffer::filled(Mem::U8, OUTPUTS * OUTPUT_BYTES),
    ]
}

#[test]
fn random_kernels() {
    for bytes in [16, 32, 64] {
        let cases: Vec<Case> = (1..=300).map(|seed| kernel(seed, bytes)).collect();
        check(&cases);
    }
}
