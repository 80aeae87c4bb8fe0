//! Running kernels alone, in memory of their own, on as many threads as a program would.

use super::sizes;
use crate::failure::Failure;
use crate::session::refused;
use mlc_codegen::{JitProgram, Options, compile_jit};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::ty::DType;
use mlc_kernel::nest::{Nest, Source};
use mlc_kernel::program::Program;
use mlc_kernel::schedule::Schedule;
use mlc_kernel::to_lane::{self, FrameWord, Lowered};
use mlc_kernel::tree;
use mlc_rt_core::abi::{ARENA_ALIGN, SCRATCH_BYTES};
use mlc_rt_core::pool::{Pool, parallel_for};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Instant;

/// Numbers after which memory repeats itself.
const PERIOD: usize = 1000;

/// Bytes from which on kernels are not run alone.
const MOST_BYTES: i64 = 1 << 30;

/// How often all ways are measured in turn, so that a disturbance meets all of them.
const ROUNDS: usize = 6;

/// Ways behind the first that take longer than this many times the fastest are not measured again.
const HOPELESS: f64 = 1.3;

/// Seconds of one measurement.
const SPAN: f64 = 0.002;

/// Runs of one measurement at most.
const RUNS: f64 = 256.0;

/// Multiply-adds that a measurement need not exceed: some hundredths of a second.
const ENOUGH: i64 = 1 << 29;

/// A kernel that is to be run.
#[derive(Clone)]
pub(super) struct Run {
    pub nest: Arc<Nest>,
    pub schedule: Schedule,
    /// Whether the pool runs it.
    pub pooled: bool,
}

/// The threads that kernels are run on.
pub(super) struct Workers {
    pool: Box<Pool>,
    scratch: Memory,
}

impl Workers {
    pub fn new(threads: usize) -> Workers {
        let pool = Box::new(Pool::new());
        // SAFETY: the pool is new, and stays in its box until it is closed.
        let started = unsafe { pool.start(threads) };
        Workers { pool, scratch: Memory::new(started * SCRATCH_BYTES) }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// Memory for what some kernels read and write.
pub(super) struct Stand<'a> {
    sizes: Vec<i64>,
    memory: BTreeMap<Source, Memory>,
    workers: &'a mut Workers,
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

    /// Numbers below 1, which stay ordinary numbers in products and sums.
    fn fill(&mut self, dtype: DType) {
        let numbers = (0..PERIOD).map(|at| (at * 7919 % PERIOD) as f64 / PERIOD as f64);
        let pattern: Vec<u8> = match dtype {
            DType::F32 => numbers.flat_map(|number| (number as f32).to_le_bytes()).collect(),
            DType::F64 => numbers.flat_map(f64::to_le_bytes).collect(),
            DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool => return,
        };
        for part in self.bytes[self.start..].chunks_mut(pattern.len()) {
            part.copy_from_slice(&pattern[..part.len()]);
        }
    }
}

/// Some runs, compiled: kernels by number, their frames and tiles.
struct Compiled {
    kernels: Vec<(usize, Vec<u64>, i64, bool)>,
    /// The part of all tiles that is run.
    part: f64,
}

impl<'a> Stand<'a> {
    /// For nests at typical sizes; nothing if the buffers are too large to be had twice.
    pub fn new<'n>(
        nests: impl Iterator<Item = &'n Nest>,
        (symbols, typical): (usize, &[(Sym, i64)]),
        workers: &'a mut Workers,
    ) -> Option<Stand<'a>> {
        let sizes = sizes(symbols, typical);
        let mut wanted: BTreeMap<Source, (i64, DType)> = BTreeMap::new();
        for buffer in nests.flat_map(|nest| &nest.buffers) {
            let elements = Dim::product(&buffer.shape).ok()?.eval(&sizes).ok()?;
            let bytes = elements.checked_mul(buffer.dtype.bytes())?;
            let most = wanted.entry(buffer.source).or_insert((bytes, buffer.dtype));
            most.0 = most.0.max(bytes);
        }
        let all = wanted.values().try_fold(0i64, |sum, (bytes, _)| sum.checked_add(*bytes))?;
        if all > MOST_BYTES {
            return None;
        }
        let own = |(source, (bytes, dtype)): (Source, (i64, DType))| {
            let mut own = Memory::new(usize::try_from(bytes).ok()?);
            own.fill(dtype);
            Some((source, own))
        };
        let memory = wanted.into_iter().map(own).collect::<Option<_>>()?;
        Some(Stand { sizes, memory, workers })
    }

    /// The least seconds that each way takes, which is some kernels one after another; of one with very much work
    /// for a part of its tiles, extrapolated.
    pub fn seconds(&mut self, ways: &[Vec<Run>], options: &Options) -> Result<Vec<f64>, Failure> {
        let lowered: Vec<Vec<Lowered>> = ways
            .iter()
            .map(|runs| runs.iter().map(|run| to_lane::lower(&tree::build(&run.nest, &run.schedule))).collect())
            .collect();
        let kernels = lowered.iter().flatten().map(|lowered| lowered.lane.clone()).collect();
        let program = Program { symbols: self.sizes.len(), kernels, entries: Vec::new() };
        let code = compile_jit(&program, options).map_err(refused)?;
        let mut number = 0;
        let mut compiled = Vec::new();
        for (runs, lowered) in ways.iter().zip(&lowered) {
            compiled.push(self.compiled(runs, lowered, number));
            number += runs.len();
        }
        let first: Vec<f64> = compiled.iter().map(|way| self.first_time(&code, way)).collect();
        let fastest = first.iter().copied().fold(f64::MAX, f64::min);
        let mut least = first.clone();
        for round in 0..ROUNDS {
            for at in (0..ways.len()).map(|at| (at + round) % ways.len()) {
                if at > 0 && first[at] > fastest * HOPELESS {
                    continue;
                }
                let run = first[at] * compiled[at].part;
                let times = (SPAN / run.max(1e-9)).clamp(1.0, RUNS) as usize;
                least[at] = least[at].min(self.time(&code, &compiled[at], times));
            }
        }
        Ok(least)
    }

    /// Runs of which the first is kernel `first`.
    fn compiled(&mut self, runs: &[Run], lowered: &[Lowered], first: usize) -> Compiled {
        let work = runs.iter().map(|run| run.nest.work(&self.sizes)).fold(0, i64::saturating_add);
        let parts = work / ENOUGH + 1;
        let kernels = runs.iter().zip(lowered).enumerate().map(|(at, (run, lowered))| {
            let all = lowered.tiles.eval(&self.sizes).unwrap_or(0);
            let tiles = all / parts + i64::from(all % parts > 0);
            (first + at, self.frame(lowered), tiles, run.pooled, all)
        });
        let kernels: Vec<_> = kernels.collect();
        // Of several kernels the last is the contraction, or a part of it.
        let part = kernels.last().map_or(1.0, |(_, _, tiles, _, all)| *tiles as f64 / (*all).max(1) as f64);
        let kernels = kernels.into_iter().map(|(kernel, frame, tiles, pooled, _)| (kernel, frame, tiles, pooled));
        Compiled { kernels: kernels.collect(), part }
    }

    fn frame(&mut self, lowered: &Lowered) -> Vec<u64> {
        let mut word = |word: &FrameWord| match word {
            FrameWord::Size(dim) => dim.eval(&self.sizes).unwrap_or(0) as u64,
            FrameWord::Buffer(source) => self.memory.get_mut(source).map_or(0, |memory| memory.pointer() as u64),
        };
        lowered.frame.iter().map(&mut word).collect()
    }

    /// Seconds for all tiles; of a short run those of the second, since the first finds less of its memory near.
    fn first_time(&mut self, code: &JitProgram, way: &Compiled) -> f64 {
        let seconds = self.time(code, way, 1);
        if seconds * way.part > SPAN { seconds } else { seconds.min(self.time(code, way, 1)) }
    }

    /// The least seconds for all tiles of some runs: what disturbs one of them, or one of the threads, counts for
    /// nothing.
    fn time(&mut self, code: &JitProgram, way: &Compiled, times: usize) -> f64 {
        let scratch = self.workers.scratch.pointer();
        let pool = (&raw const *self.workers.pool).cast_mut().cast::<c_void>();
        let mut least = f64::MAX;
        for _ in 0..times {
            let start = Instant::now();
            for (kernel, frame, tiles, pooled) in &way.kernels {
                let pool = if *pooled { pool } else { std::ptr::null_mut() };
                // SAFETY: `frame` was made from the kernel's own list of words: sizes, and addresses of buffers
                // in `self.memory` that have as many bytes as the nest says at these sizes; a kernel touches
                // nothing else but its scratch memory, of which there is enough for each worker, and tiles may
                // run at the same time. `code` and the pool live until the call returns.
                unsafe {
                    parallel_for(pool, code.kernel(*kernel), frame.as_ptr(), scratch, SCRATCH_BYTES as i64, *tiles);
                }
            }
            least = least.min(start.elapsed().as_secs_f64());
        }
        least / way.part
    }
}
