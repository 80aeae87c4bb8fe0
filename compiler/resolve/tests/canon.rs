//! The awkward cores of well-known models resolve, and their gradients agree with finite differences.

mod common;

#[path = "common/grads.rs"]
mod grads;

use common::outcome;
use grads::check_gradients;

/// Static lists collect what a later loop takes up again in reverse; `zip` over lists.
#[test]
fn unet() {
    let program = outcome("unet.dl", include_str!("data/canon/unet.dl")).program();
    check_gradients(&program);
}

/// A stack scans like its leading axis: each expert gets its own rows.
#[test]
fn mixture_of_experts() {
    let program = outcome("moe.dl", include_str!("data/canon/moe.dl")).program();
    assert!(program.file_paths.iter().any(|path| path.starts_with("moe.experts.")), "{:?}", program.file_paths);
    check_gradients(&program);
}

/// A constant table in a layer, and a loop that draws fresh noise in each pass.
#[test]
fn diffusion() {
    let program = outcome("ddpm.dl", include_str!("data/canon/ddpm.dl")).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    assert_eq!(program.file_paths.iter().filter(|path| !path.starts_with("opt.")).count(), 2);
}

/// A gradient inside of a loss, and a second network that learns every fifth step.
#[test]
fn gradient_penalty() {
    let program = outcome("gp.dl", include_str!("data/canon/gp.dl")).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    assert!(program.file_paths.iter().any(|path| path.starts_with("g_opt.updates.")), "{:?}", program.file_paths);
    check_gradients(&program);
}

/// Stacked blocks with a cache each, read and written by one token at a time in a loop.
#[test]
fn gpt() {
    let program = outcome("gpt.dl", include_str!("data/canon/gpt.dl")).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    check_gradients(&program);
}

/// Two scans with attention between them, and a greedy search that stops by itself.
#[test]
fn sequence_to_sequence() {
    let program = outcome("seq2seq.dl", include_str!("data/canon/seq2seq.dl")).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    check_gradients(&program);
}
