//! Lane to CLIF: a table of ops, with one function for each group of them.
//!
//! Lane and CLIF are both SSA, so a Lane value is a CLIF value: a scalar, or a 128-bit vector (of
//! which a vector with fewer lanes uses the first). A vector mask is an integer vector, a scalar mask
//! an `i8` of 0 or 1. Every access is `notrap` and claims no alignment: an access that did would be
//! folded into an SSE instruction that faults on rows that aren't aligned.

mod bytes;
mod control;
mod convert;
mod float;
mod int;
mod mask;
mod memory;
mod types;
mod vector;

use crate::error::bug;
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, MemFlagsData, Signature, UserFuncName, Value, types as clif,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use mlc_kernel::lane::{Lane, Op, Ty, V};

/// How `MulAdd` rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MulAdd {
    /// One instruction, one rounding.
    Fused,
    /// A product and a sum.
    Split,
}

/// The signature of [`mlc_rt_core::abi::Kernel`].
pub(crate) fn kernel_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([AbiParam::new(clif::I64); 4]);
    signature
}

/// The CLIF function of a kernel.
pub(crate) fn kernel(lane: &Lane, name: UserFuncName, config: TargetFrontendConfig, mul_add: MulAdd) -> Function {
    let mut function = Function::with_name_signature(name, kernel_signature(config.default_call_conv));
    let mut context = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut function, &mut context);
    let start = builder.create_block();
    builder.append_block_params_for_function_params(start);
    builder.switch_to_block(start);
    let &[frame, scratch, low, high] = builder.block_params(start) else { bug("a kernel has four parameters") };
    let mut cx = EmitCx { b: builder, lane, values: vec![None; lane.types.len()], frame, scratch, low, high, mul_add };
    cx.block(&lane.body);
    cx.b.ins().return_(&[]);
    cx.b.seal_all_blocks();
    cx.b.finalize(config);
    function
}

/// A kernel under emission.
struct EmitCx<'a> {
    b: FunctionBuilder<'a>,
    lane: &'a Lane,
    values: Vec<Option<Value>>,
    frame: Value,
    scratch: Value,
    low: Value,
    high: Value,
    mul_add: MulAdd,
}

impl EmitCx<'_> {
    fn ty(&self, v: V) -> Ty {
        self.lane.types[v.index()]
    }

    fn get(&self, v: V) -> Value {
        match self.values[v.index()] {
            Some(value) => value,
            None => bug(&format!("kernel `{}` uses v{} before its definition", self.lane.name, v.0)),
        }
    }

    fn set(&mut self, v: V, value: Value) {
        self.values[v.index()] = Some(value);
    }

    /// The value of `op`, which is to have type `ty`.
    fn op(&mut self, op: &Op, ty: Ty) -> Value {
        match op {
            Op::Const(bits) => self.constant(bits, ty),
            Op::FrameSize(word) | Op::FramePtr(word) => self.frame_word(*word),
            Op::ScratchPtr => self.scratch,
            Op::TileLow => self.low,
            Op::TileHigh => self.high,
            Op::PtrAdd(ptr, bytes) => {
                let (ptr, bytes) = (self.get(*ptr), self.get(*bytes));
                self.b.ins().iadd(ptr, bytes)
            }
            Op::Load { ptr, disp, mem, tail } => self.load(*ptr, *disp, *mem, *tail, ty),
            Op::FUnary(op, a) => self.float_unary(*op, *a),
            Op::FBinary(op, a, b) => self.float_binary(*op, *a, *b),
            Op::MulAdd(a, b, c) => self.float_mul_add(*a, *b, *c),
            Op::IBinary(op, a, b) => self.int_binary(*op, *a, *b),
            Op::Shift(shift, a, bits) => self.int_shift(*shift, *a, *bits),
            Op::FCmp(cmp, a, b) => self.float_compare(*cmp, *a, *b),
            Op::ICmp(cmp, a, b) => self.int_compare(*cmp, *a, *b),
            Op::MaskAnd(a, b) => {
                let (a, b) = (self.get(*a), self.get(*b));
                self.b.ins().band(a, b)
            }
            Op::MaskOr(a, b) => {
                let (a, b) = (self.get(*a), self.get(*b));
                self.b.ins().bor(a, b)
            }
            Op::MaskNot(a) => self.mask_not(*a),
            Op::Select(mask, a, b) => self.select(*mask, *a, *b),
            Op::Convert(convert, a) => self.convert(*convert, *a, ty),
            Op::Splat(a) => self.splat(*a, ty),
            Op::Extract(a, lane) => self.extract(*a, *lane),
            Op::Pack(scalars) => self.pack(scalars, ty),
        }
    }

    /// The frame isn't written while the kernel runs, so a word may be loaded once, anywhere.
    fn frame_word(&mut self, word: u32) -> Value {
        let flags = MemFlagsData::new().with_notrap().with_readonly().with_can_move();
        let Ok(offset) = i32::try_from(i64::from(word) * 8) else { bug("a frame beyond 2 GiB") };
        self.b.ins().load(clif::I64, flags, self.frame, offset)
    }
}
