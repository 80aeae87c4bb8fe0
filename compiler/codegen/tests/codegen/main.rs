//! Compiled code against the Lane interpreter, and what a module, an object and an entry promise.

mod build;
mod check;
mod guard;

mod memory;
mod ops;
