//! Running a kernel alone, on one thread, in memory of its own.

use crate::failure::Failure;
use crate::session::refused;
use mlc_codegen::{JitProgram, Options, compile_jit};
use mlc_ir::dim::Dim;
use mlc_ir::ty::DType;
use mlc_kernel::nest::{Nest, Source};
use mlc_kernel::program::Program;
use mlc_kernel::schedule::Schedule;
use mlc_kernel::to_lane::{self, FrameWord, Lowered};
use mlc_kernel::tree;
use mlc_rt_core::abi::{ARENA_ALIGN, SCRATCH_BYTES};
use std::time::Instant;

/// Bytes from which on a kernel is not run alone.
const MOST_BYTES: i64 = 1 << 30;

/// How often all ways are measured in turn, so that a disturbance meets all of them.
const ROUNDS: usize = 5;

/// Seconds of one measurement.
const SPAN: f64 = 0.002;

/// Runs of one measurement at most.
const RUNS: f64 = 256.0;

/// Multiply-adds that a measurement need not exceed: some milliseconds.
const ENOUGH: i64 = 1 << 27;

/// A nest with memory for its buffers.
pub(super) struct Stand<'a> {
    nest: &'a Nest,
    sizes: &'a [i64],
    memory: Vec<(Source, Memory)>,
    scratch: Memory,
}

/// Zeroed or filled bytes, aligned as the arena is, with as much room behind them.
struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    fn new(bytes: usize) -> Memory {
        let bytes = vec![0u8; bytes + 2 * ARENA_ALIGN];
        let start = bytes.as_ptr().align_offset(ARENA_ALIGN);
        Memory { bytes, start }
    }

    fn pointer(&mut self) -> *mut u8 {
        self.bytes[self.start..].as_mut_ptr()
    }

    /// Numbers about 1/2, which stay ordinary numbers in products and sums.
    fn fill(&mut self, dtype: DType) {
        let number = |at: usize| (at * 7919 % 1000) as f64 * 1e-3;
        let memory = &mut self.bytes[self.start..];
        match dtype {
            DType::F32 => {
                let words = memory.chunks_exact_mut(4).enumerate();
                words.for_each(|(at, word)| word.copy_from_slice(&(number(at) as f32).to_le_bytes()));
            }
            DType::F64 => {
                let words = memory.chunks_exact_mut(8).enumerate();
                words.for_each(|(at, word)| word.copy_from_slice(&number(at).to_le_bytes()));
            }
            DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool => {}
        }
    }
}

impl<'a> Stand<'a> {
    /// Nothing if the buffers are too large to be had twice.
    pub fn new(nest: &'a Nest, sizes: &'a [i64]) -> Option<Stand<'a>> {
        let mut memory = Vec::new();
        let mut all = 0i64;
        for buffer in &nest.buffers {
            let elements = Dim::product(&buffer.shape).ok()?.eval(sizes).ok()?;
            let bytes = elements.checked_mul(buffer.dtype.bytes())?;
            all = all.checked_add(bytes).filter(|all| *all <= MOST_BYTES)?;
            let mut own = Memory::new(usize::try_from(bytes).ok()?);
            own.fill(buffer.dtype);
            memory.push((buffer.source, own));
        }
        Some(Stand { nest, sizes, memory, scratch: Memory::new(SCRATCH_BYTES) })
    }

    /// The least seconds that each way takes for the nest; of one with very much work for a part of its
    /// tiles, extrapolated.
    pub fn seconds(&mut self, ways: &[Schedule], options: &Options) -> Result<Vec<f64>, Failure> {
        let lowered: Vec<Lowered> = ways.iter().map(|way| to_lane::lower(&tree::build(self.nest, way))).collect();
        let kernels = lowered.iter().map(|lowered| lowered.lane.clone()).collect();
        let program = Program { symbols: self.sizes.len(), kernels, entries: Vec::new() };
        let code = compile_jit(&program, options).map_err(refused)?;
        let frames: Vec<Vec<u64>> = lowered.iter().map(|lowered| self.frame(lowered)).collect();
        let all: Vec<i64> = lowered.iter().map(|lowered| lowered.tiles.eval(self.sizes).unwrap_or(0)).collect();
        let parts = self.nest.work(self.sizes) / ENOUGH + 1;
        let tiles: Vec<i64> = all.iter().map(|all| all / parts + i64::from(all % parts > 0)).collect();
        let mut run = |at: usize, times: usize| self.time(&code, at, &frames[at], tiles[at], times);
        let first: Vec<f64> = (0..ways.len()).map(|at| run(at, 1)).collect();
        let mut least = vec![f64::MAX; ways.len()];
        for _ in 0..ROUNDS {
            for at in 0..ways.len() {
                let times = (SPAN / first[at].max(1e-9)).clamp(1.0, RUNS) as usize;
                let whole = all[at] as f64 / tiles[at].max(1) as f64;
                least[at] = least[at].min(run(at, times) / times as f64 * whole);
            }
        }
        Ok(least)
    }

    fn frame(&mut self, lowered: &Lowered) -> Vec<u64> {
        let mut word = |word: &FrameWord| match word {
            FrameWord::Size(dim) => dim.eval(self.sizes).unwrap_or(0) as u64,
            FrameWord::Buffer(source) => {
                let own = self.memory.iter_mut().find(|(known, _)| known == source);
                own.map_or(0, |(_, memory)| memory.pointer() as u64)
            }
        };
        lowered.frame.iter().map(&mut word).collect()
    }

    fn time(&mut self, code: &JitProgram, at: usize, frame: &[u64], tiles: i64, times: usize) -> f64 {
        let (kernel, scratch) = (code.kernel(at), self.scratch.pointer());
        let start = Instant::now();
        for _ in 0..times {
            // SAFETY: `frame` was made from the kernel's own list of words: sizes, and addresses of buffers
            // in `self.memory` that have as many bytes as the nest says at these sizes; a kernel touches
            // nothing else but its scratch memory. `code` lives until the call returns.
            unsafe { kernel(frame.as_ptr(), scratch, 0, tiles) };
        }
        start.elapsed().as_secs_f64()
    }
}
