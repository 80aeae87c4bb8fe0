//! Runs an entry on the Lane interpreter: the exact meaning of a [`Program`], without machine code.
//!
//! The arena and all results start out filled with signalling NaN, and every access is checked.

use crate::interp::{self, Rounding, Word};
use crate::program::{Loc, Program, Slot, Step};
use mlc_ir::dim::SizeError;
use mlc_ir::graph::Relation;

/// What an entry reads and writes, as bytes.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Arguments, in order.
    pub args: Vec<Vec<u8>>,
    /// Results, in order; of the right length.
    pub results: Vec<Vec<u8>>,
    /// Weights and states, in order.
    pub globals: Vec<Vec<u8>>,
    /// Seed, step, epoch, number of steps.
    pub scalars: [i64; 4],
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// The n-th size check failed.
    Size(usize),
    /// The n-th index check failed at an element.
    Fault {
        /// Which.
        index: u32,
        /// The row-major number of the first bad element.
        element: i32,
    },
    /// A size is beyond `i64`.
    Overflow,
    /// The entry was left out.
    Absent,
}

/// How the tiles of a kernel are run; no way changes a bit of the results. Each range of tiles finds
/// its scratch memory filled with NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiles {
    /// As one range.
    Together,
    /// Each as a range of its own, the first one first.
    OneByOne,
    /// Each as a range of its own, the last one first.
    Backwards,
}

/// Runs entry number `entry` with values of the size symbols.
pub fn run(program: &Program, entry: usize, sizes: &[i64], memory: &mut Memory) -> Outcome {
    run_tiles(program, entry, sizes, memory, Tiles::Together)
}

/// [`run`], with tiles in a given order.
pub fn run_tiles(program: &Program, entry: usize, sizes: &[i64], memory: &mut Memory, tiles: Tiles) -> Outcome {
    match try_run(program, entry, sizes, memory, tiles) {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Overflow,
    }
}

fn try_run(
    program: &Program,
    entry: usize,
    sizes: &[i64],
    memory: &mut Memory,
    order: Tiles,
) -> Result<Outcome, SizeError> {
    let code = &program.entries[entry];
    for (number, check) in code.checks.iter().enumerate() {
        let (left, right) = (check.left.eval(sizes)?, check.right.eval(sizes)?);
        let holds = match check.relation {
            Relation::Equal => left == right,
            Relation::AtMost => left <= right,
            Relation::Divides => right != 0 && left % right == 0,
        };
        if !holds {
            return Ok(Outcome::Size(number));
        }
    }
    let (offsets, total) = code.plan.eval(sizes)?;
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    let starts = [memory.args.len(), memory.results.len(), memory.globals.len()];
    buffers.append(&mut memory.args);
    buffers.append(&mut memory.results);
    buffers.append(&mut memory.globals);
    for result in &mut buffers[starts[0]..starts[0] + starts[1]] {
        poison(result);
    }
    let mut arena = vec![0; total as usize];
    poison(&mut arena);
    buffers.push(arena);
    buffers.extend(memory.scalars.iter().map(|v| v.to_le_bytes().to_vec()));
    let place = |loc: Loc| -> (usize, i64) {
        let globals = starts[0] + starts[1];
        let arena = globals + starts[2];
        match loc {
            Loc::Arg(n) => (n as usize, 0),
            Loc::Result(n) => (starts[0] + n as usize, 0),
            Loc::Global(n) => (globals + n as usize, 0),
            Loc::Arena(n) => (arena, offsets[n as usize]),
            Loc::Seed => (arena + 1, 0),
            Loc::Step => (arena + 2, 0),
            Loc::Epoch => (arena + 3, 0),
            Loc::TotalSteps => (arena + 4, 0),
        }
    };
    let mut outcome = Outcome::Done;
    for step in &code.steps {
        match step {
            Step::Run { kernel, frame, tiles, .. } => {
                let frame: Result<Vec<Word>, SizeError> = frame
                    .iter()
                    .map(|slot| match slot {
                        Slot::Ptr(loc) => Ok(Word::Ptr { buffer: place(*loc).0, offset: place(*loc).1 }),
                        Slot::Size(dim) => Ok(Word::Size(dim.eval(sizes)?)),
                    })
                    .collect();
                let frame = frame?;
                for (low, high) in ranges(tiles.eval(sizes)?, order) {
                    interp::run(&program.kernels[*kernel], Rounding::Fused, &frame, &mut buffers, low, high);
                }
            }
            Step::Fault { index, first_bad, .. } => {
                let (buffer, offset) = place(*first_bad);
                let element = i32::from_le_bytes(bytes_at(&buffers[buffer], offset));
                if element != i32::MAX {
                    outcome = Outcome::Fault { index: *index, element };
                    break;
                }
            }
            Step::Absent => return Ok(Outcome::Absent),
            Step::Copy { from, to, bytes } => {
                let count = bytes.eval(sizes)? as usize;
                let ((source, start), (target, to)) = (place(*from), place(*to));
                let data = buffers[source][start as usize..start as usize + count].to_vec();
                buffers[target][to as usize..to as usize + count].copy_from_slice(&data);
            }
        }
    }
    memory.globals = buffers[starts[0] + starts[1]..starts[0] + starts[1] + starts[2]].to_vec();
    memory.results = buffers[starts[0]..starts[0] + starts[1]].to_vec();
    memory.args = buffers[..starts[0]].to_vec();
    Ok(outcome)
}

/// The ranges that `count` tiles are run in.
fn ranges(count: i64, order: Tiles) -> Vec<(i64, i64)> {
    let one_by_one = (0..count).map(|tile| (tile, tile + 1));
    match order {
        Tiles::Together => vec![(0, count)],
        Tiles::OneByOne => one_by_one.collect(),
        Tiles::Backwards => one_by_one.rev().collect(),
    }
}

fn bytes_at(buffer: &[u8], offset: i64) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&buffer[offset as usize..offset as usize + 4]);
    bytes
}

/// Signalling NaN in every f32 (and a NaN in every f64).
fn poison(bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = 0x7fa0_7fa0u32.to_le_bytes()[at % 4];
    }
}
