//! Entries: from steps over planned buffers to a CLIF function.
//!
//! An entry tests its size checks, then does its steps in order. It is compiled for the lowest level
//! (control flow gains nothing from a higher one), calls kernels directly, and hands one to
//! `EntryCx::parallel_for` where there is a pool and the work is worth it.

use crate::dims::{DimCx, Overflow};
use crate::emit::kernel_signature;
use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot,
    StackSlotData, StackSlotKind, UserExternalName, UserFuncName, Value, types as clif,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::FuncId;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Relation, SizeCheck};
use mlc_ir::ty::DType;
use mlc_kernel::program::{EntryCode, Loc, PARALLEL_WORK, Slot, Step};
use mlc_rt_core::abi::{SCRATCH_BYTES, Status, entry_cx};
use std::collections::BTreeMap;

/// The signature of [`mlc_rt_core::abi::EntryFn`].
pub(crate) fn entry_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.push(AbiParam::new(clif::I64));
    signature.returns.push(AbiParam::new(clif::I32));
    signature
}

/// The signature of [`mlc_rt_core::abi::ParallelFor`].
fn parallel_for_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([AbiParam::new(clif::I64); 6]);
    signature
}

/// The CLIF function of an entry whose kernels are declared as `kernels`.
pub(crate) fn entry_function(
    entry: &EntryCode,
    kernels: &[FuncId],
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    let call_conv = config.default_call_conv;
    let mut function = Function::with_name_signature(name, entry_signature(call_conv));
    let mut context = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut function, &mut context);
    let start = b.create_block();
    b.append_block_params_for_function_params(start);
    b.switch_to_block(start);
    let &[cx] = b.block_params(start) else { bug("an entry has one parameter") };
    let frame = frame_slot(&mut b, entry);
    let parallel_for = b.import_signature(parallel_for_signature(call_conv));
    let kernel = b.import_signature(kernel_signature(call_conv));
    let sizes = b.ins().load(clif::I64, constant_load(), cx, entry_cx::SIZES);
    let dims = DimCx::new(sizes, Overflow::Wrap);
    let refs = BTreeMap::new();
    let mut cx = EntryEmit { b, cx, sizes, dims, frame, kernels, refs, kernel, parallel_for, config };
    cx.checks(&entry.checks);
    for step in &entry.steps {
        cx.step(step);
    }
    cx.return_status(Status::Ok);
    cx.b.seal_all_blocks();
    cx.b.finalize(config);
    function
}

/// One slot on the stack for all frames: a kernel is done with its frame when the call returns.
fn frame_slot(b: &mut FunctionBuilder<'_>, entry: &EntryCode) -> StackSlot {
    let words = entry.steps.iter().map(|step| match step {
        Step::Run { frame, .. } => frame.len(),
        Step::Fault { .. } | Step::Copy { .. } | Step::Absent => 0,
    });
    let Ok(bytes) = u32::try_from(words.max().unwrap_or(0) * 8) else { bug("a frame beyond 4 GiB") };
    b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3))
}

/// Of fields and arrays of the context that nothing writes during a call.
fn constant_load() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_readonly().with_can_move()
}

fn access() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// An entry under emission.
struct EntryEmit<'a> {
    b: FunctionBuilder<'a>,
    cx: Value,
    sizes: Value,
    dims: DimCx,
    frame: StackSlot,
    kernels: &'a [FuncId],
    refs: BTreeMap<usize, FuncRef>,
    kernel: SigRef,
    parallel_for: SigRef,
    config: TargetFrontendConfig,
}

impl EntryEmit<'_> {
    fn checks(&mut self, checks: &[SizeCheck]) {
        let mut dims = DimCx::new(self.sizes, Overflow::Note);
        for (index, check) in (0i64..).zip(checks) {
            let left = dims.emit(&mut self.b, &check.left);
            let right = dims.emit(&mut self.b, &check.right);
            let mut fails = self.violates(check.relation, left, right);
            if let Some(overflow) = dims.take_overflow() {
                fails = self.b.ins().bor(fails, overflow);
            }
            self.leave_if(fails, |cx| {
                cx.report(entry_cx::FAULT_INDEX, index);
                cx.return_status(Status::Size);
            });
        }
    }

    fn violates(&mut self, relation: Relation, left: Value, right: Value) -> Value {
        match relation {
            Relation::Equal => self.b.ins().icmp(IntCC::NotEqual, left, right),
            Relation::AtMost => self.b.ins().icmp(IntCC::SignedGreaterThan, left, right),
            Relation::Divides => self.leaves_remainder(left, right),
        }
    }

    /// Whether `left % right != 0`; nothing is divisible by a number below 1.
    fn leaves_remainder(&mut self, left: Value, right: Value) -> Value {
        let below_one = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, right, 1);
        let one = self.b.ins().iconst(clif::I64, 1);
        let divisor = self.b.ins().select(below_one, one, right);
        let rest = self.b.ins().srem(left, divisor);
        let inexact = self.b.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        self.b.ins().bor(below_one, inexact)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Run { kernel, frame, tiles, work } => self.run(*kernel, frame, tiles, work),
            Step::Fault { index, first_bad, indices } => self.fault(*index, *first_bad, *indices),
            Step::Copy { from, to, bytes } => self.copy(*from, *to, bytes),
            Step::Absent => self.leave_absent(),
        }
    }

    fn run(&mut self, kernel: usize, frame: &[Slot], tiles: &Dim, work: &Dim) {
        self.fill_frame(frame);
        let serial_only = tiles.is(1) || work.as_const().is_some_and(|work| work < PARALLEL_WORK);
        let tiles = self.dims.emit(&mut self.b, tiles);
        if serial_only {
            return self.run_serial(kernel, tiles);
        }
        let (parallel, serial, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let worth_it = self.is_worth_splitting(tiles, work);
        self.b.ins().brif(worth_it, parallel, &[], serial, &[]);
        self.b.switch_to_block(parallel);
        self.run_parallel(kernel, tiles);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(serial);
        self.run_serial(kernel, tiles);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
    }

    fn fill_frame(&mut self, frame: &[Slot]) {
        for (word, slot) in frame.iter().enumerate() {
            let value = match slot {
                Slot::Ptr(loc) => self.address(*loc),
                Slot::Size(dim) => self.dims.emit(&mut self.b, dim),
            };
            let Ok(offset) = i32::try_from(word * 8) else { bug("a frame beyond 2 GiB") };
            self.b.ins().stack_store(clif::I64, value, self.frame, offset);
        }
    }

    /// Whether there is a pool, more than one tile, and enough work.
    fn is_worth_splitting(&mut self, tiles: Value, work: &Dim) -> Value {
        let pool = self.field(entry_cx::POOL);
        let has_pool = self.b.ins().icmp_imm_s(IntCC::NotEqual, pool, 0);
        let several = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, tiles, 1);
        let work = self.dims.emit(&mut self.b, work);
        let enough = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, work, PARALLEL_WORK);
        let worth_it = self.b.ins().band(has_pool, several);
        self.b.ins().band(worth_it, enough)
    }

    /// A kernel takes an empty range of tiles, so 0 needs no test.
    fn run_serial(&mut self, kernel: usize, tiles: Value) {
        let callee = self.kernel_ref(kernel);
        let frame = self.b.ins().stack_addr(clif::I64, self.frame, 0);
        let scratch = self.field(entry_cx::SCRATCH);
        let zero = self.b.ins().iconst(clif::I64, 0);
        self.b.ins().call(callee, &[frame, scratch, zero, tiles]);
    }

    fn run_parallel(&mut self, kernel: usize, tiles: Value) {
        let callee = self.kernel_ref(kernel);
        let parallel_for = self.field(entry_cx::PARALLEL_FOR);
        let pool = self.field(entry_cx::POOL);
        let kernel = self.b.ins().func_addr(clif::I64, callee);
        let frame = self.b.ins().stack_addr(clif::I64, self.frame, 0);
        let scratch = self.field(entry_cx::SCRATCH);
        let stride = self.b.ins().iconst(clif::I64, SCRATCH_BYTES as i64);
        let args = [pool, kernel, frame, scratch, stride, tiles];
        self.b.ins().call_indirect(self.parallel_for, parallel_for, &args);
    }

    /// Kernels are local to the object, so a near call reaches them.
    fn kernel_ref(&mut self, kernel: usize) -> FuncRef {
        if let Some(&known) = self.refs.get(&kernel) {
            return known;
        }
        let id = self.kernels[kernel];
        let name = self.b.func.declare_imported_user_function(UserExternalName { namespace: 0, index: id.as_u32() });
        let name = ExternalName::user(name);
        let data = ExtFuncData { name, signature: self.kernel, colocated: true, patchable: false };
        let declared = self.b.import_function(data);
        self.refs.insert(kernel, declared);
        declared
    }

    fn fault(&mut self, index: u32, first_bad: Loc, indices: Option<(Loc, DType)>) {
        let first_bad = self.address(first_bad);
        let element = self.b.ins().load(clif::I32, access(), first_bad, 0);
        let found = self.b.ins().icmp_imm_s(IntCC::NotEqual, element, i64::from(i32::MAX));
        self.leave_if(found, |cx| {
            cx.report(entry_cx::FAULT_INDEX, i64::from(index));
            let element = cx.b.ins().sextend(clif::I64, element);
            cx.b.ins().store(access(), element, cx.cx, entry_cx::FAULT_ELEMENT);
            let value = match indices {
                Some((indices, dtype)) => cx.index_value(indices, element, dtype),
                None => element,
            };
            cx.b.ins().store(access(), value, cx.cx, entry_cx::FAULT_VALUE);
            cx.return_status(Status::Fault);
        });
    }

    fn index_value(&mut self, indices: Loc, element: Value, dtype: DType) -> Value {
        let indices = self.address(indices);
        let offset = self.b.ins().imul_imm_s(element, dtype.bytes());
        let place = self.b.ins().iadd(indices, offset);
        match dtype {
            DType::I32 => self.b.ins().sload32(access(), place, 0),
            DType::I64 => self.b.ins().load(clif::I64, access(), place, 0),
            DType::F32 | DType::F64 | DType::U8 | DType::Bool => bug("an index tensor is i32 or i64"),
        }
    }

    /// By `memmove`: a state copied onto itself is legal.
    fn copy(&mut self, from: Loc, to: Loc, bytes: &Dim) {
        let (from, to) = (self.address(from), self.address(to));
        let bytes = self.dims.emit(&mut self.b, bytes);
        self.b.call_memmove(self.config, to, from, bytes);
    }

    fn address(&mut self, loc: Loc) -> Value {
        match loc {
            Loc::Arg(n) => self.element(entry_cx::ARGS, n),
            Loc::Result(n) => self.element(entry_cx::RESULTS, n),
            Loc::Global(n) => self.element(entry_cx::GLOBALS, n),
            Loc::Arena(n) => {
                let arena = self.field(entry_cx::ARENA);
                let offset = self.element(entry_cx::OFFSETS, n);
                self.b.ins().iadd(arena, offset)
            }
            Loc::Seed => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::SEED)),
            Loc::Step => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::STEP)),
            Loc::Epoch => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::EPOCH)),
            Loc::TotalSteps => self.b.ins().iadd_imm_s(self.cx, i64::from(entry_cx::TOTAL_STEPS)),
        }
    }

    /// Element `n` of the array that a field of the context points to.
    fn element(&mut self, field: i32, n: u32) -> Value {
        let array = self.field(field);
        let Ok(offset) = i32::try_from(i64::from(n) * 8) else { bug("too many buffers") };
        self.b.ins().load(clif::I64, constant_load(), array, offset)
    }

    fn field(&mut self, offset: i32) -> Value {
        self.b.ins().load(clif::I64, constant_load(), self.cx, offset)
    }

    fn report(&mut self, field: i32, number: i64) {
        let number = self.b.ins().iconst(clif::I64, number);
        self.b.ins().store(access(), number, self.cx, field);
    }

    /// `leave`, which must end with a return, if `condition` holds.
    fn leave_if(&mut self, condition: Value, leave: impl FnOnce(&mut Self)) {
        let (bad, good) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(bad);
        self.b.ins().brif(condition, bad, &[], good, &[]);
        self.b.switch_to_block(bad);
        leave(self);
        self.b.switch_to_block(good);
    }

    /// Ends the entry; what follows is never reached.
    fn leave_absent(&mut self) {
        self.return_status(Status::Absent);
        let unreached = self.b.create_block();
        self.b.switch_to_block(unreached);
    }

    fn return_status(&mut self, status: Status) {
        let status = self.b.ins().iconst(clif::I32, i64::from(status as i32));
        self.b.ins().return_(&[status]);
    }
}
