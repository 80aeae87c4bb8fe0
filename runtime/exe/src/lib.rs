//! The part of the runtime in executables: command line, readers, training driver, checkpoints.
//!
//! [`main_with`] is the whole of a compiled program beside its own code. `mlc run` calls it with code in
//! memory, an executable with its own; so both behave the same to the byte. It depends on `std` and
//! `mlc-rt-core` alone, because `mlc`'s build script compiles the two without cargo.
//!
//! Exit status: 0 done, 1 the user's data or weights are wrong, 2 wrong command line, 70 internal error.
//! Results go to stdout, diagnostics and progress to stderr.

#![allow(unexpected_cfgs, reason = "`mlc_product` is set by mlc's build script, which doesn't use cargo")]

pub mod args;
pub mod call;
pub mod commands;
pub mod cx;
pub mod data;
pub mod dim;
pub mod dtype;
pub mod error;
pub mod files;
pub mod image;
pub mod inflate;
pub mod instance;
pub mod json;
mod levels;
pub mod mem;
pub mod meta;
pub mod npy;
mod order;
pub mod philox;
#[cfg(mlc_product)]
mod product;
pub mod show;
pub mod sizes;
pub mod tensor;
pub mod threads;
pub mod train;
pub mod weights;

pub use cx::Host;

/// Parts of the runtime that a program has only if it uses them. `mlc` links those into an executable
/// that its pipelines need; `mlc run` has all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// What reads pictures.
    pub images: Option<&'static ImagePart>,
}

impl Parts {
    /// All of them.
    pub const ALL: Self = Self { images: Some(&IMAGES) };
}

/// What reads pictures.
#[derive(Debug)]
pub struct ImagePart {
    /// Reads a folder of PNG and JPEG files.
    pub read: data::images::Read,
}

impl ImagePart {
    /// The part itself. Nothing in executables refers to it but the static that the linker may drop.
    pub const HERE: Self = Self { read: data::images::read };
}

static IMAGES: ImagePart = ImagePart::HERE;

use mlc_rt_core::abi::Program;
use std::io::Write;

/// Runs a command line (without the program's name) and returns the exit status.
///
/// # Safety
///
/// `program` must be what the compiler made: its pointers and lengths are right, and its code, its
/// metadata and its weights belong together.
pub unsafe fn main_with(program: &Program, host: &Host<'_>, args: &[String]) -> i32 {
    // SAFETY: passed on.
    match unsafe { run(program, host, args) } {
        Ok(()) => 0,
        Err(failure) => {
            // Nobody is left to tell if this fails.
            let _ = std::io::stderr().lock().write_all(failure.render().as_bytes());
            failure.status()
        }
    }
}

/// As [`main_with`].
///
/// # Safety
///
/// As [`main_with`].
unsafe fn run(program: &Program, host: &Host<'_>, args: &[String]) -> error::Result<()> {
    match args::parse(host.program, args)? {
        args::Line::Help(text) => cx::print(&text),
        args::Line::Run(args) => {
            // SAFETY: passed on.
            let cx = unsafe { cx::Cx::new(program, *host) }?;
            commands::dispatch(&cx, &args)
        }
    }
}
