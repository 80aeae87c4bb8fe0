//! What is tried, the best by estimate first.

use super::{Knobs, MOST, UNROLL, is_contraction};
use crate::nest::Nest;
use crate::schedule::{Machine, Schedule, Shape, Tile, block_cost, column_orders, size_at, tile_axes, traffic};
use mlc_ir::dim::Sym;

/// Blocks that are tried.
const BLOCKS: usize = 10;

/// Ways to make tiles that are tried.
const TILINGS: usize = 12;

/// Tiles that there are at least, if there are as many without trying; and at most.
const TILES: (i64, i64) = (16, 1 << 16);

/// Register blocks of a tile.
const ROW_BLOCKS: [i64; 6] = [1, 2, 4, 8, 16, 32];

/// Vectors of a stream.
const STREAMS: [i64; 5] = [0, 8, 16, 32, 64];

/// Elements of a tile of a one-axis map.
const CHUNKS: [i64; 5] = [1 << 10, 1 << 11, 1 << 13, 1 << 14, 1 << 16];

/// Register blocks other than that of `schedule`.
pub fn blocks(nest: &Nest, machine: &Machine, schedule: &Schedule) -> Vec<Knobs> {
    let own = Knobs::of(schedule);
    let all = (1..=MOST.0).flat_map(|rows| (1..=MOST.1).map(move |vectors| (rows, vectors)));
    let with = |(rows, vectors): (i64, i64)| {
        // As many register blocks in a tile as before.
        let tile = |tile: &Tile| match tile {
            Tile::Rows(many) => Tile::Rows((many + own.rows - 1) / own.rows * rows),
            Tile::Axis(_) | Tile::Blocks => *tile,
        };
        Knobs { rows, vectors, tiles: own.tiles.iter().map(tile).collect(), ..own.clone() }
    };
    let mut found: Vec<Knobs> =
        all.map(with).filter(|knobs| *knobs != own && knobs.fits(nest, machine, schedule)).collect();
    // Cycles of a term, for each of its outputs.
    let cost =
        |knobs: &Knobs| block_cost(machine, knobs.rows, knobs.vectors) as f64 / (knobs.rows * knobs.vectors) as f64;
    found.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    found.truncate(BLOCKS);
    found
}

/// Ways to make tiles other than that of `schedule`: which axes, how many rows, whether blocks of columns, in
/// which order; streams and chunks.
pub fn tilings(nest: &Nest, machine: &Machine, typical: &[(Sym, i64)], schedule: &Schedule) -> Vec<Knobs> {
    let own = Knobs::of(schedule);
    let least = count(nest, typical, schedule).min(TILES.0);
    let mut found: Vec<(i64, Knobs)> = Vec::new();
    for tiles in tile_lists(nest, typical, schedule) {
        let knobs = Knobs { tiles, ..own.clone() };
        let Some(other) = knobs.apply(nest, machine, schedule) else { continue };
        let enough = (least..=TILES.1).contains(&count(nest, typical, &other));
        if enough && knobs != own && !found.iter().any(|(_, known)| *known == knobs) {
            found.push((traffic(nest, machine, typical, &other).unwrap_or(0), knobs));
        }
    }
    found.sort_by_key(|(cost, _)| *cost);
    found.truncate(TILINGS);
    let streams = STREAMS.into_iter().filter(|_| own.stream > 0).map(|stream| Knobs { stream, ..own.clone() });
    let chunks = CHUNKS.into_iter().filter(|_| schedule.shape == Shape::Map && nest.par.len() == 1);
    let chunks = chunks.map(|chunk| Knobs { chunk, ..own.clone() });
    let others = streams.chain(chunks).filter(|knobs| *knobs != own && knobs.fits(nest, machine, schedule));
    found.into_iter().map(|(_, knobs)| knobs).chain(others).collect()
}

/// The ways through the terms other than that of `schedule`, with the same register block.
pub fn walks(nest: &Nest, machine: &Machine, schedule: &Schedule) -> Vec<Knobs> {
    let own = Knobs::of(schedule);
    let with = |(unroll, side_by_side)| Knobs { unroll, side_by_side, ..own.clone() };
    let all = UNROLL.into_iter().flat_map(|unroll| [(unroll, false), (unroll, true)]);
    all.map(with).filter(|knobs| *knobs != own && knobs.fits(nest, machine, schedule)).collect()
}

/// Lists of tiles: the first axes, with chunks of rows or without, with blocks of columns or without, in all orders
/// of columns and rows.
fn tile_lists(nest: &Nest, typical: &[(Sym, i64)], schedule: &Schedule) -> Vec<Vec<Tile>> {
    let axes = tile_axes(nest, schedule);
    let rows = schedule.rows.filter(|_| schedule.shape == Shape::Block);
    let chunks = rows.map_or_else(Vec::new, |(axis, rows)| {
        let extent = size_at(&nest.par[axis], typical);
        ROW_BLOCKS.map(|blocks| blocks * rows).into_iter().filter(|rows| *rows < extent).collect()
    });
    let own = schedule.tile_rows();
    let chunks: Vec<Option<i64>> =
        [None].into_iter().chain(own.map(Some)).chain(chunks.into_iter().map(Some)).collect();
    let mut lists = Vec::new();
    for (first, chunk) in (0..=axes.len()).flat_map(|first| chunks.iter().map(move |chunk| (first, *chunk))) {
        for blocks in [false, true] {
            let mut tiles: Vec<Tile> = axes[..first].iter().map(|axis| Tile::Axis(*axis)).collect();
            if let (Some((axis, _)), Some(rows)) = (rows, chunk) {
                let before = axes[..first].iter().filter(|other| **other < axis).count();
                tiles.insert(before, Tile::Rows(rows));
            }
            tiles.extend(blocks.then_some(Tile::Blocks));
            let list = Schedule { tiles: tiles.clone(), ..schedule.clone() };
            lists.extend(if is_contraction(nest) { column_orders(nest, typical, &list) } else { Vec::new() });
            lists.push(tiles);
        }
    }
    lists
}

/// Tiles at typical sizes.
fn count(nest: &Nest, typical: &[(Sym, i64)], schedule: &Schedule) -> i64 {
    let counts = schedule.tiles.iter().map(|tile| schedule.count(nest, typical, *tile));
    counts.fold(1, i64::saturating_mul)
}
