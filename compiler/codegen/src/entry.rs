//! Entries: from steps over planned buffers to a CLIF function.
//!
//! An entry tests its size checks, then does its steps in order. It is compiled for the lowest level
//! (control flow gains nothing from a higher one), calls kernels directly, and hands one to
//! the runner where it may be worth splitting.

mod bands;
mod chains;
mod foreign;
mod frame;
mod looped;
mod parts;
mod place;
mod run;

pub(crate) use bands::band_function;
pub(crate) use chains::chain_function;
pub(crate) use run::{run_signature, runner_function};

use crate::dims::{DimCx, Overflow};
use crate::emit::kernel_signature;
use crate::error::bug;
use crate::functions::Callees;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot,
    UserExternalName, UserFuncName, Value, types as clif,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::FuncId;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Relation, SizeCheck};
use mlc_ir::ty::DType;
use mlc_kernel::program::{EntryCode, Place, Step};
use mlc_rt_core::abi::{Status, entry_cx};
use std::collections::{BTreeMap, VecDeque};

/// The signature of [`mlc_rt_core::abi::EntryFn`].
pub(crate) fn entry_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.push(AbiParam::new(clif::I64));
    signature.returns.push(AbiParam::new(clif::I32));
    signature
}

/// Steps of an entry from which on it is cut into pieces, and those of a piece. What lives across many calls
/// (the context, sizes, the frame) makes allocating registers take time that grows with their square.
const WHOLE_STEPS: usize = 96;
const PIECE_STEPS: usize = 48;

/// How many functions of their own do the steps of an entry; 0 if it does them itself.
pub(crate) fn pieces(entry: &EntryCode) -> usize {
    if entry.steps.len() <= WHOLE_STEPS { 0 } else { entry.steps.len().div_ceil(PIECE_STEPS) }
}

/// What an entry calls.
#[derive(Clone, Copy)]
pub(crate) struct Calls<'a> {
    pub(crate) callees: &'a Callees,
    /// Its own pieces.
    pub(crate) pieces: &'a [FuncId],
    /// Its own functions of bands.
    pub(crate) bands: &'a [FuncId],
    /// Its own functions of chains.
    pub(crate) chains: &'a [FuncId],
    /// Its own function that makes what it keeps.
    pub(crate) kept: Option<FuncId>,
}

/// The CLIF function of an entry.
pub(crate) fn entry_function(
    entry: &EntryCode,
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    let steps: &[Step] = if calls.pieces.is_empty() { &entry.steps } else { &[] };
    function(steps, calls, name, config, |cx| {
        cx.checks(&entry.checks);
        cx.keep(calls.kept);
        cx.pieces(calls.pieces);
        cx.steps(steps);
    })
}

/// The CLIF function that makes what an entry keeps: called like one, it always leaves with `Ok`.
pub(crate) fn kept_function(
    entry: &EntryCode,
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    function(&entry.kept.steps, calls, name, config, |cx| cx.steps(&entry.kept.steps))
}

/// The CLIF function of a piece of an entry: called like one, it leaves with `Ok` if the next is to go on.
pub(crate) fn piece_function(
    entry: &EntryCode,
    piece: usize,
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
) -> Function {
    let steps = entry.steps.chunks(PIECE_STEPS).nth(piece).unwrap_or_else(|| bug("an entry has fewer pieces"));
    function(steps, calls, name, config, |cx| cx.steps(steps))
}

/// A function with the signature of an entry that ends with `Ok` behind what `body` makes.
fn function(
    steps: &[Step],
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
    body: impl FnOnce(&mut EntryEmit<'_>),
) -> Function {
    let mut function = Function::with_name_signature(name, entry_signature(config.default_call_conv));
    start(
        &mut function,
        steps,
        calls,
        config,
        |_, params| params[0],
        |cx, _| {
            body(cx);
            cx.return_status(Status::Ok);
        },
    );
    function
}

/// Fills a function that has room for the frames of `steps`; `context` gives the entry's context, from
/// the function's parameters.
fn start(
    function: &mut Function,
    steps: &[Step],
    calls: Calls<'_>,
    config: TargetFrontendConfig,
    context: impl FnOnce(&mut FunctionBuilder<'_>, &[Value]) -> Value,
    body: impl FnOnce(&mut EntryEmit<'_>, &[Value]),
) {
    let call_conv = config.default_call_conv;
    let mut builder = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(function, &mut builder);
    let start = b.create_block();
    b.append_block_params_for_function_params(start);
    b.switch_to_block(start);
    let params = b.block_params(start).to_vec();
    let cx = context(&mut b, &params);
    let frame = frame::slot(&mut b, steps);
    let parallel_for = b.import_signature(run::parallel_for_signature(call_conv));
    let kernel = b.import_signature(kernel_signature(call_conv));
    let run = b.import_signature(run_signature(call_conv));
    let sizes = b.ins().load(clif::I64, constant_load(), cx, entry_cx::SIZES);
    let mut cx = EntryEmit {
        b,
        cx,
        sizes,
        dims: DimCx::new(sizes, Overflow::Wrap),
        frame,
        shared_words: frame::shared_words(steps),
        frames: VecDeque::new(),
        positions: Vec::new(),
        outer: 0,
        band: None,
        units: None,
        calls,
        refs: BTreeMap::new(),
        runner: None,
        kernel,
        run,
        parallel_for,
        config,
    };
    body(&mut cx, &params);
    cx.b.seal_all_blocks();
    cx.b.finalize(config);
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
    /// One slot on the stack for all frames.
    frame: StackSlot,
    /// Words at its start for the frames of kernels outside of loops.
    shared_words: usize,
    /// Where the frames of the kernels in the loop at hand are, in order.
    frames: VecDeque<i32>,
    /// Of the loops around, outermost first.
    positions: Vec<Value>,
    /// How many of them are around the function.
    outer: usize,
    /// The rows at hand, in a function of bands.
    band: Option<Band>,
    /// The units at hand, in a function of a chain.
    units: Option<Units>,
    calls: Calls<'a>,
    /// Of kernels, by number.
    refs: BTreeMap<usize, FuncRef>,
    runner: Option<FuncRef>,
    kernel: SigRef,
    run: SigRef,
    parallel_for: SigRef,
    config: TargetFrontendConfig,
}

/// Rows that a thread goes through alone.
#[derive(Clone, Copy)]
struct Band {
    /// The first.
    first: Value,
    /// The thread's scratch memory.
    scratch: Value,
}

/// Units that a thread goes through at a time.
#[derive(Clone, Copy)]
struct Units {
    /// The first.
    first: Value,
    /// The thread's scratch memory.
    scratch: Value,
}

impl EntryEmit<'_> {
    /// Whether this is outside of the function's own loops.
    fn is_outside(&self) -> bool {
        self.positions.len() == self.outer
    }

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
            Relation::Differ => self.b.ins().icmp(IntCC::Equal, left, right),
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

    /// Has what is kept made if the caller says so.
    fn keep(&mut self, kept: Option<FuncId>) {
        let Some(kept) = kept else { return };
        let (fresh, done) = (self.b.create_block(), self.b.create_block());
        let flag = self.field(entry_cx::FRESH);
        self.b.ins().brif(flag, fresh, &[], done, &[]);
        self.b.switch_to_block(fresh);
        let signature = self.b.import_signature(entry_signature(self.config.default_call_conv));
        let callee = self.function_ref(kept, signature);
        self.b.ins().call(callee, &[self.cx]);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
    }

    /// Calls the pieces in order, and leaves with the status of the first that isn't done.
    fn pieces(&mut self, pieces: &[FuncId]) {
        let signature = self.b.import_signature(entry_signature(self.config.default_call_conv));
        for piece in pieces {
            let callee = self.function_ref(*piece, signature);
            let call = self.b.ins().call(callee, &[self.cx]);
            let status = self.b.inst_results(call)[0];
            let stops = self.b.ins().icmp_imm_s(IntCC::NotEqual, status, Status::Ok as i64);
            self.leave_if(stops, |cx| _ = cx.b.ins().return_(&[status]));
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Run { kernel, frame, tiles, work } => self.run(*kernel, frame, tiles, work),
            Step::Fault { index, first_bad, indices } => self.fault(*index, first_bad, indices.as_ref()),
            Step::Copy { from, to, bytes } => self.copy(from, to, bytes),
            Step::Loop(looped) => self.looped(looped),
            Step::Bands(bands) => self.bands(bands),
            Step::Chain(chain) => self.chain(chain),
            Step::Absent => self.leave_absent(),
            Step::Call { symbol, args, status } => self.call(symbol, args, status),
        }
    }

    /// Kernels are local to the object, so a near call reaches them.
    fn kernel_ref(&mut self, kernel: usize) -> FuncRef {
        if let Some(&known) = self.refs.get(&kernel) {
            return known;
        }
        let declared = self.function_ref(self.calls.callees.kernels[kernel], self.kernel);
        self.refs.insert(kernel, declared);
        declared
    }

    fn runner_ref(&mut self) -> FuncRef {
        if let Some(known) = self.runner {
            return known;
        }
        let declared = self.function_ref(self.calls.callees.runner, self.run);
        self.runner = Some(declared);
        declared
    }

    fn function_ref(&mut self, id: FuncId, signature: SigRef) -> FuncRef {
        let name = self.b.func.declare_imported_user_function(UserExternalName { namespace: 0, index: id.as_u32() });
        let name = ExternalName::user(name);
        self.b.import_function(ExtFuncData { name, signature, colocated: true, patchable: false })
    }

    fn fault(&mut self, index: u32, first_bad: &Place, indices: Option<&(Place, DType)>) {
        let first_bad = self.address(first_bad);
        let element = self.b.ins().load(clif::I32, access(), first_bad, 0);
        let found = self.b.ins().icmp_imm_s(IntCC::NotEqual, element, i64::from(i32::MAX));
        self.leave_if(found, |cx| {
            cx.report(entry_cx::FAULT_INDEX, i64::from(index));
            let element = cx.b.ins().sextend(clif::I64, element);
            cx.b.ins().store(access(), element, cx.cx, entry_cx::FAULT_ELEMENT);
            let value = match indices {
                Some((indices, dtype)) => cx.index_value(indices, element, *dtype),
                None => cx.b.ins().iconst(clif::I64, i64::MIN),
            };
            cx.b.ins().store(access(), value, cx.cx, entry_cx::FAULT_VALUE);
            cx.return_status(Status::Fault);
        });
    }

    fn index_value(&mut self, indices: &Place, element: Value, dtype: DType) -> Value {
        let indices = self.address(indices);
        let offset = self.b.ins().imul_imm_s(element, dtype.bytes());
        let place = self.b.ins().iadd(indices, offset);
        self.integer(place, dtype)
    }

    /// The integer at an address.
    fn integer(&mut self, place: Value, dtype: DType) -> Value {
        match dtype {
            DType::I32 => self.b.ins().sload32(access(), place, 0),
            DType::I64 => self.b.ins().load(clif::I64, access(), place, 0),
            DType::F32 | DType::F64 | DType::U8 | DType::I8 | DType::Bool => bug("an index is i32 or i64"),
        }
    }

    /// By `memmove`: a state copied onto itself is legal.
    fn copy(&mut self, from: &Place, to: &Place, bytes: &Dim) {
        let (from, to) = (self.address(from), self.address(to));
        let bytes = self.dims.emit(&mut self.b, bytes);
        self.b.call_memmove(self.config, to, from, bytes);
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
