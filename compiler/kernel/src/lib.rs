//! From graph regions to kernels: fusion, Nest, Schedule, Tree, Lane, the Lane interpreter, and the
//! memory plan.

pub mod lane;
pub mod program;
