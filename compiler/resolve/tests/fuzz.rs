//! No text makes the resolver panic: programs with random edits, and programs made to exhaust it.

mod common;

use common::outcome;

/// xorshift64*, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Words that stand where other words stood.
const WORDS: &[&str] = &[
    "x",
    "image",
    "B",
    "Classes",
    "0",
    "-1",
    "2.5",
    "1000000000000",
    "conv1",
    "fc1",
    "relu",
    "softmax",
    "flatten",
    "net",
    "opt",
    "true",
    "f32",
    "i32",
    "[B, 10]",
    "[*S]",
    "_",
    "...",
    "(x, x)",
    "argmax",
    "label",
    "axis: 1",
    "over: B",
    "new",
    "sum",
    "max_pool",
    "Conv2d",
    "Linear",
    "cross_entropy",
    "training",
    "inf",
    "\"relu\"",
    "zeros",
    "for i in 0..3 { x = x + 1 }",
    "requires B == 2",
    "@",
    "/",
    "**",
    "|>",
    "uniform",
    "reshape",
    "split",
    "concat",
    "where",
    "idx",
    "batch",
    "evaluate",
    "valid",
    "check_grad",
];

fn words(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_alphanumeric() || c == '_') {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, at));
                start = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    found
}

/// The text with some words replaced, dropped, doubled or swapped.
fn mutated(text: &str, dice: &mut Dice) -> String {
    let mut text = text.to_string();
    for _ in 0..1 + dice.below(4) {
        let places = words(&text);
        let (from, to) = places[dice.below(places.len())];
        let (other_from, other_to) = places[dice.below(places.len())];
        let put = match dice.below(4) {
            0 => WORDS[dice.below(WORDS.len())].to_string(),
            1 => text[other_from..other_to].to_string(),
            2 => String::new(),
            _ => format!("{0}({0})", &text[from..to]),
        };
        text.replace_range(from..to, &put);
    }
    text
}

fn survives(text: &str) {
    let found = std::panic::catch_unwind(|| {
        let outcome = outcome("fuzz.dl", text);
        if let Some(program) = &outcome.program {
            mlc_ir::verify::verify(&program.graph).map_err(|broken| broken.to_string()).expect("a well-formed graph");
        }
    });
    assert!(found.is_ok(), "this program panics:\n{text}");
}

#[test]
fn edited_programs() {
    let seeds = [
        include_str!("../../../dsl-examples/cnn.dl"),
        include_str!("../../../dsl-examples/mlp.dl"),
        include_str!("data/features.dl"),
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(250);
    for round in 0..rounds {
        survives(&mutated(seeds[round % seeds.len()], &mut dice));
    }
}

#[test]
fn the_unedited_programs_have_no_errors() {
    let text = outcome("features.dl", include_str!("data/features.dl"));
    assert!(text.program.is_some(), "{}", text.text());
}

#[test]
fn deep_and_wide_programs() {
    let nested = format!(
        "model M {{ @export fn f(x: f32[B]) -> f32[B] {{ return {}x{} }} }}",
        "sin(".repeat(150),
        ")".repeat(150)
    );
    let chain: String =
        (0..300).map(|at| format!("fn f{at}(x: f32[B]) -> f32[B] {{ return f{}(x) }}\n", at + 1)).collect();
    let chain = format!(
        "{chain}fn f300(x: f32[B]) -> f32[B] {{ return x }}\nmodel M {{ @export fn f(x: f32[B]) -> f32[B] {{ return f0(x) }} }}"
    );
    let doubling: String = (0..40)
        .map(|at| format!("fn f{at}(x: f32[B]) -> f32[B] {{ return f{0}(x) + f{0}(sin(x)) }}\n", at + 1))
        .collect();
    let doubling = format!(
        "{doubling}fn f40(x: f32[B]) -> f32[B] {{ return x }}\nmodel M {{ @export fn f(x: f32[B]) -> f32[B] {{ return f0(x) }} }}"
    );
    let lists = "model M { a = [[[[i for i in 0..1000] for i in 0..1000] for i in 0..1000] for i in 0..1000]; @export fn f(x: f32[B]) -> f32[B] { return x } }".to_string();
    let layers: String = (0..30)
        .map(|at| {
            format!(
                "layer L{at} {{ a = L{0}(); b = L{0}(); fn forward(x: f32[B, 1]) -> f32[B, 1] {{ return a(x) }} }}\n",
                at + 1
            )
        })
        .collect();
    let layers = format!(
        "{layers}layer L30 {{ fn forward(x: f32[B, 1]) -> f32[B, 1] {{ return x }} }}\nmodel M {{ l = L0(); @export fn f(x: f32[B, 1]) -> f32[B, 1] {{ return l(x) }} }}"
    );
    for text in [nested, chain, doubling, lists, layers] {
        survives(&text);
    }
}
