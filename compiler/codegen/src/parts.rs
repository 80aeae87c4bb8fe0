//! The table that says which optional parts of the runtime an executable has.
//!
//! It is an object of its own, so that a model's object refers to nothing of the runtime; a part that no
//! table refers to is dropped by the linker.

use crate::error::CodegenError;
use crate::jit::libcall_name;
use crate::object::define;
use crate::target::{Level, Optimize, Place, Target};
use cranelift_module::{DataDescription, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};
use mlc_rt_core::abi;

/// The table as an object file; `used` says of each of [`abi::PARTS`] whether the program needs it.
///
/// # Errors
/// There is no code generator for the target.
pub fn compile_parts(target: &Target, used: [bool; abi::PARTS.len()]) -> Result<Vec<u8>, CodegenError> {
    let refused = |error: cranelift_module::ModuleError| CodegenError::Object(error.to_string());
    let isa = target.isa(Level::V2, Place::Object, Optimize::Fully)?;
    let builder = ObjectBuilder::new(isa, "mlc.parts", Box::new(libcall_name)).map_err(refused)?;
    let mut module = ObjectModule::new(builder);
    let mut table = DataDescription::new();
    table.define(vec![0; abi::PARTS.len() * 8].into());
    table.set_align(8);
    for ((name, _), offset) in abi::PARTS.iter().zip(used).zip((0u32..).step_by(8)).filter(|((_, used), _)| *used) {
        let part = module.declare_data(name, Linkage::Import, false, false).map_err(refused)?;
        let part = module.declare_data_in_data(part, &mut table);
        table.write_data_addr(offset, part, 0);
    }
    define(&mut module, abi::PARTS_SYMBOL, Linkage::Export, &table)?;
    module.finish().emit().map_err(|error| CodegenError::Object(error.to_string()))
}
