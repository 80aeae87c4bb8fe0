//! The examples, from the source to the executable and through all its commands: alone in a folder
//! with its data, with an empty PATH; and the same through `mlc run`, byte for byte.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process::{self, Outcome};
use mlc_tests::programs::Program;
use mlc_tests::{digits, npy, repository, weights};
use std::fs;
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// `mlc run` of an example, in `folder`, with data from there.
fn run_in_memory(name: &str, folder: &Path, args: &[&str]) -> Outcome {
    let source = folder.join(format!("{name}.dl"));
    fs::copy(repository(&format!("dsl-examples/{name}.dl")), &source).unwrap();
    let source = source.to_str().unwrap().to_string();
    process::run(mlc(), folder, &[&["run", source.as_str()], args].concat())
}

/// The final line of a training, without the time it took.
fn result(outcome: Outcome) -> serde_json::Value {
    let mut line = outcome.ok().json();
    line.as_object_mut().unwrap().remove("seconds");
    line
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn cnn_does_everything_in_an_empty_folder() {
    let program = Program::build(mlc(), "cnn", &[]);
    assert!(size(program.path()) < 1_100_000, "the executable has {} bytes", size(program.path()));
    digits::copy_real(program.folder());
    everything(&program, "--steps 24 --epochs 1");
}

#[test]
fn mlp_does_everything_in_an_empty_folder() {
    let program = Program::build(mlc(), "mlp", &["-D", "H=64"]);
    let bytes = fs::read(program.path()).unwrap();
    let has = |section: &str| bytes.windows(section.len()).any(|part| part == section.as_bytes());
    assert!(has(".rodata") && !has(".eh_frame"), "tables for unwinding are left out");
    assert!(has("this is a defect of mlc") && !has("stack backtrace"), "stack traces are left out");
    digits::copy_real(program.folder());
    everything(&program, "--epochs 1");
}

fn everything(program: &Program, training: &str) {
    let info = program.run(&["info", "--json"]).ok().json();
    assert_eq!(info["functions"][0]["name"], "forward", "{info}");

    let training: Vec<&str> = ["train", "--out", "out"].into_iter().chain(training.split(' ')).collect();
    let trained = program.run(&training).ok().json();
    assert!(trained["loss"].is_number() && trained["accuracy"].is_number(), "{trained}");
    let given = ["--weights", "out/last.safetensors"];
    let evaluated = program.run(&[&["eval", "--json"], &given[..]].concat()).ok().json();
    assert!(evaluated["accuracy"].as_f64().unwrap() > 0.2, "{evaluated}");

    program.write_images("x.npy", 3);
    program.write_labels("y.npy", 3);
    program.run(&[&["run", "forward", "--in", "image=x.npy", "--out", "logits.npy"], &given[..]].concat()).ok();
    assert_eq!(npy::read_f32(&program.file("logits.npy")).len(), 30);
    let batch = ["step", "--in", "image=x.npy", "--in", "label=y.npy", "--json", "--out-weights", "w2.safetensors"];
    let stepped = program.run(&[&batch[..], &["--grads", "g.safetensors"], &given[..]].concat()).ok().json();
    assert!(stepped["loss"].is_number(), "{stepped}");
    let (before, after) = (program.file("out/last.safetensors"), program.file("w2.safetensors"));
    assert_ne!(weights::read(&before), weights::read(&after));

    let bench = program.run(&["bench", "forward", "--size", "B=2", "--seconds", "0.05", "--json"]).ok().json();
    assert!(bench["median_ms"].is_number() && bench["min_ms"].is_number(), "{bench}");
    let bench = program.run(&["bench", "train", "--seconds", "0.05", "--json"]).ok().json();
    assert!(bench["median_ms"].is_number(), "{bench}");
}

#[test]
fn training_goes_on_where_it_stopped() {
    let program = Program::build(mlc(), "mlp", &["-D", "H=32"]);
    digits::write_made_up(program.folder(), 96);
    program.run(&["train", "--epochs", "2", "--out", "whole"]).ok();
    program.run(&["train", "--epochs", "1", "--out", "half"]).ok();
    program.run(&["train", "--epochs", "2", "--resume", "half"]).ok();
    let weights = |folder: &str| fs::read(program.file(folder).join("last.safetensors")).unwrap();
    assert!(weights("whole") == weights("half"));
}

/// The output and the weights after two epochs of few steps: executable, `mlc run`, 1 and 2 threads.
#[test]
fn in_memory_and_on_disk_are_the_same_bytes() {
    for name in ["cnn", "mlp"] {
        let program = Program::build(mlc(), name, &[]);
        digits::write_made_up(program.folder(), 128);
        program.write_images("x.npy", 5);
        let train = |threads, out| ["train", "--epochs", "2", "--threads", threads, "--out", out];
        let exe = result(program.run(&train("1", "a")));
        let two = result(program.run(&train("2", "b")));
        let jit = result(run_in_memory(name, program.folder(), &train("2", "c")));
        assert_eq!((&exe, &exe), (&two, &jit));
        let weights = |folder: &str| fs::read(program.file(folder).join("last.safetensors")).unwrap();
        assert!(weights("a") == weights("b") && weights("a") == weights("c"), "{name}");

        let forward = ["run", "forward", "--weights", "a/last.safetensors", "--in", "image=x.npy", "--out"];
        program.run(&[&forward[..], &["exe.npy", "--threads", "1"]].concat()).ok();
        program.run(&[&forward[..], &["two.npy", "--threads", "2"]].concat()).ok();
        run_in_memory(name, program.folder(), &[&forward[..], &["jit.npy"]].concat()).ok();
        let output = |file: &str| fs::read(program.file(file)).unwrap();
        assert!(output("exe.npy") == output("jit.npy") && output("exe.npy") == output("two.npy"), "{name}");
    }
}

/// Images together give what each gives alone.
#[test]
fn samples_do_not_see_each_other() {
    let program = Program::build(mlc(), "cnn", &[]);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    let logits = |rows: usize| {
        program.write_images("x.npy", rows);
        program.run(&["run", "forward", "--weights", "w.safetensors", "--in", "image=x.npy", "--out", "y.npy"]).ok();
        npy::read_f32(&program.file("y.npy"))
    };
    let together = logits(33);
    for rows in [1, 7] {
        assert_eq!(logits(rows), together[..rows * 10]);
    }
}

#[test]
fn initial_weights_follow_the_seed() {
    let program = Program::build(mlc(), "mlp", &[]);
    let init = |seed: &str, file: &str| {
        program.run(&["init", "--seed", seed, "-o", file]).ok();
        fs::read(program.file(file)).unwrap()
    };
    let first = init("1", "a.safetensors");
    assert!(first == init("1", "b.safetensors"));
    assert!(first != init("2", "c.safetensors"));
}
