//! `cargo bench -p mlc-benches --bench models -- [NAME]… [forward|step] [--threads N]`: inference and training steps of the
//! models in `benches/models`, as a share of the machine's multiply-adds, which are measured anew for each row.

use mlc::session::{Options, Session};
use mlc_benches::fma::peak_gflops;
use mlc_benches::resident;
use mlc_benches::running::Running;
use std::path::Path;
use std::time::Duration;

/// Names of models, and the batches of inference and of training steps.
const MODELS: &[(&str, &[i64], &[i64])] = &[
    ("mlp", &[1, 32], &[32, 128]),
    ("cnn", &[1, 32], &[32, 128]),
    ("rnn", &[1, 32], &[32, 128]),
    ("lstm", &[1, 32], &[32, 128]),
    ("attn", &[1, 32], &[32, 128]),
    ("gpt", &[1, 32], &[8]),
    ("vgg16", &[1], &[]),
    ("gpt2-small", &[1], &[1]),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let threads = args.iter().position(|arg| arg == "--threads").and_then(|at| args.get(at + 1)?.parse().ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let wanted =
        |name: &str| !args.iter().any(|arg| MODELS.iter().any(|it| it.0 == arg)) || args.iter().any(|arg| arg == name);
    for (name, inference, training) in MODELS.iter().filter(|(name, ..)| wanted(name)) {
        for (word, entry, batches) in [("forward", "forward", inference), ("step", "rows.step", training)] {
            let other = if word == "step" { "forward" } else { "step" };
            if args.iter().any(|arg| arg == other) {
                continue;
            }
            batches.iter().for_each(|batch| row(name, entry, *batch, threads));
        }
    }
}

fn row(name: &str, entry: &str, batch: i64, threads: usize) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.dl"));
    let Ok(mut session) = Session::open(&file, Options::for_this_machine()) else { panic!("{name} can't be read") };
    let Ok(program) = session.resolve() else { panic!("{name} has errors") };
    let lowered = session.lower(&program);
    let Some(number) = lowered.program.entries.iter().position(|it| it.name == entry) else { return };
    let sizes = vec![batch; lowered.graph.symbols.len()];
    let flops = lowered.program.entries[number].flops.eval(&sizes).unwrap_or(0);
    let mut running = Running::of(&lowered, number, &sizes, &session.codegen_options(), threads);
    let before = peak_gflops(threads, Duration::from_millis(100));
    let seconds = resident(|| running.run());
    let peak = before.max(peak_gflops(threads, Duration::from_millis(100)));
    let gflops = flops as f64 / seconds / 1e9;
    let what = format!("{name} {entry} {batch}");
    println!("{what:<24} {:9.3} ms {gflops:8.1} of {peak:6.1} GFLOP/s {:5.1} %", seconds * 1e3, 100.0 * gflops / peak);
}
