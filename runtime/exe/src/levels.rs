//! A program has code for one or more processor levels; which of them runs.

use crate::error::{Failure, Result};
use mlc_rt_core::abi::{Code, Program};
use mlc_rt_core::cpu::{self, Level};

/// The codes of a program, the lowest level first.
///
/// # Safety
///
/// `program` must be a compiled program.
unsafe fn codes(program: &Program) -> &[Code] {
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(program.codes, program.code_count) }
}

/// The levels that a program has code for, the lowest first.
///
/// # Safety
///
/// `program` must be a compiled program.
pub unsafe fn levels(program: &Program) -> Vec<Level> {
    // SAFETY: by this function's contract.
    unsafe { codes(program) }.iter().filter_map(|code| Level::from_number(code.level)).collect()
}

/// The code for the highest level that this processor has.
///
/// # Safety
///
/// `program` must be a compiled program.
pub unsafe fn code(program: &Program) -> Result<&Code> {
    let here = cpu::detect();
    // SAFETY: by this function's contract.
    let codes = unsafe { codes(program) };
    let runs = |code: &&Code| Level::from_number(code.level).is_some_and(|level| level <= here);
    codes.iter().rev().find(runs).ok_or_else(|| {
        let least = codes.first().and_then(|code| Level::from_number(code.level)).map_or("newer", Level::name);
        Failure::plain(format!("this program needs an x86-64-{least} processor, this one has {}", here.name()))
            .help("build it with a lower `--cpu`")
    })
}
