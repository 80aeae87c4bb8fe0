//! From graph regions to kernels: fusion, Nest, Schedule, Tree, Lane, the Lane interpreter, and the
//! memory plan.
//!
//! [`lower::lower`] takes a verified graph and gives the [`program::Program`] that `mlc-codegen` turns
//! into machine code. The forms in a row: a fused group of ops ([`fuse`]) becomes a [`nest::Nest`]
//! (what is computed, and in which order sums are taken), a [`schedule::Schedule`] (how) turns it into a
//! [`tree::Tree`] of loops, and that into [`lane::Lane`] code, which [`interp`] can run exactly.

pub mod budget;
pub mod expr;
pub mod fuse;
pub mod inline;
pub mod interp;
pub mod knobs;
pub mod lane;
pub mod lane_print;
pub mod lane_verify;
pub mod layout;
pub mod lower;
pub mod nest;
pub mod panels;
pub mod plan;
pub mod print;
pub mod program;
pub mod rows;
pub mod run;
pub mod schedule;
pub mod to_lane;
pub mod tree;
mod widths;
