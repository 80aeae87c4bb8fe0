//! What `requires` and divisions in signatures say is known wherever it was said on the way from an
//! entry, and an entry takes only what keeps to it.

mod common;

use common::outcome;
use mlc_resolve::program::Program;

/// The types of the arguments of the entry called `name`.
fn arguments(program: &Program, name: &str) -> Vec<String> {
    let entry = program.graph.entries.iter().find(|entry| entry.name == name).expect("an entry of that name");
    let region = program.graph.region(entry.region);
    let count = entry.inputs.iter().filter(|input| matches!(input, mlc_ir::graph::Input::Arg(_))).count();
    region.params[..count].iter().map(|param| format!("{:?}", region.ty(*param).shape)).collect()
}

fn program(text: &str) -> Program {
    let program = outcome("facts.dl", text).program();
    mlc_ir::verify::verify(&program.graph).expect("the graph is well formed");
    program
}

/// A step has no `requires`; what it calls has.
#[test]
fn a_requirement_of_what_a_step_calls() {
    let program = program(
        "model M {
            a = Conv2d(2, kernel: 3, stride: 2, padding: \"same\")
            b = ConvTranspose2d(1, kernel: 2, stride: 2)
            fn forward(x: f32[B, H, W, 1]) -> f32[B, H, W, 1] requires H % 2 == 0, W % 2 == 0 { return b(a(x)) + x }
        }
        train t {
            net = M()
            opt = sgd(lr: 0.1)
            step(x: f32[B, H, W, 1]) { minimize mean(net(x)) over net with opt }
        }",
    );
    for entry in ["t.step", "t.eval", "t.grads"] {
        assert_eq!(arguments(&program, entry).len(), 1);
        assert_eq!(arguments(&program, entry)[0].matches("2*s").count(), 2, "{:?}", arguments(&program, entry));
    }
}

/// Each of three halvings asks for its own share.
#[test]
fn requirements_add_up() {
    let program = program(
        "layer Half { fn forward(x: f32[B, T, 1]) -> f32[B, T / 2, 1] { return x[:, 0:T / 2] + x[:, T / 2:] } }
        layer Sixth { fn forward(x: f32[B, T, 1]) -> f32[B, T / 6, 1] {
            return sum(rearrange(x, \"b (t six) d -> b t six d\", six: 6), axis: 2)
        } }
        model M {
            halves = [Half() for i in 0..3]
            sixth = Sixth()
            @export fn f(x: f32[B, T, 1]) -> f32[B, T / 8, 1] {
                for half in halves { x = half(x) }
                return x
            }
            @export fn g(x: f32[B, T, 1]) -> f32[B, T / 12, 1] { return sixth(halves[0](x)) }
            @export fn h(x: f32[B, T, 1]) -> f32[B, T / 4, 1] requires T % 6 == 0 { return halves[1](halves[0](x)) }
        }",
    );
    assert!(arguments(&program, "f")[0].contains("8*s"), "{:?}", arguments(&program, "f"));
    assert!(arguments(&program, "g")[0].contains("12*s"), "{:?}", arguments(&program, "g"));
    assert!(arguments(&program, "h")[0].contains("12*s"), "{:?}", arguments(&program, "h"));
}

/// Two names for one size.
#[test]
fn equal_sizes() {
    let program = program(
        "fn pair(x: f32[B, S], y: f32[B, T]) -> f32[B, S] requires S == T { return x + y }
        model M {
            @export fn f(x: f32[B, P], y: f32[B, Q], z: f32[B, R]) -> f32[B, P] requires Q == R, P % 4 == 0 {
                return pair(pair(x, y), z)
            }
        }",
    );
    let arguments = arguments(&program, "f");
    assert!(arguments.iter().all(|ty| *ty == arguments[0] && ty.contains("4*s")), "{arguments:?}");
}

/// What is not said stays unknown.
#[test]
fn nothing_is_assumed() {
    let refused = |text: &str, code: &str| {
        let text = outcome("facts.dl", text).text();
        assert!(text.starts_with(code), "{text}");
    };
    refused("model M { @export fn f(x: f32[B, T]) -> f32[B, _] { return x[:, 0:T / 2] } }", "E0113");
    refused(
        "fn g(x: f32[B, S]) -> f32[B, S] requires S % 3 == 0 { return x }
        model M { @export fn f(x: f32[B, T]) -> f32[B, _] { return g(x)[:, 0:T / 2] } }",
        "E0113",
    );
    refused(
        "fn g(x: f32[B, S], y: f32[B, T]) -> f32[B, S] requires S <= T { return x + y }
        model M { @export fn f(x: f32[B, S], y: f32[B, T]) -> f32[B, S] { return g(x, y) } }",
        "E0105",
    );
}
