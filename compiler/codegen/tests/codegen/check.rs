//! The one harness for kernels: the interpreter and compiled code give the same bytes, at every level
//! that this processor has, with buffers that start or end at a guard page.

use crate::guard::{Guarded, Side};
use mlc_codegen::{Emitter, JitProgram, Level, Options, Target, compile_jit};
use mlc_kernel::interp::{self, Rounding, Word};
use mlc_kernel::lane::{Lane, Mem};
use mlc_kernel::lane_print::text;
use mlc_kernel::lane_verify::verify;
use mlc_kernel::program::Program;
use mlc_kernel::schedule::Machine;

/// A kernel and its memory.
#[derive(Clone)]
pub struct Case {
    pub lane: Lane,
    pub frame: Vec<Word>,
    pub buffers: Vec<Buffer>,
    pub tiles: (i64, i64),
}

/// Memory, and what it holds (NaN compares as NaN).
#[derive(Clone, Debug)]
pub struct Buffer {
    pub mem: Mem,
    pub bytes: Vec<u8>,
}

impl Buffer {
    pub fn f32(values: &[f32]) -> Buffer {
        Buffer { mem: Mem::F32, bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    pub fn f64(values: &[f64]) -> Buffer {
        Buffer { mem: Mem::F64, bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    pub fn i32(values: &[i32]) -> Buffer {
        Buffer { mem: Mem::I32, bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    pub fn i64(values: &[i64]) -> Buffer {
        Buffer { mem: Mem::I64, bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    pub fn filled(mem: Mem, elements: usize) -> Buffer {
        Buffer { mem, bytes: vec![0xee; elements * mem.bytes() as usize] }
    }
}

/// A frame of one address for each buffer, then sizes.
pub fn frame(buffers: usize, sizes: &[i64]) -> Vec<Word> {
    let pointers = (0..buffers).map(|buffer| Word::Ptr { buffer, offset: 0 });
    pointers.chain(sizes.iter().map(|&size| Word::Size(size))).collect()
}

pub fn levels() -> Vec<Level> {
    [Level::V2, Level::V3].into_iter().filter(|level| level.runs_here()).collect()
}

/// A level and what makes its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub level: Level,
    pub emitter: Emitter,
}

impl Way {
    pub fn options(self, threads: usize) -> Options {
        Options { level: self.level, emitter: self.emitter, threads }
    }

    pub fn machine(self) -> Machine {
        Target::host().machine(self.level, self.emitter)
    }

    /// Bytes of its vectors.
    pub fn vector_bytes(self) -> u32 {
        (self.machine().vector_bits / 8) as u32
    }
}

/// Every way to make code that this processor runs.
pub fn ways() -> Vec<Way> {
    let wide = [Level::V3, Level::V4].map(|level| Way { level, emitter: Emitter::Wide });
    let narrow = [Level::V2, Level::V3].map(|level| Way { level, emitter: Emitter::Cranelift });
    narrow.into_iter().chain(wide).filter(|way| way.level.runs_here()).collect()
}

pub fn rounding(level: Level) -> Rounding {
    match level {
        Level::V2 if cfg!(target_arch = "x86_64") => Rounding::Split,
        Level::V2 | Level::V3 | Level::V4 => Rounding::Fused,
    }
}

pub fn compile(kernels: &[Lane], way: Way) -> JitProgram {
    let program = Program { symbols: 0, kernels: kernels.to_vec(), entries: vec![] };
    compile_jit(&program, &way.options(1)).unwrap()
}

/// Bytes of a case's longest vector.
fn vector_bytes(case: &Case) -> u32 {
    let bytes = case.lane.types.iter().map(|ty| u32::from(ty.lanes) * u32::from(ty.bits) / 8);
    bytes.max().unwrap_or(0)
}

/// The interpreter and compiled code agree, in every way that has vectors as long as a case's.
pub fn check(cases: &[Case]) {
    for way in ways() {
        let fitting: Vec<&Case> = cases.iter().filter(|case| vector_bytes(case) <= way.vector_bytes()).collect();
        for case in &fitting {
            verify(&case.lane, way.vector_bytes()).unwrap_or_else(|error| panic!("{error}\n{}", text(&case.lane)));
        }
        let kernels: Vec<Lane> = fitting.iter().map(|case| case.lane.clone()).collect();
        let program = compile(&kernels, way);
        for (n, case) in fitting.into_iter().enumerate() {
            let expected = interpret(case, way.level);
            for side in [Side::Start, Side::End] {
                let found = call(&program, n, case, side);
                compare(case, way, &expected, &found);
            }
        }
    }
}

fn interpret(case: &Case, level: Level) -> Vec<Vec<u8>> {
    let mut buffers: Vec<Vec<u8>> = case.buffers.iter().map(|buffer| buffer.bytes.clone()).collect();
    interp::run(&case.lane, rounding(level), &case.frame, &mut buffers, case.tiles.0, case.tiles.1);
    buffers
}

fn call(program: &JitProgram, kernel: usize, case: &Case, side: Side) -> Vec<Vec<u8>> {
    let buffers: Vec<Guarded> = case.buffers.iter().map(|buffer| Guarded::new(&buffer.bytes, side)).collect();
    let scratch = Guarded::new(&vec![0xff; case.lane.scratch_bytes as usize], side);
    let word = |word: &Word| match *word {
        Word::Ptr { buffer, offset } => buffers[buffer].as_ptr().wrapping_offset(offset as isize) as u64,
        Word::Size(size) => size as u64,
    };
    let frame: Vec<u64> = case.frame.iter().map(word).collect();
    // SAFETY: the frame is what the kernel takes (the interpreter has run it), and every buffer is
    // as large as the interpreter's.
    unsafe { program.kernel(kernel)(frame.as_ptr(), scratch.as_ptr(), case.tiles.0, case.tiles.1) };
    buffers.iter().map(Guarded::to_vec).collect()
}

fn compare(case: &Case, way: Way, expected: &[Vec<u8>], found: &[Vec<u8>]) {
    for (n, buffer) in case.buffers.iter().enumerate() {
        let width = buffer.mem.bytes() as usize;
        let pairs = expected[n].chunks_exact(width).zip(found[n].chunks_exact(width));
        for (element, (expected, found)) in pairs.enumerate() {
            assert!(
                same(buffer.mem, expected, found),
                "by {way:?}, element {element} of buffer {n} is {found:02x?}, not {expected:02x?}\n{}",
                text(&case.lane),
            );
        }
    }
}

fn same(mem: Mem, a: &[u8], b: &[u8]) -> bool {
    let is_nan = |bytes: &[u8]| match mem {
        Mem::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).is_nan(),
        Mem::F64 => f64::from_le_bytes(bytes.try_into().unwrap()).is_nan(),
        Mem::I32 | Mem::I64 | Mem::U8 | Mem::I8 => false,
    };
    a == b || (is_nan(a) && is_nan(b))
}
