//! The plan function of an entry: offsets of the arena's buffers for given sizes, by the rule at
//! [`Plan`]. What is constant folds to numbers; every sum and product is checked.

use crate::dims::{DimCx, Overflow};
use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, MemFlagsData, Signature, UserFuncName, Value, types as clif,
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
    let mut cx = PlanCx { b, dims: DimCx::new(sizes, Overflow::Note), noted: None };
    match cx.offsets(plan) {
        Some((offsets, total)) => cx.finish(&offsets, total, out),
        None => cx.return_constant(-1),
    }
    cx.b.seal_all_blocks();
    cx.b.finalize(config);
    function
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
    noted: Option<Value>,
}

impl PlanCx<'_> {
    /// All offsets and the total; `None` if a constant is beyond `i64`.
    fn offsets(&mut self, plan: &Plan) -> Option<(Vec<Num>, Num)> {
        let mut ends: Vec<Num> = Vec::with_capacity(plan.buffers.len());
        let mut offsets = Vec::with_capacity(plan.buffers.len());
        for buffer in &plan.buffers {
            let below = buffer.below.iter().map(|&i| ends[i as usize]).fold(Num::Known(0), |a, b| self.max(a, b));
            let offset = self.align(below)?;
            let bytes = self.bytes(&buffer.bytes);
            ends.push(self.add(offset, bytes)?);
            offsets.push(offset);
        }
        let highest = ends.into_iter().fold(Num::Known(0), |a, b| self.max(a, b));
        let total = self.align(highest)?;
        Some((offsets, total))
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
        self.noted = Some(match self.noted {
            None => overflow,
            Some(noted) => self.b.ins().bor(noted, overflow),
        });
    }

    fn finish(&mut self, offsets: &[Num], total: Num, out: Value) {
        if let Some(overflow) = self.dims.take_overflow() {
            self.note(overflow);
        }
        if let Some(overflow) = self.noted {
            self.return_if(overflow, -1);
        }
        self.write(offsets, out);
        let total = self.value(total);
        self.b.ins().return_(&[total]);
    }

    /// Writes the offsets unless `out` is null.
    fn write(&mut self, offsets: &[Num], out: Value) {
        let (write, done) = (self.b.create_block(), self.b.create_block());
        let is_null = self.b.ins().icmp_imm_s(IntCC::Equal, out, 0);
        self.b.ins().brif(is_null, done, &[], write, &[]);
        self.b.switch_to_block(write);
        for (position, &offset) in offsets.iter().enumerate() {
            let Ok(place) = i32::try_from(position * 8) else { bug("too many buffers in a plan") };
            let offset = self.value(offset);
            self.b.ins().store(MemFlagsData::new().with_notrap(), offset, out, place);
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
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
