//! Which rows come in which order: `shuffle`, `take`, `skip`.
//!
//! The order is a pure function of seed and epoch, so a resumed training sees the same batches.

use crate::meta::Stage;
use crate::philox::Draws;

/// Purpose of a shuffle's draws; the stage's number is added.
const SHUFFLE: u32 = 0x7368_0000;

/// Rows after all stages.
pub fn count(stages: &[Stage], rows: usize) -> usize {
    stages.iter().fold(rows, |rows, stage| match stage {
        Stage::Take(n) => rows.min(*n),
        Stage::Skip(n) => rows.saturating_sub(*n),
        _ => rows,
    })
}

/// Fills `order` with the numbers of the rows of an epoch.
pub fn order(stages: &[Stage], rows: usize, seed: i64, epoch: i64, order: &mut Vec<usize>) {
    order.clear();
    order.extend(0..rows);
    for (number, stage) in stages.iter().enumerate() {
        match stage {
            Stage::Take(n) => order.truncate(*n),
            Stage::Skip(n) => drop(order.drain(..(*n).min(order.len()))),
            Stage::Shuffle { buffer } => {
                let draws = Draws { seed, step: epoch as u32, site: SHUFFLE.wrapping_add(number as u32) };
                shuffle(order, *buffer, draws);
            }
            _ => {}
        }
    }
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
