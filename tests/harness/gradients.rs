//! `gradient(y, x)` through loops in machine code: against the reference interpreter, against unrolled loops, and
//! in a training.

use mlc::model::Array;
use mlc::session::{Options, Session};
use mlc_ir::interp;
use mlc_ir::tensor::Tensor;
use mlc_tests::arrays::difference;
use mlc_tests::level;
use mlc_tests::npy;
use mlc_tests::programs::Program;
use mlc_tests::weights::{self, distance};
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// Gradients in bodies: by weights, by all rows, of gradients, in a branch, with a number of passes that the data
/// decides, and of examples that never meet.
const BODIES: &str = "
model M {
    @export
    fn by_weights(x: f32[T, B, 3], w: f32[3, 3]) -> (first: f32[T, 3, 3], second: f32[T, 3, 3], h: f32[B, 3]) {
        h, first, second = scan h = zeros([B, 3]) for x_t in x along T {
            h = tanh(h @ w + x_t)
            g = gradient(sum(h * h), w)
            yield g, gradient(sum(sin(g)), w)
        }
        return first, second, h
    }

    @export
    fn by_rows(x: f32[T, B, 3], w: f32[3, 3]) -> (all: f32[T, T, B, 3], own: f32[T, B, 3]) {
        h, all, own = scan h = zeros([B, 3]) for x_t in x along T {
            h = sin(h @ w) + x_t * x_t
            yield gradient(sum(h * h * h), x), gradient(sum(h), x_t)
        }
        return all, own
    }

    @export
    fn until(x: f32[T, B, 3], w: f32[3, 3]) -> (g: f32[3, 3], best: f32[3, 3], count: i32) {
        h = x[0]
        g = zeros([3, 3])
        best = zeros([3, 3])
        count = 0
        for i in 0..20 while sum(h * h) < 3 * B {
            h = h @ w * 1.5 + x[1]
            if i % 2 == 0 { g = gradient(sum(h * h), w) }
            best = maximum(best, g)
            count += 1
        }
        return g, best, count
    }
}
";

fn some(count: usize, factor: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * factor % 23) as f32 - 11.0) / 12.0).collect()
}

#[test]
fn machine_code_does_what_the_interpreter_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.dl");
    std::fs::write(&path, BODIES).unwrap();
    let program = Session::open(&path, Options::default()).unwrap().resolve().unwrap();
    let model = level::open(&path).unwrap();
    for (time, batch) in [(1, 1), (2, 3), (7, 2), (12, 33)] {
        let (x, w) = (some(time * batch * 3, 7), some(9, 5));
        let (x_shape, w_shape) = ([time, batch, 3], [3, 3]);
        for function in &program.functions {
            let entry = &program.graph.entries[function.entry];
            let symbols: Vec<i64> =
                program.graph.symbols.iter().map(|name| if &**name == "T" { time } else { batch } as i64).collect();
            let args = [Tensor::from_f32(&x_shape, &x), Tensor::from_f32(&w_shape, &w)];
            if function.name == "until" && time < 2 {
                continue;
            }
            let expected = interp::run(&program.graph, entry.region, &args, &symbols);
            let mut instance = model.instance(2).unwrap();
            let args = [Array::f32(&x_shape, &x).unwrap(), Array::f32(&w_shape, &w).unwrap()];
            let found = instance.call(&function.name, &[("x", &args[0]), ("w", &args[1])]).unwrap();
            let mut floats = 0;
            for ((name, found), expected) in found.iter().zip(&expected) {
                if !expected.dtype.is_float() {
                    assert_eq!(found.to_i32(), expected.to_i32(), "{name}");
                    continue;
                }
                let found: Vec<f64> = found.to_f32().iter().map(|x| f64::from(*x)).collect();
                let error = difference(&found, expected.floats()).unwrap();
                assert!(
                    error < 2e-5,
                    "{} gives {name} with an error of {error} at T = {time}, B = {batch}",
                    function.name
                );
                assert!(time == 1 || expected.floats().iter().any(|x| *x != 0.0), "{name} is 0");
                floats += 1;
            }
            assert!(floats > 1, "{}", function.name);
        }
    }
}

/// A critic of sequences whose slope is held at 1 after each step of them.
fn critic(along: &str) -> String {
    format!(
        "
layer Critic(H: dim) {{
    param wx: f32[D, 3*H] = glorot_uniform()
    param wh: f32[H, 3*H] = orthogonal()
    out = Linear(1)

    fn step(h: f32[B, H], x: f32[B, D]) -> f32[B, H] {{
        rx, zx, nx = split(x @ wx, 3, axis: -1)
        rh, zh, nh = split(h @ wh, 3, axis: -1)
        z = sigmoid(zx + zh)
        return (1 - z) * tanh(nx + sigmoid(rx + rh) * nh) + z * h
    }}

    # The last score, and how far each slope is from 1.
    fn forward(x: f32[6, B, D]) -> (f32[B], f32) {{
        h = zeros([B, H])
        score = zeros([B])
        excess = 0.0
        for t in {along} {{
            h = step(h, x[t])
            score = out(h)[:, 0]
            slope = gradient(sum(score), x)
            norm = sqrt(sum(slope * slope, axis: (0, 2)) + 1e-6)
            excess += mean((norm - 1) ** 2)
        }}
        return score, excess
    }}
}}

model M {{
    critic = Critic(7)

    @export
    fn forward(x: f32[6, B, 2]) -> f32[B] {{
        score, _ = critic(x)
        return score
    }}
}}

train t {{
    net = M()
    opt = adam(lr: 1e-2)
    step(real: f32[6, B, 2], fake: f32[6, B, 2]) {{
        good, _ = net.critic(real)
        bad, _ = net.critic(fake)
        _, excess = net.critic((real + fake) / 2)
        minimize mean(bad) - mean(good) + excess over net with opt
    }}
}}
"
    )
}

/// A penalty on gradients in the passes of a loop trains as it does in the unrolled loop.
#[test]
fn a_loop_and_its_passes_train_alike() {
    let [looped, unrolled] =
        ["0..6", "[0, 1, 2, 3, 4, 5]"].map(|along| Program::build_text(mlc(), "critic", &critic(along)));
    looped.run(&["init", "-o", "w.safetensors"]).ok();
    std::fs::copy(looped.file("w.safetensors"), unrolled.file("w.safetensors")).unwrap();
    for program in [&looped, &unrolled] {
        npy::write_f32(&program.file("real.npy"), &[6, 5, 2], &some(60, 7));
        npy::write_f32(&program.file("fake.npy"), &[6, 5, 2], &some(60, 10));
    }
    let step = |program: &Program| {
        let args = ["step", "--weights", "w.safetensors", "--in", "real=real.npy", "--in", "fake=fake.npy"];
        let outs = ["--grads", "g.safetensors", "--out-weights", "w.safetensors", "--json"];
        program.run(&[&args[..], &outs].concat()).ok().json()["loss"].as_f64().unwrap()
    };
    let mut losses = Vec::new();
    for _ in 0..30 {
        let (a, b) = (step(&looped), step(&unrolled));
        assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} and {b}");
        let [a_grads, b_grads] = [&looped, &unrolled].map(|program| weights::read(&program.file("g.safetensors")));
        assert_eq!(a_grads.keys().collect::<Vec<_>>(), b_grads.keys().collect::<Vec<_>>());
        if losses.is_empty() {
            for (name, gradient) in &a_grads {
                assert!(distance(&gradient.data, &b_grads[name].data) < 1e-4, "{name}");
                assert!(gradient.data.iter().any(|x| *x != 0.0) || name.ends_with("bias"), "{name}");
            }
        }
        losses.push(a);
    }
    assert!(losses[29] < losses[0] - 0.5, "{losses:?}");
}

const PENALTY: &str = "
model M {
    cell = GRU(8)
    out  = Linear(1)

    @export
    fn score(x: f32[B, T, 2]) -> f32[B] {
        _, h = cell(x)
        return out(h)[:, 0]
    }
}

train t {
    net  = M()
    opt  = adam(lr: 1e-2)
    data = arrays(\"d\") |> shuffle(64) |> batch(16)
    epochs = 60

    step(real: f32[B, T, 2], fake: f32[B, T, 2]) {
        mix = uniform([B, 1, 1])
        between = mix * real + (1 - mix) * fake
        slope = gradient(sum(net.score(between)), between)
        norm = sqrt(sum(slope * slope, axis: (1, 2)) + 1e-6)
        excess = mean((norm - 1) ** 2)
        minimize mean(net.score(fake)) - mean(net.score(real)) + 10 * excess over net with opt
        metric excess = excess
        metric gap = mean(net.score(real)) - mean(net.score(fake))
    }
}
";

/// Sequences of two kinds, whose difference is a length that a critic of slope 1 can tell.
#[test]
fn a_recurrent_critic_learns_under_a_penalty() {
    let program = Program::build_text(mlc(), "penalty", PENALTY);
    std::fs::create_dir(program.file("d")).unwrap();
    let real: Vec<f32> = some(64 * 10, 7).iter().map(|x| 0.1 * x + 0.3).collect();
    let fake: Vec<f32> = some(64 * 10, 10).iter().map(|x| 0.1 * x - 0.3).collect();
    npy::write_f32(&program.file("d/real.npy"), &[64, 5, 2], &real);
    npy::write_f32(&program.file("d/fake.npy"), &[64, 5, 2], &fake);
    let result = program.run(&["train", "--quiet"]).ok().json();
    let number = |name: &str| result[name].as_f64().unwrap();
    // The kinds are 0.6 * sqrt(10) = 1.9 apart.
    assert!(number("excess") < 0.05 && number("gap") > 1.0 && number("gap") < 2.2, "{result}");
}

/// A first guess at weights, from which a few steps on some points of a function are to fit the others.
const LEARNER: &str = "
# A first guess at the weights from which a few steps fit any of the sines.
layer Learner(H: dim) {
    param w1: f32[1, H] = normal([1, H])
    param b1: f32[H] = 0
    param w2: f32[H, 1] = normal([H, 1]) * 0.3
    param b2: f32[1] = 0

    fn guess(x: f32[N, 1], a: f32[1, H], b: f32[H], c: f32[H, 1], d: f32[1]) -> f32[N, 1] {
        return tanh(x @ a + b) @ c + d
    }

    # The loss on other points of the same sine, behind five steps on some.
    fn forward(x: f32[N, 1], y: f32[N, 1], other: f32[N, 1], wanted: f32[N, 1]) -> f32 {
        a = w1
        b = b1
        c = w2
        d = b2
        for n in PASSES {
            ga, gb, gc, gd = gradient(mse(guess(x, a, b, c, d), y), (a, b, c, d))
            a = a - 0.1 * ga
            b = b - 0.1 * gb
            c = c - 0.1 * gc
            d = d - 0.1 * gd
        }
        return mse(guess(other, a, b, c, d), wanted)
    }
}

model M {
    learner = Learner(20)

    @export
    fn after(x: f32[B, 8, 1], y: f32[B, 8, 1], other: f32[B, 8, 1], wanted: f32[B, 8, 1]) -> f32 {
        total = scan total = 0.0 for xs, ys, os, ws in x, y, other, wanted along B {
            total = total + learner(xs, ys, os, ws)
        }
        return total / B
    }
}

train t {
    net = M()
    opt = adam(lr: 1e-2)
    step(x: f32[B, 8, 1], y: f32[B, 8, 1], other: f32[B, 8, 1], wanted: f32[B, 8, 1]) {
        minimize net.after(x, y, other, wanted) over net with opt
    }
}
";

/// Training goes through the steps that the body of a loop takes by `gradient`, in a scan over the functions.
#[test]
fn a_first_guess_is_learned_through_the_steps_from_it() {
    let mut columns: [Vec<f32>; 4] = Default::default();
    for task in 0..16 {
        let (height, phase) = (1.0 + (task % 4) as f32 * 0.2, (task / 4) as f32 * 0.3);
        for point in 0..8 {
            let x = point as f32 * 0.5 - 2.0;
            for (at, x) in [(0, x), (2, x + 0.25)] {
                columns[at].push(x);
                columns[at + 1].push(height * (x + phase).sin());
            }
        }
    }
    let names = ["x", "y", "other", "wanted"];
    let programs = ["0..5", "0..9 while n < 5", "[0, 1, 2, 3, 4]"]
        .map(|passes| Program::build_text(mlc(), "learner", &LEARNER.replace("PASSES", passes)));
    programs[0].run(&["init", "-o", "w.safetensors"]).ok();
    for program in &programs {
        if program.file("w.safetensors") != programs[0].file("w.safetensors") {
            std::fs::copy(programs[0].file("w.safetensors"), program.file("w.safetensors")).unwrap();
        }
        for (name, column) in names.iter().zip(&columns) {
            npy::write_f32(&program.file(&format!("{name}.npy")), &[16, 8, 1], column);
        }
    }
    let step = |program: &Program| {
        let mut args: Vec<String> = ["step", "--weights", "w.safetensors"].map(String::from).to_vec();
        for name in names {
            args.extend(["--in".into(), format!("{name}={name}.npy")]);
        }
        args.extend(["--grads", "g.safetensors", "--out-weights", "w.safetensors", "--json"].map(String::from));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        program.run(&args).ok().json()["loss"].as_f64().unwrap()
    };
    let first = programs.each_ref().map(step);
    let grads = programs.each_ref().map(|program| weights::read(&program.file("g.safetensors")));
    for (loss, others) in first.iter().zip(&grads) {
        assert!((loss - first[2]).abs() < 1e-5 * first[2], "{first:?}");
        for (name, gradient) in others {
            assert!(distance(&gradient.data, &grads[2][name].data) < 1e-4, "{name}");
            assert!(gradient.data.iter().any(|x| *x != 0.0), "{name}");
        }
    }
    let last = (0..60).fold(first[0], |_, _| step(&programs[0]));
    assert!(last < 0.2 * first[0], "{} to {last}", first[0]);
}
