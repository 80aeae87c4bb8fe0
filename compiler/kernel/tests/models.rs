//! Whole training steps: fused kernels on the Lane interpreter against reference evaluation.

mod common;

use common::*;
use mlc_ir::dim::Dim;
use mlc_ir::graph::Graph;

#[test]
fn every_kernel_of_a_training_step_is_well_formed() {
    let graph: Graph = mlc_benches::cnn_step(32);
    lowered(&graph);
    let _ = Dim::one();
}
