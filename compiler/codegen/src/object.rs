//! Programs as object files.
//!
//! An object exports one symbol, [`PROGRAM_SYMBOL`], laid out as [`abi::Program`]; everything else in
//! it is local. It refers to no symbol but `memcpy`, `memmove`, `memset` and `memcmp`.

use crate::error::{CodegenError, bug};
use crate::functions::{Functions, KnownPlans};
use crate::jit::libcall_name;
use crate::module::{Compiler, Options, compile_into};
use crate::target::{Level, Optimize, Place, Target};
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

/// A program as it was lowered for a level, and how it is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// For [`Target::machine`] of the options.
    pub program: &'a Program,
    /// How.
    pub options: &'a Options,
}

/// Compiles a program into an object file for `target`, once for each level in `versions`, the lowest
/// first; their entries are the same. `meta` and `weights` are carried as they are.
///
/// Fails for a target without a code generator and for weights beyond [`WEIGHTS_LIMIT`].
pub fn compile_object(
    versions: &[Version<'_>],
    target: &Target,
    meta: &[u8],
    weights: Option<&[u8]>,
) -> Result<Vec<u8>, CodegenError> {
    if let Some(weights) = weights.filter(|weights| weights.len() > WEIGHTS_LIMIT) {
        return Err(CodegenError::Weights(weights.len()));
    }
    let base = target.isa(Level::V2, Place::Object, Optimize::Fully)?;
    let builder = ObjectBuilder::new(base, "mlc", Box::new(libcall_name))
        .map_err(|error| CodegenError::Object(error.to_string()))?;
    let mut module = ObjectModule::new(builder);
    let mut codes = Vec::with_capacity(versions.len());
    let mut plans = Vec::new();
    for Version { program, options } in versions {
        let compiler = Compiler::new(program, target, options, Place::Object)?;
        let known = KnownPlans::among(&plans, program);
        let (functions, _timings) = compile_into(&mut module, &compiler, &known, options.threads)?;
        plans.extend(program.entries.iter().map(|entry| &entry.plan).zip(functions.plans.iter().copied()));
        codes.push((options.level, functions));
    }
    define_program(&mut module, target, &codes, meta, weights)?;
    module.finish().emit().map_err(|error| CodegenError::Object(error.to_string()))
}

fn define_program(
    module: &mut dyn Module,
    target: &Target,
    codes: &[(Level, Functions)],
    meta: &[u8],
    weights: Option<&[u8]>,
) -> Result<(), CodegenError> {
    let meta_data = define_bytes(module, "mlc.meta", meta, 1)?;
    let table = define_codes(module, target, codes)?;
    let mut pointers = vec![(offset_of!(abi::Program, meta), meta_data), (offset_of!(abi::Program, codes), table)];
    if let Some(weights) = weights {
        pointers
            .push((offset_of!(abi::Program, weights), define_bytes(module, "mlc.weights", weights, WEIGHTS_ALIGN)?));
    }
    let entries = codes.first().map_or(0, |(_, functions)| functions.entries.len());
    let bytes = program_bytes(entries, codes.len(), meta.len(), weights.map_or(0, <[u8]>::len));
    let data = with_pointers(module, bytes, pointers);
    define(module, PROGRAM_SYMBOL, Linkage::Export, &data).map(drop)
}

/// Data with the addresses of other data at some offsets.
fn with_pointers(module: &mut dyn Module, bytes: Vec<u8>, pointers: Vec<(usize, DataId)>) -> DataDescription {
    let mut data = DataDescription::new();
    data.define(bytes.into());
    data.set_align(8);
    for (offset, target) in pointers {
        let target = module.declare_data_in_data(target, &mut data);
        data.write_data_addr(offset as u32, target, 0);
    }
    data
}

/// An [`abi::Code`] for each level.
fn define_codes(
    module: &mut dyn Module,
    target: &Target,
    codes: &[(Level, Functions)],
) -> Result<DataId, CodegenError> {
    let mut bytes = Vec::new();
    let mut pointers = Vec::new();
    for (level, functions) in codes {
        let start = bytes.len();
        bytes.resize(start + size_of::<abi::Code>(), 0);
        let number = start + offset_of!(abi::Code, level);
        bytes[number..number + 8].copy_from_slice(&target.level_number(*level).to_le_bytes());
        let level = level.name();
        let entries = define_table(module, &format!("mlc.{level}.entries"), &functions.entries)?;
        let plans = define_table(module, &format!("mlc.{level}.plans"), &functions.plans)?;
        pointers.push((start + offset_of!(abi::Code, entries), entries));
        pointers.push((start + offset_of!(abi::Code, plans), plans));
    }
    let data = with_pointers(module, bytes, pointers);
    define(module, "mlc.codes", Linkage::Local, &data)
}

/// An [`abi::Program`] with its pointers null.
fn program_bytes(entries: usize, codes: usize, meta: usize, weights: usize) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<abi::Program>()];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    let Ok(entries) = u32::try_from(entries) else { bug("too many entries") };
    put(offset_of!(abi::Program, abi), &abi::ABI_VERSION.to_le_bytes());
    put(offset_of!(abi::Program, entry_count), &entries.to_le_bytes());
    put(offset_of!(abi::Program, code_count), &(codes as u64).to_le_bytes());
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
