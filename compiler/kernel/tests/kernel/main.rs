//! Tests of the kernel crate's invariants, in one binary.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod bands;
mod budget;
mod chains;
mod checkpoint;
mod common;
mod draws;
mod endings;
mod golden;
mod knobs;
mod loops;
mod maths;
mod models;
mod ops;
mod parts;
mod plan;
mod random_cells;
mod random_graphs;
mod random_loops;
mod segmented;
mod symbolic;
mod widths;
mod windows;
