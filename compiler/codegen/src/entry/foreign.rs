//! Calls of C functions.

use super::{EntryEmit, access};
use crate::error::bug;
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, InstBuilder, Signature, Type, UserExternalName, types as clif,
};
use mlc_ir::ty::DType;
use mlc_kernel::program::{CallArg, Place};

/// How C takes a value: integers narrower than `int` are widened by the caller.
fn param(arg: &CallArg) -> AbiParam {
    match arg {
        CallArg::Size(_) | CallArg::Address(_) => AbiParam::new(clif::I64),
        CallArg::Scalar(_, dtype @ (DType::U8 | DType::Bool)) => AbiParam::new(scalar(*dtype)).uext(),
        CallArg::Scalar(_, DType::I8) => AbiParam::new(clif::I8).sext(),
        CallArg::Scalar(_, dtype) => AbiParam::new(scalar(*dtype)),
    }
}

fn scalar(dtype: DType) -> Type {
    match dtype {
        DType::F32 => clif::F32,
        DType::F64 => clif::F64,
        DType::I32 => clif::I32,
        DType::I64 => clif::I64,
        DType::U8 | DType::I8 | DType::Bool => clif::I8,
    }
}

impl EntryEmit<'_> {
    /// The function may be anywhere in memory.
    pub(super) fn call(&mut self, symbol: &str, args: &[CallArg], status: &Place) {
        let mut signature = Signature::new(self.config.default_call_conv);
        signature.params.extend(args.iter().map(param));
        signature.returns.push(AbiParam::new(clif::I32));
        let Some(id) = self.calls.callees.foreign.get(symbol) else { bug(&format!("`{symbol}` is not declared")) };
        let name = self.b.func.declare_imported_user_function(UserExternalName { namespace: 0, index: id.as_u32() });
        let (name, signature) = (ExternalName::user(name), self.b.import_signature(signature));
        let callee = self.b.import_function(ExtFuncData { name, signature, colocated: false, patchable: false });
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(match arg {
                CallArg::Size(dim) => self.dims.emit(&mut self.b, dim),
                CallArg::Address(place) => self.address(place),
                CallArg::Scalar(place, dtype) => {
                    let place = self.address(place);
                    self.b.ins().load(scalar(*dtype), access(), place, 0)
                }
            });
        }
        let call = self.b.ins().call(callee, &values);
        let returned = self.b.inst_results(call)[0];
        let status = self.address(status);
        self.b.ins().store(access(), returned, status, 0);
    }
}
