//! The awkward cores of well-known models resolve, and their gradients agree with finite differences.

mod common;

#[path = "common/grads.rs"]
mod grads;

use common::outcome;
use grads::check_gradients;
use mlc_resolve::program::Program;

/// The program of a file under `data/canon`; its gradient checks hold.
fn checked(name: &str, text: &str) -> Program {
    let program = outcome(name, text).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    check_gradients(&program);
    program
}

macro_rules! canon {
    ($($(#[$about:meta])* $name:ident)*) => {$(
        $(#[$about])*
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".dl");
            checked(file, include_str!(concat!("data/canon/", stringify!($name), ".dl")));
        }
    )*};
}

canon! {
    /// A static `if` between two layers; sizes are rounded up by strides and still agree.
    resnet
    /// Static lists collect what a later loop takes up again in reverse; `zip` over lists.
    unet
    /// Layers that run backwards in time under a mask.
    bilstm
    /// Keys of another length than the queries, and a mask over them.
    transformer
    /// A function that takes a network; params by rank.
    bert
    /// Sizes that are powers of quotients.
    vit
    /// Heads that share keys; angles that are formulas of sizes.
    llama
    /// A loss that is a function of the model.
    vae
    /// A scalar parameter made of a formula, and a loss in both directions.
    clip
    /// A twin that follows; columns with the names of keywords.
    dqn
    /// Dilations that are powers of the index of a list.
    wavenet
    /// A constant table in a layer, and a loop that draws fresh noise in each pass.
    ddpm
    /// Stacked blocks with a cache each, read and written by one token at a time in a loop.
    gpt
    /// Two scans with attention between them, and a greedy search that stops by itself.
    seq2seq
    /// Tying, other precision, two tasks and lengths.
    small
}

/// A stack scans like its leading axis: each expert gets its own rows.
#[test]
fn mixture_of_experts() {
    let program = checked("moe.dl", include_str!("data/canon/moe.dl"));
    assert!(program.file_paths.iter().any(|path| path.starts_with("moe.experts.")), "{:?}", program.file_paths);
}

/// A gradient inside of a loss, and a second network that learns every fifth step.
#[test]
fn gradient_penalty() {
    let program = checked("wgan.dl", include_str!("data/canon/wgan.dl"));
    assert!(program.file_paths.iter().any(|path| path.starts_with("g_opt.updates.")), "{:?}", program.file_paths);
}

/// Rows that change places, and a length that is known at the end.
#[test]
fn beam_search() {
    let program = outcome("beam.dl", include_str!("data/canon/beam.dl")).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
}
