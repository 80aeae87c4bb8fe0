//! Which rows come in which order: `shuffle`, `take`, `skip`, `split`; and how they make up batches.
//!
//! The order is a pure function of seed and epoch, so a resumed training sees the same batches.

use crate::meta::Stage;
use crate::philox::Draws;

/// Purpose of a shuffle's draws; the stage's number is added.
const SHUFFLE: u32 = 0x7368_0000;

/// Fills `order` with the numbers of the rows of an epoch.
pub fn order(stages: &[Stage], rows: usize, seed: i64, epoch: i64, order: &mut Vec<usize>) {
    order.clear();
    order.extend(0..rows);
    for (number, stage) in stages.iter().enumerate() {
        match stage {
            Stage::Take(n) => order.truncate(*n),
            Stage::Skip(n) => drop(order.drain(..(*n).min(order.len()))),
            Stage::Split(part) => order.retain(|&row| is_in(row, *part)),
            Stage::Rest(part) => order.retain(|&row| !is_in(row, *part)),
            Stage::Shuffle { buffer } => {
                let draws = Draws { seed, step: epoch as u32, site: SHUFFLE.wrapping_add(number as u32) };
                shuffle(order, *buffer, draws);
            }
            _ => {}
        }
    }
}

/// Whether a row of the file falls into a part of all. It hangs on its number alone, so that what one
/// pipeline takes and another leaves out is the same in every run, whatever stands before.
fn is_in(row: usize, part: f64) -> bool {
    // The mixing function of splitmix64.
    let mut x = (row as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    ((x >> 11) as f64) < part * (1u64 << 53) as f64
}

/// As if rows streamed through a buffer: each time a random one of it goes out, and the next comes in.
///
/// In place: the buffer is `order[i..i + buffer]`, whose first element goes out; the one that comes in
/// takes the place that the outgoing one left.
fn shuffle(order: &mut [usize], buffer: usize, draws: Draws) {
    for i in 0..order.len() {
        let held = buffer.min(order.len() - i);
        let chosen = draws.below(i as u64, held);
        order.swap(i, i + chosen);
    }
}

/// Rows of the order that are computed on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where it begins in the order.
    pub start: usize,
    /// Its rows.
    pub rows: usize,
    /// The shape that all of them have.
    pub bucket: usize,
}

/// Cuts an order into batches of `size` rows of one shape, which `bucket` tells of each row. A batch goes
/// out when it is full; the short ones come last. `order` is put into the order of the batches.
pub fn batches(order: &mut Vec<usize>, size: usize, buckets: usize, bucket: impl Fn(usize) -> usize) -> Vec<Batch> {
    let mut all = Vec::new();
    let mut put = |to: &mut Vec<usize>, rows: &mut Vec<usize>, bucket| {
        all.push(Batch { start: to.len(), rows: rows.len(), bucket });
        to.append(rows);
    };
    let mut sorted = Vec::with_capacity(order.len());
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); buckets];
    for &row in order.iter() {
        let bucket = bucket(row);
        waiting[bucket].push(row);
        if waiting[bucket].len() == size {
            put(&mut sorted, &mut waiting[bucket], bucket);
        }
    }
    for (bucket, rows) in waiting.iter_mut().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        put(&mut sorted, rows, bucket);
    }
    *order = sorted;
    all
}
