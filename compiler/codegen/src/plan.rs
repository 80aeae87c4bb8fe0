//! The plan function of an entry: offsets of the arena's buffers for given sizes, by the rule at
//! [`Plan`]. What is constant folds to numbers; every sum and product is checked.
//!
//! Offsets that are no constants go through memory (the caller's, or a slot on the stack), and so do the highest
//! end and what is noted of overflows: in values they, or all that they are made from, would live to the end, and
//! allocating registers would take time that grows with their square.

use crate::dims::{DimCx, Overflow};
use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData, StackSlotKind, UserFuncName,
    Value, types as clif,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use mlc_ir::dim::Dim;
use mlc_kernel::program::Plan;
use mlc_rt_core::abi::ARENA_ALIGN;

const ALIGN: i64 = ARENA_ALIGN as i64;

/// The signature of [`mlc_rt_core::abi::PlanFn`].
pub(crate) fn plan_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([AbiParam::new(clif::I64); 2]);
    signature.returns.push(AbiParam::new(clif::I64));
    signature
}

/// The CLIF function of a plan.
pub(crate) fn plan_function(plan: &Plan, name: UserFuncName, config: TargetFrontendConfig) -> Function {
    let mut function = Function::with_name_signature(name, plan_signature(config.default_call_conv));
    let mut context = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut function, &mut context);
    let start = b.create_block();
    b.append_block_params_for_function_params(start);
    b.switch_to_block(start);
    let &[sizes, out] = b.block_params(start) else { bug("a plan function has two parameters") };
    let memory = memory(&mut b, plan.buffers.len(), out);
    let running = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 3));
    let mut cx = PlanCx { b, dims: DimCx::new(sizes, Overflow::Note), memory, running };
    for place in [HIGHEST, NOTED] {
        let zero = cx.b.ins().iconst(clif::I64, 0);
        cx.b.ins().stack_store(clif::I64, zero, running, place);
    }
    match cx.offsets(plan) {
        Some(total) => cx.finish(total),
        None => cx.return_constant(-1),
    }
    cx.b.seal_all_blocks();
    cx.b.finalize(config);
    function
}

/// Where offsets go: `out`, or a place that is forgotten if that is null.
fn memory(b: &mut FunctionBuilder<'_>, buffers: usize, out: Value) -> Value {
    let Ok(bytes) = u32::try_from(buffers * 8) else { bug("too many buffers in a plan") };
    let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
    let forgotten = b.ins().stack_addr(clif::I64, slot, 0);
    let is_null = b.ins().icmp_imm_s(IntCC::Equal, out, 0);
    b.ins().select(is_null, forgotten, out)
}

/// A number, at best known now.
#[derive(Clone, Copy)]
enum Num {
    Known(i64),
    Value(Value),
}

struct PlanCx<'a> {
    b: FunctionBuilder<'a>,
    dims: DimCx,
    /// Where offsets are.
    memory: Value,
    /// [`HIGHEST`] and [`NOTED`].
    running: StackSlot,
}

/// Place of the highest end so far.
const HIGHEST: i32 = 0;
/// Place of a number that is not 0 if anything went beyond `i64`.
const NOTED: i32 = 8;

impl PlanCx<'_> {
    /// Writes all offsets; the total, or `None` if a constant is beyond `i64`.
    fn offsets(&mut self, plan: &Plan) -> Option<Num> {
        let mut known: Vec<Option<i64>> = Vec::with_capacity(plan.buffers.len());
        for (position, buffer) in plan.buffers.iter().enumerate() {
            let mut below = Num::Known(0);
            for &i in &buffer.below {
                let i = i as usize;
                let end = self.end(i, known[i], &plan.buffers[i].bytes)?;
                below = self.max(below, end);
            }
            let offset = self.align(below)?;
            let value = self.value(offset);
            self.b.ins().store(MemFlagsData::new().with_notrap(), value, self.memory, place(position));
            known.push(match offset {
                Num::Known(offset) => Some(offset),
                Num::Value(_) => None,
            });
            let bytes = self.bytes(&buffer.bytes);
            let end = self.add(offset, bytes)?;
            self.update(HIGHEST, end, |cx, highest, end| cx.b.ins().smax(highest, end));
            if let Some(overflow) = self.dims.take_overflow() {
                self.note(overflow);
            }
        }
        let highest = self.b.ins().stack_load(clif::I64, clif::I64, self.running, HIGHEST);
        self.align(Num::Value(highest))
    }

    /// Makes something new of a running number.
    fn update(&mut self, place: i32, with: Num, f: impl FnOnce(&mut Self, Value, Value) -> Value) {
        let old = self.b.ins().stack_load(clif::I64, clif::I64, self.running, place);
        let with = self.value(with);
        let new = f(self, old, with);
        self.b.ins().stack_store(clif::I64, new, self.running, place);
    }

    /// Where a buffer that has its offset ends. The sum has been checked when it got it.
    fn end(&mut self, position: usize, known: Option<i64>, bytes: &Dim) -> Option<Num> {
        let offset = match known {
            Some(offset) => Num::Known(offset),
            None => {
                let flags = MemFlagsData::new().with_notrap();
                Num::Value(self.b.ins().load(clif::I64, flags, self.memory, place(position)))
            }
        };
        match (offset, self.bytes(bytes)) {
            (Num::Known(offset), Num::Known(bytes)) => offset.checked_add(bytes).map(Num::Known),
            (offset, bytes) => {
                let (offset, bytes) = (self.value(offset), self.value(bytes));
                Some(Num::Value(self.b.ins().iadd(offset, bytes)))
            }
        }
    }

    fn bytes(&mut self, dim: &Dim) -> Num {
        match dim.as_const() {
            Some(bytes) => Num::Known(bytes),
            None => Num::Value(self.dims.emit(&mut self.b, dim)),
        }
    }

    fn max(&mut self, a: Num, b: Num) -> Num {
        match (a, b) {
            (Num::Known(a), Num::Known(b)) => Num::Known(a.max(b)),
            // Offsets and ends are at least 0.
            (Num::Known(0), other) | (other, Num::Known(0)) => other,
            (a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                Num::Value(self.b.ins().smax(a, b))
            }
        }
    }

    fn add(&mut self, a: Num, b: Num) -> Option<Num> {
        match (a, b) {
            (Num::Known(a), Num::Known(b)) => a.checked_add(b).map(Num::Known),
            (Num::Known(0), other) | (other, Num::Known(0)) => Some(other),
            (a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                let (sum, overflow) = self.b.ins().sadd_overflow(a, b);
                self.note(overflow);
                Some(Num::Value(sum))
            }
        }
    }

    fn align(&mut self, a: Num) -> Option<Num> {
        match self.add(a, Num::Known(ALIGN - 1))? {
            Num::Known(a) => Some(Num::Known(a & -ALIGN)),
            Num::Value(a) => Some(Num::Value(self.b.ins().band_imm_s(a, -ALIGN))),
        }
    }

    fn value(&mut self, num: Num) -> Value {
        match num {
            Num::Known(number) => self.b.ins().iconst(clif::I64, number),
            Num::Value(value) => value,
        }
    }

    fn note(&mut self, overflow: Value) {
        let overflow = self.b.ins().uextend(clif::I64, overflow);
        self.update(NOTED, Num::Value(overflow), |cx, noted, overflow| cx.b.ins().bor(noted, overflow));
    }

    fn finish(&mut self, total: Num) {
        let noted = self.b.ins().stack_load(clif::I64, clif::I64, self.running, NOTED);
        self.return_if(noted, -1);
        let total = self.value(total);
        self.b.ins().return_(&[total]);
    }

    fn return_if(&mut self, condition: Value, number: i64) {
        let (leave, stay) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, leave, &[], stay, &[]);
        self.b.switch_to_block(leave);
        self.return_constant(number);
        self.b.switch_to_block(stay);
    }

    fn return_constant(&mut self, number: i64) {
        let number = self.b.ins().iconst(clif::I64, number);
        self.b.ins().return_(&[number]);
    }
}

/// Of an offset in memory.
fn place(position: usize) -> i32 {
    i32::try_from(position * 8).unwrap_or_else(|_| bug("too many buffers in a plan"))
}
