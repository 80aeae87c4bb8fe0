//! Weights that are put into a product: checked against the program before anything is compiled.

use crate::failure::Failure;
use crate::output::reason;
use mlc_ir::graph::{Global, GlobalKind};
use mlc_ir::ty::{DType, Type};
use mlc_resolve::program::Program;
use mlc_rt_core::safetensors::{SafeTensors, Tensor};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::path::Path;

/// The bytes of the safetensors file at `path`, which has every weight and state of `program`.
///
/// # Errors
/// E0302: it can't be read, is damaged, or has another tensor.
pub fn read(path: &Path, program: &Program) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| wrong(path, &reason(&error)))?;
    let file = SafeTensors::parse(&bytes).map_err(|error| wrong(path, error.text()))?;
    let globals = program.graph.globals.iter().zip(&program.file_paths);
    let saved = |kind: GlobalKind| matches!(kind, GlobalKind::Param | GlobalKind::State);
    for (global, name) in globals.filter(|(global, _)| saved(global.kind)) {
        check(&file, global, name).map_err(|what| wrong(path, &what))?;
    }
    Ok(bytes)
}

fn check(file: &SafeTensors, global: &Global, name: &str) -> Result<(), String> {
    let Some(tensor) = file.find(name).map_err(|error| error.text().to_string())? else {
        return Err(format!("it has no `{name}`"));
    };
    if matches(&tensor, &global.ty) {
        return Ok(());
    }
    let shape = tensor.shape.dims();
    let dtype: String = tensor.dtype.chars().collect();
    Err(format!("`{name}` is {dtype} {shape:?}, the program has {}", global.ty.display(&[])))
}

fn matches(tensor: &Tensor, ty: &Type) -> bool {
    let name = match ty.dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::I32 => "I32",
        DType::I64 => "I64",
        DType::U8 => "U8",
        DType::I8 => "I8",
        DType::Bool => "BOOL",
    };
    let shape = tensor.shape.dims();
    tensor.dtype.is(name)
        && shape.len() == ty.rank()
        && shape.iter().zip(&ty.shape).all(|(&size, dim)| i64::try_from(size).is_ok_and(|size| dim.is(size)))
}

fn wrong(path: &Path, what: &str) -> Failure {
    Diagnostic::error_without_place(Code::E0302, format!("the weights in `{}` can't be used: {what}", path.display()))
        .into()
}
