//! Whole training steps: fused kernels on the Lane interpreter against reference evaluation.

use crate::common::{Rng, assert_close, bytes, concrete, lowered, tensor};
use mlc_ir::graph::{Graph, Input, Output};
use mlc_ir::tensor::{Tensor, extents};
use mlc_kernel::run::{Memory, Outcome, Tiles, run_tiles};

#[test]
fn every_kernel_of_a_training_step_is_well_formed() {
    lowered(&mlc_benches::cnn_step(32));
}
