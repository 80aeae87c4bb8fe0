//! Compiled code against the Lane interpreter, and what a module, an object and an entry promise.

mod build;
mod check;
mod guard;

mod entry;
mod memory;
mod object;
mod ops;
mod plan;
mod random;
mod traps;
