//! What a train block can say beyond one network and one loss: views, copies, moving averages, choices
//! of parameters, gradient sums, loaded weights, states. Each against the same written by hand, or
//! against arithmetic done here.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process::{self, Outcome};
use mlc_tests::programs::Program;
use mlc_tests::weights::{self, Tensor, distance};
use mlc_tests::{digits, npy};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// A program in a folder of its own, run in memory.
struct Source {
    folder: tempfile::TempDir,
}

impl Source {
    fn new(text: &str) -> Source {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.dl"), text).unwrap();
        let source = Source { folder };
        let x: Vec<f32> = (0..12).map(|i| (i * 7 % 5) as f32 - 1.5).collect();
        npy::write_f32(&source.file("x.npy"), &[3, 4], &x);
        npy::write_f32(&source.file("y.npy"), &[3, 1], &[1.0, -2.0, 0.5]);
        source.run(&["init", "-o", "w.safetensors"]).ok();
        source
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Outcome {
        process::run(mlc(), self.folder.path(), &[&["run", "m.dl"], args].concat())
    }

    fn weights(&self, name: &str) -> BTreeMap<String, Tensor> {
        weights::read(&self.file(name))
    }

    /// A step on `x` and `y` from the weights `from`; its report, and the weights behind it.
    #[track_caller]
    fn step(&self, from: &str, to: &str) -> (serde_json::Value, BTreeMap<String, Tensor>) {
        let args = ["step", "--json", "--weights", from, "--in", "x=x.npy", "--in", "y=y.npy", "--out-weights", to];
        let report = self.run(&args).ok().json();
        (report, self.weights(to))
    }
}

const NET: &str = "
model Net {
    fc = Linear(8)
    bn = BatchNorm()
    head = Linear(1)
    fn body(x: f32[B, 4]) -> f32[B, 8] { return dropout(bn(fc(x)), 0.5) }
    @export
    fn forward(x: f32[B, 4]) -> f32[B, 1] { return head(body(x)) }
}
";

fn program(train: &str) -> String {
    format!("{NET}\ntrain t {{\n    seed = 3\n{train}\n}}\n")
}

#[track_caller]
fn same(a: &Tensor, b: &Tensor) {
    assert_eq!((&a.shape, &a.data), (&b.shape, &b.data));
}

/// `infer` draws no dropout and neither uses nor updates batch statistics.
#[test]
fn an_instance_in_inference_within_a_step() {
    let source = Source::new(&program(
        "    net = Net()
    opt = sgd(lr: 0.0)
    step(x: f32[B, 4], y: f32[B, 1]) {
        metric seen = mean(infer(net)(x))
        metric inner = mean(infer(net).head(infer(net).body(x)))
        minimize mse(infer(net)(x), y) over net.head with opt
    }",
    ));
    let (report, after) = source.step("w.safetensors", "v.safetensors");
    let before = source.weights("w.safetensors");
    source.run(&["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "f.npy"]).ok();
    let outputs = npy::read_f32(&source.file("f.npy"));
    let mean = outputs.iter().sum::<f32>() / 3.0;
    for metric in ["seen", "inner"] {
        assert!((report[metric].as_f64().unwrap() as f32 - mean).abs() < 1e-6, "{report}");
    }
    same(&before["bn.running_mean"], &after["bn.running_mean"]);
}

/// `cast(net, f64)` computes in f64 on weights that stay f32, and gives f32 back.
#[test]
fn an_instance_in_another_precision() {
    let source = Source::new(&program(
        "    net = Net()
    opt = sgd(lr: 0.5)
    step(x: f32[B, 4], y: f32[B, 1]) {
        wide = cast(infer(net), f64)(x)
        metric gap = max(abs(wide - infer(net)(x)))
        metric twin = mean(cast(cast(net, f64).fc(cast(x, f32)), f32))
        minimize mse(wide, y) over net with opt
    }",
    ));
    let (report, after) = source.step("w.safetensors", "v.safetensors");
    let gap = report["gap"].as_f64().unwrap();
    assert!(gap < 1e-5, "{report}");
    let before = source.weights("w.safetensors");
    assert!(distance(&before["fc.weight"].data, &after["fc.weight"].data) > 1e-4);
}

/// A copy begins with equal values; `ema` moves it, states too, and leaves the original alone.
#[test]
fn copies_and_moving_averages() {
    let source = Source::new(&program(
        "    net = Net()
    avg = copy(net)
    last = copy(net)
    opt = sgd(lr: 0.5)
    step(x: f32[B, 4], y: f32[B, 1]) {
        minimize mse(net(x), y) over net with opt
        ema(avg, net, decay: 0.9)
        ema(last, net, decay: 0)
    }",
    ));
    let before = source.weights("w.safetensors");
    for name in ["fc.weight", "head.bias", "bn.running_var"] {
        same(&before[&format!("net.{name}")], &before[&format!("avg.{name}")]);
    }
    let (_, after) = source.step("w.safetensors", "v.safetensors");
    for name in ["fc.weight", "head.weight", "bn.running_mean", "bn.running_var"] {
        let (old, new) = (&before[&format!("net.{name}")].data, &after[&format!("net.{name}")].data);
        let expected: Vec<f32> = old.iter().zip(new).map(|(old, new)| 0.9 * old + 0.1 * new).collect();
        assert!(distance(&after[&format!("avg.{name}")].data, &expected) < 1e-6, "{name}");
        same(&after[&format!("last.{name}")], &after[&format!("net.{name}")]);
        assert!(distance(old, new) > 1e-4, "{name}");
    }
}

/// Two choices of parameters with an optimizer each are what one `minimize` over all would have been.
#[test]
fn chosen_parameters() {
    let step = "
    step(x: f32[B, 4], y: f32[B, 1]) {
        loss = mse(infer(net)(x), y)";
    let whole = Source::new(&program(&format!(
        "    net = Net()\n    opt = sgd(lr: 0.5)\n{step}\n        minimize loss over net with opt\n    }}"
    )));
    let parts = Source::new(&program(&format!(
        "    net = Net()\n    opt = sgd(lr: 0.5)\n    vectors = params(net, rank: 0..2)\n{step}
        minimize loss over params(net, rank: 2..) with opt
        minimize loss over vectors with sgd(lr: 0.5)\n    }}"
    )));
    let (report, all) = whole.step("w.safetensors", "v.safetensors");
    let (same_report, both) = parts.step("w.safetensors", "v.safetensors");
    assert_eq!(report["loss"], same_report["loss"]);
    assert_eq!(all, both);

    let some = Source::new(&program(
        &format!(
            "    net = load(Net(), \"w.safetensors\", skip: [\"*\"])\n    opt = sgd(lr: 0.5)\n{step}
        minimize loss over params(net, only: [\"*.bias\", \"head.*\"], skip: [\"bn*\"]) with opt\n    }}"
        )
        .replace("load(Net(), \"w.safetensors\", skip: [\"*\"])", "Net()"),
    ));
    let (_, after) = some.step("w.safetensors", "v.safetensors");
    let before = some.weights("w.safetensors");
    for (name, tensor) in &after {
        let changed = ["fc.bias", "head.weight", "head.bias"].contains(&name.as_str());
        assert_eq!(before[name] != *tensor, changed, "{name}");
    }
}

/// Two `minimize` of one loss share its backward pass.
#[test]
fn one_backward_pass_for_two_choices() {
    let text = |over: &str| {
        program(&format!(
            "    net = Net()
    opt = sgd(lr: 0.5)
    step(x: f32[B, 4], y: f32[B, 1]) {{
        loss = mse(net(x), y)
        {over}
    }}"
        ))
    };
    let products = |text: &str| {
        let source = Source::new(text);
        let emit = ["emit", "m.dl", "--stage", "grad", "--fn", "t.step"];
        let graph = process::run(mlc(), source.folder.path(), &emit).ok().stdout;
        graph.matches("contract(").count()
    };
    let one = products(&text("minimize loss over net with opt"));
    let two = products(&text(
        "minimize loss over params(net, rank: 2..) with opt\n        minimize loss over params(net, rank: 0..2) with opt",
    ));
    assert!(one > 0 && one == two, "{one} {two}");
}

/// A step of several batches takes the mean of their gradients.
#[test]
fn gradients_of_several_batches() {
    let train = |extra: &str, batch: i64| {
        format!(
            "
model Net {{
    fc = Linear(10)
    @export
    fn forward(image: f32[B, 28, 28, 1]) -> f32[B, 10] {{ return fc(flatten(image / 255.0)) }}
}}
train t {{
    net = Net()
    epochs = 2
    {extra}
    data = idx(\"data/digits/train\") |> batch({batch})
    opt = sgd(lr: 0.1, momentum: 0.9)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {{
        minimize cross_entropy(net(image), label) over net with opt
        metric at = cast(step_index(), f32)
        metric all = cast(total_steps(), f32)
    }}
    every 1 step {{ save(\"runs/t\") }}
}}
"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    digits::write_made_up(folder.path(), 64);
    let run = |name: &str, text: &str, args: &[&str]| {
        fs::write(folder.path().join(format!("{name}.dl")), text).unwrap();
        let source = format!("{name}.dl");
        process::run(mlc(), folder.path(), &[&["run", source.as_str(), "train", "--out", name], args].concat())
            .ok()
            .json()
    };
    let whole = run("whole", &train("", 32), &[]);
    let parts = run("parts", &train("accumulate = 4", 8), &[]);
    assert_eq!((whole["steps"].as_i64(), parts["steps"].as_i64()), (Some(4), Some(4)));
    assert_eq!((parts["at"].as_f64(), parts["all"].as_f64()), (Some(2.5), Some(4.0)), "{parts}");
    let read = |name: &str| weights::read(&folder.path().join(name).join("last.safetensors"));
    let (a, b) = (read("whole"), read("parts"));
    assert!(distance(&a["fc.weight"].data, &b["fc.weight"].data) < 1e-6);
    assert!((whole["loss"].as_f64().unwrap() - parts["loss"].as_f64().unwrap()).abs() < 1e-6);

    // Three of 64 rows' eight batches fill two steps; the rest of the epoch is dropped.
    assert_eq!(run("thirds", &train("accumulate = 3", 8), &[])["steps"].as_i64(), Some(4));
    run("again", &train("accumulate = 4", 8), &["--steps", "3"]);
    let resumed = folder.path().join("again");
    run("again", &train("accumulate = 4", 8), &["--resume", resumed.to_str().unwrap()]);
    let bytes = |name: &str| fs::read(folder.path().join(name).join("last.safetensors")).unwrap();
    let body = |bytes: Vec<u8>| bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..].to_vec();
    assert!(body(bytes("again")) == body(bytes("parts")));

    fs::write(folder.path().join("few.dl"), train("accumulate = 9", 8)).unwrap();
    process::run(mlc(), folder.path(), &["run", "few.dl", "train"]).refused(&["E0301", "a step takes 9"]);
}

const DIGITS: &str = "
model Net {
    body = Linear(16)
    head = Linear(10)
    @export
    fn forward(image: f32[B, 28, 28, 1]) -> f32[B, 10] { return head(relu(body(flatten(image / 255.0)))) }
}
";

/// Weights that are read when training starts: all or nothing, under their own names or the binding's.
#[test]
fn weights_from_a_file() {
    let text = format!(
        "{DIGITS}
train t {{
    net = load(Net(), \"pre.safetensors\", skip: [\"head*\"])
    twin = copy(net)
    epochs = 1
    data = idx(\"data/digits/train\") |> batch(16)
    opt = sgd(lr: 0.1)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {{
        metric other = mean(infer(twin)(image))
        minimize cross_entropy(net(image), label) over net.head with opt
    }}
}}
"
    );
    let program = Program::build_text(mlc(), "tune", &text);
    digits::write_made_up(program.folder(), 32);
    program.run(&["train", "--out", "out"]).refused(&["E0302", "pre.safetensors"]);
    let shape =
        |shape: &[usize], value: f32| Tensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] };
    let mut pre = BTreeMap::from([("body.weight".to_string(), shape(&[784, 16], 0.25))]);
    weights::write(&program.file("pre.safetensors"), &pre);
    program.run(&["train", "--out", "out"]).refused(&["E0302", "missing: `body.bias`", "skip"]);
    pre.insert("body.bias".to_string(), shape(&[15], 0.5));
    weights::write(&program.file("pre.safetensors"), &pre);
    program.run(&["train", "--out", "out"]).refused(&["E0302", "body.bias", "f32[16]"]);
    pre.insert("body.bias".to_string(), shape(&[16], 0.5));
    pre.insert("other".to_string(), shape(&[2], 1.0));
    weights::write(&program.file("pre.safetensors"), &pre);
    program.run(&["train", "--out", "out"]).ok();
    let trained = weights::read(&program.file("out/last.safetensors"));
    assert_eq!(trained["net.body.weight"], pre["body.weight"]);
    assert_eq!(trained["twin.body.bias"], pre["body.bias"]);
    let fresh = trained["twin.head.weight"].data.clone();
    assert!(distance(&trained["net.head.weight"].data, &fresh) > 1e-4);

    let prefixed: BTreeMap<String, Tensor> = pre.iter().map(|(name, t)| (format!("net.{name}"), t.clone())).collect();
    weights::write(&program.file("pre.safetensors"), &prefixed);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    assert_eq!(weights::read(&program.file("w.safetensors"))["net.body.bias"], pre["body.bias"]);
}

/// `evaluate(valid, net: avg)` runs the step with another instance; a state of the block counts steps.
#[test]
fn evaluation_of_another_instance() {
    let text = format!(
        "{DIGITS}
train t {{
    net = Net()
    zero = copy(net)
    epochs = 2
    data = idx(\"data/digits/train\") |> batch(16)
    valid = idx(\"data/digits/test\") |> batch(10)
    opt = adam(lr: 1e-2)
    state seen: i32 = 0
    state smooth: f32 = 2
    fn more(n: i32) -> i32 {{
        smooth = 0.5 * smooth
        return n + 1
    }}
    step(image: f32[B, 28, 28, 1], label: i32[B]) {{
        seen = more(seen)
        metric count = cast(seen, f32)
        metric soft = smooth
        minimize cross_entropy(net(image), label) over net with opt
        ema(zero, net, decay: 1.0)
    }}
    every 1 epoch {{
        evaluate(valid, net: zero)
        save(\"runs/t\", best: -loss)
        early_stop(-loss, patience: 1)
    }}
}}
"
    );
    let program = Program::build_text(mlc(), "swap", &text);
    digits::write_made_up(program.folder(), 32);
    let result = program.run(&["train", "--out", "out"]).ok().json();
    // The copy never moves: its loss stays what it was, so the first epoch was the best and the second ends it.
    assert_eq!(result["epochs"].as_i64(), Some(2), "{result}");
    let initial = result["valid"]["loss"].as_f64().unwrap();
    assert!((result["loss"].as_f64().unwrap() - initial).abs() > 0.05, "{result}");
    assert_eq!(result["count"].as_f64(), Some(3.5), "{result}");
    assert_eq!(result["soft"].as_f64(), Some((2.0 / 8.0 + 2.0 / 16.0) / 2.0), "{result}");
    assert!(!weights::read(&program.file("out/last.safetensors")).keys().any(|name| name.contains("seen")));
    program.run(&["train", "--out", "out2", "--steps", "2"]).ok();
    program.run(&["train", "--resume", "out2"]).ok();
    let bytes = |name: &str| fs::read(program.file(name)).unwrap();
    assert!(bytes("out/last.safetensors") == bytes("out2/last.safetensors"));
}

/// Products, largest and smallest values over a whole set are those of the set.
#[test]
fn metrics_over_batches() {
    let text = format!(
        "{DIGITS}
train t {{
    net = Net()
    epochs = 1
    data = idx(\"data/digits/train\") |> batch(8)
    opt = sgd(lr: 0.0)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {{
        minimize cross_entropy(net(image), label) over net with opt
        metric product = prod(1.0 + 0.01 * cast(label, f32))
        metric highest = max(cast(label, f32)) + 0.5
        metric lowest = min(cast(label, f32))
        metric share = mean(label == 3)
    }}
}}
"
    );
    let program = Program::build_text(mlc(), "whole", &text);
    digits::write_made_up(program.folder(), 40);
    let result = program.run(&["train", "--out", "out"]).ok().json();
    let product: f64 = (0..40).map(|row| 1.0 + 0.01 * f64::from(row % 10)).product();
    assert!((result["product"].as_f64().unwrap() / product - 1.0).abs() < 1e-5, "{result}");
    assert_eq!(result["highest"].as_f64(), Some(9.5));
    assert_eq!(result["lowest"].as_f64(), Some(0.0));
    assert_eq!(result["share"].as_f64(), Some(0.1));
}

/// Several blocks in one file keep their weights apart.
#[test]
fn several_train_blocks() {
    let block = |name: &str, size: i64| {
        format!(
            "
train {name} {{
    net = Net(H: {size})
    steps = 3
    data = idx(\"data/digits/train\") |> batch(8)
    opt = adam(lr: 1e-3)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {{
        minimize cross_entropy(net(image), label) over net with opt
    }}
}}
"
        )
    };
    let text = format!(
        "{}{}{}",
        DIGITS.replace("model Net {", "model Net(H: dim) {").replace("Linear(16)", "Linear(H)"),
        block("small", 4),
        block("large", 6)
    );
    let program = Program::build_text(mlc(), "two", &text);
    digits::write_made_up(program.folder(), 32);
    assert_eq!(program.run(&["train"]).status, 2, "which block?");
    program.run(&["train", "small", "--out", "s"]).ok();
    program.run(&["train", "large", "--out", "l"]).ok();
    let info = program.run(&["info"]).ok().stdout;
    assert!(info.contains("small(") && info.contains("large("), "{info}");
    // Both have a `body.weight`, so first weights are those of one of them.
    let refused = program.run(&["init", "-o", "w.safetensors"]);
    assert!(refused.status == 2 && refused.stderr.contains("`small` and `large`"), "{}", refused.stderr);
    for (name, size) in [("small", 4), ("large", 6)] {
        program.run(&["init", name, "--seed", "7", "-o", "w.safetensors"]).ok();
        assert_eq!(weights::read(&program.file("w.safetensors"))["body.weight"].shape, [784, size]);
        program.run(&["eval", name, "--weights", "w.safetensors"]).ok();
    }
}

/// A copy of a stack of layers has its sizes before it is used, and is moved as a whole.
#[test]
fn a_copied_stack_moves() {
    let source = Source::new(
        "
layer Block {
    fc = Linear(4)
    fn forward(x: f32[B, 4]) -> f32[B, 4] { return x + tanh(fc(x)) }
}
model Net {
    blocks = [Block(); 3]
    out = Linear(1)
    @export
    fn forward(x: f32[B, 4]) -> f32[B, 1] {
        for block in blocks { x = block(x) }
        return out(x)
    }
}
train t {
    net = Net()
    avg = copy(net)
    opt = sgd(lr: 0.1)
    step(x: f32[B, 4], y: f32[B, 1]) {
        minimize mse(net(x), y) over net with opt
        ema(avg, net, decay: 0.5)
    }
}
",
    );
    let before = source.weights("w.safetensors");
    let (_, after) = source.step("w.safetensors", "v.safetensors");
    let mut moved = 0;
    for (name, tensor) in &after {
        let Some(path) = name.strip_prefix("avg.") else { continue };
        let new = &after[&format!("net.{path}")].data;
        let middle: Vec<f32> = before[name].data.iter().zip(new).map(|(a, b)| 0.5 * (a + b)).collect();
        assert!(distance(&tensor.data, &middle) < 1e-6, "{name}");
        assert_eq!(tensor.shape[0] == 3, path.starts_with("blocks"), "{name}");
        moved += usize::from(tensor.data != before[name].data);
    }
    assert_eq!(moved, 4);
}

/// Lines below a `minimize` see the weights that it made.
#[test]
fn lines_below_see_new_weights() {
    let source = Source::new(&program(
        "    net = Net()
    opt = sgd(lr: 0.1)
    step(x: f32[B, 4], y: f32[B, 1]) {
        loss = mse(infer(net)(x), y)
        minimize loss over (net.fc, net.head) with opt
        metric after = mse(infer(net)(x), y)
        metric bias = sum(net.bn.bias)
        minimize mse(infer(net)(x), y) over net.bn with opt
    }",
    ));
    let (first, _) = source.step("w.safetensors", "v.safetensors");
    let value = |report: &serde_json::Value, name: &str| report[name].as_f64().unwrap();
    assert!(value(&first, "after") < value(&first, "loss"), "{first}");
    assert_eq!(value(&first, "bias"), 0.0);

    // The same two updates in two steps of their own.
    let alone = |over: &str| {
        Source::new(&program(&format!(
            "    net = Net()
    opt = sgd(lr: 0.1)
    step(x: f32[B, 4], y: f32[B, 1]) {{ minimize mse(infer(net)(x), y) over {over} with opt }}"
        )))
    };
    let one = alone("(net.fc, net.head)");
    let two = alone("net.bn");
    one.step("w.safetensors", "half.safetensors");
    fs::copy(one.file("half.safetensors"), two.file("half.safetensors")).unwrap();
    let (second, apart) = two.step("half.safetensors", "v.safetensors");
    assert!((value(&second, "loss") - value(&first, "after")).abs() < 1e-6, "{first} {second}");
    let together = source.weights("v.safetensors");
    for (name, tensor) in &apart {
        let apart_by = distance(&tensor.data, &together[name].data);
        assert!(apart_by < 1e-6, "{name}: {apart_by}");
    }
}

/// Optimizers with a scalar state, a helper, and a condition on an argument that changes while training;
/// parameters in f64 are updated in f64.
#[test]
fn optimizers_of_ones_own() {
    let text = "
model M {
    param w: f32[3] = 1
    param v: f64[2] = 1
    fn forward(x: f32[B, 3]) -> f32 { return sum(x * w) + cast(sum(v * v), f32) }
}
fn halved(g: f32[*S], on: f32) -> f32[*S] {
    if on > 0.5 { g = 0.5 * g }
    return g
}
optimizer own(lr: f32, half: f32 = 0) {
    state calls: f32 = 0
    state total: f32[*S] = zeros()
    fn step_size(k: f32) -> f32 { return lr / k }
    fn update(w: f32[*S], g: f32[*S], t: i32, norm: f32) -> f32[*S] {
        calls = calls + 1
        total = total + halved(g, half)
        return w - step_size(calls) * total
    }
}
train t {
    net = M()
    opt = own(lr: 0.25, half: if step_index() < 1 then 1.0 else 0.0)
    step(x: f32[B, 3]) { minimize net(x) over net with opt }
}
";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.dl"), text).unwrap();
    npy::write_f32(&folder.path().join("x.npy"), &[1, 3], &[1.0, 2.0, 4.0]);
    let run = |args: &[&str]| process::run(mlc(), folder.path(), &[&["run", "m.dl"], args].concat());
    run(&["init", "-o", "w.safetensors"]).ok();
    run(&["step", "--weights", "w.safetensors", "--in", "x=x.npy", "--grads", "g.safetensors"]).ok();
    run(&["bench", "train", "--size", "B=1", "--seconds", "0.001"]).ok();
    let program = Program::build_text(mlc(), "own", text);
    npy::write_f32(&program.file("x.npy"), &[1, 3], &[1.0, 2.0, 4.0]);
    fs::copy(folder.path().join("w.safetensors"), program.file("w.safetensors")).unwrap();
    let args = ["train", "--steps", "2", "--data", "x=rows.npy", "--out", "out"];
    npy::write_f32(&program.file("rows.npy"), &[32, 3], &[1.0, 2.0, 4.0].repeat(32));
    program.run(&args).ok();
    let after = weights::read(&program.file("out/last.safetensors"));
    // Gradients are 32 times x. First total 16 x, step 0.25; then total 48 x, step 0.125.
    let expected: Vec<f32> = [1.0, 2.0, 4.0].iter().map(|x| 1.0 - 0.25 * 16.0 * x - 0.125 * 48.0 * x).collect();
    assert!(distance(&after["w"].data, &expected) < 1e-4, "{:?}", after["w"]);
}

/// Instances with different arguments are exported under their bindings' names.
#[test]
fn exports_of_several_instances() {
    let text = "
model Net(H: dim) {
    fc = Linear(H)
    @export
    fn forward(x: f32[B, 4]) -> f32[B, H] { return fc(x) }
}
train t {
    small = Net(2)
    large = Net(3)
    twin = copy(large)
    opt = sgd(lr: 0.1)
    step(x: f32[B, 4]) {
        minimize mean(small(x)) + mean(large(x)) over (small, large) with opt
        ema(twin, large, decay: 0.5)
    }
}
";
    let source = Source::new(text);
    let info = source.run(&["info"]).ok().stdout;
    assert!(info.contains("small.forward(x: f32[B, 4]) -> f32[B, 2]"), "{info}");
    assert!(info.contains("large.forward(x: f32[B, 4]) -> f32[B, 3]") && !info.contains("twin.forward"), "{info}");
    source.run(&["run", "large.forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "o.npy"]).ok();
    assert_eq!(npy::read_f32(&source.file("o.npy")).len(), 9);
}
