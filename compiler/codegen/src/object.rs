//! Programs as object files.
//!
//! An object exports one symbol, [`PROGRAM_SYMBOL`], laid out as [`abi::Program`]; everything else in
//! it is local. It refers to no symbol but `memcpy`, `memmove`, `memset` and `memcmp`.

use crate::error::{CodegenError, bug};
use crate::jit::libcall_name;
use crate::module::{Compiler, Functions, Options, compile_into};
use crate::target::{Place, Target};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};
use mlc_kernel::program::Program;
use mlc_rt_core::abi;
use std::mem::offset_of;

/// The exported symbol.
pub const PROGRAM_SYMBOL: &str = "mlc_program";

/// Most bytes of weights in an object: more of them would put other data out of the reach of
/// addresses relative to code.
pub const WEIGHTS_LIMIT: usize = 1 << 30;

/// Of weights, so that mapped and embedded tensors are aligned alike.
const WEIGHTS_ALIGN: u64 = 64;

/// Compiles a program into an object file for `target`. `meta` and `weights` are carried as they are.
///
/// Fails for a target without a code generator and for weights beyond [`WEIGHTS_LIMIT`].
pub fn compile_object(
    program: &Program,
    target: &Target,
    options: &Options,
    meta: &[u8],
    weights: Option<&[u8]>,
) -> Result<Vec<u8>, CodegenError> {
    if let Some(weights) = weights.filter(|weights| weights.len() > WEIGHTS_LIMIT) {
        return Err(CodegenError::Weights(weights.len()));
    }
    let compiler = Compiler::new(program, target, options, Place::Object)?;
    let builder = ObjectBuilder::new(compiler.base_isa(), "mlc", Box::new(libcall_name))
        .map_err(|error| CodegenError::Object(error.to_string()))?;
    let mut module = ObjectModule::new(builder);
    let (functions, _timings) = compile_into(&mut module, &compiler, options.threads)?;
    define_program(&mut module, &functions, meta, weights)?;
    module.finish().emit().map_err(|error| CodegenError::Object(error.to_string()))
}

fn define_program(
    module: &mut dyn Module,
    functions: &Functions,
    meta: &[u8],
    weights: Option<&[u8]>,
) -> Result<(), CodegenError> {
    let meta_data = define_bytes(module, "mlc.meta", meta, 1)?;
    let entries = define_table(module, "mlc.entries", &functions.entries)?;
    let plans = define_table(module, "mlc.plans", &functions.plans)?;
    let mut pointers = vec![
        (offset_of!(abi::Program, meta), meta_data),
        (offset_of!(abi::Program, entries), entries),
        (offset_of!(abi::Program, plans), plans),
    ];
    if let Some(weights) = weights {
        pointers
            .push((offset_of!(abi::Program, weights), define_bytes(module, "mlc.weights", weights, WEIGHTS_ALIGN)?));
    }
    let bytes = program_bytes(functions.entries.len(), meta.len(), weights.map_or(0, <[u8]>::len));
    let mut data = DataDescription::new();
    data.define(bytes.into());
    data.set_align(8);
    for (offset, target) in pointers {
        let target = module.declare_data_in_data(target, &mut data);
        data.write_data_addr(offset as u32, target, 0);
    }
    define(module, PROGRAM_SYMBOL, Linkage::Export, &data).map(drop)
}

/// An [`abi::Program`] with its pointers null.
fn program_bytes(entries: usize, meta: usize, weights: usize) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<abi::Program>()];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    let Ok(entries) = u32::try_from(entries) else { bug("too many entries") };
    put(offset_of!(abi::Program, abi), &abi::ABI_VERSION.to_le_bytes());
    put(offset_of!(abi::Program, entry_count), &entries.to_le_bytes());
    put(offset_of!(abi::Program, meta_len), &(meta as u64).to_le_bytes());
    put(offset_of!(abi::Program, weights_len), &(weights as u64).to_le_bytes());
    bytes
}

fn define_bytes(module: &mut dyn Module, name: &str, bytes: &[u8], align: u64) -> Result<DataId, CodegenError> {
    let mut data = DataDescription::new();
    data.define(bytes.into());
    data.set_align(align);
    define(module, name, Linkage::Local, &data)
}

/// A table of function addresses.
fn define_table(module: &mut dyn Module, name: &str, functions: &[FuncId]) -> Result<DataId, CodegenError> {
    let mut data = DataDescription::new();
    data.define(vec![0; functions.len() * 8].into());
    data.set_align(8);
    for (&function, offset) in functions.iter().zip((0u32..).step_by(8)) {
        let function = module.declare_func_in_data(function, &mut data);
        data.write_function_addr(offset, function);
    }
    define(module, name, Linkage::Local, &data)
}

/// Defines a data object.
pub(crate) fn define(
    module: &mut dyn Module,
    name: &str,
    linkage: Linkage,
    data: &DataDescription,
) -> Result<DataId, CodegenError> {
    let Ok(id) = module.declare_data(name, linkage, false, false) else { bug("a data object is declared twice") };
    module.define_data(id, data).map_err(|error| CodegenError::Object(error.to_string()))?;
    Ok(id)
}
