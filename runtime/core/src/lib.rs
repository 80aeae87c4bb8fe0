//! The part of the runtime that is in every product: no `std`, no dependencies, no globals.

#![no_std]

pub mod abi;
