//! `cargo bench -p mlc-benches --bench maths`: every f32 through every function at every level, the largest
//! error in ulp, and the time for an element. With `-- 97` only every 97th f32, with `-- sin cos` only these.

use mlc::session::{Options as SessionOptions, Session};
use mlc_benches::{maths, resident};
use mlc_codegen::{Emitter, JitProgram, Level, Options, Target, compile_jit};
use mlc_ir::graph::Graph;
use mlc_kernel::lower::lower;
use mlc_kernel::program::{Loc, Program, Slot, Step};
use std::path::Path;

/// Elements of a call.
const COUNT: usize = 1 << 14;

/// A function as one way to compile makes it.
struct Compiled {
    name: String,
    program: Program,
    jit: JitProgram,
}

impl Compiled {
    fn of(graph: &Graph) -> Vec<Compiled> {
        let narrow = [Level::V2, Level::V3].map(|level| (level, Emitter::Cranelift));
        let wide = [Level::V3, Level::V4].map(|level| (level, Emitter::Wide));
        let ways = narrow.into_iter().chain(wide).filter(|(level, _)| level.runs_here());
        let compiled = ways.filter_map(|(level, emitter)| {
            let program = lower(graph, &Target::host().machine(level, emitter)).program;
            let jit = compile_jit(&program, &Options { level, emitter, threads: 1 }).ok()?;
            Some(Compiled { name: format!("{level} {emitter:?}"), program, jit })
        });
        compiled.collect()
    }

    /// Calls the kernel on whole buffers.
    fn run(&self, args: &[&[f32]], result: &mut [f32]) {
        assert!(args.iter().all(|arg| arg.len() == COUNT) && result.len() == COUNT);
        let [Step::Run { kernel, frame, tiles, .. }] = &self.program.entries[0].steps[..] else {
            panic!("a function is one kernel")
        };
        let out = result.as_mut_ptr() as u64;
        let word = |slot: &Slot| match slot {
            Slot::Size(dim) => dim.as_const().unwrap_or(0) as u64,
            Slot::Ptr(place) => match place.loc {
                Loc::Arg(n) => args[n as usize].as_ptr() as u64,
                _ => out,
            },
        };
        let words: Vec<u64> = frame.iter().map(word).collect();
        let mut scratch = [0u8; 64];
        // SAFETY: the frame's buffers are as large as those that the kernel was compiled for.
        unsafe { self.jit.kernel(*kernel)(words.as_ptr(), scratch.as_mut_ptr(), 0, tiles.as_const().unwrap_or(0)) };
    }
}

/// The largest error, and where.
#[derive(Clone, Copy, Default)]
struct Worst {
    ulps: f64,
    at: (f32, f32),
}

impl Worst {
    fn note(&mut self, found: f32, exact: f64, at: (f32, f32)) {
        let ulps = maths::ulps(found, exact);
        if ulps > self.ulps {
            *self = Worst { ulps, at };
        }
    }
}

fn report(name: &str, function: &[Compiled], args: &[&[f32]], worst: &[Worst]) {
    let mut result = vec![0f32; COUNT];
    for (way, worst) in function.iter().zip(worst) {
        let seconds = resident(|| way.run(args, &mut result));
        let (ns, (x, y)) = (seconds * 1e9 / COUNT as f64, worst.at);
        let at = if args.len() == 1 { format!("{x:e}") } else { format!("{x:e}, {y:e}") };
        println!("{name:<7} {:<20} {:6.3} ulp at {at:<28} {ns:6.2} ns", way.name, worst.ulps);
    }
}

/// Every `stride`-th f32 through a function of one argument.
fn unary(name: &str, graph: &Graph, exact: &dyn Fn(f32) -> f64, stride: u64) {
    let function = Compiled::of(graph);
    let (mut worst, mut result) = (vec![Worst::default(); function.len()], vec![0f32; COUNT]);
    let mut next = 0u64;
    while next < 1 << 32 {
        let bits = (0..COUNT as u64).map(|i| (next + i * stride).min(u64::from(u32::MAX)) as u32);
        let x: Vec<f32> = bits.map(f32::from_bits).collect();
        next += COUNT as u64 * stride;
        let exact: Vec<f64> = x.iter().map(|x| exact(*x)).collect();
        for (way, worst) in function.iter().zip(&mut worst) {
            way.run(&[&x], &mut result);
            for ((x, exact), found) in x.iter().zip(&exact).zip(&result) {
                worst.note(*found, *exact, (*x, 0.0));
            }
        }
    }
    let ordinary: Vec<f32> = (0..COUNT).map(|i| i as f32 * (8.0 / COUNT as f32) - 4.0).collect();
    report(name, &function, &[&ordinary], &worst);
}

/// A function that the library makes of others: the entry of a model of its name.
fn of_library(name: &str) -> Graph {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).with_extension("dl");
    let session = Session::open(&file, SessionOptions::default());
    let Ok(mut session) = session else { panic!("{} can't be read", file.display()) };
    let Ok(program) = session.resolve() else { panic!("{} has errors: see mlc check", file.display()) };
    session.optimize(&program)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let stride = args.iter().find_map(|arg| arg.parse::<u64>().ok()).unwrap_or(1).max(1);
    let names: Vec<&String> = args.iter().filter(|arg| arg.parse::<u64>().is_err()).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| *wanted == name);
    for op in maths::FUNCTIONS {
        let name = format!("{op:?}").to_lowercase();
        if wanted(&name) {
            unary(&name, &maths::unary(op, COUNT), &|x| maths::exact(op, x), stride);
        }
    }
    if wanted("sigmoid") {
        unary("sigmoid", &of_library("sigmoid"), &maths::sigmoid, stride);
    }
    if !wanted("pow") {
        return;
    }
    let function = Compiled::of(&maths::pow(COUNT));
    let (mut worst, mut result) = (vec![Worst::default(); function.len()], vec![0f32; COUNT]);
    let (x, y) = maths::powers(((1 << 22) / stride as usize).max(COUNT));
    for (x, y) in x.chunks_exact(COUNT).zip(y.chunks_exact(COUNT)) {
        let exact: Vec<f64> = x.iter().zip(y).map(|(x, y)| f64::from(*x).powf(f64::from(*y))).collect();
        for (way, worst) in function.iter().zip(&mut worst) {
            way.run(&[x, y], &mut result);
            for (((x, y), exact), found) in x.iter().zip(y).zip(&exact).zip(&result) {
                worst.note(*found, *exact, (*x, *y));
            }
        }
    }
    report("pow", &function, &[&x[..COUNT], &y[..COUNT]], &worst);
}
