//! The example programs resolve.

mod common;

use common::outcome;

#[test]
fn cnn() {
    let program = outcome("cnn.dl", include_str!("../../../dsl-examples/cnn.dl")).program();
    assert_eq!(program.functions.len(), 2);
}

#[test]
fn mlp() {
    let program = outcome("mlp.dl", include_str!("data/mlp.dl")).program();
    assert_eq!(program.functions.len(), 2);
}
