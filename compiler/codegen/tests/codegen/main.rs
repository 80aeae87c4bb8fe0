//! Compiled code against the Lane interpreter, and what a module, an object and an entry promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;
mod cases;
mod check;
mod guard;

mod entry;
mod memory;
mod models;
mod object;
mod ops;
mod plan;
mod random;
mod traps;
