//! `cargo bench -p mlc-benches --bench compile`: where compiling a training step spends its time, and how long large
//! graphs take.

use mlc_codegen::{Options, Target, compile_jit};
use mlc_ir::passes::{PIPELINE, run_pipeline};
use mlc_kernel::lower::lower;
use std::time::{Duration, Instant};

fn main() {
    let options = Options::default();
    let rounds = 20;
    let mut best = [Duration::MAX; 3];
    let mut slowest = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let graph = mlc_benches::cnn_step(32);
        best[0] = best[0].min(start.elapsed());
        let start = Instant::now();
        let lowered = lower(&graph, &Target::host().machine(options.level, options.emitter));
        best[1] = best[1].min(start.elapsed());
        let start = Instant::now();
        let jit = match compile_jit(&lowered.program, &options) {
            Ok(jit) => jit,
            Err(error) => {
                eprintln!("{error:?}");
                return;
            }
        };
        best[2] = best[2].min(start.elapsed());
        slowest = jit.timings().functions.clone();
    }
    slowest.sort_by_key(|function| std::cmp::Reverse(function.compile));
    for function in slowest.iter().take(20) {
        println!("{:8.2} ms  {:6} bytes  {}", function.compile.as_secs_f64() * 1e3, function.bytes, function.name);
    }
    println!("graph and gradients {:?}, kernels {:?}, machine code {:?}: least of {rounds}", best[0], best[1], best[2]);
    for layers in LAYERS {
        large(layers, &options);
    }
}

/// Layers of ten nodes each, and those of their gradients: about ten thousand nodes, and four times as many.
const LAYERS: [usize; 2] = [250, 1000];

/// How long a large graph takes on its way to kernels.
fn large(layers: usize, options: &Options) {
    let start = Instant::now();
    let graph = mlc_benches::layers(layers);
    let differentiated = start.elapsed();
    let nodes = graph.region(graph.entries[0].region).nodes.len();
    let start = Instant::now();
    let graph = run_pipeline(&graph, PIPELINE, |_, _| ());
    let passed = start.elapsed();
    let start = Instant::now();
    lower(&graph, &Target::host().machine(options.level, options.emitter));
    let lowered = start.elapsed();
    println!("{nodes} nodes: graph and gradients {differentiated:?}, passes {passed:?}, kernels {lowered:?}");
}
