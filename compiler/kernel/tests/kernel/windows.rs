//! Gradients of convolutions by their weights: positions of the window side by side, with the same bits.

use crate::common::{Rng, assert_same_bits, concrete, entry, run_lane};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::Graph;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::knobs::{Knobs, is_contraction};
use mlc_kernel::lower::{Choices, lower_with};
use mlc_kernel::nest::Nest;
use mlc_kernel::schedule::{Machine, Schedule, Tile};
use std::sync::Mutex;

/// Sizes of a batch: the one that schedules are made for, whose pixels no core's own cache holds, and the one of the
/// test, more than a block of terms.
const TYPICAL: i64 = 4096;
const BATCH: i64 = 20;

/// The gradient by weights of 3 x 3, of pictures of 6 x 6 and as many channels, with another number of features.
fn weights(channels: i64, features: i64, stride: i64) -> Graph {
    let side = 6 / stride;
    let float = |shape: &[Dim]| Type::new(DType::F32, shape.to_vec());
    let batch = Dim::from(Sym(0));
    let mut graph = Graph::new();
    graph.symbols.push("B".into());
    let mut b = Builder::new("main");
    let x = b.param(float(&[batch.clone(), 6.into(), 6.into(), channels.into()]));
    let dy = b.param(float(&[batch, side.into(), side.into(), features.into()]));
    let pads = vec![(1, 2 - stride); 2];
    let geometry = Geometry { strides: vec![stride; 2], pads, dilations: vec![1, 1], groups: 1 };
    let role = ConvRole::Weight;
    let dw = b.add1(Conv { role, geometry, extents: vec![3.into(), 3.into()] }, &[x, dy]);
    entry(graph, b, vec![dw], &[(Sym(0), TYPICAL)])
}

/// The result, with what becomes of the contraction's schedule.
fn run(graph: &Graph, machine: &Machine, change: &(dyn Fn(&Nest, Schedule) -> Schedule + Sync)) -> Tensor {
    let lowered = lower_with(graph, machine, Choices { schedule: change, ..Choices::default() });
    let region = graph.region(graph.entries[0].region);
    let mut rng = Rng(5);
    let args: Vec<Tensor> =
        region.params.iter().map(|value| rng.tensor(&concrete(region.ty(*value), &[BATCH]), -1.0, 1.0, 1)).collect();
    run_lane(graph, &lowered, &[BATCH], &args).remove(0)
}

#[test]
fn positions_side_by_side_have_the_same_bits() {
    let machine = Machine::LANES_512;
    for (channels, features, stride) in [(32, 32, 1), (48, 40, 1), (64, 48, 1), (32, 33, 2)] {
        let graph = weights(channels, features, stride);
        let chosen = Mutex::new(Vec::new());
        let beside = run(&graph, &machine, &|nest, schedule| {
            if is_contraction(nest) {
                assert_eq!(Knobs::of(&schedule).apply(nest, &machine, &schedule).as_ref(), Some(&schedule));
                chosen.lock().unwrap().push(schedule.tiles.clone());
            }
            schedule
        });
        let chosen = chosen.into_inner().unwrap();
        let [tiles] = &chosen[..] else { panic!("{chosen:?}") };
        assert!(
            tiles.starts_with(&[Tile::Rows(16), Tile::Axis(0)]) && !tiles.contains(&Tile::Axis(1)),
            "{channels} {features} {stride}: {tiles:?}"
        );
        let apart = run(&graph, &machine, &|nest, mut schedule| {
            if is_contraction(nest) {
                schedule.tiles = vec![Tile::Axis(0), Tile::Axis(1)];
                schedule.side_by_side = false;
            }
            schedule
        });
        assert_same_bits(&beside, &apart, &format!("{channels} channels, {features} features, stride {stride}"));
    }
}
