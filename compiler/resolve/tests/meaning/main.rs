//! Small programs in the reference interpreter, with results computed by hand.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/grads.rs"]
mod grads;
#[path = "../common/run.rs"]
mod run;
#[path = "../common/values.rs"]
mod values;

mod axes;
mod indexing;
mod layers;
mod library;
mod loop_gradients;
mod numbers;
mod order;
mod own_gradients;
mod random;
mod random_gradients;
mod slopes;
mod training;
mod windows;
