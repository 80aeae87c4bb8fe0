//! What Lane code means: an exact interpreter over simulated memory. Emitters are tested against it,
//! bit for bit (payloads of NaN apart).
//!
//! Memory is a list of buffers; an address holds the number of its buffer, so an address into one
//! buffer never reaches another. Every access is tested: one beyond its buffer, or not aligned to
//! its element, is a bug of the kernel and an internal error that names it.

use crate::lane::{Block, Cmp, Convert, Elem, FBinary, FUnary, IBinary, Inst, Lane, Mem, Op, Shift, Tail, Ty, V};
use smallvec::{SmallVec, smallvec};

/// How `MulAdd` rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Once.
    Fused,
    /// Twice: the product, then the sum. For levels without FMA.
    Split,
}

/// A word of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A place in one of the buffers.
    Ptr {
        /// Position in the list.
        buffer: usize,
        /// In bytes.
        offset: i64,
    },
    /// A size.
    Size(i64),
}

/// Runs tiles `low..high` of a kernel. Scratch memory starts as bytes of all ones (NaN, -1).
pub fn run(lane: &Lane, rounding: Rounding, frame: &[Word], buffers: &mut [Vec<u8>], low: i64, high: i64) {
    let values = vec![Lanes::new(); lane.types.len()];
    let scratch = vec![0xff; lane.scratch_bytes as usize];
    Interp { lane, rounding, frame, buffers, scratch, values, low, high }.block(&lane.body);
}

/// The elements of a value, each in the low bits: a mask is 0 or 1, an address a [`pointer`].
type Lanes = SmallVec<[u64; 4]>;

const BUFFER_SHIFT: u32 = 40;
/// Added to offsets, so that an address a little below its buffer keeps the buffer's number.
const OFFSET_BIAS: i64 = 1 << (BUFFER_SHIFT - 1);

fn pointer(buffer: usize, offset: i64) -> u64 {
    ((buffer as u64) << BUFFER_SHIFT).wrapping_add((offset + OFFSET_BIAS) as u64)
}

struct Interp<'a> {
    lane: &'a Lane,
    rounding: Rounding,
    frame: &'a [Word],
    buffers: &'a mut [Vec<u8>],
    /// The buffer after the last.
    scratch: Vec<u8>,
    values: Vec<Lanes>,
    low: i64,
    high: i64,
}

impl Interp<'_> {
    fn bug(&self, what: &str) -> ! {
        mlc_ir::internal_error("mlc-kernel", &format!("kernel `{}`: {what}", self.lane.name))
    }

    fn block(&mut self, block: &Block) {
        for inst in &block.insts {
            self.inst(inst);
        }
    }

    fn inst(&mut self, inst: &Inst) {
        match inst {
            Inst::Def { result, op } => {
                let value = self.op(op, self.ty(*result));
                self.values[result.index()] = value;
            }
            Inst::Store { ptr, disp, mem, tail, value } => self.store(*ptr, *disp, *mem, *tail, *value),
            Inst::Prefetch { .. } => {}
            Inst::Loop { index, low, high, step, init, params, body, next, results } => {
                let (mut turn, high) = (self.int(*low), self.int(*high));
                self.copy(init, params);
                while turn < high {
                    self.values[index.index()] = smallvec![turn as u64];
                    self.block(body);
                    self.copy(next, params);
                    turn = turn.checked_add(*step).unwrap_or_else(|| self.bug("a loop's index is beyond i64"));
                }
                self.copy(params, results);
            }
            Inst::If { condition, then, otherwise } => {
                let taken = if self.values[condition.index()][0] != 0 { then } else { otherwise };
                self.block(taken);
            }
        }
    }

    /// All at once: a value may be both read and written.
    fn copy(&mut self, from: &[V], to: &[V]) {
        let values: Vec<Lanes> = from.iter().map(|v| self.values[v.index()].clone()).collect();
        for (v, value) in to.iter().zip(values) {
            self.values[v.index()] = value;
        }
    }

    fn ty(&self, v: V) -> Ty {
        self.lane.types[v.index()]
    }

    fn int(&self, v: V) -> i64 {
        self.values[v.index()][0] as i64
    }

    fn op(&self, op: &Op, ty: Ty) -> Lanes {
        match op {
            Op::Const(bits) => self.constant(bits, ty),
            Op::FrameSize(word) => match self.frame.get(*word as usize) {
                Some(Word::Size(size)) => smallvec![*size as u64],
                other => self.bug(&format!("frame word {word} is {other:?}, not a size")),
            },
            Op::FramePtr(word) => match self.frame.get(*word as usize) {
                Some(Word::Ptr { buffer, offset }) => smallvec![pointer(*buffer, *offset)],
                other => self.bug(&format!("frame word {word} is {other:?}, not an address")),
            },
            Op::ScratchPtr => smallvec![pointer(self.buffers.len(), 0)],
            Op::TileLow => smallvec![self.low as u64],
            Op::TileHigh => smallvec![self.high as u64],
            Op::PtrAdd(ptr, bytes) => self.map2(*ptr, *bytes, u64::wrapping_add),
            Op::Load { ptr, disp, mem, tail } => self.load(*ptr, *disp, *mem, *tail, ty),
            Op::FUnary(op, a) => self.map(*a, |x| float_unary(*op, x, ty)),
            Op::FBinary(op, a, b) => self.map2(*a, *b, |x, y| float_binary(*op, x, y, ty)),
            Op::MulAdd(a, b, c) => self.mul_add(*a, *b, *c, ty),
            Op::IBinary(op, a, b) => self.map2(*a, *b, |x, y| int_binary(*op, x, y, ty)),
            Op::Shift(op, a, by) => self.map(*a, |x| shift(*op, x, *by, ty)),
            Op::FCmp(cmp, a, b) => {
                let of = self.ty(*a);
                self.map2(*a, *b, |x, y| float_compare(*cmp, x, y, of))
            }
            Op::ICmp(cmp, a, b) => {
                let of = self.ty(*a);
                self.map2(*a, *b, |x, y| int_compare(*cmp, x, y, of))
            }
            Op::MaskAnd(a, b) => self.map2(*a, *b, |x, y| x & y),
            Op::MaskOr(a, b) => self.map2(*a, *b, |x, y| x | y),
            Op::MaskNot(a) => self.map(*a, |x| x ^ 1),
            Op::Select(mask, a, b) => self.select(*mask, *a, *b),
            Op::Convert(op, a) => self.map(*a, |x| convert(*op, x)),
            Op::Splat(a) => smallvec![self.values[a.index()][0]; usize::from(ty.lanes)],
            Op::Extract(a, lane) => smallvec![self.values[a.index()][usize::from(*lane)]],
            Op::Pack(scalars) => scalars.iter().map(|v| self.values[v.index()][0]).collect(),
        }
    }

    fn constant(&self, bits: &[u64], ty: Ty) -> Lanes {
        let element = |lane: usize| {
            let bits = if bits.len() == 1 { bits[0] } else { bits[lane] };
            if ty.elem == Elem::Mask { u64::from(bits != 0) } else { truncate(bits, ty) }
        };
        (0..usize::from(ty.lanes)).map(element).collect()
    }

    fn map(&self, a: V, f: impl Fn(u64) -> u64) -> Lanes {
        self.values[a.index()].iter().map(|&x| f(x)).collect()
    }

    fn map2(&self, a: V, b: V, f: impl Fn(u64, u64) -> u64) -> Lanes {
        self.values[a.index()].iter().zip(&self.values[b.index()]).map(|(&x, &y)| f(x, y)).collect()
    }

    fn mul_add(&self, a: V, b: V, c: V, ty: Ty) -> Lanes {
        let (a, b, c) = (&self.values[a.index()], &self.values[b.index()], &self.values[c.index()]);
        let lanes = a.iter().zip(b).zip(c);
        lanes.map(|((&a, &b), &c)| mul_add(self.rounding, a, b, c, ty)).collect()
    }

    fn select(&self, mask: V, a: V, b: V) -> Lanes {
        let (mask, a, b) = (&self.values[mask.index()], &self.values[a.index()], &self.values[b.index()]);
        if mask.len() == 1 {
            return if mask[0] != 0 { a.clone() } else { b.clone() };
        }
        mask.iter().zip(a.iter().zip(b)).map(|(&mask, (&a, &b))| if mask != 0 { a } else { b }).collect()
    }

    fn load(&self, ptr: V, disp: i32, mem: Mem, tail: Tail, ty: Ty) -> Lanes {
        let count = self.tail(tail, ty.lanes);
        let (buffer, start) = self.place(ptr, disp, mem, count);
        let memory = if buffer == self.buffers.len() { &self.scratch } else { &self.buffers[buffer] };
        let width = mem.bytes() as usize;
        let mut lanes: Lanes = smallvec![0; usize::from(ty.lanes)];
        for (lane, bytes) in lanes.iter_mut().take(count).zip(memory[start..].chunks_exact(width)) {
            let mut word = [0; 8];
            word[..width].copy_from_slice(bytes);
            *lane = match mem {
                Mem::I8 => from_i32(i32::from(bytes[0] as i8)),
                Mem::F32 | Mem::F64 | Mem::I32 | Mem::I64 | Mem::U8 => u64::from_le_bytes(word),
            };
        }
        lanes
    }

    fn store(&mut self, ptr: V, disp: i32, mem: Mem, tail: Tail, value: V) {
        let lanes = self.values[value.index()].clone();
        let count = self.tail(tail, self.ty(value).lanes);
        let (buffer, start) = self.place(ptr, disp, mem, count);
        let memory = if buffer == self.buffers.len() { &mut self.scratch } else { &mut self.buffers[buffer] };
        let width = mem.bytes() as usize;
        for (lane, bytes) in lanes.iter().take(count).zip(memory[start..].chunks_exact_mut(width)) {
            bytes.copy_from_slice(&lane.to_le_bytes()[..width]);
        }
    }

    /// How many lanes an access touches.
    fn tail(&self, tail: Tail, lanes: u8) -> usize {
        let count = match tail {
            Tail::Full => i64::from(lanes),
            Tail::Const(count) => i64::from(count),
            Tail::Value(v) => self.int(v),
        };
        if !(0..=i64::from(lanes)).contains(&count) {
            self.bug(&format!("a tail of {count} of {lanes} lanes"));
        }
        count as usize
    }

    /// The buffer and the byte in it where `count` elements are. Nothing at all may be anywhere.
    fn place(&self, ptr: V, disp: i32, mem: Mem, count: usize) -> (usize, usize) {
        if count == 0 {
            return (self.buffers.len(), 0);
        }
        let address = self.values[ptr.index()][0];
        let buffer = (address >> BUFFER_SHIFT) as usize;
        let offset = (address & ((1 << BUFFER_SHIFT) - 1)) as i64 - OFFSET_BIAS + i64::from(disp);
        let size = match self.buffers.get(buffer) {
            Some(memory) => memory.len() as i64,
            None if buffer == self.buffers.len() => self.scratch.len() as i64,
            None => self.bug("an address of no buffer"),
        };
        let end = offset + count as i64 * mem.bytes();
        if offset < 0 || end > size {
            self.bug(&format!("bytes {offset}..{end} of buffer {buffer}, which has {size}"));
        }
        if offset % mem.bytes() != 0 {
            self.bug(&format!("byte {offset} of buffer {buffer} for an element of {} bytes", mem.bytes()));
        }
        (buffer, offset as usize)
    }
}

/// The low bits that an element of `ty` has.
fn truncate(bits: u64, ty: Ty) -> u64 {
    if ty.bits == 32 { u64::from(bits as u32) } else { bits }
}

fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn f64_of(bits: u64) -> f64 {
    f64::from_bits(bits)
}

fn from_f32(value: f32) -> u64 {
    u64::from(value.to_bits())
}

fn from_i32(value: i32) -> u64 {
    u64::from(value as u32)
}

/// As the element's signed value.
fn int_of(bits: u64, ty: Ty) -> i64 {
    if ty.bits == 32 { i64::from(bits as i32) } else { bits as i64 }
}

/// The same code for both float types.
macro_rules! by_float {
    ($ty:expr, |$($x:ident),+| $result:expr) => {
        if $ty.bits == 32 {
            $(let $x = f32_of($x);)+
            u64::from($result.to_bits())
        } else {
            $(let $x = f64_of($x);)+
            $result.to_bits()
        }
    };
}

fn float_unary(op: FUnary, x: u64, ty: Ty) -> u64 {
    match op {
        FUnary::Neg => by_float!(ty, |x| (-x)),
        FUnary::Abs => by_float!(ty, |x| x.abs()),
        FUnary::Sqrt => by_float!(ty, |x| x.sqrt()),
        FUnary::Floor => by_float!(ty, |x| x.floor()),
        FUnary::Ceil => by_float!(ty, |x| x.ceil()),
        FUnary::Nearest => by_float!(ty, |x| x.round_ties_even()),
        FUnary::Trunc => by_float!(ty, |x| x.trunc()),
    }
}

fn float_binary(op: FBinary, x: u64, y: u64, ty: Ty) -> u64 {
    match op {
        FBinary::Add => by_float!(ty, |x, y| (x + y)),
        FBinary::Sub => by_float!(ty, |x, y| (x - y)),
        FBinary::Mul => by_float!(ty, |x, y| (x * y)),
        FBinary::Div => by_float!(ty, |x, y| (x / y)),
        FBinary::Min => by_float!(ty, |x, y| (if x < y { x } else { y })),
        FBinary::Max => by_float!(ty, |x, y| (if x > y { x } else { y })),
    }
}

fn mul_add(rounding: Rounding, x: u64, y: u64, z: u64, ty: Ty) -> u64 {
    match rounding {
        Rounding::Fused => by_float!(ty, |x, y, z| x.mul_add(y, z)),
        Rounding::Split => by_float!(ty, |x, y, z| (x * y + z)),
    }
}

fn float_compare(cmp: Cmp, x: u64, y: u64, ty: Ty) -> u64 {
    // Exact, and NaN stays NaN.
    let widen = |bits| if ty.bits == 32 { f64::from(f32_of(bits)) } else { f64_of(bits) };
    let (x, y) = (widen(x), widen(y));
    u64::from(match cmp {
        Cmp::Eq => x == y,
        Cmp::Ne => x != y,
        Cmp::Lt => x < y,
        Cmp::Le => x <= y,
        Cmp::Gt => x > y,
        Cmp::Ge => x >= y,
    })
}

fn int_compare(cmp: Cmp, x: u64, y: u64, ty: Ty) -> u64 {
    let (x, y) = (int_of(x, ty), int_of(y, ty));
    u64::from(match cmp {
        Cmp::Eq => x == y,
        Cmp::Ne => x != y,
        Cmp::Lt => x < y,
        Cmp::Le => x <= y,
        Cmp::Gt => x > y,
        Cmp::Ge => x >= y,
    })
}

fn int_binary(op: IBinary, x: u64, y: u64, ty: Ty) -> u64 {
    let (a, b) = (int_of(x, ty), int_of(y, ty));
    let result = match op {
        IBinary::Add => a.wrapping_add(b),
        IBinary::Sub => a.wrapping_sub(b),
        IBinary::Mul => a.wrapping_mul(b),
        IBinary::And => a & b,
        IBinary::Or => a | b,
        IBinary::Xor => a ^ b,
        IBinary::MulHighU => ((x * y) >> 32) as i64,
        IBinary::DivFloor => floor_div(a, b).0,
        IBinary::ModFloor => floor_div(a, b).1,
        IBinary::Min => a.min(b),
        IBinary::Max => a.max(b),
    };
    truncate(result as u64, ty)
}

/// Quotient and remainder, with the remainder's sign that of `b`; zeros if `b` is 0.
fn floor_div(a: i64, b: i64) -> (i64, i64) {
    if b == 0 {
        return (0, 0);
    }
    let (quotient, rest) = (a.wrapping_div(b), a.wrapping_rem(b));
    if rest != 0 && (rest < 0) != (b < 0) { (quotient - 1, rest + b) } else { (quotient, rest) }
}

fn shift(op: Shift, x: u64, by: u8, ty: Ty) -> u64 {
    let result = match op {
        Shift::Left => x << by,
        Shift::RightU => x >> by,
        Shift::RightS => (int_of(x, ty) >> by) as u64,
    };
    truncate(result, ty)
}

fn convert(op: Convert, x: u64) -> u64 {
    let (i32_value, i64_value) = (x as i32, x as i64);
    match op {
        Convert::F32F64 => f64::from(f32_of(x)).to_bits(),
        Convert::F64F32 => from_f32(f64_of(x) as f32),
        Convert::F32I32 => from_i32(f32_of(x) as i32),
        Convert::F64I32 => from_i32(f64_of(x) as i32),
        Convert::F32I64 => (f32_of(x) as i64) as u64,
        Convert::F64I64 => (f64_of(x) as i64) as u64,
        Convert::I32F32 => from_f32(i32_value as f32),
        Convert::I32F64 => f64::from(i32_value).to_bits(),
        Convert::I64F32 => from_f32(i64_value as f32),
        Convert::I64F64 => (i64_value as f64).to_bits(),
        Convert::I32I64 => i64::from(i32_value) as u64,
        Convert::I64I32 => from_i32(i64_value as i32),
        Convert::F32BitsI32 | Convert::I32BitsF32 | Convert::F64BitsI64 | Convert::I64BitsF64 | Convert::MaskInt => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Elem;

    /// `out[0] = in[at]` for f32 buffers of one element each.
    fn copy_kernel(disp: i32) -> Lane {
        let (ptr, f32x1) = (Ty::new(Elem::Ptr, 1), Ty::new(Elem::F32, 1));
        let def = |n, op| Inst::Def { result: V(n), op };
        let insts = vec![
            def(0, Op::FramePtr(0)),
            def(1, Op::FramePtr(1)),
            def(2, Op::Load { ptr: V(0), disp, mem: Mem::F32, tail: Tail::Full }),
            Inst::Store { ptr: V(1), disp: 0, mem: Mem::F32, tail: Tail::Full, value: V(2) },
        ];
        let types = vec![ptr, ptr, f32x1];
        Lane { name: "copy".into(), types, body: Block { insts }, frame_words: 2, scratch_bytes: 0 }
    }

    fn run_copy(disp: i32) -> Vec<u8> {
        let mut buffers = [1.5f32.to_le_bytes().to_vec(), vec![0; 4]];
        let frame = [Word::Ptr { buffer: 0, offset: 0 }, Word::Ptr { buffer: 1, offset: 0 }];
        run(&copy_kernel(disp), Rounding::Fused, &frame, &mut buffers, 0, 1);
        buffers[1].clone()
    }

    #[test]
    fn copies() {
        assert_eq!(run_copy(0), 1.5f32.to_le_bytes());
    }

    #[test]
    #[should_panic(expected = "kernel `copy`: bytes 4..8 of buffer 0, which has 4")]
    fn beyond_the_end() {
        run_copy(4);
    }

    #[test]
    #[should_panic(expected = "kernel `copy`: bytes -4..0 of buffer 0, which has 4")]
    fn before_the_start() {
        run_copy(-4);
    }

    #[test]
    fn division_floors() {
        assert_eq!(floor_div(7, 2), (3, 1));
        assert_eq!(floor_div(-7, 2), (-4, 1));
        assert_eq!(floor_div(7, -2), (-4, -1));
        assert_eq!(floor_div(-7, -2), (3, -1));
        assert_eq!(floor_div(7, 0), (0, 0));
        assert_eq!(floor_div(i64::MIN, -1), (i64::MIN, 0));
    }
}
