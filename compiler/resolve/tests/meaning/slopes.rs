//! Gradients of a loss by its one parameter.

use crate::common::outcome;
use crate::run::{Machine, floats};
use crate::values::f32s;

/// The gradient of `loss` by a parameter `x` with these values.
pub fn slope(shape: &str, values: &str, loss: &str) -> Vec<f64> {
    let text = format!(
        "model M {{ param x: f32[{shape}] = 0; fn forward(v: f32[{shape}]) -> f32 {{ y = x + v; return {loss} }} }}
         train t {{ net = M(); opt = sgd(lr: 0.0); step(v: f32[{shape}]) {{ minimize net(v) over net with opt }} }}"
    );
    let mut machine = Machine::new(outcome("t.dl", &text).program(), 0);
    let grads = machine.program.trains[0].grads.expect("gradients");
    let sizes: Vec<usize> = shape.split(", ").map(|size| size.parse().expect("a size")).collect();
    let values: Vec<f32> = values.split(' ').map(|value| value.parse().expect("a number")).collect();
    floats(&machine.call(grads, &[("v", f32s(&sizes, &values))]), "x")
}
