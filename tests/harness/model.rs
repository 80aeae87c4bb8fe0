//! The library call: what `mlc::model` gives is what the executable's commands give.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc::model::{Array, Instance};
use mlc_tests::{digits, level, npy, process};
use std::path::Path;
use tempfile::TempDir;

const SOURCE: &str = "\
model Net(Classes: dim = 10) {
    fc = Linear(Classes)
    @export
    fn forward(image: f32[B, 28, 28, 1]) -> f32[B, Classes] { return fc(dropout(flatten(image / 255), 0.1)) }
    @export
    fn row(image: f32[B, 28, 28, 1], at: i32[N]) -> f32[N, Classes] { return forward(image)[at] }
}
train digits {
    seed = 3
    net  = Net()
    opt  = adam(lr: 1e-2)
    step(image: f32[B, 28, 28, 1], label: i32[B]) {
        logits = net(image)
        minimize cross_entropy(logits, label) over net with opt
        metric accuracy = accuracy(logits, label)
    }
}
";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("net.dl"), SOURCE).unwrap();
    folder
}

fn images(rows: usize) -> (Vec<f32>, Array) {
    let pixels: Vec<f32> = (0..rows).flat_map(digits::image).collect();
    let array = Array::f32(&[rows, 28, 28, 1], &pixels).unwrap();
    (pixels, array)
}

fn labels(rows: usize) -> (Vec<i32>, Array) {
    let labels: Vec<i32> = (0..rows).map(|row| (row % 10) as i32).collect();
    let array = Array::i32(&[rows], &labels).unwrap();
    (labels, array)
}

fn mlc(folder: &Path, args: &[&str]) -> process::Outcome {
    process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder, args).ok()
}

#[test]
fn a_step_and_a_call_are_those_of_the_executable() {
    let folder = folder();
    let (pixels, image) = images(6);
    let (numbers, label) = labels(6);
    npy::write_f32(&folder.path().join("x.npy"), &[6, 28, 28, 1], &pixels);
    npy::write_i32(&folder.path().join("y.npy"), &[6], &numbers);
    mlc(folder.path(), &["run", "net.dl", "init", "--seed", "3", "-o", "w.safetensors"]);
    let step = ["run", "net.dl", "step", "--weights", "w.safetensors", "--in", "image=x.npy", "--in", "label=y.npy"];
    let said = mlc(folder.path(), &[&step[..], &["--out-weights", "v.safetensors", "--json"]].concat()).json();
    mlc(
        folder.path(),
        &["run", "net.dl", "run", "forward", "--weights", "v.safetensors", "--in", "image=x.npy", "--out", "z.npy"],
    );

    let model = level::open(folder.path().join("net.dl")).unwrap();
    let mut net = model.instance(2).unwrap();
    net.init(3).unwrap();
    let report = net.step("digits", &[("label", &label), ("image", &image)]).unwrap();
    assert_eq!(report[0], ("loss".to_string(), said["loss"].as_f64().unwrap()));
    assert_eq!(report[1], ("accuracy".to_string(), said["accuracy"].as_f64().unwrap()));
    let results = net.call("forward", &[("image", &image)]).unwrap();
    assert_eq!(results[0].1.shape(), [6, 10]);
    assert_eq!(results[0].1.to_f32(), npy::read_f32(&folder.path().join("z.npy")));

    net.save(folder.path().join("u.safetensors")).unwrap();
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("u.safetensors") == bytes("v.safetensors"));
    let mut other = model.instance(1).unwrap();
    other.load(folder.path().join("u.safetensors")).unwrap();
    assert_eq!(forward(&mut other, &image), forward(&mut net, &image));
}

fn forward(net: &mut Instance<'_>, image: &Array) -> Vec<f32> {
    net.call("forward", &[("image", image)]).unwrap()[0].1.to_f32()
}

#[test]
fn training_is_a_function_call() {
    let folder = folder();
    let model = level::open(folder.path().join("net.dl")).unwrap();
    let mut net = model.instance(1).unwrap();
    net.init(1).unwrap();
    let ((_, image), (_, label)) = (images(20), labels(20));
    let mut loss = || net.step("digits", &[("image", &image), ("label", &label)]).unwrap()[0].1;
    let first = loss();
    let last = (0..40).map(|_| loss()).last().unwrap();
    assert!(last < 0.5 * first, "{first} {last}");
}

/// Calls keep copies of weights in the order in which they read them; after a step they read the new ones.
#[test]
fn calls_between_steps_read_the_weights_of_the_last() {
    let folder = folder();
    let text = SOURCE.replace("fc = Linear(Classes)", "rows = Linear(512)\n    fc = Linear(Classes)");
    let text = text.replace("flatten(image / 255)", "mean(relu(rows(image[:, :, :, 0] / 255)), axis: 1)");
    std::fs::write(folder.path().join("net.dl"), text).unwrap();
    let info = mlc(folder.path(), &["run", "net.dl", "info", "--json"]).json();
    assert_eq!(info["functions"][0]["kept"].as_i64(), Some(4 * 28 * 512));
    let model = level::open(folder.path().join("net.dl")).unwrap();
    let ((_, image), (_, label)) = (images(70), labels(70));
    let [mut net, mut fresh] = [1, 2].map(|threads| model.instance(threads).unwrap());
    net.init(1).unwrap();
    let path = folder.path().join("now.safetensors");
    let mut last = Vec::new();
    for _ in 0..3 {
        let now = forward(&mut net, &image);
        net.save(&path).unwrap();
        fresh.load(&path).unwrap();
        assert_eq!(now, forward(&mut fresh, &image), "as what has just read its weights");
        assert_ne!(now, last);
        last = now;
        net.step("digits", &[("image", &image), ("label", &label)]).unwrap();
    }
}

#[test]
fn mistakes_are_told_and_change_nothing() {
    let folder = folder();
    let model = level::open(folder.path().join("net.dl")).unwrap();
    let mut net = model.instance(1).unwrap();
    net.init(1).unwrap();
    let ((_, image), (_, label)) = (images(2), labels(3));
    let before = forward(&mut net, &image);
    let wrong = |text: String, part: &str| assert!(text.contains(part), "{text}");
    wrong(net.call("forwrd", &[]).unwrap_err().to_string(), "forward");
    wrong(net.call("forward", &[("x", &image)]).unwrap_err().to_string(), "no input `x`");
    wrong(net.call("forward", &[]).unwrap_err().to_string(), "needs `image`");
    wrong(net.call("forward", &[("image", &label)]).unwrap_err().to_string(), "i32[3]");
    wrong(net.step("digits", &[("image", &image), ("label", &label)]).unwrap_err().to_string(), "B");
    wrong(net.step("tags", &[]).unwrap_err().to_string(), "no train block `tags`");
    let at = Array::i32(&[1], &[9]).unwrap();
    wrong(net.call("row", &[("image", &image), ("at", &at)]).unwrap_err().to_string(), "out of range");
    wrong(net.load(folder.path().join("none.safetensors")).unwrap_err().to_string(), "none.safetensors");
    assert!(Array::f32(&[2, 2], &[0.0; 3]).is_err());
    assert_eq!(forward(&mut net, &image), before);

    std::fs::write(folder.path().join("bad.dl"), SOURCE.replace("flatten", "flaten")).unwrap();
    wrong(level::open(folder.path().join("bad.dl")).unwrap_err().to_string(), "flatten");
    wrong(level::open(folder.path().join("none.dl")).unwrap_err().to_string(), "none.dl");
}

#[test]
fn a_size_that_breaks_a_requirement_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = "model Halves {
        @export
        fn forward(x: f32[B, T]) -> f32[B, T / 4] { return half(half(x)) }
        fn half(x: f32[B, T]) -> f32[B, T / 2] { return x[:, 0:T / 2] + x[:, T / 2:] }
    }";
    std::fs::write(folder.path().join("halves.dl"), text).unwrap();
    let model = level::open(folder.path().join("halves.dl")).unwrap();
    let mut instance = model.instance(1).unwrap();
    instance.init(1).unwrap();
    let mut call = |sizes: &[usize]| {
        let x = Array::f32(sizes, &vec![1.0; sizes.iter().product()]).unwrap();
        instance.call("forward", &[("x", &x)]).map(|named| named[0].1.to_f32())
    };
    assert_eq!(call(&[1, 8]).unwrap(), [4.0; 2]);
    let error = call(&[1, 6]).unwrap_err().to_string();
    assert!(error.contains("axis 1 is 6, and T must be a multiple of 4"), "{error}");
}

/// Two trainings of one model have weights of one name; an instance is of one of them.
#[test]
fn instances_of_one_of_several_trainings() {
    let folder = folder();
    let second = SOURCE.split_once("train digits").unwrap().1.replace("lr: 1e-2", "lr: 1e-1");
    std::fs::write(folder.path().join("net.dl"), format!("{SOURCE}train again{second}")).unwrap();
    let model = level::open(folder.path().join("net.dl")).unwrap();
    let refused = model.instance(1).unwrap_err().to_string();
    assert!(refused.contains("`digits`, `again`") && refused.contains("instance_of"), "{refused}");
    assert!(model.instance_of("other", 1).unwrap_err().to_string().contains("no train block `other`"));

    let ((_, image), (_, label)) = (images(6), labels(6));
    let path = folder.path().join("again.safetensors");
    let mut again = model.instance_of("again", 1).unwrap();
    again.init(3).unwrap();
    mlc(folder.path(), &["run", "net.dl", "init", "again", "--seed", "3", "-o", "first.safetensors"]);
    again.save(&path).unwrap();
    let body = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..].to_vec()
    };
    assert!(body(&path) == body(&folder.path().join("first.safetensors")));
    let before = again.step("again", &[("image", &image), ("label", &label)]).unwrap();
    let after = again.step("again", &[("image", &image), ("label", &label)]).unwrap();
    assert!(after[0].1 < before[0].1, "{before:?} {after:?}");
    again.save(&path).unwrap();
    assert!(body(&path) != body(&folder.path().join("first.safetensors")), "what was trained is what is saved");
    // The exported functions are those of the first training's instance.
    let other = again.call("forward", &[("image", &image)]).unwrap_err().to_string();
    assert!(other.contains("another training"), "{other}");
    let mut digits = model.instance_of("digits", 1).unwrap();
    digits.load(&path).unwrap();
    digits.call("forward", &[("image", &image)]).unwrap();
}
