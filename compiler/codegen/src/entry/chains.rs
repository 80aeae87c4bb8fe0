//! Chains: kernels that are run unit by unit, by a function that the pool calls as it calls a kernel.

use super::{Calls, EntryEmit, access, start};
use crate::emit::kernel_signature;
use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Function, InstBuilder, StackSlotData, StackSlotKind, UserFuncName, Value, types as clif};
use cranelift_codegen::isa::TargetFrontendConfig;
use mlc_kernel::program::Chain;

/// Where the address of a kernel's frame is in a chain's, behind the context's address.
fn frame_offset(run: usize) -> i32 {
    8 * (run as i32 + 1)
}

/// The CLIF function that runs units `low..high`.
pub(crate) fn chain_function(
    chain: &Chain,
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    let signature = kernel_signature(config.default_call_conv);
    let mut function = Function::with_name_signature(name, signature);
    let context =
        |b: &mut super::FunctionBuilder<'_>, params: &[Value]| b.ins().load(clif::I64, access(), params[0], 0);
    start(&mut function, &[], calls, config, context, |cx, params| {
        let &[frame, scratch, low, high] = params else { bug("a function of a chain has four parameters") };
        cx.each_unit(chain, (frame, scratch), (low, high));
        cx.b.ins().return_(&[]);
    });
    function
}

impl EntryEmit<'_> {
    /// All units, split over the pool where that is worth it.
    pub(super) fn chain(&mut self, chain: &Chain) {
        let frames = self.fill_frames(chain);
        let bytes = frame_offset(frames.len()).unsigned_abs();
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
        self.b.ins().stack_store(clif::I64, self.cx, slot, 0);
        for (run, frame) in frames.into_iter().enumerate() {
            let frame = self.b.ins().stack_addr(clif::I64, self.frame, frame);
            self.b.ins().stack_store(clif::I64, frame, slot, frame_offset(run));
        }
        let callee = self.function_ref(self.calls.chains[chain.number as usize], self.kernel);
        let frame = self.b.ins().stack_addr(clif::I64, slot, 0);
        let units = self.dims.emit(&mut self.b, &chain.units);
        let (split, alone, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let worth_it = self.is_worth_splitting(units, &chain.work);
        self.b.ins().brif(worth_it, split, &[], alone, &[]);
        self.b.switch_to_block(split);
        let function = self.b.ins().func_addr(clif::I64, callee);
        self.split(function, frame, units);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(alone);
        let scratch = self.field(mlc_rt_core::abi::entry_cx::SCRATCH);
        let zero = self.b.ins().iconst(clif::I64, 0);
        self.b.ins().call(callee, &[frame, scratch, zero, units]);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
    }

    /// The kernels for each few of the units `low..high`.
    fn each_unit(&mut self, chain: &Chain, (frame, scratch): (Value, Value), (low, high): (Value, Value)) {
        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let first = self.b.append_block_param(head, clif::I64);
        self.b.ins().jump(head, &[low.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, first, high);
        self.b.ins().brif(more, body, &[], done, &[]);
        self.b.switch_to_block(body);
        let next = self.b.ins().iadd_imm_s(first, chain.at_once);
        let end = self.b.ins().smin(next, high);
        for (position, run) in chain.runs.iter().enumerate() {
            let callee = self.kernel_ref(run.kernel);
            let own = self.b.ins().load(clif::I64, access(), frame, frame_offset(position));
            let [low, high] = [first, end].map(|unit| self.b.ins().imul_imm_s(unit, run.tiles));
            self.b.ins().call(callee, &[own, scratch, low, high]);
        }
        self.b.ins().jump(head, &[end.into()]);
        self.b.switch_to_block(done);
    }
}
