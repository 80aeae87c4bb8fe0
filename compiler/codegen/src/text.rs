//! What a function became, to be read.

use crate::error::{CodegenError, bug};
use crate::functions::{Callees, KnownPlans, Part, part_name, parts, sort};
use crate::module::{Compiler, Options};
use crate::target::{Place, Target};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_module::FuncId;
use iced_x86::{Code as IcedCode, Decoder, DecoderOptions, Formatter, GasFormatter};
use mlc_kernel::program::Program;

/// The CLIF of the kernels and entries named `name`, before Cranelift's own passes.
pub fn clif_text(program: &Program, target: &Target, options: &Options, name: &str) -> Result<String, CodegenError> {
    let compiler = Compiler::new(program, target, options, Place::Jit)?;
    print(&compiler, name, |part, function| format!("; {}\n{function}", part_name(program, options.level, part)))
}

/// The machine code of the kernels and entries named `name`.
pub fn asm_text(program: &Program, target: &Target, options: &Options, name: &str) -> Result<String, CodegenError> {
    let compiler = Compiler::new(program, target, options, Place::Jit)?;
    print(&compiler, name, |part, function| {
        let text = match compiler.wide_code(part) {
            Some(bytes) => wide_disassembly(&bytes),
            None => disassembly(&compiler, part, function),
        };
        format!("; {}\n{text}", part_name(program, options.level, part))
    })
}

fn print(
    compiler: &Compiler<'_>,
    name: &str,
    print_one: impl Fn(Part, Function) -> String,
) -> Result<String, CodegenError> {
    let program = compiler.program;
    let plans = KnownPlans::default();
    let parts = parts(program, &plans);
    let ids: Vec<FuncId> = (0..parts.len() as u32).map(FuncId::from_u32).collect();
    let numbered = |(at, symbol): (usize, _)| (symbol, FuncId::from_u32((parts.len() + at) as u32));
    let foreign = program.foreign_symbols().into_iter().enumerate().map(numbered).collect();
    let functions = sort(&parts, &ids, &plans, Callees::new(program, foreign));
    let wanted = parts.iter().zip(&ids).filter(|(part, _)| match **part {
        Part::Kernel(n) => program.kernels[n].name == name,
        Part::Runner => false,
        Part::Entry(n) | Part::Piece(n, _) | Part::Bands(n, _) | Part::Chain(n, _) | Part::Kept(n) | Part::Plan(n) => {
            program.entries[n].name == name
        }
    });
    let texts: Vec<String> = wanted
        .map(|(&part, &id)| {
            let function = compiler.function(part, id, &functions);
            print_one(part, function)
        })
        .collect();
    if texts.is_empty() { Err(CodegenError::NoSuchFunction(name.to_string())) } else { Ok(texts.join("\n")) }
}

fn disassembly(compiler: &Compiler<'_>, part: Part, function: Function) -> String {
    let mut context = Context::for_function(function);
    context.set_disasm(true);
    match context.compile(compiler.isa_of(part), &mut ControlPlane::default()) {
        Ok(code) => code.vcode.clone().unwrap_or_default(),
        Err(error) => bug(&format!(
            "Cranelift refuses `{}`: {:?}",
            part_name(compiler.program, compiler.level, part),
            error.inner
        )),
    }
}

/// Of code that the wide emitter made: AT&T syntax, as Cranelift prints, with positions; behind the
/// last `ret` are constants.
fn wide_disassembly(bytes: &[u8]) -> String {
    let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
    let mut formatter = GasFormatter::new();
    let mut text = String::new();
    while decoder.can_decode() {
        let inst = decoder.decode();
        let mut line = String::new();
        formatter.format(&inst, &mut line);
        text.push_str(&format!("{:6x}: {line}\n", inst.ip()));
        if inst.code() == IcedCode::Retnq {
            break;
        }
    }
    text
}
