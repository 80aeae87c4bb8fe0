//! Runs an entry on the Lane interpreter: the exact meaning of a [`Program`], without machine code. What is
//! kept from call to call is made in each.
//!
//! The arena and all results start out filled with signalling NaN, and every access is checked.

use crate::interp::{self, Rounding, Word};
use crate::program::{Bands, Chain, ChainRun, Loc, Loop, Place, Program, RunIndex, Slot, Step, Trip};
use mlc_ir::dim::SizeError;
use mlc_ir::graph::Relation;
use mlc_ir::ty::DType;

/// What an entry reads and writes, as bytes.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Arguments, in order.
    pub args: Vec<Vec<u8>>,
    /// Results, in order; of the right length.
    pub results: Vec<Vec<u8>>,
    /// Weights and states, in order.
    pub globals: Vec<Vec<u8>>,
    /// Seed, step, epoch, number of steps, steps done.
    pub scalars: [i64; 5],
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

/// How the tiles of a kernel, and rows that bands may be made of, are run; no way changes a bit of the results. Each range of tiles finds
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
            Relation::Differ => left != right,
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
    let mut kept = vec![0; code.kept.bytes as usize];
    poison(&mut kept);
    buffers.push(kept);
    buffers.extend(memory.scalars.iter().map(|v| v.to_le_bytes().to_vec()));
    buffers.push(Vec::new());
    // What counts the rows of a band stands behind the symbols.
    let mut sizes = sizes.to_vec();
    sizes.resize(program.symbols + 1, 0);
    let mut machine =
        Machine { program, sizes, order, offsets, starts, buffers, positions: Vec::new(), row: 0, unit: 0 };
    machine.steps(&code.kept.steps)?;
    let outcome = machine.steps(&code.steps)?.unwrap_or(Outcome::Done);
    let buffers = machine.buffers;
    memory.globals = buffers[starts[0] + starts[1]..starts[0] + starts[1] + starts[2]].to_vec();
    memory.results = buffers[starts[0]..starts[0] + starts[1]].to_vec();
    memory.args = buffers[..starts[0]].to_vec();
    Ok(outcome)
}

/// A call under way.
struct Machine<'a> {
    program: &'a Program,
    sizes: Vec<i64>,
    order: Tiles,
    /// Of the arena's buffers.
    offsets: Vec<i64>,
    /// Numbers of arguments, results, globals.
    starts: [usize; 3],
    buffers: Vec<Vec<u8>>,
    /// Of the loops around, outermost first.
    positions: Vec<i64>,
    /// The first of the band.
    row: i64,
    /// The first of the units at hand.
    unit: i64,
}

impl Machine<'_> {
    /// Runs steps; how the call ends, if one of them ends it.
    fn steps(&mut self, steps: &[Step]) -> Result<Option<Outcome>, SizeError> {
        for step in steps {
            if let Some(outcome) = self.step(step)? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    fn step(&mut self, step: &Step) -> Result<Option<Outcome>, SizeError> {
        match step {
            Step::Run { kernel, frame, tiles, .. } => {
                let words = self.words(frame)?;
                for (low, high) in ranges(tiles.eval(&self.sizes)?, self.order) {
                    let kernel = &self.program.kernels[*kernel];
                    interp::run(kernel, Rounding::Fused, &words, &mut self.buffers, low, high);
                }
            }
            Step::Fault { index, first_bad, .. } => {
                let element = i32::from_le_bytes(self.read(first_bad)?);
                if element != i32::MAX {
                    return Ok(Some(Outcome::Fault { index: *index, element }));
                }
            }
            Step::Call { symbol, .. } => {
                mlc_ir::internal_error("run", &format!("`{symbol}` is a C function, which only compiled code calls"))
            }
            Step::Absent => return Ok(Some(Outcome::Absent)),
            Step::Copy { from, to, bytes } => {
                let count = bytes.eval(&self.sizes)? as usize;
                let ((source, start), (target, to)) = (self.place(from)?, self.place(to)?);
                let data = self.buffers[source][start as usize..start as usize + count].to_vec();
                self.buffers[target][to as usize..to as usize + count].copy_from_slice(&data);
            }
            Step::Loop(looped) => return self.looped(looped),
            Step::Bands(bands) => return self.bands(bands),
            Step::Chain(chain) => self.chain(chain)?,
        }
        Ok(None)
    }

    fn words(&self, frame: &[Slot]) -> Result<Vec<Word>, SizeError> {
        frame.iter().map(|slot| self.word(slot)).collect()
    }

    /// A few units at once, or each by itself, in the order of tiles.
    fn chain(&mut self, chain: &Chain) -> Result<(), SizeError> {
        for (low, high) in ranges(chain.units.eval(&self.sizes)?, self.order) {
            let mut first = low;
            while first < high {
                let end = high.min(first + chain.at_once);
                self.units(chain, first, end)?;
                first = end;
            }
        }
        Ok(())
    }

    /// Units `low..high`, whose memory of the thread's own is filled with NaN before.
    fn units(&mut self, chain: &Chain, low: i64, high: i64) -> Result<(), SizeError> {
        let (near, _) = self.loc(Loc::Near(0));
        self.buffers[near] = vec![0; chain.near as usize];
        poison(&mut self.buffers[near]);
        self.unit = low;
        for ChainRun { kernel, frame, tiles } in &chain.runs {
            let words = self.words(frame)?;
            let kernel = &self.program.kernels[*kernel];
            interp::run(kernel, Rounding::Fused, &words, &mut self.buffers, low * tiles, high * tiles);
        }
        Ok(())
    }

    /// All rows as one band, or each as a band of its own, in the order of tiles.
    fn bands(&mut self, bands: &Bands) -> Result<Option<Outcome>, SizeError> {
        let count = self.program.band_rows().0 as usize;
        for (low, high) in ranges(self.sizes[bands.rows.0 as usize], self.order) {
            (self.row, self.sizes[count]) = (low, high - low);
            if let Some(outcome) = self.steps(&bands.body)? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    fn looped(&mut self, looped: &Loop) -> Result<Option<Outcome>, SizeError> {
        let bound = looped.trip.bound().eval(&self.sizes)?;
        let trip = match &looped.trip {
            Trip::Exact(_) => bound,
            Trip::UpTo { count, .. } => i64::from_le_bytes(self.read(count)?).clamp(0, bound),
        };
        let mut ran = 0;
        while ran < trip {
            let position = if looped.rev { trip - 1 - ran } else { ran };
            self.positions.push(position);
            if let Some(place) = &looped.position {
                self.write(place, &position.to_le_bytes())?;
            }
            if let Some(outcome) = self.steps(&looped.body)? {
                return Ok(Some(outcome));
            }
            let stop = match &looped.stop {
                Some(place) => self.read::<1>(place)? != [0],
                None => false,
            };
            if let Some(outcome) = self.steps(&looped.turn)? {
                return Ok(Some(outcome));
            }
            self.positions.pop();
            ran += 1;
            if stop {
                break;
            }
        }
        if let Some(place) = &looped.count {
            self.write(place, &ran.to_le_bytes())?;
        }
        for rest in &looped.rest {
            let row = rest.row.eval(&self.sizes)?;
            let (buffer, offset) = self.place(&rest.stack)?;
            self.buffers[buffer][(offset + ran * row) as usize..(offset + bound * row) as usize].fill(0);
        }
        Ok(None)
    }

    fn word(&self, slot: &Slot) -> Result<Word, SizeError> {
        match slot {
            Slot::Ptr(place) => self.place(place).map(|(buffer, offset)| Word::Ptr { buffer, offset }),
            Slot::Size(dim) => dim.eval(&self.sizes).map(Word::Size),
        }
    }

    /// The buffer and the offset in it.
    fn place(&self, place: &Place) -> Result<(usize, i64), SizeError> {
        let (buffer, mut offset) = self.loc(place.loc);
        for step in &place.steps {
            let index = match &step.index {
                RunIndex::Loop(depth) => self.positions[*depth as usize],
                RunIndex::Row => self.row,
                RunIndex::Unit => self.unit,
                RunIndex::Word { at, dtype, last } => {
                    let word = match dtype {
                        DType::I32 => i64::from(i32::from_le_bytes(self.read(at)?)),
                        _ => i64::from_le_bytes(self.read(at)?),
                    };
                    word.clamp(0, last.eval(&self.sizes)?.max(0))
                }
            };
            offset += index * step.bytes.eval(&self.sizes)?;
        }
        Ok((buffer, offset))
    }

    fn loc(&self, loc: Loc) -> (usize, i64) {
        let globals = self.starts[0] + self.starts[1];
        let arena = globals + self.starts[2];
        match loc {
            Loc::Arg(n) => (n as usize, 0),
            Loc::Result(n) => (self.starts[0] + n as usize, 0),
            Loc::Global(n) => (globals + n as usize, 0),
            Loc::Arena(n) => (arena, self.offsets[n as usize]),
            Loc::Kept(offset) => (arena + 1, offset as i64),
            Loc::Near(offset) => (arena + 7, offset as i64),
            Loc::Seed => (arena + 2, 0),
            Loc::Step => (arena + 3, 0),
            Loc::Epoch => (arena + 4, 0),
            Loc::TotalSteps => (arena + 5, 0),
            Loc::Done => (arena + 6, 0),
        }
    }

    fn read<const N: usize>(&self, place: &Place) -> Result<[u8; N], SizeError> {
        let (buffer, offset) = self.place(place)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffers[buffer][offset as usize..offset as usize + N]);
        Ok(bytes)
    }

    fn write(&mut self, place: &Place, bytes: &[u8]) -> Result<(), SizeError> {
        let (buffer, offset) = self.place(place)?;
        self.buffers[buffer][offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
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

/// Signalling NaN in every f32 (and a NaN in every f64).
fn poison(bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = 0x7fa0_7fa0u32.to_le_bytes()[at % 4];
    }
}
