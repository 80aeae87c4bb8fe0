//! Functions for parts of some work that an entry hands to the pool, as if they were kernels: their frame
//! has the address of the entry's context and some words behind it.

use super::{Calls, EntryEmit, access, start};
use crate::emit::kernel_signature;
use crate::error::bug;
use cranelift_codegen::ir::{Function, InstBuilder, UserFuncName, Value, types as clif};
use cranelift_codegen::isa::TargetFrontendConfig;
use mlc_kernel::program::Step;

/// What such a function gets.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) frame: Value,
    /// The thread's scratch memory.
    pub(super) scratch: Value,
    /// The first part.
    pub(super) low: Value,
    /// One past the last.
    pub(super) high: Value,
}

/// Where word `n` of the frame is, behind the context's address.
pub(super) fn word_offset(n: usize) -> i32 {
    8 * (n as i32 + 1)
}

/// A function that runs parts `low..high`, with room for the frames of `steps`.
pub(super) fn parts_function(
    steps: &[Step],
    calls: Calls<'_>,
    name: UserFuncName,
    config: TargetFrontendConfig,
    body: impl FnOnce(&mut EntryEmit<'_>, Parts),
) -> Function {
    let signature = kernel_signature(config.default_call_conv);
    let mut function = Function::with_name_signature(name, signature);
    let context =
        |b: &mut super::FunctionBuilder<'_>, params: &[Value]| b.ins().load(clif::I64, access(), params[0], 0);
    start(&mut function, steps, calls, config, context, |cx, params| {
        let &[frame, scratch, low, high] = params else { bug("a kernel has four parameters") };
        body(cx, Parts { frame, scratch, low, high });
        cx.b.ins().return_(&[]);
    });
    function
}
