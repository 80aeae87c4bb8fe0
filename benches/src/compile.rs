//! `cargo bench -p mlc-benches --bench compile`: where compiling a training step spends its time.

use mlc_codegen::{Options, compile_jit};
use mlc_kernel::lower::lower;
use mlc_kernel::schedule::Machine;
use std::time::{Duration, Instant};

fn main() {
    let rounds = 20;
    let mut best = [Duration::MAX; 3];
    for _ in 0..rounds {
        let start = Instant::now();
        let graph = mlc_benches::cnn_step(32);
        best[0] = best[0].min(start.elapsed());
        let start = Instant::now();
        let lowered = lower(&graph, &Machine::LANES_128);
        best[1] = best[1].min(start.elapsed());
        let start = Instant::now();
        if let Err(error) = compile_jit(&lowered.program, &Options::default()) {
            eprintln!("{error:?}");
            return;
        }
        best[2] = best[2].min(start.elapsed());
    }
    println!("graph and gradients {:?}, kernels {:?}, machine code {:?}: least of {rounds}", best[0], best[1], best[2]);
}
