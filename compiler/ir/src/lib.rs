//! The graph of typed tensor ops with symbolic sizes, and what can be done to it without knowing
//! about machines: shape inference, verification, passes, autodiff, reference evaluation, index forms.
//!
//! No IO, no printing, no environment. User errors end in `mlc-resolve`; whatever fails here is a
//! bug of the compiler and goes through [`internal_error`].

pub mod autodiff;
pub mod builder;
pub mod cost;
pub mod dim;
pub mod flow;
pub mod foreign;
pub mod graph;
pub mod index;
pub mod index_eval;
pub mod interp;
pub mod made;
pub(crate) mod masks;
pub mod nested;
pub mod ops;
pub mod passes;
pub mod print;
pub mod region_ops;
pub mod rewrite;
pub mod scalar;
pub mod second_region;
pub mod segmented;
pub mod tensor;
pub mod ty;

pub mod verify;

/// A broken invariant: names the part of the compiler that found it. The command line turns the
/// panic into exit status 70 with a request for a report.
#[cold]
pub fn internal_error(part: &str, what: &str) -> ! {
    panic!("internal error in {part}: {what}")
}
