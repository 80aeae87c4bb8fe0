//! The whole program, as a process of its own: commands, exit status, files, messages.

#![expect(clippy::unwrap_used, reason = "a test may stop where it likes")]

mod common;

use common::{EVERY, PIPELINES};
use mlc_rt_exe::dtype::Dtype;
use mlc_rt_exe::json::Value;
use mlc_rt_exe::{Host, Parts, main_with, npy};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Not a test: the program under test, if the environment asks for it.
#[test]
fn program_under_test() {
    let Ok(args) = std::env::var("FAKE_ARGS") else { return };
    let var = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let args: Vec<String> = args.split('\u{1}').filter(|a| !a.is_empty()).map(str::to_owned).collect();
    let limits = var("FAKE_LIMITS", r#""epochs": 5, "steps": null"#);
    let meta = common::meta(&var("FAKE_PIPELINES", PIPELINES), &var("FAKE_EVERY", EVERY), &limits);
    let program = common::program(meta);
    print!("\u{2}");
    let _ = std::io::Write::flush(&mut std::io::stdout());
    let host = Host { program: "./fake", root: Path::new(""), parts: Parts::ALL };
    std::process::exit(unsafe { main_with(&program, &host, &args) });
}

/// What a run of the program did.
struct Done {
    status: i32,
    out: String,
    err: String,
}

/// A working folder with data, removed at the end.
struct Folder {
    path: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mlc-fake-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("data")).unwrap();
        let folder = Self { path, env: Vec::new() };
        folder.write_idx("train", 44);
        folder.write_idx("test", 19);
        folder
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// 4x4 images whose brightness follows the label.
    fn write_idx(&self, name: &str, rows: u32) {
        let mut images = vec![0, 0, 8, 3];
        let mut labels = vec![0, 0, 8, 1];
        [rows, 4, 4].iter().for_each(|n| images.extend(n.to_be_bytes()));
        labels.extend(rows.to_be_bytes());
        for row in 0..rows {
            let label = (row * 7 % 3) as u8;
            labels.push(label);
            images.extend((0..16).map(|i| label * ((i + row as u8) % 2)));
        }
        self.write(&format!("data/{name}-images-idx3-ubyte"), &images);
        self.write(&format!("data/{name}-labels-idx1-ubyte"), &labels);
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path.join(name), bytes).unwrap();
    }

    fn write_npy(&self, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) {
        self.write(name, &[&npy::header(dtype, shape).unwrap(), data].concat());
    }

    fn images(&self, name: &str, rows: usize) {
        let data: Vec<u8> = (0..rows * 4).flat_map(|i| (i as f32).to_le_bytes()).collect();
        self.write_npy(name, Dtype::F32, &[rows, 2, 2, 1], &data);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    fn run(&self, args: &str) -> Done {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program_under_test", "--nocapture", "--test-threads=1"])
            .current_dir(&self.path)
            .env("FAKE_ARGS", args.join("\u{1}"))
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .output()
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        Done {
            status: output.status.code().unwrap_or(-1),
            out: out.split_once('\u{2}').map(|(_, text)| text.to_owned()).unwrap_or(out),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(&self, args: &str) -> String {
        let done = self.run(args);
        assert_eq!(done.status, 0, "{args}: {}{}", done.out, done.err);
        done.out
    }

    #[track_caller]
    fn json(&self, args: &str) -> Value {
        let out = self.ok(args);
        assert_eq!(out.lines().count(), 1, "{out}");
        Value::parse(out.as_bytes()).unwrap()
    }

    /// Fails with this status and all of these texts, and prints nothing.
    #[track_caller]
    fn fails(&self, args: &str, status: i32, texts: &[&str]) {
        let done = self.run(args);
        assert_eq!((done.status, done.out.as_str()), (status, ""), "{args}: {}", done.err);
        for text in texts {
            assert!(done.err.contains(text), "{args}: no `{text}` in\n{}", done.err);
        }
    }

    /// Names in a folder, sorted.
    fn list(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path.join(name)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[track_caller]
fn number(value: &Value, key: &str) -> f64 {
    match value.get(key) {
        Some(Value::Float(x)) => *x,
        Some(Value::Int(i)) => *i as f64,
        other => panic!("{key}: {other:?} in {}", value.line()),
    }
}

/// Replaces texts by others of the same length.
fn replace(bytes: &[u8], texts: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (from, to) in texts {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn train_learns_and_saves() {
    let f = Folder::new();
    let done = f.run("train");
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(done.err.lines().count(), 5, "one line for each epoch:\n{}", done.err);
    assert!(done.err.starts_with("epoch 1/5  loss "), "{}", done.err);
    let json = Value::parse(done.out.as_bytes()).unwrap();
    let valid = json.get("valid").unwrap();
    assert!(number(valid, "loss") < 0.5 && number(&json, "loss") < 1.0, "{}", done.out);
    assert_eq!((number(&json, "epochs"), number(&json, "steps")), (5.0, 25.0));
    assert_eq!(f.list("runs/fit"), ["best.safetensors", "last.safetensors", "step-20", "step-25"]);
    assert_eq!(f.list("runs/fit/step-25"), ["optimizer.safetensors", "position.json", "weights.safetensors"]);
    assert_eq!(f.read("runs/fit/last.safetensors"), f.read("runs/fit/step-25/weights.safetensors"));

    let eval = f.json("eval --weights runs/fit/last.safetensors --json");
    assert_eq!(eval.get("loss"), valid.get("loss"));
    assert_eq!(eval.get("valid"), json.get("valid"));
    assert!(f.ok("eval --weights runs/fit/last.safetensors").starts_with("loss 0."));
}

#[test]
fn resumed_training_is_the_same() {
    let f = Folder::new();
    for epochs in [1, 2, 3] {
        let steps = epochs * 5;
        f.ok(&format!("train --quiet --out whole --epochs {epochs}"));
        for part in ["--epochs 1", "--steps 3", "--steps 7"] {
            f.ok(&format!("train --quiet --out part {part}"));
            f.ok(&format!("train --quiet --out part --resume part --epochs {epochs}"));
            let reached = |d: &str| f.list(d).iter().any(|n| *n == format!("step-{steps}"));
            if !(part == "--steps 7" && epochs == 1) {
                assert!(reached("whole") && reached("part"), "{epochs} {part}");
            }
            fs::remove_dir_all(f.path.join("part")).unwrap();
        }
    }
    // `total_steps` is part of the schedule, so the same limits are given twice.
    f.ok("train --quiet --out whole --epochs 4");
    let line = f.ok("train --quiet --out cut --epochs 4 --log log.jsonl");
    fs::remove_dir_all(f.path.join("cut/step-20")).unwrap();
    let again = f.ok("train --quiet --out cut --epochs 4 --resume cut --log log.jsonl");
    assert_eq!(f.read("whole/last.safetensors"), f.read("cut/last.safetensors"));
    for file in ["weights.safetensors", "optimizer.safetensors", "position.json"] {
        assert_eq!(f.read(&format!("whole/step-20/{file}")), f.read(&format!("cut/step-20/{file}")), "{file}");
    }
    let metrics = |line: &str| line.split("\"seconds\"").next().map(str::to_owned);
    assert_eq!(metrics(&line), metrics(&again));
    let log = String::from_utf8(f.read("log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 5);
    assert!(log.lines().all(|l| Value::parse(l.as_bytes()).is_ok_and(|v| v.get("valid").is_some())));
}

#[test]
fn training_is_deterministic_and_follows_the_seed() {
    let f = Folder::new();
    for (out, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        f.ok(&format!("train --quiet --out {out} --seed {seed} --steps 8"));
    }
    assert_eq!(f.read("a/last.safetensors"), f.read("b/last.safetensors"));
    assert_ne!(f.read("a/last.safetensors"), f.read("c/last.safetensors"));
    assert_eq!(f.list("a"), ["best.safetensors", "last.safetensors", "step-5", "step-8"]);
    f.fails("train --out x --resume a --seed 5", 2, &["the checkpoint's seed is 1"]);
    f.fails("train --out x --resume data", 1, &["error[E0302]", "no complete checkpoint"]);
    f.write("a/step-8/position.json", b"{}");
    f.fails("train --out x --resume a", 1, &["error[E0302]", "isn't a checkpoint"]);
}

#[test]
fn early_stop_ends_training() {
    let every = r#"[{"count": 2, "period": "steps", "entry": 7, "actions": [{"do": "early_stop", "value": 0, "patience": 1}]}]"#;
    let f = Folder::new().with("FAKE_EVERY", every);
    let json = f.json("train --quiet --epochs 1000");
    assert!(number(&json, "steps") < 5000.0);
    assert_eq!(json.get("valid"), None);
    assert!(f.has("runs/fit/last.safetensors"), "the default folder");
}

#[test]
fn init_run_and_step() {
    let f = Folder::new();
    f.ok("init -o w.safetensors");
    f.ok("init --seed 42 -o w2.safetensors");
    assert_eq!(f.read("w.safetensors"), f.read("w2.safetensors"));
    f.images("x.npy", 3);
    f.ok("run forward --weights w.safetensors --in image=x.npy --out y.npy");
    let y = npy::parse(&f.read("y.npy")).unwrap();
    assert_eq!((y.dtype, y.shape.as_slice()), (Dtype::F32, &[3][..]));
    let expected = (0..4).map(|i| i as f32 * ((42.0 + i as f32) * 1e-3)).sum::<f32>();
    assert!((y.number(0).unwrap() - f64::from(expected)).abs() < 1e-6);
    f.ok(
        "run Line.classify --weights w.safetensors --in image=x.npy --in shift=0.5 --out label=l.npy --out score=s.npy",
    );
    assert_eq!(npy::parse(&f.read("l.npy")).unwrap().dtype, Dtype::I32);
    assert_eq!(f.read("s.npy"), f.read("y.npy"));

    f.write_npy("label.npy", Dtype::I32, &[3], &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let call = "step --weights w.safetensors --in image=x.npy --in label=label.npy";
    let json = f.json(&format!("{call} --json --grads g.safetensors --out-weights w3.safetensors"));
    assert!(number(&json, "loss") > 0.0);
    assert!(f.ok(call).starts_with("loss "));
    assert_ne!(f.read("w3.safetensors"), f.read("w.safetensors"));
    let grads = f.read("g.safetensors");
    let grads = mlc_rt_core::safetensors::SafeTensors::parse(&grads).unwrap();
    let names: Vec<String> = grads.tensors().map(|t| mlc_rt_exe::json::owned(t.name)).collect();
    assert_eq!(names, ["fc.w", "fc.b"]);
}

#[test]
fn wrong_inputs() {
    let f = Folder::new();
    f.ok("init -o w.safetensors");
    f.images("x.npy", 3);
    f.images("many.npy", 101);
    f.write_npy("empty.npy", Dtype::F32, &[0, 2, 2, 1], &[]);
    f.write_npy("flat.npy", Dtype::F32, &[4], &[0; 16]);
    f.write_npy("wide.npy", Dtype::F32, &[1, 2, 3, 1], &[0; 24]);
    f.write_npy("double.npy", Dtype::F64, &[1, 2, 2, 1], &[0; 32]);
    f.write("junk.npy", b"junk");
    let run = "run forward --weights w.safetensors --out y.npy";
    let cases: [(&str, &[&str]); 8] = [
        ("--in image=empty.npy", &["axis 0 is empty", "function `forward` takes image: f32[B, 2, 2, 1]"]),
        ("--in image=flat.npy", &["`image` is f32[4]", "1 axis instead of 4"]),
        ("--in image=wide.npy", &["axis 2 is 3 instead of 2"]),
        ("--in image=double.npy", &["`image` is f64[1, 2, 2, 1]", "astype(np.float32)"]),
        ("--in image=junk.npy", &["isn't a .npy file"]),
        ("--in image=no.npy", &["no such file"]),
        ("--in image=3", &["is the number 3"]),
        ("", &["needs `image`"]),
    ];
    for (arg, texts) in cases {
        f.fails(&format!("{run} {arg}"), 1, &[&["error[E0303]"], texts].concat());
    }
    f.fails(&format!("{run} --in imag=x.npy"), 1, &["did you mean `image`?"]);
    let classify = "run classify --weights w.safetensors --out label=l.npy";
    f.fails(&format!("{classify} --in image=many.npy --in shift=1"), 1, &["error[E0303]", "B <= 100", "B = 101"]);
    f.fails(&format!("{classify} --in image=x.npy --in shift=true"), 1, &["`true` is no f32"]);
    f.fails(&format!("{classify} --in image=x.npy --in shift=x.npy"), 1, &["4 axes instead of 0"]);
    assert!(!f.has("y.npy") && !f.has("l.npy"));
    assert!(!f.list(".").iter().any(|n| n.ends_with(".tmp")));
}

#[test]
fn wrong_weights_and_outputs() {
    let f = Folder::new();
    f.images("x.npy", 1);
    f.ok("init -o w.safetensors");
    let good = f.read("w.safetensors");
    let run = |weights: &str| format!("run forward --in image=x.npy --out y.npy {weights}");
    f.fails(&run(""), 1, &["error[E0302]", "no weights are given"]);
    f.fails(&run("--weights no.safetensors"), 1, &["error[E0302]", "no such file"]);
    f.write("bad.safetensors", &good[..20]);
    f.fails(&run("--weights bad.safetensors"), 1, &["error[E0302]", "cut off", "--> bad.safetensors"]);
    f.write("bad.safetensors", &replace(&good, &[("fc.w", "fv.w")]));
    f.fails(
        &run("--weights bad.safetensors"),
        1,
        &["missing: `fc.w`", "not in the program: `fv.w`", "did you mean `fv.w`?"],
    );
    let changed = replace(&good, &[("[4]", "[2]"), ("[0, 16]", "[0,  8]"), ("[16, 20]", "[ 8, 12]")]);
    f.write("bad.safetensors", &changed[..changed.len() - 8]);
    f.fails(
        &run("--weights bad.safetensors"),
        1,
        &["error[E0302]", "`fc.w` is f32[2] in this file, the program has f32[4]"],
    );
    f.fails("run forward --in image=x.npy --weights w.safetensors --out no/y.npy", 1, &["error[E0304]"]);
    f.fails("run forward --in image=x.npy --weights w.safetensors --out data", 1, &["error[E0304]", "folder"]);
    f.fails("init -o no/w.safetensors", 1, &["error[E0304]"]);
    f.ok("run forward --in image=x.npy --weights w.safetensors --out /dev/null");
    f.write("file", b"");
    f.fails("train --out file", 1, &["error[E0304]"]);
}

#[test]
fn wrong_data() {
    let f = Folder::new();
    let start = &["error[E0301]", "--> fake.dl:5:14"][..];
    let check = |texts: &[&str]| f.fails("train --out out", 1, &[start, texts].concat());
    let images = f.read("data/train-images-idx3-ubyte");
    let labels = f.read("data/train-labels-idx1-ubyte");
    let path = "data/train-labels-idx1-ubyte";
    f.write(path, &labels[..20]);
    check(&["cut off: its header says 44 bytes, it has 12"]);
    f.write(path, &images);
    check(&["3 axes instead of 1"]);
    f.write(path, b"junk that isn't it");
    check(&["isn't an IDX file"]);
    f.write(path, &[0x1f, 0x8b, 8, 0]);
    check(&["cut off"]);
    f.write_idx("test", 5);
    f.write(path, &f.read("data/test-labels-idx1-ubyte"));
    check(&["column `image` has 44 rows, column `label` has 5"]);
    f.write("data/train-images-idx3-ubyte", &f.read("data/test-images-idx3-ubyte"));
    check(&["the data has 5 rows, fewer than one batch of 8"]);
    fs::remove_file(f.path.join(path)).unwrap();
    check(&["there is neither `data/train-labels-idx1-ubyte`", "working folder"]);

    f.write_idx("train", 44);
    let mut bad = f.read("data/train-labels-idx1-ubyte");
    bad[8 + 17] = 11;
    f.write("data/train-labels-idx1-ubyte", &bad);
    f.fails(
        "train --out out",
        1,
        &[
            "error[E0305]: index 11 is out of range: must be from 0 to 9",
            "--> fake.dl:9:18",
            "`label` is 11 in row 17 of the data",
        ],
    );
}

#[test]
fn replaced_columns() {
    let f = Folder::new();
    let labels: Vec<u8> = (0..44u8).map(|i| i % 3).collect();
    f.write_npy("l.npy", Dtype::U8, &[44], &labels);
    let wide: Vec<u8> = (0..44i64).flat_map(|i| if i == 9 { i64::MAX } else { 0 }.to_le_bytes()).collect();
    f.write_npy("big.npy", Dtype::I64, &[44], &wide);
    f.write_npy("f.npy", Dtype::F32, &[44], &[0; 176]);
    f.write_npy("short.npy", Dtype::U8, &[4], &[0; 4]);
    f.ok("train --quiet --out out --steps 2 --data label=l.npy");
    f.fails("train --out out --data label=big.npy", 1, &["error[E0301]", "doesn't fit into i32"]);
    f.fails("train --out out --data label=f.npy", 1, &["error[E0301]", "f32 is not converted to i32"]);
    f.fails("train --out out --data label=short.npy", 1, &["column `label` has 4"]);
    f.fails("train --out out --data label=no.npy", 1, &["error[E0301]", "no such file"]);
    f.fails("train --out out --data labl=l.npy", 2, &["did you mean `label`?"]);
    f.fails("train --out out --data other.label=l.npy", 2, &["no pipeline `other`"]);
    let bare = Folder::new().with("FAKE_PIPELINES", "{}").with("FAKE_EVERY", "[]");
    bare.fails("train", 1, &["error[E0301]", "has no `data`"]);
    bare.images("x.npy", 20);
    bare.write_npy("l.npy", Dtype::I32, &[20], &[0; 80]);
    bare.ok("train --quiet --steps 1 --data image=x.npy --data label=l.npy");
}

#[test]
fn pipelines_without_resize_or_labels() {
    let plain = PIPELINES.replace(r#"{"stage": "resize", "height": 2, "width": 2},"#, "");
    let f = Folder::new().with("FAKE_PIPELINES", &plain);
    f.fails("train", 1, &["a row of column `image` is u8[4, 4, 1]", "add `resize(2)` to the pipeline"]);
    let f = Folder::new().with("FAKE_PIPELINES", &PIPELINES.replace(r#""labels": true"#, r#""labels": false"#));
    f.fails("train", 1, &["the step takes a column `label`, the data has `image`"]);
    let f = Folder::new().with("FAKE_PIPELINES", &PIPELINES.replace("shuffle", "mirror"));
    f.fails("train", 2, &["`mirror` in a data pipeline is not supported yet"]);
    let f = Folder::new().with("FAKE_LIMITS", r#""epochs": null, "steps": null"#);
    f.fails("train", 2, &["neither `epochs` nor `steps`"]);
    f.ok("train --epochs 1 --quiet");
}

#[test]
fn command_lines() {
    let f = Folder::new();
    f.fails("", 2, &["no command is given"]);
    f.fails("trian", 2, &["there is no command `trian`", "did you mean `train`?"]);
    f.fails("train --epoch 3", 2, &["did you mean `--epochs`?"]);
    f.fails("train --epochs x", 2, &["takes a whole number of at least 0"]);
    f.fails("train --epochs", 2, &["`--epochs` needs a value: --epochs N"]);
    f.fails("train --threads 0", 2, &["of at least 1"]);
    f.fails("train --quiet=1", 2, &["takes no value"]);
    f.fails("train fit more", 2, &["doesn't take `more`"]);
    f.fails("train fot", 2, &["no train block `fot`", "did you mean `fit`?"]);
    f.fails("train --seed 1 --seed 2", 2, &["given twice"]);
    f.fails("init", 2, &["needs `-o W.safetensors`"]);
    f.fails("run", 2, &["`run` needs [MODEL.]FN"]);
    f.fails("run forwrd --out y.npy", 2, &["did you mean `forward`?"]);
    f.fails("run forward", 2, &["needs `--out FILE.npy`"]);
    f.fails("run classify --out y.npy", 2, &["several results", "--out label=FILE.npy"]);
    f.fails("run classify --out lable=y.npy", 2, &["did you mean `label`?"]);
    f.fails("run classify --out label=y.npy --out score=y.npy", 2, &["given twice"]);
    for later in ["receipt", "train --trap-nan", "run forward --profile p.json", "--trap-nan"] {
        f.fails(later, 2, &["not supported yet"]);
    }
    assert!(f.ok("--help").contains("bench"));
    assert!(f.ok("train --help").contains("--resume DIR"));
    assert!(f.ok("info").contains("forward(image: f32[B, 2, 2, 1]) -> f32[B]"));
    let info = f.json("info --json");
    assert_eq!(info.get("parameter_count"), Some(&Value::Int(4)));
    assert_eq!(info.get("functions").and_then(Value::as_array).map(<[Value]>::len), Some(2));
}

#[test]
fn bench() {
    let f = Folder::new();
    let json = f.json("bench forward --seconds 0 --json");
    assert_eq!(json.get("sizes").and_then(|s| s.get("B")), Some(&Value::Int(1)));
    assert!(number(&json, "median_ms") >= number(&json, "min_ms") && number(&json, "gflops") > 0.0);
    let json = f.json("bench train --seconds 0 --json");
    assert_eq!(json.get("sizes").and_then(|s| s.get("B")), Some(&Value::Int(8)));
    let json = f.json("bench train fit --size B=3 --seconds 0 --json --threads 1");
    assert_eq!(json.get("sizes").and_then(|s| s.get("B")), Some(&Value::Int(3)));
    f.images("x.npy", 6);
    let json = f.json("bench forward --in image=x.npy --seconds 0 --json");
    assert_eq!(json.get("sizes").and_then(|s| s.get("B")), Some(&Value::Int(6)));
    f.fails("bench forward --size T=3", 2, &["has no size T", "`B`"]);
    f.fails("bench forward --size B=0", 2, &["at least 1"]);
    f.fails("bench forward --in image=x.npy --size B=5", 2, &["`--size B=5`, but the inputs have B = 6"]);
    f.fails("bench forward --size B=9223372036854775807", 1, &[]);
}
