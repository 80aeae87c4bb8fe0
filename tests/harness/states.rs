//! `state` (rule 16): what a layer remembers from call to call, in executables and through `mlc run`.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process;
use mlc_tests::programs::Program;
use mlc_tests::weights::{self, Tensor, distance};
use mlc_tests::{digits, npy};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// The same command in the executable and through `mlc run`; both must leave the same bytes in `files`.
#[track_caller]
fn both(program: &Program, text: &str, args: &[&str], files: &[&str]) {
    program.run(args).ok();
    let from_executable: Vec<Vec<u8>> = files.iter().map(|file| fs::read(program.file(file)).unwrap()).collect();
    let source = program.file("source.dl");
    fs::write(&source, text).unwrap();
    process::run(mlc(), program.folder(), &[&["run", "source.dl"], args].concat()).ok();
    for (file, bytes) in files.iter().zip(from_executable) {
        // The metadata names the source; the tensors behind it are compared.
        let body = |bytes: &[u8]| match file.ends_with(".safetensors") {
            true => bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..].to_vec(),
            false => bytes.to_vec(),
        };
        assert!(body(&bytes) == body(&fs::read(program.file(file)).unwrap()), "{file} differs");
    }
}

const NORM: &str = "
model Net {
    bn = BatchNorm()
    @export
    fn forward(x: f32[B, 3]) -> f32[B, 3] { return bn(x) }
}
train fit {
    net = Net()
    opt = sgd(lr: 0.5)
    step(real: f32[B, 3], fake: f32[B, 3]) {
        a = net(real)
        b = net(fake)
        minimize mean(a * a * a) + mean(b) over net with opt
    }
}
";

/// Mean and variance (divisor n) of each column of three.
fn statistics(x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let rows = (x.len() / 3) as f32;
    let column = |c: usize| x.iter().skip(c).step_by(3);
    let means: Vec<f32> = (0..3).map(|c| column(c).sum::<f32>() / rows).collect();
    let vars = (0..3).map(|c| column(c).map(|v| (v - means[c]).powi(2)).sum::<f32>() / rows).collect();
    (means, vars)
}

/// Two calls of one instance in a step update its statistics one after the other; inference uses them
/// and leaves them alone.
#[test]
fn batch_norm_remembers_its_statistics() {
    let program = Program::build_text(mlc(), "norm", NORM);
    let real: Vec<f32> = (0..12).map(|i| (i * i % 7) as f32 - 2.0).collect();
    let fake: Vec<f32> = (0..12).map(|i| (i * 5 % 11) as f32 * 0.5).collect();
    npy::write_f32(&program.file("real.npy"), &[4, 3], &real);
    npy::write_f32(&program.file("fake.npy"), &[4, 3], &fake);
    program.run(&["init", "-o", "w0.safetensors"]).ok();
    let first = weights::read(&program.file("w0.safetensors"));
    assert_eq!(first["bn.running_mean"].data, [0.0; 3]);
    assert_eq!(first["bn.running_var"].data, [1.0; 3]);

    let step = ["step", "--weights", "w0.safetensors", "--in", "real=real.npy", "--in", "fake=fake.npy"];
    both(&program, NORM, &[&step[..], &["--out-weights", "w1.safetensors"]].concat(), &["w1.safetensors"]);
    let second = weights::read(&program.file("w1.safetensors"));
    let ((m1, v1), (m2, v2)) = (statistics(&real), statistics(&fake));
    let moved = |start: f32, a: &[f32], b: &[f32]| -> Vec<f32> {
        a.iter().zip(b).map(|(a, b)| 0.9 * (0.9 * start + 0.1 * a) + 0.1 * b).collect()
    };
    assert!(distance(&second["bn.running_mean"].data, &moved(0.0, &m1, &m2)) < 1e-6);
    assert!(distance(&second["bn.running_var"].data, &moved(1.0, &v1, &v2)) < 1e-6);
    assert!(distance(&second["bn.bias"].data, &first["bn.bias"].data) > 1e-3);

    let forward = ["run", "forward", "--weights", "w1.safetensors", "--in", "x=real.npy", "--out", "y.npy"];
    both(&program, NORM, &forward, &["y.npy"]);
    let expected: Vec<f32> = real
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let of = |name: &str| second[name].data[i % 3];
            (x - of("bn.running_mean")) / (of("bn.running_var") + 1e-5).sqrt() * of("bn.weight") + of("bn.bias")
        })
        .collect();
    assert!(distance(&npy::read_f32(&program.file("y.npy")), &expected) < 1e-5);
}

/// Old values that are copied, swapped or returned are those from before the step.
#[test]
fn states_that_change_places() {
    let text = "
model M {
    param w: f32[1] = 1
    state a: f32[2] = 1
    state b: f32[2] = 2
    state last: f32[2] = 5
    state now: f32[2] = 6
    state total: f32[2] = 10
    @export
    fn before(x: f32[2]) -> f32[2] {
        old = total
        total += x
        return old
    }
    fn f(x: f32[2]) -> f32[2] {
        a, b = b, a
        last = now
        now = x
        return x * w
    }
}
train t {
    net = M()
    opt = sgd(lr: 0.1)
    step(x: f32[2]) { minimize sum(net.f(x)) over net with opt }
}
";
    let program = Program::build_text(mlc(), "places", text);
    npy::write_f32(&program.file("x.npy"), &[2], &[7.0, 8.0]);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    let args = ["step", "--weights", "w.safetensors", "--in", "x=x.npy", "--out-weights", "v.safetensors"];
    both(&program, text, &args, &["v.safetensors"]);
    let after = weights::read(&program.file("v.safetensors"));
    let data = |name: &str| after[name].data.clone();
    assert_eq!((data("a"), data("b")), (vec![2.0; 2], vec![1.0; 2]));
    assert_eq!((data("last"), data("now")), (vec![6.0; 2], vec![7.0, 8.0]));
    let args = ["run", "before", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "y.npy"];
    both(&program, text, &args, &["y.npy"]);
    assert_eq!(npy::read_f32(&program.file("y.npy")), [10.0, 10.0]);
}

const CACHE: &str = "
layer Cache(Ctx: dim) {
    fc = Linear(4)
    state seen: f32[B, Ctx, 4] = full([B, Ctx, 4], 0.5)
    fn forward(x: f32[B, 4]) -> f32[B, 4] { return fc(x) }
    fn add(x: f32[B, 4]) -> f32[B, Ctx, 4] {
        seen = seen + forward(x)[:, new, :]
        return seen
    }
}
model M {
    a = Cache(3)
    state calls: i32 = 0
    @export
    fn push(x: f32[N, 4]) -> (sum: f32[N, 3, 4], calls: i32) {
        calls += 1
        y = a.add(x)
        return a.add(2 * x), calls
    }
    @export
    fn one(x: f32[1, 4]) -> f32[1, 3, 4] { return a.add(x) }
    @export
    fn plain(x: f32[B, 4]) -> f32[B, 4] { return a(x) }
}
";

/// A state with the batch size is made when a session begins, in the size of the call, from its
/// declaration, and is no part of the weights.
#[test]
fn sessions_have_the_sizes_of_their_calls() {
    let program = Program::build_text(mlc(), "cache", CACHE);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    let saved: BTreeMap<String, Tensor> = weights::read(&program.file("w.safetensors"));
    assert_eq!(saved.keys().collect::<Vec<_>>(), ["a.fc.bias", "a.fc.weight", "calls"]);
    let run = |function: &str, rows: usize, outs: &[&str]| {
        let x: Vec<f32> = (0..rows * 4).map(|i| (i % 5) as f32 - 1.0).collect();
        npy::write_f32(&program.file("x.npy"), &[rows, 4], &x);
        let mut args = vec!["run", function, "--weights", "w.safetensors", "--in", "x=x.npy"];
        args.extend(outs.iter().flat_map(|out| ["--out", out]));
        let files: Vec<&str> = outs.iter().map(|out| out.split('=').next_back().unwrap()).collect();
        both(&program, CACHE, &args, &files);
    };
    for rows in [1, 3] {
        run("plain", rows, &["y.npy"]);
        let plain = npy::read_f32(&program.file("y.npy"));
        run("push", rows, &["sum=s.npy", "calls=n.npy"]);
        assert_eq!(npy::read_i32(&program.file("n.npy")), [1]);
        let bias = &saved["a.fc.bias"].data;
        let sum: Vec<f32> = (0..rows * 12)
            .map(|i| (i / 12, i % 4))
            .map(|(row, c)| 0.5 + plain[row * 4 + c] + (2.0 * plain[row * 4 + c] - bias[c]))
            .collect();
        assert!(distance(&npy::read_f32(&program.file("s.npy")), &sum) < 1e-5);
    }
    run("one", 1, &["s.npy"]);
    let timed = program.run(&["bench", "push", "--size", "N=2", "--seconds", "0.01", "--json"]).ok().json();
    assert!(timed["calls"].as_i64().unwrap() > 0, "{timed}");
    let info = program.run(&["info"]).ok().stdout;
    assert!(info.contains("calls") && !info.contains("seen"), "{info}");
}

/// A training that is interrupted goes on with the statistics it had, and evaluation changes none.
#[test]
fn statistics_survive_an_interruption() {
    let text = "
model Net {
    bn = BatchNorm()
    fc = Linear(10)
    @export
    fn forward(image: f32[B, 28, 28, 1]) -> f32[B, 10] { return fc(flatten(bn(image / 255.0))) }
}
train t {
    net = Net()
    epochs = 3
    data = idx(\"data/digits/train\") |> shuffle(50) |> batch(16)
    valid = idx(\"data/digits/test\") |> batch(8)
    opt = adam(lr: 1e-3)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {
        minimize cross_entropy(net(image), label) over net with opt
    }
    every 1 epoch { evaluate(valid); save(\"runs/t\") }
}
";
    let program = Program::build_text(mlc(), "interrupted", text);
    digits::write_made_up(program.folder(), 64);
    program.run(&["train", "--out", "whole"]).ok();
    program.run(&["train", "--out", "parts", "--steps", "6"]).ok();
    program.run(&["train", "--resume", "parts", "--out", "parts"]).ok();
    let read = |name: &str| fs::read(program.file(name)).unwrap();
    assert!(read("whole/last.safetensors") == read("parts/last.safetensors"));
    let mean = weights::read(&program.file("whole/last.safetensors"))["bn.running_mean"].data.clone();
    program.run(&["eval", "--weights", "whole/last.safetensors"]).ok();
    assert!(mean[0] > 0.0);
}

/// A state with the size of the batch is carried from step to step; a resumed training goes on with it.
#[test]
fn states_of_a_session_in_checkpoints() {
    let text = "
layer Carried {
    fc = Linear(10)
    state h: f32[B, 10] = 0
    state beats: i32[B] = 0
    fn forward(x: f32[B, In]) -> f32[B, 10] {
        h = tanh(fc(x) + 0.9 * h)
        beats = beats + 1
        return h * cast(beats[0], f32)
    }
}
model Net {
    carried = Carried()
    @export
    fn forward(image: f32[B, 28, 28, 1]) -> f32[B, 10] { return carried(flatten(image / 255.0)) }
}
train t {
    net = Net()
    epochs = 2
    data = idx(\"data/digits/train\") |> batch(8)
    valid = idx(\"data/digits/test\") |> batch(4)
    opt = adam(lr: 1e-3)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {
        logits = net(image)
        minimize cross_entropy(logits, label) over net with opt
        metric scale = max(abs(logits))
    }
    every 1 epoch { evaluate(valid) }
}
";
    let program = Program::build_text(mlc(), "carried", text);
    digits::write_made_up(program.folder(), 32);
    let whole = program.run(&["train", "--out", "whole"]).ok().json();
    program.run(&["train", "--out", "parts", "--steps", "5"]).ok();
    let resumed = program.run(&["train", "--resume", "parts", "--out", "parts"]).ok().json();
    let bytes = |name: &str| fs::read(program.file(name)).unwrap();
    assert!(bytes("whole/last.safetensors") == bytes("parts/last.safetensors"));
    assert_eq!(whole["loss"], resumed["loss"]);
    assert_eq!(whole["valid"], resumed["valid"]);
    let newest = |folder: &str| {
        let steps = fs::read_dir(program.file(folder)).unwrap().map(|entry| entry.unwrap().path());
        steps.filter(|path| path.join("sessions.safetensors").is_file()).max_by_key(|path| path.to_string_lossy().len())
    };
    let (a, b) = (newest("whole").expect("a checkpoint"), newest("parts").expect("a checkpoint"));
    assert!(fs::read(a.join("sessions.safetensors")).unwrap() == fs::read(b.join("sessions.safetensors")).unwrap());
    let states = weights::read(&b.join("sessions.safetensors"));
    assert_eq!(states["carried.h"].shape, [8, 10]);
    // A damaged file is refused, and so is one of another program.
    fs::write(b.join("sessions.safetensors"), b"no tensors").unwrap();
    program.run(&["train", "--resume", "parts", "--out", "parts", "--epochs", "3"]).refused(&["E0302"]);
}
