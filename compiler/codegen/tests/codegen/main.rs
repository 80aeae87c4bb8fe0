//! Compiled code against the Lane interpreter, and what a module, an object and an entry promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;
mod cases;
mod chains;
mod check;
mod guard;
#[path = "../../../kernel/tests/kernel/random_cells.rs"]
mod random_cells;
#[path = "../../../kernel/tests/kernel/random_loops.rs"]
mod random_loops;
mod run;

mod entry;
mod kept;
mod loops;
mod maths;
mod memory;
mod models;
mod object;
mod ops;
mod panels;
mod plan;
mod random;
mod traps;
