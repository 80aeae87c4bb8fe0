//! Every way that `--tune` may choose gives the bits of the one that is estimated.

use crate::common::{Rng, assert_same_bits, concrete, entry, run_lane};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Graph, Value};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::scalar::UnaryOp;
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_kernel::knobs::{Knobs, blocks, is_contraction, is_open, tilings, walks};
use mlc_kernel::lower::{Choices, contractions, lower, lower_with};
use mlc_kernel::nest::Nest;
use mlc_kernel::panels::{Pack, Packing, packings};
use mlc_kernel::schedule::{Machine, Schedule, Tile};
use std::collections::BTreeSet;
use std::sync::Mutex;

const TYPICAL: [(Sym, i64); 1] = [(Sym(0), 14)];

fn float(shape: &[Dim]) -> Type {
    Type::new(DType::F32, shape.to_vec())
}

/// A graph of one entry whose rows may be the symbol `B`.
fn with_rows(make: impl FnOnce(&mut Builder) -> Value) -> Graph {
    let mut graph = Graph::new();
    graph.symbols.push("B".into());
    let mut b = Builder::new("main");
    let result = make(&mut b);
    entry(graph, b, vec![result], &TYPICAL)
}

/// `tanh(x · w)` with a chain of so many terms.
fn product(rows: Dim, terms: i64, columns: i64) -> Graph {
    with_rows(|b| {
        let x = b.param(float(&[rows, terms.into()]));
        let w = b.param(float(&[terms.into(), columns.into()]));
        let y = b.add1(Contract { left: vec![0, 1], right: vec![1, 2], out: vec![0, 2] }, &[x, w]);
        b.unary(UnaryOp::Tanh, y)
    })
}

fn convolution(batch: Dim, side: i64, channels: i64, features: i64) -> Graph {
    with_rows(|b| {
        let x = b.param(float(&[batch, side.into(), side.into(), channels.into()]));
        let w = b.param(float(&[3.into(), 3.into(), channels.into(), features.into()]));
        let geometry = Geometry { strides: vec![1, 1], pads: vec![(1, 1); 2], dilations: vec![1, 1], groups: 1 };
        b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w])
    })
}

/// Something without a reduction, and a transpose.
fn maps(rows: Dim) -> Graph {
    with_rows(|b| {
        let x = b.param(float(&[rows, 70.into()]));
        let y = b.unary(UnaryOp::Tanh, x);
        b.add1(Transpose { perm: vec![1, 0] }, &[y])
    })
}

/// All that is tried of a nest.
fn ways(nest: &Nest, machine: &Machine, schedule: &Schedule) -> Vec<Knobs> {
    let mut all = [walks(nest, machine, schedule), tilings(nest, machine, &TYPICAL, schedule)].concat();
    let first = blocks(nest, machine, schedule);
    if let Some(other) = first.first().and_then(|knobs| knobs.apply(nest, machine, schedule)) {
        all.extend(walks(nest, machine, &other));
        all.extend(tilings(nest, machine, &TYPICAL, &other));
    }
    all.extend(first);
    all
}

fn arguments(graph: &Graph, sizes: &[i64]) -> Vec<Tensor> {
    let mut rng = Rng(3);
    let region = graph.region(graph.entries[0].region);
    region.params.iter().map(|value| rng.tensor(&concrete(region.ty(*value), sizes), -1.0, 1.0, 1)).collect()
}

/// Runs a graph in every way for its nests; gives how many there were.
fn same_bits(graph: &Graph, machine: Machine) -> usize {
    let args = arguments(graph, &[14]);
    let run = |schedule: &(dyn Fn(&Nest, Schedule) -> Schedule + Sync)| {
        let lowered = lower_with(graph, &machine, Choices { schedule, ..Choices::default() });
        run_lane(graph, &lowered, &[14], &args)
    };
    let found = Mutex::new(BTreeSet::new());
    let expected = run(&|nest, schedule| {
        if is_open(nest, &schedule) {
            found.lock().unwrap().extend(ways(nest, &machine, &schedule).iter().map(Knobs::to_string));
        }
        schedule
    });
    let found = found.into_inner().unwrap();
    for way in &found {
        let knobs: Knobs = way.parse().unwrap();
        let run = run(&|nest, schedule| knobs.apply(nest, &machine, &schedule).unwrap_or(schedule));
        assert_same_bits(&run[0], &expected[0], way);
    }
    found.len()
}

#[test]
fn every_way_has_the_same_bits() {
    for (graph, machine, least) in [
        (product(14.into(), 1100, 40), Machine::LANES_256, 20),
        (product(Sym(0).into(), 1100, 40), Machine::LANES_512, 20),
        (convolution(2.into(), 9, 6, 40), Machine::LANES_256, 20),
        (convolution(Sym(0).into(), 5, 3, 36), Machine::LANES_512, 20),
        (maps(Sym(0).into()), Machine::LANES_256, 5),
        (maps(90.into()), Machine::LANES_512, 5),
    ] {
        let tried = same_bits(&graph, machine);
        assert!(tried >= least, "{tried} ways");
    }
}

/// A single row with weights that no cache holds, in streams of all lengths.
#[test]
fn every_stream_has_the_same_bits() {
    let graph = product(1.into(), 700, 2048);
    assert!(same_bits(&graph, Machine::LANES_512) > 5);
}

#[test]
fn every_packing_has_the_same_bits() {
    for graph in [product(60.into(), 1024, 300), product(Sym(0).into(), 512, 41), convolution(1.into(), 8, 4, 48)] {
        for machine in [Machine::LANES_128, Machine::LANES_256, Machine::LANES_512] {
            let args = arguments(&graph, &[14]);
            let run = |packing: Packing| {
                let lowered = lower_with(&graph, &machine, Choices { packing: &|_| packing, ..Choices::default() });
                (run_lane(&graph, &lowered, &[14], &args), lowered.kernels.len())
            };
            let (expected, _) = run(Packing::default());
            let mut kernels = BTreeSet::new();
            for packing in packings() {
                let (found, number) = run(packing);
                assert_same_bits(&found[0], &expected[0], &packing.to_string());
                kernels.insert(number);
            }
            assert!(kernels.len() > 1, "no packing makes a difference");
        }
    }
}

#[test]
fn contractions_are_prepared_as_they_are_lowered() {
    let graph = product(60.into(), 1024, 320);
    let machine = Machine::LANES_512;
    let lowered = lower(&graph, &machine);
    let found = contractions(&lowered.graph, &machine);
    assert_eq!(found.len(), 1);
    let nests = found[0].prepared(&machine, Packing::default(), &TYPICAL);
    let texts = |nests: Vec<&Nest>| -> Vec<String> {
        nests.iter().map(|nest| mlc_kernel::print::content_text(nest, &lowered.graph.symbols)).collect()
    };
    assert_eq!(texts(nests.iter().collect()), texts(lowered.kernels.iter().map(|info| &*info.nest).collect()));
    assert!(found[0].constant.is_empty(), "arguments are not the same in every call");
    let panels = Packing { panels: Pack::Wide(4), ..Packing::default() };
    let widths = found[0].prepared(&machine, panels, &TYPICAL);
    assert!(widths.iter().any(|nest| nest.red.is_empty() && nest.par.last().unwrap().is(64)), "{widths:?}");
}

/// The tiles of the convolution in a graph.
fn tiles(graph: &Graph) -> Vec<Tile> {
    let lowered = lower(graph, &Machine::LANES_512);
    let info = lowered.kernels.iter().find(|info| is_contraction(&info.nest)).unwrap();
    info.schedule.tiles.clone()
}

/// Weights that no core's own cache holds are read once, not for each row of the picture.
#[test]
fn tiles_stand_so_that_little_is_read_again() {
    // Axes are those of pictures, rows, pixels, panels and the place in one.
    let at = |tiles: &[Tile], axis: usize| tiles.iter().position(|tile| *tile == Tile::Axis(axis)).unwrap();
    let large = tiles(&convolution(1.into(), 14, 512, 512));
    assert!(at(&large, 3) < at(&large, 1), "{large:?}");
    let small = tiles(&convolution(1.into(), 14, 64, 64));
    assert!(at(&small, 1) < at(&small, 3), "{small:?}");
}

/// What no estimate would come to is refused, whoever wrote it.
#[test]
fn impossible_ways_are_refused() {
    let machine = Machine::LANES_256;
    let seen = Mutex::new(0);
    let refuse = |nest: &Nest, schedule: Schedule| {
        let own = Knobs::of(&schedule);
        if is_contraction(nest) {
            let with = |change: &dyn Fn(&mut Knobs)| {
                let mut knobs = own.clone();
                change(&mut knobs);
                knobs
            };
            let wrong = [
                with(&|it| it.rows = 0),
                with(&|it| (it.rows, it.vectors) = (15, 1)),
                with(&|it| (it.rows, it.vectors) = (8, 2)),
                with(&|it| (it.rows, it.vectors) = (2, 6)),
                with(&|it| it.vectors = 0),
                with(&|it| it.unroll = 0),
                with(&|it| it.unroll = 64),
                with(&|it| (it.rows, it.vectors, it.side_by_side) = (14, 1, true)),
                with(&|it| it.chunk = 0),
                with(&|it| it.chunk = 100),
                with(&|it| it.stream = 1 << 20),
                with(&|it| (it.rows, it.vectors, it.tiles) = (2, 1, vec![Tile::Rows(1)])),
                with(&|it| it.tiles = vec![Tile::Rows(0)]),
                with(&|it| it.tiles = vec![Tile::Rows(own.rows), Tile::Rows(own.rows)]),
                with(&|it| it.tiles = vec![Tile::Blocks, Tile::Blocks]),
                with(&|it| it.tiles = vec![Tile::Axis(nest.par.len())]),
                with(&|it| it.tiles = vec![Tile::Axis(schedule.vector.unwrap())]),
                with(&|it| it.tiles = vec![Tile::Axis(schedule.rows.unwrap().0)]),
            ];
            for knobs in wrong {
                assert_eq!(knobs.apply(nest, &machine, &schedule), None, "{knobs}");
            }
            *seen.lock().unwrap() += 1;
        } else if is_open(nest, &schedule) {
            let blocks = Knobs { tiles: vec![Tile::Blocks], ..own.clone() };
            let stream = Knobs { stream: 8, ..own.clone() };
            let beside = Knobs { side_by_side: true, ..own.clone() };
            for knobs in [blocks, stream, beside] {
                assert_eq!(knobs.apply(nest, &machine, &schedule), None, "{knobs}");
            }
            *seen.lock().unwrap() += 1;
        }
        if is_open(nest, &schedule) {
            assert_eq!(own.apply(nest, &machine, &schedule).as_ref(), Some(&schedule));
        }
        schedule
    };
    for graph in [product(14.into(), 1100, 40), maps(90.into())] {
        lower_with(&graph, &machine, Choices { schedule: &refuse, ..Choices::default() });
    }
    assert!(*seen.lock().unwrap() >= 2);
}
