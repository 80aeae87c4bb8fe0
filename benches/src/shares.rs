//! `cargo bench -p mlc-benches --bench shares`: products, and 3 x 3 convolutions with both gradients, as a share
//! of the machine's multiply-adds. The peak is measured anew for each row. `-- 1` on one thread.

use mlc_benches::fma::peak_gflops;
use mlc_benches::resident;
use mlc_benches::running::Running;
use mlc_codegen::Options;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Graph, Input, Output, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ty::{DType, Type};
use std::time::Duration;

/// Rows of a batch.
const BATCH: i64 = 8;

/// A graph of one op on two arguments.
fn graph(left: &[i64], right: &[i64], op: impl Fn(&mut Builder, Value, Value) -> Value) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new("op");
    let [x, y] = [left, right].map(|shape| {
        let shape: Vec<Dim> = shape.iter().map(|n| Dim::from(*n)).collect();
        b.param(Type::new(DType::F32, shape))
    });
    let result = op(&mut b, x, y);
    let region = graph.add_region(b.finish(vec![result]));
    let inputs = vec![Input::Arg("x".into()), Input::Arg("y".into())];
    let outputs = vec![Output::Result("z".into())];
    graph.entries.push(Entry { name: "op".into(), region, inputs, outputs, checks: Vec::new(), typical: Vec::new() });
    graph
}

fn product(n: i64) -> Graph {
    graph(&[n, n], &[n, n], |b, x, y| {
        b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, y])
    })
}

fn convolution(role: ConvRole, channels: i64, side: i64) -> Graph {
    let (picture, filter) = ([BATCH, side, side, channels], [3, 3, channels, channels]);
    let geometry = Geometry { strides: vec![1, 1], pads: vec![(1, 1); 2], dilations: vec![1, 1], groups: 1 };
    let (left, right, extents): (&[i64], &[i64], Vec<Dim>) = match role {
        ConvRole::Output => (&picture, &filter, Vec::new()),
        ConvRole::Input => (&filter, &picture, vec![side.into(); 2]),
        ConvRole::Weight => (&picture, &picture, vec![3.into(); 2]),
    };
    graph(left, right, |b, x, y| b.add1(Conv { role, geometry: geometry.clone(), extents: extents.clone() }, &[x, y]))
}

fn row(name: &str, graph: &Graph, flops: i64, threads: usize) {
    let time = Duration::from_millis(100);
    let before = peak_gflops(threads, time);
    let mut running = Running::new(graph, &[], &Options::default(), threads);
    let seconds = resident(|| running.run());
    let peak = before.max(peak_gflops(threads, time));
    let gflops = flops as f64 / seconds / 1e9;
    println!("{name:<36} {:9.3} ms {gflops:8.1} of {peak:6.1} GFLOP/s {:5.1} %", seconds * 1e3, 100.0 * gflops / peak);
}

fn main() {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(all);
    for n in [128, 256, 512, 1024, 2048] {
        row(&format!("product {n}"), &product(n), 2 * n * n * n, threads);
    }
    for (channels, side) in [(32, 56), (64, 56), (128, 28), (256, 14)] {
        for role in [ConvRole::Output, ConvRole::Input, ConvRole::Weight] {
            let flops = 2 * BATCH * side * side * 9 * channels * channels;
            row(
                &format!("{role:?} {channels} channels {side} x {side}"),
                &convolution(role, channels, side),
                flops,
                threads,
            );
        }
    }
}
