//! Chains: kernels that are run unit by unit, by a function that the pool calls as it calls a kernel.

use super::parts::{Parts, parts_function, word_offset};
use super::{Calls, EntryEmit, Units, access};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Function, InstBuilder, StackSlot, StackSlotData, StackSlotKind, UserFuncName, Value, types as clif,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use mlc_kernel::program::{Chain, ChainRun, Slot};

/// The CLIF function that runs units `low..high`.
pub(crate) fn chain_function(
    chain: &Chain,
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    parts_function(&[], calls, name, config, |cx, parts| cx.each_unit(chain, parts))
}

impl EntryEmit<'_> {
    /// All units, split over the pool where that is worth it.
    pub(super) fn chain(&mut self, chain: &Chain) {
        let frames = self.fill_frames(chain);
        let bytes = word_offset(frames.len()).unsigned_abs();
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
        self.b.ins().stack_store(clif::I64, self.cx, slot, 0);
        for (run, frame) in frames.into_iter().enumerate() {
            let frame = self.b.ins().stack_addr(clif::I64, self.frame, frame);
            self.b.ins().stack_store(clif::I64, frame, slot, word_offset(run));
        }
        let callee = self.function_ref(self.calls.chains[chain.number as usize], self.kernel);
        let frame = self.b.ins().stack_addr(clif::I64, slot, 0);
        let units = self.dims.emit(&mut self.b, &chain.units);
        self.run_by_runner(callee, frame, units, &chain.work);
    }

    /// The kernels for each few of the units `low..high`.
    fn each_unit(&mut self, chain: &Chain, Parts { frame, scratch, low, high }: Parts) {
        let frames: Vec<Option<StackSlot>> =
            chain.runs.iter().enumerate().map(|(position, run)| self.own_frame(run, position, frame)).collect();
        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let first = self.b.append_block_param(head, clif::I64);
        self.b.ins().jump(head, &[low.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, first, high);
        self.b.ins().brif(more, body, &[], done, &[]);
        self.b.switch_to_block(body);
        self.units = Some(Units { first, scratch });
        let next = self.b.ins().iadd_imm_s(first, chain.at_once);
        let end = self.b.ins().smin(next, high);
        for (position, run) in chain.runs.iter().enumerate() {
            let callee = self.kernel_ref(run.kernel);
            let own = match frames[position] {
                Some(slot) => self.near_frame(run, slot),
                None => self.b.ins().load(clif::I64, access(), frame, word_offset(position)),
            };
            let [low, high] = [first, end].map(|unit| self.b.ins().imul_imm_s(unit, run.tiles));
            self.b.ins().call(callee, &[own, scratch, low, high]);
        }
        self.b.ins().jump(head, &[end.into()]);
        self.b.switch_to_block(done);
    }

    /// A frame of the thread's own for a kernel that uses its near memory: what is the same for all units, which
    /// the frame has that `frame` names at a position.
    fn own_frame(&mut self, run: &ChainRun, position: usize, frame: Value) -> Option<StackSlot> {
        if !run.frame.iter().any(Slot::is_near) {
            return None;
        }
        let bytes = word_offset(run.frame.len()).unsigned_abs();
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
        let shared = self.b.ins().load(clif::I64, access(), frame, word_offset(position));
        for (word, _) in (0..).zip(&run.frame).filter(|(_, slot)| !slot.is_near()) {
            let value = self.b.ins().load(clif::I64, access(), shared, 8 * word);
            self.b.ins().stack_store(clif::I64, value, slot, 8 * word);
        }
        Some(slot)
    }

    /// Writes the words of a frame that are other ones for other units; gives its address.
    fn near_frame(&mut self, run: &ChainRun, slot: StackSlot) -> Value {
        for (word, place) in (0..).zip(&run.frame) {
            if let Slot::Ptr(place) = place
                && run.frame[word as usize].is_near()
            {
                let address = self.address(place);
                self.b.ins().stack_store(clif::I64, address, slot, 8 * word);
            }
        }
        self.b.ins().stack_addr(clif::I64, slot, 0)
    }
}
