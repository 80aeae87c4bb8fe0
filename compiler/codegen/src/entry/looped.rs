//! Loops of entries.

use super::{EntryEmit, access};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types as clif};
use mlc_ir::ty::DType;
use mlc_kernel::program::{Loop, Rest, Trip};

impl EntryEmit<'_> {
    pub(super) fn looped(&mut self, looped: &Loop) {
        if self.is_outside() {
            self.open_frames(&looped.body);
        }
        // What is computed in the body isn't there behind the loop.
        let known = self.dims.known();
        let bound = self.dims.emit(&mut self.b, looped.trip.bound());
        let rows: Vec<Value> = looped.rest.iter().map(|rest| self.dims.emit(&mut self.b, &rest.row)).collect();
        let trip = match &looped.trip {
            Trip::Exact(_) => bound,
            Trip::UpTo { bound, count } => self.clamped_word(count, DType::I64, bound),
        };
        let ran = self.iterations(looped, trip);
        self.dims.forget_beyond(known);
        if let Some(place) = &looped.count {
            let place = self.address(place);
            self.b.ins().store(access(), ran, place, 0);
        }
        for (rest, row) in looped.rest.iter().zip(rows) {
            self.clear(rest, row, ran, bound);
        }
    }

    /// The loop itself; returns the number of iterations run.
    fn iterations(&mut self, looped: &Loop, trip: Value) -> Value {
        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let ran = self.b.append_block_param(head, clif::I64);
        let all = self.b.append_block_param(done, clif::I64);
        let zero = self.b.ins().iconst(clif::I64, 0);
        self.b.ins().jump(head, &[zero.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, ran, trip);
        self.b.ins().brif(more, body, &[], done, &[ran.into()]);
        self.b.switch_to_block(body);
        let position = self.position(looped, ran, trip);
        self.positions.push(position);
        self.steps(&looped.body);
        let stop = looped.stop.as_ref().map(|place| {
            let place = self.address(place);
            self.b.ins().load(clif::I8, access(), place, 0)
        });
        self.steps(&looped.turn);
        self.positions.pop();
        let next = self.b.ins().iadd_imm_s(ran, 1);
        match stop {
            Some(stop) => self.b.ins().brif(stop, done, &[next.into()], head, &[next.into()]),
            None => self.b.ins().jump(head, &[next.into()]),
        };
        self.b.switch_to_block(done);
        all
    }

    /// The position of the iteration, also where the body reads it.
    fn position(&mut self, looped: &Loop, ran: Value, trip: Value) -> Value {
        let position = if looped.rev {
            let rest = self.b.ins().isub(trip, ran);
            self.b.ins().iadd_imm_s(rest, -1)
        } else {
            ran
        };
        if let Some(place) = &looped.position {
            let place = self.address(place);
            self.b.ins().store(access(), position, place, 0);
        }
        position
    }

    /// Zeros in the rows from `ran` on.
    fn clear(&mut self, rest: &Rest, row: Value, ran: Value, bound: Value) {
        let stack = self.address(&rest.stack);
        let written = self.b.ins().imul(ran, row);
        let start = self.b.ins().iadd(stack, written);
        let missing = self.b.ins().isub(bound, ran);
        let bytes = self.b.ins().imul(missing, row);
        let zero = self.b.ins().iconst(clif::I8, 0);
        self.b.call_memset(self.config, start, zero, bytes);
    }
}
