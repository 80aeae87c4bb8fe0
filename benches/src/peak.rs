//! `cargo bench -p mlc-benches --bench peak`: multiply-adds on one thread and on all. `-- --json 2`: one JSON line
//! for so many threads.

use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let time = Duration::from_millis(500);
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    if args.iter().any(|arg| arg == "--json") {
        let threads = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(all);
        println!("{{\"threads\": {threads}, \"gflops\": {:.1}}}", mlc_benches::fma::peak_gflops(threads, time));
        return;
    }
    for threads in [1, all] {
        println!("{threads} threads: {:.1} GFLOP/s", mlc_benches::fma::peak_gflops(threads, time));
    }
}
