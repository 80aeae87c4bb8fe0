//! Runs of kernels and chains: at once where they are small, else by the runner, which splits them over the pool if
//! there is one. It is one function for all of a program's entries, so that a run costs an entry few bytes of code.

use super::{Calls, EntryEmit, start};
use crate::functions::Callees;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, FuncRef, Function, InstBuilder, Signature, UserFuncName, Value, types as clif};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use mlc_ir::dim::Dim;
use mlc_kernel::program::{PARALLEL_WORK, Slot};
use mlc_rt_core::abi::entry_cx;

/// The signature of [`mlc_rt_core::abi::ParallelFor`].
pub(super) fn parallel_for_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([AbiParam::new(clif::I64); 6]);
    signature
}

/// Of the runner: an entry's context, a function like a kernel, its frame, how many parts it has, and the work in all.
pub(crate) fn run_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([AbiParam::new(clif::I64); 5]);
    signature
}

/// The CLIF function that runs all parts of a function like a kernel.
pub(crate) fn runner_function(callees: &Callees, name: UserFuncName, config: TargetFrontendConfig) -> Function {
    let mut function = Function::with_name_signature(name, run_signature(config.default_call_conv));
    let calls = Calls { callees, pieces: &[], bands: &[], chains: &[], kept: None };
    start(
        &mut function,
        &[],
        calls,
        config,
        |_, params| params[0],
        |cx, params| {
            let &[_, function, frame, parts, work] = params else {
                crate::error::bug("the runner has five parameters")
            };
            cx.run_all(function, frame, parts, work);
            cx.b.ins().return_(&[]);
        },
    );
    function
}

impl EntryEmit<'_> {
    pub(super) fn run(&mut self, kernel: usize, frame: &[Slot], tiles: &Dim, work: &Dim) {
        let frame = self.fill_frame(frame);
        let callee = self.kernel_ref(kernel);
        let frame = self.b.ins().stack_addr(clif::I64, self.frame, frame);
        let serial_only =
            self.band.is_some() || tiles.is(1) || work.as_const().is_some_and(|work| work < PARALLEL_WORK);
        let tiles = self.dims.emit(&mut self.b, tiles);
        if serial_only {
            return self.run_at_once(callee, frame, tiles);
        }
        self.run_by_runner(callee, frame, tiles, work);
    }

    /// A kernel takes an empty range of tiles, so 0 needs no test.
    fn run_at_once(&mut self, callee: FuncRef, frame: Value, tiles: Value) {
        let scratch = match self.band {
            Some(band) => band.scratch,
            None => self.field(entry_cx::SCRATCH),
        };
        let zero = self.b.ins().iconst(clif::I64, 0);
        self.b.ins().call(callee, &[frame, scratch, zero, tiles]);
    }

    /// Has the runner run all parts of a function like a kernel.
    pub(super) fn run_by_runner(&mut self, callee: FuncRef, frame: Value, parts: Value, work: &Dim) {
        let function = self.b.ins().func_addr(clif::I64, callee);
        let work = self.dims.emit(&mut self.b, work);
        let runner = self.runner_ref();
        self.b.ins().call(runner, &[self.cx, function, frame, parts, work]);
    }

    /// What the runner does.
    fn run_all(&mut self, function: Value, frame: Value, parts: Value, work: Value) {
        let (split, whole, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let enough = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, work, PARALLEL_WORK);
        let worth_it = self.can_split(parts, enough);
        self.b.ins().brif(worth_it, split, &[], whole, &[]);
        self.b.switch_to_block(split);
        self.split(function, frame, parts);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(whole);
        let scratch = self.field(entry_cx::SCRATCH);
        let zero = self.b.ins().iconst(clif::I64, 0);
        self.b.ins().call_indirect(self.kernel, function, &[frame, scratch, zero, parts]);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
    }

    /// Whether there is a pool, more than one part, and `worth_it` holds.
    pub(super) fn can_split(&mut self, parts: Value, worth_it: Value) -> Value {
        let pool = self.field(entry_cx::POOL);
        let has_pool = self.b.ins().icmp_imm_s(IntCC::NotEqual, pool, 0);
        let several = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, parts, 1);
        let both = self.b.ins().band(has_pool, several);
        self.b.ins().band(both, worth_it)
    }

    /// Has the pool run `0..count` of a function.
    pub(super) fn split(&mut self, function: Value, frame: Value, count: Value) {
        let parallel_for = self.field(entry_cx::PARALLEL_FOR);
        let pool = self.field(entry_cx::POOL);
        let scratch = self.field(entry_cx::SCRATCH);
        let stride = self.b.ins().iconst(clif::I64, self.calls.callees.scratch);
        let args = [pool, function, frame, scratch, stride, count];
        self.b.ins().call_indirect(self.parallel_for, parallel_for, &args);
    }
}
