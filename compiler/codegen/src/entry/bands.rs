//! Bands of rows: steps that are run for all rows, or by a function that the pool calls as it calls a
//! kernel, for ranges of bands.

use super::parts::{Parts, parts_function, word_offset};
use super::{Band, Calls, EntryEmit, access};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Function, InstBuilder, StackSlotData, StackSlotKind, UserFuncName, Value, types as clif};
use cranelift_codegen::isa::TargetFrontendConfig;
use mlc_ir::dim::Dim;
use mlc_kernel::program::{BAND_ROWS, BAND_WORK, Bands};

/// The CLIF function that runs bands `low..high`.
pub(crate) fn band_function(
    bands: &Bands,
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    parts_function(&bands.body, calls, name, config, |cx, parts| {
        for depth in 0..bands.depth {
            let position = cx.b.ins().load(clif::I64, access(), parts.frame, word_offset(depth as usize));
            cx.positions.push(position);
        }
        cx.outer = cx.positions.len();
        cx.each_band(bands, parts);
    })
}

impl EntryEmit<'_> {
    /// All rows at once, or bands of them on the pool's threads.
    pub(super) fn bands(&mut self, bands: &Bands) {
        let (banded, whole, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let rows = self.bind_all_rows(bands);
        let count = self.b.ins().udiv_imm_s(rows, BAND_ROWS);
        let known = self.dims.known();
        let worth_it = self.is_worth_bands(count, &bands.work);
        self.b.ins().brif(worth_it, banded, &[], whole, &[]);
        self.b.switch_to_block(banded);
        self.run_bands(bands, count);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(whole);
        self.steps(&bands.body);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        self.dims.forget_beyond(known);
    }

    /// Makes all rows one band; gives their number.
    pub(super) fn bind_all_rows(&mut self, bands: &Bands) -> Value {
        let rows = self.dims.emit(&mut self.b, &Dim::from(bands.rows));
        self.dims.bind(self.calls.callees.band_rows, rows);
        rows
    }

    /// Whether there is a pool, more than one band, and no kernel that is better split by itself.
    fn is_worth_bands(&mut self, count: Value, work: &Dim) -> Value {
        let work = self.dims.emit(&mut self.b, work);
        let fine = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, work, BAND_WORK);
        self.can_split(count, fine)
    }

    fn run_bands(&mut self, bands: &Bands, count: Value) {
        let bytes = word_offset(bands.depth as usize).unsigned_abs();
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
        self.b.ins().stack_store(clif::I64, self.cx, slot, 0);
        for (depth, position) in (0..bands.depth).zip(self.positions.clone()) {
            self.b.ins().stack_store(clif::I64, position, slot, word_offset(depth as usize));
        }
        let callee = self.function_ref(self.calls.bands[bands.number as usize], self.kernel);
        let function = self.b.ins().func_addr(clif::I64, callee);
        let frame = self.b.ins().stack_addr(clif::I64, slot, 0);
        self.split(function, frame, count);
    }

    /// The steps for each of the bands `low..high`.
    fn each_band(&mut self, bands: &Bands, Parts { scratch, low, high, .. }: Parts) {
        let all = self.dims.emit(&mut self.b, &Dim::from(bands.rows));
        let count = self.b.ins().udiv_imm_s(all, BAND_ROWS);
        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let number = self.b.append_block_param(head, clif::I64);
        self.b.ins().jump(head, &[low.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, number, high);
        self.b.ins().brif(more, body, &[], done, &[]);
        self.b.switch_to_block(body);
        let next = self.b.ins().iadd_imm_s(number, 1);
        let first = self.row(number, all, count);
        let end = self.row(next, all, count);
        let rows = self.b.ins().isub(end, first);
        self.dims.bind(self.calls.callees.band_rows, rows);
        self.band = Some(Band { first, scratch });
        self.steps(&bands.body);
        self.b.ins().jump(head, &[next.into()]);
        self.b.switch_to_block(done);
    }

    /// The first row of a band.
    fn row(&mut self, number: Value, all: Value, count: Value) -> Value {
        let scaled = self.b.ins().imul(number, all);
        self.b.ins().udiv(scaled, count)
    }
}
