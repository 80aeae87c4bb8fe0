//! Tests of the kernel crate's invariants, in one binary.

mod common;
mod maths;
mod models;
mod ops;
mod plan;
mod random_graphs;
mod symbolic;
