//! Random bodies of loops that take gradients in every way: the loop against the unrolled one.

use crate::common::outcome;
use crate::run::Machine;
use crate::values::{f32s, numbers};
use mlc_ir::ops::Op;
use mlc_resolve::program::Program;
use mlc_syntax::codes::Code;

/// So many programs.
const PROGRAMS: u64 = 16;

/// A small generator of numbers.
struct Draw(u64);

impl Draw {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }

    fn of(&mut self, choices: &[&str]) -> String {
        choices[self.below(choices.len())].to_string()
    }

    fn scalar(&mut self) -> String {
        self.of(&["sum(h * h)", "sum(sin(g) * h)", "sum(g * g * x[t])", "sum(cos(h))", "h[1] * s", "sum(h @ w)"])
    }

    /// A row of a gradient by something from outside.
    fn row(&mut self) -> String {
        let by = self.of(&["(Y, w)[1]", "(Y, x)[t]", "(Y, w)[t]"]);
        format!("gradient{}", by.replace('Y', &format!("{} + 0.01 * sum(w) * sum(x)", self.scalar())))
    }

    fn statement(&mut self, depth: usize) -> String {
        match self.below(if depth < 2 { 12 } else { 9 }) {
            0 => "h = tanh(h @ w + x[t])".into(),
            1 => "h = 0.8 * h + 0.3 * sin(g)".into(),
            2 => format!("g = 0.7 * g + 0.2 * {}", self.row()),
            3 => format!("s = 0.5 * s + 0.1 * sum({})", self.row()),
            4 => format!("h = 0.9 * h - 0.1 * stop_gradient({})", self.row()),
            5 => format!("g = g - 0.1 * gradient({} + 0.1 * sum(g * h), g)", self.scalar()),
            6 => format!("k = {}; g = 0.5 * g + 0.1 * gradient(sum(sin(k)) + sum(w * w), w)[0]", self.row()),
            7 => format!("h = h + 0.1 * sign({})", self.row()),
            8 => "g = sin(g + x[t] * h)".into(),
            9 => format!("for UD in 0..2 {{ {} }}", self.statements(depth + 1)).replace("UD", &format!("u{depth}")),
            10 => {
                let (then, otherwise) = (self.statements(depth + 1), self.statements(depth + 1));
                format!("if {} > 0.1 {{ {then} }} else {{ {otherwise} }}", self.of(&["h[0]", "s", "g[2]"]))
            }
            _ => format!("for UD in 0..4 while UD < t {{ {} }}", self.statements(depth + 1))
                .replace("UD", &format!("u{depth}")),
        }
    }

    fn statements(&mut self, depth: usize) -> String {
        let count = if depth == 0 { 1 + self.below(3) } else { 1 };
        (0..count).map(|_| self.statement(depth)).collect::<Vec<_>>().join("; ")
    }
}

/// The program, or the codes of its errors.
fn program(passes: &str, body: &str) -> Result<Program, Vec<Code>> {
    let text = format!(
        "model M {{
            @export
            fn f(x: f32[3, 3], w: f32[3, 3]) -> (h: f32[3], g: f32[3], s: f32, by_x: f32[3, 3], by_w: f32[3, 3]) {{
                h = mean(x, axis: 0)
                g = w[1] * 0.5
                s = sum(x) * 0.1
                for t in {passes} {{ {body} }}
                y = sum(h * h) + sum(sin(g)) + s + 0.01 * sum(w) * sum(x)
                return h, g, s, gradient(y, x), gradient(y, w)
            }}
        }}"
    );
    let outcome = outcome("t.dl", &text);
    let codes = outcome.errors().iter().map(|error| error.code).collect();
    outcome.program.ok_or(codes)
}

fn results(program: Program) -> Vec<f64> {
    let mut machine = Machine::new(program, 0);
    let entry = machine.function("f");
    let some = |factor: usize| (0..9).map(|at| ((at * factor % 11) as f32 - 5.0) / 7.0).collect::<Vec<f32>>();
    let found = machine.call(entry, &[("x", f32s(&[3, 3], &some(7))), ("w", f32s(&[3, 3], &some(4)))]);
    found.named.values().flat_map(numbers).collect()
}

fn keeps_its_loop(program: &Program) -> bool {
    let region = program.graph.region(program.graph.entries[program.functions[0].entry].region);
    region.nodes.iter().any(|node| matches!(&node.op, Op::Loop(op) if op.trip.bound().is(3)))
}

#[test]
fn loops_mean_what_they_mean_unrolled() {
    let (mut compared, mut kept) = (0, 0);
    for seed in 0..PROGRAMS {
        let body = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).statements(0);
        let unrolled = program("[0, 1, 2]", &body.replace("in 0..2 {", "in [0, 1] {"));
        let looped = program("0..3", &body);
        match (looped, unrolled) {
            (Ok(looped), Ok(unrolled)) => {
                kept += usize::from(keeps_its_loop(&looped));
                compared += 1;
                let (found, expected) = (results(looped), results(unrolled));
                for (found, expected) in found.iter().zip(&expected) {
                    let scale = 1.0 + expected.abs();
                    assert!((found - expected).abs() < 2e-4 * scale, "{seed}: {found}, not {expected}: {body}");
                }
            }
            // Gradients of gradients of gradients have an end.
            (a, b) => {
                for codes in [a.err(), b.err()].into_iter().flatten() {
                    assert!(codes.contains(&Code::E0003), "{seed}: {codes:?}: {body}");
                }
            }
        }
    }
    assert!(compared * 10 > PROGRAMS as usize * 8 && kept * 4 > compared, "{compared} compared, {kept} loops");
}
