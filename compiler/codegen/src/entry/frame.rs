//! Frames of kernels. Outside of loops they share one place: a kernel is done with its frame when the
//! call returns. Kernels in a loop have one each, so that what stays the same is written before it.

use super::EntryEmit;
use crate::error::bug;
use cranelift_codegen::ir::{InstBuilder, StackSlot, StackSlotData, StackSlotKind, types as clif};
use cranelift_frontend::FunctionBuilder;
use mlc_kernel::program::{Chain, RunIndex, Slot, Step};

/// The slot for all frames.
pub(super) fn slot(b: &mut FunctionBuilder<'_>, steps: &[Step]) -> StackSlot {
    let loops = steps.iter().map(|step| match step {
        Step::Loop(looped) => words_of_all(&looped.body),
        Step::Bands(bands) => words_of_all(&bands.body),
        Step::Chain(chain) => words_of_chain(chain),
        _ => 0,
    });
    let words = shared_words(steps) + loops.max().unwrap_or(0);
    let Ok(bytes) = u32::try_from(words * 8) else { bug("a frame beyond 4 GiB") };
    b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3))
}

/// The largest frame outside of loops.
pub(super) fn shared_words(steps: &[Step]) -> usize {
    let words = steps.iter().map(|step| match step {
        Step::Run { frame, .. } => frame.len(),
        Step::Bands(bands) => shared_words(&bands.body),
        Step::Call { .. } | Step::Fault { .. } | Step::Copy { .. } | Step::Absent | Step::Loop(_) | Step::Chain(_) => 0,
    });
    words.max().unwrap_or(0)
}

fn words_of_chain(chain: &Chain) -> usize {
    chain.runs.iter().map(|run| run.frame.len()).sum()
}

fn words_of_all(steps: &[Step]) -> usize {
    let words = steps.iter().map(|step| match step {
        Step::Run { frame, .. } => frame.len(),
        Step::Loop(looped) => words_of_all(&looped.body),
        Step::Bands(bands) => words_of_all(&bands.body),
        Step::Chain(chain) => words_of_chain(chain),
        Step::Call { .. } | Step::Fault { .. } | Step::Copy { .. } | Step::Absent => 0,
    });
    words.sum()
}

fn offset_of(words: usize) -> i32 {
    i32::try_from(words * 8).unwrap_or_else(|_| bug("a frame beyond 2 GiB"))
}

/// Whether a word is the same in all iterations of all loops around.
fn stays(slot: &Slot) -> bool {
    match slot {
        Slot::Ptr(place) => place.steps.iter().all(|step| step.index == RunIndex::Row),
        Slot::Size(_) => true,
    }
}

impl EntryEmit<'_> {
    /// Writes a kernel's frame, or what is still missing of it; returns its offset in the slot.
    pub(super) fn fill_frame(&mut self, frame: &[Slot]) -> i32 {
        if self.is_outside() {
            self.store_words(frame, 0, |_| true);
            return 0;
        }
        let Some(at) = self.frames.pop_front() else { bug("a kernel in a loop without a frame") };
        self.store_words(frame, at, |slot| !stays(slot));
        at
    }

    /// Gives the kernels of an outermost loop their frames, and writes what stays the same in them.
    pub(super) fn open_frames(&mut self, body: &[Step]) {
        let mut words = self.shared_words;
        self.open(body, &mut words);
    }

    fn open(&mut self, steps: &[Step], words: &mut usize) {
        for step in steps {
            match step {
                Step::Run { frame, tiles, work, .. } => {
                    self.open_frame(frame, words);
                    self.dims.emit(&mut self.b, tiles);
                    self.dims.emit(&mut self.b, work);
                }
                Step::Chain(chain) => {
                    chain.runs.iter().for_each(|run| self.open_frame(&run.frame, words));
                    self.dims.emit(&mut self.b, &chain.units);
                    self.dims.emit(&mut self.b, &chain.work);
                }
                Step::Loop(looped) => self.open(&looped.body, words),
                Step::Bands(bands) => {
                    self.bind_all_rows(bands);
                    self.open(&bands.body, words);
                }
                Step::Copy { bytes, .. } => _ = self.dims.emit(&mut self.b, bytes),
                Step::Call { .. } | Step::Fault { .. } | Step::Absent => {}
            }
        }
    }

    fn open_frame(&mut self, frame: &[Slot], words: &mut usize) {
        let at = offset_of(*words);
        self.frames.push_back(at);
        self.store_words(frame, at, stays);
        *words += frame.len();
    }

    /// Writes the frames of a chain's kernels, which are all in use at once; returns their offsets in the slot.
    pub(super) fn fill_frames(&mut self, chain: &Chain) -> Vec<i32> {
        if !self.is_outside() {
            return chain.runs.iter().map(|run| self.fill_frame(&run.frame)).collect();
        }
        let mut words = self.shared_words;
        let mut offsets = Vec::with_capacity(chain.runs.len());
        for run in &chain.runs {
            let at = offset_of(words);
            self.store_words(&run.frame, at, |_| true);
            offsets.push(at);
            words += run.frame.len();
        }
        offsets
    }

    fn store_words(&mut self, frame: &[Slot], at: i32, which: impl Fn(&Slot) -> bool) {
        for (word, slot) in frame.iter().enumerate().filter(|(_, slot)| which(slot) && !slot.is_near()) {
            let value = match slot {
                Slot::Ptr(place) => self.address(place),
                Slot::Size(dim) => self.dims.emit(&mut self.b, dim),
            };
            let Some(offset) = i32::try_from(word * 8).ok().and_then(|word| at.checked_add(word)) else {
                bug("a frame beyond 2 GiB")
            };
            self.b.ins().stack_store(clif::I64, value, self.frame, offset);
        }
    }
}
