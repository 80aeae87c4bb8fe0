//! Sizes, constants and instances (rules 4 to 6, 13).

use crate::common::{outcome, outcome_with};
use crate::run::{Machine, floats};
use crate::values::{f32s, near};

#[test]
fn equal_layers_do_not_share_weights_and_calls_do() {
    let text = "
layer Pair(C: dim) { a = Linear(C, bias: false); b = Linear(C, bias: false); fn forward(x: f32[B, In]) -> f32[B, C] { return a(x) - b(x) + a(x) } }
model M { ps = [Pair(c) for c in [3, 2]]
    @export fn f(x: f32[B, 4]) -> f32[B, 2] { for p in ps { x = p(x) } return x } }";
    let program = outcome("t.dl", text.replace("} return", "}; return").as_str()).program();
    assert_eq!(program.file_paths, ["ps.0.a.weight", "ps.0.b.weight", "ps.1.a.weight", "ps.1.b.weight"]);
    let machine = Machine::new(program, 0);
    let of = |path: &str| machine.globals[machine.global(path)].floats().to_vec();
    assert_ne!(of("ps.0.a.weight"), of("ps.0.b.weight"));
}

#[test]
fn constants_from_the_command_line() {
    let text = "
const N = 3
model M(V: dim, K: dim = 2) { @export fn f(x: f32[B]) -> f32[B] { return x * N + V * K } }";
    let without = outcome("t.dl", text).program();
    assert!(without.functions.is_empty());
    assert_eq!(without.not_exported[0].0, "f");
    let with = outcome_with("t.dl", text, &[("N", "5"), ("M.V", "10")]).program();
    let mut machine = Machine::new(with, 0);
    let entry = machine.function("f");
    let results = machine.call(entry, &[("x", f32s(&[1], &[1.0]))]);
    near(&floats(&results, "out"), &[25.0]);
    let wrong = outcome_with("t.dl", text, &[("Q", "5")]);
    assert_eq!(wrong.errors().len(), 1);
}

#[test]
fn requirements_become_facts() {
    let text = "
model M {
    @export fn f(x: f32[B, H, W, 1]) -> f32[B, H / 2, W / 2, 1] requires H % 4 == 0, W % 4 == 0 { return max_pool(x, 2) }
    @export fn g(x: f32[A], y: f32[B]) -> f32[A] requires A == B { return x + y }
    @export fn h(x: f32[T]) -> f32[T] requires T <= 8 { return x }
}";
    let program = outcome("t.dl", text).program();
    mlc_ir::verify::verify(&program.graph).unwrap();
    assert_eq!(program.graph.entries[program.functions[2].entry].checks.len(), 1);
}

#[test]
fn an_annotation_is_checked_when_the_program_runs() {
    let text = "model M { @export fn f(x: f32[B, T]) -> f32[B, 4] { y: f32[B, 4] = x; return y + ones([4]) } }";
    let program = outcome("t.dl", text).program();
    let entry = program.functions[0].entry;
    assert_eq!(program.graph.entries[entry].checks.len(), 1);
    let mut machine = Machine::new(program, 0);
    let results = machine.call(entry, &[("x", f32s(&[1, 4], &[1.0, 2.0, 3.0, 4.0]))]);
    near(&floats(&results, "out"), &[2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn two_instances_have_prefixes() {
    let text = "
model G(Z: dim = 2) { fc = Linear(3); @export fn forward(z: f32[B, Z]) -> f32[B, 3] { return fc(z) } }
model D { fc = Linear(1); fn forward(x: f32[B, 3]) -> f32[B, 1] { return fc(x) } }
train gan {
    g = G()
    d = D()
    g_opt = adam(lr: 2e-4, beta1: 0.5)
    d_opt = adam(lr: 2e-4, beta1: 0.5)
    step(real: f32[B, 3]) {
        fake   = g(normal([B, 2]))
        d_loss = bce_logits(d(real), 1) + bce_logits(d(fake), 0)
        g_loss = bce_logits(d(fake), 1)
        minimize d_loss over d with d_opt
        minimize g_loss over g with g_opt
    }
}";
    let program = outcome("t.dl", text).program();
    assert_eq!(program.trains[0].metrics, ["loss", "d_loss", "g_loss"]);
    let paths = &program.file_paths;
    assert!(
        paths.contains(&"g.fc.weight".to_string()) && paths.contains(&"d_opt.m.d.fc.bias".to_string()),
        "{paths:?}"
    );
    let mut machine = Machine::new(program, 0);
    let step = machine.program.trains[0].step;
    machine.call(step, &[("real", f32s(&[2, 3], &[0.5; 6]))]);
}
