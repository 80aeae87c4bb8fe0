//! The part of the runtime that is in every product: no `std`, no allocation, no dependencies, no globals.
//!
//! It holds the interface to compiled code, the thread pool that runs kernels, the reader of weight
//! files and the test of what the processor can do. Left out on purpose: everything that opens
//! files, prints or allocates; that is `mlc-rt-exe`.

#![no_std]

pub mod abi;
pub mod cpu;
pub mod json;
pub mod pool;
pub mod safetensors;
mod sys;
