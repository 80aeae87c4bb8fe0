//! mlc: an ahead-of-time compiler for deep-learning models. This crate is its public face:
//! [`model::Model`] for programs that use models, [`session::Session`] for those that compile them, [`cli`]
//! for people.
//!
//! All IO is here: reading sources, linking, writing products, printing. The crates below take text
//! and data and give data back.

pub mod budget;
pub mod cli;
pub mod digest;
pub mod emit;
pub mod explain;
pub mod failure;
pub mod foreign;
pub mod imports;
pub mod internal;
pub mod link;
pub mod memory;
pub mod meta;
pub mod model;
pub mod output;
pub mod prelude;
pub mod render;
pub mod session;
pub mod source;
pub mod testing;
pub mod timings;
pub mod tune;
pub mod weights;
