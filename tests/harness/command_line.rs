//! `mlc` itself: exit statuses, what is refused by name, products that appear complete or not at all,
//! and the same bytes for the same input.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process::{self, Outcome};
use mlc_tests::{digits, npy, repository};
use std::fs;
use std::path::Path;

fn mlc(folder: &Path, args: &[&str]) -> Outcome {
    process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder, args)
}

fn example(name: &str) -> String {
    repository("dsl-examples").join(name).to_str().unwrap().to_string()
}

/// Refused as a wrong command line, with these words.
#[track_caller]
fn usage(args: &[&str], words: &[&str]) {
    let outcome = mlc(&repository("."), args);
    assert_eq!(outcome.status, 2, "{args:?}\n{}", outcome.stderr);
    for word in words {
        assert!(outcome.stderr.contains(word), "`{word}` is not in:\n{}", outcome.stderr);
    }
}

#[test]
fn refused_by_name() {
    let cnn = example("cnn.dl");
    usage(&["build", &cnn, "--cpu", "v5"], &["v5", "v2, v3, v4 and native"]);
    usage(&["build", &cnn, "--emit", "lib"], &["lib", "not supported yet"]);
    usage(&["build", &cnn, "--emit", "python"], &["python", "not supported yet"]);
    usage(&["build", &cnn, "--target", "aarch64-unknown-linux-gnu"], &["--target", "not supported yet"]);
    usage(&["build", &cnn, "--threads", "none"], &["--threads", "not supported yet"]);
    usage(&["build", &cnn, "--linker", "wild"], &["--linker", "not supported yet"]);
    usage(&["check", &cnn, "--max-memory", "much"], &["--max-memory much", "64MiB"]);
    for command in ["verify", "import"] {
        usage(&[command, &cnn, "--any", "-o", "x"], &[command, "not supported yet"]);
    }
    usage(&["fly"], &["fly"]);
    usage(&[], &["Usage"]);
    usage(&["check", &cnn, "-D", "H"], &["NAME=VALUE"]);
    usage(&["emit", &cnn, "--stage", "nothing"], &["nothing"]);
    usage(&["explain", "E9999"], &["E9999"]);
}

#[test]
fn sources_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder.dl")).unwrap();
    for command in ["check", "build", "run", "test"] {
        mlc(folder.path(), &[command, "missing.dl"]).refused(&["E0004", "missing.dl"]);
        mlc(folder.path(), &[command, "folder.dl"]).refused(&["E0004", "folder.dl"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn messages_for_editors() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.dl"), "const H = 1\nconst H = 2\n").unwrap();
    let outcome = mlc(folder.path(), &["check", "m.dl", "--message-format", "json"]);
    assert_eq!(outcome.status, 1);
    let first: serde_json::Value = serde_json::from_str(outcome.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((first["code"].as_str(), first["spans"][0]["line"].as_u64()), (Some("E0102"), Some(2)), "{first}");
}

#[test]
fn explanations() {
    let outcome = mlc(&repository("."), &["explain", "e0107"]).ok();
    assert!(outcome.stdout.starts_with("# E0107: matrix sizes do not agree"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(example("mlp.dl"), there.path().join("mlp.dl")).unwrap();
    mlc(here.path(), &["build", &example("mlp.dl"), "-o", "a"]).ok();
    mlc(there.path(), &["build", "mlp.dl"]).ok();
    mlc(here.path(), &["build", &example("mlp.dl"), "-o", "other", "-D", "H=256"]).ok();
    let read = |path: &Path| fs::read(path).unwrap();
    let first = read(&here.path().join("a"));
    assert!(first == read(&there.path().join("mlp")));
    assert!(first != read(&here.path().join("other")));
    let traces = ["/tmp/", env!("CARGO_MANIFEST_DIR")];
    for trace in traces {
        assert!(!first.windows(trace.len()).any(|bytes| bytes == trace.as_bytes()), "{trace} is in the executable");
    }
}

#[test]
fn products_appear_complete_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let cnn = example("cnn.dl");
    mlc(folder.path(), &["build", &cnn, "-o", "no/such/folder/cnn"]).refused(&["E0304", "no/such/folder"]);
    fs::create_dir(folder.path().join("taken")).unwrap();
    mlc(folder.path(), &["build", &cnn, "-o", "taken"]).refused(&["E0304", "taken"]);
    fs::write(folder.path().join("bad.dl"), "model M {").unwrap();
    fs::write(folder.path().join("bad"), "was here before").unwrap();
    mlc(folder.path(), &["build", "bad.dl"]).refused(&["E0002"]);
    assert_eq!(fs::read_to_string(folder.path().join("bad")).unwrap(), "was here before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn build_and_run_in_the_folder_of_the_source() {
    let (sources, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    digits::write_made_up(sources.path(), 64);
    let source = sources.path().join("mlp.dl");
    fs::copy(example("mlp.dl"), &source).unwrap();
    let run = ["--run", "train", "--epochs", "1", "--out", "out"];
    let build = [&["build", source.to_str().unwrap(), "-D", "H=16", "-o", "mlp"], &run[..]].concat();
    mlc(elsewhere.path(), &build).ok();
    assert!(elsewhere.path().join("mlp").exists() && sources.path().join("out/last.safetensors").exists());
    let status = mlc(elsewhere.path(), &["build", source.to_str().unwrap(), "--run", "fly"]).status;
    assert_eq!(status, 2, "the status is the program's");
}

#[test]
fn embedded_weights() {
    let folder = tempfile::tempdir().unwrap();
    let mlp = example("mlp.dl");
    mlc(folder.path(), &["run", &mlp, "init", "-o", "w.safetensors"]).ok();
    mlc(folder.path(), &["build", &mlp, "--weights", "w.safetensors"]).ok();
    mlc(folder.path(), &["build", &mlp, "--weights", "no.safetensors", "-o", "x"])
        .refused(&["E0302", "no.safetensors"]);
    let program = folder.path().join("mlp");
    let image = folder.path().join("x.npy");
    npy::write_f32(&image, &[1, 28, 28, 1], &digits::image(4));
    let run = |extra: &[&str], out: &str| {
        let args = [&["run", "forward", "--in", "image=x.npy", "--out", out], extra].concat();
        process::run_bare(&program, folder.path(), &args).ok();
        fs::read(folder.path().join(out)).unwrap()
    };
    assert!(run(&[], "a.npy") == run(&["--weights", "w.safetensors"], "b.npy"));
}

#[test]
fn timings_are_one_json_line() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = mlc(folder.path(), &["build", &example("mlp.dl"), "--timings", "--size"]).ok();
    let line = outcome.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    let timings: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(timings["compile_ms"].as_f64().unwrap() > 0.0 && timings["passes"]["resolve"].is_number(), "{timings}");
    assert!(outcome.stdout.contains("bytes"), "{}", outcome.stdout);
}

#[test]
fn test_blocks_of_the_examples() {
    for name in ["mlp.dl", "cnn.dl"] {
        let outcome = mlc(&repository("."), &["test", &example(name)]).ok();
        assert!(outcome.stdout.contains("ok"), "{}", outcome.stdout);
    }
}

/// A size that the input makes 0 is refused, not computed with.
#[test]
fn sizes_that_become_zero() {
    let folder = tempfile::tempdir().unwrap();
    let program = "model M { @export fn f(x: f32[B, T]) -> f32[B] { return sum(x[:, 0:floor(T / 2)], axis: -1) } }";
    fs::write(folder.path().join("half.dl"), program).unwrap();
    npy::write_f32(&folder.path().join("three.npy"), &[1, 3], &[5.0, 6.0, 7.0]);
    npy::write_f32(&folder.path().join("one.npy"), &[1, 1], &[5.0]);
    let run = |input: &str| mlc(folder.path(), &["run", "half.dl", "run", "f", "--in", input, "--out", "y.npy"]);
    run("x=three.npy").ok();
    assert_eq!(npy::read_f32(&folder.path().join("y.npy")), [5.0]);
    run("x=one.npy").refused(&["E0303", "floor(T / 2) >= 1"]);
}

/// What a row of each pipeline holds; of sizes and headers only the run knows.
#[test]
fn columns_of_pipelines() {
    let folder = tempfile::tempdir().unwrap();
    let block = |name: &str, data: &str, columns: &str, value: &str| {
        format!("train {name} {{\n data = {data} |> batch(2)\n step({columns}) {{ metric m = sum({value}) }}\n}}\n")
    };
    let program = [
        block("digits", "idx(\"d\") |> resize((8, 9)) |> rename(x: \"image\")", "x: f32[B, 8, 9, 1]", "x"),
        block("plain", "idx(\"d\", labels: false)", "image: f32[B, H, W, 1]", "image"),
        block("table", "csv(\"d.csv\") |> rename(y: \"label\")", "y: i32[B]", "y"),
        block("words", "text(\"t.txt\", tokens: \"chars\", window: 7)", "ids: i32[B, 7]", "ids"),
    ]
    .concat();
    fs::write(folder.path().join("rows.dl"), program).unwrap();
    let said = mlc(folder.path(), &["check", "rows.dl", "--verbose"]).ok().stdout;
    let expected = [
        "digits.data: {x: u8[8, 9, 1], label: u8}",
        "plain.data: {image: u8[_, _, 1]}",
        "table.data: {y, the columns of the header}",
        "words.data: {ids: i32[7], gold: i32[7]}",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// What is required of sizes that only the input decides is tested by each call.
#[test]
fn sizes_that_must_differ() {
    let folder = tempfile::tempdir().unwrap();
    let program = "model M {\n @export\n fn f(x: f32[B, T]) -> f32[B] requires B != T { return sum(x, axis: -1) }\n}";
    fs::write(folder.path().join("differ.dl"), program).unwrap();
    npy::write_f32(&folder.path().join("wide.npy"), &[1, 2], &[5.0, 6.0]);
    npy::write_f32(&folder.path().join("square.npy"), &[1, 1], &[5.0]);
    let run = |input: &str| mlc(folder.path(), &["run", "differ.dl", "run", "f", "--in", input, "--out", "y.npy"]);
    run("x=wide.npy").ok();
    assert_eq!(npy::read_f32(&folder.path().join("y.npy")), [11.0]);
    run("x=square.npy").refused(&["E0303", "B != T"]);
}

/// What can't be exported without a size is named, with the reason, and is there when the size is given.
#[test]
fn functions_that_are_not_exported() {
    let folder = tempfile::tempdir().unwrap();
    let program = "model G(V: dim) { fc = Linear(V); @export fn logits(x: f32[B, 4]) -> f32[B, V] { return fc(x) } }";
    fs::write(folder.path().join("g.dl"), program.replace("; @export", "\n @export\n")).unwrap();
    let without = mlc(folder.path(), &["run", "g.dl", "info"]).ok().stdout;
    assert!(without.contains("not exported\n  logits: ") && without.contains("`V`"), "{without}");
    let with = mlc(folder.path(), &["run", "-D", "G.V=65", "g.dl", "info"]).ok().stdout;
    assert!(with.contains("G.logits") && !with.contains("not exported"), "{with}");
}
