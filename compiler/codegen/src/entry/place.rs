//! Addresses of buffers and of parts of them.

use super::{EntryEmit, access, constant_load};
use crate::error::bug;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types as clif};
use mlc_ir::dim::Dim;
use mlc_ir::ty::DType;
use mlc_kernel::program::{Loc, Place, RunIndex};
use mlc_rt_core::abi::{SCRATCH_BYTES, entry_cx};

impl EntryEmit<'_> {
    pub(super) fn address(&mut self, place: &Place) -> Value {
        let mut address = self.loc(place.loc);
        for step in &place.steps {
            let index = match &step.index {
                RunIndex::Loop(depth) => self.positions[*depth as usize],
                RunIndex::Unit => match self.units {
                    Some(units) => units.first,
                    None => bug("a unit outside of a chain"),
                },
                RunIndex::Row => match self.band {
                    Some(band) => band.first,
                    None => continue,
                },
                RunIndex::Word { at, dtype, last } => self.clamped_word(at, *dtype, last),
            };
            let bytes = self.dims.emit(&mut self.b, &step.bytes);
            let offset = self.b.ins().imul(index, bytes);
            address = self.b.ins().iadd(address, offset);
        }
        address
    }

    /// The number at a place, moved into `0..=last`.
    pub(super) fn clamped_word(&mut self, at: &Place, dtype: DType, last: &Dim) -> Value {
        let place = self.address(at);
        let word = self.integer(place, dtype);
        let last = self.dims.emit(&mut self.b, last);
        let zero = self.b.ins().iconst(clif::I64, 0);
        let word = self.b.ins().smin(word, last);
        self.b.ins().smax(word, zero)
    }

    fn loc(&mut self, loc: Loc) -> Value {
        match loc {
            Loc::Arg(n) => self.element(entry_cx::ARGS, n),
            Loc::Result(n) => self.element(entry_cx::RESULTS, n),
            Loc::Global(n) => self.element(entry_cx::GLOBALS, n),
            Loc::Arena(n) => {
                let arena = self.field(entry_cx::ARENA);
                let offset = self.element(entry_cx::OFFSETS, n);
                self.b.ins().iadd(arena, offset)
            }
            Loc::Kept(offset) => {
                let kept = self.field(entry_cx::KEPT);
                let Ok(offset) = i64::try_from(offset) else { bug("kept memory beyond i64") };
                self.b.ins().iadd_imm_s(kept, offset)
            }
            Loc::Near(offset) => {
                let Some(units) = self.units else { bug("near memory outside of a chain") };
                let start = SCRATCH_BYTES as u64 + offset;
                let Ok(start) = i64::try_from(start) else { bug("near memory beyond i64") };
                self.b.ins().iadd_imm_s(units.scratch, start)
            }
            Loc::Seed => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::SEED)),
            Loc::Step => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::STEP)),
            Loc::Epoch => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::EPOCH)),
            Loc::TotalSteps => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::TOTAL_STEPS)),
            Loc::Done => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::DONE)),
        }
    }

    /// Element `n` of the array that a field of the context points to.
    fn element(&mut self, field: i32, n: u32) -> Value {
        let array = self.field(field);
        let Ok(offset) = i32::try_from(i64::from(n) * 8) else { bug("too many buffers") };
        let flags = self.context_load();
        self.b.ins().load(clif::I64, flags, array, offset)
    }

    pub(super) fn field(&mut self, offset: i32) -> Value {
        let flags = self.context_load();
        self.b.ins().load(clif::I64, flags, self.cx, offset)
    }

    /// Loads from the context leave loops. Elsewhere each stays where its value is used: shared by all steps of a
    /// long entry, values would live across thousands of calls, and allocating registers would take time that grows
    /// with the square of the steps.
    fn context_load(&self) -> MemFlagsData {
        if self.is_outside() { access() } else { constant_load() }
    }
}
