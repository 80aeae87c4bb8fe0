//! `cargo bench -p mlc-benches --bench kernels -- [FILE] [ENTRY] [B=32] [k3]`: an entry of a program kernel
//! by kernel on one thread, those that take most of it first: the time of one run, how often an entry runs it,
//! and for contractions the share of the machine's multiply-adds. Without arguments a training step of the
//! two-convolution classifier. With `k3` kernel 3 is shown in every form.

use mlc::session::{Options, Session};
use mlc_benches::fma::peak_gflops;
use mlc_benches::running::Memory;
use mlc_codegen::{JitProgram, Target, compile_jit};
use mlc_ir::dim::Dim;
use mlc_kernel::lower::{KernelInfo, LoweredProgram};
use mlc_kernel::nest::Reduction;
use mlc_kernel::program::{Loc, Slot, Step};
use mlc_rt_core::abi::SCRATCH_BYTES;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() {
    let mut file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/models/cnn.dl"));
    let (mut name, mut sizes, mut shown) = ("rows.step".to_string(), vec![("B".to_string(), 32)], None);
    for arg in std::env::args().skip(1).filter(|arg| arg != "--bench") {
        let number = arg.strip_prefix('k').and_then(|n| n.parse::<usize>().ok());
        match arg.split_once('=') {
            Some((symbol, size)) => sizes.push((symbol.to_string(), size.parse().unwrap_or(1))),
            None if number.is_some() => shown = number,
            None if arg.ends_with(".dl") => file = PathBuf::from(arg),
            None => name = arg,
        }
    }
    let Ok(mut session) = Session::open(&file, Options::for_this_machine()) else {
        return eprintln!("{} can't be read", file.display());
    };
    let Ok(program) = session.resolve() else { return eprintln!("{} has errors: see mlc check", file.display()) };
    let lowered = session.lower(&program);
    let options = session.codegen_options();
    let jit = match compile_jit(&lowered.program, &options) {
        Ok(jit) => jit,
        Err(error) => return eprintln!("{error:?}"),
    };
    let Some(entry) = lowered.program.entries.iter().position(|entry| entry.name == name) else {
        let names: Vec<&str> = lowered.program.entries.iter().map(|entry| &*entry.name).collect();
        return eprintln!("there is no entry `{name}`; there are {}", names.join(", "));
    };
    let of = |symbol: &std::sync::Arc<str>| sizes.iter().rev().find(|(name, _)| *name == **symbol).map_or(1, |it| it.1);
    let values: Vec<i64> = lowered.graph.symbols.iter().map(of).collect();
    let mut run = Run::new(&lowered, &jit, entry, values);
    // What is kept is made once, and is not a part of what is measured.
    run.infos.by_ref().take(lowered.program.entries[entry].kept.steps.len()).for_each(drop);
    run.steps(&lowered.program.entries[entry].steps, 1);
    run.report();
    if let Some(kernel) = shown {
        show(&lowered, kernel, &options);
    }
}

/// One kernel step of the entry.
struct Row {
    kernel: usize,
    seconds: f64,
    times: i64,
    tiles: i64,
    /// Twice the multiply-adds of one run.
    flops: f64,
}

/// The entry's memory, and what was measured.
struct Run<'a> {
    lowered: &'a LoweredProgram,
    jit: &'a JitProgram,
    infos: Box<dyn Iterator<Item = &'a KernelInfo> + 'a>,
    memory: Memory,
    /// Of the symbols, and of the rows of a band.
    sizes: Vec<i64>,
    scalars: [i64; 5],
    rows: Vec<Row>,
}

impl<'a> Run<'a> {
    fn new(lowered: &'a LoweredProgram, jit: &'a JitProgram, entry: usize, mut sizes: Vec<i64>) -> Run<'a> {
        let memory = Memory::new(lowered, entry, &sizes, 1);
        sizes.push(0);
        let infos = Box::new(lowered.kernels.iter().filter(move |info| info.entry == entry));
        Run { lowered, jit, infos, memory, sizes, scalars: [42, 1, 0, 100, 0], rows: Vec::new() }
    }

    fn size(&self, dim: &Dim) -> i64 {
        dim.eval(&self.sizes).unwrap_or(0)
    }

    /// Steps of which each is run `times` times in an entry; loops are at their first position.
    fn steps(&mut self, steps: &[Step], times: i64) {
        for step in steps {
            match step {
                Step::Run { kernel, frame, tiles, .. } => {
                    let tiles = self.size(tiles);
                    self.kernel(*kernel, frame, (tiles, tiles), times);
                }
                Step::Loop(looped) => {
                    let trip = self.size(looped.trip.bound());
                    self.steps(&looped.body, times * trip);
                }
                // All rows are one band.
                Step::Bands(bands) => {
                    let last = self.sizes.len() - 1;
                    self.sizes[last] = self.sizes[bands.rows.0 as usize];
                    self.steps(&bands.body, times);
                }
                Step::Chain(chain) => {
                    // As in the entry, a few units at a time.
                    let units = self.size(&chain.units);
                    let at_once = units.min(chain.at_once).max(1);
                    for run in &chain.runs {
                        let turns = (units + at_once - 1) / at_once;
                        self.kernel(run.kernel, &run.frame, (at_once * run.tiles, units * run.tiles), times * turns);
                    }
                }
                Step::Call { .. } | Step::Fault { .. } | Step::Absent | Step::Copy { .. } => {}
            }
        }
    }

    /// Some of a kernel's tiles, which are run so often.
    fn kernel(&mut self, kernel: usize, frame: &[Slot], (tiles, all): (i64, i64), times: i64) {
        let words: Vec<u64> = frame.iter().map(|slot| self.word(slot)).collect();
        let (run, scratch) = (self.jit.kernel(kernel), self.memory.scratch.pointer());
        let mut best = f64::MAX;
        let (start, mut calls) = (Instant::now(), 0);
        // The first call meets memory that nothing has touched.
        while calls < 2 || start.elapsed() < Duration::from_millis(20) {
            let call = Instant::now();
            // SAFETY: the frame's pointers are to buffers of the sizes that the kernel was compiled for.
            unsafe { run(words.as_ptr(), scratch, 0, tiles) };
            best = best.min(call.elapsed().as_secs_f64());
            calls += 1;
        }
        let flops = self.infos.next().map_or(0.0, |info| self.flops(info)) * tiles as f64 / all.max(1) as f64;
        self.rows.push(Row { kernel, seconds: best, times, tiles, flops });
    }

    fn flops(&self, info: &KernelInfo) -> f64 {
        let Some(Reduction::Dot { .. }) = info.nest.reduce else { return 0.0 };
        let extents = info.nest.par.iter().chain(&info.nest.red);
        2.0 * extents.map(|extent| self.size(extent) as f64).product::<f64>()
    }

    fn word(&mut self, slot: &Slot) -> u64 {
        let place = match slot {
            Slot::Size(dim) => return self.size(dim) as u64,
            Slot::Ptr(place) => place,
        };
        match place.loc {
            Loc::Arg(n) => self.memory.args[n as usize].pointer() as u64,
            Loc::Result(n) => self.memory.results[n as usize].pointer() as u64,
            Loc::Global(n) => self.memory.globals[n as usize].as_ref().map_or(0, |memory| memory.pointer() as u64),
            Loc::Arena(n) => self.memory.arena.pointer().wrapping_add(self.memory.offsets[n as usize] as usize) as u64,
            Loc::Kept(offset) => self.memory.kept.pointer().wrapping_add(offset as usize) as u64,
            Loc::Near(offset) => {
                let scratch = self.memory.scratch.pointer();
                scratch.wrapping_add(SCRATCH_BYTES + offset as usize) as u64
            }
            Loc::Seed => &raw mut self.scalars[0] as u64,
            Loc::Step => &raw mut self.scalars[1] as u64,
            Loc::Epoch => &raw mut self.scalars[2] as u64,
            Loc::TotalSteps => &raw mut self.scalars[3] as u64,
            Loc::Done => &raw mut self.scalars[4] as u64,
        }
    }

    fn report(&mut self) {
        let peak = peak_gflops(1, Duration::from_millis(200));
        let seconds = |row: &Row| row.seconds * row.times as f64;
        self.rows.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
        let sum: f64 = self.rows.iter().map(seconds).sum();
        for row in &self.rows {
            let share = match row.flops {
                0.0 => String::new(),
                flops => format!("{:5.1} %", flops / row.seconds / peak * 1e-7),
            };
            println!(
                "{:9.1} us x {:<5} k{:<3} {:>7} tiles {share:>8}  {}",
                row.seconds * 1e6,
                row.times,
                row.kernel,
                row.tiles,
                self.lowered.program.kernels[row.kernel].name
            );
        }
        println!("{:9.1} us in all on one thread; multiply-adds at most {peak:.1} GFLOP/s", sum * 1e6);
    }
}

/// Every form of one kernel.
fn show(lowered: &LoweredProgram, kernel: usize, options: &mlc_codegen::Options) {
    let Some(info) = lowered.kernels.iter().find(|info| info.kernel == kernel) else { return };
    println!("{}", mlc_kernel::print::nest_text(&lowered.graph, info));
    println!("{}", mlc_kernel::print::tree_text(&lowered.graph, &info.tree));
    println!("{}", mlc_kernel::lane_print::text(&lowered.program.kernels[kernel]));
    let name = &lowered.program.kernels[kernel].name;
    match mlc_codegen::asm_text(&lowered.program, &Target::host(), options, name) {
        Ok(text) => println!("{text}"),
        Err(error) => println!("{error:?}"),
    }
}
